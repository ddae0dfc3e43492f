// Package full has the parts of the gateway that are not in the core: what they
// stand on weighs more than the smallest gateways can hold. The program ringwall
// has them, and ringwall-agent when it is built with "-tags full".
package full

import (
	"context"

	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/fastpath"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/tunnel"
)

// Parts returns all parts.
func Parts() agent.Parts {
	return agent.Parts{Tunnels: tunnels, Fast: fast}
}

func tunnels(c agent.TunnelConfig) (agent.Tunnels, error) {
	key, err := tunnel.LoadKey(c.KeyFile)
	if err != nil {
		return nil, err
	}
	return spoke{
		Spoke:  tunnel.NewSpoke(tunnel.SpokeConfig{Gateway: c.Gateway, Key: key, Dial: c.Dial, Report: c.Report, Now: c.Now, Log: c.Log}),
		public: key.Public(),
	}, nil
}

func fast(c agent.FastConfig) (agent.FastPath, error) {
	p, err := fastpath.Open(fastpath.Config{Bridge: c.Bridge, LAN: c.LAN, Uplink: c.Uplink, Log: c.Log})
	if err != nil {
		return nil, err
	}
	return path{p}, nil
}

type path struct{ *fastpath.Path }

// Tier is what the fast path adds to the gateway's tier: that it is on, or in
// brackets why not.
func (p path) Tier() string { return tierOf(p.Path.Tier()) }

func tierOf(on bool, why string) string {
	if on {
		return "fastpath"
	}
	return "(" + why + ")"
}

func (p path) Run(ctx context.Context, f *nft.Firewall, ready func()) error {
	return p.Path.Run(ctx, f, ready)
}

type spoke struct {
	*tunnel.Spoke
	public []byte
}

func (s spoke) PublicKey() []byte { return s.public }
