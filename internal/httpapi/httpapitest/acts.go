package httpapitest

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// SIMs is of httpapi.SIMs.
func (m *Mem) SIMs(_ context.Context, a audit.Actor, p httpapi.Paging) (api.Page[api.SIM], error) {
	h, err := m.enter(a, "sim.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.SIM]{}, err
	}
	return page(sorted(h.sims, func(x, y api.SIM) int { return cmp.Compare(x.ID, y.ID) }), p)
}

// SIM is of httpapi.SIMs.
func (m *Mem) SIM(_ context.Context, a audit.Actor, id ringwall.SIMID) (api.SIM, error) {
	h, err := m.enter(a, "sim.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.SIM{}, err
	}
	return find(h.sims, "SIM", id)
}

// CreateSIM is of httpapi.SIMs.
func (m *Mem) CreateSIM(_ context.Context, a audit.Actor, in api.SIMCreate) (api.SIM, error) {
	h, err := m.enter(a, "sim.write", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.SIM{}, err
	}
	if in.ICCID == "" || in.IMSI == "" {
		return api.SIM{}, ringwall.Errorf(ringwall.Invalid, "a SIM needs its ICCID and IMSI")
	}
	if in.Device != "" {
		if _, err := find(h.devices, "device", in.Device); err != nil {
			return api.SIM{}, err
		}
	}
	s := api.SIM{
		ID: ringwall.SIMID(m.fresh(ringwall.PrefixSIM)), Org: a.Org, ICCID: ringwall.ICCID(in.ICCID).String(), IMSI: ringwall.IMSI(in.IMSI).String(),
		BoundIMEI: ringwall.IMEI(in.IMEI).String(), Device: in.Device, State: "unknown", Services: in.Services, Peers: in.Peers,
	}
	h.sims[s.ID] = s
	return s, nil
}

// Incidents is of httpapi.Incidents.
func (m *Mem) Incidents(_ context.Context, a audit.Actor, f httpapi.IncidentFilter, p httpapi.Paging) (api.Page[api.Incident], error) {
	h, err := m.enter(a, "incident.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Incident]{}, err
	}
	all := slices.DeleteFunc(newestIncidents(h), func(i api.Incident) bool {
		of := i.Subject == f.Subject || f.Subject == ringwall.Subject{} || f.Subject.Kind == ringwall.SubjectSIM && string(i.SIM) == f.Subject.ID
		return f.Open && !open(i) || !of
	})
	for n := range all {
		all[n].Alerts = nil
	}
	return page(all, p)
}

// Incident is of httpapi.Incidents.
func (m *Mem) Incident(_ context.Context, a audit.Actor, id ringwall.IncidentID) (api.Incident, error) {
	h, err := m.enter(a, "incident.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Incident{}, err
	}
	i, err := find(h.incidents, "incident", id)
	if err != nil {
		return i, err
	}
	i.Responses = nil
	for _, r := range newestResponses(h) {
		if r.Incident == id {
			i.Responses = append(i.Responses, r)
		}
	}
	return i, nil
}

// PatchIncident is of httpapi.Incidents.
func (m *Mem) PatchIncident(_ context.Context, a audit.Actor, id ringwall.IncidentID, p api.IncidentPatch) (api.Incident, error) {
	h, err := m.enter(a, "incident.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Incident{}, err
	}
	i, err := find(h.incidents, "incident", id)
	if err != nil {
		return i, err
	}
	if p.Status != nil {
		if !slices.Contains([]string{"new", "triaged", "contained", "resolved", "closed"}, *p.Status) {
			return i, ringwall.Errorf(ringwall.Invalid, "an incident has no status %q", *p.Status)
		}
		i.Status = *p.Status
		if !open(i) {
			i.Closed = m.now()
		}
	}
	if p.Disposition != nil {
		i.Disposition = *p.Disposition
	}
	i.Updated = m.now()
	h.incidents[id] = i
	m.emit(a.Org, ringwall.EventIncident, ringwall.Subject{Kind: ringwall.SubjectIncident, ID: string(id)}, a.String())
	return i, nil
}

// Responses is of httpapi.Responses.
func (m *Mem) Responses(_ context.Context, a audit.Actor, f httpapi.ResponseFilter, p httpapi.Paging) (api.Page[api.Response], error) {
	h, err := m.enter(a, "incident.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Response]{}, err
	}
	return page(slices.DeleteFunc(newestResponses(h), func(r api.Response) bool {
		return f.Status != "" && r.Status != f.Status || f.Target != ringwall.Subject{} && r.Target != f.Target
	}), p)
}

