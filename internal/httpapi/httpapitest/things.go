package httpapitest

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// Overview is of httpapi.Fleet.
func (m *Mem) Overview(_ context.Context, a audit.Actor) (api.Overview, error) {
	h, err := m.enter(a, "device.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Overview{}, err
	}
	o := api.Overview{
		Devices: len(h.devices), ByGrade: map[string]int{}, ByTrust: map[string]int{}, ByPresent: map[string]int{},
		Gateways: len(h.gateways), SIMs: len(h.sims), Demo: h.demo,
	}
	for _, d := range h.devices {
		o.ByGrade[d.Grade.String()]++
		o.ByTrust[d.Trust.String()]++
		o.ByPresent[d.Presence.String()]++
	}
	for _, g := range h.gateways {
		if g.Online {
			o.Online++
		}
	}
	for _, i := range newestIncidents(h) {
		if open(i) {
			i.Alerts = nil
			o.Open = append(o.Open, i)
		}
	}
	for _, r := range newestResponses(h) {
		if r.Status == "proposed" {
			o.Waiting = append(o.Waiting, r)
		}
	}
	for s, es := range h.timeline {
		if s.Kind == ringwall.SubjectDevice {
			for _, e := range es {
				e.Subject = s
				o.Recent = append(o.Recent, e)
			}
		}
	}
	slices.SortFunc(o.Recent, func(x, y api.TimelineEntry) int {
		return cmp.Or(y.Time.Compare(x.Time), cmp.Compare(x.Event, y.Event))
	})
	o.Recent = o.Recent[:min(len(o.Recent), 12)]
	return o, nil
}

func open(i api.Incident) bool { return i.Status != "resolved" && i.Status != "closed" }

func newestIncidents(h *holdings) []api.Incident {
	return sorted(h.incidents, func(x, y api.Incident) int {
		return cmp.Or(y.Updated.Compare(x.Updated), cmp.Compare(x.ID, y.ID))
	})
}

func newestResponses(h *holdings) []api.Response {
	return sorted(h.responses, func(x, y api.Response) int { return cmp.Or(y.Made.Compare(x.Made), cmp.Compare(x.ID, y.ID)) })
}

// own reports whether the subject is the organisation's.
func (h *holdings) own(s ringwall.Subject) bool {
	var ok bool
	switch s.Kind {
	case ringwall.SubjectDevice:
		_, ok = h.devices[ringwall.DeviceID(s.ID)]
	case ringwall.SubjectSIM:
		_, ok = h.sims[ringwall.SIMID(s.ID)]
	case ringwall.SubjectGateway:
		_, ok = h.gateways[ringwall.GatewayID(s.ID)]
	case ringwall.SubjectIncident:
		_, ok = h.incidents[ringwall.IncidentID(s.ID)]
	}
	return ok
}

// Timeline is of httpapi.Fleet.
func (m *Mem) Timeline(_ context.Context, a audit.Actor, s ringwall.Subject, before time.Time, limit int) ([]api.TimelineEntry, error) {
	h, err := m.enter(a, "device.read", s.ID)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !h.own(s) {
		return nil, ringwall.Errorf(ringwall.NotFound, "no such %s", s.Kind)
	}
	var out []api.TimelineEntry
	for _, e := range h.timeline[s] {
		if before.IsZero() || e.Time.Before(before) {
			out = append(out, e)
		}
	}
	return cut(out, limit), nil
}

func cut[T any](all []T, limit int) []T {
	if limit <= 0 {
		limit = httpapi.DefaultPage
	}
	return slices.Clone(all[:min(len(all), limit)])
}

// DemoAttack is of httpapi.Fleet.
func (m *Mem) DemoAttack(_ context.Context, a audit.Actor, attack, on string) error {
	h, err := m.enter(a, "demo.run", attack)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	if h.demo == nil {
		return ringwall.Errorf(ringwall.Unavailable, "no demo runs here")
	}
	if !slices.ContainsFunc(h.demo.Attacks, func(s string) bool { return s == attack }) {
		return ringwall.Errorf(ringwall.NotFound, "no such attack")
	}
	m.attacks = append(m.attacks, attack)
	for _, d := range sorted(h.devices, func(x, y api.Device) int { return cmp.Compare(x.ID, y.ID) }) {
		if d.Incident != "" {
			m.note(a.Org, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(d.ID)}, ringwall.EventAlert, "timeline.demo.attack", "the range started attack "+attack, a.String(), "", map[string]string{"attack": attack})
		}
	}
	return nil
}

