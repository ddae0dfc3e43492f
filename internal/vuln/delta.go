package vuln

import (
	"github.com/ringwall/ringwall/api"
)

// Delta is what new data say beyond old: vulnerabilities that were not listed,
// that have become known to be exploited, or whose ranges have changed.
type Delta struct {
	From, To string   // versions of the data
	New      []string // ids, sorted
	KEV      []string // ids newly known to be exploited, sorted
	Changed  []string // ids whose products or ranges are others, sorted

	data *Data // these entries alone
}

// Empty reports whether nothing is new.
func (x *Delta) Empty() bool { return len(x.New)+len(x.KEV)+len(x.Changed) == 0 }

// Diff returns what to says beyond from. Either may be nil, for no data.
func Diff(from, to *Data) *Delta {
	if from == nil {
		from = &Data{}
	}
	if to == nil {
		to = &Data{}
	}
	x := &Delta{From: from.version, To: to.version}
	sub := &Data{version: to.version, made: to.made, aliases: to.aliases}
	for i := range to.entries {
		e := &to.entries[i]
		old, had := from.Entry(e.ID)
		switch {
		case !had:
			x.New = append(x.New, e.ID)
			if e.KEV != nil {
				x.KEV = append(x.KEV, e.ID)
			}
		case e.KEV != nil && old.KEV == nil:
			x.KEV = append(x.KEV, e.ID)
		case !sameAffects(old.Affects, e.Affects):
			x.Changed = append(x.Changed, e.ID)
		default:
			continue
		}
		sub.entries = append(sub.entries, *e)
	}
	if err := sub.build(); err != nil {
		panic("entries that were checked are no longer right: " + err.Error())
	}
	x.data = sub
	return x
}

// Match returns the vulnerabilities of the delta that components have.
func (x *Delta) Match(components []api.Component) []api.Vulnerability {
	return x.data.Match(components)
}

// MatchDevice returns those that a device's model has.
func (x *Delta) MatchDevice(id api.Identity) []api.Vulnerability { return x.data.MatchDevice(id) }

// Affected reports whether any component may have a vulnerability of the delta:
// whether the device has to be judged again.
func (x *Delta) Affected(components []api.Component) bool {
	for i := range components {
		c := &components[i]
		if c.Version == "" {
			continue
		}
		for p := range x.data.products(c) {
			for _, at := range x.data.byProduct[p] {
				a := &x.data.entries[at.entry].Affects[at.affects]
				r, in := a.holding(c.Version)
				if !in {
					continue
				}
				if s, _ := a.state(c, r, false); s == api.VEXAffected || s == api.VEXInTriage {
					return true
				}
			}
		}
	}
	return false
}

func sameAffects(x, y []Affects) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		a, b := x[i], y[i]
		if a.Product != b.Product || a.Vendor != b.Vendor || a.Triage != b.Triage || len(a.Ranges) != len(b.Ranges) ||
			len(a.Models) != len(b.Models) || len(a.Only) != len(b.Only) || len(a.Fixed) != len(b.Fixed) {
			return false
		}
		for j := range a.Ranges {
			if a.Ranges[j] != b.Ranges[j] {
				return false
			}
		}
		for j := range a.Models {
			if a.Models[j] != b.Models[j] {
				return false
			}
		}
		for j := range a.Only {
			if a.Only[j] != b.Only[j] {
				return false
			}
		}
		for j := range a.Fixed {
			if a.Fixed[j] != b.Fixed[j] {
				return false
			}
		}
	}
	return true
}
