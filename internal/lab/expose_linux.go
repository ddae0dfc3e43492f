package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Expose makes a TCP address of the host's, such as the platform's
// "127.0.0.1:4222", reachable in the range at addr, an address of the actor
// Platform such as "198.51.100.10:4222". What passes is not looked at. It
// lasts until the range ends.
func (r *Range) Expose(ctx context.Context, addr, to string) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("exposing %q: %w", addr, err)
	}
	if a.Addr() != addrOf(Platform) {
		return fmt.Errorf("exposing %q: the platform of the range is at %s", addr, addrOf(Platform))
	}
	l, err := r.NS(Platform).Listen(ctx, "tcp4", addr)
	if err != nil {
		return fmt.Errorf("exposing %q: %w", to, err)
	}
	r.wg.Go(func() { r.relay(l, to) })
	return nil
}

// relay passes connections until the range ends.
func (r *Range) relay(l net.Listener, to string) {
	stop := context.AfterFunc(r.ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	for {
		in, err := l.Accept()
		if err != nil {
			if r.ctx.Err() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: others will end
			continue
		}
		r.wg.Go(func() {
			var d net.Dialer
			out, err := d.DialContext(r.ctx, "tcp", to)
			if err != nil {
				in.Close()
				return
			}
			pipe(r.ctx, in.(*net.TCPConn), out.(*net.TCPConn))
		})
	}
}

// pipe copies both ways until both are done or ctx ends, and closes both.
func pipe(ctx context.Context, a, b *net.TCPConn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var wg sync.WaitGroup
	for _, c := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		wg.Go(func() {
			_, err := io.Copy(c[0], c[1])
			if err != nil {
				// One side broke: the other must not wait for ever.
				a.Close()
				b.Close()
				return
			}
			_ = c[0].CloseWrite() // gone already is as good
		})
	}
	wg.Wait()
	a.Close()
	b.Close()
}