// Devices is of httpapi.Devices.
func (m *Mem) Devices(_ context.Context, a audit.Actor, f httpapi.DeviceFilter, p httpapi.Paging) (api.Page[api.Device], error) {
	h, err := m.enter(a, "device.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Device]{}, err
	}
	all := slices.DeleteFunc(sorted(h.devices, func(x, y api.Device) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	}), func(d api.Device) bool {
		text := strings.ToLower(strings.Join([]string{d.Name, d.Vendor, d.Model, d.Binding.MAC, d.Binding.IP.String()}, " "))
		return !strings.Contains(text, strings.ToLower(f.Text)) || f.Gateway != "" && d.Gateway != f.Gateway || f.Type != "" && d.Type != f.Type ||
			f.Grade != nil && d.Grade != *f.Grade || f.Trust != nil && d.Trust != *f.Trust || f.Presence != nil && d.Presence != *f.Presence ||
			f.Enrolled != nil && d.Enrolled != *f.Enrolled
	})
	return page(all, p)
}

// Device is of httpapi.Devices.
func (m *Mem) Device(_ context.Context, a audit.Actor, id ringwall.DeviceID) (api.Device, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Device{}, err
	}
	return find(h.devices, "device", id)
}

// CreateDevice is of httpapi.Devices.
func (m *Mem) CreateDevice(_ context.Context, a audit.Actor, in api.DeviceCreate) (api.Device, error) {
	h, err := m.enter(a, "device.write", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Device{}, err
	}
	if strings.TrimSpace(in.Name) == "" || in.SIM == "" || in.Gateway == "" {
		return api.Device{}, ringwall.Errorf(ringwall.Invalid, "a device that is made by hand has a name, a SIM and a gateway")
	}
	card, err := find(h.sims, "SIM", in.SIM)
	if err != nil {
		return api.Device{}, err
	}
	if _, err := find(h.gateways, "gateway", in.Gateway); err != nil {
		return api.Device{}, err
	}
	if card.Device != "" {
		return api.Device{}, ringwall.Errorf(ringwall.Conflict, "the SIM is another device's")
	}
	d := api.Device{
		ID: ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, m.now())), Org: a.Org, Name: strings.TrimSpace(in.Name), Type: cmp.Or(in.Type, "unknown"), Gateway: in.Gateway, SIM: in.SIM, BySIM: true,
		Created: m.now(), Enrolled: true, Tags: in.Tags, Version: 1, Holds: []api.Hold{}, Terms: []api.Term{}, TrustReasons: []api.TrustReason{},
	}
	if in.Mode != nil {
		d.Mode = *in.Mode
	}
	h.devices[d.ID] = d
	card.Device = d.ID
	h.sims[card.ID] = card
	return d, nil
}

