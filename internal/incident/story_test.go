package incident

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/usage"
)

// infection is the whole loop on one camera, as detectors and operator tell it.
func infection() []ringwall.Alert {
	guess := said("1", "credential-guessing", attack, ringwall.Medium, ringwall.Infection, 0, "203.0.113.5", "role", "target", "service", "telnet")
	guess.Evidence.Count, guess.Evidence.First, guess.Evidence.Last = 12, t0.Add(-9*time.Second), t0
	fetch := said("2", "binary-download", attack, ringwall.High, ringwall.Infection, 14*time.Second, "198.51.100.66", "role", "source", "kind", "ELF", "port", "80", "by", "http")
	call := said("3", "failing-beacon", attack, ringwall.Medium, ringwall.Command, 40*time.Second, "198.51.100.67", "role", "source", "port", "48101", "calls", "6")
	scan := said("4", "mirai-scan", attack, ringwall.Critical, ringwall.Propagation, 55*time.Second, "100.64.9.1", "role", "source", "target", "100.64.9.1", "ports", "23")
	sim := said("5", usage.Separation, attack, ringwall.Critical, ringwall.NoStage, time.Minute, "", "seenImei", "49015420****51", "boundImei", "35693803****80", "seenTac", "49015420")
	sim.Subject = ringwall.Subject{Kind: ringwall.SubjectSIM, ID: "sim_1"}
	return []ringwall.Alert{guess, fetch, call, scan, sim}
}

// TestStory_readsAsAStory is what a person reads of the loop, word for word.
func TestStory_readsAsAStory(t *testing.T) {
	in, _ := play(t, Config{}, infection()...)
	rs := Plan(in, nil, nil, t0.Add(61*time.Second))
	for _, r := range rs {
		in, _ = Apply(&in, Input{Now: r.Made, About: camera, Response: &r}, Config{})
		if r.Kind != Quarantine {
			continue
		}
		r = must(t)(Start(r, r.Made))
		r = must(t)(Finish(r, "hld_1", r.Made.Add(40*time.Millisecond)))
		in, _ = Apply(&in, Input{Now: r.Done, About: camera, Response: &r}, Config{})
	}
	in, _ = Apply(&in, Input{Now: t0.Add(62 * time.Second), About: camera, Line: &Line{Time: t0.Add(62 * time.Second), Key: "story.trust.fell", Params: map[string]string{"from": "T3", "to": "T1"}}}, Config{})
	in, _ = Apply(&in, Input{Now: t0.Add(2 * time.Hour), About: camera, Assessed: &Assessed{ID: "asm_2", Started: t0.Add(time.Hour), Ended: t0.Add(2 * time.Hour), Clean: true, Grade: ringwall.MediumRisk}}, Config{})
	want := `2026-11-21
At 14:02:07 203.0.113.5 tried 12 or more passwords on Front door camera over telnet within 9 s.
At 14:02:21 Front door camera fetched a program (ELF) from 198.51.100.66, port 80, over http.
At 14:02:21 An incident was opened, severity high.
At 14:02:47 Front door camera kept calling 198.51.100.67, port 48101, which did not answer: 6 calls in vain.
At 14:03:02 Front door camera began to scan for others to infect, the way Mirai does; the first was 100.64.9.1, port 23.
At 14:03:07 The operator saw the SIM of Front door camera in other equipment: 49015420****51 instead of 35693803****80, which is another model (TAC 49015420).
At 14:03:08 Quarantine of Front door camera was approved by rule:device-compromised.
At 14:03:08 To suspend the SIM of Front door camera was proposed by rule:sim-separated (rule sim-separated: stage propagation, severity critical); it waits for a decision.
At 14:03:08 Front door camera was put in quarantine within 40 ms by rule:device-compromised: only repair and update servers are left to it, until 2026-11-22T14:03:08Z.
At 14:03:09 Trust in Front door camera fell from T3 to T1.
At 16:02:07 Front door camera was assessed again and found clean; its grade is medium risk.
At 16:02:07 The incident is resolved, by system:assessment.
`
	if d := cmp.Diff(want, Tell(in.Story, time.UTC)); d != "" {
		t.Error(d)
	}
	for _, l := range in.Story {
		if l.Text != Sentence(l.Key, l.Params) {
			t.Errorf("line %q cannot be made again from key and parameters: %q", l.Text, Sentence(l.Key, l.Params))
		}
	}
}

func must(t *testing.T) func(api.Response, error) api.Response {
	return func(r api.Response, err error) api.Response {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestStory_repeatsAreCountedNotListed(t *testing.T) {
	var as []ringwall.Alert
	for i := range 300 {
		a := said("scan"+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10)), "icmp-sweep", attack, ringwall.High, ringwall.Propagation, time.Duration(i)*time.Hour, "", "targets", "10")
		as = append(as, a)
	}
	in, _ := play(t, Config{}, as...)
	if in.AlertCount != 300 || len(in.Alerts) != 1 || len(in.Story) != 2 {
		t.Fatalf("%d alerts counted, %d listed, %d lines; want 300, 1 and 2", in.AlertCount, len(in.Alerts), len(in.Story))
	}
	want := "Front door camera pinged 10 or more hosts; 300 times, last at 01:02:07 UTC."
	if in.Story[0].Text != want {
		t.Errorf("the line reads %q, want %q", in.Story[0].Text, want)
	}
}

