package agent

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Parts are what the full program has and the core does without, so that it
// stays small: package internal/agent/full fills them in. A nil part is one that
// this program does not have.
type Parts struct {
	Tunnels func(TunnelConfig) (Tunnels, error)
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
