//go:build linux

// Package nfttest makes a house for tests: a camera behind a gateway with the real
// packet filter, and a world with addresses. It needs root; where that is missing,
// tests are skipped visibly (package netnstest). It does not know package testing's
// main: import it from tests only.
package nfttest

import (
	"net"
	"net/netip"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/nft"
)

// Addresses of a house. The resolver is of the world.
const (
	Resolver = "198.51.100.53"
	Camera   = "10.77.0.10"
	gateway  = "10.77.0.1"
	outside  = "198.51.100.1"
	mac      = "02:00:00:00:00:01"
)

// House is a camera (eth0), a gateway (bridge br0 with port p1, uplink wan0) and the
// world (inet0).
type House struct {
	Gateway, Camera, World *netns.NS
	Firewall               *nft.Firewall // closed: nothing was applied
	// Desired names the camera, dev_cam with mark 7, without any terms.
	Desired api.Desired
}

// New makes a house whose world has these addresses besides the resolver's. Of c,
// what is about the place is set here. Behind a masquerade the world knows no way
// back to the camera's own address.
func New(t testing.TB, c nft.Config, world ...string) House {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := House{Gateway: netnstest.New(t, "gw"), Camera: netnstest.New(t, "cam"), World: netnstest.New(t, "net")}
	hw, err := net.ParseMAC(mac)
	must(err)
	must(netns.Cable(h.Gateway, "p1", nil, h.Camera, "eth0", hw))
	must(netns.Cable(h.Gateway, "wan0", nil, h.World, "inet0", nil))
	must(nft.Prepare(t.Context(), h.Gateway, "br0", []string{"p1"}))
	must(h.Gateway.Addr("br0", gateway+"/24"))
	must(h.Gateway.Addr("wan0", outside+"/24"))
	must(h.Camera.Addr("eth0", Camera+"/24"))
	must(h.Camera.Route("default", gateway))
	for _, a := range append([]string{Resolver}, world...) {
		must(h.World.Addr("inet0", a+"/24"))
	}
	if !c.Masquerade {
		must(h.World.Route("10.77.0.0/24", outside))
	}
	c.NS, c.Bridge, c.Uplink = h.Gateway, "br0", "wan0"
	h.Firewall, err = nft.Open(c)
	must(err)
	t.Cleanup(func() { h.Firewall.Close() })
	must(h.Firewall.Base(t.Context()))
	h.Desired = api.Desired{
		Version: 2, Generation: 1, Arrival: ringwall.Enforce, Resolver: netip.MustParseAddrPort(Resolver + ":53"),
		LocalNets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")},
		Devices: []api.DevicePolicy{{
			Device: "dev_cam", Mark: 7, Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{Port: "p1", MAC: mac, IP: netip.MustParseAddr(Camera)},
		}},
	}
	return h
}
