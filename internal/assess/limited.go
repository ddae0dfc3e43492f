package assess

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/ringwall/ringwall"
)

// Bounds of what one device may cost us, whatever it sends.
const (
	defaultRate = 2000    // connections and datagrams a second to one device
	maxOpen     = 512     // connections open at once to one device
	maxRead     = 1 << 28 // bytes read from one device in one assessment
)

// limited is the Network that probes of one device get: it keeps to a pace,
// dials no other address than those it is for, holds few connections open, and
// ends what never ends.
type limited struct {
	to    Network
	pace  *Pace
	open  chan struct{}
	read  *atomic.Int64
	check func(address string) error
}

func newLimited(to Network, pace *Pace, allowed ...netip.Addr) *limited {
	return &limited{to: to, pace: pace, open: make(chan struct{}, maxOpen), read: new(atomic.Int64), check: only(allowed)}
}

// only refuses addresses that nobody consented to: a device that names another
// host in an answer does not make us speak to that one.
func only(allowed []netip.Addr) func(string) error {
	return func(address string) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "a probe dials %.60q, which is no address with a port", address)
		}
		for _, ok := range allowed {
			if ok.Unmap().WithZone("") == a.Addr().Unmap().WithZone("") {
				return nil
			}
		}
		return ringwall.Errorf(ringwall.Forbidden, "a probe wants to speak to %v, which is not the device it looks at", a.Addr())
	}
}

// Pace is what a probe pays that sends by sockets of its own.
func (l *limited) Pace() *Pace { return l.pace }

// Paced is a Network whose pace a probe pays itself for what it sends by
// sockets of its own (RawNetwork).
type Paced interface{ Pace() *Pace }

// DialContext dials when the pace allows it.
func (l *limited) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := l.check(address); err != nil {
		return nil, err
	}
	if err := l.pace.Take(ctx, 1); err != nil {
		return nil, err
	}
	select {
	case l.open <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := l.to.DialContext(ctx, network, address)
	if err != nil {
		<-l.open
		return nil, err
	}
	return &limitedConn{Conn: c, of: l, datagrams: len(network) >= 3 && network[:3] == "udp"}, nil
}

// ListenPacket listens; what is sent from there is paced too. Where it goes is
// left to the probe: discovery protocols speak to groups.
func (l *limited) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := l.to.ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return limitedPackets{c, l}, nil
}

// limitedRaw is a limited Network over one that has raw sockets.
type limitedRaw struct {
	*limited
	raw RawNetwork
}

// Do runs f in the network, for sockets of its own.
func (l limitedRaw) Do(f func() error) error { return l.raw.Do(f) }

// forProbe returns the network as a probe gets it. Raw sockets are out of our
// hands: who uses them has to pay the pace itself, or to have stated a rate
// that is within the one allowed.
func (l *limited) forProbe(def Definition, rate int) Network {
	raw, ok := l.to.(RawNetwork)
	if ok && (def.Paced || rate == 0 || def.Rate > 0 && def.Rate <= rate) {
		return limitedRaw{l, raw}
	}
	return l
}

// limitedConn counts what is read, and gives its place back once.
type limitedConn struct {
	net.Conn
	of        *limited
	datagrams bool
	closed    sync.Once
}

// NetConn returns the connection beneath, as that of crypto/tls does.
func (c *limitedConn) NetConn() net.Conn { return c.Conn }

func (c *limitedConn) Read(b []byte) (int, error) {
	if c.of.read.Load() > maxRead {
		return 0, ringwall.Errorf(ringwall.Unavailable, "the device has sent more than %d MiB: no more is read from it", maxRead>>20)
	}
	n, err := c.Conn.Read(b)
	c.of.read.Add(int64(n))
	return n, err
}

func (c *limitedConn) Write(b []byte) (int, error) {
	if c.datagrams {
		c.of.pace.take(nil, 1)
	}
	return c.Conn.Write(b)
}

func (c *limitedConn) Close() error {
	err := net.ErrClosed
	c.closed.Do(func() {
		err = c.Conn.Close()
		<-c.of.open
	})
	return err
}

type limitedPackets struct {
	net.PacketConn
	of *limited
}

func (c limitedPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	c.of.pace.take(nil, 1)
	return c.PacketConn.WriteTo(b, to)
}
