package sdk

import (
	"net"
	"net/netip"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Listener returns l with the policy before it: who may not open a connection
// is refused with a reset, and Accept returns the next who may. TLS and servers
// go above it.
func (c *Client) Listener(l net.Listener) net.Listener { return &listener{Listener: l, c: c} }

type listener struct {
	net.Listener
	c *Client
}

// Accept waits for the next connection that may be.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		fl := policy.Flow{Direction: api.ToDevice, Proto: "tcp", Local: addrPort(raw.LocalAddr()), Remote: addrPort(raw.RemoteAddr())}
		one, err := l.c.open(fl, func() { hard(raw) })
		if err != nil {
			hard(raw)
			continue
		}
		return newConn(raw, one), nil
	}
}

// addrPort returns an address as package policy has it; the zero one for what is
// no IP address.
func addrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
