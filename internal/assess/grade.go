package assess

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Thresholds of the grade rule, in points of 100 and shares of weight.
const (
	highRisk         = 50.0 // expected risk from which a device is high
	highModule       = 0.70 // expected risk of one module from which it is high
	mediumRisk       = 20.0
	mediumModule     = 0.40
	mediumCoverage   = 0.60 // below, a device is at least medium
	lowCoverage      = 0.80 // below, it is not low
	lowUpper         = 35.0 // worst-case risk from which it is not low
	declaredPass     = 0.25 // a declared pass is worth half an unknown
	meanShare        = 0.6  // of the mean over modules; the rest is the worst module's
	nextMeasurements = 3
)

// Result is what Grade comes to. It is a value; nothing in it is shared.
type Result struct {
	Grade    ringwall.Grade
	Class    ringwall.Class
	Best     ringwall.Grade // if every unknown were a pass
	Worst    ringwall.Grade // if every unknown were a fail
	Risk     float64        // expected, 0 to 100
	RiskBest float64
	RiskMax  float64
	Coverage float64 // share of the applicable weight that was measured
	Modules  []api.ModuleScore
	Reasons  []string // plain words, most important first
	Next     []Next   // the cheapest measurements that would narrow the interval
	Settled  []ringwall.Finding
	Rubric   string
}

// Next is one measurement worth making.
type Next struct {
	Indicator string
	Channel   Channel
	Title     string
}

// Grade judges findings by the rubric, at now. It is pure; the order of
// findings does not matter, and findings on indicators the rubric does not
// know are ignored, but for ObservedCompromise.
//
// The rule, in its eight steps:
//
//  1. Each indicator scores 0 (pass), 0.5 (partial) or 1 (fail). A pass that
//     is only declared scores 0.25, and counts as unknown in the bounds; what
//     is unknown scores 0, 0.5 and 1 in best, expected and worst case.
//  2. A module's risk is the weighted mean over what applies; the device's is
//     0.6 times the mean of modules plus 0.4 times the worst, times 100.
//  3. High: a confirmed full knock-out, two confirmed halves, an expected risk
//     of 50, or a module of 0.70.
//  4. Medium: what is neither high nor low.
//  5. Low: at least 80 % of the weight measured and not failed, no knock-out of
//     either class, worst-case risk below 35, nothing stale relied on, and none
//     of: expected risk 20, a module of 0.40. ("And not failed" keeps one
//     more fail from lifting coverage over the bar and so the grade.)
//  6. The interval is the grade if every unknown passed, and if every one
//     failed. Next names what would narrow it.
//  7. Between sources settle decides; who says otherwise is a reason.
//  8. The class of supervision follows the grade.
//
// Where nothing at all was answered the grade is Ungraded, not a guess.
//
// ObservedCompromise stands outside the rubric: a confirmed fail makes the
// device high until a later pass, which Clear writes after a clean
// re-assessment.
func Grade(r *Rubric, findings []ringwall.Finding, now time.Time) Result {
	byID := map[string][]ringwall.Finding{}
	for _, f := range findings {
		byID[f.Indicator] = append(byID[f.Indicator], f)
	}
	g := grading{rubric: r}
	for _, in := range r.Indicators {
		a, ok := r.settle(byID[in.ID], now)
		g.add(in, a, ok)
	}
	g.compromise = compromised(byID[ringwall.ObservedCompromise])
	return g.result()
}

// compromised returns the confirmed compromise that stands, or nil.
func compromised(fs []ringwall.Finding) *ringwall.Finding {
	fs = slices.DeleteFunc(slices.Clone(fs), func(f ringwall.Finding) bool {
		return f.Outcome != ringwall.Pass && (f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed)
	})
	if len(fs) == 0 {
		return nil
	}
	newest := slices.MaxFunc(fs, func(a, b ringwall.Finding) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(badness(a.Outcome), badness(b.Outcome)), compare(b, a))
	})
	if newest.Outcome == ringwall.Pass {
		return nil
	}
	return &newest
}

// tally sums one module.
type tally struct {
	weight, covered, sound int // applicable; measured; measured and not failed
	best, expected, worst  float64
}

// item is one settled indicator.
type item struct {
	in     Indicator
	answer answer
	known  bool // measured, not merely declared
	knock  Class
	spread float64 // worst minus best, weighted
}

type grading struct {
	rubric     *Rubric
	modules    [len(ringwall.Modules)]tally
	items      []item
	full, half int
	stale      []string
	compromise *ringwall.Finding
}

func (g *grading) add(in Indicator, a answer, answered bool) {
	it := item{in: in, answer: a}
	f := a.finding
	it.known = answered && a.rank > said
	if it.known && f.Outcome == ringwall.NotApplicable {
		g.items = append(g.items, it)
		return
	}
	best, expected, worst := 0.0, 0.5, 1.0
	switch {
	case !answered:
	case f.Outcome == ringwall.Fail:
		best, expected, worst = 1, 1, 1
	case f.Outcome == ringwall.Partial:
		best, expected = 0.5, 0.5
		if it.known {
			worst = 0.5
		}
	case it.known:
		expected, worst = 0, 0
	default:
		expected = declaredPass
	}
	m, w := &g.modules[in.Module], float64(in.Weight)
	m.weight += in.Weight
	m.best += w * best
	m.expected += w * expected
	m.worst += w * worst
	it.spread = w * (worst - best)
	if it.known {
		m.covered += in.Weight
		if f.Outcome != ringwall.Fail {
			m.sound += in.Weight
		}
	}
	if answered && a.stale {
		g.stale = append(g.stale, in.ID)
	}
	it.knock = strongest(in, a.fails)
	switch it.knock {
	case Full:
		g.full++
	case Half:
		g.half++
	}
	g.items = append(g.items, it)
}

