package assess

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// say is a finding of an active probe.
func say(id string, o ringwall.Outcome) ringwall.Finding {
	return ringwall.Finding{Indicator: id, Outcome: o, Confidence: ringwall.Confirmed, Title: "t " + id, Source: "probe/x", Time: noon.Add(-time.Hour)}
}

func with(f ringwall.Finding, source string, c ringwall.Confidence) ringwall.Finding {
	f.Source, f.Confidence = source, c
	return f
}

// all answers every indicator alike.
func all(r *Rubric, o ringwall.Outcome) []ringwall.Finding {
	var out []ringwall.Finding
	for _, in := range r.Indicators {
		out = append(out, say(in.ID, o))
	}
	return out
}

func TestDefault_rubric(t *testing.T) {
	r := Default()
	weight, full, half, byProbe := 0, 0, 0, 0
	modules := map[ringwall.Module]int{}
	for _, in := range r.Indicators {
		weight += in.Weight
		modules[in.Module]++
		if in.Channels[0] == ByProbe {
			byProbe += in.Weight
		}
		kinds := map[Class]bool{}
		for _, k := range in.Knockouts {
			kinds[k.Class] = true
		}
		switch {
		case kinds[Full]:
			full++
		case kinds[Half]:
			half++
		}
	}
	// The counts of the rubric as it was agreed: 49 indicators of weight 274,
	// 132 of it led by network probes, 7 full and 5 half knock-outs.
	if len(r.Indicators) != 49 || weight != 274 || byProbe != 132 || full != 7 || half != 5 {
		t.Errorf("%d indicators, weight %d, %d led by probes, %d full, %d half", len(r.Indicators), weight, byProbe, full, half)
	}
	want := map[ringwall.Module]int{ringwall.Hardware: 5, ringwall.Firmware: 14, ringwall.Application: 10, ringwall.Data: 7, ringwall.Communication: 13}
	for m, n := range want {
		if modules[m] != n {
			t.Errorf("module %v has %d indicators, want %d", m, modules[m], n)
		}
	}
}

func TestParseRubric_refuses(t *testing.T) {
	change := func(old, new string) []byte {
		s := strings.Replace(string(rubricJSON), old, new, 1)
		if s == string(rubricJSON) {
			t.Fatalf("%q does not occur", old)
		}
		return []byte(s)
	}
	for name, b := range map[string][]byte{
		"twice":   change(`"id": "HW-02"`, `"id": "HW-01"`),
		"weight":  change(`"weight": 7`, `"weight": 11`),
		"module":  change(`"module": "hardware"`, `"module": "soul"`),
		"channel": change(`"channels": ["firmware"`, `"channels": ["rumour"`),
		"class":   change(`"class": "full"`, `"class": "most"`),
		"effort":  change(`"effort": "high"`, `"effort": "none"`),
		"version": change(`"version": "2.1.0"`, `"version": ""`),
		"json":    []byte("{"),
		"huge":    make([]byte, 2<<20),
	} {
		if _, err := ParseRubric(b); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: error is %v, want code invalid", name, err)
		}
	}
}

