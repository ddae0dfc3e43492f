package sqlstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

func (w *world) createSIM(org ringwall.OrgID, id ringwall.SIMID, iccid ringwall.ICCID, imsi ringwall.IMSI) error {
	w.Helper()
	scope := w.person(audit.SIMWrite, org)
	return w.store.Update(w.Context(), func(tx *sqlstore.Tx) error {
		_, err := tx.CreateSIM(scope, api.SIM{ID: id, Org: org}, sqlstore.Numbers{ICCID: iccid, IMSI: imsi})
		return err
	})
}

// TestANumberIsOneCards: an IMSI is one card's on the whole platform, and who is
// refused does not learn whose.
func TestANumberIsOneCards(t *testing.T) {
	w := newWorld(t)
	w.emptyOrg("org_a")
	w.emptyOrg("org_b")
	if err := w.createSIM("org_a", "sim_a", "8986001234567890127", testIMSI); err != nil {
		t.Fatal(err)
	}
	own := w.createSIM("org_a", "sim_a2", "8986001234567890135", testIMSI)
	others := w.createSIM("org_b", "sim_b", "8986001234567890143", testIMSI)
	for _, err := range []error{own, others} {
		if ringwall.CodeOf(err) != ringwall.Conflict || strings.Contains(err.Error(), "org_a") || strings.Contains(err.Error(), "sim_a") || strings.Contains(err.Error(), testIMSI) {
			t.Errorf("the number a second time: %v", err)
		}
	}
	if own.Error() != others.Error() {
		t.Errorf("of an own number it says %q, of another's %q", own, others)
	}
	if err := w.createSIM("org_b", "sim_b", "8986001234567890127", "460001234567891"); err != nil {
		t.Errorf("another number, with an ICCID that another organisation has: %v", err)
	}
}

// TestNumbersAreReckoned: of cards with one number that were registered before
// that was refused, the first has it.
func TestNumbersAreReckoned(t *testing.T) {
	w := newWorld(t)
	w.emptyOrg("org_a")
	w.emptyOrg("org_b")
	for i, c := range []struct {
		org  ringwall.OrgID
		imsi ringwall.IMSI
	}{{"org_b", testIMSI}, {"org_a", "460001234567891"}, {"org_a", "460001234567892"}} {
		if err := w.createSIM(c.org, ringwall.SIMID(fmt.Sprint("sim_", i)), ringwall.ICCID(fmt.Sprint("898600123456789012", i)), c.imsi); err != nil {
			t.Fatal(err)
		}
	}
	// As it was before: nothing is reckoned, and a card has the number of another.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, "ringwall.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(`UPDATE sims SET number_key = NULL`)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.createSIM("org_a", "sim_9", "8986001234567890199", testIMSI); err != nil {
		t.Fatal(err)
	}
	if _, err = db.Exec(`UPDATE sims SET number_key = NULL`); err != nil {
		t.Fatal(err)
	}
	judged := func(org ringwall.OrgID) string {
		var ids []string
		scope := w.system(audit.SysUsage, org)
		w.view(func(tx *sqlstore.Tx) error {
			page, err := tx.FindSIMs(scope, sqlstore.SIMFilter{Judged: true}, sqlstore.Paging{})
			for _, s := range page.Items {
				ids = append(ids, string(s.ID))
			}
			return err
		})
		return strings.Join(ids, " ")
	}
	if got := judged("org_a") + judged("org_b"); got != "" {
		t.Fatalf("before they are reckoned %q are judged", got)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if a, b := judged("org_a"), judged("org_b"); a != "sim_2 sim_1" || b != "sim_0" {
		t.Errorf("judged are %q and %q, want the first of each number", a, b)
	}
	if err := w.createSIM("org_a", "sim_10", "8986001234567890200", testIMSI); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a number that is a card's since before: %v", err)
	}
}
