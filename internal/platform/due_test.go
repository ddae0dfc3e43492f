package platform

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

func TestWhatIsDueIsAssessedAgain(t *testing.T) {
	cfg := testConfig(t.TempDir(), io.Discard)
	cfg.Runner = &assess.Runner{Network: &wire{"127.0.0.1:1"}, Now: time.Now} // with no probes
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := inHouse(runPlatform(t, p))
	owner := h.as(ringwall.PartOwner)
	soon := probed("CO-06", ringwall.Pass)
	soon.Facts = map[string]string{"notAfter": time.Now().Add(31 * 24 * time.Hour).UTC().Format(time.RFC3339)}
	h.submit(soon)
	if d := h.devices()[0]; d.DueReason != dueCertificate || time.Until(d.Due).Round(time.Hour) != 24*time.Hour {
		t.Errorf("with a certificate that ends in 31 days it is due %v because of %q", d.Due, d.DueReason)
	}
	h.submit(probed("AP-01", ringwall.Fail))
	d := h.devices()[0]
	if want := assess.SupervisionOf(d.Class, profileOf(d)).Interval; d.DueReason != dueInterval || time.Until(d.Due).Round(time.Hour) != want {
		t.Errorf("a device of %v risk is due %v because of %q, want in %v", d.Grade, d.Due, d.DueReason, want)
	}
	graded := d.Graded
	overdue := func() {
		t.Helper()
		if err := h.turn(t.Context(), owner.Org, func(t *turn) error {
			own, err := t.projector()
			if err != nil {
				return err
			}
			_, err = t.tx.UpdateDevice(own, h.dev.ID, func(d *api.Device) error { due(d, t.at.Add(-time.Second), dueExploited); return nil })
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	round := func() {
		t.Helper()
		if err := h.assessDue(t.Context(), &keptScopes{auditor: h.auditor, now: time.Now}, owner.Org); err != nil {
			t.Fatal(err)
		}
	}
	overdue()
	round() // nobody has said that its network is ours
	if d := h.devices()[0]; d.Graded != graded || time.Until(d.Due) < time.Hour {
		t.Errorf("without a registered network it was assessed at %v and is due %v", d.Graded, d.Due)
	}
	if _, err := h.Service().PutAssessSettings(t.Context(), owner, api.AssessSettings{Ranges: api.Ranges{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}}}); err != nil {
		t.Fatal(err)
	}
	overdue()
	round()
	h.wait("the assessment that was due", func() bool { return h.devices()[0].Graded.After(graded) })
	if d := h.devices()[0]; time.Until(d.Due) < time.Hour || d.DueReason != dueInterval {
		t.Errorf("assessed again it is due %v because of %q", d.Due, d.DueReason)
	}
}

func TestAGateHasWhatIsEnrolledAssessed(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	enrol := func(yes bool) {
		t.Helper()
		if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Enrolled: &yes}); err != nil {
			t.Fatal(err)
		}
	}
	enrol(true)
	if d := h.devices()[0]; !d.Due.IsZero() {
		t.Errorf("with no gate it is due %v", d.Due)
	}
	enrol(false)
	if _, err := h.Service().PutAssessSettings(t.Context(), owner, api.AssessSettings{Gate: api.Gate{Worst: ringwall.MediumRisk}}); err != nil {
		t.Fatal(err)
	}
	enrol(true)
	if d := h.devices()[0]; d.Due.IsZero() || d.DueReason != dueGate {
		t.Errorf("with a gate it is due %v because of %q", d.Due, d.DueReason)
	}
	var ids []ringwall.DeviceID
	if err := h.store.View(t.Context(), func(tx *sqlstore.Tx) error {
		scope, err := h.auditor.Authorise(t.Context(), owner, audit.DeviceRead, audit.Target{Kind: "device", Org: owner.Org})
		if err != nil {
			return err
		}
		ids, err = tx.DueDevices(scope, time.Now().Add(time.Second), 10)
		return err
	}); err != nil || len(ids) != 1 || ids[0] != h.dev.ID {
		t.Errorf("due are %v, %v", ids, err)
	}
}
