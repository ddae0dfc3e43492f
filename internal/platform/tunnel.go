package platform

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// settingTunnels is the name of what an organisation has laid down about tunnels.
const settingTunnels = "tunnels"

// defaultTunnelMinutes is the longest tunnel where nobody has said otherwise.
const defaultTunnelMinutes = 120

func tunnelSettings(tx *sqlstore.Tx, scope audit.Scope) (api.TunnelSettings, error) {
	out := api.TunnelSettings{MaxMinutes: defaultTunnelMinutes}
	text, err := tx.OrgSetting(scope, settingTunnels)
	if err != nil || text == "" {
		return out, err
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return out, ringwall.Errorf(ringwall.Internal, "reading the settings of tunnels: %w", err)
	}
	return out, nil
}

// TunnelSettings answers what the organisation has laid down about tunnels.
func (s *service) TunnelSettings(ctx context.Context, a audit.Actor) (out api.TunnelSettings, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("organisation", string(a.Org)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		out, err = tunnelSettings(tx, scope)
		return err
	})
	return out, err
}

// PutTunnelSettings lays it down anew; tunnels that are open stay so.
func (s *service) PutTunnelSettings(ctx context.Context, a audit.Actor, in api.TunnelSettings) (api.TunnelSettings, error) {
	if in.MaxMinutes < 1 || in.MaxMinutes > 24*60 {
		return in, ringwall.Errorf(ringwall.Invalid, "a tunnel lasts 1 to %d minutes", 24*60)
	}
	text, err := json.Marshal(in)
	if err != nil {
		return in, err
	}
	return in, s.change(ctx, a, audit.PolicyWrite, on("organisation", string(a.Org)), func(t *turn, scope audit.Scope) error {
		return t.tx.PutOrgSetting(scope, settingTunnels, string(text))
	})
}

// AskTunnel asks for a way to a port of a device.
func (s *service) AskTunnel(ctx context.Context, a audit.Actor, id ringwall.DeviceID, ask api.TunnelAsk) (out api.RemoteTunnel, err error) {
	err = s.change(ctx, a, audit.TunnelAsk, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		set, err := tunnelSettings(t.tx, scope)
		if err != nil {
			return err
		}
		if err := s.checkAsk(&ask); err != nil {
			return err
		}
		if ask.Minutes < 1 || ask.Minutes > set.MaxMinutes {
			return ringwall.Errorf(ringwall.Invalid, "a tunnel lasts 1 to %d minutes here", set.MaxMinutes)
		}
		if d.Gateway == "" || !d.Binding.IP.IsValid() {
			return ringwall.Errorf(ringwall.Conflict, "no gateway stands in front of the device, so there is nobody to open a tunnel")
		}
		out = api.RemoteTunnel{
			ID: ringwall.TunnelID(ringwall.NewID(ringwall.PrefixTunnel, t.at)), Org: a.Org, Device: id, Gateway: d.Gateway,
			Port: ask.Port, Minutes: ask.Minutes, Reason: ask.Reason, State: api.TunnelAsked, Asked: t.at, AskedBy: a.String(),
		}
		if err := t.tx.CreateTunnel(scope, out); err != nil {
			return err
		}
		return t.tellTunnel(scope, out, "timeline.tunnel.asked", a.String())
	})
	return out, err
}

// checkAsk checks what is asked for.
func (s *service) checkAsk(ask *api.TunnelAsk) error {
	ask.Reason = strings.TrimSpace(ask.Reason)
	switch {
	case ask.Port == 0:
		return ringwall.Errorf(ringwall.Invalid, "a tunnel leads to a port from 1 to 65535")
	case len(ask.Reason) < 3 || len(ask.Reason) > 300:
		return ringwall.Errorf(ringwall.Invalid, "say why, in 3 to 300 characters: it is kept with the tunnel")
	case s.tunnels == nil:
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "this platform has no door for tunnels", Hint: "start it with --tunnel-listen"}
	}
	return nil
}

func (t *turn) tellTunnel(scope audit.Scope, tun api.RemoteTunnel, key, by string) error {
	return t.tell(scope, ringwall.EventDeviceTunnel, deviceSubject(tun.Device), string(tun.ID), note{Key: key, Ref: string(tun.ID), Params: map[string]string{
		"port": strconv.Itoa(int(tun.Port)), "minutes": strconv.Itoa(tun.Minutes), "by": by, "reason": tun.Reason, "why": tun.Why,
	}})
}

// Tunnels lists tunnels, newest first.
func (s *service) Tunnels(ctx context.Context, a audit.Actor, f httpapi.TunnelFilter, p httpapi.Paging) (page api.Page[api.RemoteTunnel], err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", string(f.Device)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.Tunnels(scope, sqlstore.TunnelFilter{Device: f.Device, State: f.State}, paging(p))
		return err
	})
	return page, err
}

// Tunnel answers one tunnel.
func (s *service) Tunnel(ctx context.Context, a audit.Actor, id ringwall.TunnelID) (out api.RemoteTunnel, err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("tunnel", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		out, err = tx.Tunnel(scope, id)
		return err
	})
	return out, err
}

