package httpapitest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// fleet is what an organisation has of groups, rollouts and templates.
type fleet struct {
	owner     map[ringwall.DeviceID][]api.Term
	groups    map[ringwall.GroupID]api.Group
	rollouts  map[ringwall.RolloutID]api.Rollout
	templates map[ringwall.TemplateID][]api.Template // every version, the oldest first
	muds      map[ringwall.DeviceID]api.MUDState
	profiles  map[ringwall.SIMID][]api.SIMProfile // newest first
}

func newFleet() fleet {
	return fleet{
		owner: map[ringwall.DeviceID][]api.Term{}, groups: map[ringwall.GroupID]api.Group{}, rollouts: map[ringwall.RolloutID]api.Rollout{},
		templates: map[ringwall.TemplateID][]api.Template{}, muds: map[ringwall.DeviceID]api.MUDState{}, profiles: map[ringwall.SIMID][]api.SIMProfile{},
	}
}

func (h *holdings) members(g api.Group) []api.Device {
	var in []api.Device
	for _, d := range sorted(h.devices, func(x, y api.Device) int { return cmp.Compare(x.ID, y.ID) }) {
		s := g.Select
		if slices.Contains(g.Members, d.ID) || s != nil && *s != (api.Selector{}) && (s.Type == "" || s.Type == d.Type) &&
			(s.Vendor == "" || strings.EqualFold(s.Vendor, d.Vendor)) && (s.Gateway == "" || s.Gateway == d.Gateway) && (s.Tag == "" || slices.Contains(d.Tags, s.Tag)) {
			in = append(in, d)
		}
	}
	return in
}

func (h *holdings) shown(g api.Group) api.Group {
	g.Devices = len(h.members(g))
	for _, r := range h.fleet.rollouts {
		if r.Change.Group == g.ID && r.Status == api.RolloutRunning {
			g.Rollout = r.ID
		}
	}
	return g
}

// knows answers NotFound when terms name devices of others.
func (h *holdings) knows(terms []api.Term) error {
	for _, t := range terms {
		if t.Device == "" {
			continue
		}
		if _, err := find(h.devices, "device", t.Device); err != nil {
			return err
		}
	}
	return nil
}

// DevicePolicy is of httpapi.Policies.
func (m *Mem) DevicePolicy(_ context.Context, a audit.Actor, id ringwall.DeviceID) (api.PolicyView, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.PolicyView{}, err
	}
	return h.policy(id)
}

func (h *holdings) policy(id ringwall.DeviceID) (api.PolicyView, error) {
	d, err := find(h.devices, "device", id)
	v := api.PolicyView{Device: id, Mode: d.Mode, Owner: slices.Clone(h.fleet.owner[id]), Groups: []api.GroupTerms{}, Terms: d.Terms}
	for _, g := range sorted(h.fleet.groups, func(x, y api.Group) int { return cmp.Compare(x.Name, y.Name) }) {
		if slices.ContainsFunc(h.members(g), func(d api.Device) bool { return d.ID == id }) {
			v.Groups = append(v.Groups, api.GroupTerms{ID: g.ID, Name: g.Name, Terms: g.Terms})
		}
	}
	return v, err
}

// PutOwnerTerms is of httpapi.Policies.
func (m *Mem) PutOwnerTerms(_ context.Context, a audit.Actor, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyView, error) {
	h, err := m.enter(a, "policy.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.PolicyView{}, err
	}
	d, err := find(h.devices, "device", id)
	if err != nil {
		return api.PolicyView{}, err
	}
	if err := h.knows(in.Terms); err != nil {
		return api.PolicyView{}, err
	}
	h.fleet.owner[id] = in.Terms
	if in.Mode != nil {
		d.Mode = *in.Mode
	}
	d.Terms = in.Terms
	h.devices[id] = d
	return h.policy(id)
}

// ExplainPolicy is of httpapi.Policies.
func (m *Mem) ExplainPolicy(_ context.Context, a audit.Actor, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyChange, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	c := api.PolicyChange{Allows: []string{}, Refuses: []string{}, Flows: []api.FlowRow{}, From: m.now(), All: true}
	if err != nil {
		return c, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return c, err
	}
	if err := h.knows(in.Terms); err != nil {
		return c, err
	}
	for _, t := range in.Terms {
		if t.Action == api.Allow {
			c.Allows = append(c.Allows, "term "+t.ID)
		} else {
			c.Refuses = append(c.Refuses, "term "+t.ID)
			c.Flows = append(c.Flows, h.flows[id][:min(1, len(h.flows[id]))]...)
		}
	}
	c.Looked = len(h.flows[id])
	return c, nil
}

// Groups is of httpapi.Groups.
func (m *Mem) Groups(_ context.Context, a audit.Actor) ([]api.Group, error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out := sorted(h.fleet.groups, func(x, y api.Group) int { return cmp.Compare(x.Name, y.Name) })
	for i := range out {
		out[i] = h.shown(out[i])
	}
	return out, nil
}