func TestGrade_table(t *testing.T) {
	r := Default()
	network := func(o ringwall.Outcome) []ringwall.Finding {
		var out []ringwall.Finding
		for _, in := range r.Indicators {
			if in.Channels[0] == ByProbe {
				out = append(out, say(in.ID, o))
			}
		}
		return out
	}
	declared := all(r, ringwall.Pass)
	for i := range declared {
		declared[i] = with(declared[i], "declaration/maker", ringwall.Declared)
	}
	but := func(fs []ringwall.Finding, changed ...ringwall.Finding) []ringwall.Finding {
		out := slices.Clone(fs)
		for _, c := range changed {
			i := slices.IndexFunc(out, func(f ringwall.Finding) bool { return f.Indicator == c.Indicator })
			if i < 0 {
				out = append(out, c)
			} else {
				out[i] = c
			}
		}
		return out
	}
	perfect := all(r, ringwall.Pass)
	compromise := ringwall.Finding{
		Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "incident/inc_1", Time: noon.Add(-time.Minute),
	}
	cleared := with(ringwall.Finding{Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Pass, Time: noon}, SourceAssess, ringwall.Observed)
	early := cleared
	early.Time = noon.Add(-time.Hour)
	old := all(r, ringwall.Pass)
	for i := range old {
		old[i].Time = noon.Add(-31 * 24 * time.Hour)
	}
	for _, tt := range []struct {
		name              string
		in                []ringwall.Finding
		grade, best, wors ringwall.Grade
	}{
		{"nothing answered", nil, ringwall.Ungraded, ringwall.LowRisk, ringwall.HighRisk},
		{"only unknown answers", all(r, ringwall.Unknown), ringwall.Ungraded, ringwall.LowRisk, ringwall.HighRisk},
		{"everything passes", perfect, ringwall.LowRisk, ringwall.LowRisk, ringwall.LowRisk},
		{"everything fails", all(r, ringwall.Fail), ringwall.HighRisk, ringwall.HighRisk, ringwall.HighRisk},
		{"the network's share passes: too much unknown for low", network(ringwall.Pass), ringwall.MediumRisk, ringwall.LowRisk, ringwall.HighRisk},
		{"paper alone is never low", declared, ringwall.MediumRisk, ringwall.LowRisk, ringwall.HighRisk},
		{"one confirmed full knock-out", but(perfect, say("AP-01", ringwall.Fail)), ringwall.HighRisk, ringwall.HighRisk, ringwall.HighRisk},
		{"one observed full knock-out", but(perfect, with(say("AP-01", ringwall.Fail), "probe/x", ringwall.Observed)), ringwall.LowRisk, ringwall.LowRisk, ringwall.HighRisk},
		{"one half knock-out", but(perfect, say("CO-02", ringwall.Fail)), ringwall.MediumRisk, ringwall.MediumRisk, ringwall.MediumRisk},
		{"two half knock-outs", but(perfect, say("CO-02", ringwall.Fail), say("AP-05", ringwall.Fail)), ringwall.HighRisk, ringwall.HighRisk, ringwall.HighRisk},
		{"a knock-out without its fact", but(perfect, say("CO-10", ringwall.Fail)), ringwall.LowRisk, ringwall.LowRisk, ringwall.MediumRisk},
		{"a compromise", append(slices.Clone(perfect), compromise), ringwall.HighRisk, ringwall.HighRisk, ringwall.HighRisk},
		{"a compromise, cleared later", append(slices.Clone(perfect), compromise, cleared), ringwall.LowRisk, ringwall.LowRisk, ringwall.LowRisk},
		{"a compromise after the clearing", append(slices.Clone(perfect), compromise, early), ringwall.HighRisk, ringwall.HighRisk, ringwall.HighRisk},
		{"all passes are stale", old, ringwall.Ungraded, ringwall.LowRisk, ringwall.HighRisk},
		{"a declaration does not beat a proof", but(perfect, say("AP-04", ringwall.Fail)), ringwall.HighRisk, ringwall.HighRisk, ringwall.HighRisk},
	} {
		if strings.HasPrefix(tt.name, "a declaration") {
			tt.in = append(tt.in, with(say("AP-04", ringwall.Pass), "declaration/maker", ringwall.Declared))
		}
		got := Grade(r, tt.in, noon)
		if got.Grade != tt.grade || got.Best != tt.best || got.Worst != tt.wors {
			t.Errorf("%s: %v between %v and %v, want %v between %v and %v (risk %v, coverage %v)",
				tt.name, got.Grade, got.Best, got.Worst, tt.grade, tt.best, tt.wors, got.Risk, got.Coverage)
		}
		if got.Class != got.Grade.Class() {
			t.Errorf("%s: class %v does not follow grade %v", tt.name, got.Class, got.Grade)
		}
		if tt.grade != ringwall.LowRisk && len(got.Reasons) == 0 {
			t.Errorf("%s: no reason is given", tt.name)
		}
	}
}

func TestGrade_factDecidesTheKnockout(t *testing.T) {
	r := Default()
	f := say("CO-10", ringwall.Fail)
	f.Facts = map[string]string{"write": "true"}
	if got := Grade(r, append(all(r, ringwall.Pass)[:46], f), noon); !strings.Contains(strings.Join(got.Reasons, "\n"), "CO-10: t CO-10 — proven") {
		t.Errorf("reasons are %q", got.Reasons)
	}
	kev := say("FS-04", ringwall.Fail)
	kev.Facts = map[string]string{"exposed": "true"}
	if got := Grade(r, []ringwall.Finding{kev}, noon); got.Grade != ringwall.HighRisk {
		t.Errorf("an exposed known-exploited component gives %v", got.Grade)
	}
}

