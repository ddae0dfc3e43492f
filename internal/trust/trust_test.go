package trust

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

var t0 = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

// good is an ordinary good camera behind a healthy gateway.
func good() Inputs {
	return Inputs{Enrolled: true, Root: RootVouched, Gateway: GatewayHealthy, Pin: PinHeld, Posture: PostureClean}
}

func with(f func(*Inputs)) Inputs {
	in := good()
	f(&in)
	return in
}

// TestEvaluate_table is DESIGN's table of levels, a line each.
func TestEvaluate_table(t *testing.T) {
	tests := []struct {
		name  string
		in    Inputs
		want  ringwall.Trust
		input string // of the first reason
		key   string
	}{
		{"zero value is non-self", Inputs{}, ringwall.T0, InputEnrolment, "trust.enrolment.non-self"},
		{"ordinary camera, healthy gateway", good(), ringwall.T3, InputAttestation, "trust.attestation.none"},
		{"hardware root and clean attestation", with(func(i *Inputs) { i.Root, i.Attestation = RootHardware, AttestationClean }), ringwall.T4, InputEnrolment, "trust.enrolment.self"},
		{"hardware root that cannot attest", with(func(i *Inputs) { i.Root = RootHardware }), ringwall.T3, InputAttestation, "trust.attestation.none"},
		{"hardware root, clean attestation, never assessed", with(func(i *Inputs) { i.Root, i.Attestation, i.Posture = RootHardware, AttestationClean, PostureUnknown }), ringwall.T3, InputPosture, "trust.posture.unknown"},
		{"own key needs no gateway", with(func(i *Inputs) { i.Root, i.Gateway, i.Pin = RootOwn, GatewayUnknown, PinNone }), ringwall.T3, InputAttestation, "trust.attestation.none"},
		{"no root", with(func(i *Inputs) { i.Root = RootNone }), ringwall.T1, InputRoot, "trust.root.none"},
		{"gateway not heard from", with(func(i *Inputs) { i.Gateway = GatewayUnknown }), ringwall.T2, InputRoot, "trust.root.gateway-unknown"},
		{"gateway unhealthy", with(func(i *Inputs) { i.Gateway = GatewayUnhealthy }), ringwall.T2, InputRoot, "trust.root.gateway-unhealthy"},
		{"not pinned", with(func(i *Inputs) { i.Pin = PinNone }), ringwall.T2, InputRoot, "trust.root.not-pinned"},
		{"default credential", with(func(i *Inputs) { i.Posture = PostureDefaultCredential }), ringwall.T2, InputPosture, "trust.posture.default-credential"},
		{"critical finding", with(func(i *Inputs) { i.Posture = PostureCritical }), ringwall.T2, InputPosture, "trust.posture.critical"},
		{"attestation overdue", with(func(i *Inputs) { i.Attestation = AttestationOverdue }), ringwall.T2, InputAttestation, "trust.attestation.overdue"},
		{"attestation failed", with(func(i *Inputs) { i.Attestation = AttestationFailed }), ringwall.T1, InputAttestation, "trust.attestation.failed"},
		{"separation", with(func(i *Inputs) { i.Binding = BindingBroken }), ringwall.T1, InputBinding, "trust.binding.separation"},
		{"pin broken", with(func(i *Inputs) { i.Pin = PinBroken }), ringwall.T1, InputBinding, "trust.binding.pin-broken"},
		{"gate closed", with(func(i *Inputs) { i.Gate = GateClosed }), ringwall.T1, InputGate, "trust.gate.closed"},
		{"incident under an act rule", with(func(i *Inputs) { i.Incident = "inc_1" }), ringwall.T1, InputBehaviour, "trust.behaviour.incident"},
		{"quarantine in force", with(func(i *Inputs) { i.Hold, i.HoldID = ringwall.Quarantine, "hld_1" }), ringwall.T1, InputBehaviour, "trust.behaviour.quarantine"},
		{"cut off", with(func(i *Inputs) { i.Hold = ringwall.Cutoff }), ringwall.T0, InputBehaviour, "trust.behaviour.cutoff"},
		{"cut off beats the incident", with(func(i *Inputs) { i.Hold, i.Incident = ringwall.Cutoff, "inc_1" }), ringwall.T0, InputBehaviour, "trust.behaviour.cutoff"},
		{"revoked", with(func(i *Inputs) { i.Revoked = true }), ringwall.T0, InputEnrolment, "trust.enrolment.revoked"},
		{"value out of range is not good", with(func(i *Inputs) { i.Root, i.Posture, i.Attestation = 99, 99, 99 }), ringwall.T1, InputAttestation, "trust.attestation.failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Evaluate(State{}, tt.in, t0, Config{})
			if s.Level != tt.want || s.Reasons[0].Input != tt.input || s.Reasons[0].Key != tt.key {
				t.Errorf("Evaluate = %v because %+v, want %v because %s %s", s.Level, s.Reasons[0], tt.want, tt.input, tt.key)
			}
			for _, r := range s.Reasons {
				if r.Reason == "" || r.Since != t0 {
					t.Errorf("reason %+v has no text or no date", r)
				}
			}
		})
	}
}

