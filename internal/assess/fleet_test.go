package assess

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// fleet is testdata/fleet20.json: devices that the range builds, and the grade
// that each must get.
type fleet struct {
	Devices []struct {
		Name         string            `json:"name"`
		Good         bool              `json:"good"`
		Grade        ringwall.Grade    `json:"grade"`
		Decisive     []string          `json:"decisive"`
		Profile      api.Profile       `json:"profile"`
		Network      map[string]string `json:"network"`
		Perhaps      map[string]string `json:"perhaps"`
		Examinations []struct {
			Kind    api.ExamKind      `json:"kind"`
			Source  string            `json:"source"`
			Answers map[string]string `json:"answers"`
		} `json:"examinations"`
	} `json:"devices"`
}

// answersOf reads answers such as "fail confirmed".
func answersOf(t *testing.T, source string, answers map[string]string) []ringwall.Finding {
	t.Helper()
	var out []ringwall.Finding
	for id, a := range answers {
		f := ringwall.Finding{Indicator: id, Source: source, Title: source + " on " + id, Time: noon}
		o, c, _ := strings.Cut(a, " ")
		if err := f.Outcome.UnmarshalText([]byte(o)); err != nil {
			t.Fatal(err)
		}
		if err := f.Confidence.UnmarshalText([]byte(c)); err != nil {
			t.Fatal(err)
		}
		if f.Outcome == ringwall.Fail {
			f.Facts = map[string]string{}
		}
		out = append(out, f)
	}
	return out
}

func TestGrade_fleet(t *testing.T) {
	b, err := os.ReadFile("testdata/fleet20.json")
	if err != nil {
		t.Fatal(err)
	}
	var fl fleet
	if err := json.Unmarshal(b, &fl); err != nil {
		t.Fatal(err)
	}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	labs := []api.Laboratory{{Name: "bench", Key: pub}}
	good := 0
	for _, d := range fl.Devices {
		if d.Good {
			good++
		}
		r := Default().For(d.Profile)
		if !slices.Contains(r.Classes(), d.Profile.Class) || !slices.Contains(r.Uses(), d.Profile.Use) {
			t.Errorf("%s: profile %+v is not known", d.Name, d.Profile)
		}
		var exams []api.Examination
		for _, x := range d.Examinations {
			e := api.Examination{Kind: x.Kind, Source: x.Source, Made: noon, Findings: answersOf(t, x.Source, x.Answers)}
			if x.Kind == api.ExamLaboratory {
				body, err := e.Signed()
				if err != nil {
					t.Fatal(err)
				}
				e.Signature = ed25519.Sign(key, body)
			}
			exams = append(exams, e)
		}
		for _, perhaps := range []bool{false, true} {
			net := api.Examination{Kind: api.ExamNetwork, Source: "probe", Made: noon, Findings: answersOf(t, "probe/x", d.Network)}
			if perhaps {
				net.Findings = append(net.Findings, answersOf(t, "probe/y", d.Perhaps)...)
			}
			evidence := Evidence(append(slices.Clone(exams), net), labs)
			got := Grade(r, evidence, noon)
			if got.Grade != d.Grade {
				t.Errorf("%s: %v, want %v (risk %.1f to %.1f to %.1f, coverage %.2f, missing %q)\n%s", d.Name, got.Grade, d.Grade,
					got.RiskBest, got.Risk, got.RiskMax, got.Coverage, got.Missing, strings.Join(got.Reasons, "\n"))
			}
			for _, id := range d.Decisive {
				if !slices.ContainsFunc(got.Reasons, func(s string) bool { return strings.HasPrefix(s, id+":") || strings.Contains(s, id+" ") }) {
					t.Errorf("%s: the reasons do not name %s: %q", d.Name, id, got.Reasons)
				}
			}
			for range 20 {
				again, _ := json.Marshal(Grade(r, Evidence(append(slices.Clone(exams), net), labs), noon))
				first, _ := json.Marshal(got)
				if string(again) != string(first) {
					t.Fatalf("%s: graded twice, it differs", d.Name)
				}
			}
			// With the laboratory unknown its word is a declaration.
			if d.Name == "controller-good" {
				if got := Grade(r, Evidence(append(slices.Clone(exams), net), nil), noon); got.Grade != ringwall.MediumRisk {
					t.Errorf("%s with an unknown laboratory is %v, want medium", d.Name, got.Grade)
				}
			}
		}
	}
	if len(fl.Devices) != 20 || good != 10 {
		t.Errorf("%d devices, %d of them good", len(fl.Devices), good)
	}
}
