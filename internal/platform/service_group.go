package platform

import (
	"context"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// maxMembers bounds the devices that a group names; a selector has no bound.
const maxMembers = 10_000

// Groups lists the groups by name.
func (s *service) Groups(ctx context.Context, a audit.Actor) (all []api.Group, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("group", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if all, err = tx.Groups(scope); err != nil || len(all) == 0 {
			return err
		}
		devices, err := tx.AllDevices(scope)
		if err != nil {
			return err
		}
		gateways, err := tx.AllGateways(scope)
		if err != nil {
			return err
		}
		running, err := tx.Running(scope)
		if err != nil {
			return err
		}
		for i := range all {
			g, err := tx.Group(scope, all[i].ID)
			if err != nil {
				return err
			}
			all[i] = g
			all[i].Devices = len(inGroup(g, devices, gateways))
			all[i].Rollout = changing(running, g.ID)
		}
		return nil
	})
	return orNone(all), err
}

// Group answers one group.
func (s *service) Group(ctx context.Context, a audit.Actor, id ringwall.GroupID) (g api.Group, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("group", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		g, err = showGroup(tx, scope, id)
		return err
	})
	return g, err
}

func showGroup(tx *sqlstore.Tx, scope audit.Scope, id ringwall.GroupID) (api.Group, error) {
	g, err := tx.Group(scope, id)
	if err != nil {
		return g, err
	}
	in, err := devicesIn(tx, scope, g)
	if err != nil {
		return g, err
	}
	running, err := tx.Running(scope)
	g.Devices, g.Rollout = len(in), changing(running, id)
	return g, err
}

func changing(running []api.Rollout, id ringwall.GroupID) ringwall.RolloutID {
	for _, r := range running {
		if r.Change.Group == id {
			return r.ID
		}
	}
	return ""
}

// inGroup returns the devices that are in a group.
func inGroup(g api.Group, devices []api.Device, gateways []api.Gateway) []api.Device {
	site := map[ringwall.GatewayID]bool{}
	for _, gw := range gateways {
		site[gw.ID] = slices.Contains(gw.Groups, g.ID)
	}
	byName := make(map[ringwall.DeviceID]bool, len(g.Members))
	for _, id := range g.Members {
		byName[id] = true
	}
	var in []api.Device
	for _, d := range devices {
		if byName[d.ID] || site[d.Gateway] || selects(g.Select, &d) {
			in = append(in, d)
		}
	}
	return in
}

func devicesIn(tx *sqlstore.Tx, scope audit.Scope, g api.Group) ([]api.Device, error) {
	devices, err := tx.AllDevices(scope)
	if err != nil {
		return nil, err
	}
	gateways, err := tx.AllGateways(scope)
	return inGroup(g, devices, gateways), err
}

// GroupDevices lists the devices of a group, by id.
func (s *service) GroupDevices(ctx context.Context, a audit.Actor, id ringwall.GroupID) (out []api.Device, err error) {
	v := sightOf(a)
	err = s.view(ctx, a, audit.PolicyRead, on("group", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		g, err := tx.Group(scope, id)
		if err != nil {
			return err
		}
		in, err := devicesIn(tx, scope, g)
		for _, d := range in {
			out = append(out, v.device(d))
		}
		return err
	})
	return orNone(out), err
}

func checkGroup(p api.GroupPatch) error {
	if p.Name != nil {
		if err := checkName(*p.Name); err != nil {
			return err
		}
	}
	if p.Note != nil && len(*p.Note) > maxSaid {
		return ringwall.Errorf(ringwall.Invalid, "a note has at most %d bytes", maxSaid)
	}
	if p.Members != nil && len(*p.Members) > maxMembers {
		return ringwall.Errorf(ringwall.Invalid, "%d members are more than %d; use a selector", len(*p.Members), maxMembers)
	}
	if p.Select != nil {
		for _, v := range []string{p.Select.Type, p.Select.Vendor, p.Select.Model, p.Select.Tag} {
			if len(v) > maxName {
				return ringwall.Errorf(ringwall.Invalid, "a selector's words have at most %d bytes", maxName)
			}
		}
	}
	if p.Terms != nil {
		return checkTerms(*p.Terms)
	}
	return nil
}

// knownGroup answers NotFound when what a group names is not the organisation's.
func (t *turn) knownGroup(scope audit.Scope, p api.GroupPatch) error {
	if p.Select != nil && p.Select.Gateway != "" {
		if _, err := t.tx.Gateway(scope, p.Select.Gateway); err != nil {
			return err
		}
	}
	return t.knownDevices(p.Terms)
}

