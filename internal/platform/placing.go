package platform

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// placing says which groups and rollouts a device comes under. It is read once
// a turn; whoever writes a group or a rollout calls forgetPlacing.
type placing struct {
	groups  []api.Group // without members
	running []api.Rollout
}

func (t *turn) forgetPlacing() { t.placed = nil }

func (t *turn) placing(scope audit.Scope) (*placing, error) {
	if t.placed != nil {
		return t.placed, nil
	}
	p, err := readPlacing(t.tx, scope)
	if err == nil {
		t.placed = p
	}
	return p, err
}

// placeReader is what reading a placing asks of the store.
type placeReader interface {
	Groups(audit.Scope) ([]api.Group, error)
	Running(audit.Scope) ([]api.Rollout, error)
}

func readPlacing(tx placeReader, scope audit.Scope) (p *placing, err error) {
	p = &placing{}
	if p.groups, err = tx.Groups(scope); err != nil {
		return nil, err
	}
	p.running, err = tx.Running(scope)
	return p, err
}

// selects reports whether a selector means a device.
func selects(s *api.Selector, d *api.Device) bool {
	if s == nil || *s == (api.Selector{}) {
		return false
	}
	return (s.Type == "" || s.Type == d.Type) &&
		(s.Vendor == "" || strings.EqualFold(s.Vendor, d.Vendor)) &&
		(s.Model == "" || strings.EqualFold(s.Model, d.Model)) &&
		(s.Gateway == "" || s.Gateway == d.Gateway) &&
		(s.Tag == "" || slices.Contains(d.Tags, s.Tag))
}

// groupsOf returns the groups that a device is in: by name, by what it is, by
// the gateway it is behind.
func (p *placing) groupsOf(d *api.Device, byName, bySite []ringwall.GroupID) []*api.Group {
	var out []*api.Group
	for i := range p.groups {
		g := &p.groups[i]
		if slices.Contains(byName, g.ID) || slices.Contains(bySite, g.ID) || selects(g.Select, d) {
			out = append(out, g)
		}
	}
	return out
}

// placeOf is where a device or gateway stands in the order of a rollout. It
// depends on both ids alone: the same stage always covers the same, and no two
// rollouts try their luck on the same first ones.
func placeOf(rollout ringwall.RolloutID, id string) uint64 {
	sum := sha256.Sum256([]byte(string(rollout) + "\x00" + id))
	return binary.BigEndian.Uint64(sum[:8])
}

// cutAt returns the greatest place that a stage of percent covers, given the
// places of all: at least one of them, and all, later ones too, at 100.
func cutAt(places []uint64, percent int) uint64 {
	if percent >= 100 {
		return math.MaxUint64
	}
	if len(places) == 0 {
		return 0
	}
	slices.SortFunc(places, cmp.Compare[uint64])
	n := max(1, (len(places)*percent+99)/100)
	return places[n-1]
}

// covering returns the rollouts that cover a device, which is in these groups.
func (p *placing) covering(id ringwall.DeviceID, groups []*api.Group, except ringwall.RolloutID) []*api.Rollout {
	var out []*api.Rollout
	for i := range p.running {
		r := &p.running[i]
		if r.ID == except || r.Change.Group == "" || placeOf(r.ID, string(id)) > r.Cut || r.Begun.IsZero() {
			continue
		}
		if slices.ContainsFunc(groups, func(g *api.Group) bool { return g.ID == r.Change.Group }) {
			out = append(out, r)
		}
	}
	return out
}

// groupTerms returns the terms that a device has of a group: those that a
// rollout which covers it brings, or the group's own.
func groupTerms(g *api.Group, covering []*api.Rollout) []api.Term {
	terms := g.Terms
	for _, r := range covering {
		if r.Change.Group == g.ID && r.Change.Terms != nil {
			terms = *r.Change.Terms
		}
	}
	return terms
}

// modeUnder returns the mode that a device is in: its own, or that of a rollout
// which covers it.
func modeUnder(own ringwall.Mode, covering []*api.Rollout) ringwall.Mode {
	for _, r := range covering {
		if r.Change.Mode != nil {
			own = *r.Change.Mode
		}
	}
	return own
}

// named returns terms with ids that cannot meet those of another origin.
func named(origin, why string, terms []api.Term) []api.Term {
	out := make([]api.Term, len(terms))
	for i, t := range terms {
		t.ID = origin + "/" + t.ID
		t.Why = cmp.Or(t.Why, why)
		out[i] = t
	}
	return out
}
