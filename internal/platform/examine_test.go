package platform

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

func probed(indicator string, o ringwall.Outcome) ringwall.Finding {
	return ringwall.Finding{
		Indicator: indicator, Outcome: o, Confidence: ringwall.Confirmed, Title: indicator + " is " + o.String(), Source: "probe/telnet", Time: time.Now(), Evidence: []string{"tried"},
	}
}

// submit hands in what probes found.
func (h *house) submit(fs ...ringwall.Finding) api.Assessment {
	h.T.Helper()
	a, err := h.Service().SubmitAssessment(h.T.Context(), h.as(ringwall.PartOwner), api.Assessment{Device: h.dev.ID, Findings: fs})
	if err != nil {
		h.T.Fatal(err)
	}
	return a
}

func image(fs ...ringwall.Finding) api.Examination {
	return api.Examination{Kind: api.ExamFirmware, Source: "firmware/0123456789ab", Made: time.Now(), Findings: fs, Identity: api.Identity{Model: "M1"}}
}

func static(indicator string, o ringwall.Outcome) ringwall.Finding {
	return ringwall.Finding{Indicator: indicator, Outcome: o, Confidence: ringwall.Observed, Title: indicator + " in the image: " + o.String(), Evidence: []string{"etc/passwd:1"}}
}

func TestEvidenceOfSeveralSourcesMakesOneGrade(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	h.submit(probed("AP-01", ringwall.Pass), probed("CO-02", ringwall.Pass))
	a, err := h.Service().SubmitExamination(t.Context(), owner, h.dev.ID, image(static("HW-01", ringwall.Fail), static("CO-06", ringwall.Fail)))
	if err != nil {
		t.Fatal(err)
	}
	for indicator, want := range map[string]ringwall.Outcome{"AP-01": ringwall.Pass, "CO-02": ringwall.Pass, "HW-01": ringwall.Fail, "FS-01": ringwall.Unknown} {
		if got := answered(t, a, indicator).Outcome; got != want {
			t.Errorf("%s is %v, want %v", indicator, got, want)
		}
	}
	if d := h.devices()[0]; d.Assess != a.ID || d.Grade != a.Grade || d.Coverage != a.Coverage || d.Model != "M1" {
		t.Errorf("the device says %+v, its assessment %v %v", d, a.Grade, a.Coverage)
	}
	xs, err := h.Service().Examinations(t.Context(), owner, h.dev.ID)
	if err != nil || len(xs) != 2 || xs[0].Source != "firmware/0123456789ab" || xs[1].Source != "probe" {
		t.Fatalf("examinations = %+v, %v", xs, err)
	}
	// The probes run again: what the image told stays.
	if a := h.submit(probed("AP-01", ringwall.Fail)); answered(t, a, "HW-01").Outcome != ringwall.Fail || answered(t, a, "CO-02").Outcome != ringwall.Unknown || a.Grade != ringwall.HighRisk {
		t.Errorf("after the probes ran again: %v, %+v", a.Grade, a.Findings)
	}
	if err := h.Service().DropExamination(t.Context(), owner, h.dev.ID, "firmware/0123456789ab"); err != nil {
		t.Fatal(err)
	}
	last, err := h.Service().Assessment(t.Context(), owner, h.devices()[0].Assess)
	if err != nil || answered(t, last, "HW-01").Outcome != ringwall.Unknown || last.Grade != ringwall.HighRisk {
		t.Errorf("after the image was taken back: %+v, %v", last, err)
	}
}

