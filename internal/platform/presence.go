package platform

import (
	"context"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/registry"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// roundSize bounds what one look at an organisation takes up; the next look
// takes the rest.
const roundSize = 500

// sighting takes a gateway's word that a device was seen.
func (t *turn) sighting(gw ringwall.GatewayID, said api.Sighting) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	s, err := registry.Read(gw, said, t.at)
	if err != nil {
		return err
	}
	known, err := maybe(t.tx.DeviceByMAC(scope, gw, s.MAC))
	if err != nil {
		return err
	}
	var elsewhere *api.Device
	if known == nil {
		if elsewhere, err = maybe(t.tx.DeviceElsewhere(scope, gw, s.MAC)); err != nil {
			return err
		}
	}
	what, d := registry.Meet(known, elsewhere, s)
	switch what {
	case registry.New:
		return t.meetNew(scope, d)
	case registry.Moved, registry.Doubled:
		return t.meetElsewhere(scope, *elsewhere, d, what == registry.Moved)
	case registry.Rebound, registry.Back:
		// What a device is bound to follows it only while it is being learned: later,
		// whoever shows its MAC at another port or address may not be the device.
		if what == registry.Back || known.Mode != ringwall.Enforce || !known.Binding.IP.IsValid() {
			return t.rebind(scope, *known, d)
		}
		return t.refusedPlace(scope, *known, d.Binding)
	case registry.Same:
		if known.Elsewhere != nil { // it is back where it belongs
			if _, err := t.tx.UpdateDevice(scope, d.ID, func(d *api.Device) error { d.Elsewhere = nil; return nil }); err != nil {
				return err
			}
		}
		if err := t.tx.TouchDevice(scope, d.ID, d.Presence, d.Seen); err != nil {
			return err
		}
		return t.tellPresence(scope, *known, d.Presence)
	}
	return nil
}

// maybe makes nil of a device that is not there.
func maybe(d api.Device, err error) (*api.Device, error) {
	switch {
	case err == nil:
		return &d, nil
	case isCode(err, ringwall.NotFound):
		return nil, nil
	}
	return nil, err
}

// meetNew registers a device that was never seen before: a stranger, in the
// mode in which its gateway treats arrivals.
func (t *turn) meetNew(scope audit.Scope, d api.Device) error {
	g, err := t.tx.Gateway(scope, d.Gateway)
	if err != nil {
		return err
	}
	if g.Devices >= registry.MaxBehind {
		return ringwall.Errorf(ringwall.Conflict, "gateway %q has brought %d devices; no more are taken", g.ID, g.Devices)
	}
	if err := t.freeAddress(scope, d); err != nil {
		return err
	}
	mark, err := t.tx.NextMark(scope, d.Gateway)
	if err != nil {
		return err
	}
	d.ID, d.Org, d.Created = ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, t.at)), t.org, t.at
	d.Mode, d.Class = ringwall.Learn, d.Grade.Class()
	if g.Arrival == ringwall.Enforce {
		d.Mode = ringwall.Enforce
	}
	if err := t.tx.CreateDevice(scope, d, mark); err != nil {
		return err
	}
	t.judge(d.ID, string(d.Gateway))
	t.compose(d.Gateway)
	return t.tell(scope, ringwall.EventDeviceSeen, deviceSubject(d.ID), string(d.Gateway), note{Key: "timeline.device.seen", Params: place(d)})
}

func place(d api.Device) map[string]string {
	p := map[string]string{"name": d.Name, "mac": d.Binding.MAC, "ip": "", "port": d.Binding.Port, "gateway": string(d.Gateway)}
	if d.Binding.IP.IsValid() {
		p["ip"] = d.Binding.IP.String()
	}
	return p
}

// freeAddress sees to it that no two devices of one gateway hold one address: a
// device that has not been heard lately gives it up; one that is on line keeps
// it, and whoever shows up with it is refused with code Conflict.
func (t *turn) freeAddress(scope audit.Scope, d api.Device) error {
	behind, _, err := t.tx.DevicesBehind(scope, d.Gateway)
	if err != nil {
		return err
	}
	other := registry.Taken(behind, d.Binding.MAC, d.Binding.IP)
	if other == nil {
		return nil
	}
	if other.Presence == ringwall.Online && t.at.Sub(other.Seen) < registry.AtOnce {
		return ringwall.Errorf(ringwall.Conflict, "address of device %q is claimed by another MAC", other.ID)
	}
	_, err = t.tx.UpdateDevice(scope, other.ID, func(o *api.Device) error { o.Binding.IP = netip.Addr{}; return nil })
	return err
}