// CreateResponse is of httpapi.Responses.
func (m *Mem) CreateResponse(_ context.Context, a audit.Actor, in api.ResponseCreate) (api.Response, error) {
	h, err := m.enter(a, "device.respond", in.Target.ID)
	defer m.mu.Unlock()
	if err != nil {
		return api.Response{}, err
	}
	if !h.own(in.Target) {
		return api.Response{}, ringwall.Errorf(ringwall.NotFound, "no such %s", in.Target.Kind)
	}
	if in.Incident != "" {
		if _, err := find(h.incidents, "incident", in.Incident); err != nil {
			return api.Response{}, err
		}
	}
	r := api.Response{
		ID: ringwall.ResponseID(m.fresh(ringwall.PrefixResponse)), Org: a.Org, Incident: in.Incident, Kind: in.Kind, Target: in.Target,
		Do: "act", Status: "proposed", By: a.String(), Reason: in.Reason, Made: m.now(),
	}
	if in.Expiry > 0 {
		r.Expires = m.now().Add(time.Duration(in.Expiry))
	}
	return m.carryOut(h, r), nil
}

// carryOut does a response. The caller holds mu.
func (m *Mem) carryOut(h *holdings, r api.Response) api.Response {
	r.Status, r.Done = "done", m.now()
	do := map[string]ringwall.Restriction{"quarantine": ringwall.Quarantine, "cutoff": ringwall.Cutoff}[r.Kind]
	if d, ok := h.devices[ringwall.DeviceID(r.Target.ID)]; ok && do != ringwall.Unrestricted {
		r.Hold = ringwall.HoldID(m.fresh(ringwall.PrefixHold))
		d.Holds = append(slices.Clone(d.Holds), api.Hold{ID: r.Hold, Device: d.ID, Do: do, By: r.By, Reason: r.Reason, Made: m.now(), Expires: r.Expires})
		d.Version++
		h.devices[d.ID] = d
		m.note(r.Org, r.Target, ringwall.EventDeviceHold, "timeline.device.hold", do.String()+" in force, by "+r.By+"; 0 live flows cut", r.By, string(r.Hold), map[string]string{"do": do.String(), "by": r.By, "flows": "0"})
	}
	if s, ok := h.sims[ringwall.SIMID(r.Target.ID)]; ok && r.Kind == "sim-suspend" {
		s.State = "suspended"
		h.sims[s.ID] = s
		m.note(r.Org, r.Target, ringwall.EventSIM, "timeline.sim.suspended", "SIM suspended", r.By, string(r.ID), nil)
	}
	h.responses[r.ID] = r
	m.emit(r.Org, ringwall.EventResponse, r.Target, r.By)
	return r
}

// DecideResponse is of httpapi.Responses.
func (m *Mem) DecideResponse(_ context.Context, a audit.Actor, id ringwall.ResponseID, d httpapi.Decision) (api.Response, error) {
	h, err := m.enter(a, "device.respond", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Response{}, err
	}
	r, err := find(h.responses, "response", id)
	if err != nil {
		return r, err
	}
	switch {
	case d == httpapi.Approve && r.Status == "proposed":
		return m.carryOut(h, r), nil
	case d == httpapi.Decline && r.Status == "proposed":
		r.Status = "declined"
	case d == httpapi.Undo && r.Status == "done":
		r.Status, r.Undone = "undone", m.now()
		if dev, ok := h.devices[ringwall.DeviceID(r.Target.ID)]; ok {
			dev.Holds = slices.DeleteFunc(slices.Clone(dev.Holds), func(x api.Hold) bool { return x.ID == r.Hold })
			dev.Version++
			h.devices[dev.ID] = dev
			m.note(r.Org, r.Target, ringwall.EventDeviceHold, "timeline.device.hold.lifted", "restriction lifted", a.String(), string(r.Hold), map[string]string{"do": r.Kind, "reason": "undone"})
		}
		if s, ok := h.sims[ringwall.SIMID(r.Target.ID)]; ok {
			s.State = "active"
			h.sims[s.ID] = s
		}
	default:
		return r, ringwall.Errorf(ringwall.Conflict, "the response is %s: it is too late to %s it", r.Status, d)
	}
	h.responses[id] = r
	m.emit(r.Org, ringwall.EventResponse, r.Target, a.String())
	return r, nil
}

