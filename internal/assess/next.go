package assess

import (
	"cmp"
	"slices"

	"github.com/ringwall/ringwall"
)

// nextMeasurements is how many are named.
const nextMeasurements = 3

// Next is one measurement worth making.
type Next struct {
	Indicator string         `json:"indicator"`
	Channel   Channel        `json:"channel"`
	Title     string         `json:"title"`
	IfPass    ringwall.Grade `json:"ifPass"` // the grade that a pass would give, all else as it is
	IfFail    ringwall.Grade `json:"ifFail"` // that a proven fail would
	Effect    float64        `json:"effect"` // what it would tell, in points; see next
}

// channels is a set of them, by order of cost.
type channels uint8

// measuring are the channels that measure, cheapest first, with the effort of
// the person who does it. A declaration is none: it narrows no interval.
var measuring = [...]struct {
	channel Channel
	cost    float64
}{
	{ByProbe, 1}, {ByGateway, 2}, {ByAgent, 4}, {ByImage, 5}, {ByLaboratory, 12}, // an image must be found first; a laboratory wants money
}

func bit(c Channel) channels {
	for i, m := range measuring {
		if m.channel == c {
			return 1 << i
		}
	}
	return 0
}

// tried returns the means by which somebody tried to answer and could not.
func tried(fs []*ringwall.Finding) channels {
	var t channels
	for _, f := range fs {
		if f.Outcome == ringwall.Unknown && f.Source != SourceAssess {
			t |= bit(channel(f))
		}
	}
	return t
}

// cheapest returns the cheapest means that was not tried in vain; when all
// were, the cheapest of all.
func (it *item) cheapest() (Channel, float64) {
	for _, skip := range []channels{it.tried, 0} {
		for i, m := range measuring {
			if slices.Contains(it.in.Channels, m.channel) && skip&(1<<i) == 0 {
				return m.channel, m.cost
			}
		}
	}
	return it.in.Channels[0], measuring[len(measuring)-1].cost
}

// Points of an effect: a grade that would change tells more than any share of
// risk, and a bar to low risk that would fall more than one that would not.
const (
	pointsGrade    = 30.0  // for each outcome that changes the grade
	pointsInterval = 15.0  // for each step by which the interval narrows, on average
	pointsBar      = 10.0  // for a mandatory indicator
	pointsCoverage = 100.0 // for all of the weight
)

// next returns the measurements that tell most for least effort. Each unknown
// indicator is tried out: the whole rule is applied once as if it had passed,
// and once as if it had been proven to fail; what that does to grade, interval
// and worst-case risk is its effect. Those with the highest effect for their
// cost come first.
func (g *grading) next(now outlook) []Next {
	type offer struct {
		Next
		worth float64
	}
	offers := make([]offer, 0, len(g.items))
	for i := range g.items {
		it := &g.items[i]
		if !it.applies || !it.open() {
			continue
		}
		pass, fail := g.suppose(it, false), g.suppose(it, true)
		effect := now.riskMax.device - now.riskBest.device -
			(pass.riskMax.device-pass.riskBest.device+fail.riskMax.device-fail.riskBest.device)/2
		for _, then := range []outlook{pass, fail} {
			if then.grade != now.grade {
				effect += pointsGrade
			}
			effect += pointsInterval / 2 * (width(now) - width(then))
		}
		if g.rubric.Mandatory(it.in.ID) {
			effect += pointsBar
		}
		effect += pointsCoverage * (pass.covered - now.covered)
		c, cost := it.cheapest()
		offers = append(offers, offer{Next{it.in.ID, c, it.in.Title, pass.grade, fail.grade, round(effect)}, round(effect / cost)})
	}
	slices.SortStableFunc(offers, func(a, b offer) int {
		return cmp.Or(cmp.Compare(b.worth, a.worth), cmp.Compare(a.Indicator, b.Indicator))
	})
	var out []Next
	for _, o := range offers[:min(len(offers), nextMeasurements)] {
		out = append(out, o.Next)
	}
	return out
}

func width(o outlook) float64 { return float64(o.worst) - float64(o.best) }

// suppose applies the rule as if an open item were measured.
func (g *grading) suppose(it *item, fails bool) outlook {
	then := grading{rubric: g.rubric, modules: g.modules, count: g.count, answered: true, compromise: g.compromise}
	m, w := &then.modules[it.in.Module], float64(it.in.Weight)
	score := 0.0
	if fails {
		score = w
	}
	m.best += score - it.best
	m.expected += score - it.expected
	m.worst += score - it.worst
	if !it.known {
		m.covered += it.in.Weight
		if !fails {
			m.sound += it.in.Weight
		}
	}
	full, half := it.in.worstKnock()
	then.count.openFull -= full
	then.count.openHalf -= half
	if fails {
		then.count.full += full
		then.count.half += half
	}
	if g.rubric.Mandatory(it.in.ID) {
		then.count.missing--
		if fails {
			then.count.barred++
		}
	}
	if it.answer.stale {
		then.count.stale--
	}
	return then.outlook()
}
