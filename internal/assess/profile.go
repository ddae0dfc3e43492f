package assess

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

//go:embed profiles.json
var profilesJSON []byte

// Profiles say how the rubric is applied to classes of devices and to what they
// are used for. They are data beside the indicators: a Rubric carries those it
// was read with, so that a sealed bundle grades the same for ever.
type Profiles struct {
	About   string       `json:"about"`
	Classes []ClassTerms `json:"classes"`
	Uses    []UseTerms   `json:"uses"`
}

// ClassTerms are the terms of one class of device.
type ClassTerms struct {
	Name   string   `json:"name"`
	Types  []string `json:"types"`  // device types that belong to it
	Impact string   `json:"impact"` // what such a device can do to people
	// Apart are indicators that do not apply to the class. One of them that is
	// measured to fail applies all the same: a class is a claim, a proof is none.
	Apart []string `json:"apart,omitempty"`
	// Weights take the place of the rubric's.
	Weights map[string]int `json:"weights,omitempty"`
	// Knockouts are added to the rubric's.
	Knockouts map[string][]Knockout `json:"knockout,omitempty"`
	// Mandatory indicators bar low risk unless they are measured and do not fail.
	Mandatory []string          `json:"mandatory"`
	Why       map[string]string `json:"why,omitempty"`
}

// UseTerms are the terms of one use.
type UseTerms struct {
	Name       string      `json:"name"`
	Impact     string      `json:"impact,omitempty"`
	Thresholds *Thresholds `json:"thresholds,omitempty"` // what is not zero takes the place of the rubric's
	Mandatory  []string    `json:"mandatory,omitempty"`
	Why        string      `json:"why,omitempty"`
}

// Thresholds of the grade rule, in points of 100 and shares of weight.
type Thresholds struct {
	HighRisk     float64 `json:"highRisk,omitempty"`     // expected risk from which a device is high
	HighModule   float64 `json:"highModule,omitempty"`   // expected risk of one module from which it is high
	MediumRisk   float64 `json:"mediumRisk,omitempty"`   // expected risk from which it is not low
	MediumModule float64 `json:"mediumModule,omitempty"` // the same of one module
	LowCoverage  float64 `json:"lowCoverage,omitempty"`  // sound share of weight below which it is not low
	LowWorst     float64 `json:"lowWorst,omitempty"`     // worst-case risk from which it is not low
}

// first are the thresholds of rule 1, which rubrics of version 1 do not carry.
func first() Thresholds {
	return Thresholds{HighRisk: 50, HighModule: 0.70, MediumRisk: 20, MediumModule: 0.40, LowCoverage: 0.80, LowWorst: 35}
}

// stricter returns t with what is not zero in u, where that is stricter.
func (t Thresholds) stricter(u Thresholds) Thresholds {
	least := func(a, b float64) float64 {
		if b == 0 {
			return a
		}
		return min(a, b)
	}
	t.HighRisk, t.HighModule = least(t.HighRisk, u.HighRisk), least(t.HighModule, u.HighModule)
	t.MediumRisk, t.MediumModule = least(t.MediumRisk, u.MediumRisk), least(t.MediumModule, u.MediumModule)
	t.LowWorst, t.LowCoverage = least(t.LowWorst, u.LowWorst), max(t.LowCoverage, u.LowCoverage)
	return t
}

func (t Thresholds) check() error {
	for _, v := range []float64{t.HighRisk, t.MediumRisk, t.LowWorst} {
		if v < 0 || v > 100 {
			return fmt.Errorf("a risk of %v is not 0 to 100", v)
		}
	}
	for _, v := range []float64{t.HighModule, t.MediumModule, t.LowCoverage} {
		if v < 0 || v > 1 {
			return fmt.Errorf("a share of %v is not 0 to 1", v)
		}
	}
	return nil
}

// parseProfiles reads and checks profiles against the indicators of r.
func (r *Rubric) parseProfiles(b []byte) error {
	var p Profiles
	if err := json.Unmarshal(b, &p); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading profiles: %w", err)
	}
	r.Profiles = &p
	return r.checkProfiles()
}

