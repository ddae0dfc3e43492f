package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

func TestNouns_after_the_grade(t *testing.T) {
	s := newShell(t)
	tasks, err := s.Remedials(t.Context(), s.Owner, httpapi.RemedialFilter{Device: s.BadCamera}, httpapi.Paging{})
	if err != nil || len(tasks.Items) != 2 {
		t.Fatalf("%d tasks, %v", len(tasks.Items), err)
	}
	var click, person string
	for _, r := range tasks.Items {
		if r.Do != "" {
			click = string(r.ID)
		} else {
			person = string(r.ID)
		}
	}
	dir := t.TempDir()
	paper := filepath.Join(dir, "maker.yaml")
	b, err := os.ReadFile("../declare/testdata/camera.yaml")
	if err != nil {
		t.Fatal(err)
	}
	report, answers := filepath.Join(dir, "report.html"), filepath.Join(dir, "answers.json")
	for file, body := range map[string][]byte{paper: b, answers: []byte(`{"answers":{"updates":"yes"}}`)} {
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		status int
		out    []string
		talk   []string
	}{
		{name: "tasks", args: []string{"task", "list"}, out: []string{"STATUS", "AP-01", "change-password", click}},
		{name: "all tasks of a device", args: []string{"task", "list", "--all", "--device", "front door camera"}, out: []string{"doing", "FS-09", click, person}},
		{name: "tasks of a maker", args: []string{"task", "list", "--all", "--party", "manufacturer"}, out: []string{person}},
		{name: "a task", args: []string{"task", "show", person}, out: []string{"Sign updates", "because", "FS-09"}},
		{name: "a task that is none", args: []string{"task", "show", "rem_0"}, status: 1, talk: []string{"hint:"}},
		{name: "take a risk", args: []string{"task", "accept", person, "--note", "until spring", "--due", "2027-03-01"}},
		{name: "a day that is none", args: []string{"task", "doing", person, "--due", "soon"}, status: 2, talk: []string{"2027-01-31"}},
		{name: "reopen", args: []string{"task", "reopen", person}},
		{name: "at it", args: []string{"task", "doing", person}},
		{name: "do", args: []string{"task", "do", click}, out: []string{"admin", "password", "kT7r"}, talk: []string{"this once"}},
		{name: "do what only people can", args: []string{"task", "do", person}, status: 1, talk: []string{"a person"}},

		{name: "examine", args: []string{"device", "examine", "garage camera", paper}, out: []string{"grade"}, talk: []string{"declaration", "answers"}},
		{name: "examine nothing", args: []string{"device", "examine", "garage camera"}, status: 2, talk: []string{"at least one file"}},
		{name: "examine what is not there", args: []string{"device", "examine", "garage camera", filepath.Join(dir, "none.bin")}, status: 1, talk: []string{"no such file"}},
		{name: "evidence", args: []string{"device", "evidence", "garage camera"}, out: []string{"SOURCE", "declaration"}},
		{name: "drop what nobody said", args: []string{"device", "evidence", "garage camera", "--drop", "firmware/x"}, status: 1, talk: []string{"firmware/x"}},
		{name: "a report", args: []string{"device", "report", "front door camera", "-o", report, "--lang", "zh"}},
		{name: "a report on the output", args: []string{"device", "report", "front door camera", "--format", "csv"}, out: []string{"report on"}},
		{name: "a format that is none", args: []string{"device", "report", "front door camera", "--format", "doc"}, status: 2, talk: []string{`"doc"`}},
		{name: "a report on what was never assessed", args: []string{"device", "report", "espressif-61"}, status: 1, talk: []string{"hint:"}},
		{name: "use and gate", args: []string{"device", "set", "garage camera", "--use", "public", "--gate", "low"}, out: []string{"public", "low or better"}},
		{name: "set nothing", args: []string{"device", "set", "garage camera"}, status: 2, talk: []string{"--help"}},
		{name: "a gate that is none", args: []string{"device", "set", "garage camera", "--gate", "wide"}, status: 2, talk: []string{`"wide"`}},
		{name: "ungraded of no gate", args: []string{"device", "set", "garage camera", "--ungraded"}, status: 2, talk: []string{"--gate"}},
		{name: "its gate taken back", args: []string{"device", "set", "garage camera", "--gate", "none"}, out: []string{"the organisation's"}},
		{name: "questionnaire", args: []string{"device", "questionnaire", "garage camera"}, out: []string{"0 of 1", "Are updates signed?", "not answered"}},
		{name: "answers", args: []string{"device", "questionnaire", "garage camera", "--answers", answers}, out: []string{"1 of 2"}},
		{name: "answers and hand in", args: []string{"device", "questionnaire", "garage camera", "--answers", "-", "--submit"}, stdin: `{"answers":{"until":"2030-01-01"}}`, out: []string{"2 of 2"}},
		{name: "answers that are none", args: []string{"device", "questionnaire", "garage camera", "--answers", "-"}, stdin: `{}`, status: 1, talk: []string{"no answers"}},

		{name: "gate", args: []string{"settings", "gate", "medium", "--ungraded"}},
		{name: "ranges", args: []string{"settings", "ranges", "192.168.1.7/24", "10.9.0.0/16"}},
		{name: "one range less", args: []string{"settings", "ranges", "--remove", "10.9.0.0/16"}},
		{name: "a range that is none", args: []string{"settings", "ranges", "home"}, status: 2, talk: []string{`"home"`}},
		{name: "settings", args: []string{"settings", "show"}, out: []string{"medium or better, and what has no grade", "192.168.1.0/24"}},
		{name: "a laboratory without its key", args: []string{"settings", "laboratory", "lab"}, status: 2, talk: []string{"--key"}},
		{name: "a laboratory that is none", args: []string{"settings", "laboratory", "lab", "--remove"}, status: 1, talk: []string{`"lab"`}},
		{name: "makers", args: []string{"maker", "list"}, out: []string{"SCORE"}},
		{name: "fleet", args: []string{"fleet", "report", "--format", "csv"}, out: []string{"5 devices"}},
		{name: "a fleet in no format", args: []string{"fleet", "report", "--format", "pdf"}, status: 2, talk: []string{`"pdf"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, talk, status := s.run(t, c.stdin, c.args...)
			if status != c.status {
				t.Fatalf("status %d, want %d\n%s%s", status, c.status, out, talk)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in the answer:\n%s", want, out)
				}
			}
			for _, want := range c.talk {
				if !strings.Contains(talk, want) {
					t.Errorf("no %q in the talk:\n%s", want, talk)
				}
			}
			if status == 0 && len(c.out) == 0 && out != "" {
				t.Errorf("a verb that only acts says %q", out)
			}
		})
	}
	if b, err := os.ReadFile(report); err != nil || !strings.Contains(string(b), "report on") {
		t.Errorf("the report is %q, %v", b, err)
	}
	if r, _ := s.Remedials(t.Context(), s.Owner, httpapi.RemedialFilter{Status: "doing", Party: ringwall.PartManufacturer}, httpapi.Paging{}); len(r.Items) != 1 || r.Items[0].Note != "until spring" || r.Items[0].Due.Year() != 2027 {
		t.Errorf("the maker's task is %+v", r.Items)
	}
	set, err := s.AssessSettings(t.Context(), s.Owner)
	if err != nil || set.Gate != (api.Gate{Worst: ringwall.MediumRisk, Ungraded: true}) || len(set.Ranges.Prefixes) != 1 {
		t.Errorf("the settings are %+v, %v", set, err)
	}
}

func TestQuestionnaire_export_is_import(t *testing.T) {
	s := newShell(t)
	if _, talk, status := s.run(t, `{"answers":{"updates":"no"}}`, "device", "questionnaire", "garage camera", "--answers", "-"); status != 0 {
		t.Fatal(talk)
	}
	export, talk, status := s.run(t, "", "device", "questionnaire", "garage camera", "--json")
	if status != 0 {
		t.Fatal(talk)
	}
	out, talk, status := s.run(t, export, "device", "questionnaire", "front door camera", "--answers", "-", "--json")
	var q api.Questionnaire
	if err := json.Unmarshal([]byte(out), &q); err != nil || status != 0 || q.Answered != 1 || q.Questions[0].Answer != "no" {
		t.Errorf("status %d, %v: %s%s", status, err, out, talk)
	}
}