// PatchDevice is of httpapi.Devices.
func (m *Mem) PatchDevice(_ context.Context, a audit.Actor, id ringwall.DeviceID, version uint64, p api.DevicePatch) (api.Device, error) {
	h, err := m.enter(a, "device.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Device{}, err
	}
	d, err := find(h.devices, "device", id)
	if err != nil {
		return d, err
	}
	if version != 0 && version != d.Version {
		return d, ringwall.Errorf(ringwall.Conflict, "the device has changed since you read it")
	}
	if p.Leaves != nil {
		for _, l := range *p.Leaves {
			if _, err := find(h.devices, "device", l.Device); err != nil {
				return d, err
			}
		}
		d.Leaves = *p.Leaves
	}
	if p.Tags != nil {
		d.Tags = *p.Tags
	}
	if p.SIM != nil && *p.SIM != "" {
		if _, err := find(h.sims, "SIM", *p.SIM); err != nil {
			return d, err
		}
		d.SIM = *p.SIM
	}
	if p.Gateway != nil {
		if _, err := find(h.gateways, "gateway", *p.Gateway); err != nil {
			return d, err
		}
		d.Gateway = *p.Gateway
	}
	if p.Use != nil {
		d.Profile.Use = *p.Use
	}
	if p.Gate != nil {
		if d.Gate = p.Gate; p.Gate.Worst == ringwall.Ungraded {
			d.Gate = nil
		}
	}
	if p.Agent != nil {
		if *p.Agent != "" {
			if _, err := find(h.gateways, "gateway", *p.Agent); err != nil {
				return d, err
			}
		}
		d.Agent = *p.Agent
	}
	if p.Pin != nil && *p.Pin {
		if d.Elsewhere == nil {
			return d, ringwall.Errorf(ringwall.Conflict, "the device was not seen elsewhere than where it is bound")
		}
		d.Binding, d.Elsewhere = *d.Elsewhere, nil
	}
	if p.Name != nil {
		d.Name = *p.Name
	}
	if p.Type != nil {
		d.Type = *p.Type
	}
	s := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)}
	if p.Mode != nil && *p.Mode != d.Mode {
		was := d.Mode
		d.Mode = *p.Mode
		m.note(a.Org, s, ringwall.EventDeviceMode, "timeline.device.mode", "mode "+was.String()+" → "+d.Mode.String(), a.String(), "", map[string]string{"old": was.String(), "new": d.Mode.String()})
	}
	if p.Enrolled != nil {
		d.Enrolled = *p.Enrolled
	}
	d.Version++
	h.devices[id] = d
	return d, nil
}

// Flows is of httpapi.Devices.
func (m *Mem) Flows(_ context.Context, a audit.Actor, id ringwall.DeviceID, q httpapi.FlowQuery) ([]api.FlowRow, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return nil, err
	}
	var out []api.FlowRow
	for _, f := range h.flows[id] {
		if (q.Verdict == "" || f.Verdict == q.Verdict) && (q.From.IsZero() || !f.Time.Before(q.From)) && (q.To.IsZero() || f.Time.Before(q.To)) {
			out = append(out, f)
		}
	}
	return cut(out, q.Limit), nil
}

// AssessDevice is of httpapi.Assessments.
func (m *Mem) AssessDevice(_ context.Context, a audit.Actor, id ringwall.DeviceID) (ringwall.AssessID, error) {
	h, err := m.enter(a, "assess.run", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return "", err
	}
	d, err := find(h.devices, "device", id)
	if err != nil {
		return "", err
	}
	as := ringwall.AssessID(m.fresh(ringwall.PrefixAssess))
	prev := h.assessments[d.Assess]
	prev.ID, prev.Device, prev.Org, prev.Started, prev.Ended = as, id, a.Org, m.now(), m.now()
	h.assessments[as] = prev
	m.note(a.Org, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)}, ringwall.EventAssessment, "timeline.assessment", "assessed: 7 findings, 3 of them failed", a.String(), string(as), map[string]string{"findings": "7", "failed": "3"})
	return as, nil
}

// Assessments is of httpapi.Assessments.
func (m *Mem) Assessments(_ context.Context, a audit.Actor, id ringwall.DeviceID, p httpapi.Paging) (api.Page[api.Assessment], error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Assessment]{}, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return api.Page[api.Assessment]{}, err
	}
	all := slices.DeleteFunc(sorted(h.assessments, func(x, y api.Assessment) int {
		return cmp.Or(y.Ended.Compare(x.Ended), cmp.Compare(x.ID, y.ID))
	}), func(x api.Assessment) bool { return x.Device != id })
	return page(all, p)
}

// Assessment is of httpapi.Assessments.
func (m *Mem) Assessment(_ context.Context, a audit.Actor, id ringwall.AssessID) (api.Assessment, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Assessment{}, err
	}
	return find(h.assessments, "assessment", id)
}

// SubmitAssessment is of httpapi.Assessments.
func (m *Mem) SubmitAssessment(_ context.Context, a audit.Actor, in api.Assessment) (api.Assessment, error) {
	h, err := m.enter(a, "assess.run", string(in.Device))
	defer m.mu.Unlock()
	if err != nil {
		return in, err
	}
	if in.Device != "" {
		d, err := find(h.devices, "device", in.Device)
		if err != nil {
			return in, err
		}
		defer func() { h.devices[d.ID] = d }()
		d.Version++
	}
	if in.ID != "" {
		if _, taken := h.assessments[in.ID]; taken {
			return in, ringwall.Errorf(ringwall.Conflict, "this assessment is stored already")
		}
	}
	in.Org, in.ID = a.Org, ringwall.AssessID(m.fresh(ringwall.PrefixAssess))
	h.assessments[in.ID] = in
	return in, nil
}

