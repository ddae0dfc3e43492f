package assess

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

func TestProfileOf(t *testing.T) {
	for in, want := range map[string]string{
		"camera": "camera", "Camera": "camera", "recorder": "camera", "hub": "gateway", "router": "gateway", "meter": "meter",
		"oven": "appliance", "sensor": "microcontroller", "unknown": "", "": "", "phone": "",
	} {
		if got := ProfileOf(in, true); got.Class != want || got.Use != UseConsumer || !got.SIM {
			t.Errorf("ProfileOf(%q) = %+v, want class %q", in, got, want)
		}
	}
}

func TestRubric_For_everyClass(t *testing.T) {
	bare := Default()
	if len(bare.Classes()) != 8 || len(bare.Uses()) != 3 {
		t.Fatalf("classes %q, uses %q", bare.Classes(), bare.Uses())
	}
	before, err := json.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range bare.Classes() {
		for _, u := range bare.Uses() {
			p := api.Profile{Class: c, Use: u}
			r := bare.For(p)
			if r.Impact == "" || r.Profile != p {
				t.Errorf("%+v: impact %q, profile %+v", p, r.Impact, r.Profile)
			}
			// Applied again it is the same, whatever it was applied to before.
			a, b := Grade(r, all(r, ringwall.Pass), noon), Grade(r.For(api.Profile{Class: "cloud"}).For(p), all(r, ringwall.Pass), noon)
			x, _ := json.Marshal(a)
			y, _ := json.Marshal(b)
			if string(x) != string(y) {
				t.Errorf("%+v: applied by way of another profile it differs", p)
			}
			if a.Grade != ringwall.LowRisk || a.Worst != ringwall.LowRisk {
				t.Errorf("%+v: everything passes and it is %v to %v: %q", p, a.Grade, a.Worst, a.Reasons)
			}
			for _, in := range r.Indicators {
				if !r.Mandatory(in.ID) {
					continue
				}
				if r.Apart(in.ID) {
					t.Errorf("%+v: %s is mandatory and set apart", p, in.ID)
				}
				// Unknown or failed, a mandatory one bars low.
				for _, o := range []ringwall.Outcome{ringwall.Unknown, ringwall.Fail} {
					fs := all(r, ringwall.Pass)
					i := slices.IndexFunc(fs, func(f ringwall.Finding) bool { return f.Indicator == in.ID })
					fs[i].Outcome, fs[i].Confidence = o, ringwall.Observed
					if got := Grade(r, fs, noon); got.Grade == ringwall.LowRisk || !slices.Equal(got.Missing, []string{in.ID}) {
						t.Errorf("%+v: with %s %v it is %v, missing %q", p, in.ID, o, got.Grade, got.Missing)
					}
					fs = append(fs, with(say(in.ID, ringwall.Pass), "declaration/maker", ringwall.Declared))
					if got := Grade(r, fs, noon); got.Grade == ringwall.LowRisk {
						t.Errorf("%+v: a declaration stands in for %s", p, in.ID)
					}
				}
			}
		}
	}
	if after, _ := json.Marshal(bare); string(after) != string(before) {
		t.Error("applying profiles changed the table")
	}
}

// TestRubric_For_noProfileForgives shows that whatever makes a device high by a
// proven knock-out under the bare rubric makes it high under every profile.
func TestRubric_For_noProfileForgives(t *testing.T) {
	bare := Default()
	rng := rand.New(rand.NewPCG(11, 12))
	knocked := 0
	for range 400 {
		fs := evidence(bare, rng, 60)
		g := Grade(bare, fs, noon)
		if !slices.ContainsFunc(g.Reasons, func(s string) bool { return strings.Contains(s, "alone enough for high risk") }) {
			continue
		}
		knocked++
		for _, c := range bare.Classes() {
			for _, u := range bare.Uses() {
				if got := Grade(bare.For(api.Profile{Class: c, Use: u}), fs, noon); got.Grade != ringwall.HighRisk {
					t.Fatalf("as %s in %s use it is %v: %q", c, u, got.Grade, g.Reasons)
				}
			}
		}
	}
	if knocked < 50 {
		t.Errorf("only %d rounds had a knock-out", knocked)
	}
}