func TestAProvenFailureStandsUntilItCanBeChecked(t *testing.T) {
	h := newHouse(t)
	h.submit(probed("AP-01", ringwall.Fail))
	locked := probed("AP-01", ringwall.Unknown)
	locked.Confidence, locked.Title = ringwall.Observed, "the login is locked"
	if a := h.submit(locked); answered(t, a, "AP-01").Outcome != ringwall.Fail || a.Grade != ringwall.HighRisk {
		t.Errorf("a locked login made %v of a proven failure: %v risk", answered(t, a, "AP-01").Outcome, a.Grade)
	}
	if a := h.submit(probed("AP-01", ringwall.Pass)); answered(t, a, "AP-01").Outcome != ringwall.Pass {
		t.Errorf("checked again it is %v", answered(t, a, "AP-01").Outcome)
	}
	h.submit(probed("AP-01", ringwall.Fail))
	if a := h.submit(probed("CO-02", ringwall.Pass)); answered(t, a, "AP-01").Outcome != ringwall.Unknown {
		t.Errorf("with no login left to try it is %v", answered(t, a, "AP-01").Outcome)
	}
}

func TestNobodySpeaksInAnothersName(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	submit := func(x api.Examination) (api.Assessment, error) {
		return h.Service().SubmitExamination(t.Context(), owner, h.dev.ID, x)
	}
	if _, err := submit(image(static("FS-01", ringwall.Pass))); err != nil { // the device is an M1 now
		t.Fatal(err)
	}
	for _, kind := range []api.ExamKind{api.ExamAgent, api.ExamNetwork, api.ExamIncident, "", "x"} {
		if _, err := submit(api.Examination{Kind: kind, Source: "agent/" + string(h.dev.ID), Findings: []ringwall.Finding{probed("AP-01", ringwall.Pass)}}); !isCode(err, ringwall.Invalid) {
			t.Errorf("evidence of kind %q: %v, want invalid", kind, err)
		}
	}
	a, err := submit(api.Examination{Kind: api.ExamDeclaration, Source: "agent/x", Findings: []ringwall.Finding{probed("HW-04", ringwall.Pass)}})
	if err != nil {
		t.Fatal(err)
	}
	if f := answered(t, a, "HW-04"); f.Confidence != ringwall.Declared || f.Source != "declaration/x" {
		t.Errorf("a declaration counts as %v by %q", f.Confidence, f.Source)
	}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	lab := api.Examination{Kind: api.ExamLaboratory, Source: "laboratory/Honest", Made: time.Now().UTC(), Identity: api.Identity{Vendor: "V", Model: "M1"}, Findings: []ringwall.Finding{probed("HW-02", ringwall.Pass)}}
	sign := func(x api.Examination) api.Examination {
		text, err := x.Signed()
		if err != nil {
			t.Fatal(err)
		}
		x.Signature = ed25519.Sign(key, text)
		return x
	}
	if _, err := submit(sign(lab)); !isCode(err, ringwall.Unverified) {
		t.Errorf("a laboratory that nobody believes: %v, want unverified", err)
	}
	if _, err := h.Service().PutAssessSettings(t.Context(), owner, api.AssessSettings{Laboratories: []api.Laboratory{{Name: "Honest", Key: pub}}}); err != nil {
		t.Fatal(err)
	}
	other := lab
	other.Identity.Model = "M2"
	if _, err := submit(sign(other)); !isCode(err, ringwall.Conflict) {
		t.Errorf("results about another model: %v, want a conflict", err)
	}
	changed := sign(lab)
	changed.Findings = []ringwall.Finding{probed("HW-01", ringwall.Pass)}
	if _, err := submit(changed); !isCode(err, ringwall.Unverified) {
		t.Errorf("results changed after they were signed: %v, want unverified", err)
	}
	if a, err = submit(sign(lab)); err != nil || answered(t, a, "HW-02").Source != "laboratory/Honest" {
		t.Errorf("signed results: %v", err)
	}
}

