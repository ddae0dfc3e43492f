package agent

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
)

// Parts are what the full program has and the core does without, so that it
// stays small: package internal/agent/full fills them in. A nil part is one that
// this program does not have.
type Parts struct {
	Tunnels func(TunnelConfig) (Tunnels, error)
	// Fast takes flows that are allowed past the tables. An error with code
	// Unavailable says that this machine cannot: the gateway goes on without.
	Fast func(FastConfig) (FastPath, error)
}

// describe names the parts for "version".
func (p Parts) describe() string {
	out := ""
	if p.Tunnels != nil {
		out += " +tunnel"
	}
	if p.Fast != nil {
		out += " +fastpath"
	}
	return out
}

// FastConfig says where a gateway stands.
type FastConfig struct {
	Bridge string
	LAN    []string
	Uplink string
	Log    *slog.Logger
}

// FastPath is the faster way for packets.
type FastPath interface {
	nft.Fast
	// Run keeps it until ctx ends.
	Run(ctx context.Context, f *nft.Firewall, ready func()) error
	Tier() string
	// Astray names the interfaces from which others have taken it since the last call.
	Astray() []string
	Close() error
}

// openFast opens the faster way where this program and machine have one.
func (a *Agent) openFast() (nft.Fast, error) {
	if a.cfg.Parts.Fast == nil || a.cfg.Host || a.cfg.Uplink == "" {
		return nil, nil
	}
	f, err := a.cfg.Parts.Fast(FastConfig{Bridge: a.cfg.Bridge, LAN: a.cfg.LAN, Uplink: a.cfg.Uplink, Log: a.log})
	if ringwall.CodeOf(err) == ringwall.Unavailable {
		a.log.Info("there is no fast path on this machine", "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a.fast = f
	return f, nil
}

// runFast keeps the fast path. Should it fail, the packet filter goes on alone.
func (a *Agent) runFast(ctx context.Context, ready func()) error {
	if err := a.fast.Run(ctx, a.firewall, ready); err != nil && ctx.Err() == nil {
		a.log.Error("the fast path has ended; the packet filter goes on alone", "err", err)
		ready()
		<-ctx.Done()
	}
	return nil
}

// tier names what the kernel can do and does.
func (a *Agent) tier() string {
	if a.fast != nil {
		return a.fence.Tier() + "+" + a.fast.Tier()
	}
	return a.fence.Tier()
}

// TunnelConfig is what the gateway's end of tunnels stands on.
type TunnelConfig struct {
	Gateway ringwall.GatewayID
	KeyFile string
	// Dial connects to a port of a device, or says why not.
	Dial   func(ctx context.Context, device ringwall.DeviceID, port uint16) (net.Conn, error)
	Report func(api.TunnelReport) // must not block
	Now    func() time.Time
	Log    *slog.Logger
}

// Tunnels is the gateway's end of tunnels.
type Tunnels interface {
	// Set makes those open that the document in force lists, and no others.
	Set([]api.Tunnel)
	PublicKey() []byte
	Close() error
}
