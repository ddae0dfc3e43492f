package incident

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/usage"
)

var addrs = cmpopts.EquateComparable(netip.Addr{})

func kinds(es []Effect) (out []string) {
	for _, e := range es {
		s := reflect.TypeOf(e).Name()
		if r, ok := e.(Respond); ok {
			s += " " + string(r.Do) + " " + r.Kind + " " + r.Rule
		}
		out = append(out, s)
	}
	return out
}

func TestApply_effectsOfTheLoop(t *testing.T) {
	as := infection()
	var cur Incident
	want := [][]string{
		nil, // guessing alone, of medium severity
		{"Respond ask quarantine device-entered"},
		{"WriteFinding", "DropTrust", "Respond act quarantine device-compromised", "Respond ask quarantine device-entered"},
		{"Respond act quarantine device-compromised", "Respond ask quarantine device-entered", "Respond ask sim-suspend sim-of-compromised"},
		{"Respond ask sim-suspend sim-separated"},
	}
	for i := range as {
		var es []Effect
		cur, es = Apply(&cur, Input{Now: as[i].Time, Org: "org_home", About: camera, Alert: &as[i]}, Config{})
		if d := cmp.Diff(want[i], kinds(es)); d != "" {
			t.Errorf("effects of alert %d (%s):\n%s", i, as[i].Rule, d)
		}
		for _, e := range es {
			if f, ok := e.(WriteFinding); ok {
				if f.Device != "dev_cam" || f.Finding.Indicator != ringwall.ObservedCompromise || f.Finding.Outcome != ringwall.Fail || f.Finding.Confidence != ringwall.Confirmed ||
					f.Finding.Source != "incident:"+string(cur.ID) || len(f.Finding.Evidence) == 0 || !strings.Contains(f.Finding.Evidence[0], "failing-beacon") {
					t.Errorf("finding %+v", f.Finding)
				}
			}
		}
	}
	if !cur.CapsTrust() || cur.Stage != ringwall.Propagation || cur.Severity != ringwall.Critical || cur.Score < 90 {
		t.Errorf("incident at the end: act %v stage %v severity %v score %d", cur.CapsTrust(), cur.Stage, cur.Severity, cur.Score)
	}
}

// TestApply_victimsAreNotPunished: what others do to a device neither writes
// a finding against it nor acts on it.
func TestApply_victimsAreNotPunished(t *testing.T) {
	for name, as := range map[string][]ringwall.Alert{
		"scanned and guessed at": {
			said("1", "vertical-scan", attack, ringwall.Medium, ringwall.Propagation, 0, "203.0.113.5", "role", "target"),
			said("2", "credential-guessing", attack, ringwall.Medium, ringwall.Infection, time.Minute, "203.0.113.5", "role", "target"),
		},
		"watched by a stranger who may be a guest": {
			said("1", "stranger-video", attack, ringwall.High, ringwall.Action, 0, "203.0.113.5", "role", "target"),
		},
	} {
		in, es := play(t, Config{}, as...)
		for _, k := range kinds(es) {
			if !strings.HasPrefix(k, "Respond ask") {
				t.Errorf("%s: effect %s", name, k)
			}
		}
		if in.CapsTrust() {
			t.Errorf("%s: the incident caps trust", name)
		}
	}
	// Guessed and then watched is no guest.
	in, es := play(t, Config{},
		said("1", "credential-guessing", attack, ringwall.Medium, ringwall.Infection, 0, "203.0.113.5", "role", "target"),
		said("2", "stranger-video", attack, ringwall.High, ringwall.Action, time.Minute, "203.0.113.5", "role", "target"))
	if !slices.Contains(kinds(es), "WriteFinding") || !in.CapsTrust() {
		t.Errorf("guessed and watched: effects %v", kinds(es))
	}
}

