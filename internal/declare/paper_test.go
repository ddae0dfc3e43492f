package declare

import (
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// best answers every question with the choice that is best for the grade.
func best(t *testing.T, p api.Profile) Draft {
	t.Helper()
	d := NewDraft(p, today)
	for range 200 {
		done := true
		for _, q := range d.Asked() {
			if _, ok := d.Answers[q.ID]; ok {
				continue
			}
			done = false
			value := map[QuestionKind]string{AskDate: "2035-01-01", AskURL: "https://a.example/", AskPorts: "", AskDestinations: ""}[q.Kind]
			for _, c := range q.Choices {
				if c.Outcome == ringwall.Pass {
					value = c.ID
					break
				}
			}
			if q.Kind == AskChoice && value == "" {
				value = q.Choices[0].ID
			}
			d = set(t, d, q.ID, value)
			break
		}
		if done {
			return d
		}
	}
	t.Fatal("the questionnaire does not end")
	return d
}

// TestPaper_alone_is_never_low: whatever is declared, what was not measured
// keeps a device from low risk, whoever asks and for whatever use.
func TestPaper_alone_is_never_low(t *testing.T) {
	for _, class := range []string{"camera", "lock", "meter", "appliance", "vehicle", "gateway", "microcontroller"} {
		p := api.Profile{Class: class, Use: "consumer"}
		d := best(t, p)
		if pr := d.Progress(); !pr.Complete || pr.Next != "" {
			t.Errorf("%s: %+v", class, pr)
		}
		e, err := d.Examination("Maker", api.Identity{}, today)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range e.Findings {
			if f.Outcome != ringwall.Pass && f.Outcome != ringwall.NotApplicable {
				t.Errorf("%s: the best answers leave %s %v: %q", class, f.Indicator, f.Outcome, f.Evidence)
			}
		}
		res := assess.Grade(assess.Default().For(p), e.Findings, today)
		if res.Grade != ringwall.MediumRisk && res.Grade != ringwall.HighRisk {
			t.Errorf("%s: on paper alone it is %v", class, res.Grade)
		}
	}
}

// TestPaper_example grades the declared camera of the fixture.
func TestPaper_example(t *testing.T) {
	e := examine(t, camera(t))
	res := assess.Grade(assess.Default(), e.Findings, today)
	if res.Grade == ringwall.LowRisk || res.Grade == ringwall.Ungraded {
		t.Errorf("graded %v", res.Grade)
	}
}
