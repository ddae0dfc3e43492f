package report

import (
	"cmp"
	"crypto/sha1" // RFC 9562 section 5.5 names it; nothing is secured by it
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/declare"
	"github.com/ringwall/ringwall/internal/i18n"
)

// Input is what a report is made of.
type Input struct {
	Assessment api.Assessment
	Name       string // of the device, as its owner calls it; "" = the target
	Tasks      []api.Remedial
	Indicators []Indicator // of the rubric by which it was graded; see FromRubric
	Standards  []Standard  // compliance views; may be empty
	Made       time.Time   // when the report is made
	Tool       string      // such as "ringwall 1.3.0"
	Words      i18n.Locale
}

// Indicator is what a report needs to know of an indicator.
type Indicator struct {
	ID         string
	Module     ringwall.Module
	Weight     int
	Title      string
	Why        string
	Remedy     string
	Effort     string
	References []Reference
	Knockouts  []Knockout
}

// Reference is one clause of one edition of a standard.
type Reference struct{ Standard, Clause string }

// standards writes references by standard: "A 1: 5.1, 5.2 · B 2: 3".
func (i Indicator) standards() string {
	var names []string
	clauses := map[string][]string{}
	for _, r := range i.References {
		if clauses[r.Standard] == nil {
			names = append(names, r.Standard)
		}
		if !slices.Contains(clauses[r.Standard], r.Clause) {
			clauses[r.Standard] = append(clauses[r.Standard], r.Clause)
		}
	}
	for n, name := range names {
		names[n] = name + ": " + strings.Join(clauses[name], ", ")
	}
	return strings.Join(names, " · ")
}

// Knockout is a condition on which a confirmed fail decides the grade.
type Knockout struct {
	Full        bool
	Fact, Value string
}

// Standard is how a device stands against one standard.
type Standard struct {
	Name, Edition string
	Rows          []declare.CoverageRow
}

// FromRubric takes from a rubric what reports show.
func FromRubric(r *assess.Rubric) []Indicator {
	out := make([]Indicator, 0, len(r.Indicators))
	for _, in := range r.Indicators {
		i := Indicator{ID: in.ID, Module: in.Module, Weight: in.Weight, Title: in.Title, Why: in.Why, Remedy: in.Remedy, Effort: in.Effort}
		for _, ref := range in.References {
			i.References = append(i.References, Reference{strings.TrimSpace(ref.Standard + " " + ref.Edition), ref.Clause})
		}
		for _, k := range in.Knockouts {
			i.Knockouts = append(i.Knockouts, Knockout{Full: k.Class == assess.Full, Fact: k.Fact, Value: k.Value})
		}
		out = append(out, i)
	}
	return out
}

// References lists the clauses that indicators answer, for declare.Coverage.
func References(r *assess.Rubric) []declare.Reference {
	var out []declare.Reference
	for _, in := range r.Indicators {
		for _, ref := range in.References {
			out = append(out, declare.Reference{Indicator: in.ID, Standard: ref.Standard, Clause: ref.Clause})
		}
	}
	return out
}

// name returns what the device is called in a report.
func (in *Input) name() string {
	return cmp.Or(in.Name, in.Assessment.Target, string(in.Assessment.Device))
}

func (in *Input) indicator(id string) (Indicator, bool) {
	for _, i := range in.Indicators {
		if i.ID == id {
			return i, true
		}
	}
	return Indicator{}, false
}

// knockout reports whether a finding decides the grade, and whether alone.
func (i Indicator) knockout(f ringwall.Finding) (full, some bool) {
	if f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed {
		return false, false
	}
	for _, k := range i.Knockouts {
		if k.Fact == "" || f.Facts[k.Fact] == k.Value {
			return k.Full, true
		}
	}
	return false, false
}

// badness orders findings for a reader: what must be done first stands first.
func badness(o ringwall.Outcome) int {
	return slices.Index([]ringwall.Outcome{ringwall.Fail, ringwall.Partial, ringwall.Unknown, ringwall.Pass, ringwall.NotApplicable}, o)
}

// findings returns the findings in the order in which they are shown: by
// outcome, knock-outs first, then by weight and id.
func (in *Input) findings() []ringwall.Finding {
	out := slices.Clone(in.Assessment.Findings)
	rank := func(f ringwall.Finding) int {
		i, _ := in.indicator(f.Indicator)
		full, some := i.knockout(f)
		switch {
		case full:
			return 0
		case some:
			return 1
		}
		return 2
	}
	weight := func(f ringwall.Finding) int { i, _ := in.indicator(f.Indicator); return i.Weight }
	slices.SortStableFunc(out, func(a, b ringwall.Finding) int {
		return cmp.Or(
			cmp.Compare(badness(a.Outcome), badness(b.Outcome)), cmp.Compare(rank(a), rank(b)), cmp.Compare(weight(b), weight(a)),
			cmp.Compare(a.Indicator, b.Indicator), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Title, b.Title),
		)
	})
	return out
}

// components joins the components of all examinations, by name and version.
func (in *Input) components() []api.Component {
	var out []api.Component
	seen := map[[2]string]int{}
	for _, e := range in.Assessment.Examinations {
		for _, c := range e.Components {
			key := [2]string{c.Name, c.Version}
			if i, ok := seen[key]; ok {
				out[i].Exposed = out[i].Exposed || c.Exposed
				out[i].Paths = append(slices.Clone(out[i].Paths), c.Paths...)
				out[i].CPE, out[i].PURL, out[i].Supplier = cmp.Or(out[i].CPE, c.CPE), cmp.Or(out[i].PURL, c.PURL), cmp.Or(out[i].Supplier, c.Supplier)
				continue
			}
			seen[key] = len(out)
			out = append(out, c)
		}
	}
	for i := range out {
		paths := slices.Clone(out[i].Paths)
		slices.Sort(paths)
		out[i].Paths = slices.Compact(paths)
	}
	slices.SortFunc(out, func(a, b api.Component) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// vulnerabilities returns them, those that count and are worst first.
func (in *Input) vulnerabilities() []api.Vulnerability {
	out := slices.Clone(in.Assessment.Vulnerabilities)
	open := func(v api.Vulnerability) int {
		switch v.State {
		case api.VEXAffected:
			return 0
		case api.VEXInTriage, "":
			return 1
		}
		return 2
	}
	kev := func(v api.Vulnerability) int {
		if v.KEV {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b api.Vulnerability) int {
		return cmp.Or(cmp.Compare(open(a), open(b)), cmp.Compare(kev(a), kev(b)), cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Component, b.Component))
	})
	return out
}

// namespace of the UUIDs that this package derives: version 5 of the URL
// namespace over "https://ringwall.dev/report".
const namespace = "6ba7b8119dad11d180b400c04fd430c8"

// uuid5 derives a UUID of version 5 from parts (RFC 9562 section 5.5).
func uuid5(parts ...string) string {
	ns, _ := hex.DecodeString(namespace)
	h := sha1.New()
	h.Write(ns)
	h.Write([]byte("https://ringwall.dev/report\x00" + strings.Join(parts, "\x00")))
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// identity is what the identifiers of one assessment are derived from.
func (in *Input) identity() string {
	a := in.Assessment
	return strings.Join([]string{string(a.ID), string(a.Device), a.Target, a.Ended.UTC().Format(time.RFC3339Nano)}, "|")
}
