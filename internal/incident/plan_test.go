package incident

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// attacked returns an incident of the n-th device, which scans.
func attacked(t *testing.T, n int, after time.Duration) Incident {
	t.Helper()
	about := camera
	about.Subject.ID = fmt.Sprintf("dev_%d", n)
	about.SIM = ""
	a := said(fmt.Sprint("m", n), "mirai-scan", attack, ringwall.High, ringwall.Propagation, after, "")
	a.Subject = about.Subject
	in, _ := Apply(nil, Input{Now: a.Time, Org: "org_home", About: about, Alert: &a}, Config{})
	return in
}

func planned(rs []api.Response) (out []string) {
	for _, r := range rs {
		out = append(out, fmt.Sprintf("%s %s %s %s by %s", r.Do, r.Kind, r.Target.ID, r.Status, r.By))
	}
	return out
}

func TestPlan_actAndAsk(t *testing.T) {
	in, _ := play(t, Config{}, infection()...)
	rs := Plan(in, nil, nil, t0)
	want := []string{
		"act quarantine dev_cam approved by rule:device-compromised",
		"ask sim-suspend sim_1 proposed by rule:sim-separated",
	}
	if d := cmp.Diff(want, planned(rs)); d != "" {
		t.Error(d)
	}
	for _, r := range rs {
		if !ringwall.ValidID("rsp", string(r.ID)) || r.Org != "org_home" || r.Incident != in.ID || !r.Made.Equal(t0) || r.Reason == "" || !r.Expires.After(t0) || !r.Done.IsZero() {
			t.Errorf("response lacks something: %+v", r)
		}
	}
	if again := Plan(in, nil, rs, t0.Add(time.Minute)); len(again) != 0 {
		t.Errorf("planned again: %v", planned(again))
	}
	for _, r := range rs {
		in, _ = Apply(&in, Input{Now: t0, About: camera, Response: &r}, Config{})
	}
	if again := Plan(in, nil, nil, t0.Add(time.Minute)); len(again) != 0 {
		t.Errorf("planned again from the incident alone: %v", planned(again))
	}
	resolved := in
	resolved.Status = Resolved
	if rs := Plan(resolved, nil, nil, t0); rs != nil {
		t.Errorf("a resolved incident plans %v", planned(rs))
	}
}

// TestPlan_capOnDevices: one rule may not cut off a fleet, whatever detectors say.
func TestPlan_capOnDevices(t *testing.T) {
	var recent []api.Response
	act, ask := 0, 0
	for n := range 9 {
		rs := Plan(attacked(t, n, time.Duration(n)*time.Second), nil, recent, t0.Add(time.Duration(n)*time.Second))
		if len(rs) != 1 {
			t.Fatalf("device %d: %v", n, planned(rs))
		}
		switch rs[0].Do {
		case string(Act):
			act++
		case string(Ask):
			ask++
			if rs[0].Status != Proposed || !strings.Contains(rs[0].Reason, "has acted on 5 within 1h0m0s already") {
				t.Errorf("past the cap: %+v", rs[0])
			}
		}
		recent = append(recent, rs...)
	}
	if act != 5 || ask != 4 {
		t.Errorf("%d acts and %d questions, want 5 and 4", act, ask)
	}
	late := Plan(attacked(t, 50, 2*time.Hour), nil, recent, t0.Add(2*time.Hour))
	if got := planned(late); len(got) != 1 || !strings.HasPrefix(got[0], "act") {
		t.Errorf("after the window: %v, want an act", got)
	}
	back := Plan(attacked(t, 51, 0), nil, recent, t0.Add(-24*time.Hour))
	if got := planned(back); len(got) != 1 || !strings.HasPrefix(got[0], "ask") {
		t.Errorf("a clock that jumped back freed the cap: %v", got)
	}
	mine := Plan(attacked(t, 0, 0), []Rule{{Name: "device-compromised", Do: Act, Attack: true, Kind: Cutoff, Limit: 5, Window: time.Hour}}, recent, t0)
	if got := planned(mine); len(got) != 1 || !strings.HasPrefix(got[0], "act cutoff dev_0") {
		t.Errorf("a device that counts in the cap already: %v, want an act", got)
	}
}

func TestPlan_aRuleThatActsTakesUpAProposal(t *testing.T) {
	fetch := infection()[1]
	in, _ := play(t, Config{}, fetch)
	rs := Plan(in, nil, nil, t0)
	if got := planned(rs); !slices.Equal(got, []string{"ask quarantine dev_cam proposed by rule:device-entered"}) {
		t.Fatalf("first %v", got)
	}
	scan := infection()[3]
	in, _ = Apply(&in, Input{Now: t0, Org: "org_home", About: camera, Alert: &scan}, Config{})
	more := Plan(in, nil, rs, t0.Add(time.Minute))
	got := slices.DeleteFunc(more, func(r api.Response) bool { return r.Kind == SIMSuspend })
	if len(got) != 1 || got[0].ID != rs[0].ID || got[0].Status != Approved || got[0].By != "rule:device-compromised" || got[0].Do != string(Act) {
		t.Errorf("then %+v, want the proposal approved by the rule that acts", got)
	}
}