// Users is of httpapi.People.
func (m *Mem) Users(_ context.Context, a audit.Actor) ([]api.User, error) {
	h, err := m.enter(a, "org.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return slices.Clone(h.users), nil
}

// CreateUser is of httpapi.People.
func (m *Mem) CreateUser(_ context.Context, a audit.Actor, in api.UserCreate) (api.User, error) {
	h, err := m.enter(a, "user.admin", in.Name)
	defer m.mu.Unlock()
	if err != nil {
		return api.User{}, err
	}
	if in.Name == "" || len(in.Password) < 10 {
		return api.User{}, &ringwall.Error{Code: ringwall.Invalid, Text: "a user needs a name and a password of at least 10 characters", Hint: "choose a longer password"}
	}
	if _, taken := m.people[in.Name]; taken {
		return api.User{}, ringwall.Errorf(ringwall.Conflict, "the name is taken")
	}
	u := api.User{ID: ringwall.UserID(m.fresh(ringwall.PrefixUser)), Org: a.Org, Name: in.Name, Parts: in.Parts}
	h.users = append(h.users, u)
	m.people[in.Name] = person{password: in.Password, actor: audit.Actor{Kind: audit.KindUser, ID: string(u.ID), Org: a.Org, Parts: in.Parts, Name: in.Name}}
	return u, nil
}

// Parties is of httpapi.People.
func (m *Mem) Parties(_ context.Context, a audit.Actor) ([]ringwall.Party, error) {
	h, err := m.enter(a, "org.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var out []ringwall.Party
	for _, u := range h.users {
		for _, p := range u.Parts {
			out = append(out, ringwall.Party{Subject: string(u.ID), Org: u.Org, Part: p})
		}
	}
	return out, nil
}

// Tokens is of httpapi.People.
func (m *Mem) Tokens(_ context.Context, a audit.Actor) ([]api.APIToken, error) {
	h, err := m.enter(a, "org.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return slices.Clone(h.tokens), nil
}

// CreateToken is of httpapi.People.
func (m *Mem) CreateToken(_ context.Context, a audit.Actor, in api.TokenCreate) (api.APIToken, error) {
	h, err := m.enter(a, "token.admin", in.Name)
	defer m.mu.Unlock()
	if err != nil {
		return api.APIToken{}, err
	}
	for _, p := range in.Parts {
		if !a.Plays(p) {
			return api.APIToken{}, ringwall.Errorf(ringwall.Forbidden, "a token cannot play the part %q, which you do not", p)
		}
	}
	t := api.APIToken{ID: ringwall.TokenID(m.fresh(ringwall.PrefixToken)), Name: in.Name, Parts: in.Parts, Created: m.now(), Expires: in.Expires}
	h.tokens = append(h.tokens, t)
	t.Token = "rwt_" + rand.Text()
	m.secrets[t.Token] = audit.Actor{Kind: audit.KindToken, ID: string(t.ID), Org: a.Org, Parts: in.Parts, Name: in.Name}
	return t, nil
}

// DeleteToken is of httpapi.People.
func (m *Mem) DeleteToken(_ context.Context, a audit.Actor, id ringwall.TokenID) error {
	h, err := m.enter(a, "token.admin", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n := slices.IndexFunc(h.tokens, func(t api.APIToken) bool { return t.ID == id })
	if n < 0 {
		return ringwall.Errorf(ringwall.NotFound, "no such token")
	}
	h.tokens = slices.Delete(slices.Clone(h.tokens), n, n+1)
	for secret, who := range m.secrets {
		if who.ID == string(id) {
			delete(m.secrets, secret)
		}
	}
	return nil
}

// Audit is of httpapi.Trail.
func (m *Mem) Audit(_ context.Context, a audit.Actor, before time.Time, limit int) ([]api.AuditEntry, error) {
	h, err := m.enter(a, "audit.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(h.audit)
	slices.SortStableFunc(all, func(x, y api.AuditEntry) int { return cmp.Compare(y.Time.UnixNano(), x.Time.UnixNano()) })
	return cut(slices.DeleteFunc(all, func(e api.AuditEntry) bool { return !before.IsZero() && !e.Time.Before(before) }), limit), nil
}
