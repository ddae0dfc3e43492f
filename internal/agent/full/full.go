// Package full has the parts of the gateway that are not in the core: what they
// stand on weighs more than the smallest gateways can hold. The program ringwall
// has them, and ringwall-agent when it is built with "-tags full".
package full

import (
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/tunnel"
)

// Parts returns all parts.
func Parts() agent.Parts {
	return agent.Parts{Tunnels: tunnels}
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

type spoke struct {
	*tunnel.Spoke
	public []byte
}

func (s spoke) PublicKey() []byte { return s.public }
