package console_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// handIn posts a file as the form on a device's page does.
func (s *site) handIn(t *testing.T, id ringwall.DeviceID, name string, paper []byte) *httptest.ResponseRecorder {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	f, err := w.CreateFormFile("paper", name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(paper); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/devices/"+string(id)+"/evidence", &b)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Authorization", "Bearer "+s.OwnerToken)
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	return rec
}

func TestEvidence_is_handed_in_and_taken_back(t *testing.T) {
	s := newSite(t)
	page := "/devices/" + string(s.GoodCamera)
	paper, err := os.ReadFile("../declare/testdata/camera.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if rec := s.handIn(t, s.GoodCamera, "maker.yaml", paper); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != page+"?done=evidence" {
		t.Fatalf("handing in: %d to %q\n%s", rec.Code, rec.Header().Get("Location"), rec.Body)
	}
	xs, err := s.Examinations(t.Context(), s.Owner, s.GoodCamera)
	if err != nil || len(xs) != 1 || xs[0].Kind != api.ExamDeclaration || len(xs[0].Findings) < 5 {
		t.Fatalf("what stands: %+v, %v", xs, err)
	}
	for name, bad := range map[string][]byte{
		"nothing.yaml": nil, "garbage.json": []byte("{]"), "large.json": bytes.Repeat([]byte(" "), 3<<20),
		// Nobody speaks in the name of the probes by a file.
		"probe.json": []byte(`{"kind":"network","source":"probe","findings":[]}`),
	} {
		rec := s.handIn(t, s.GoodCamera, name, bad)
		if rec.Code != http.StatusBadRequest && rec.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d", name, rec.Code)
		}
		if !strings.Contains(rec.Body.String(), `role="alert"`) {
			t.Errorf("%s: no word of why", name)
		}
	}
	if again, _ := s.Examinations(t.Context(), s.Owner, s.GoodCamera); len(again) != 1 {
		t.Errorf("%d examinations stand after what was refused", len(again))
	}
	if rec := s.ask(t, http.MethodPost, page+"/evidence/drop", url.Values{"source": {xs[0].Source}}); rec.Code != http.StatusSeeOther {
		t.Errorf("taking back: %d", rec.Code)
	}
	if left, _ := s.Examinations(t.Context(), s.Owner, s.GoodCamera); len(left) != 0 {
		t.Errorf("%d examinations are left", len(left))
	}
}

func TestDevice_shows_its_gate(t *testing.T) {
	s := newSite(t)
	page := "/devices/" + string(s.BadCamera)
	has := func(want string) {
		t.Helper()
		if body := s.ask(t, http.MethodGet, page, nil).Body.String(); !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if body := s.ask(t, http.MethodGet, page, nil).Body.String(); strings.Contains(body, "the gate: at worst") {
		t.Error("a gate is shown where none is set")
	}
	if rec := s.ask(t, http.MethodPost, "/assessing", url.Values{"what": {"gate"}, "worst": {"medium"}}); rec.Code != http.StatusSeeOther {
		t.Fatalf("setting the gate: %d", rec.Code)
	}
	has("kept offline by the gate: at worst medium risk")
	if rec := s.ask(t, http.MethodPost, page+"/gate", url.Values{"worst": {"high"}, "ungraded": {"true"}}); rec.Code != http.StatusSeeOther {
		t.Fatalf("setting its own gate: %d", rec.Code)
	}
	has("exempt from the gate")
	if rec := s.ask(t, http.MethodPost, page+"/gate", url.Values{"worst": {""}}); rec.Code != http.StatusSeeOther {
		t.Fatalf("taking its own gate back: %d", rec.Code)
	}
	has("kept offline by the gate: at worst medium risk")
}

func TestDevice_shows_what_changed(t *testing.T) {
	s := newSite(t)
	page := "/devices/" + string(s.GoodCamera)
	if body := s.ask(t, http.MethodGet, page, nil).Body.String(); strings.Contains(body, `class="spark"`) {
		t.Error("one assessment is drawn as a line")
	}
	if _, err := s.SubmitAssessment(t.Context(), s.Owner, api.Assessment{
		Device: s.GoodCamera, Target: "10.77.0.11", Ended: time.Date(2026, 11, 21, 19, 0, 0, 0, time.UTC), Grade: ringwall.HighRisk, Risk: 80,
		Findings: []ringwall.Finding{{Indicator: "AP-01", Module: ringwall.Application, Outcome: ringwall.Fail, Title: "a default password works"}},
	}); err != nil {
		t.Fatal(err)
	}
	body := s.ask(t, http.MethodGet, page, nil).Body.String()
	for _, want := range []string{`class="history"`, "got worse", "AP-01"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestDevice_reasons_speak_the_language(t *testing.T) {
	s := newSite(t)
	page := "/devices/" + string(s.BadCamera)
	en := s.ask(t, http.MethodGet, page, nil).Body.String()
	zh := s.ask(t, http.MethodGet, page, nil, "Accept-Language", "zh-CN").Body.String()
	a, err := s.Assessment(t.Context(), s.Owner, s.Assessed)
	if err != nil || len(a.Reasons) == 0 {
		t.Fatalf("the world's assessment has no reasons: %v", err)
	}
	if !strings.Contains(en, `<ul class="reasons"><li>`) || !strings.Contains(zh, "的权重已测") && !strings.Contains(zh, "预期风险") {
		t.Errorf("the reasons are not told")
	}
	if strings.Contains(zh, "<li>"+a.Reasons[0]+"</li>") {
		t.Errorf("the Chinese page says %q", a.Reasons[0])
	}
}