func TestPlan_respectsWhatAPersonDecided(t *testing.T) {
	in := attacked(t, 1, 0)
	r := Plan(in, nil, nil, t0)[0]
	undone := must(t)(Lifted(must(t)(Lift(must(t)(Finish(must(t)(Start(r, t0)), "h", t0)), "usr_1")), t0.Add(time.Hour)))
	repeat := said("rep", "mirai-scan", attack, ringwall.High, ringwall.Propagation, 2*time.Hour, "")
	repeat.Subject = in.Subject
	in2, _ := Apply(&in, Input{Now: t0.Add(2 * time.Hour), Org: "org_home", Alert: &repeat}, Config{})
	if rs := Plan(in2, nil, []api.Response{undone}, t0.Add(2*time.Hour)); len(rs) != 0 {
		t.Errorf("the same again after an undo: %v, want nothing", planned(rs))
	}
	fresh := said("fresh", "flood", attack, ringwall.Critical, ringwall.Action, 2*time.Hour, "198.51.100.9")
	fresh.Subject = in.Subject
	in3, _ := Apply(&in, Input{Now: t0.Add(2 * time.Hour), Org: "org_home", Alert: &fresh}, Config{})
	rs := Plan(in3, nil, []api.Response{undone}, t0.Add(2*time.Hour))
	if got := planned(rs); !slices.Equal(got, []string{"ask quarantine dev_1 proposed by rule:device-compromised"}) || rs[0].ID == r.ID {
		t.Errorf("something new after an undo: %v, want a question with an id of its own", got)
	}
	expired := undone
	expired.Status, expired.Decided = Expired, byExpiry
	if got := planned(Plan(in2, nil, []api.Response{expired}, t0.Add(2*time.Hour))); len(got) != 1 || !strings.HasPrefix(got[0], "act") {
		t.Errorf("the same again after it ran out: %v, want an act", got)
	}
}

func TestPlan_aCutoffCoversAQuarantine(t *testing.T) {
	in := attacked(t, 1, 0)
	cut := api.Response{ID: "rsp_c", Kind: Cutoff, Target: in.Subject, Status: Done}
	if rs := Plan(in, nil, []api.Response{cut}, t0); len(rs) != 0 {
		t.Errorf("a device that is cut off: %v", planned(rs))
	}
	hold := FromHold("org_home", in.ID, api.HoldReport{Hold: api.Hold{ID: "hld_1", Device: "dev_1", Do: ringwall.Quarantine, By: "reflex:mirai-scan", Made: t0}, InForce: t0.Add(time.Second)})
	if rs := Plan(in, nil, []api.Response{hold}, t0); len(rs) != 0 {
		t.Errorf("a device that a reflex holds: %v", planned(rs))
	}
	if hold.Status != Done || hold.Hold != "hld_1" || hold.By != "reflex:mirai-scan" || hold.Target != in.Subject {
		t.Errorf("the response of a reflex: %+v", hold)
	}
}

