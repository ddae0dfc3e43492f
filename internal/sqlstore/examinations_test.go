package sqlstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

func TestAnExaminationTakesThePlaceOfItsSourcesOlderOne(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	scope := w.person(audit.AssessRun, th.org)
	image := api.Examination{
		ID: "exm_2", Device: th.device, Kind: api.ExamFirmware, Source: "firmware/a", Made: clock().Add(time.Hour),
		Findings: []ringwall.Finding{{Indicator: "FS-02", Source: "firmware/a", Title: "newer", Time: clock().Add(time.Hour)}},
	}
	indicators := func() (out []string) {
		w.view(func(tx *sqlstore.Tx) error {
			fs, err := tx.Findings(scope, th.device)
			for _, f := range fs {
				out = append(out, f.Indicator+" "+f.Title)
			}
			return err
		})
		return out
	}
	before := indicators()
	if want := []string{"AP-01 finding of org_a", "FS-01 image finding of org_a"}; !slices.Equal(before, want) {
		t.Fatalf("findings = %q, want %q", before, want)
	}
	w.update(func(tx *sqlstore.Tx) error { return tx.PutExamination(scope, image) })
	if got, want := indicators(), []string{"AP-01 finding of org_a", "FS-02 newer"}; !slices.Equal(got, want) {
		t.Errorf("findings = %q, want %q", got, want)
	}
	w.view(func(tx *sqlstore.Tx) error {
		xs, err := tx.Examinations(scope, th.device)
		if err != nil || len(xs) != 1 || xs[0].ID != "exm_2" || xs[0].Org != th.org {
			t.Errorf("examinations = %+v, %v", xs, err)
		}
		return nil
	})
	older := image
	older.ID, older.Made = "exm_1", clock()
	if err := w.store.Update(t.Context(), func(tx *sqlstore.Tx) error { return tx.PutExamination(scope, older) }); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("an older examination: %v, want a conflict", err)
	}
	w.update(func(tx *sqlstore.Tx) error { return tx.DropExamination(scope, th.device, "firmware/a") })
	if got, want := indicators(), []string{"AP-01 finding of org_a"}; !slices.Equal(got, want) {
		t.Errorf("after the drop: %q, want %q", got, want)
	}
}

func TestHoldersAreTheOtherDevicesWithTheSameSecret(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	w.fill("org_b") // holds "the same" too, and is nobody of ours
	scope, project := w.person(audit.AssessRun, th.org), w.system(audit.SysProject, th.org)
	w.update(func(tx *sqlstore.Tx) error {
		n, err := tx.NextMark(project, th.gateway)
		if err != nil {
			return err
		}
		if err := tx.CreateDevice(project, api.Device{ID: "dev_2", Org: th.org, Name: "second", Gateway: th.gateway, Binding: api.Binding{MAC: "02:00:00:00:00:11"}}, n); err != nil {
			return err
		}
		return tx.PutExamination(scope, api.Examination{
			ID: "exm_3", Device: "dev_2", Kind: api.ExamFirmware, Source: "firmware/b", Made: clock(),
			Secrets: []api.SecretMark{{Kind: "private-key", Mark: "the same", Path: "etc/key"}, {Kind: "token", Mark: "its own"}},
		})
	})
	w.view(func(tx *sqlstore.Tx) error {
		hs, err := tx.Holders(scope, th.device)
		if err != nil || len(hs) != 1 || hs[0].Device != "dev_2" || hs[0].Secret.Path != "etc/key" {
			t.Errorf("holders = %+v, %v", hs, err)
		}
		return nil
	})
}