func TestGrade_bounds(t *testing.T) {
	r := Default()
	got := Grade(r, []ringwall.Finding{say("AP-10", ringwall.Pass)}, noon)
	if !(got.RiskBest < got.Risk && got.Risk < got.RiskMax) {
		t.Errorf("risk %v is not inside %v to %v", got.Risk, got.RiskBest, got.RiskMax)
	}
	if len(got.Next) != 3 || got.Next[0].Channel != ByProbe {
		t.Errorf("next measurements are %+v, want three, by probe first", got.Next)
	}
	if len(got.Modules) != 5 || got.Modules[2].Coverage <= 0 {
		t.Errorf("modules are %+v", got.Modules)
	}
}

// evidence makes random findings of every kind.
func evidence(r *Rubric, rng *rand.Rand, n int) []ringwall.Finding {
	sources := []string{"probe/a", "probe/b", "firmware/image", "agent/dev", "declaration/maker", "declaration/other", "inline/gw", "laboratory/bench", "rumour"}
	var out []ringwall.Finding
	for range n {
		in := r.Indicators[rng.IntN(len(r.Indicators))]
		f := ringwall.Finding{
			Indicator: in.ID, Outcome: ringwall.Outcome(rng.IntN(5)), Confidence: ringwall.Confidence(rng.IntN(3)),
			Source: sources[rng.IntN(len(sources))], Time: noon.Add(-time.Duration(rng.IntN(60*24)) * time.Hour), Title: "t",
		}
		if strings.HasPrefix(f.Source, "declaration") {
			f.Confidence = ringwall.Declared
		}
		switch rng.IntN(6) {
		case 0:
			f.Facts = map[string]string{"exposed": "true", "write": "true", "served": "true", "keyInFirmware": "true"}
		case 1:
			f.Time = noon.Add(time.Duration(rng.IntN(72)) * time.Hour)
		}
		out = append(out, f)
	}
	return out
}

// profiled returns the rubric as it applies to some profile, or to none.
func profiled(rng *rand.Rand) *Rubric {
	r := Default()
	classes, uses := append(r.Classes(), ""), append(r.Uses(), "")
	return r.For(api.Profile{Class: classes[rng.IntN(len(classes))], Use: uses[rng.IntN(len(uses))], SIM: rng.IntN(2) == 0})
}

func TestGrade_isIndependentOfOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 10 {
		r := profiled(rng)
		fs := evidence(r, rng, 150)
		want, err := json.Marshal(Grade(r, fs, noon))
		if err != nil {
			t.Fatal(err)
		}
		merged, err := json.Marshal(r.Settled(fs, noon))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			rng.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
			got, err := json.Marshal(Grade(r, fs, noon))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Fatalf("round %d: order changes the result:\n%s\n%s", round, want, got)
			}
			if got, err = json.Marshal(r.Settled(fs, noon)); err != nil || string(got) != string(merged) {
				t.Fatalf("round %d: order changes the merged answers (%v):\n%s\n%s", round, err, merged, got)
			}
		}
	}
}

// worse reports whether b is worse than a anywhere.
func worse(a, b Result) bool {
	return b.Risk > a.Risk || b.RiskMax > a.RiskMax || b.RiskBest > a.RiskBest ||
		a.Grade != ringwall.Ungraded && b.Grade != ringwall.Ungraded && b.Grade > a.Grade || b.Best > a.Best || b.Worst > a.Worst
}

func TestGrade_isMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	low, exceptions, riskier := 0, 0, 0
	for round := range 6000 {
		r := profiled(rng)
		// Sparse and dense, and mostly good, so that every threshold is met.
		fs := evidence(r, rng, rng.IntN(200))
		if round%2 == 0 {
			for i := range fs {
				if rng.IntN(8) > 0 {
					fs[i].Outcome = ringwall.Pass
				}
			}
			fs = append(fs, all(r, ringwall.Pass)[:rng.IntN(50)]...)
		}
		if round%8 == 0 { // around the bars of low risk
			fs = all(r, ringwall.Pass)
			for range rng.IntN(6) {
				fs[rng.IntN(len(fs))].Outcome = ringwall.Outcome(rng.IntN(5))
			}
			fs = append(fs, evidence(r, rng, 3)...)
		}
		before := Grade(r, fs, noon)
		if before.Grade == ringwall.LowRisk {
			low++
		}
		extra := evidence(r, rng, 1)[0]
		extra.Outcome = ringwall.Fail
		after := Grade(r, append(slices.Clone(fs), extra), noon)
		if worse(after, before) {
			t.Fatalf("round %d: one more fail (%+v) takes %v %v to %v %v", round, extra, before.Grade, before.Risk, after.Grade, after.Risk)
		}
		extra.Outcome = ringwall.Pass
		after = Grade(r, append(slices.Clone(fs), extra), noon)
		if !worse(before, after) {
			continue
		}
		// The one exception: a declared pass on what was measured to fail. It may
		// raise the expected risk, and nothing of the bounds.
		if len(Contradictions(r, append(slices.Clone(fs), extra), noon)) > len(Contradictions(r, fs, noon)) &&
			after.RiskBest == before.RiskBest && after.RiskMax == before.RiskMax && after.Best == before.Best && after.Worst == before.Worst {
			exceptions++
			if after.Risk > before.Risk {
				riskier++
			}
			continue
		}
		for _, f := range fs {
			if f.Indicator == extra.Indicator {
				t.Logf("%+v", f)
			}
		}
		t.Logf("%+v\n%+v", before.Doubted, after.Doubted)
		t.Fatalf("round %d: one more pass (%+v) takes %v %v to %v %v", round, extra, before.Grade, before.Risk, after.Grade, after.Risk)
	}
	if low < 100 || exceptions == 0 || riskier == 0 {
		t.Errorf("%d rounds began low, %d met the exception, %d of them with a higher risk: the property was hardly tested", low, exceptions, riskier)
	}
}