// DecideTunnel approves, declines or closes a tunnel. Who asked may close what
// is his own; to approve takes the right to, and another person where the
// organisation wants four eyes.
func (s *service) DecideTunnel(ctx context.Context, a audit.Actor, id ringwall.TunnelID, do string) (out api.RemoteTunnel, err error) {
	act := audit.TunnelApprove
	if do == "close" {
		if t, err := s.Tunnel(ctx, a, id); err == nil && t.AskedBy == a.String() {
			act = audit.TunnelUse
		}
	}
	err = s.change(ctx, a, act, on("tunnel", string(id)), func(t *turn, scope audit.Scope) error {
		set, err := tunnelSettings(t.tx, scope)
		if err != nil {
			return err
		}
		key := ""
		out, err = t.tx.UpdateTunnel(scope, id, func(tun *api.RemoteTunnel) (err error) {
			key, err = decideTunnel(tun, do, a.String(), set, t.at)
			return err
		})
		if err != nil {
			return err
		}
		t.compose(out.Gateway)
		return t.tellTunnel(scope, out, key, a.String())
	})
	if err != nil {
		return out, err
	}
	if s.tunnels != nil {
		s.tunnels.follow(out)
		if out.State == api.TunnelClosed {
			return s.Tunnel(ctx, a, id) // with its recordings ended
		}
	}
	return out, nil
}

// decideTunnel changes a tunnel as a person says, and returns what the timeline
// is told.
func decideTunnel(tun *api.RemoteTunnel, do, by string, set api.TunnelSettings, now time.Time) (key string, err error) {
	switch do {
	case "approve", "decline":
		if tun.State != api.TunnelAsked {
			return "", ringwall.Errorf(ringwall.Conflict, "the tunnel is %s already", tun.State)
		}
		tun.Decided, tun.Decider = now, by
		if do == "decline" {
			tun.State, tun.Ended, tun.EndedBy = api.TunnelDeclined, now, by
			return "timeline.tunnel.declined", nil
		}
		if set.FourEyes && tun.AskedBy == by {
			return "", ringwall.Errorf(ringwall.Forbidden, "whoever asks for a tunnel does not approve it here: another person must")
		}
		tun.State, tun.Expires = api.TunnelApproved, now.Add(time.Duration(tun.Minutes)*time.Minute)
		return "timeline.tunnel.approved", nil
	case "close":
		if tun.State != api.TunnelApproved && tun.State != api.TunnelAsked {
			return "", ringwall.Errorf(ringwall.Conflict, "the tunnel is %s already", tun.State)
		}
		tun.State, tun.Ended, tun.EndedBy = api.TunnelClosed, now, by
		return "timeline.tunnel.closed", nil
	}
	return "", ringwall.Errorf(ringwall.Invalid, "%.40q is none of approve, decline and close", do)
}

// expireTunnels ends what time has decided, in one organisation.
func (c *core) expireTunnels(ctx context.Context, scope audit.Scope) ([]api.RemoteTunnel, error) {
	var due []api.RemoteTunnel
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		due, err = tx.DueTunnels(scope, c.now(), 100)
		return err
	}); err != nil || len(due) == 0 {
		return nil, err
	}
	return due, c.turn(ctx, scope.Org(), func(t *turn) error {
		own, err := t.projector()
		if err != nil {
			return err
		}
		for i := range due {
			due[i], err = t.tx.UpdateTunnel(own, due[i].ID, func(tun *api.RemoteTunnel) error {
				switch {
				case tun.State == api.TunnelAsked:
					tun.State = api.TunnelDeclined
				case tun.State == api.TunnelApproved && !tun.Expires.After(t.at):
					tun.State = api.TunnelExpired
				default:
					return nil // decided meanwhile
				}
				tun.Ended, tun.EndedBy = t.at, "time"
				return nil
			})
			if err != nil {
				return err
			}
			t.compose(due[i].Gateway)
			if due[i].EndedBy == "time" {
				if err := t.tellTunnel(own, due[i], "timeline.tunnel.expired", ""); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// tunnelsOf lists what a gateway is ordered to open.
func (t *turn) tunnelsOf(scope audit.Scope, gw ringwall.GatewayID) ([]api.Tunnel, error) {
	if t.tunnelDoor.endpoint == "" {
		return nil, nil
	}
	open, err := t.tx.OpenTunnels(scope, gw)
	var out []api.Tunnel
	for _, tun := range open {
		out = append(out, api.Tunnel{ID: tun.ID, Device: tun.Device, Port: tun.Port, Endpoint: t.tunnelDoor.endpoint, PeerKey: t.tunnelDoor.public, Expires: tun.Expires})
	}
	return out, err
}

// tunnelReport takes a gateway's word on one of its tunnels.
func (t *turn) tunnelReport(gw ringwall.GatewayID, r api.TunnelReport) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	was, err := t.tx.Tunnel(scope, r.Tunnel)
	if err != nil {
		return err
	}
	if was.Gateway != gw {
		return ringwall.Errorf(ringwall.NotFound, "no tunnel %.60q through this gateway", r.Tunnel)
	}
	tun, err := t.tx.UpdateTunnel(scope, r.Tunnel, func(tun *api.RemoteTunnel) error {
		tun.Reported, tun.Why = clip(r.State, maxName), clip(r.Reason, maxSaid)
		return nil
	})
	if err != nil || tun.Reported == was.Reported {
		return err
	}
	key := map[string]string{"up": "timeline.tunnel.up", "down": "timeline.tunnel.down", "refused": "timeline.tunnel.refused"}[tun.Reported]
	if key == "" {
		return nil
	}
	return t.tellTunnel(scope, tun, key, "")
}
