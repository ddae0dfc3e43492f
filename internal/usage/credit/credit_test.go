package credit

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func said(rule string, card int, s ringwall.Severity, ago time.Duration, disposition string) Statement {
	return Statement{
		ID: ringwall.AlertID(fmt.Sprintf("alt_%s%d", rule, card)), Card: ringwall.SIMID(fmt.Sprintf("sim_%d", card)), Rule: rule, Severity: s,
		Time: now.Add(-ago), Disposition: disposition,
	}
}

func many(n int, f func(i int) Statement) (all []Statement) {
	for i := range n {
		all = append(all, f(i))
	}
	return all
}

const day = 24 * time.Hour

func TestOf(t *testing.T) {
	old := now.AddDate(-1, 0, 0)
	for _, c := range []struct {
		name  string
		in    Input
		known bool
		why   string
		value int
	}{
		{name: "nobody", in: Input{}, why: "cards"},
		{name: "four cards", in: Input{Cards: 4, Since: old}, why: "cards"},
		{name: "a week", in: Input{Cards: 1000, Since: now.Add(-7 * day)}, why: "time"},
		{name: "cards whose first use is not known", in: Input{Cards: 1000}, why: "time"},
		{name: "nothing was said", in: Input{Cards: 5, Since: old}, known: true, value: 100},
		{name: "all false alarms", in: Input{Cards: 100, Since: old, Said: many(100, func(i int) Statement { return said("separation", i, ringwall.Critical, day, "false") })}, known: true, value: 100},
		{name: "all benign", in: Input{Cards: 100, Since: old, Said: many(100, func(i int) Statement { return said("separation", i, ringwall.Critical, day, "benign") })}, known: true, value: 100},
		{name: "one rule takes no more than its ceiling", in: Input{Cards: 100, Since: old, Said: many(100, func(i int) Statement { return said("separation", i, ringwall.Critical, 0, "true") })}, known: true, value: 55},
		{name: "three rules take all", in: Input{Cards: 100, Since: old, Said: append(append(
			many(100, func(i int) Statement { return said("separation", i, ringwall.Critical, 0, "true") }),
			many(100, func(i int) Statement { return said("sim-box", i, ringwall.Critical, 0, "true") })...),
			many(100, func(i int) Statement { return said("sim-service", i, ringwall.High, 0, "true") })...)}, known: true, value: 0},
		// 1 of 100 cards: share 1/120 of 0.05 = 1/6 of 45 = 7.5
		{name: "one card of a hundred", in: Input{Cards: 100, Since: old, Said: []Statement{said("separation", 1, ringwall.Critical, 0, "true")}}, known: true, value: 93},
		{name: "the same card said often counts once", in: Input{Cards: 100, Since: old, Said: many(50, func(int) Statement { return said("separation", 1, ringwall.Critical, 0, "true") })}, known: true, value: 93},
		{name: "nobody has looked: half", in: Input{Cards: 100, Since: old, Said: []Statement{said("separation", 1, ringwall.Critical, 0, "")}}, known: true, value: 96},
		{name: "a month later: half", in: Input{Cards: 100, Since: old, Said: []Statement{said("separation", 1, ringwall.Critical, HalfLife, "true")}}, known: true, value: 96},
		{name: "half a year later: nothing", in: Input{Cards: 100, Since: old, Said: []Statement{said("separation", 1, ringwall.Critical, Span, "true")}}, known: true, value: 100},
		{name: "information takes nothing", in: Input{Cards: 10, Since: old, Said: many(10, func(i int) Statement { return said("x", i, ringwall.Info, 0, "true") })}, known: true, value: 100},
		{name: "one card of a hundred thousand is nothing", in: Input{Cards: 100_000, Since: old, Said: []Statement{said("separation", 1, ringwall.Critical, 0, "true")}}, known: true, value: 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Of(c.in, now)
			if s.Known != c.known || s.Why != c.why || s.Value != c.value {
				t.Errorf("known %v (%s), %d; want %v (%s), %d: %+v", s.Known, s.Why, s.Value, c.known, c.why, c.value, s.Deductions)
			}
		})
	}
}

// TestOf_explains: each deduction names its rule, count, share, period and
// proofs, and the points are those that are missing.
func TestOf_explains(t *testing.T) {
	in := Input{Cards: 50, Since: now.AddDate(-1, 0, 0), Said: append(
		many(7, func(i int) Statement { return said("sim-service", i%3, ringwall.High, time.Duration(i)*day, "true") }),
		said("sim-peer", 9, ringwall.Medium, 2*day, ""))}
	s := Of(in, now)
	if len(s.Deductions) != 2 {
		t.Fatalf("%+v", s.Deductions)
	}
	d := s.Deductions[0]
	if d.Rule != "sim-service" || d.Statements != 7 || d.Cards != 3 || d.Share != 0.06 || len(d.Proofs) != Proofs || d.First != now.Add(-6*day) || d.Last != now {
		t.Errorf("%+v", d)
	}
	sum := 100 - d.Points - s.Deductions[1].Points
	if diff := sum - float64(s.Value); diff > 0.5 || diff < -0.5 {
		t.Errorf("100 less the deductions is %v, the score %d", sum, s.Value)
	}
}

// TestOf_properties: bounded; order does not matter; a further true alert never
// raises it; time alone never lowers it.
func TestOf_properties(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 7))
	for range 300 {
		in := Input{Cards: 5 + r.IntN(500), Since: now.AddDate(-1, 0, 0)}
		for range r.IntN(60) {
			in.Said = append(in.Said, said([]string{"a", "b", "c"}[r.IntN(3)], r.IntN(in.Cards), ringwall.Severity(r.IntN(5)), time.Duration(r.IntN(200))*day, []string{"", "true", "false"}[r.IntN(3)]))
		}
		s := Of(in, now)
		if !s.Known || s.Value < 0 || s.Value > 100 {
			t.Fatalf("%+v", s)
		}
		other := Input{Cards: in.Cards, Since: in.Since, Said: append([]Statement{}, in.Said...)}
		r.Shuffle(len(other.Said), func(i, j int) { other.Said[i], other.Said[j] = other.Said[j], other.Said[i] })
		if o := Of(other, now); o.Value != s.Value || !reflect.DeepEqual(rules(o), rules(s)) {
			t.Fatalf("in another order it is %+v, not %+v", o, s)
		}
		if later := Of(in, now.Add(40*day)); later.Value < s.Value {
			t.Fatalf("time alone lowered it from %d to %d", s.Value, later.Value)
		}
		more := in
		more.Said = append(append([]Statement{}, in.Said...), said("d", 1, ringwall.Critical, 0, "true"))
		if m := Of(more, now); m.Value > s.Value {
			t.Fatalf("a further misuse raised it from %d to %d", s.Value, m.Value)
		}
	}
}

func rules(s Score) (out []string) {
	for _, d := range s.Deductions {
		out = append(out, fmt.Sprint(d.Rule, d.Points))
	}
	return out
}