func TestEvaluate_reasonsCarryEvidenceAndDate(t *testing.T) {
	s := Evaluate(State{}, good(), t0, Config{})
	bad := with(func(i *Inputs) {
		i.Incident = "inc_7"
		i.Posture = PostureDefaultCredential
		i.PostureEvidence = "asm_3"
	})
	s = Evaluate(s, bad, t0.Add(time.Minute), Config{})
	want := api.TrustReason{Input: InputBehaviour, Cap: ringwall.T1, Key: "trust.behaviour.incident", Reason: messages["trust.behaviour.incident"], Evidence: "inc_7", Since: t0.Add(time.Minute)}
	if d := cmp.Diff(want, s.Reasons[0]); d != "" {
		t.Error(d)
	}
	if s.Reasons[1].Evidence != "asm_3" {
		t.Errorf("second reason is %+v, want the posture with asm_3", s.Reasons[1])
	}
	i := slices.IndexFunc(s.Reasons, func(r api.TrustReason) bool { return r.Input == InputEnrolment })
	if !s.Reasons[i].Since.Equal(t0) {
		t.Errorf("an unchanged reason dates from %v, want %v", s.Reasons[i].Since, t0)
	}
	if len(s.Reasons) != 7 {
		t.Errorf("%d reasons, want one for each of 7 inputs", len(s.Reasons))
	}
}

// TestEvaluate_recovery walks the loop: incident, quarantine, cleaned, back.
func TestEvaluate_recovery(t *testing.T) {
	cfg := Config{CoolDown: 10 * time.Minute, CleanAssessments: 1, MaxGap: time.Minute}
	s := Evaluate(State{}, good(), t0, cfg)
	now := t0.Add(time.Second)
	s = Evaluate(s, with(func(i *Inputs) { i.Incident = "inc_1" }), now, cfg)
	if s.Level != ringwall.T1 || !s.Since.Equal(now) {
		t.Fatalf("level %v since %v after the incident, want T1 at once", s.Level, s.Since)
	}
	in := good()
	tick := func(n int) {
		for range n {
			now = now.Add(time.Minute)
			s = Evaluate(s, in, now, cfg)
		}
	}
	tick(1)
	if s.Level != ringwall.T1 || s.Reasons[0].Input != InputRecovery || s.Reasons[0].Key != "trust.recovery.assessment" || s.Reasons[0].Evidence != "trust.behaviour.incident" {
		t.Fatalf("level %v because %+v, want T1 because of recovery", s.Level, s.Reasons[0])
	}
	if want := now.Add(9 * time.Minute); !s.Next.Equal(want) {
		t.Errorf("next step due at %v, want %v", s.Next, want)
	}
	if !s.Reasons[0].Due.Equal(s.Next) {
		t.Errorf("the reason says %v", s.Reasons[0].Due)
	}
	tick(30)
	if s.Level != ringwall.T1 {
		t.Fatalf("rose to %v without a clean assessment", s.Level)
	}
	if !s.Next.IsZero() || !s.Reasons[0].Due.IsZero() {
		t.Errorf("an assessment is waited for, and the step is said to be due at %v", s.Next)
	}
	in.Assessed, in.Clean = now, true
	tick(1)
	if s.Level != ringwall.T2 {
		t.Fatalf("level %v after cool-down and a clean assessment, want T2", s.Level)
	}
	tick(30)
	if s.Level != ringwall.T2 {
		t.Fatalf("one clean assessment was counted for two steps: %v", s.Level)
	}
	in.Assessed = now
	tick(1)
	if s.Level != ringwall.T3 {
		t.Fatalf("level %v, want T3", s.Level)
	}
	in.Assessed = now
	tick(20)
	if s.Level != ringwall.T3 || s.Indebted() || !s.Next.IsZero() || !s.At.IsZero() {
		t.Errorf("after full recovery: %+v", s)
	}
}