// Group is of httpapi.Groups.
func (m *Mem) Group(_ context.Context, a audit.Actor, id ringwall.GroupID) (api.Group, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Group{}, err
	}
	g, err := find(h.fleet.groups, "group", id)
	return h.shown(g), err
}

// GroupDevices is of httpapi.Groups.
func (m *Mem) GroupDevices(_ context.Context, a audit.Actor, id ringwall.GroupID) ([]api.Device, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	g, err := find(h.fleet.groups, "group", id)
	return h.members(g), err
}

// CreateGroup is of httpapi.Groups.
func (m *Mem) CreateGroup(_ context.Context, a audit.Actor, p api.GroupPatch) (api.Group, error) {
	h, err := m.enter(a, "group.write", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Group{}, err
	}
	if p.Name == nil || *p.Name == "" {
		return api.Group{}, ringwall.Errorf(ringwall.Invalid, "a group has a name")
	}
	g := api.Group{ID: ringwall.GroupID(m.fresh(ringwall.PrefixGroup)), Org: a.Org, Members: []ringwall.DeviceID{}, Terms: []api.Term{}, Made: m.now()}
	return h.putGroup(g, p)
}

func (h *holdings) putGroup(g api.Group, p api.GroupPatch) (api.Group, error) {
	if p.Members != nil {
		for _, id := range *p.Members {
			if _, err := find(h.devices, "device", id); err != nil {
				return g, err
			}
		}
		g.Members = *p.Members
	}
	if p.Terms != nil {
		if err := h.knows(*p.Terms); err != nil {
			return g, err
		}
		g.Terms = *p.Terms
	}
	if p.Select != nil {
		if p.Select.Gateway != "" {
			if _, err := find(h.gateways, "gateway", p.Select.Gateway); err != nil {
				return g, err
			}
		}
		g.Select = p.Select
	}
	if p.Name != nil {
		g.Name = *p.Name
	}
	if p.Note != nil {
		g.Note = *p.Note
	}
	g.Version++
	h.fleet.groups[g.ID] = g
	return h.shown(g), nil
}

// PatchGroup is of httpapi.Groups.
func (m *Mem) PatchGroup(_ context.Context, a audit.Actor, id ringwall.GroupID, version uint64, p api.GroupPatch) (api.Group, error) {
	h, err := m.enter(a, "group.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Group{}, err
	}
	g, err := find(h.fleet.groups, "group", id)
	if err != nil {
		return g, err
	}
	if version != 0 && version != g.Version {
		return g, ringwall.Errorf(ringwall.Conflict, "the group has changed")
	}
	return h.putGroup(g, p)
}

// DeleteGroup is of httpapi.Groups.
func (m *Mem) DeleteGroup(_ context.Context, a audit.Actor, id ringwall.GroupID) error {
	h, err := m.enter(a, "group.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := find(h.fleet.groups, "group", id); err != nil {
		return err
	}
	delete(h.fleet.groups, id)
	return nil
}

// Rollouts is of httpapi.Groups.
func (m *Mem) Rollouts(_ context.Context, a audit.Actor, p httpapi.Paging) (api.Page[api.Rollout], error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Rollout]{}, err
	}
	return page(sorted(h.fleet.rollouts, func(x, y api.Rollout) int { return cmp.Or(y.Made.Compare(x.Made), cmp.Compare(y.ID, x.ID)) }), p)
}

// Rollout is of httpapi.Groups.
func (m *Mem) Rollout(_ context.Context, a audit.Actor, id ringwall.RolloutID) (api.Rollout, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Rollout{}, err
	}
	return find(h.fleet.rollouts, "rollout", id)
}

// StartRollout is of httpapi.Groups.
func (m *Mem) StartRollout(_ context.Context, a audit.Actor, in api.RolloutStart) (api.Rollout, error) {
	h, err := m.enter(a, "policy.rollout", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Rollout{}, err
	}
	if in.Change.Template != "" {
		if _, err := find(h.fleet.templates, "template", in.Change.Template); err != nil {
			return api.Rollout{}, err
		}
	} else if _, err := find(h.fleet.groups, "group", in.Change.Group); err != nil {
		return api.Rollout{}, err
	}
	if in.Change.Terms != nil {
		if err := h.knows(*in.Change.Terms); err != nil {
			return api.Rollout{}, err
		}
	}
	r := api.Rollout{
		ID: ringwall.RolloutID(m.fresh(ringwall.PrefixRollout)), Org: a.Org, Name: in.Name, Change: in.Change, Stages: in.Stages, Soak: in.Soak, Stop: in.Stop,
		Status: api.RolloutRunning, By: a.String(), Made: m.now(), Begun: m.now(), Waiting: []ringwall.GatewayID{}, Broken: []api.RolloutBreak{},
		Log: []api.RolloutStep{{Time: m.now(), What: "begun", By: a.String()}},
	}
	if len(r.Stages) == 0 {
		r.Stages = []int{5, 25, 100}
	}
	r.Total = len(h.members(h.fleet.groups[in.Change.Group]))
	r.Covered = min(r.Total, 1)
	h.fleet.rollouts[r.ID] = r
	return r, nil
}