// Gateways is of httpapi.Gateways.
func (m *Mem) Gateways(_ context.Context, a audit.Actor, p httpapi.Paging) (api.Page[api.Gateway], error) {
	h, err := m.enter(a, "gateway.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Gateway]{}, err
	}
	return page(sorted(h.gateways, func(x, y api.Gateway) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) }), p)
}

// Gateway is of httpapi.Gateways.
func (m *Mem) Gateway(_ context.Context, a audit.Actor, id ringwall.GatewayID) (api.Gateway, error) {
	h, err := m.enter(a, "gateway.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Gateway{}, err
	}
	return find(h.gateways, "gateway", id)
}

// PatchGateway is of httpapi.Gateways.
func (m *Mem) PatchGateway(_ context.Context, a audit.Actor, id ringwall.GatewayID, p api.GatewayPatch) (api.Gateway, error) {
	h, err := m.enter(a, "gateway.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Gateway{}, err
	}
	g, err := find(h.gateways, "gateway", id)
	if err != nil {
		return g, err
	}
	if p.Remediate != nil {
		for _, t := range *p.Remediate {
			if t.Device != "" {
				if _, err := find(h.devices, "device", t.Device); err != nil {
					return g, err
				}
			}
		}
		g.Remediate = *p.Remediate
	}
	if err := h.knowsSite(api.Site{Groups: p.Groups, Terms: p.Terms, Controllers: p.Controllers}); err != nil {
		return g, err
	}
	if p.Groups != nil {
		g.Groups = *p.Groups
	}
	if p.Terms != nil {
		g.Terms = *p.Terms
	}
	if p.Controllers != nil {
		g.Controllers = *p.Controllers
	}
	if p.Template != nil && *p.Template != "" {
		versions, err := find(h.fleet.templates, "template", *p.Template)
		if err != nil {
			return g, err
		}
		g.Template, g.TemplateVersion = *p.Template, len(versions)
	}
	if p.Name != nil {
		g.Name = *p.Name
	}
	if p.Revoked != nil && *p.Revoked {
		g.Revoked, g.Online = m.now(), false
	}
	if p.Arrival != nil {
		g.Arrival = *p.Arrival
	}
	if p.Resolver != nil {
		g.Resolver = *p.Resolver
	}
	if p.LocalNets != nil {
		g.LocalNets = *p.LocalNets
	}
	h.gateways[id] = g
	return g, nil
}

// CreateEnrolToken is of httpapi.Gateways.
func (m *Mem) CreateEnrolToken(_ context.Context, a audit.Actor) (api.EnrolToken, error) {
	_, err := m.enter(a, "gateway.enrol", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.EnrolToken{}, err
	}
	t := api.EnrolToken{ID: ringwall.TokenID(m.fresh(ringwall.PrefixToken)), Token: "rwe_" + rand.Text(), Expires: m.now().Add(time.Hour)}
	m.invites[t.Token] = a.Org
	return t, nil
}

// Enrol is of httpapi.Gateways.
func (m *Mem) Enrol(_ context.Context, req api.EnrolRequest) (api.EnrolAnswer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	org, ok := m.invites[req.Token]
	if !ok {
		return api.EnrolAnswer{}, ringwall.Errorf(ringwall.Unverified, "the enrolment token does not hold")
	}
	delete(m.invites, req.Token)
	g := api.Gateway{ID: ringwall.GatewayID(m.fresh(ringwall.PrefixGateway)), Org: org, Name: cmp.Or(req.Name, "gateway"), Enrolled: m.now()}
	m.org(org).gateways[g.ID] = g
	m.emit(org, ringwall.EventGatewayEnrol, ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(g.ID)}, string(g.ID))
	return api.EnrolAnswer{Org: org, Gateway: g.ID, Spine: []string{"tls://127.0.0.1:4222"}}, nil
}