// rebind keeps a device's new address or port, or takes it back where a person
// has enrolled it again.
func (t *turn) rebind(scope audit.Scope, old, d api.Device) error {
	if old.Binding.IP != d.Binding.IP {
		if err := t.freeAddress(scope, d); err != nil {
			return err
		}
	}
	if _, err := t.tx.UpdateDevice(scope, d.ID, func(kept *api.Device) error {
		kept.Binding, kept.Presence, kept.Seen, kept.Elsewhere = d.Binding, d.Presence, d.Seen, nil
		return nil
	}); err != nil {
		return err
	}
	t.judge(d.ID, string(d.Gateway))
	t.compose(d.Gateway)
	if old.Binding != d.Binding {
		if err := t.tell(scope, ringwall.EventDevicePresence, deviceSubject(d.ID), string(d.Gateway), note{Key: "timeline.device.rebound", Params: place(d)}); err != nil {
			return err
		}
	}
	return t.tellPresence(scope, old, d.Presence)
}

// refusedPlace takes that a bound device's MAC was seen where the device is not
// bound. It is no sign that the device is there: what the gateway refuses may
// be anybody's. It is told once a place, and a person may bind it there.
func (t *turn) refusedPlace(scope audit.Scope, d api.Device, seen api.Binding) error {
	if d.Elsewhere != nil && *d.Elsewhere == seen {
		return nil
	}
	if _, err := t.tx.UpdateDevice(scope, d.ID, func(d *api.Device) error { d.Elsewhere = &seen; return nil }); err != nil {
		return err
	}
	d.Binding = seen
	return t.tell(scope, ringwall.EventDevicePresence, deviceSubject(d.ID), string(d.Gateway), note{Key: "timeline.device.elsewhere", Params: place(d)})
}

