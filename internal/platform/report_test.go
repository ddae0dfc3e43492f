package platform

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

func TestReportsAreWrittenForThoseWhoMaySeeThem(t *testing.T) {
	h := newHouse(t)
	owner, maker := h.as(ringwall.PartOwner), h.as(ringwall.PartManufacturer)
	if _, err := h.Service().SubmitExamination(t.Context(), owner, h.dev.ID, image(static("HW-01", ringwall.Fail))); err != nil {
		t.Fatal(err)
	}
	a := h.submit(probed("AP-01", ringwall.Fail))
	for format, holds := range map[string]string{
		"html": "AP-01", "pdf": "%PDF-", "sarif": "AP-01", "oscal": "oscal-version", "cyclonedx": "CycloneDX", "csv": "AP-01",
	} {
		for _, language := range []string{"en", "zh"} {
			r, err := h.Service().Report(t.Context(), owner, a.ID, format, language)
			if err != nil || !bytes.Contains(r.Body, []byte(holds)) || r.Name == "" || r.Type == "" {
				t.Errorf("%s in %s: %v, %d bytes %q, want %q in it", format, language, err, len(r.Body), r.Name, holds)
			}
		}
		r, err := h.Service().Report(t.Context(), maker, a.ID, format, "en")
		if err != nil || format != "pdf" && bytes.Contains(r.Body, []byte("10.77.0.")) {
			t.Errorf("%s for its manufacturer: %v; it names an address: %v", format, err, bytes.Contains(r.Body, []byte("10.77.0.")))
		}
	}
	if _, err := h.Service().Report(t.Context(), owner, a.ID, "docx", "en"); !isCode(err, ringwall.Invalid) {
		t.Errorf("a form that is none: %v, want invalid", err)
	}
	for format, holds := range map[string]string{"html": "<html", "csv": h.dev.Name, "trend": ","} {
		r, err := h.Service().FleetReport(t.Context(), owner, format, "zh")
		if err != nil || !strings.Contains(string(r.Body), holds) {
			t.Errorf("the fleet as %s: %v, %.200q", format, err, r.Body)
		}
	}
}

func TestSealedEvidenceIsGradedAgainTheSame(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	if _, err := h.Service().SubmitExamination(t.Context(), owner, h.dev.ID, image(static("FS-03", ringwall.Fail))); err != nil {
		t.Fatal(err)
	}
	a := h.submit(probed("AP-01", ringwall.Fail), probed("CO-02", ringwall.Pass))
	r, err := h.Service().Report(t.Context(), owner, a.ID, "bundle", "en")
	if err != nil {
		t.Fatal(err)
	}
	set, err := h.Service().AssessSettings(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	b, err := assess.Open(set.EvidenceKey, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	res, same, err := assess.Regrade(b)
	if err != nil || !same || res.Grade != a.Grade || res.Coverage != a.Coverage || res.Risk != a.Risk {
		t.Errorf("graded again: %v %v %v, same %v, %v; it was %v %v %v", res.Grade, res.Coverage, res.Risk, same, err, a.Grade, a.Coverage, a.Risk)
	}
	if _, err := h.Service().Report(t.Context(), h.as(ringwall.PartProvider), a.ID, "bundle", "en"); !isCode(err, ringwall.Forbidden) {
		t.Errorf("evidence for its provider: %v, want forbidden", err)
	}
}

func TestManufacturersAreScored(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	if _, err := h.Service().SubmitAssessment(t.Context(), owner, api.Assessment{Device: h.dev.ID, Vendor: "Lantern", Findings: []ringwall.Finding{probed("AP-01", ringwall.Fail)}}); err != nil {
		t.Fatal(err)
	}
	ms, err := h.Service().Makers(t.Context(), owner)
	if err != nil || len(ms) != 1 || ms[0].Name != "Lantern" || ms[0].High != 1 || ms[0].Score >= 50 || ms[0].Least > ms[0].Score || len(ms[0].Reasons) == 0 {
		t.Errorf("scores = %+v, %v", ms, err)
	}
}

func TestAQuestionnaireBecomesADeclaration(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	kind := "camera"
	if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Type: &kind}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Service().SubmitAnswers(t.Context(), owner, h.dev.ID); !isCode(err, ringwall.Invalid) {
		t.Errorf("nothing answered and handed in: %v, want invalid", err)
	}
	q, err := h.Service().Questionnaire(t.Context(), owner, h.dev.ID, "zh")
	if err != nil || len(q.Questions) < 10 || q.Profile.Class != "camera" || q.Answered != 0 {
		t.Fatalf("questionnaire = %+v, %v", q, err)
	}
	var choice api.Question
	for _, x := range q.Questions {
		if x.Kind == "choice" && choice.ID == "" {
			choice = x
		}
	}
	answers := api.Answers{Revision: q.Revision, Answers: map[string]string{choice.ID: choice.Choices[0].Value}, Notes: map[string]string{choice.ID: "as the manual says"}}
	kept, err := h.Service().SaveAnswers(t.Context(), owner, h.dev.ID, "en", answers)
	if err != nil || kept.Answered != 1 || kept.Revision == q.Revision || kept.Saved.IsZero() {
		t.Fatalf("kept = %+v, %v", kept, err)
	}
	if _, err := h.Service().SaveAnswers(t.Context(), owner, h.dev.ID, "en", answers); !isCode(err, ringwall.Conflict) {
		t.Errorf("answered on an old revision: %v, want a conflict", err)
	}
	if _, err := h.Service().SaveAnswers(t.Context(), owner, h.dev.ID, "en", api.Answers{Revision: kept.Revision, Answers: map[string]string{choice.ID: "nonsense"}}); !isCode(err, ringwall.Invalid) {
		t.Errorf("an answer that is no choice: %v, want invalid", err)
	}
	a, err := h.Service().SubmitAnswers(t.Context(), owner, h.dev.ID)
	if err != nil {
		t.Fatal(err)
	}
	f := answered(t, a, choice.Indicator)
	if f.Confidence != ringwall.Declared || f.Source != sourceQuestionnaire {
		t.Errorf("the answer became %+v", f)
	}
	if q, err = h.Service().Questionnaire(t.Context(), owner, h.dev.ID, "en"); err != nil || q.Submitted.IsZero() || q.Until.IsZero() || q.Answered != 1 {
		t.Errorf("afterwards: %+v, %v", q, err)
	}
	if _, err := h.Service().Questionnaire(t.Context(), h.as(ringwall.PartManufacturer), h.dev.ID, "en"); !isCode(err, ringwall.Forbidden) {
		t.Errorf("its manufacturer reads the questionnaire: %v, want forbidden", err)
	}
}
