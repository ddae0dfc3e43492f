package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
)

// TestReveal_shows_numbers_once: with a reason, on the answer to the form alone,
// which nobody keeps; they are in no address and no log.
func TestReveal_shows_numbers_once(t *testing.T) {
	s := newSite(t)
	path := "/sims/" + string(s.MeterSIM)
	numbers := func(text string) bool {
		return strings.Contains(text, httpapitest.RevealedIMSI) || strings.Contains(text, httpapitest.RevealedICCID)
	}
	rec := s.ask(t, "POST", path+"/reveal", url.Values{"reason": {"hotline, ticket 4711"}})
	d := parse(t, rec.Body.Bytes())
	d.wellMade(t)
	if rec.Code != 200 || !strings.Contains(d.text(), httpapitest.RevealedIMSI) || !strings.Contains(d.text(), httpapitest.RevealedICCID) {
		t.Errorf("%d: %s", rec.Code, d.text())
	}
	if rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", rec.Header().Get("Cache-Control"))
	}
	if strings.Contains(rec.Body.String(), "data-live=") {
		t.Error("the page follows events, and loses the numbers to the next")
	}
	entries, err := s.Audit(t.Context(), s.Owner, time.Time{}, 1)
	if err != nil || len(entries) != 1 || entries[0].Act != "sim.reveal" || entries[0].Reason != "hotline, ticket 4711" {
		t.Errorf("the audit log says %+v, %v", entries, err)
	}
	if page := s.ask(t, "GET", "/audit", nil).Body.String(); !strings.Contains(page, "hotline, ticket 4711") || numbers(page) {
		t.Error("the audit page does not tell of it, or tells too much")
	}
	if page := s.ask(t, "GET", path, nil).Body.String(); numbers(page) || !strings.Contains(page, path+"/reveal") {
		t.Error("the page shows numbers unasked, or has no form to ask")
	}
	rec = s.ask(t, "POST", path+"/reveal", url.Values{"reason": {""}})
	if rec.Code != 422 || numbers(rec.Body.String()) {
		t.Errorf("without a reason: %d", rec.Code)
	}
	parse(t, rec.Body.Bytes()).wellMade(t)
	if numbers(s.log.String()) || strings.Contains(s.log.String(), "hotline") {
		t.Errorf("the log says %s", s.log)
	}
}