func patchGroup(g *api.Group, p api.GroupPatch) {
	set(&g.Name, p.Name)
	set(&g.Note, p.Note)
	set(&g.Members, p.Members)
	set(&g.Terms, p.Terms)
	if p.Select != nil {
		g.Select = p.Select
		if *p.Select == (api.Selector{}) {
			g.Select = nil
		}
	}
}

// CreateGroup makes a group.
func (s *service) CreateGroup(ctx context.Context, a audit.Actor, p api.GroupPatch) (g api.Group, err error) {
	if p.Name == nil || strings.TrimSpace(*p.Name) == "" {
		return g, ringwall.Errorf(ringwall.Invalid, "a group has a name")
	}
	if err := checkGroup(p); err != nil {
		return g, err
	}
	err = s.change(ctx, a, audit.GroupWrite, on("group", ""), func(t *turn, scope audit.Scope) error {
		if err := t.knownGroup(scope, p); err != nil {
			return err
		}
		g = api.Group{ID: ringwall.GroupID(ringwall.NewID(ringwall.PrefixGroup, t.at)), Org: a.Org, Members: []ringwall.DeviceID{}, Terms: []api.Term{}, Made: t.at, Changed: t.at}
		patchGroup(&g, p)
		if err := t.tx.CreateGroup(scope, g); err != nil {
			return err
		}
		if err := t.composeGroup(scope, g); err != nil {
			return err
		}
		return t.tellGroup(scope, g, "timeline.group.made")
	})
	if err != nil {
		return g, err
	}
	return s.Group(ctx, a, g.ID)
}

// PatchGroup changes a group whose version is still the one given; 0 takes any.
func (s *service) PatchGroup(ctx context.Context, a audit.Actor, id ringwall.GroupID, version uint64, p api.GroupPatch) (g api.Group, err error) {
	if err := checkGroup(p); err != nil {
		return g, err
	}
	err = s.change(ctx, a, audit.GroupWrite, on("group", string(id)), func(t *turn, scope audit.Scope) error {
		old, err := t.tx.Group(scope, id)
		if err != nil {
			return err
		}
		if version != 0 && old.Version != version {
			return ringwall.Errorf(ringwall.Conflict, "the group has changed since version %d", version)
		}
		if err := t.unchanging(scope, id, p); err != nil {
			return err
		}
		if err := t.knownGroup(scope, p); err != nil {
			return err
		}
		if err := t.composeGroup(scope, old); err != nil { // who leaves it
			return err
		}
		if g, err = t.tx.UpdateGroup(scope, id, func(g *api.Group) error {
			patchGroup(g, p)
			g.Changed = t.at
			return nil
		}); err != nil {
			return err
		}
		if err := t.composeGroup(scope, g); err != nil { // who is in it
			return err
		}
		return t.tellGroup(scope, g, "timeline.group.changed")
	})
	if err != nil {
		return g, err
	}
	return s.Group(ctx, a, id)
}

// unchanging answers Conflict when terms are to be changed that a rollout is
// about to change.
func (t *turn) unchanging(scope audit.Scope, id ringwall.GroupID, p api.GroupPatch) error {
	if p.Terms == nil {
		return nil
	}
	running, err := t.tx.Running(scope)
	if err != nil {
		return err
	}
	if r := changing(running, id); r != "" {
		return &ringwall.Error{Code: ringwall.Conflict, Text: "a rollout is changing the group", Hint: "stop it with \"ringwall rollout stop " + string(r) + "\", or wait"}
	}
	return nil
}

// DeleteGroup forgets a group; what was in it loses its terms.
func (s *service) DeleteGroup(ctx context.Context, a audit.Actor, id ringwall.GroupID) error {
	return s.change(ctx, a, audit.GroupWrite, on("group", string(id)), func(t *turn, scope audit.Scope) error {
		g, err := t.tx.Group(scope, id)
		if err != nil {
			return err
		}
		if err := t.unchanging(scope, id, api.GroupPatch{Terms: &[]api.Term{}}); err != nil {
			return err
		}
		if err := t.composeGroup(scope, g); err != nil {
			return err
		}
		if err := t.tellGroup(scope, g, "timeline.group.deleted"); err != nil {
			return err
		}
		return t.tx.DeleteGroup(scope, id)
	})
}

// composeGroup asks for the documents of all gateways in front of a group. What
// does not change there makes no new generation.
func (t *turn) composeGroup(scope audit.Scope, g api.Group) error {
	t.forgetPlacing()
	in, err := devicesIn(t.tx, scope, g)
	for _, d := range in {
		t.compose(d.Gateway)
	}
	return err
}

func (t *turn) tellGroup(scope audit.Scope, g api.Group, key string) error {
	return t.tell(scope, ringwall.EventGroup, ringwall.Subject{Kind: ringwall.SubjectGroup, ID: string(g.ID)}, "", note{Key: key, Params: map[string]string{"name": g.Name}})
}
