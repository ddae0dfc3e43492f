package platform

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/registry"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// maybe turns NotFound into nil.
func maybe(d api.Device, err error) (*api.Device, error) {
	switch {
	case err == nil:
		return &d, nil
	case isCode(err, ringwall.NotFound):
		return nil, nil
	}
	return nil, err
}

// sighting takes a gateway's word that a device was seen, or is missing.
func (t *turn) sighting(gw ringwall.GatewayID, s api.Sighting) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	sight, err := registry.Read(gw, s, t.at)
	if err != nil {
		return err
	}
	here, err := maybe(t.tx.DeviceByMAC(scope, gw, sight.MAC))
	if err != nil {
		return err
	}
	elsewhere, err := maybe(t.tx.DeviceElsewhere(scope, gw, sight.MAC))
	if err != nil {
		return err
	}
	meeting, d := registry.Meet(here, elsewhere, sight)
	switch meeting {
	case registry.New:
		return t.arrived(scope, gw, d)
	case registry.Moved, registry.Doubled:
		return t.moved(scope, gw, *elsewhere, d, meeting)
	case registry.Stale:
		return nil
	}
	return t.seen(scope, *here, d, meeting)
}

// arrived adds a device that was never seen: non-self until a person enrols it,
// in the mode that the gateway has for arrivals.
func (t *turn) arrived(scope audit.Scope, gw ringwall.GatewayID, d api.Device) error {
	behind, _, err := t.tx.DevicesBehind(scope, gw)
	if err != nil {
		return err
	}
	if len(behind) >= registry.MaxBehind {
		return ringwall.Errorf(ringwall.Conflict, "gateway %q has brought %d devices, its limit", gw, len(behind))
	}
	if other := registry.Taken(behind, d.Binding.MAC, d.Binding.IP); other != nil {
		// Two stations with one address: the one that was first keeps it.
		return ringwall.Errorf(ringwall.Conflict, "address %s belongs to device %q", d.Binding.IP, other.ID)
	}
	g, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return err
	}
	mark, err := t.tx.NextMark(scope, gw)
	if err != nil {
		return err
	}
	d.ID, d.Org, d.Gateway, d.Created = ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, t.at)), t.org, gw, t.at
	d.Mode = ringwall.Learn
	if g.Arrival == ringwall.Enforce {
		d.Mode = ringwall.Enforce
	}
	if err := t.tx.CreateDevice(scope, d, mark); err != nil {
		return err
	}
	if err := t.tell(scope, ringwall.EventDeviceSeen, deviceSubject(d.ID), string(gw), note{Key: "timeline.device.seen", Params: map[string]string{
		"name": d.Name, "port": d.Binding.Port, "mac": d.Binding.MAC, "ip": addrText(d),
	}}); err != nil {
		return err
	}
	t.judge(d.ID, string(gw))
	t.compose(gw)
	return nil
}

func addrText(d api.Device) string {
	if !d.Binding.IP.IsValid() {
		return ""
	}
	return d.Binding.IP.String()
}

// seen notes a device at its place. What it is bound to follows it only while
// it is being learned: later, whoever shows its MAC at another port, or takes
// another address, may not be the device.
func (t *turn) seen(scope audit.Scope, before, now api.Device, meeting registry.Meeting) error {
	if meeting == registry.Same && before.Presence == now.Presence {
		return t.tx.TouchDevice(scope, before.ID, now.Presence, now.Seen)
	}
	subject := deviceSubject(before.ID)
	if meeting == registry.Rebound {
		if before.Mode == ringwall.Enforce && before.Binding.IP.IsValid() {
			now.Binding = before.Binding
		} else if err := t.tell(scope, ringwall.EventDevicePresence, subject, string(before.Gateway), note{Key: "timeline.device.rebound", Params: map[string]string{
			"name": before.Name, "ip": addrText(now), "port": now.Binding.Port,
		}}); err != nil {
			return err
		}
	}
	if _, err := t.tx.UpdateDevice(scope, before.ID, func(d *api.Device) error {
		d.Binding, d.Presence, d.Seen = now.Binding, now.Presence, now.Seen
		return nil
	}); err != nil {
		return err
	}
	if before.Binding != now.Binding {
		t.compose(before.Gateway)
	}
	t.judge(before.ID, string(before.Gateway))
	if before.Presence == now.Presence {
		return nil
	}
	return t.tell(scope, ringwall.EventDevicePresence, subject, string(before.Gateway), note{Key: "timeline.device.presence", Params: map[string]string{
		"name": before.Name, "old": before.Presence.String(), "new": now.Presence.String(),
	}})
}

