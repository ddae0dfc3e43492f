package platform

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/segment"
)

const (
	learnDays    = 7
	maxLearnDays = 90
	// learnRows bounds the flow reports that one draft rests on.
	learnRows = 200_000
	// maxLeft bounds what is told of needs that are not proposed.
	maxLeft = 100
)

// LearnPolicy proposes the least that a device needs, out of its flow reports.
// Nothing follows from it until a person approves.
func (s *service) LearnPolicy(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.LearnRequest) (out api.PolicyDraft, err error) {
	if in.Days == 0 {
		in.Days = learnDays
	}
	if in.Days < 0 || in.Days > maxLearnDays || in.MinDays < 0 {
		return out, ringwall.Errorf(ringwall.Invalid, "learning looks at 1 to %d days", maxLearnDays)
	}
	if _, err := s.Device(ctx, a, id); err != nil {
		return out, err
	}
	if !sightOf(a).whole {
		return out, ringwall.Errorf(ringwall.Forbidden, "whom a device talked to is not shown to your parts")
	}
	now := s.now().UTC()
	out = api.PolicyDraft{Device: id, From: now.AddDate(0, 0, -in.Days), To: now, Lines: []api.DraftLine{}, Left: []api.DraftLeft{}}
	var x trial
	var alert time.Time
	err = s.peek(ctx, a, audit.PolicyRead, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		if x, err = t.trial(scope, id, nil); err != nil {
			return err
		}
		alert, err = t.firstAlert(scope, id, out.From)
		return err
	})
	if err != nil {
		return out, err
	}
	var seen []policy.Observation
	count := api.PolicyChange{All: true}
	if err := s.eachFlow(ctx, segment.Query{Org: a.Org, Device: id, From: out.From}, learnRows, &count, func(r api.FlowRow) { seen = append(seen, observed(r, x)) }); err != nil {
		return out, err
	}
	d := policy.Learn(seen, x.before, x.site, policy.LearnOptions{MinDays: in.MinDays, MinFlows: in.MinFlows, Alert: alert, IP6: len(x.before.IP6) > 0})
	out.Flows, out.All, out.Met = count.Looked, count.All, d.Covered
	for _, l := range d.Terms {
		l.Term.ID = strings.ReplaceAll(l.Term.ID, "/", "-") // as the owner's terms may be called
		out.Lines = append(out.Lines, api.DraftLine{Term: l.Term, Flows: l.Flows, Bytes: l.Bytes, Days: l.Days, First: l.First, Last: l.Last, Note: l.Note, NoteKey: l.NoteKey, NoteParams: l.NoteParams})
	}
	for _, l := range d.Dropped[:min(len(d.Dropped), maxLeft)] {
		other := l.Name
		if other == "" {
			other = l.Addr.String()
		}
		out.Left = append(out.Left, api.DraftLeft{What: strings.TrimSpace(string(l.Direction) + " " + other + " " + l.Proto + "/" + strconv.Itoa(int(l.Port))), Why: l.Why, Days: l.Days, Last: l.Last, Key: l.Key, Params: l.Params})
	}
	return out, nil
}

func observed(r api.FlowRow, x trial) policy.Observation {
	o := policy.Observation{
		Direction: r.Direction, Addr: r.Remote.Addr().Unmap(), Name: r.Name, Proto: r.Proto, Port: r.Remote.Port(), First: r.Time, Last: r.Time,
		Flows: 1, Bytes: r.Bytes, Refused: r.Verdict == "refused", Device: x.neighbours[r.Remote.Addr().Unmap()],
	}
	if r.Direction == api.ToDevice {
		o.Port = r.Local.Port()
	}
	return o
}

// firstAlert returns when the first attack on or by a device was told since a
// time; zero when none was.
func (t *turn) firstAlert(scope audit.Scope, id ringwall.DeviceID, since time.Time) (first time.Time, err error) {
	entries, err := t.tx.Timeline(scope, deviceSubject(id), time.Time{}, 500)
	for _, e := range entries {
		if e.Kind == ringwall.EventAlert && e.Time.After(since) && e.Params["nature"] != string(ringwall.NatureNotice) {
			first = e.Time // newest first
		}
	}
	return first, err
}

// ApproveDraft makes terms of what was learned: the owner's, or a group's.
func (s *service) ApproveDraft(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.DraftApproval) (api.PolicyView, error) {
	for i := range in.Terms {
		in.Terms[i].Why = "learned"
	}
	if err := checkTerms(in.Terms); err != nil {
		return api.PolicyView{}, err
	}
	act := audit.PolicyWrite
	if in.Group != "" {
		act = audit.GroupWrite
	}
	err := s.change(ctx, a, act, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		if _, err := t.tx.Device(scope, id); err != nil {
			return err
		}
		if err := t.knownDevices(&in.Terms); err != nil {
			return err
		}
		if err := t.tell(scope, ringwall.EventDeviceMode, deviceSubject(id), "", note{
			Key: "timeline.device.learned", Params: map[string]string{"count": strconv.Itoa(len(in.Terms))},
		}); err != nil {
			return err
		}
		if in.Group == "" {
			have, err := t.tx.Terms(scope, id)
			if err != nil {
				return err
			}
			return t.ownerTerms(scope, id, api.OwnerTerms{Terms: merged(have, in.Terms), Mode: in.Mode})
		}
		if err := t.unchanging(scope, in.Group, api.GroupPatch{Terms: &in.Terms}); err != nil {
			return err
		}
		g, err := t.tx.UpdateGroup(scope, in.Group, func(g *api.Group) error {
			g.Terms, g.Changed = merged(g.Terms, in.Terms), t.at
			return checkTerms(g.Terms)
		})
		if err != nil {
			return err
		}
		if err := t.composeGroup(scope, g); err != nil {
			return err
		}
		return t.tellGroup(scope, g, "timeline.group.changed")
	})
	if err != nil {
		return api.PolicyView{}, err
	}
	return s.DevicePolicy(ctx, a, id)
}

// merged returns terms with others added; those of the same id are replaced.
func merged(have, more []api.Term) []api.Term {
	have = slices.DeleteFunc(slices.Clone(have), func(t api.Term) bool {
		return slices.ContainsFunc(more, func(m api.Term) bool { return m.ID == t.ID })
	})
	return append(have, more...)
}
