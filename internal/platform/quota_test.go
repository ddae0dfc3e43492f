package platform

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// TestQuota_of_one_card: the monthly caps of a card's function profile are held
// against its records, month by month (UTC). The month after is quiet until it has
// too much of its own. The same use by a card
// without a profile is none's business (the negative control).
func TestQuota_of_one_card(t *testing.T) {
	t.Parallel()
	first := time.Now().UTC()
	first = time.Date(first.Year(), first.Month(), 1, 12, 0, 0, 0, time.UTC)
	full, next := first.AddDate(0, -2, 0), first.AddDate(0, -1, 0)
	month := func(at time.Time) string { return at.Format("2006-01") }
	for _, x := range []struct {
		name    string
		profile api.FunctionProfile
		service string
		peer    string
		fact    string
		// each use takes so much, of which the cap allows two and a half
		bytes int
		unit  uint64
	}{
		{"bytes", api.FunctionProfile{Data: &api.DataUse{Any: true, Bytes: 2_500_000}}, "data", "", "bytes", 999_990, 1_000_000}, // w.use adds 10 down
		{"messages", api.FunctionProfile{SMS: &api.CallUse{Out: true, Any: true, Month: 2}}, "sms", "13800138000", "count", 0, 1},
		{"calls", api.FunctionProfile{Voice: &api.CallUse{Out: true, Any: true, Month: 2}}, "voice", "13800138000", "count", 0, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := newWireless(t, t.TempDir(), nil)
			x.profile.Name = x.name
			if _, err := w.Service().PutSIMProfile(t.Context(), w.owner(), w.sim.ID, x.profile); err != nil {
				t.Fatal(err)
			}
			records := uint64(0)
			used := func(at time.Time) {
				t.Helper()
				records++
				w.use(at, x.service, tIMEI, x.peer, x.bytes, "9001")
				w.wait(fmt.Sprintf("record %d", records), func() bool { return w.card().SIM.Records == records })
			}
			said := func() (all []api.SIMAlert) {
				t.Helper()
				for _, a := range w.card().Alerts {
					if a.Rule == rules.Quota {
						all = append(all, a)
					}
				}
				slices.SortFunc(all, func(a, b api.SIMAlert) int { return a.Time.Compare(b.Time) })
				return all
			}
			expect := func(what string, months ...string) {
				t.Helper()
				all := said()
				if len(all) != len(months) {
					t.Fatalf("%s: %d alerts of the cap, want %d: %+v", what, len(all), len(months), all)
				}
				for i, a := range all {
					want := map[string]string{"month": months[i], x.fact: fmt.Sprint(3 * x.unit)}
					for k, v := range want {
						if a.Facts[k] != v {
							t.Errorf("%s: alert %d says %s = %q, want %q", what, i, k, a.Facts[k], v)
						}
					}
				}
			}
			used(full.AddDate(0, 0, 2))
			used(full.AddDate(0, 0, 9))
			expect("at the cap")
			used(full.AddDate(0, 0, 20))
			expect("past the cap", month(full))
			used(next)
			used(next.AddDate(0, 0, 5))
			expect("the month after", month(full))
			used(next.AddDate(0, 0, 7))
			expect("the month after, past the cap as well", month(full), month(next))
		})
	}
	t.Run("no profile", func(t *testing.T) {
		t.Parallel()
		w := newWireless(t, t.TempDir(), nil)
		for day := range 3 {
			w.use(full.AddDate(0, 0, day), "data", tIMEI, "", 1_000_000, "9001")
		}
		w.wait("three records", func() bool { return w.card().SIM.Records == 3 })
		if a := w.card().Alerts; len(a) != 0 {
			t.Errorf("without a profile: %+v", a)
		}
	})
}
