package wire_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/lab/wire"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

func TestTap(t *testing.T) {
	a, b := netnstest.New(t, "a"), netnstest.New(t, "b")
	if err := netns.Cable(a, "a0", nil, b, "b0", nil); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{a.Addr("a0", "10.0.0.1/24"), b.Addr("b0", "10.0.0.2/24")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var tap *wire.Tap
	if err := b.Do(func() (err error) { tap, err = wire.Open("b0"); return err }); err != nil {
		t.Fatal(err)
	}
	in, err := b.ListenPacket(t.Context(), "udp4", "10.0.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c, err := a.DialContext(t.Context(), "udp4", "10.0.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	const n = 100
	for range n {
		if _, err := c.Write([]byte("there")); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 16)
	_, back, err := in.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.WriteTo([]byte("back"), back); err != nil {
		t.Fatal(err)
	}
	// What came before the end is given, though nobody had read it yet.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	there, out := 0, 0
	err = tap.Run(ctx, func(f wire.Frame) {
		if f.Time.Before(began.Add(-time.Second)) || f.Time.After(time.Now().Add(time.Second)) || f.OrigLen != len(f.Data) {
			t.Errorf("a frame of %d bytes, %d kept, at %s", f.OrigLen, len(f.Data), f.Time)
		}
		switch {
		case bytes.HasSuffix(f.Data, []byte("there")) && !f.Outgoing:
			there++
		case bytes.HasSuffix(f.Data, []byte("back")) && f.Outgoing:
			out++
		}
	})
	if err != nil || there != n || out != 1 || tap.Dropped() != 0 {
		t.Errorf("%d frames in, %d out, %d dropped, %v; want %d and 1", there, out, tap.Dropped(), err, n)
	}
	if err := b.Do(func() (err error) { _, err = wire.Open("nothing"); return err }); err == nil {
		t.Error("a tap on an interface that is not there")
	}
}