// TestApply_provenOrNot: what a deviation or a stranger's doing proves of the
// device, and what it does not.
func TestApply_provenOrNot(t *testing.T) {
	const guesser, c2 = "203.0.113.5", "198.51.100.67"
	guess := said("g", "credential-guessing", attack, ringwall.Medium, ringwall.Infection, 0, guesser, "role", "target")
	call := func(peer string) ringwall.Alert {
		return said("b", "beacon", deviation, ringwall.Medium, ringwall.Command, time.Minute, peer, "role", "source")
	}
	put := said("p", "binary-download", attack, ringwall.Medium, ringwall.Infection, time.Second, guesser, "role", "target")
	off := func(peer string) ringwall.Alert {
		a := said("s", usage.SIMPeer, deviation, ringwall.Medium, ringwall.Command, 2*time.Minute, peer)
		a.Subject = ringwall.Subject{Kind: ringwall.SubjectSIM, ID: "sim_1"}
		return a
	}
	tests := []struct {
		name         string
		alerts       []ringwall.Alert
		status       string
		severity     ringwall.Severity
		finding, act bool
	}{
		{"guessed at, and it calls a bare address as it always did", []ringwall.Alert{guess, call(c2)}, New, ringwall.High, false, false},
		{"guessed at, and it calls the guesser", []ringwall.Alert{guess, call(guesser)}, New, ringwall.High, true, true},
		{"guessed at, a program put on it, and it calls", []ringwall.Alert{guess, put, call(c2)}, New, ringwall.High, true, true},
		{"a program put on it, no more", []ringwall.Alert{guess, put}, Watching, ringwall.Medium, false, false},
		{"operator and gateway name the same stranger", []ringwall.Alert{call(c2), off(c2)}, New, ringwall.Medium, true, false},
		{"operator and gateway name two strangers", []ringwall.Alert{call(c2), off(guesser)}, Watching, ringwall.Medium, false, false},
		{"the gateway alone names one twice", []ringwall.Alert{call(c2), said("n", "new-peer", deviation, ringwall.Medium, ringwall.Command, 0, c2, "role", "source")}, Watching, ringwall.Medium, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, es := play(t, Config{}, tt.alerts...)
			if in.Status != tt.status || in.Severity != tt.severity || in.CapsTrust() != tt.act || slices.Contains(kinds(es), "WriteFinding") != tt.finding {
				t.Errorf("status %s severity %v act %v effects %v; want %s %v, act %v, finding %v", in.Status, in.Severity, in.CapsTrust(), kinds(es), tt.status, tt.severity, tt.act, tt.finding)
			}
		})
	}
}

func TestApply_deviationsNeverActNorExceedMedium(t *testing.T) {
	var as []ringwall.Alert
	for i, rule := range []string{"new-peer", "any-fanout", "beacon", "stranger-video"} {
		for j := range 20 {
			as = append(as, said(fmt.Sprint(rule, j), rule, deviation, ringwall.Critical, chain[i], time.Duration(j)*time.Minute, fmt.Sprintf("192.0.2.%d", j)))
		}
	}
	in, es := play(t, Config{}, as...)
	if in.Status != New || in.Severity != ringwall.Medium || len(es) != 0 || in.CapsTrust() {
		t.Errorf("status %s severity %v effects %v; want new, medium and nothing done", in.Status, in.Severity, kinds(es))
	}
}

func TestApply_isIdempotentAndChangesNoInput(t *testing.T) {
	as := infection()
	cur, _ := play(t, Config{}, as...)
	r := Plan(cur, nil, nil, t0)[0]
	cur, _ = Apply(&cur, Input{Now: t0, About: camera, Response: &r}, Config{})
	before, err := json.Marshal(cur)
	if err != nil {
		t.Fatal(err)
	}
	for i := range as {
		next, es := Apply(&cur, Input{Now: t0.Add(time.Hour), Org: "org_home", About: camera, Alert: &as[i]}, Config{})
		if d := cmp.Diff(cur, next, addrs); d != "" || es != nil {
			t.Fatalf("alert %d again changed something: %v\n%s", i, es, d)
		}
	}
	next, _ := Apply(&cur, Input{Now: t0.Add(time.Hour), About: camera, Response: &r}, Config{})
	if d := cmp.Diff(cur, next, addrs); d != "" {
		t.Fatalf("a response again changed something:\n%s", d)
	}
	other := said("new", "flood", attack, ringwall.Critical, ringwall.Action, time.Hour, "198.51.100.99")
	Apply(&cur, Input{Now: t0.Add(time.Hour), Org: "org_home", About: camera, Alert: &other}, Config{})
	if after, _ := json.Marshal(cur); string(after) != string(before) {
		t.Error("Apply changed the incident that it was given")
	}
	var back Incident
	if err := json.Unmarshal(before, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cur, back, addrs, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("an incident does not survive JSON:\n%s", d)
	}
}

