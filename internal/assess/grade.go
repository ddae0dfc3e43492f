package assess

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Constants of the grade rule. What may differ by use stands in Thresholds.
const (
	declaredPass = 0.25 // a declared pass is worth half an unknown
	meanShare    = 0.6  // of the mean over modules; the rest is the worst module's
)

// Result is what Grade comes to. It is a value; nothing in it is shared.
type Result struct {
	Grade    ringwall.Grade     `json:"grade"`
	Class    ringwall.Class     `json:"class"`
	Best     ringwall.Grade     `json:"best"`  // if every unknown were a pass
	Worst    ringwall.Grade     `json:"worst"` // if every unknown were a fail, and every fail proven
	Risk     float64            `json:"risk"`  // expected, 0 to 100
	RiskBest float64            `json:"riskBest"`
	RiskMax  float64            `json:"riskMax"`
	Coverage float64            `json:"coverage"` // share of the applicable weight that was measured
	Modules  []api.ModuleScore  `json:"modules"`
	Reasons  []string           `json:"reasons"` // plain words, most important first
	Next     []Next             `json:"next"`    // the cheapest measurements that would narrow the interval
	Settled  []ringwall.Finding `json:"settled"`
	Missing  []string           `json:"missing"` // mandatory indicators that bar low risk
	Doubted  []Doubt            `json:"doubted"`
	Rubric   string             `json:"rubric"`
	Profile  api.Profile        `json:"profile"`
}

// Fill writes the result into an assessment.
func (res Result) Fill(a *api.Assessment, r *Rubric) {
	a.Grade, a.Class, a.Best, a.Worst, a.Risk, a.Coverage = res.Grade, res.Class, res.Best, res.Worst, res.Risk, res.Coverage
	a.Reasons, a.Modules, a.Rubric, a.Next = res.Reasons, res.Modules, res.Rubric, next(res.Next)
	a.Profile, a.Impact = res.Profile, r.Impact
}

// Grade judges findings by the rubric, at now. It is pure; the order of
// findings does not matter, and findings on indicators the rubric does not
// know are ignored, but for ObservedCompromise. r is the rubric as it applies
// to the device's profile (Rubric.For).
//
// The rule, in its steps (thresholds are those of consumer use):
//
//  1. Each indicator scores 0 (pass), 0.5 (partial) or 1 (fail). A pass that
//     is only declared scores 0.25, and counts as unknown in the bounds; what
//     is unknown scores 0, 0.5 and 1 in best, expected and worst case. What the
//     profile sets apart, and what was measured not to apply, weighs nothing;
//     what is set apart and measured to fail applies.
//  2. A module's risk is the weighted mean over what applies; the device's is
//     0.6 times the mean of modules plus 0.4 times the worst, times 100.
//  3. High: a confirmed full knock-out, two confirmed halves, an expected risk
//     of 50, or a module of 0.70.
//  4. Medium: what is neither high nor low.
//  5. Low: at least 80 % of the weight measured and not failed, every mandatory
//     indicator measured and not failed, no knock-out of either class,
//     worst-case risk below 35, nothing stale relied on, and none of: expected
//     risk 20, a module of 0.40. ("And not failed" keeps one more fail from
//     lifting coverage over the bar and so the grade.)
//  6. The interval is the grade if every unknown passed, and if every one
//     failed and what was seen to fail were proven. Next names what would narrow
//     it.
//  7. Between sources settle decides, by rank; who says otherwise is a reason. A
//     supplier who declares a pass where a fail was measured is doubted: its
//     other declared passes count as unknown (see doubts).
//  8. The class of supervision follows the grade.
//
// Where nothing at all was answered the grade is Ungraded, not a guess.
//
// More evidence moves the grade the way one expects: one more fail never
// lowers any risk or the grade; one more pass never raises one. There is one
// exception, and only one: a declared pass (or "not applicable") on an
// indicator that was measured to fail is evidence against who declares it. It
// can raise the expected risk, never the bounds.
//
// ObservedCompromise stands outside the rubric: a confirmed fail makes the
// device high until a later pass, which Clear writes after a clean
// re-assessment.
func Grade(r *Rubric, findings []ringwall.Finding, now time.Time) Result {
	by := r.sort(findings)
	g := grading{rubric: r, items: make([]item, 0, len(r.Indicators))}
	answers := make([]answer, len(r.Indicators))
	for i := range r.Indicators {
		answers[i] = r.settle(by.of(i), now)
	}
	g.doubted = r.doubts(by, answers, now)
	for i := range r.Indicators {
		fs := by.of(i)
		a, _ := r.believe(fs, answers[i], g.doubted, now)
		g.add(&r.Indicators[i], a, tried(fs))
	}
	g.compromise = compromised(by.compromise)
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
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(badness(a.Outcome), badness(b.Outcome)), compare(&b, &a))
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
	in                    *Indicator // in the rubric; read-only
	answer                answer
	known                 bool // measured, not merely declared
	applies               bool
	knock                 Class
	best, expected, worst float64 // weighted
	tried                 channels
}