func TestTheGateKeepsADeviceOffTheNetwork(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	yes := true
	if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Enrolled: &yes}); err != nil {
		t.Fatal(err)
	}
	gate := func(g api.Gate) {
		t.Helper()
		if _, err := h.Service().PutAssessSettings(t.Context(), owner, api.AssessSettings{Gate: g}); err != nil {
			t.Fatal(err)
		}
	}
	closed := func() bool {
		d := h.devices()[0]
		i := slices.IndexFunc(d.TrustReasons, func(r api.TrustReason) bool { return r.Key == "trust.gate.closed" })
		if (i >= 0) != (d.Trust <= ringwall.T1) {
			t.Errorf("trust %v for %+v", d.Trust, d.TrustReasons)
		}
		return i >= 0
	}
	if closed() {
		t.Error("a gate that nobody set is closed")
	}
	gate(api.Gate{Worst: ringwall.MediumRisk})
	if !closed() {
		t.Error("a device without a grade passed a gate that asks for one")
	}
	gate(api.Gate{Worst: ringwall.MediumRisk, Ungraded: true})
	if closed() {
		t.Error("the gate lets what has no grade pass, and is closed to it")
	}
	h.submit(probed("AP-04", ringwall.Fail))
	if !closed() {
		t.Error("a device of high risk passed the gate")
	}
	own := api.Gate{Worst: ringwall.HighRisk}
	if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Gate: &own}); err != nil {
		t.Fatal(err)
	}
	if closed() {
		t.Error("its own gate is open, and it is kept out")
	}
	if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Gate: &api.Gate{}}); err != nil {
		t.Fatal(err)
	}
	h.submit(probed("AP-04", ringwall.Pass))
	if closed() {
		t.Error("repaired, it is still kept out")
	}
}

func TestTasksFollowWhatIsMeasured(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	task := func() api.Remedial {
		t.Helper()
		page, err := h.Service().Remedials(t.Context(), owner, httpapi.RemedialFilter{Device: h.dev.ID}, httpapi.Paging{})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("tasks = %+v, %v", page.Items, err)
		}
		return page.Items[0]
	}
	h.submit(probed("CO-02", ringwall.Fail))
	first := task()
	if first.Status != "open" || first.Indicator != "CO-02" || first.Remedy == "" {
		t.Fatalf("task = %+v", first)
	}
	doing, note := "doing", "Ann is at it"
	if _, err := h.Service().PatchRemedial(t.Context(), owner, first.ID, api.RemedialPatch{Status: &doing, Note: &note}); err != nil {
		t.Fatal(err)
	}
	h.submit(probed("CO-02", ringwall.Fail))
	if r := task(); r.Status != "doing" || r.Note != note {
		t.Errorf("failed again it is %+v", r)
	}
	h.submit(probed("AP-01", ringwall.Pass))
	if r := task(); r.Status != "doing" {
		t.Errorf("not measured it is %q", r.Status)
	}
	h.submit(probed("CO-02", ringwall.Pass))
	if r := task(); r.Status != "done" {
		t.Errorf("measured to be well it is %q", r.Status)
	}
	h.submit(probed("CO-02", ringwall.Fail))
	if r := task(); r.Status != "open" {
		t.Errorf("broken again it is %q", r.Status)
	}
	done := "done"
	if _, err := h.Service().PatchRemedial(t.Context(), owner, first.ID, api.RemedialPatch{Status: &done}); !isCode(err, ringwall.Invalid) {
		t.Errorf("a person says that it is done: %v, want invalid", err)
	}
}

func TestAClosedGateEndsLearning(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	learn := ringwall.Learn
	if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Mode: &learn}); err != nil {
		t.Fatal(err)
	}
	mode := func() ringwall.Mode {
		t.Helper()
		d := h.desiredOf(h.b, 0)
		if d == nil || len(d.Devices) != 1 {
			t.Fatalf("the gateway is told %+v", d)
		}
		return d.Devices[0].Mode
	}
	if got := mode(); got != ringwall.Learn {
		t.Fatalf("with no gate a stranger is in mode %v", got)
	}
	if _, err := h.Service().PutAssessSettings(t.Context(), owner, api.AssessSettings{Gate: api.Gate{Worst: ringwall.MediumRisk}}); err != nil {
		t.Fatal(err)
	}
	if got := mode(); got != ringwall.Enforce {
		t.Errorf("a stranger without a grade passes a closed gate in mode %v", got)
	}
	h.submit(probed("AP-01", ringwall.Pass))
	if got := mode(); got != ringwall.Learn {
		t.Errorf("of a grade that may pass it is in mode %v", got)
	}
}
