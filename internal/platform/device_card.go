package platform

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/registry"
)

// CreateDevice makes a device that is known by its SIM alone: its gateway has a
// policy for it before it is seen for the first time.
func (s *service) CreateDevice(ctx context.Context, a audit.Actor, in api.DeviceCreate) (d api.Device, err error) {
	in.Name = strings.TrimSpace(in.Name)
	if in.Type == "" {
		in.Type = "unknown"
	}
	switch {
	case in.Name == "" || len(in.Name) > maxName:
		return d, ringwall.Errorf(ringwall.Invalid, "a device's name has 1 to %d bytes", maxName)
	case !slices.Contains(deviceTypes, in.Type):
		return d, ringwall.Errorf(ringwall.Invalid, "a device's type is one of %s", strings.Join(deviceTypes, ", "))
	case in.SIM == "" || in.Gateway == "":
		return d, ringwall.Errorf(ringwall.Invalid, "a device that is made by hand has a SIM and a gateway that its traffic passes; one with a MAC is seen by its gateway")
	}
	if err := checkUse(in.Use); err != nil {
		return d, err
	}
	if err := checkSettings(api.DevicePatch{Tags: &in.Tags}); err != nil {
		return d, err
	}
	id := ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, s.now()))
	err = s.change(ctx, a, audit.DeviceWrite, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		g, err := t.placeForCard(scope, in.Gateway)
		if err != nil {
			return err
		}
		card, err := t.tx.SIM(scope, in.SIM)
		if err != nil {
			return err
		}
		if card.Device != "" {
			return ringwall.Errorf(ringwall.Conflict, "the SIM is that of device %q; take it out there first", card.Device)
		}
		mark, err := t.tx.NextMark(scope, g.ID)
		if err != nil {
			return err
		}
		d := api.Device{
			ID: id, Org: t.org, Name: in.Name, Type: in.Type, Gateway: g.ID, SIM: in.SIM, BySIM: true, Created: t.at, Tags: in.Tags,
			Mode: ringwall.Learn, Enrolled: true, Class: ringwall.Ungraded.Class(), Profile: api.Profile{Use: in.Use},
		}
		if g.Arrival == ringwall.Enforce {
			d.Mode = ringwall.Enforce
		}
		set(&d.Mode, in.Mode)
		if err := t.tx.CreateDevice(scope, d, mark); err != nil {
			return err
		}
		if err := t.bindSIM(api.Device{ID: id}, in.SIM); err != nil {
			return err
		}
		if err := t.tell(scope, ringwall.EventDeviceSeen, deviceSubject(id), "", note{Key: "timeline.device.made", Params: map[string]string{"name": d.Name, "gateway": g.Name}}); err != nil {
			return err
		}
		t.judge(id, "")
		t.compose(g.ID)
		return nil
	})
	if err != nil {
		return d, err
	}
	return s.Device(ctx, a, id)
}

// placeForCard answers the gateway that one more device is to be behind.
func (t *turn) placeForCard(scope audit.Scope, id ringwall.GatewayID) (api.Gateway, error) {
	g, err := t.tx.Gateway(scope, id)
	switch {
	case err != nil:
		return g, err
	case !g.Revoked.IsZero():
		return g, ringwall.Errorf(ringwall.Conflict, "the gateway %q is revoked", g.Name)
	case g.Devices >= registry.MaxBehind:
		return g, ringwall.Errorf(ringwall.Conflict, "gateway %q has %d devices; no more are taken", g.ID, g.Devices)
	}
	return g, nil
}

// moveCard puts a device that is known by its SIM behind another gateway. Others
// are where they are seen.
func (t *turn) moveCard(scope audit.Scope, d api.Device, to ringwall.GatewayID) error {
	if _, err := t.placeForCard(scope, to); err != nil {
		return err
	}
	if !t.bySIM(d) {
		return ringwall.Errorf(ringwall.Conflict, "the device is behind the gateway that sees it; only one that is known by its SIM is put behind another")
	}
	mark, err := t.tx.NextMark(scope, to)
	if err != nil {
		return err
	}
	if err := t.tx.MoveDevice(scope, d.ID, to, mark); err != nil {
		return err
	}
	if _, err := t.tx.UpdateDevice(scope, d.ID, func(d *api.Device) error { d.Binding = api.Binding{}; return nil }); err != nil {
		return err
	}
	return t.carryHolds(d.ID, to)
}

// cardAddress notes the address that a device has by its card now, as its gateway
// says. Nothing is enforced by it: the gateway learns it by itself.
func (t *turn) cardAddress(scope audit.Scope, d api.Device, n api.Notice) error {
	addr := n.Addr.Addr()
	if !t.bySIM(d) || !addr.IsValid() {
		return nil
	}
	got := n.Text == "got"
	if !got {
		if d.Binding.IP != addr {
			return nil // it has another by now
		}
		addr = netip.Addr{}
	}
	if _, err := t.tx.UpdateDevice(scope, d.ID, func(d *api.Device) error { d.Binding.IP = addr; return nil }); err != nil {
		return err
	}
	if !got {
		return nil
	}
	if err := t.tx.TouchDevice(scope, d.ID, ringwall.Online, t.at); err != nil {
		return err
	}
	return t.tellPresence(scope, d, ringwall.Online)
}
