package assess

import (
	"fmt"
	"strings"

	"github.com/ringwall/ringwall"
)

// reasons says in plain words why the grade is what it is, the decisive first.
func (g *grading) reasons(res Result, o outlook) []string {
	var out []string
	expected, t := o.expected, g.rubric.terms.thresholds
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if res.Grade == ringwall.Ungraded {
		return []string{"nothing about it could be measured, so it has no grade; until it has one it is watched as if its risk were high"}
	}
	if g.compromise != nil {
		say("an attack on it was observed (%s); only a clean re-assessment clears that", g.compromise.Title)
	}
	for i := range g.items {
		it := &g.items[i]
		if it.knock == Full {
			say("%s: %s — proven, and alone enough for high risk", it.in.ID, it.answer.finding.Title)
		}
	}
	for i := range g.items {
		it := &g.items[i]
		if it.knock == Half {
			say("%s: %s — proven; two of this kind make high risk", it.in.ID, it.answer.finding.Title)
		}
	}
	if expected.device >= t.HighRisk {
		say("its expected risk is %.0f of 100; from %.0f it is high", expected.device, t.HighRisk)
	} else if expected.device >= t.MediumRisk {
		say("its expected risk is %.0f of 100; low risk needs less than %.0f", expected.device, t.MediumRisk)
	}
	if res.Coverage < t.LowCoverage {
		say("%.0f %% of the rubric's weight was measured; low risk needs %.0f %%", 100*res.Coverage, 100*t.LowCoverage)
	}
	var blank []string
	for i, m := range g.modules {
		if m.weight == 0 {
			continue
		}
		if m.covered == 0 {
			blank = append(blank, ringwall.Modules[i].String())
		} else if r := round(m.expected / float64(m.weight)); r >= t.MediumModule {
			say("the %s module's expected risk is %.0f of 100; low risk needs less than %.0f", ringwall.Modules[i], 100*r, 100*t.MediumModule)
		}
	}
	if len(blank) > 0 {
		say("nothing was measured of its %s", strings.Join(blank, ", "))
	}
	if res.RiskMax >= t.LowWorst {
		say("if all that is unknown were bad its risk would be %.0f of 100; low risk needs less than %.0f", res.RiskMax, t.LowWorst)
	}
	if len(res.Missing) > 0 {
		say("%s must be measured and not fail before a device of its kind is low", strings.Join(res.Missing, ", "))
	}
	for i := range g.items {
		it := &g.items[i]
		if it.answer.stale && it.applies {
			say("%d answers are past their validity (%s first)", g.count.stale, it.in.ID)
			break
		}
	}
	for _, d := range g.doubted {
		say("%s declares %s to be well, and measurements say otherwise; what else it declares counts as unknown", d.Supplier, strings.Join(d.Indicators, ", "))
	}
	for i := range g.items {
		it := &g.items[i]
		for _, f := range it.answer.against {
			say("%s: %s says %s, %s says %s; the stronger evidence counts", it.in.ID,
				it.answer.finding.Source, it.answer.finding.Outcome, f.Source, f.Outcome)
		}
	}
	for i := range g.items {
		it := &g.items[i]
		if it.known && it.applies && it.knock == "" && it.answer.outcome() == ringwall.Fail {
			say("%s: %s", it.in.ID, it.answer.finding.Title)
		}
	}
	return out
}