// carryHolds brings the holds in force on a device that went to another gateway
// along: there as holds of the platform, released where it was.
func (t *turn) carryHolds(id ringwall.DeviceID, to ringwall.GatewayID) error {
	act, err := t.as(audit.SysIncident, audit.DeviceRespond)
	if err != nil {
		return err
	}
	holds, err := t.tx.StandingHolds(act, id)
	if err != nil || len(holds) == 0 {
		return err
	}
	page, err := t.tx.Responses(act, sqlstore.ResponseFilter{Target: deviceSubject(id)}, sqlstore.Paging{Limit: recentResponses})
	if err != nil {
		return err
	}
	for _, o := range holds {
		if o.Gateway == to {
			continue
		}
		h := o.Hold
		h.ID = ringwall.HoldID(ringwall.DeriveID(ringwall.PrefixHold, string(t.org), string(o.Hold.ID), string(to)))
		if _, err := t.tx.PutHold(act, h, to, false); err != nil {
			return err
		}
		if _, err := t.tx.ReleaseHold(act, o.Hold.ID, "system:incident", t.at); err != nil {
			return err
		}
		for _, r := range page.Items {
			if r.Hold != o.Hold.ID || r.Status != incident.Doing && r.Status != incident.Done {
				continue
			}
			r.Hold, r.Status, r.Done = h.ID, incident.Doing, time.Time{} // the new gateway has not said so yet
			if err := t.record(act, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// meetElsewhere takes a device that turned up behind another gateway: there it
// is a stranger until a person enrols it.
func (t *turn) meetElsewhere(scope audit.Scope, old, d api.Device, moved bool) error {
	if moved {
		if err := t.freeAddress(scope, d); err != nil {
			return err
		}
		mark, err := t.tx.NextMark(scope, d.Gateway)
		if err != nil {
			return err
		}
		if err := t.tx.MoveDevice(scope, d.ID, d.Gateway, mark); err != nil {
			return err
		}
		if err := t.carryHolds(d.ID, d.Gateway); err != nil {
			return err
		}
	}
	if _, err := t.tx.UpdateDevice(scope, d.ID, func(kept *api.Device) error {
		kept.Binding, kept.Presence, kept.Seen, kept.Enrolled = d.Binding, d.Presence, d.Seen, d.Enrolled
		kept.Elsewhere = nil
		return nil
	}); err != nil {
		return err
	}
	t.judge(d.ID, string(d.Gateway))
	t.compose(old.Gateway)
	t.compose(d.Gateway)
	return t.tell(scope, ringwall.EventDevicePresence, deviceSubject(d.ID), string(d.Gateway), note{Key: "timeline.device.moved", Params: place(d)})
}

// tellPresence tells of a presence that has changed.
func (t *turn) tellPresence(scope audit.Scope, old api.Device, is ringwall.Presence) error {
	if old.Presence == is {
		return nil
	}
	return t.tell(scope, ringwall.EventDevicePresence, deviceSubject(old.ID), string(old.Gateway), note{
		Key: "timeline.device.presence", Params: map[string]string{"name": old.Name, "old": old.Presence.String(), "new": is.String()},
	})
}

// heard takes a device's minute of traffic as a sign of life: a gateway need
// not say of each device each minute that it is there.
func (t *turn) heard(gw ringwall.GatewayID, f api.Features) error {
	if f.PktsUp == 0 {
		return nil // others spoke to it; it said nothing
	}
	scope, err := t.projector()
	if err != nil {
		return err
	}
	d, err := t.behind(scope, gw, f.Device)
	if err != nil || d.Presence == ringwall.Moved {
		return err
	}
	last := f.From.Add(time.Minute)
	if last.After(t.at) {
		last = t.at
	}
	if !last.After(d.Seen) || registry.Presence(ringwall.Online, last, t.at, t.registry) != ringwall.Online {
		return nil
	}
	if err := t.tx.TouchDevice(scope, d.ID, ringwall.Online, last); err != nil {
		return err
	}
	return t.tellPresence(scope, d, ringwall.Online)
}

// look notices what nobody reports: gateways and devices that have fallen
// silent, and trust that has been earned back meanwhile.
func (c *core) look(ctx context.Context, scope audit.Scope) error {
	org, now := scope.Org(), c.now()
	var gateways []api.Gateway
	var quiet []api.Device
	var recovering []ringwall.DeviceID
	err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		for page := (sqlstore.Paging{}); ; {
			some, err := tx.Gateways(scope, page)
			if err != nil {
				return err
			}
			for _, g := range some.Items {
				if g.Online && now.Sub(g.Seen) > gatewayFresh {
					gateways = append(gateways, g)
				}
			}
			if page.Cursor = some.Next; page.Cursor == "" {
				break
			}
		}
		for _, p := range []ringwall.Presence{ringwall.Online, ringwall.Silent} {
			some, err := tx.QuietDevices(scope, p, now.Add(-registry.Quiet(p, c.registry)), roundSize)
			if err != nil {
				return err
			}
			quiet = append(quiet, some...)
		}
		// Devices that have to be judged while nothing happens.
		recovering, err = tx.RecoveringDevices(scope)
		return err
	})
	if err != nil || len(gateways)+len(quiet)+len(recovering) == 0 {
		return err
	}
	return c.turn(ctx, org, func(t *turn) error {
		for _, g := range gateways {
			if err := t.gatewayAway(g.ID); err != nil {
				return err
			}
		}
		for _, d := range quiet {
			if err := t.fallSilent(d.ID); err != nil {
				return err
			}
		}
		for _, id := range recovering {
			t.judge(id, "")
		}
		return nil
	})
}

// gatewayAway notes that a gateway is not heard from. Of what is behind it
// nothing is known any more, and what is not known is not called silent.
func (t *turn) gatewayAway(id ringwall.GatewayID) error {
	scope, err := t.as(audit.SysPresence, audit.SystemPresence)
	if err != nil {
		return err
	}
	g, err := t.tx.Gateway(scope, id)
	if err != nil || !g.Online || t.at.Sub(g.Seen) <= gatewayFresh {
		return err // it has come back meanwhile
	}
	if _, err := t.tx.UpdateGateway(scope, id, func(g *api.Gateway) error { g.Online = false; return nil }); err != nil {
		return err
	}
	if err := t.tell(scope, ringwall.EventGatewayState, ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(id)}, "", note{Key: "timeline.gateway.offline"}); err != nil {
		return err
	}
	devices, _, err := t.tx.DevicesBehind(scope, id)
	if err != nil {
		return err
	}
	for _, d := range devices {
		t.judge(d.ID, string(id))
		if d.Presence != ringwall.Online && d.Presence != ringwall.Silent {
			continue
		}
		if err := t.tx.TouchDevice(scope, d.ID, ringwall.PresenceUnknown, d.Seen); err != nil {
			return err
		}
		if err := t.tellPresence(scope, d, ringwall.PresenceUnknown); err != nil {
			return err
		}
	}
	return nil
}

// fallSilent notes that a device has not been heard for too long.
func (t *turn) fallSilent(id ringwall.DeviceID) error {
	scope, err := t.as(audit.SysPresence, audit.SystemPresence)
	if err != nil {
		return err
	}
	d, err := t.tx.Device(scope, id)
	if err != nil {
		return err
	}
	is := d.Presence
	if is == ringwall.Online || is == ringwall.Silent { // else it has changed meanwhile
		is = registry.Presence(d.Presence, d.Seen, t.at, t.registry)
	}
	if is == d.Presence {
		return nil
	}
	if err := t.tx.TouchDevice(scope, id, is, d.Seen); err != nil {
		return err
	}
	return t.tellPresence(scope, d, is)
}