func TestApply_sameAlertsSameID(t *testing.T) {
	a, _ := play(t, Config{}, infection()...)
	b, _ := play(t, Config{}, infection()...)
	if a.ID != b.ID || !ringwall.ValidID("inc", string(a.ID)) {
		t.Errorf("ids %q and %q of one replay", a.ID, b.ID)
	}
}

func TestApply_subjects(t *testing.T) {
	mk := func(subject ringwall.Subject) Incident {
		a := said("1", "mirai-scan", attack, ringwall.Critical, ringwall.Propagation, 0, "")
		a.Subject = subject
		in, _ := Apply(nil, Input{Now: t0, Org: "org_home", About: About{Subject: subject}, Alert: &a}, Config{})
		return in
	}
	if in := mk(ringwall.Subject{Kind: ringwall.SubjectAddress, ID: "203.0.113.5"}); in.ID != "" {
		t.Error("a scanner somewhere on the Internet became an incident")
	}
	if in := mk(ringwall.Subject{Kind: ringwall.SubjectAddress, ID: "10.77.0.99"}); in.Status != New || in.Device() != "" {
		t.Errorf("an unknown device at home that scans: status %q", in.Status)
	}
	a := said("1", usage.Separation, attack, ringwall.Critical, ringwall.NoStage, 0, "")
	a.Subject = ringwall.Subject{Kind: ringwall.SubjectSIM, ID: "sim_9"}
	in, es := Apply(nil, Input{Now: t0, Org: "org_home", About: About{Subject: a.Subject, SIM: "sim_9"}, Alert: &a}, Config{})
	if in.Status != New || !slices.Equal(kinds(es), []string{"Respond ask sim-suspend sim-separated"}) {
		t.Errorf("a card in no known device: status %q effects %v", in.Status, kinds(es))
	}
}

func TestApply_resolvedByACleanAssessment(t *testing.T) {
	open, _ := play(t, Config{}, infection()...)
	assess := func(in Incident, id string, started time.Duration, clean bool) Incident {
		out, _ := Apply(&in, Input{Now: t0.Add(started + time.Minute), About: camera, Assessed: &Assessed{ID: ringwall.AssessID(id), Started: t0.Add(started), Ended: t0.Add(started + time.Minute), Clean: clean}}, Config{})
		return out
	}
	if in := assess(open, "asm_1", 30*time.Second, true); in.Status != New {
		t.Errorf("an assessment begun before the last alert resolved it: %s", in.Status)
	}
	if in := assess(open, "asm_2", time.Hour, false); in.Status != New {
		t.Errorf("an assessment that is not clean resolved it: %s", in.Status)
	}
	in := assess(open, "asm_3", time.Hour, true)
	if in.Status != Resolved || in.CapsTrust() {
		t.Fatalf("a clean assessment left it %s", in.Status)
	}
	late := said("late", "icmp-sweep", attack, ringwall.High, ringwall.Propagation, 30*time.Second, "")
	if got, _ := Apply(&in, Input{Now: t0.Add(2 * time.Hour), About: camera, Alert: &late}, Config{}); got.Status != Resolved {
		t.Error("a late alert of the same attack opened it anew")
	}
	again := said("again", "icmp-sweep", attack, ringwall.High, ringwall.Propagation, 3*time.Hour, "")
	got, es := Apply(&in, Input{Now: t0.Add(3 * time.Hour), About: camera, Alert: &again}, Config{})
	if got.Status != New || !slices.Contains(kinds(es), "WriteFinding") || !slices.Contains(kinds(es), "DropTrust") || got.ID != in.ID {
		t.Errorf("it began again: status %s effects %v", got.Status, kinds(es))
	}
}

