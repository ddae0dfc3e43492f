package httpapitest

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/policy/mudpolicy"
	"github.com/ringwall/ringwall/mud"
)

// LearnPolicy is of httpapi.Policies: one term for each end that was reached.
func (m *Mem) LearnPolicy(_ context.Context, a audit.Actor, id ringwall.DeviceID, in api.LearnRequest) (api.PolicyDraft, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	out := api.PolicyDraft{Device: id, From: m.now().AddDate(0, 0, -max(in.Days, 1)), To: m.now(), Lines: []api.DraftLine{}, Left: []api.DraftLeft{}, All: true}
	if err != nil {
		return out, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return out, err
	}
	for i, f := range h.flows[id] {
		out.Flows++
		if f.Verdict == "refused" || f.Name == "" {
			out.Left = append(out.Left, api.DraftLeft{What: f.Remote.String(), Why: "it was refused: what was tried is no need", Key: "learnwhy.refused", Days: 1, Last: f.Time})
			continue
		}
		out.Lines = append(out.Lines, api.DraftLine{
			Term: api.Term{
				ID: "learned-" + strconv.Itoa(i), Action: api.Allow, Direction: f.Direction, Domain: f.Name, Proto: f.Proto,
				Ports: []api.PortRange{{First: f.Remote.Port(), Last: f.Remote.Port()}},
			},
			Flows: 1, Bytes: f.Bytes, Days: 1, First: f.Time, Last: f.Time,
		})
	}
	return out, nil
}

// ApproveDraft is of httpapi.Policies.
func (m *Mem) ApproveDraft(_ context.Context, a audit.Actor, id ringwall.DeviceID, in api.DraftApproval) (api.PolicyView, error) {
	h, err := m.enter(a, "policy.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.PolicyView{}, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return api.PolicyView{}, err
	}
	if err := h.knows(in.Terms); err != nil {
		return api.PolicyView{}, err
	}
	if in.Group != "" {
		g, err := find(h.fleet.groups, "group", in.Group)
		if err != nil {
			return api.PolicyView{}, err
		}
		g.Terms = append(g.Terms, in.Terms...)
		h.fleet.groups[in.Group] = g
	} else {
		h.fleet.owner[id] = append(h.fleet.owner[id], in.Terms...)
	}
	return h.policy(id)
}

// MUD is of httpapi.Policies.
func (m *Mem) MUD(_ context.Context, a audit.Actor, id ringwall.DeviceID) (api.MUDState, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.MUDState{}, err
	}
	return find(h.fleet.muds, "usage description", id)
}

// PutMUD is of httpapi.Policies.
func (m *Mem) PutMUD(_ context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDPut) (api.MUDState, error) {
	h, err := m.enter(a, "policy.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.MUDState{}, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return api.MUDState{}, err
	}
	if (in.URL == "") == (len(in.File) == 0) {
		return api.MUDState{}, ringwall.Errorf(ringwall.Invalid, "name the URL of the description, or hand the file in")
	}
	s := api.MUDState{Device: id, URL: in.URL, From: "owner", Status: "waiting", Noticed: m.now(), Supported: true, Terms: []api.Term{}}
	if len(in.File) > 0 {
		f, err := mud.Parse(in.File)
		if err != nil {
			return api.MUDState{}, err
		}
		s.URL, s.From, s.Status, s.Fetched, s.Supported = f.URL, "file", "proposed", m.now(), f.Supported
		sig := mud.CheckSignature(f, in.File, in.Signature, nil, mud.Trust{Now: m.now()})
		s.Signature, s.Signer, s.Reason = string(sig.State), sig.Signer, sig.Reason
		terms, notes := mudpolicy.Terms(f)
		s.Terms, s.Remarks = terms, notes
	}
	s.Waits = s.Asks()
	h.fleet.muds[id] = s
	return s, nil
}

// ExplainMUD is of httpapi.Policies. It tells of the device's own terms as if the
// description took them away, and of its allows as if they were new.
func (m *Mem) ExplainMUD(_ context.Context, a audit.Actor, id ringwall.DeviceID, _ api.MUDPut) (api.MUDPreview, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.MUDPreview{}, err
	}
	d, err := find(h.devices, "device", id)
	if err != nil {
		return api.MUDPreview{}, err
	}
	s, err := find(h.fleet.muds, "usage description", id)
	if err != nil {
		return api.MUDPreview{}, err
	}
	if s.Fetched.IsZero() {
		return api.MUDPreview{}, ringwall.Errorf(ringwall.Conflict, "the description is not at hand yet")
	}
	out := api.MUDPreview{State: s}
	for _, c := range []*api.PolicyChange{&out.Narrow, &out.Approve} {
		*c = api.PolicyChange{Allows: []string{}, Refuses: []string{}, Flows: []api.FlowRow{}, From: m.now(), All: true}
	}
	for _, t := range s.Terms {
		if t.Action == api.Allow {
			out.Approve.Allows = append(out.Approve.Allows, t.ID)
			out.Approve.Lines = append(out.Approve.Lines, lineOf(t, true))
		}
	}
	for _, t := range d.Terms {
		out.Narrow.Refuses = append(out.Narrow.Refuses, t.ID)
		out.Narrow.Lines = append(out.Narrow.Lines, lineOf(t, false))
	}
	return out, nil
}