func strongest(in Indicator, fails []ringwall.Finding) Class {
	var c Class
	for _, f := range fails {
		switch k := in.knockout(f); {
		case k == Full:
			return Full
		case k == Half:
			c = Half
		}
	}
	return c
}

// risk is one case of the rule: the device's risk and its worst module.
type risk struct{ device, module float64 }

func (g *grading) risk(of func(tally) float64) risk {
	sum, worst, n := 0.0, 0.0, 0
	for _, m := range g.modules {
		if m.weight == 0 {
			continue
		}
		r := of(m) / float64(m.weight)
		sum, worst, n = sum+r, max(worst, r), n+1
	}
	if n == 0 {
		return risk{}
	}
	return risk{round(100 * (meanShare*sum/float64(n) + (1-meanShare)*worst)), round(worst)}
}

// round removes what binary fractions leave behind, so that 0.6·0.5+0.4·0.5 is
// a half on every machine and a threshold is met exactly.
func round(f float64) float64 { return math.Round(f*1e6) / 1e6 }

func (g *grading) shares() (covered, sound float64) {
	var weight, c, s int
	for _, m := range g.modules {
		weight, c, s = weight+m.weight, c+m.covered, s+m.sound
	}
	if weight == 0 {
		return 0, 0
	}
	return round(float64(c) / float64(weight)), round(float64(s) / float64(weight))
}

// grade applies steps 3 to 5 to one case.
func (g *grading) grade(expected, upper risk, full, half int, sound float64, stale bool) ringwall.Grade {
	switch {
	case g.compromise != nil, full > 0, half > 1, expected.device >= highRisk, expected.module >= highModule:
		return ringwall.HighRisk
	case sound >= lowCoverage && half == 0 && upper.device < lowUpper && !stale &&
		expected.device < mediumRisk && expected.module < mediumModule:
		return ringwall.LowRisk
	}
	return ringwall.MediumRisk
}

func (g *grading) result() Result {
	best := g.risk(func(m tally) float64 { return m.best })
	expected := g.risk(func(m tally) float64 { return m.expected })
	worst := g.risk(func(m tally) float64 { return m.worst })
	covered, sound := g.shares()
	res := Result{
		Risk: expected.device, RiskBest: best.device, RiskMax: worst.device, Coverage: covered, Rubric: g.rubric.Version,
	}
	answered, unknownFull, unknownHalf, failedWeight, weight := g.compromise != nil, 0, 0, 0, 0
	for _, it := range g.items {
		answered = answered || it.answer.rank > 0
		if it.spread > 0 {
			for _, k := range it.in.Knockouts {
				switch k.Class {
				case Full:
					unknownFull++
				case Half:
					unknownHalf++
				}
			}
		}
		if it.answer.rank > 0 {
			res.Settled = append(res.Settled, it.answer.finding)
		}
	}
	for _, m := range g.modules {
		weight += m.weight
		failedWeight += m.covered - m.sound
	}
	if answered {
		res.Grade = g.grade(expected, worst, g.full, g.half, sound, len(g.stale) > 0)
	}
	bestSound := 1.0
	if weight > 0 {
		bestSound = round(1 - float64(failedWeight)/float64(weight))
	}
	res.Best = g.grade(best, best, g.full, g.half, bestSound, false)
	res.Worst = g.grade(worst, worst, g.full+unknownFull, g.half+unknownHalf, sound, len(g.stale) > 0)
	res.Class = res.Grade.Class()
	for _, mod := range ringwall.Modules {
		res.Modules = append(res.Modules, g.modules[mod].score(mod))
	}
	res.Reasons = g.reasons(res, expected)
	res.Next = g.next()
	return res
}

func (m tally) score(mod ringwall.Module) api.ModuleScore {
	s := api.ModuleScore{Module: mod}
	if m.weight > 0 {
		w := float64(m.weight)
		s.Best, s.Expected, s.Worst, s.Coverage = round(m.best/w), round(m.expected/w), round(m.worst/w), round(float64(m.covered)/w)
	}
	return s
}

// cost of measuring by a channel, in the effort of the person who does it.
func cost(c Channel) float64 {
	switch c {
	case ByProbe:
		return 1
	case ByGateway:
		return 2
	case ByDeclaration:
		return 3
	case ByAgent:
		return 4
	}
	return 5 // a firmware image must be found first
}

// next returns the measurements that remove most doubt for least effort.
func (g *grading) next() []Next {
	type offer struct {
		Next
		value float64
	}
	var offers []offer
	for _, it := range g.items {
		if it.spread == 0 {
			continue
		}
		c := slices.MinFunc(it.in.Channels, func(a, b Channel) int { return cmp.Compare(cost(a), cost(b)) })
		if it.answer.rank > 0 { // declared already: a second declaration tells nothing
			c = it.in.Channels[0]
		}
		offers = append(offers, offer{Next{it.in.ID, c, it.in.Title}, it.spread / cost(c)})
	}
	slices.SortStableFunc(offers, func(a, b offer) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.Indicator, b.Indicator))
	})
	var out []Next
	for _, o := range offers[:min(len(offers), nextMeasurements)] {
		out = append(out, o.Next)
	}
	return out
}
