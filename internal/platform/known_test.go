package platform

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/vuln"
)

func TestNewerDataAreMatchedWithoutANewScan(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	x := image(static("HW-01", ringwall.Pass))
	x.Components = []api.Component{{Name: "dropbear", Version: "2024.85", Exposed: true, Paths: []string{"usr/sbin/dropbear"}}}
	a, err := h.Service().SubmitExamination(t.Context(), owner, h.dev.ID, x)
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		t.Helper()
		h.readVulnerabilities()
		if err := h.match(t.Context(), &keptScopes{auditor: h.auditor, now: time.Now}, owner.Org); err != nil {
			t.Fatal(err)
		}
	}
	last := func() api.Assessment {
		t.Helper()
		a, err := h.Service().Assessment(t.Context(), owner, h.devices()[0].Assess)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	round()
	if f := answered(t, last(), "FS-04"); f.Outcome == ringwall.Fail {
		t.Fatalf("before the news: %+v", f)
	}
	// The news: what the image has is exploited now.
	data, err := vuln.ImportCVE(vuln.Default(), strings.NewReader(`{"dataType":"CVE_RECORD","dataVersion":"5.1","cveMetadata":{"cveId":"CVE-2026-99999","state":"PUBLISHED","datePublished":"2026-11-20T00:00:00Z"},"containers":{"cna":{
		"affected":[{"vendor":"dropbear_ssh_project","product":"dropbear_ssh","versions":[{"version":"0","lessThan":"2025.90","status":"affected","versionType":"custom"}]}],
		"metrics":[{"cvssV3_1":{"version":"3.1","baseScore":9.8,"baseSeverity":"CRITICAL","vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],"descriptions":[{"lang":"en","value":"x"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = vuln.ImportKEV(data, strings.NewReader(`{"title":"x","catalogVersion":"2036.11.21","dateReleased":"2036-11-21T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2026-99999","vendorProject":"Dropbear","product":"Dropbear","vulnerabilityName":"n","dateAdded":"2026-11-21","shortDescription":"x","requiredAction":"x","dueDate":"2026-12-21"}]}`)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := data.Encode(&b, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, VulnerabilityFile), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	round()
	now := last()
	if f := answered(t, now, "FS-04"); f.Outcome != ringwall.Fail || !slices.ContainsFunc(f.Evidence, func(e string) bool { return strings.Contains(e, "CVE-2026-99999") }) {
		t.Errorf("after the news: %+v", f)
	}
	if !slices.ContainsFunc(now.Vulnerabilities, func(v api.Vulnerability) bool { return v.ID == "CVE-2026-99999" && v.KEV }) {
		t.Errorf("the assessment does not list it: %+v", now.Vulnerabilities)
	}
	if d := h.devices()[0]; d.DueReason != dueExploited || d.Due.After(time.Now()) || d.Assess == a.ID {
		t.Errorf("it is due %v because of %q, assessment %q", d.Due, d.DueReason, d.Assess)
	}
	before := h.devices()[0].Assess
	round()
	if h.devices()[0].Assess != before {
		t.Error("the same data were matched twice")
	}
	// A broken file changes nothing.
	if err := os.WriteFile(filepath.Join(h.dir, VulnerabilityFile), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(h.dir, VulnerabilityFile), time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	h.readVulnerabilities()
	if h.known().Version() != data.Version() {
		t.Error("a broken file replaced what was known")
	}
}

func TestTheSameSecretInTwoDevicesIsToldOfInBoth(t *testing.T) {
	h := newHouse(t)
	h.report(h.b, record(api.RecordPresence, sighting(2)))
	h.wait("second device", func() bool { return len(h.devices()) == 2 })
	owner := h.as(ringwall.PartOwner)
	secret := []api.SecretMark{{Kind: "private-key", Mark: "0f1e2d3c", Path: "etc/ssl/key.pem"}}
	examine := func(d ringwall.DeviceID, model string, marks []api.SecretMark) api.Assessment {
		t.Helper()
		x := image(static("HW-01", ringwall.Pass))
		x.Identity, x.Secrets = api.Identity{Vendor: "V" + model, Model: model}, marks
		a, err := h.Service().SubmitExamination(t.Context(), owner, d, x)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ds := h.devices()
	examine(ds[0].ID, "M1", secret)
	if a := examine(ds[1].ID, "M2", secret); answered(t, a, "FS-02").Outcome != ringwall.Fail {
		t.Errorf("the second device: %+v", answered(t, a, "FS-02"))
	}
	grade := func(d ringwall.DeviceID) ringwall.Outcome {
		t.Helper()
		a, err := h.Service().SubmitAssessment(t.Context(), owner, api.Assessment{Device: d, Findings: []ringwall.Finding{probed("CO-10", ringwall.Pass)}})
		if err != nil {
			t.Fatal(err)
		}
		return answered(t, a, "FS-02").Outcome
	}
	if got := grade(ds[0].ID); got != ringwall.Fail {
		t.Errorf("the first device: FS-02 is %v", got)
	}
	examine(ds[1].ID, "M2", nil) // its key was replaced
	if got := grade(ds[1].ID); got == ringwall.Fail {
		t.Errorf("with a key of its own FS-02 is %v", got)
	}
	if got := grade(ds[0].ID); got == ringwall.Fail {
		t.Errorf("with nobody to share with FS-02 of the first is %v", got)
	}
}