func (r *Rubric) checkProfiles() error {
	p := r.Profiles
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "profiles: %s", fmt.Sprintf(format, args...))
	}
	types, names := map[string]bool{}, map[string]bool{}
	for _, c := range p.Classes {
		if c.Name == "" || c.Impact == "" || names[c.Name] {
			return bad("class %.40q has no name or impact, or stands twice", c.Name)
		}
		names[c.Name] = true
		for _, t := range c.Types {
			if types[t] {
				return bad("type %.40q belongs to two classes", t)
			}
			types[t] = true
		}
		ids := slices.Concat(c.Apart, c.Mandatory, slices.Collect(maps.Keys(c.Weights)), slices.Collect(maps.Keys(c.Knockouts)))
		for _, id := range ids {
			if _, ok := r.index[id]; !ok {
				return bad("class %q names indicator %.40q, which the rubric does not know", c.Name, id)
			}
		}
		for id, w := range c.Weights {
			if w < 1 || w > 10 || w < r.Indicators[r.index[id]].Weight {
				return bad("class %q: weight %d of %s is not 1 to 10, or milder than the rubric's", c.Name, w, id)
			}
		}
		for _, ks := range c.Knockouts {
			for _, k := range ks {
				if k.Class != Full && k.Class != Half {
					return bad("class %q: knock-out class %.40q is not full or half", c.Name, k.Class)
				}
			}
		}
		for _, id := range c.Mandatory {
			if slices.Contains(c.Apart, id) {
				return bad("class %q: %s is mandatory and does not apply", c.Name, id)
			}
		}
	}
	for _, u := range p.Uses {
		if u.Name == "" {
			return bad("a use has no name")
		}
		for _, id := range u.Mandatory {
			if _, ok := r.index[id]; !ok {
				return bad("use %q names indicator %.40q, which the rubric does not know", u.Name, id)
			}
		}
		if u.Thresholds != nil {
			if err := u.Thresholds.check(); err != nil {
				return bad("use %q: %v", u.Name, err)
			}
		}
	}
	return nil
}

// Uses of a device, as profiles know them.
const (
	UseConsumer   = "consumer"
	UsePublic     = "public"
	UseProduction = "production"
)

// ProfileOf returns the profile of a device of this type in the hands of a
// consumer, by the built-in classes. What says nothing of itself has no class:
// every indicator is asked of it.
func ProfileOf(deviceType string, sim bool) api.Profile {
	p := api.Profile{Use: UseConsumer, SIM: sim}
	want := strings.ToLower(deviceType)
	for _, c := range builtIn().Profiles.Classes {
		if c.Name == want || slices.Contains(c.Types, want) {
			p.Class = c.Name
		}
	}
	return p
}

// Classes returns the names of the classes, and Uses those of the uses.
func (r *Rubric) Classes() []string {
	var out []string
	if r.Profiles != nil {
		for _, c := range r.Profiles.Classes {
			out = append(out, c.Name)
		}
	}
	return out
}

// Uses returns the names of the uses that the rubric knows.
func (r *Rubric) Uses() []string {
	var out []string
	if r.Profiles != nil {
		for _, u := range r.Profiles.Uses {
			out = append(out, u.Name)
		}
	}
	return out
}

// For returns the rubric as it applies to a profile. It is deterministic, and
// the same rubric and profile give the same terms. A class or use that the
// rubric does not know changes nothing; so does the zero Profile. No profile
// lets pass what the bare rubric knocks out: a class only adds knock-outs and
// weight, and what it sets apart comes back as soon as it is measured to fail.
func (r *Rubric) For(p api.Profile) *Rubric {
	r = cmp.Or(r.bare, r)
	out := *r
	out.Profile, out.bare = p, r
	out.terms = terms{thresholds: r.terms.thresholds, apart: map[string]bool{}, mandatory: map[string]bool{}}
	if r.Profiles == nil {
		return &out
	}
	for _, c := range r.Profiles.Classes {
		if c.Name != p.Class {
			continue
		}
		out.Impact = c.Impact
		out.Indicators = slices.Clone(r.Indicators)
		for _, id := range c.Apart {
			out.terms.apart[id] = true
		}
		for _, id := range c.Mandatory {
			out.terms.mandatory[id] = true
		}
		for i := range out.Indicators {
			in := &out.Indicators[i]
			if w, ok := c.Weights[in.ID]; ok {
				in.Weight = w
			}
			if ks := c.Knockouts[in.ID]; len(ks) > 0 {
				in.Knockouts = slices.Concat(ks, in.Knockouts)
			}
		}
	}
	for _, u := range r.Profiles.Uses {
		if u.Name != p.Use {
			continue
		}
		if u.Thresholds != nil {
			out.terms.thresholds = out.terms.thresholds.stricter(*u.Thresholds)
		}
		for _, id := range u.Mandatory {
			if !out.terms.apart[id] {
				out.terms.mandatory[id] = true
			}
		}
		if u.Impact != "" && out.Impact != "" {
			out.Impact += "; " + u.Impact
		}
	}
	return &out
}

// terms are what a profile makes of the rubric.
type terms struct {
	thresholds       Thresholds
	apart, mandatory map[string]bool
}
