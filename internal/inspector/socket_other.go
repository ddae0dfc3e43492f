//go:build !linux

package inspector

import (
	"context"
	"net"
	"net/netip"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/netns"
)

func unavailable() error {
	return &ringwall.Error{Code: ringwall.Unavailable, Text: "flows are inspected on Linux only"}
}

func listenTCP(context.Context, *netns.NS, uint16, bool) (*net.TCPListener, error) {
	return nil, unavailable()
}

func listenUDP(context.Context, *netns.NS, uint16, bool) (*net.UDPConn, error) {
	return nil, unavailable()
}

func dial(context.Context, *netns.NS, string, netip.AddrPort, netip.AddrPort, uint32) (net.Conn, error) {
	return nil, unavailable()
}

func answerFrom(context.Context, *netns.NS, netip.AddrPort, netip.AddrPort) (*net.UDPConn, error) {
	return nil, unavailable()
}

func answerOnce(context.Context, *netns.NS, netip.AddrPort, netip.AddrPort, []byte) error {
	return unavailable()
}

func originalDst([]byte) (netip.AddrPort, bool) { return netip.AddrPort{}, false }
func readable(*net.TCPConn) error               { return nil }
func maxFiles() int                             { return 1024 }
func noSuchFamily(error) bool                   { return false }
func own(*netns.NS) map[netip.Addr]bool         { return map[netip.Addr]bool{} }
