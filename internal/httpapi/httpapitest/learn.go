package httpapitest

import (
	"context"
	"slices"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
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
			out.Left = append(out.Left, api.DraftLeft{What: f.Remote.String(), Why: "it was refused or has no name", Days: 1, Last: f.Time})
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
	h.fleet.muds[id] = api.MUDState{Device: id, URL: in.URL, From: "owner", Status: "waiting", Noticed: m.now(), Supported: true, Terms: []api.Term{}}
	return h.fleet.muds[id], nil
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
	to := map[string]string{"narrow": "narrow", "approve": "approved", "decline": "declined", "refresh": d.Status}[in.Decision]
	if to == "" {
		return d, ringwall.Errorf(ringwall.Invalid, "no such decision")
	}
	d.Status, d.By, d.Decided = to, a.String(), m.now()
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
