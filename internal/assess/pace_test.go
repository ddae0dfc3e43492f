package assess

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringwall/ringwall"
)

// TestPace_neverMoreInAnySecond lets eight goroutines take as fast as they may
// and looks at every window of one second.
func TestPace_neverMoreInAnySecond(t *testing.T) {
	for _, rate := range []int{1, 3, 10, 250, 2000} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPace(rate)
			var mu sync.Mutex
			var at []time.Time
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for p.Take(ctx, 1) == nil {
						mu.Lock()
						at = append(at, time.Now())
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			most, from := 0, 0
			for i := range at {
				for at[i].Sub(at[from]) >= time.Second {
					from++
				}
				most = max(most, i-from+1)
			}
			if most > rate {
				t.Errorf("rate %d: %d in one second", rate, most)
			}
			if len(at) < 3*rate {
				t.Errorf("rate %d: only %d in five seconds", rate, len(at))
			}
		})
	}
}

func TestPace_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(1)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		if err := p.Take(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("taking 100 at one a second: %v", err)
		}
	})
	var none *Pace
	if err := none.Take(t.Context(), 1); err != nil {
		t.Errorf("no pace: %v", err)
	}
}

// endless answers without end, and counts what is open.
type endless struct {
	mu   sync.Mutex
	open int
	most int
}

func (e *endless) DialContext(context.Context, string, string) (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open++
	e.most = max(e.most, e.open)
	return &endlessConn{e: e}, nil
}
func (e *endless) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errors.ErrUnsupported
}

type endlessConn struct {
	net.Conn
	e *endless
}

func (c *endlessConn) Read(b []byte) (int, error) { return len(b), nil }
func (c *endlessConn) Close() error {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	c.e.open--
	return nil
}

func TestLimited_bounds(t *testing.T) {
	dev := netip.MustParseAddr("10.0.0.1")
	e := &endless{}
	n := newLimited(e, nil, dev)
	for _, bad := range []string{"10.0.0.2:80", "[::1]:80", "localhost:80", "10.0.0.1"} {
		if _, err := n.DialContext(t.Context(), "tcp", bad); err == nil {
			t.Errorf("%q is dialled in the assessment of %v", bad, dev)
		}
	}
	if _, err := n.DialContext(t.Context(), "tcp", "10.0.0.9:80"); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("another host: %v, want forbidden", err)
	}
	c, err := n.DialContext(t.Context(), "tcp", "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if read, err := io.CopyBuffer(io.Discard, c, make([]byte, 1<<20)); err == nil || read > maxRead+1<<20 {
		t.Errorf("%d bytes were read of what never ends: %v", read, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	// As many as may be open, and one more waits until one is closed.
	var open []net.Conn
	for range maxOpen {
		c, err := n.DialContext(t.Context(), "tcp", "10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := n.DialContext(ctx, "tcp", "10.0.0.1:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more than %d are open: %v", maxOpen, err)
	}
	for _, c := range open {
		_ = c.Close()
	}
	if e.most != maxOpen || e.open != 0 {
		t.Errorf("%d were open at once, %d are left", e.most, e.open)
	}
}

// rawEndless has raw sockets.
type rawEndless struct{ endless }

func (*rawEndless) Do(f func() error) error { return f() }

func TestLimited_rawSocketsOnlyAtAKnownRate(t *testing.T) {
	n := newLimited(&rawEndless{}, NewPace(100), netip.MustParseAddr("10.0.0.1"))
	for _, x := range []struct {
		name string
		def  Definition
		rate int
		want bool
	}{
		{"nobody set a rate", Definition{}, 0, true},
		{"a rate is set", Definition{}, 100, false},
		{"it pays the pace", Definition{Paced: true}, 100, true},
		{"it states a lower rate", Definition{Rate: 50}, 100, true},
		{"it states a higher rate", Definition{Rate: 500}, 100, false},
	} {
		got := n.forProbe(x.def, x.rate)
		if _, raw := got.(RawNetwork); raw != x.want {
			t.Errorf("%s: raw sockets %v, want %v", x.name, raw, x.want)
		}
		if _, paced := got.(Paced); !paced {
			t.Errorf("%s: no pace to pay", x.name)
		}
	}
}