func TestRule_Validate(t *testing.T) {
	for _, r := range DefaultRules() {
		if err := r.Validate(); err != nil {
			t.Errorf("default rule %s: %v", r.Name, err)
		}
		if r.Do == Act && (r.Limit == 0 || r.Expiry == 0) {
			t.Errorf("default rule %s acts without a cap or an expiry", r.Name)
		}
	}
	good := Rule{Name: "r", Do: Ask, Kind: Quarantine}
	for name, f := range map[string]func(*Rule){
		"no name":            func(r *Rule) { r.Name = "" },
		"unknown do":         func(r *Rule) { r.Do = "maybe" },
		"unknown kind":       func(r *Rule) { r.Kind = "explode" },
		"negative expiry":    func(r *Rule) { r.Expiry = -1 },
		"acts on deviations": func(r *Rule) { r.Do = Act },
	} {
		r := good
		f(&r)
		if ringwall.CodeOf(r.Validate()) != ringwall.Invalid {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestResponse_transitions tries every act on every status.
func TestResponse_transitions(t *testing.T) {
	type act func(api.Response) (api.Response, error)
	acts := map[string]act{
		"approve": func(r api.Response) (api.Response, error) { return Approve(r, "usr_1", t0) },
		"decline": func(r api.Response) (api.Response, error) { return Decline(r, "usr_1", t0) },
		"start":   func(r api.Response) (api.Response, error) { return Start(r, t0) },
		"finish":  func(r api.Response) (api.Response, error) { return Finish(r, "hld_1", t0) },
		"fail":    func(r api.Response) (api.Response, error) { return Fail(r, errors.New("secret inside")) },
		"lift":    func(r api.Response) (api.Response, error) { return Lift(r, "usr_1") },
		"lifted":  func(r api.Response) (api.Response, error) { return Lifted(r, t0) },
		"stuck": func(r api.Response) (api.Response, error) {
			return LiftFailed(r, ringwall.Errorf(ringwall.Unavailable, "the operator does not answer: %w", errors.New("secret")))
		},
	}
	allowed := map[string]string{
		"proposed approve": Approved, "proposed decline": Declined, "approved decline": Declined,
		"approved start": Doing, "failed start": Doing, "doing start": Doing, "doing finish": Done, "doing fail": Failed,
		"done lift": Undoing, "doing lift": Undoing, "failed lift": Undoing, "undoing lifted": Undone, "undoing stuck": Undoing,
	}
	for _, st := range []string{Proposed, Approved, Declined, Doing, Done, Failed, Undoing, Undone, Expired} {
		for name, f := range acts {
			r := api.Response{ID: "rsp_1", Status: st, Made: t0, Expires: t0.Add(time.Hour)}
			got, err := f(r)
			want, ok := allowed[st+" "+name]
			switch {
			case ok && (err != nil || got.Status != want):
				t.Errorf("%s on %s = %s, %v; want %s", name, st, got.Status, err, want)
			case !ok && (ringwall.CodeOf(err) != ringwall.Conflict || got != r):
				t.Errorf("%s on %s = %s, %v; want a conflict and no change", name, st, got.Status, err)
			case strings.Contains(got.Error, "secret"):
				t.Errorf("%s shows people %q", name, got.Error)
			}
		}
	}
}

func TestResponse_expiry(t *testing.T) {
	r := api.Response{ID: "rsp_1", Status: Proposed, Made: t0, Expires: t0.Add(time.Hour)}
	late := must(t)(Approve(r, "usr_1", t0.Add(5*time.Hour)))
	if !late.Expires.Equal(t0.Add(6 * time.Hour)) {
		t.Errorf("approved after five hours it expires at %v, want an hour later", late.Expires)
	}
	if _, err := Approve(r, "usr_1", t0.Add(AskFor)); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a stale proposal: %v, want a conflict", err)
	}
	if _, err := Start(late, t0.Add(7*time.Hour)); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("starting what has expired: %v, want a conflict", err)
	}
	at := t0.Add(30 * time.Hour)
	var rs []api.Response
	for i, st := range []string{Proposed, Approved, Declined, Doing, Done, Failed, Undoing, Undone, Expired} {
		rs = append(rs, api.Response{ID: ringwall.ResponseID(fmt.Sprint(i)), Status: st, Made: t0, Expires: t0.Add(time.Hour)})
	}
	rs = append(rs, api.Response{ID: "for ever", Status: Done, Made: t0})
	var got []string
	for _, d := range Due(rs, at) {
		got = append(got, string(d.ID)+" "+d.Status+" "+d.Decided)
	}
	want := []string{"0 expired system:expiry", "1 expired system:expiry", "3 undoing system:expiry", "4 undoing system:expiry", "5 undoing system:expiry"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if due := Due(rs, t0.Add(time.Minute)); due != nil {
		t.Errorf("due after a minute: %v", due)
	}
	over := must(t)(Lifted(must(t)(Lift(rs[4], "")), at))
	if over.Status != Expired {
		t.Errorf("what time ended is %s, want expired", over.Status)
	}
}

func TestRequest(t *testing.T) {
	good := api.ResponseCreate{Kind: Cutoff, Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: "dev_1"}, Reason: "r", Expiry: api.Duration(time.Hour)}
	r, err := Request("rsp_1", "org_home", good, "usr_1", t0)
	if err != nil || r.Status != Approved || r.By != "usr_1" || !r.Expires.Equal(t0.Add(time.Hour)) {
		t.Errorf("Request = %+v, %v", r, err)
	}
	for name, f := range map[string]func(*api.ResponseCreate){
		"unknown kind":      func(c *api.ResponseCreate) { c.Kind = "explode" },
		"a SIM is cut off":  func(c *api.ResponseCreate) { c.Target.Kind = ringwall.SubjectSIM },
		"no target":         func(c *api.ResponseCreate) { c.Target.ID = "" },
		"expired yesterday": func(c *api.ResponseCreate) { c.Expiry = -1 },
	} {
		c := good
		f(&c)
		if _, err := Request("rsp_1", "org_home", c, "usr_1", t0); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
