package sdk

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

// PacketConn returns pc with the policy before it: each other end is a flow,
// which ends when nothing was sent for two minutes. WriteTo is refused with a
// *Refusal; what others send is dropped unless this end has opened the flow or a
// term lets them. Use it below DTLS, QUIC and the like. It owns pc.
//
// A name is resolved by Client.LookupAddr, which remembers for the flow whose
// address it is; net.ResolveUDPAddr would go round the policy.
func (c *Client) PacketConn(pc net.PacketConn) net.PacketConn { return newPacketConn(c, pc, nil) }

// CoAPConn is PacketConn for CoAP in clear (RFC 7252): each request is judged by
// host, path and method as well.
func (c *Client) CoAPConn(pc net.PacketConn) net.PacketConn { return newPacketConn(c, pc, seenCoAP) }

const (
	// flowIdle is how long a flow of datagrams lasts when nothing is sent; the
	// kernel's conntrack takes as long for one that was answered.
	flowIdle = 2 * time.Minute
	// maxPacketFlows bounds the other ends of one PacketConn.
	maxPacketFlows = 4096
)

type packetConn struct {
	net.PacketConn
	c    *Client
	seen func([]byte) (seen policy.Seen, request bool)

	mu   sync.Mutex
	to   map[netip.AddrPort]*packetFlow
	over bool
}

// packetFlow is the flow with one other end.
type packetFlow struct {
	*live
	last atomic.Int64 // nanoseconds since the client began
}

func newPacketConn(c *Client, pc net.PacketConn, seen func([]byte) (policy.Seen, bool)) *packetConn {
	return &packetConn{PacketConn: pc, c: c, seen: seen, to: map[netip.AddrPort]*packetFlow{}}
}

// seenCoAP reads what a datagram asks for.
func seenCoAP(b []byte) (policy.Seen, bool) {
	m, err := peek.ParseCoAP(b)
	if err != nil {
		return policy.Seen{Complete: true}, true // none that is understood
	}
	s := policy.Seen{Proto: "coap", Host: m.Host, Method: m.Method, Complete: true}
	if m.Proxied {
		return s, true // on behalf of whom, the path does not say: "" opens nothing
	}
	s.Path, _ = policy.CanonicalPath(m.Path)
	return s, m.Request()
}

// flow returns the flow with an other end, opening one in this direction.
func (p *packetConn) flow(addr netip.AddrPort, d api.Direction, seen *policy.Seen) (*packetFlow, error) {
	now := int64(time.Since(p.c.began))
	p.mu.Lock()
	f := p.to[addr]
	if f != nil && (f.cause.Load() != nil || now-f.last.Load() > int64(flowIdle)) {
		delete(p.to, addr)
		defer f.close()
		f = nil
	}
	if f == nil && len(p.to) >= maxPacketFlows {
		p.sweep(now)
	}
	full, over := len(p.to) >= maxPacketFlows, p.over
	p.mu.Unlock()
	switch {
	case f != nil:
		f.last.Store(now)
		return f, nil
	case over:
		return nil, net.ErrClosed
	}
	fl := policy.Flow{Direction: d, Proto: "udp", Local: addrPort(p.LocalAddr()), Remote: addr, Inside: seen}
	if name := p.c.names.of(addr.Addr()); name != "" && d == api.FromDevice {
		fl.Names = []string{name}
	}
	if full {
		return nil, p.c.refuseLimited(p.c.force.Load(), policy.Verdict{Reason: policy.ReasonLimited}, &fl, "flows")
	}
	l, err := p.c.open(fl, func() {})
	if err != nil {
		return nil, err
	}
	f = &packetFlow{live: l}
	f.last.Store(now)
	p.mu.Lock()
	other := p.to[addr]
	if other == nil && !p.over {
		p.to[addr] = f
	}
	over = p.over
	p.mu.Unlock()
	if other != nil || over {
		l.close()
		if over {
			return nil, net.ErrClosed
		}
		return other, nil
	}
	return f, nil
}

