package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/sdk"
)

func TestLimits(t *testing.T) {
	l := echo(t)
	s := newSite(t)
	c := s.open(t.TempDir(), nil)
	dial := func() (net.Conn, error) { return c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String()) }
	limited := func(limit api.Limit) {
		term := loopback
		term.ID = "l" + strconv.FormatInt(time.Now().UnixNano(), 36)
		term.Limit = &limit
		s.terms(term)
		s.inForce(c)
	}
	wantLimited := func(err error, bound string) {
		t.Helper()
		if r, ok := sdk.AsRefusal(err); !ok || r.Reason != "limited" || r.Limit != bound {
			t.Errorf("%v, want limited by %s", err, bound)
		}
	}
	limited(api.Limit{Flows: 2})
	a, err1 := dial()
	b, err2 := dial()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	_, err := dial()
	wantLimited(err, "flows")
	a.Close()
	if a, err = dial(); err != nil {
		t.Errorf("after one was closed: %v", err)
	} else {
		a.Close()
	}
	b.Close()
	limited(api.Limit{NewFlows: 3})
	var last error
	for range 10 {
		conn, err := dial()
		if err == nil {
			conn.Close()
		}
		last = err
	}
	wantLimited(last, "newFlows")
	limited(api.Limit{Quota: 100, Per: "month"})
	q, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Write(make([]byte, 60)); err != nil {
		t.Fatal(err)
	}
	_, err = q.Write(make([]byte, 60))
	wantLimited(err, "quota")
	// A rate slows a stream down, and is over neither for those who wait nor for
	// those who have a deadline.
	limited(api.Limit{ByteRate: 1000})
	slow, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	start := time.Now()
	if _, err := slow.Write(make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("1,500 bytes at 1,000 a second took %s", took)
	}
	_ = slow.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := slow.Write(make([]byte, 5000)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("over a deadline: %v", err)
	}
	s.sent(c)
	var counted uint64
	for _, f := range s.flows() {
		if f.Reason == "limited" && f.Limit != "" {
			counted++
		}
	}
	if counted == 0 {
		t.Error("limits are not reported")
	}
}

func TestQuota_survivesARestart(t *testing.T) {
	l := echo(t)
	term := loopback
	term.Limit = &api.Limit{Quota: 100, Per: "month"}
	s := newSite(t, term)
	dir := t.TempDir()
	for i := range 2 {
		c := s.open(dir, nil)
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Write(make([]byte, 70))
		if _, refused := sdk.AsRefusal(err); refused != (i == 1) {
			t.Errorf("run %d: %v", i, err)
		}
		c.Close()
	}
}

func TestListener_refusesWhomNoTermLetsIn(t *testing.T) {
	s := newSite(t, allowNet("in", api.ToDevice, "127.0.0.2/32", "tcp"))
	c := s.open(t.TempDir(), nil)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := c.Listener(raw)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	from := func(addr string) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
		conn, err := d.Dial("tcp", raw.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		return roundTrip(conn)
	}
	if err := from("127.0.0.2"); err != nil {
		t.Errorf("who is let in: %v", err)
	}
	if from("127.0.0.3") == nil {
		t.Error("a stranger was served")
	}
	l.Close()
	<-done
	s.sent(c)
	for _, f := range s.flows() {
		if f.Remote.Addr() == netip.MustParseAddr("127.0.0.3") && f.Verdict == flow.Refused && f.Direction == flow.ToDevice {
			return
		}
	}
	t.Errorf("the stranger was not reported: %+v", s.flows())
}

func TestPacketConn_coap(t *testing.T) {
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	term := allowNet("coap", api.FromDevice, "127.0.0.1/32", "udp")
	term.Inside = &api.Inside{Proto: "coap", Paths: []string{"/temp"}, Methods: []string{"GET"}}
	s := newSite(t, term)
	c := s.open(t.TempDir(), nil)
	raw, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc := c.CoAPConn(raw)
	defer pc.Close()
	coap := func(code byte, path string) []byte { // RFC 7252 section 3: non-confirmable, no token, one Uri-Path
		return append([]byte{0x50, code, 0, 1, 0xb0 | byte(len(path))}, path...)
	}
	if _, err := pc.WriteTo(coap(1, "temp"), peer.LocalAddr()); err != nil {
		t.Fatalf("what is allowed: %v", err)
	}
	for name, b := range map[string][]byte{"another path": coap(1, "lock"), "another method": coap(3, "temp"), "garbage": {0xff}} {
		if _, err := pc.WriteTo(b, peer.LocalAddr()); err == nil {
			t.Errorf("%s was sent", name)
		} else if _, ok := sdk.AsRefusal(err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	buf := make([]byte, 100)
	_ = peer.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, from, err := peer.ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], coap(1, "temp")) {
		t.Fatalf("the peer got %x, %v", buf[:n], err)
	}
	// The answer comes back; a stranger's datagram does not.
	stranger, err := net.Dial("udp4", raw.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write([]byte{0x50, 1, 0, 9}); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.WriteTo([]byte{0x50, 0x45, 0, 1}, from); err != nil {
		t.Fatal(err)
	}
	_ = pc.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, addr, err := pc.ReadFrom(buf)
	if err != nil || addr.String() != peer.LocalAddr().String() || n != 4 {
		t.Errorf("read %d bytes from %v, %v", n, addr, err)
	}
}

func TestClient_usedByManyAtOnce(t *testing.T) {
	l := echo(t)
	s := newSite(t, loopback)
	c := s.open(t.TempDir(), nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
				if err != nil {
					continue // refused while the policy is the other one
				}
				_ = roundTrip(conn)
				conn.Close()
			}
		})
	}
	for i := range 10 {
		if i%2 == 0 {
			s.terms()
		} else {
			s.terms(loopback)
		}
		c.Status()
		_, _ = c.Explain(t.Context(), sdk.Question{To: "tcp://" + l.Addr().String()})
	}
	all.Wait()
	s.inForce(c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := c.Status().Flows; n != 0 {
		t.Errorf("%d flows are open after Close", n)
	}
	if _, err := c.Dialer().DialContext(context.Background(), "tcp", l.Addr().String()); err == nil {
		t.Error("a closed client dials")
	}
}
