package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ExposeUDP is Expose for UDP: each peer in the range has a socket of its own on
// the host, for as long as something passes.
func (r *Range) ExposeUDP(ctx context.Context, addr, to string) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("exposing %q: %w", addr, err)
	}
	if a.Addr() != addrOf(Platform) {
		return fmt.Errorf("exposing %q: the platform of the range is at %s", addr, addrOf(Platform))
	}
	out, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return fmt.Errorf("exposing %q: %w", to, err)
	}
	var l *net.UDPConn
	if err := r.NS(Platform).Do(func() (err error) {
		l, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a))
		return err
	}); err != nil {
		return fmt.Errorf("exposing %q: %w", to, err)
	}
	r.wg.Go(func() { r.relayUDP(l, out) })
	return nil
}

// maxRelayed bounds the peers of one exposed port, idleRelay how long one that
// is silent is remembered.
const (
	maxRelayed = 64
	idleRelay  = time.Minute
)

func (r *Range) relayUDP(l *net.UDPConn, to *net.UDPAddr) {
	stop := context.AfterFunc(r.ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var mu sync.Mutex
	peers := map[netip.AddrPort]*net.UDPConn{}
	var wg sync.WaitGroup
	defer wg.Wait()
	b := make([]byte, 64<<10)
	for {
		n, from, err := l.ReadFromUDPAddrPort(b)
		if err != nil {
			mu.Lock()
			for _, c := range peers {
				c.Close()
			}
			mu.Unlock()
			return
		}
		mu.Lock()
		c := peers[from]
		if c == nil && len(peers) < maxRelayed {
			if c, err = net.DialUDP("udp4", nil, to); err == nil {
				peers[from] = c
				wg.Go(func() {
					back(l, c, from)
					mu.Lock()
					delete(peers, from)
					mu.Unlock()
				})
			}
		}
		mu.Unlock()
		if c != nil && err == nil {
			_ = c.SetReadDeadline(time.Now().Add(idleRelay))
			_, _ = c.Write(b[:n]) // datagrams may be lost
		}
	}
}

// back passes answers to one peer until nothing has passed for a while.
func back(l, c *net.UDPConn, to netip.AddrPort) {
	defer c.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		_, _ = l.WriteToUDPAddrPort(b[:n], to)
	}
}