func ptr(s string) *string { return &s }

func TestDecide(t *testing.T) {
	open, _ := play(t, Config{}, infection()...)
	decide := func(in Incident, p api.IncidentPatch) (Incident, []Effect) {
		t.Helper()
		out, es, err := Decide(in, p, "usr_1", t0.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return out, es
	}
	in, _ := decide(open, api.IncidentPatch{Status: ptr(Triaged)})
	in, _ = decide(in, api.IncidentPatch{Status: ptr(Resolved), Disposition: ptr(DispositionTrue), Note: ptr("password changed {by}")})
	if in.CapsTrust() || in.Disposition != DispositionTrue || !in.ResolvedAt.Equal(t0.Add(time.Hour)) {
		t.Errorf("after resolving: %+v", in.Status)
	}
	in, _ = decide(in, api.IncidentPatch{Status: ptr(Closed)})
	if in.Closed.IsZero() || in.Disposition != DispositionTrue {
		t.Errorf("closed at %v as %q", in.Closed, in.Disposition)
	}
	if text := Tell(in.Story, time.UTC); !strings.Contains(text, "usr_1 noted: password changed {by}\n") || !strings.Contains(text, "usr_1 decided: this was an attack.") {
		t.Errorf("the story lacks the decisions:\n%s", text)
	}
	if in, _ := decide(open, api.IncidentPatch{Status: ptr(Closed)}); in.Disposition != DispositionUnknown {
		t.Errorf("closed without a word it is %q, want unknown", in.Disposition)
	}

	for name, c := range map[string]struct {
		in   Incident
		p    api.IncidentPatch
		code ringwall.Code
	}{
		"closed is the end":         {in, api.IncidentPatch{Status: ptr(Triaged)}, ringwall.Conflict},
		"nothing goes back to new":  {open, api.IncidentPatch{Status: ptr(New)}, ringwall.Invalid},
		"status nobody knows":       {open, api.IncidentPatch{Status: ptr("gone")}, ringwall.Invalid},
		"watching is not a choice":  {open, api.IncidentPatch{Status: ptr(Watching)}, ringwall.Invalid},
		"disposition nobody knows":  {open, api.IncidentPatch{Disposition: ptr("maybe")}, ringwall.Invalid},
		"giant note":                {open, api.IncidentPatch{Note: ptr(strings.Repeat("x", 5000))}, ringwall.Invalid},
		"one that was never opened": {Incident{Incident: api.Incident{ID: "inc_1", Status: Watching}}, api.IncidentPatch{Status: ptr(Closed)}, ringwall.NotFound},
	} {
		got, _, err := Decide(c.in, c.p, "usr_1", t0)
		if name == "nothing goes back to new" {
			// "new" is a status, but no way leads back to it; on a new one it says nothing.
			got, _, err = Decide(in, c.p, "usr_1", t0)
			c.in, c.code = in, ringwall.Conflict
		}
		if ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if d := cmp.Diff(c.in, got, addrs); d != "" {
			t.Errorf("%s: a refused decision changed the incident:\n%s", name, d)
		}
	}
}

func TestDecide_falseAlarmAbsolvesAndLifts(t *testing.T) {
	open, _ := play(t, Config{}, infection()...)
	r := Plan(open, nil, nil, t0)[0]
	r = must(t)(Finish(must(t)(Start(r, t0)), "hld_1", t0))
	open, _ = Apply(&open, Input{Now: t0, About: camera, Response: &r}, Config{})
	in, es, err := Decide(open, api.IncidentPatch{Disposition: ptr(DispositionFalse)}, "usr_1", t0.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want := []Effect{Absolve{Device: "dev_cam", At: t0.Add(time.Hour)}, LiftResponse{Response: r.ID, By: "usr_1"}}
	if d := cmp.Diff(want, es); d != "" || in.CapsTrust() || !in.Disposed.Equal(t0.Add(time.Hour)) {
		t.Errorf("effects of a false alarm:\n%s", d)
	}
	same := said("same", "mirai-scan", attack, ringwall.Critical, ringwall.Propagation, 2*time.Hour, "100.64.9.1", "role", "source")
	if got, es := Apply(&in, Input{Now: t0.Add(2 * time.Hour), About: camera, Alert: &same}, Config{}); got.CapsTrust() || es != nil {
		t.Errorf("the same again overruled the decision: %v", kinds(es))
	}
	fresh := said("fresh", "flood", attack, ringwall.Critical, ringwall.Action, 2*time.Hour, "198.51.100.99", "role", "source")
	got, es := Apply(&in, Input{Now: t0.Add(2 * time.Hour), About: camera, Alert: &fresh}, Config{})
	if got.Disposition != "" || !got.CapsTrust() || !slices.Contains(kinds(es), "DropTrust") {
		t.Errorf("something new after the decision: disposition %q, effects %v", got.Disposition, kinds(es))
	}
}

func TestContained_followsTheResponses(t *testing.T) {
	in, _ := play(t, Config{}, infection()[:4]...)
	r := Plan(in, nil, nil, t0)[0]
	steps := []struct {
		do   func(api.Response) (api.Response, error)
		want string
	}{
		{func(r api.Response) (api.Response, error) { return r, nil }, New},
		{func(r api.Response) (api.Response, error) { return Start(r, t0) }, New},
		{func(r api.Response) (api.Response, error) { return Finish(r, "hld_1", t0) }, Contained},
		{func(r api.Response) (api.Response, error) { return Lift(r, "usr_1") }, Contained},
		{func(r api.Response) (api.Response, error) { return Lifted(r, t0) }, Triaged},
	}
	for i, s := range steps {
		r = must(t)(s.do(r))
		in, _ = Apply(&in, Input{Now: t0, About: camera, Response: &r}, Config{})
		if in.Status != s.want {
			t.Errorf("step %d: response %s, incident %s, want %s", i, r.Status, in.Status, s.want)
		}
	}
}

func TestApply_closedIncidentKeepsItsResponses(t *testing.T) {
	in, _ := play(t, Config{}, infection()...)
	r := Plan(in, nil, nil, t0)[0]
	in, _ = Apply(&in, Input{Now: t0, About: camera, Response: &r}, Config{})
	in, _, err := Decide(in, api.IncidentPatch{Status: ptr(Closed)}, "usr_1", t0)
	if err != nil {
		t.Fatal(err)
	}
	r.Status = Expired
	if in, _ = Apply(&in, Input{Now: t0, About: camera, Response: &r}, Config{}); in.Responses[0].Status != Expired || in.Status != Closed {
		t.Errorf("the response is %s in an incident %s", in.Responses[0].Status, in.Status)
	}
	a := said("next", "flood", attack, ringwall.Critical, ringwall.Action, time.Hour, "198.51.100.99")
	if next, _ := Apply(&in, Input{Now: t0, Org: "org_home", About: camera, Alert: &a}, Config{}); next.ID == in.ID || next.Status != New || next.AlertCount != 1 {
		t.Errorf("an alert after closing went to %q (%s), want another incident", next.ID, next.Status)
	}
}

func TestScore_risesWithStagesAndOrder(t *testing.T) {
	at := func(i int) time.Duration { return time.Duration(i) * time.Minute }
	mk := func(order ...int) int {
		var as []ringwall.Alert
		for i, st := range order {
			as = append(as, said(fmt.Sprint(i), "r"+fmt.Sprint(st), attack, ringwall.High, chain[st], at(i), ""))
		}
		in, _ := play(t, Config{}, as...)
		return in.Score
	}
	last := 0
	for n := 1; n <= 4; n++ {
		s := mk([]int{0, 1, 2, 3}[:n]...)
		if s <= last {
			t.Errorf("score %d with %d stages, %d with one fewer", s, n, last)
		}
		last = s
	}
	if in, out := mk(0, 1, 2), mk(2, 1, 0); in <= out {
		t.Errorf("score %d in the order of an attack, %d against it", in, out)
	}
	if last > 100 {
		t.Errorf("score %d is over 100", last)
	}
}
