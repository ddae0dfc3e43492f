package platform

import (
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// TestDemo_usage: the recorded range's operator writes usage records, which a demo
// judges: the meter's card, taken out and put into something else, is told of, and
// its records can be tried over. An operator's own inputs are judged beside them.
func TestDemo_usage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := usageConfig(t, dir)
	cfg.Demo = &DemoConfig{Recorded: true, Speed: 30, SkipAssess: true, Network: &LateNetwork{}}
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	svc, who := r.Service(), r.owner()
	ids := r.issue(1)
	putUsage(t, filepath.Join(dir, "spool"), "a.csv", usageHeader+usageRow(0, r.now(), "data", tIMEI, "a"))
	if d := r.DemoState(); d == nil || d.Live {
		t.Fatalf("the demo is %+v, want the recording", d)
	}
	said := func() []api.SIMAlert {
		t.Helper()
		page, err := svc.SIMAlerts(t.Context(), who, httpapi.SIMAlertFilter{Rule: "separation"}, httpapi.Paging{})
		if err != nil {
			t.Fatal(err)
		}
		return page.Items
	}
	r.wait("the separation", func() bool { return len(said()) > 0 })
	a := said()[0]
	if a.SIM == ids[0] || a.Incident == "" || a.Muted != "" {
		t.Errorf("alert %+v", a)
	}
	r.wait("the meter's curve and state", func() bool {
		c, err := svc.SIMCard(t.Context(), who, a.SIM)
		return err == nil && len(c.Days.Points) > 0 && c.Binding.State == "broken" && c.SIM.Device != ""
	})
	r.wait("the operator's own", func() bool { n, _ := r.counted(ids); return n == 1 })
	off := api.UsageSettings{Rules: map[string]api.UsageRuleSetting{"separation": {Off: true}}}
	if trial, err := svc.TryUsageSettings(t.Context(), who, api.UsageTry{Settings: off}); err != nil || !trial.Records || trial.GoneAll != 1 {
		t.Errorf("the trial says %+v, %v", trial, err)
	}
}