func TestEvaluate_relapseStartsAgain(t *testing.T) {
	cfg := Config{CoolDown: 10 * time.Minute, MaxGap: time.Minute}
	bad := with(func(i *Inputs) { i.Hold = ringwall.Quarantine })
	s := Evaluate(State{}, bad, t0, cfg)
	now := t0
	for range 9 {
		now = now.Add(time.Minute)
		s = Evaluate(s, good(), now, cfg)
	}
	now = now.Add(time.Minute)
	s = Evaluate(s, bad, now, cfg)
	for range 9 {
		now = now.Add(time.Minute)
		s = Evaluate(s, good(), now, cfg)
	}
	if s.Level != ringwall.T1 {
		t.Errorf("level %v nine minutes after the relapse, want T1", s.Level)
	}
	now = now.Add(time.Minute)
	if s = Evaluate(s, good(), now, cfg); s.Level != ringwall.T2 {
		t.Errorf("level %v ten minutes after the relapse, want T2", s.Level)
	}
}

func TestEvaluate_anOldAssessmentClearsNothing(t *testing.T) {
	cfg := Config{CoolDown: 10 * time.Minute, MaxGap: 10 * time.Minute, CleanAssessments: 1}
	in := good()
	in.Assessed, in.Clean = t0.Add(-time.Hour), true
	s := Evaluate(State{}, in, t0.Add(-time.Minute), cfg)
	bad := in
	bad.Incident = "inc_1"
	s = Evaluate(s, bad, t0, cfg)
	for i := range 20 {
		if s = Evaluate(s, in, t0.Add(time.Duration(i)*10*time.Minute), cfg); s.Level != ringwall.T1 {
			t.Fatalf("an assessment from before the fault raised the level to %v", s.Level)
		}
	}
	in.Assessed, in.Clean = t0.Add(time.Hour), false
	if s = Evaluate(s, in, t0.Add(4*time.Hour), cfg); s.Level != ringwall.T1 {
		t.Fatalf("an assessment that was not clean raised the level to %v", s.Level)
	}
}

func TestEvaluate_aBrokenPinIsVouchedForByNobody(t *testing.T) {
	s := Evaluate(State{}, with(func(i *Inputs) { i.Pin = PinBroken }), t0, Config{})
	for _, r := range s.Reasons {
		if r.Input == InputRoot && r.Key != "trust.root.not-pinned" {
			t.Errorf("the root says %q of a device that turned up elsewhere", r.Reason)
		}
	}
}

func TestEvaluate_lackIsMadeGoodAtOnce(t *testing.T) {
	for name, lack := range map[string]Inputs{
		"not enrolled":     with(func(i *Inputs) { i.Enrolled = false }),
		"gateway unknown":  with(func(i *Inputs) { i.Gateway = GatewayUnknown }),
		"not pinned":       with(func(i *Inputs) { i.Pin = PinNone }),
		"gate closed":      with(func(i *Inputs) { i.Gate = GateClosed }),
		"never a root":     with(func(i *Inputs) { i.Root = RootNone }),
		"all of the above": {},
	} {
		s := Evaluate(State{}, lack, t0, Config{})
		s = Evaluate(s, good(), t0.Add(time.Second), Config{})
		if s.Level != ringwall.T3 || s.Indebted() {
			t.Errorf("%s: %v with debts %v after the lack was made good, want T3", name, s.Level, s.Debts)
		}
	}
}

func TestEvaluate_absolved(t *testing.T) {
	both := with(func(i *Inputs) { i.Incident = "inc_1"; i.Posture = PostureDefaultCredential })
	s := Evaluate(State{}, both, t0, Config{})
	in := good()
	in.Absolved = t0.Add(-time.Second)
	if got := Evaluate(s, in, t0.Add(time.Second), Config{}); got.Level != ringwall.T1 {
		t.Errorf("a decision older than the fault forgave it: %v", got.Level)
	}
	in.Absolved = t0.Add(time.Second)
	got := Evaluate(s, in, t0.Add(time.Second), Config{})
	if got.Level != ringwall.T2 || len(got.Debts) != 1 || got.Debts[0].Input != InputPosture {
		t.Errorf("after a false alarm: %v with %v, want T2 for the posture alone", got.Level, got.Debts)
	}
}