// DecideRollout is of httpapi.Groups.
func (m *Mem) DecideRollout(_ context.Context, a audit.Actor, id ringwall.RolloutID, in api.RolloutDecision) (api.Rollout, error) {
	h, err := m.enter(a, "policy.rollout", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Rollout{}, err
	}
	r, err := find(h.fleet.rollouts, "rollout", id)
	if err != nil {
		return r, err
	}
	switch {
	case in.Decision == "stop" && r.Status == api.RolloutRunning:
		r.Status, r.Why, r.Ended, r.Covered = api.RolloutStopped, in.Reason, m.now(), 0
	case in.Decision == "resume" && r.Status == api.RolloutStopped:
		r.Status, r.Why = api.RolloutRunning, ""
	default:
		return r, ringwall.Errorf(ringwall.Conflict, "the rollout is %s", r.Status)
	}
	h.fleet.rollouts[id] = r
	return r, nil
}

// Templates is of httpapi.Sites.
func (m *Mem) Templates(_ context.Context, a audit.Actor) ([]api.Template, error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out := []api.Template{}
	for _, versions := range h.fleet.templates {
		out = append(out, versions[len(versions)-1])
	}
	slices.SortFunc(out, func(x, y api.Template) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// Template is of httpapi.Sites.
func (m *Mem) Template(_ context.Context, a audit.Actor, id ringwall.TemplateID, version int) (api.Template, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Template{}, err
	}
	versions, err := find(h.fleet.templates, "template", id)
	if err != nil {
		return api.Template{}, err
	}
	if version == 0 {
		version = len(versions)
	}
	if version < 1 || version > len(versions) {
		return api.Template{}, ringwall.Errorf(ringwall.NotFound, "no such version")
	}
	return versions[version-1], nil
}

// PutTemplate is of httpapi.Sites.
func (m *Mem) PutTemplate(_ context.Context, a audit.Actor, id ringwall.TemplateID, in api.TemplatePut) (api.Template, error) {
	h, err := m.enter(a, "template.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Template{}, err
	}
	t := api.Template{ID: ringwall.TemplateID(m.fresh(ringwall.PrefixTemplate)), Org: a.Org, Name: in.Name}
	if id != "" {
		versions, err := find(h.fleet.templates, "template", id)
		if err != nil {
			return t, err
		}
		t = versions[len(versions)-1]
	}
	if err := h.knowsSite(in.Site); err != nil {
		return t, err
	}
	t.Version++
	t.Site, t.By, t.Made, t.Name = in.Site, a.String(), m.now(), cmp.Or(in.Name, t.Name)
	h.fleet.templates[t.ID] = append(h.fleet.templates[t.ID], t)
	return t, nil
}

// knowsSite answers NotFound when settings name things of others.
func (h *holdings) knowsSite(s api.Site) error {
	if s.Groups != nil {
		for _, id := range *s.Groups {
			if _, err := find(h.fleet.groups, "group", id); err != nil {
				return err
			}
		}
	}
	for _, terms := range []*[]api.Term{s.Terms, s.Remediate} {
		if terms != nil {
			if err := h.knows(*terms); err != nil {
				return err
			}
		}
	}
	if s.Controllers != nil {
		for _, c := range *s.Controllers {
			for _, id := range c.Devices {
				if _, err := find(h.devices, "device", id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// BulkEnrol is of httpapi.Sites.
func (m *Mem) BulkEnrol(_ context.Context, a audit.Actor, in api.BulkEnrol) (api.BulkTokens, error) {
	_, err := m.enter(a, "gateway.enrol", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.BulkTokens{}, err
	}
	n := 1
	if in.Each {
		n = len(in.Lines)
	}
	out := api.BulkTokens{Lines: len(in.Lines)}
	for range n {
		id := m.fresh(ringwall.PrefixToken)
		out.Tokens = append(out.Tokens, api.EnrolToken{ID: ringwall.TokenID(id), Token: "rwe_" + id, Expires: m.now().AddDate(0, 0, 1)})
		m.invites["rwe_"+id] = a.Org
	}
	return out, nil
}

// FindGateways is of httpapi.Gateways.
func (m *Mem) FindGateways(_ context.Context, a audit.Actor, f httpapi.GatewayFilter) ([]api.Gateway, error) {
	h, err := m.enter(a, "gateway.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out := sorted(h.gateways, func(x, y api.Gateway) int { return cmp.Compare(x.Name, y.Name) })
	return slices.DeleteFunc(out, func(g api.Gateway) bool {
		return f.Flag != "" && !slices.Contains(g.Flags, f.Flag) || f.Template != "" && g.Template != f.Template || !strings.Contains(strings.ToLower(g.Name), strings.ToLower(f.Text))
	}), nil
}