func TestGrade_whatIsSetApartAppliesWhenItFails(t *testing.T) {
	r := Default().For(api.Profile{Class: "meter"})
	fs := all(r, ringwall.Pass)
	i := slices.IndexFunc(fs, func(f ringwall.Finding) bool { return f.Indicator == "AP-04" })
	fs[i].Outcome = ringwall.Fail
	if got := Grade(r, fs, noon); got.Grade != ringwall.HighRisk {
		t.Errorf("a meter that shows video to strangers is %v", got.Grade)
	}
	fs = slices.Delete(fs, i, i+1)
	if got := Grade(r, fs, noon); got.Coverage != 1 || got.Worst != ringwall.LowRisk {
		t.Errorf("a meter without video: coverage %v, worst %v", got.Coverage, got.Worst)
	}
}

func TestProfiles_refuses(t *testing.T) {
	change := func(old, new string) []byte {
		s := strings.Replace(string(profilesJSON), old, new, 1)
		if s == string(profilesJSON) {
			t.Fatalf("%q does not occur", old)
		}
		return []byte(s)
	}
	for name, b := range map[string][]byte{
		"an unknown indicator":  change(`"AP-04"`, `"XX-04"`),
		"a milder weight":       change(`{"HW-02": 7}`, `{"HW-02": 2}`),
		"a weight beyond ten":   change(`{"HW-02": 7}`, `{"HW-02": 11}`),
		"a type twice":          change(`"types": ["lock"]`, `"types": ["camera"]`),
		"a class twice":         change(`"name": "lock"`, `"name": "camera"`),
		"mandatory and apart":   change(`"mandatory": ["AP-01", "AP-07", "CO-02", "FS-01", "FS-04", "FS-09", "HW-02"]`, `"mandatory": ["AP-04"]`),
		"a share above one":     change(`"lowCoverage": 0.85`, `"lowCoverage": 1.85`),
		"a knock-out of a kind": change(`"class": "full"`, `"class": "most"`),
		"no JSON":               []byte("["),
	} {
		r, err := ParseRubric(rubricJSON)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.parseProfiles(b); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want code invalid", name, err)
		}
	}
}

func TestDefault_saysWhatEachIndicatorNeeds(t *testing.T) {
	r := Default()
	editions := map[string]bool{}
	for _, in := range r.Indicators {
		if in.Why == "" || in.Party == "" || in.Gives == "" || in.Remedy == "" {
			t.Errorf("%s lacks why, party, gives or remedy", in.ID)
		}
		if !slices.ContainsFunc(in.Channels, func(c Channel) bool { return c != ByDeclaration && c != ByLaboratory }) {
			t.Errorf("%s can be measured by nothing but paper or a laboratory", in.ID)
		}
		for _, ref := range in.References {
			if ref.Standard == "ETSI EN 303 645" {
				editions[ref.Edition] = true
				if ref.Edition == "" || !slices.Contains([]string{"shall", "should", "disputed"}, ref.Status) {
					t.Errorf("%s: %v has edition %q and status %q", in.ID, ref, ref.Edition, ref.Status)
				}
				if ref.Status == "disputed" && ref.Note == "" {
					t.Errorf("%s: %v is disputed and nothing says why", in.ID, ref)
				}
			}
		}
	}
	if !editions["V3.1.3"] || !editions["V2.1.1"] {
		t.Errorf("editions are %v; UK law pins V2.1.1", editions)
	}
}

func TestGrade_byTheRuleOfItsRubric(t *testing.T) {
	first := *Default()
	first.Rule = 1
	fs := []ringwall.Finding{say("CO-02", ringwall.Fail), with(say("CO-02", ringwall.Pass), "agent/dev", ringwall.Confirmed)}
	if got := Grade(&first, fs, noon); got.Settled[0].Outcome != ringwall.Pass {
		t.Error("by rule 1 an agent outweighs a proof")
	}
	if got := Grade(Default(), fs, noon); got.Settled[0].Outcome != ringwall.Fail {
		t.Error("by rule 2 an agent must not undo what a probe has proven")
	}
	if _, err := ParseRubric([]byte(strings.Replace(string(rubricJSON), `"rule": 2`, `"rule": 3`, 1))); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a rubric for a rule to come: %v", err)
	}
}