func TestEvaluate_unobservedTimeIsNotClean(t *testing.T) {
	cfg := Config{CoolDown: time.Hour, MaxGap: 5 * time.Minute}
	s := Evaluate(State{}, with(func(i *Inputs) { i.Hold = ringwall.Quarantine }), t0, cfg)
	s = Evaluate(s, good(), t0.Add(30*24*time.Hour), cfg)
	if s.Level != ringwall.T1 {
		t.Errorf("a month without an evaluation raised the level to %v", s.Level)
	}
}

func TestEvaluate_clockJumps(t *testing.T) {
	cfg := Config{CoolDown: time.Hour, MaxGap: 5 * time.Minute}
	s := Evaluate(State{}, with(func(i *Inputs) { i.Incident = "inc_1" }), t0, cfg)
	at := []time.Time{t0.Add(time.Minute), t0.AddDate(12, 0, 0), t0.AddDate(-20, 0, 0), t0.Add(2 * time.Minute)}
	for _, now := range at {
		if s = Evaluate(s, good(), now, cfg); s.Level != ringwall.T1 {
			t.Fatalf("a jump to %v raised the level to %v", now, s.Level)
		}
	}
	// The jumps must not stall it either: an hour of honest minutes is enough.
	now := t0.Add(2 * time.Minute)
	for range 60 {
		now = now.Add(time.Minute)
		s = Evaluate(s, good(), now, cfg)
	}
	if s.Level != ringwall.T2 {
		t.Errorf("level %v after an hour of clean minutes, want T2", s.Level)
	}
}

func TestState_Changed(t *testing.T) {
	a := Evaluate(State{}, with(func(i *Inputs) { i.Hold = ringwall.Quarantine }), t0, Config{})
	b := Evaluate(a, good(), t0.Add(time.Minute), Config{})
	c := Evaluate(b, good(), t0.Add(2*time.Minute), Config{})
	if !a.Changed(State{}) || !b.Changed(a) {
		t.Error("a new level or reason did not count as a change")
	}
	if c.Changed(b) {
		t.Errorf("serving a debt counted as a change: %v", cmp.Diff(b.Reasons, c.Reasons))
	}
}

func TestState_survivesJSON(t *testing.T) {
	s := Evaluate(State{}, with(func(i *Inputs) { i.Incident = "inc_1" }), t0, Config{})
	s = Evaluate(s, good(), t0.Add(time.Minute), Config{})
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, back); d != "" {
		t.Error(d)
	}
}

// draw returns random inputs.
func draw(r *rand.Rand) Inputs {
	pick := func(n int) uint8 { return uint8(r.IntN(n)) }
	in := Inputs{
		Enrolled: r.IntN(8) > 0, Revoked: r.IntN(12) == 0, Root: Root(pick(4)), Gateway: Gateway(pick(3)), Pin: Pin(pick(3)),
		Attestation: Attestation(pick(4)), Posture: Posture(pick(4)), Hold: ringwall.Restriction(pick(3)), Binding: Binding(pick(3)), Gate: Gate(pick(3)),
	}
	if r.IntN(3) == 0 {
		in.Incident = "inc_1"
	}
	return in
}

// improve makes one input better, or reports that it cannot.
func improve(in Inputs, r *rand.Rand) (Inputs, string) {
	switch r.IntN(10) {
	case 0:
		in.Enrolled = true
		return in, "enrolled"
	case 1:
		in.Revoked = false
		return in, "not revoked"
	case 2:
		if in.Root < RootHardware {
			in.Root++
		}
		return in, fmt.Sprintf("root %d", in.Root)
	case 3:
		in.Gateway = GatewayHealthy
		return in, "gateway healthy"
	case 4:
		in.Pin = PinHeld
		return in, "pin held"
	case 5:
		ladder := []Attestation{AttestationFailed, AttestationOverdue, AttestationNone, AttestationClean}
		in.Attestation = ladder[min(slices.Index(ladder, in.Attestation)+1, 3)]
		return in, fmt.Sprintf("attestation %d", in.Attestation)
	case 6:
		in.Posture = PostureClean
		return in, "posture clean"
	case 7:
		in.Incident = ""
		return in, "no incident"
	case 8:
		if in.Hold > 0 {
			in.Hold--
		}
		return in, "hold eased"
	}
	in.Gate, in.Binding = GateOpen, BindingHeld
	return in, "gate open, binding held"
}