func (it *item) open() bool { return it.worst > it.best }

// count is what the rule counts beside the tallies.
type count struct {
	full, half         int // knock-outs that stand
	openFull, openHalf int // that would stand if what is unknown failed
	barred             int // mandatory indicators that failed
	missing            int // mandatory indicators that are unknown
	stale              int
}

type grading struct {
	rubric     *Rubric
	modules    [len(ringwall.Modules)]tally
	count      count
	items      []item
	answered   bool
	doubted    []Doubt
	compromise *ringwall.Finding
}

func (g *grading) add(in *Indicator, a answer, t channels) {
	it := item{in: in, answer: a, tried: t}
	it.known = a.rank > said
	g.answered = g.answered || a.rank > 0
	failed := it.known && a.outcome() == ringwall.Fail
	it.applies = (!it.known || a.outcome() != ringwall.NotApplicable) && (failed || !g.rubric.Apart(in.ID))
	if !it.applies {
		g.items = append(g.items, it)
		return
	}
	best, expected, worst := 0.0, 0.5, 1.0
	switch {
	case a.rank == 0:
	case a.outcome() == ringwall.Fail:
		best, expected = 1, 1
	case a.outcome() == ringwall.Partial:
		best, expected = 0.5, 0.5
		if it.known {
			worst = 0.5
		}
	case it.known:
		expected, worst = 0, 0
	default:
		expected = declaredPass
	}
	w := float64(in.Weight)
	it.best, it.expected, it.worst = w*best, w*expected, w*worst
	m := &g.modules[in.Module]
	m.weight += in.Weight
	m.best += it.best
	m.expected += it.expected
	m.worst += it.worst
	if it.known {
		m.covered += in.Weight
		if !failed {
			m.sound += in.Weight
		}
	}
	if a.stale {
		g.count.stale++
	}
	it.knock = strongest(in, a.fails)
	g.count.knock(it.knock, 1)
	if it.open() || a.outcome() == ringwall.Fail {
		full, half := it.openKnock()
		g.count.openFull += full
		g.count.openHalf += half
	}
	if g.rubric.Mandatory(in.ID) {
		switch {
		case failed:
			g.count.barred++
		case !it.known:
			g.count.missing++
		}
	}
	g.items = append(g.items, it)
}

func (c *count) knock(k Class, by int) {
	switch k {
	case Full:
		c.full += by
	case Half:
		c.half += by
	}
}

// openKnock counts the knock-out that an item could still become: that of an
// unknown, or of a fail that was seen and not proven, or proven without the fact
// on which the knock-out hangs.
func (it *item) openKnock() (full, half int) {
	full, half = it.in.worstKnock()
	if it.knock == Full {
		full = 0
	}
	if it.knock == Half {
		half = 0
	}
	return full, half
}