func lineOf(t api.Term, allows bool) api.ChangeLine {
	l := api.ChangeLine{Allows: allows, Direction: t.Direction, Kind: "name", Value: t.Domain, Proto: t.Proto, Ports: t.Ports}
	switch {
	case t.Local:
		l.Kind = "local"
	case t.CIDR.IsValid():
		l.Kind, l.Value = "address", t.CIDR.String()
	}
	if t.Inside != nil || t.Window != nil {
		l.When = &api.Condition{Inside: t.Inside, Window: t.Window}
	}
	return l
}

// MUDTasks is of httpapi.Policies.
func (m *Mem) MUDTasks(_ context.Context, a audit.Actor) ([]api.MUDTask, error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	out := []api.MUDTask{}
	if err != nil {
		return nil, err
	}
	for _, s := range sorted(h.fleet.muds, func(x, y api.MUDState) int { return cmp.Compare(x.Device, y.Device) }) {
		if s.Waits = s.Asks(); len(s.Waits) > 0 {
			out = append(out, api.MUDTask{Name: h.devices[s.Device].Name, State: s})
		}
	}
	return out, nil
}

// MUDSettings is of httpapi.Policies.
func (m *Mem) MUDSettings(_ context.Context, a audit.Actor) (api.MUDSettings, error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.MUDSettings{}, err
	}
	return h.mudSettings, nil
}

// PutMUDSettings is of httpapi.Policies.
func (m *Mem) PutMUDSettings(_ context.Context, a audit.Actor, in api.MUDSettings) (api.MUDSettings, error) {
	h, err := m.enter(a, "org.admin", "")
	defer m.mu.Unlock()
	if err != nil {
		return in, err
	}
	certs, err := mud.Roots([]byte(in.Roots))
	if err != nil {
		return in, err
	}
	in.Trusted = nil
	for _, c := range certs {
		in.Trusted = append(in.Trusted, api.MUDRoot{Subject: c.Subject.String(), Until: c.NotAfter, From: "organisation"})
	}
	h.mudSettings = in
	return in, nil
}

// DecideMUD is of httpapi.Policies.
func (m *Mem) DecideMUD(_ context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDDecision) (api.MUDState, error) {
	h, err := m.enter(a, "policy.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.MUDState{}, err
	}
	d, err := find(h.fleet.muds, "usage description", id)
	if err != nil {
		return d, err
	}
	to := map[string]string{"narrow": "narrow", "approve": "approved", "decline": "declined", "keep": d.Status, "refresh": d.Status}[in.Decision]
	if to == "" {
		return d, ringwall.Errorf(ringwall.Invalid, "no such decision")
	}
	if d.Changed != nil && in.Decision == "decline" {
		to = d.Status
	}
	d.Status, d.By, d.Decided, d.Changed, d.Told = to, a.String(), m.now(), nil, ""
	d.Waits = d.Asks()
	h.fleet.muds[id] = d
	return d, nil
}

// ExportMUD is of httpapi.Policies.
func (m *Mem) ExportMUD(_ context.Context, a audit.Actor, id ringwall.DeviceID) (api.MUDExport, error) {
	h, err := m.enter(a, "policy.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.MUDExport{}, err
	}
	_, err = find(h.devices, "device", id)
	return api.MUDExport{File: []byte(`{"ietf-mud:mud":{}}`), Notes: []string{}}, err
}

// SIMProfiles is of httpapi.Policies.
func (m *Mem) SIMProfiles(_ context.Context, a audit.Actor, id ringwall.SIMID) ([]api.SIMProfile, error) {
	h, err := m.enter(a, "sim.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	_, err = find(h.sims, "SIM", id)
	return slices.Clone(h.fleet.profiles[id]), err
}

// PutSIMProfile is of httpapi.Policies.
func (m *Mem) PutSIMProfile(_ context.Context, a audit.Actor, id ringwall.SIMID, in api.FunctionProfile) ([]api.SIMProfile, error) {
	h, err := m.enter(a, "sim.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := find(h.sims, "SIM", id); err != nil {
		return nil, err
	}
	old := h.fleet.profiles[id]
	h.fleet.profiles[id] = slices.Insert(old, 0, api.SIMProfile{Version: len(old) + 1, Profile: in, Made: m.now(), By: a.String(), State: "asked"})
	return slices.Clone(h.fleet.profiles[id]), nil
}

// UndoSIMProfile is of httpapi.Policies.
func (m *Mem) UndoSIMProfile(_ context.Context, a audit.Actor, id ringwall.SIMID) ([]api.SIMProfile, error) {
	h, err := m.enter(a, "sim.write", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := find(h.sims, "SIM", id); err != nil {
		return nil, err
	}
	old := h.fleet.profiles[id]
	if len(old) < 2 {
		return nil, ringwall.Errorf(ringwall.Conflict, "there is no version before this one")
	}
	p := old[1]
	p.Version = len(old) + 1
	h.fleet.profiles[id] = slices.Insert(old, 0, p)
	return slices.Clone(h.fleet.profiles[id]), nil
}