// TestProperty_monotone makes one input better and expects no lower level.
func TestProperty_monotone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		in := draw(r)
		up, what := improve(in, r)
		a, b := Evaluate(State{}, in, t0, Config{}), Evaluate(State{}, up, t0, Config{})
		if b.Level < a.Level {
			t.Fatalf("%s lowered trust from %v to %v: %+v", what, a.Level, b.Level, in)
		}
	}
}

// TestProperty_history drives random histories, clock jumps included, and
// checks after each step: never above the minimum of the inputs, a drop is
// immediate, and after a fault no rise is faster than the configuration allows.
func TestProperty_history(t *testing.T) {
	cfg := Config{CoolDown: 10 * time.Minute, MaxGap: 2 * time.Minute, CleanAssessments: 1}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		var s State
		now := t0
		var clean time.Duration // honest clean time since the last rise or fault, counted apart from the code
		assessed := false
		for step := range 200 {
			before, gap := now, time.Duration(r.IntN(240))*time.Second
			if r.IntN(20) == 0 {
				gap = time.Duration(r.IntN(2000)-1000) * time.Hour
			}
			now = before.Add(gap)
			in := good()
			if r.IntN(12) == 0 {
				in = draw(r)
			}
			if r.IntN(6) == 0 {
				in.Assessed, in.Clean = now, r.IntN(4) > 0
			}
			prev := s
			s = Evaluate(prev, in, now, cfg)

			lowest, faulted := ringwall.T4, ringwall.T4
			for _, c := range judge(in) {
				lowest = min(lowest, c.cap)
				if c.fault {
					faulted = min(faulted, c.cap)
				}
			}
			if s.Level > lowest {
				t.Fatalf("seed %d step %d: %v is above the inputs' minimum %v", seed, step, s.Level, lowest)
			}
			if !prev.Indebted() && s.Level != lowest {
				t.Fatalf("seed %d step %d: no debts, yet %v differs from %v", seed, step, s.Level, lowest)
			}
			clean += min(max(gap, 0), cfg.MaxGap)
			assessed = assessed || !in.Assessed.IsZero()
			was, is := owed(prev), owed(s)
			if is > was+1 {
				t.Fatalf("seed %d step %d: what the debts allow rose from %v to %v in one step", seed, step, was, is)
			}
			if is > was && was < ringwall.T4 && prev.Indebted() {
				if clean < cfg.CoolDown || !assessed {
					t.Fatalf("seed %d step %d: rose from %v to %v after only %v clean, assessed %v", seed, step, was, is, clean, assessed)
				}
				clean, assessed = 0, false
			}
			if faulted < ringwall.T4 && owed(s) == faulted {
				clean, assessed = 0, false
			}
			for _, want := range s.Reasons {
				if want.Reason == "" {
					t.Fatalf("seed %d: reason without text: %+v", seed, want)
				}
			}
			if s.Level < lowest && (s.Reasons[0].Input != InputRecovery || s.Next.IsZero() && s.Reasons[0].Key != "trust.recovery.assessment") {
				t.Fatalf("seed %d step %d: %v is held below %v without saying why or until when: %+v", seed, step, s.Level, lowest, s.Reasons[0])
			}
		}
	}
}

// owed is the level that debts alone allow.
func owed(s State) ringwall.Trust {
	l := ringwall.T4
	for _, d := range s.Debts {
		l = min(l, d.Cap)
	}
	return l
}

func TestMessages_areSentencesWithoutSurprises(t *testing.T) {
	for k, v := range Messages() {
		if !strings.HasPrefix(k, "trust.") || v == "" || strings.HasSuffix(v, ".") {
			t.Errorf("message %q = %q", k, v)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	s := Evaluate(State{}, good(), t0, Config{})
	now := t0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		s = Evaluate(s, good(), now, Config{})
	}
}
