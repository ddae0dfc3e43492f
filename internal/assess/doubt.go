package assess

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Doubt is a supplier who declared a pass where a fail was measured.
type Doubt struct {
	Supplier   string   `json:"supplier"`   // the source, such as "declaration/acme"
	Indicators []string `json:"indicators"` // on which a measurement says otherwise
}

// declares reports whether f is a declared claim that all is well.
func (r *Rubric) declares(f *ringwall.Finding) bool {
	return r.rank(f) == said && channel(f) == ByDeclaration && (f.Outcome == ringwall.Pass || f.Outcome == ringwall.NotApplicable)
}

// doubts returns the suppliers whose word a measurement contradicts, sorted.
//
// It looks at all that a supplier says in the evidence, not at its last word:
// who takes back a false declaration beside the false one has still made it. A
// new declaration in the place of the old one clears its name, since standing
// evidence holds the newest of each source only. An expired one contradicts
// nothing.
func (r *Rubric) doubts(by sorted, answers []answer, now time.Time) []Doubt {
	if r.Rule < 2 {
		return nil
	}
	var out []Doubt
	for i, a := range answers {
		if a.rank <= said || a.outcome() != ringwall.Fail {
			continue
		}
		for _, f := range by.of(i) {
			if !r.declares(f) || r.stale(f, now) {
				continue
			}
			n := slices.IndexFunc(out, func(d Doubt) bool { return d.Supplier == f.Source })
			if n < 0 {
				out, n = append(out, Doubt{Supplier: f.Source}), len(out)
			}
			if ids := out[n].Indicators; len(ids) == 0 || ids[len(ids)-1] != f.Indicator {
				out[n].Indicators = append(ids, f.Indicator)
			}
		}
	}
	slices.SortFunc(out, func(a, b Doubt) int { return cmp.Compare(a.Supplier, b.Supplier) })
	return out
}

// believe returns what an answer comes to when doubted suppliers are not
// believed, and whether they were in its way. Only a declared pass is touched:
// it stands when somebody else declares it too, and is unknown otherwise. What
// was measured no declaration outweighs, and a declared fail is believed of
// anybody.
func (r *Rubric) believe(fs []*ringwall.Finding, a answer, doubted []Doubt, now time.Time) (answer, bool) {
	if len(doubted) == 0 || a.rank != said || !r.declares(a.finding) {
		return a, false
	}
	rest := slices.DeleteFunc(slices.Clone(fs), func(f *ringwall.Finding) bool {
		return slices.ContainsFunc(doubted, func(d Doubt) bool { return d.Supplier == f.Source })
	})
	if len(rest) == len(fs) {
		return a, false
	}
	return r.settle(rest, now), true
}

// Contradictions returns a finding for each declared pass that a measurement
// contradicts, in the rubric's order, for people and for the record. They are
// told beside the grade, which has counted them already: they are no further
// evidence.
func Contradictions(r *Rubric, findings []ringwall.Finding, now time.Time) []ringwall.Finding {
	by := r.sort(findings)
	var out []ringwall.Finding
	for i, in := range r.Indicators {
		a := r.settle(by.of(i), now)
		if a.rank <= said || a.outcome() != ringwall.Fail {
			continue
		}
		var told []string
		for _, f := range by.of(i) {
			if !r.declares(f) || r.stale(f, now) || slices.Contains(told, f.Source) {
				continue
			}
			told = append(told, f.Source)
			who := strings.TrimPrefix(f.Source, SourceDeclaration)
			out = append(out, ringwall.Finding{
				Indicator: in.ID, Module: in.Module, Outcome: ringwall.Fail, Confidence: a.finding.Confidence, Source: SourceAssess, Time: now,
				Title: fmt.Sprintf("%s declares what a measurement contradicts", who),
				Evidence: []string{
					fmt.Sprintf("%s says %s: %s", f.Source, f.Outcome, f.Title),
					fmt.Sprintf("%s measured %s: %s", a.finding.Source, a.finding.Outcome, a.finding.Title),
				},
				Facts:  map[string]string{"supplier": f.Source, "measured": a.finding.Source, "contradiction": "true"},
				Remedy: "Correct the declaration, or the device",
			})
		}
	}
	return out
}