func TestStory_lateAlertsFindTheirPlace(t *testing.T) {
	as := infection()
	in, _ := play(t, Config{}, as[3], as[0], as[2], as[1])
	for i := 1; i < len(in.Story); i++ {
		if in.Story[i].Time.Before(in.Story[i-1].Time) {
			t.Fatalf("line %d is out of order:\n%s", i, Tell(in.Story, time.UTC))
		}
	}
	sorted, _ := play(t, Config{}, as[:4]...)
	if d := cmp.Diff(sorted.Stages, in.Stages); d != "" || in.Score != sorted.Score || in.Severity != sorted.Severity {
		t.Errorf("the order of arrival changed what is known: score %d and %d\n%s", in.Score, sorted.Score, d)
	}
}

// TestMessages_coverEveryRule asks detectors and the usage engine which rules
// they have.
func TestMessages_coverEveryRule(t *testing.T) {
	var rules []string
	for _, r := range detect.Rules() {
		rules = append(rules, r.Name)
	}
	for _, r := range usage.Rules() {
		rules = append(rules, r.Name)
	}
	for _, r := range rules {
		for _, key := range []string{"story.alert." + r, "story.brief." + r} {
			if _, ok := messages[key]; !ok {
				t.Errorf("there is no template %s", key)
			}
		}
	}
	for _, kind := range []string{Quarantine, Cutoff, SIMSuspend} {
		for _, st := range []string{Proposed, Approved, Declined, Doing, Done, Failed, Undoing, Undone, Expired} {
			if _, ok := messages["story.response."+st+"."+kind]; !ok {
				t.Errorf("there is no template for a response %s that is %s", kind, st)
			}
		}
	}
}

func TestMessages_areWellFormed(t *testing.T) {
	param := regexp.MustCompile(`\{([^}]*)\}`)
	for key, text := range Messages() {
		all := map[string]string{}
		for _, m := range param.FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`^[a-zA-Z]+$`).MatchString(m[1]) {
				t.Errorf("%s has the parameter %q", key, m[1])
			}
			all[m[1]] = "X"
		}
		for _, got := range []string{Render(text, all), Render(text, nil)} {
			if strings.ContainsAny(got, "{}[]") || got == "" || strings.Contains(got, "  ") || strings.Contains(got, " .") || strings.Contains(got, " ,") {
				t.Errorf("%s renders as %q", key, got)
			}
		}
		if !strings.HasSuffix(text, ".") && key != "story.note" {
			t.Errorf("%s is no sentence: %q", key, text)
		}
	}
}

func TestRender(t *testing.T) {
	p := map[string]string{"a": "1", "evil": "{a}[x]"}
	for template, want := range map[string]string{
		"{a} and {b}":       "1 and ?",
		"x[ {a}][ {b}] y":   "x 1 y",
		"[{a}{b}]":          "",
		"{evil}":            "{a}[x]", // what a parameter holds is no template
		"open {a":           "open {a",
		"open [ {a}":        "open [ {a}",
		"":                  "",
		"[plain]":           "plain",
		"{} {missing thing": "? {missing thing",
	} {
		if got := Render(template, p); got != want {
			t.Errorf("Render(%q) = %q, want %q", template, got, want)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{a}[ {b}] [", "x", "y")
	f.Add("[[{a}]]", "{", "]")
	f.Fuzz(func(t *testing.T, template, a, b string) {
		out := Render(template, map[string]string{"a": a, "b": b})
		if len(out) > len(template)*(1+len(a)+len(b))+1 {
			t.Fatalf("%q grew to %d bytes", template, len(out))
		}
	})
}

func TestIncident_isBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var cur Incident
	for i := range 6_000 {
		a := said("", "rule-"+string(rune('a'+rng.IntN(26)))+string(rune('a'+rng.IntN(26))), attack, ringwall.High, ringwall.Stage(rng.IntN(5)), time.Duration(i)*time.Second, "198.51.100."+string(rune('1'+rng.IntN(9))))
		a.ID = ringwall.AlertID(ringwall.DeriveID("alt", string(rune(i))))
		cur, _ = Apply(&cur, Input{Now: a.Time, Org: "org_home", About: camera, Alert: &a}, Config{})
		if i%50 == 0 {
			r := api.Response{ID: ringwall.ResponseID(a.ID), Kind: Quarantine, Status: Undone, Made: a.Time}
			cur, _ = Apply(&cur, Input{Now: a.Time, About: camera, Response: &r}, Config{})
		}
	}
	if len(cur.Groups) > MaxGroups || len(cur.Alerts) > MaxGroups || len(cur.Story) > 2*MaxStory || len(cur.Seen) > MaxSeen || len(cur.Responses) > maxResponses {
		t.Errorf("an incident grew to %d groups, %d alerts, %d lines, %d ids, %d responses", len(cur.Groups), len(cur.Alerts), len(cur.Story), len(cur.Seen), len(cur.Responses))
	}
	if cur.AlertCount < 5_900 {
		t.Errorf("%d alerts were counted, want about 6000", cur.AlertCount)
	}
}