// moved takes a device behind another gateway than its own. It is a stranger
// there until a person enrols it again.
func (t *turn) moved(scope audit.Scope, gw ringwall.GatewayID, before, now api.Device, meeting registry.Meeting) error {
	already := before.Presence == ringwall.Moved && before.Gateway == now.Gateway
	if meeting == registry.Moved && before.Gateway != gw {
		mark, err := t.tx.NextMark(scope, gw)
		if err != nil {
			return err
		}
		if err := t.tx.MoveDevice(scope, before.ID, gw, mark); err != nil {
			return err
		}
	}
	if _, err := t.tx.UpdateDevice(scope, before.ID, func(d *api.Device) error {
		d.Presence, d.Enrolled, d.Binding, d.Seen = now.Presence, now.Enrolled, now.Binding, now.Seen
		return nil
	}); err != nil {
		return err
	}
	t.judge(before.ID, string(gw))
	t.compose(before.Gateway)
	t.compose(gw)
	if already {
		return nil
	}
	return t.tell(scope, ringwall.EventDevicePresence, deviceSubject(before.ID), string(gw), note{Key: "timeline.device.moved", Params: map[string]string{"name": before.Name}})
}

// maxQuiet bounds the devices of one round; the rest follow in the next.
const maxQuiet = 500

// quiet notices, in one organisation, who has fallen silent or is gone, which
// gateways are not heard from any more, and who may rise in trust.
func (t *turn) quiet(cfg registry.Config) error {
	scope, err := t.as(audit.SysPresence, audit.SystemPresence)
	if err != nil {
		return err
	}
	for _, is := range []ringwall.Presence{ringwall.Online, ringwall.Silent} {
		devices, err := t.tx.QuietDevices(scope, is, t.at, maxQuiet)
		if err != nil {
			return err
		}
		for _, d := range devices {
			next := registry.Presence(is, d.Seen, t.at, cfg)
			if next == is {
				continue
			}
			if err := t.tx.TouchDevice(scope, d.ID, next, d.Seen); err != nil {
				return err
			}
			if err := t.tell(scope, ringwall.EventDevicePresence, deviceSubject(d.ID), "", note{Key: "timeline.device.presence", Params: map[string]string{
				"name": d.Name, "old": is.String(), "new": next.String(),
			}}); err != nil {
				return err
			}
			t.judge(d.ID, "")
		}
	}
	return t.quietGateways(scope)
}

func (t *turn) quietGateways(scope audit.Scope) error {
	page, err := t.tx.Gateways(scope, pageOf(maxGateways))
	if err != nil {
		return err
	}
	for _, g := range page.Items {
		if !g.Online || t.at.Sub(g.Seen) <= gatewayFresh {
			continue
		}
		if _, err := t.tx.UpdateGateway(scope, g.ID, func(g *api.Gateway) error { g.Online = false; return nil }); err != nil {
			return err
		}
		subject := ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(g.ID)}
		if err := t.tell(scope, ringwall.EventGatewayState, subject, "", note{Key: "timeline.gateway.offline"}); err != nil {
			return err
		}
		if err := t.judgeBehind(scope, g.ID); err != nil {
			return err
		}
	}
	return nil
}

func pageOf(n int) sqlstore.Paging { return sqlstore.Paging{Limit: n} }
