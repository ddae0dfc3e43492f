//go:build !linux

package nft

import (
	"context"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/policy"
)

// Firewall cannot be opened here: nftables is of Linux.
type Firewall struct{}

func unavailable() error {
	return &ringwall.Error{Code: ringwall.Unavailable, Text: "this system has no nftables", Hint: "run the gateway on Linux"}
}

// Open fails with code Unavailable.
func Open(Config) (*Firewall, error) { return nil, unavailable() }

// Prepare fails with code Unavailable.
func Prepare(context.Context, *netns.NS, string, []string) error { return unavailable() }

// PrepareIPv6 fails with code Unavailable.
func PrepareIPv6(context.Context, *netns.NS, string) error { return unavailable() }

func (*Firewall) Restore([]Consumption)                               {}
func (*Firewall) Roll(context.Context) error                          { return unavailable() }
func (*Firewall) Consumed(context.Context) ([]Consumption, error)     { return nil, unavailable() }
func (*Firewall) LiveToken(uint32) (uint32, bool)                     { return 0, false }
func (*Firewall) Steer(context.Context) error                         { return unavailable() }
func (*Firewall) Steered(context.Context) (bool, error)               { return false, unavailable() }
func (*Firewall) Close() error                                        { return nil }
func (*Firewall) Tier() string                                        { return "" }
func (*Firewall) Base(context.Context) error                          { return unavailable() }
func (*Firewall) Apply(context.Context, policy.Plan) (string, error)  { return "", unavailable() }
func (*Firewall) Hash(context.Context) (string, error)                { return "", unavailable() }
func (*Firewall) CutFlows(context.Context, uint32) (uint64, error)    { return 0, unavailable() }
func (*Firewall) BindAll(context.Context, []Binding) error            { return unavailable() }
func (*Firewall) Refusals(context.Context, func(Refusal)) error       { return unavailable() }
func (*Firewall) Counters(context.Context) (map[uint32]Counts, error) { return nil, unavailable() }
func (*Firewall) Restrict(context.Context, uint32, ringwall.Restriction) error {
	return unavailable()
}
func (*Firewall) Bind(context.Context, uint32, netip.Addr, string, []api.PortRange, time.Duration) error {
	return unavailable()
}
