// Package discover finds devices on networks: by asking them to show themselves
// (WS-Discovery, multicast DNS and UPnP's search, to the group and to every
// address), by a connect scan over a few ports, and by reading the table of
// neighbours of the network that it works in. What several ways tell of one
// address is one target.
//
// It never looks outside the prefixes it is given, and refuses prefixes with
// more than MaxHosts addresses. Nothing it hears is trusted for more than a
// name: what a device is, its probes find out. Every Finder ends with its
// context and leaves no goroutine behind.
package discover

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/onvif"
)

// MaxHosts bounds one prefix: a /20 of IPv4.
const MaxHosts = 4096

// Hosts returns the addresses of a prefix, without the network and broadcast
// addresses of an IPv4 subnet.
func Hosts(p netip.Prefix) ([]netip.Addr, error) {
	p = p.Masked()
	bits := p.Addr().BitLen() - p.Bits()
	if bits > 12 {
		return nil, ringwall.Errorf(ringwall.Invalid, "%v has more than %d addresses", p, MaxHosts)
	}
	var out []netip.Addr
	for a, n := p.Addr(), 0; n < 1<<bits; a, n = a.Next(), n+1 {
		if a.Is4() && bits >= 2 && (n == 0 || n == 1<<bits-1) {
			continue
		}
		out = append(out, a)
	}
	return out, nil
}

func allHosts(in []netip.Prefix) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, p := range in {
		hs, err := Hosts(p)
		if err != nil {
			return nil, err
		}
		out = append(out, hs...)
	}
	return out, nil
}

// Sweep tries a few TCP ports of every address; a refusal is a sign of life as
// good as an open port.
type Sweep struct {
	Ports   []uint16      // nil = 80, 554, 23, 443
	Workers int           // 0 = 256
	Timeout time.Duration // 0 = 500 ms
}

func (Sweep) String() string { return "connect scan" }

// Find tries the addresses.
func (s Sweep) Find(ctx context.Context, n assess.Network, in []netip.Prefix, seen func(assess.Sighting)) error {
	hosts, err := allHosts(in)
	if err != nil {
		return err
	}
	if s.Ports == nil {
		s.Ports = []uint16{80, 554, 23, 443}
	}
	if s.Workers == 0 {
		s.Workers = 256
	}
	if s.Timeout == 0 {
		s.Timeout = 500 * time.Millisecond
	}
	next := make(chan netip.Addr)
	var mu sync.Mutex // seen is told by one at a time
	var wg sync.WaitGroup
	for range min(s.Workers, len(hosts)) {
		wg.Go(func() {
			for a := range next {
				if s.alive(ctx, n, a) {
					mu.Lock()
					seen(assess.Sighting{Addr: a, How: s.String()})
					mu.Unlock()
				}
			}
		})
	}
	for _, a := range hosts {
		select {
		case next <- a:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return nil
}

func (s Sweep) alive(ctx context.Context, n assess.Network, a netip.Addr) bool {
	for _, p := range s.Ports {
		dialCtx, cancel := context.WithTimeout(ctx, s.Timeout)
		c, err := n.DialContext(dialCtx, "tcp", netip.AddrPortFrom(a, p).String())
		cancel()
		switch {
		case err == nil:
			_ = c.Close() // that it opened is all we wanted to know
			return true
		case errors.Is(err, syscall.ECONNREFUSED):
			return true
		case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), ctx.Err() != nil:
			return false
		}
	}
	return false
}

// asker opens a socket for questions to a multicast group and to each IPv4
// address; nil when there are none. It is bound to the address that the hosts are
// reached from, since that decides by which interface a group is asked.
func asker(ctx context.Context, n assess.Network, hosts []netip.Addr, group netip.AddrPort, port uint16) (net.PacketConn, []netip.AddrPort, error) {
	to := []netip.AddrPort{group}
	for _, a := range hosts {
		if a.Is4() {
			to = append(to, netip.AddrPortFrom(a, port))
		}
	}
	if len(to) == 1 {
		return nil, nil, nil
	}
	from := "0.0.0.0:0"
	if c, err := n.DialContext(ctx, "udp4", to[1].String()); err == nil { // sends nothing
		if ua, ok := c.LocalAddr().(*net.UDPAddr); ok {
			from = net.JoinHostPort(ua.IP.String(), "0")
		}
		_ = c.Close()
	}
	conn, err := n.ListenPacket(ctx, "udp4", from)
	if err != nil {
		return nil, nil, ringwall.Errorf(ringwall.Unavailable, "opening a socket for discovery: %w", err)
	}
	return conn, to, nil
}

// inside returns whether an address is one of those that may be looked at.
func inside(in []netip.Prefix) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(in, func(p netip.Prefix) bool { return p.Contains(a) })
	}
}

// WSDiscovery asks ONVIF cameras to show themselves.
type WSDiscovery struct {
	Wait time.Duration // 0 = 1.5 s; cameras delay their answers by up to 0.5 s
}

func (WSDiscovery) String() string { return "WS-Discovery" }

// Find asks the multicast group and each address.
func (w WSDiscovery) Find(ctx context.Context, n assess.Network, in []netip.Prefix, seen func(assess.Sighting)) error {
	hosts, err := allHosts(in)
	if err != nil {
		return err
	}
	conn, to, err := asker(ctx, n, hosts, onvif.Multicast, onvif.DiscoveryPort)
	if err != nil || conn == nil {
		return err
	}
	defer conn.Close()
	if w.Wait == 0 {
		w.Wait = 1500 * time.Millisecond
	}
	ms, err := onvif.Discover(ctx, conn, to, w.Wait)
	for _, m := range ms {
		vendor, model := m.Scope("name"), m.Scope("hardware")
		vendor = strings.TrimSpace(strings.TrimSuffix(vendor, model))
		seen(assess.Sighting{Addr: m.From.Addr(), How: w.String(), Vendor: vendor, Model: model, Type: "camera"})
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