// sweep ends flows that have been idle. The caller holds p.mu; closing reports,
// so it is done by a flow's own turn.
func (p *packetConn) sweep(now int64) {
	for a, f := range p.to {
		if f.cause.Load() != nil || now-f.last.Load() > int64(flowIdle) {
			delete(p.to, a)
			f.close()
		}
	}
}

// WriteTo sends one datagram, if it may be.
func (p *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to := addrPort(addr)
	var seen *policy.Seen
	request := false
	if p.seen != nil {
		var s policy.Seen
		s, request = p.seen(b)
		seen = &s
	}
	f, err := p.flow(to, api.FromDevice, seen)
	if err != nil {
		return 0, err
	}
	if request { // of an answer, what was asked counts
		if err := f.admit(*seen); err != nil {
			return 0, err
		}
	}
	if err := f.spend(len(b)); err != nil {
		return 0, err
	}
	n, err := p.PacketConn.WriteTo(b, addr)
	f.sent(n)
	return n, f.err(err)
}

// ReadFrom returns the next datagram that may be.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := p.PacketConn.ReadFrom(b)
		if err != nil {
			return n, addr, err
		}
		var seen *policy.Seen
		request := false
		if p.seen != nil {
			var s policy.Seen
			s, request = p.seen(b[:n])
			seen = &s
		}
		f, err := p.flow(addrPort(addr), api.ToDevice, seen)
		if err != nil || request && f.opened() == api.ToDevice && f.admit(*seen) != nil || f.spend(n) != nil {
			continue
		}
		f.got(n)
		return n, addr, nil
	}
}

func (l *live) opened() api.Direction {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flow.Direction
}

// spend takes a datagram from the limits. Over a rate it is refused: nobody
// waits for datagrams.
func (l *live) spend(n int) error {
	if err := l.refused(); err != nil {
		return err
	}
	l.mu.Lock()
	meters, fl, f := l.meters, l.flow, l.force
	l.mu.Unlock()
	for _, m := range meters {
		if _, bound := m.take(n, l.c.cfg.Now(), true); bound != "" {
			return l.c.refuseLimited(f, policy.Verdict{Reason: policy.ReasonLimited, Term: m.term}, &fl, bound)
		}
	}
	return nil
}

// Close closes all flows and what is below.
func (p *packetConn) Close() error {
	err := p.PacketConn.Close()
	p.mu.Lock()
	all := p.to
	p.to, p.over = map[netip.AddrPort]*packetFlow{}, true
	p.mu.Unlock()
	for _, f := range all {
		f.close()
	}
	return err
}

// names remembers which name gave an address, for datagrams.
type names struct {
	mu sync.Mutex
	by map[netip.Addr]string
}

// maxNames bounds it; the oldest are not told from others, all go.
const maxNames = 4096

func (n *names) of(a netip.Addr) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.by[a]
}

func (n *names) put(a netip.Addr, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil || len(n.by) >= maxNames {
		n.by = map[netip.Addr]string{}
	}
	n.by[a] = name
}

// LookupAddr looks "host:port" up for datagrams, if that may be, and returns
// the addresses that the policy lets this client send to, the first of the
// answer first.
func (c *Client) LookupAddr(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	t, err := c.resolve(ctx, network, address)
	if err != nil {
		return nil, err
	}
	f := c.force.Load()
	var out []netip.AddrPort
	var refused *Refusal
	for _, a := range t.addrs {
		fl := policy.Flow{Direction: api.FromDevice, Proto: t.proto, Remote: netip.AddrPortFrom(a, t.port)}
		if t.name != "" {
			fl.Names = []string{t.name}
		}
		// Where only what stands inside decides, the datagram will be judged.
		if v := c.decide(f, &fl); !v.Pass && !v.Inspect {
			if r := c.refuse(f, v, &fl); refused == nil {
				refused = r
			}
			continue
		}
		if t.name != "" {
			c.names.put(a, t.name)
		}
		out = append(out, fl.Remote)
	}
	if len(out) == 0 {
		return nil, refused
	}
	return out, nil
}
