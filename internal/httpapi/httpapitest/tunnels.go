package httpapitest

import (
	"cmp"
	"context"
	"io"
	"net"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// TunnelSettings is of httpapi.Tunnels.
func (m *Mem) TunnelSettings(_ context.Context, a audit.Actor) (api.TunnelSettings, error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.TunnelSettings{}, err
	}
	return h.tunnelSettings, nil
}

// PutTunnelSettings is of httpapi.Tunnels.
func (m *Mem) PutTunnelSettings(_ context.Context, a audit.Actor, in api.TunnelSettings) (api.TunnelSettings, error) {
	h, err := m.enter(a, "policy.write", "")
	defer m.mu.Unlock()
	if err != nil {
		return in, err
	}
	h.tunnelSettings = in
	return in, nil
}

// AskTunnel is of httpapi.Tunnels.
func (m *Mem) AskTunnel(_ context.Context, a audit.Actor, id ringwall.DeviceID, ask api.TunnelAsk) (api.RemoteTunnel, error) {
	h, err := m.enter(a, "tunnel.ask", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	d, err := find(h.devices, "device", id)
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	t := api.RemoteTunnel{
		ID: ringwall.TunnelID(m.fresh(ringwall.PrefixTunnel)), Org: a.Org, Device: id, Gateway: d.Gateway, Port: ask.Port, Minutes: ask.Minutes,
		Reason: ask.Reason, State: api.TunnelAsked, Asked: m.now(), AskedBy: a.String(),
	}
	h.tunnels[t.ID] = t
	return t, nil
}

// Tunnels is of httpapi.Tunnels.
func (m *Mem) Tunnels(_ context.Context, a audit.Actor, f httpapi.TunnelFilter, p httpapi.Paging) (api.Page[api.RemoteTunnel], error) {
	h, err := m.enter(a, "device.read", string(f.Device))
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.RemoteTunnel]{}, err
	}
	if f.Device != "" {
		if _, err := find(h.devices, "device", f.Device); err != nil {
			return api.Page[api.RemoteTunnel]{}, err
		}
	}
	return page(slices.DeleteFunc(sorted(h.tunnels, func(x, y api.RemoteTunnel) int {
		return cmp.Or(y.Asked.Compare(x.Asked), cmp.Compare(y.ID, x.ID))
	}), func(t api.RemoteTunnel) bool {
		return f.Device != "" && t.Device != f.Device || f.State != "" && t.State != f.State
	}), p)
}

// Tunnel is of httpapi.Tunnels.
func (m *Mem) Tunnel(_ context.Context, a audit.Actor, id ringwall.TunnelID) (api.RemoteTunnel, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	return find(h.tunnels, "tunnel", id)
}

// DecideTunnel is of httpapi.Tunnels.
func (m *Mem) DecideTunnel(_ context.Context, a audit.Actor, id ringwall.TunnelID, do string) (api.RemoteTunnel, error) {
	h, err := m.enter(a, "tunnel.approve", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	t, err := find(h.tunnels, "tunnel", id)
	if err != nil {
		return t, err
	}
	next := map[string]string{"approve": api.TunnelApproved, "decline": api.TunnelDeclined, "close": api.TunnelClosed}[do]
	if next == "" {
		return t, ringwall.Errorf(ringwall.Invalid, "%q is no decision", do)
	}
	if do != "close" && t.State != api.TunnelAsked {
		return t, ringwall.Errorf(ringwall.Conflict, "the tunnel is %s already", t.State)
	}
	t.State = next
	if do == "approve" {
		t.Decided, t.Decider, t.Expires = m.now(), a.String(), m.now().Add(time.Duration(t.Minutes)*time.Minute)
	} else {
		t.Ended, t.EndedBy = m.now(), a.String()
	}
	h.tunnels[id] = t
	return t, nil
}

// ConnectTunnel is of httpapi.Tunnels: it reaches a device that says its name
// and then echoes.
func (m *Mem) ConnectTunnel(_ context.Context, a audit.Actor, id ringwall.TunnelID) (net.Conn, error) {
	h, err := m.enter(a, "tunnel.use", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	t, err := find(h.tunnels, "tunnel", id)
	if err != nil {
		return nil, err
	}
	if t.State != api.TunnelApproved {
		return nil, ringwall.Errorf(ringwall.Conflict, "the tunnel is %s", t.State)
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := io.WriteString(theirs, "camera\n"); err == nil {
			_, _ = io.Copy(theirs, theirs)
		}
	}()
	return ours, nil
}

// TunnelRecording is of httpapi.Tunnels.
func (m *Mem) TunnelRecording(_ context.Context, a audit.Actor, id ringwall.TunnelID, name, _ string) (api.Page[api.TunnelFrame], error) {
	h, err := m.enter(a, "tunnel.review", string(id))
	defer m.mu.Unlock()
	none := api.Page[api.TunnelFrame]{Items: []api.TunnelFrame{}}
	if err != nil {
		return none, err
	}
	t, err := find(h.tunnels, "tunnel", id)
	if err != nil {
		return none, err
	}
	if !slices.ContainsFunc(t.Recordings, func(r api.TunnelRecording) bool { return r.Name == name }) {
		return none, ringwall.Errorf(ringwall.NotFound, "no recording %.60q of this tunnel", name)
	}
	return none, nil
}

// fillTunnels gives an organisation a tunnel that is asked for and one that is over.
// The caller holds mu.
func (m *Mem) fillTunnels(org ringwall.OrgID, t time.Time, one, other ringwall.DeviceID, gw ringwall.GatewayID) {
	h := m.org(org)
	for _, tun := range []api.RemoteTunnel{
		{
			ID: id[ringwall.TunnelID](ringwall.PrefixTunnel, "asked of "+string(org)), Device: one, Port: 80, Minutes: 30, Reason: "set its clock", State: api.TunnelAsked,
			Asked: t.Add(-4 * time.Minute),
		},
		{
			ID: id[ringwall.TunnelID](ringwall.PrefixTunnel, "past of "+string(org)), Device: other, Port: 554, Minutes: 60, Reason: "see whether the picture is upright", State: api.TunnelExpired,
			Asked: t.Add(-26 * time.Hour), Decided: t.Add(-26 * time.Hour), Decider: "usr_owner", Expires: t.Add(-25 * time.Hour), Ended: t.Add(-25 * time.Hour), EndedBy: "time",
			Reported: "down", Why: "its time is over", Connections: 3,
			Recordings: []api.TunnelRecording{{Name: "20261120T190000.000", Begun: t.Add(-26 * time.Hour), Bytes: 48213, SHA256: "9f2c5a77"}},
		},
	} {
		tun.Org, tun.Gateway, tun.AskedBy = org, gw, "usr_owner"
		h.tunnels[tun.ID] = tun
	}
}
