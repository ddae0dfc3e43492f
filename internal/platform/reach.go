package platform

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/lab"
)

// LateNetwork is a network that is there only later: the range's, once it is
// up. It may be used from several goroutines.
type LateNetwork struct {
	n atomic.Pointer[assess.Network]
}

// Set puts a network in place.
func (l *LateNetwork) Set(n assess.Network) { l.n.Store(&n) }

func (l *LateNetwork) get() (assess.Network, error) {
	if n := l.n.Load(); n != nil {
		return *n, nil
	}
	return nil, ringwall.Errorf(ringwall.Unavailable, "the range is not up")
}

// DialContext connects from inside the network.
func (l *LateNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n, err := l.get()
	if err != nil {
		return nil, err
	}
	return n.DialContext(ctx, network, address)
}

// ListenPacket announces on a datagram address inside the network.
func (l *LateNetwork) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	n, err := l.get()
	if err != nil {
		return nil, err
	}
	return n.ListenPacket(ctx, network, address)
}

// DemoState tells what the demo runs; nil when none does.
func (p *Platform) DemoState() *api.DemoState {
	if d := p.demo.Load(); d != nil {
		return d.state()
	}
	return nil
}

// URL returns where a browser on this machine finds the console.
func (p *Platform) URL() string {
	scheme := "https"
	if p.cfg.Plain || loopback(p.Addr()) {
		scheme = "http"
	}
	return scheme + "://" + p.Addr().String() + "/"
}

// Range returns the range of the demo, for those who drive it; nil when none
// is up.
func (p *Platform) Range() *lab.Range {
	if d := p.demo.Load(); d != nil {
		return d.live
	}
	return nil
}