// worstKnock counts what a fail of in could be, at worst.
func (in *Indicator) worstKnock() (full, half int) {
	for _, k := range in.Knockouts {
		if k.Class == Full {
			return 1, 0
		}
		half = 1
	}
	return 0, half
}

func strongest(in *Indicator, fails []*ringwall.Finding) Class {
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

// scenario says how what is unknown is taken.
type scenario uint8

const (
	atBest scenario = iota
	asExpected
	atWorst
)

// risk is one case of the rule: the device's risk and its worst module.
type risk struct{ device, module float64 }

func (g *grading) risk(c scenario) risk {
	sum, worst, n := 0.0, 0.0, 0
	for i := range g.modules {
		m := &g.modules[i]
		if m.weight == 0 {
			continue
		}
		r := [...]float64{m.best, m.expected, m.worst}[c] / float64(m.weight)
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

// outlook is the grade of a device, with its interval.
type outlook struct {
	grade, best, worst          ringwall.Grade
	expected, riskBest, riskMax risk
	covered, sound              float64
}

// outlook applies steps 2 to 6.
func (g *grading) outlook() outlook {
	o := outlook{riskBest: g.risk(atBest), expected: g.risk(asExpected), riskMax: g.risk(atWorst)}
	var weight, covered, sound int
	for _, m := range g.modules {
		weight, covered, sound = weight+m.weight, covered+m.covered, sound+m.sound
	}
	bestSound := 1.0
	if weight > 0 {
		share := func(n int) float64 { return round(float64(n) / float64(weight)) }
		o.covered, o.sound, bestSound = share(covered), share(sound), share(weight-covered+sound)
	}
	if g.answered || g.compromise != nil {
		o.grade = g.grade(o.expected, o.riskMax, g.count, o.sound)
	}
	c := g.count
	c.missing, c.stale = 0, 0
	o.best = g.grade(o.riskBest, o.riskBest, c, bestSound)
	c = g.count
	c.full, c.half = c.full+c.openFull, c.half+c.openHalf
	o.worst = g.grade(o.riskMax, o.riskMax, c, o.sound)
	return o
}

// grade applies steps 3 to 5 to one case.
func (g *grading) grade(expected, upper risk, c count, sound float64) ringwall.Grade {
	t := g.rubric.terms.thresholds
	switch {
	case g.compromise != nil, c.full > 0, c.half > 1, expected.device >= t.HighRisk, expected.module >= t.HighModule:
		return ringwall.HighRisk
	case sound >= t.LowCoverage && c.half == 0 && c.barred+c.missing+c.stale == 0 &&
		upper.device < t.LowWorst && expected.device < t.MediumRisk && expected.module < t.MediumModule:
		return ringwall.LowRisk
	}
	return ringwall.MediumRisk
}

func (g *grading) result() Result {
	o := g.outlook()
	res := Result{
		Grade: o.grade, Class: o.grade.Class(), Best: o.best, Worst: o.worst,
		Risk: o.expected.device, RiskBest: o.riskBest.device, RiskMax: o.riskMax.device, Coverage: o.covered,
		Doubted: g.doubted, Rubric: g.rubric.Version, Profile: g.rubric.Profile,
	}
	res.Settled = make([]ringwall.Finding, 0, len(g.items))
	for i := range g.items {
		it := &g.items[i]
		if it.answer.rank > 0 {
			res.Settled = append(res.Settled, *it.answer.finding)
		}
		if it.applies && g.rubric.Mandatory(it.in.ID) && (!it.known || it.answer.outcome() == ringwall.Fail) {
			res.Missing = append(res.Missing, it.in.ID)
		}
	}
	for _, mod := range ringwall.Modules {
		res.Modules = append(res.Modules, g.modules[mod].score(mod))
	}
	res.Reasons = g.reasons(res, o)
	res.Next = g.next(o)
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