func TestGrade_contradictionIsAReason(t *testing.T) {
	r := Default()
	got := Grade(r, []ringwall.Finding{
		say("CO-02", ringwall.Fail), with(say("CO-02", ringwall.Pass), "declaration/maker", ringwall.Declared),
	}, noon)
	if !strings.Contains(strings.Join(got.Reasons, "\n"), "declaration/maker says pass") {
		t.Errorf("reasons are %q", got.Reasons)
	}
}

func TestClear(t *testing.T) {
	r := Default()
	compromise := ringwall.Finding{
		Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "incident/inc_1", Time: noon.Add(-time.Hour),
	}
	at := func(f ringwall.Finding, when time.Time) ringwall.Finding { f.Time = when; return f }
	after := noon.Add(-time.Minute)
	clean := []ringwall.Finding{at(say("AP-01", ringwall.Pass), after), at(say("CO-02", ringwall.Pass), after), at(say("AP-05", ringwall.Partial), after)}
	for _, tt := range []struct {
		name  string
		prior []ringwall.Finding
		fresh []ringwall.Finding
		want  bool
	}{
		{"clean", []ringwall.Finding{compromise}, clean, true},
		{"nothing to clear", nil, clean, false},
		{"assessed before the compromise", []ringwall.Finding{compromise}, []ringwall.Finding{at(say("AP-01", ringwall.Pass), noon.Add(-2*time.Hour)), at(say("CO-02", ringwall.Pass), noon.Add(-2*time.Hour))}, false},
		{"telnet still open", []ringwall.Finding{compromise}, append(slices.Clone(clean)[:1], at(say("CO-02", ringwall.Fail), after)), false},
		{"another knock-out", []ringwall.Finding{compromise}, append(slices.Clone(clean), at(say("AP-04", ringwall.Fail), after)), false},
		{"ports not looked at", []ringwall.Finding{compromise}, clean[:1], false},
		{"logins could not be tried", []ringwall.Finding{compromise}, []ringwall.Finding{clean[1], at(say("AP-01", ringwall.Unknown), after)}, false},
		{"no login anywhere", []ringwall.Finding{compromise}, clean[1:2], true},
		{"paper only", []ringwall.Finding{compromise}, []ringwall.Finding{with(clean[0], "declaration/x", ringwall.Declared), with(clean[1], "declaration/x", ringwall.Declared)}, false},
	} {
		f, ok := Clear(r, tt.prior, tt.fresh, noon)
		if ok != tt.want {
			t.Errorf("%s: cleared is %v, want %v", tt.name, ok, tt.want)
		}
		if ok && Grade(r, append(slices.Clone(tt.prior), append(tt.fresh, f)...), noon).Grade == ringwall.HighRisk {
			t.Errorf("%s: still high after clearing", tt.name)
		}
	}
}

func FuzzParseRubric(f *testing.F) {
	f.Add(rubricJSON)
	f.Add([]byte(`{"version":"1","validity":{"network":"1h"},"indicators":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRubric(b)
		if err != nil {
			return
		}
		Grade(r, all(r, ringwall.Fail), noon)
	})
}

func BenchmarkGrade(b *testing.B) {
	r := Default()
	fs := evidence(r, rand.New(rand.NewPCG(5, 6)), 80)
	for b.Loop() {
		Grade(r, fs, noon)
	}
}
