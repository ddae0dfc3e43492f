package agent

import (
	"context"
	"net"
	"net/netip"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// tunnelKey is the file with the private key of the gateway's end of tunnels.
const tunnelKey = "tunnel.key"

// openTunnels opens the gateway's end of tunnels, in a program that has that part.
func (a *Agent) openTunnels() {
	if a.cfg.Parts.Tunnels == nil {
		return
	}
	t, err := a.cfg.Parts.Tunnels(TunnelConfig{
		Gateway: a.id.Gateway, KeyFile: a.cfg.path(tunnelKey), Dial: a.dialDevice, Now: a.cfg.Now, Log: a.log,
		Report: func(r api.TunnelReport) {
			a.log.Info("tunnel", "tunnel", r.Tunnel, "state", r.State, "reason", r.Reason)
			a.books.note(api.RecordTunnel, r)
		},
	})
	if err != nil {
		a.log.Error("tunnels cannot be opened", "err", err)
		return
	}
	a.tunnels = t
}

// keepTunnels makes those open that the document in force lists. It does so in a
// goroutine of its own: the name of the platform may have to be looked up.
func (a *Agent) keepTunnels(ctx context.Context, ready func()) error {
	ready()
	for {
		if v := a.view.Load(); v != nil {
			a.tunnels.Set(v.desired.Tunnels)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
		}
	}
}

// tunnelPublic is what the platform must know to let this gateway come in.
func (a *Agent) tunnelPublic() []byte {
	if a.tunnels == nil {
		return nil
	}
	return a.tunnels.PublicKey()
}

// dialDevice connects to a port of a device for a tunnel. A device that is
// quarantined is reached, since this is how it is repaired; one that is cut off
// is not.
func (a *Agent) dialDevice(ctx context.Context, id ringwall.DeviceID, port uint16) (net.Conn, error) {
	v := a.view.Load()
	if v == nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "no document is in force")
	}
	d, ok := v.device[id]
	if !ok || !d.Binding.IP.IsValid() {
		return nil, ringwall.Errorf(ringwall.NotFound, "the device is not behind this gateway")
	}
	if v.inForce[id] >= ringwall.Cutoff {
		return nil, ringwall.Errorf(ringwall.Forbidden, "the device is cut off")
	}
	var dial net.Dialer
	c, err := dial.DialContext(ctx, "tcp", netip.AddrPortFrom(d.Binding.IP, port).String())
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "port %s of the device does not answer: %w", strconv.Itoa(int(port)), err)
	}
	return c, nil
}
