package probe

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func TestMain(m *testing.M) {
	lab.MaybeActor() // the range starts this program again
	os.Exit(m.Run())
}

// TestRange assesses the range's home from the owner's laptop, then again
// after the bad camera was caught and repaired.
func TestRange(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: the range takes a while")
	}
	netnstest.New(t, "may-we").Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r, err := lab.Up(ctx, lab.Config{Seed: 1, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Down(); err != nil {
			t.Error(err)
		}
	})
	run := &assess.Runner{Network: r.Network(lab.Laptop), Probes: All(), Finders: Finders(), Now: time.Now}
	began := time.Now()
	targets, err := run.Discover(ctx, []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	as, err := run.Run(ctx, targets)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d devices of a /24 found and assessed in %v", len(as), time.Since(began))
	find := func(addr string) api.Assessment {
		for _, a := range as {
			if a.Target == addr {
				return a
			}
		}
		t.Fatalf("%s was not found", addr)
		return api.Assessment{}
	}
	bad, good := find("10.77.0.10"), find("10.77.0.11")
	if bad.Grade != ringwall.HighRisk || bad.Best != ringwall.HighRisk {
		t.Errorf("the bad camera is %v: %q", bad.Grade, bad.Reasons)
	}
	if good.Grade != ringwall.MediumRisk || good.Best != ringwall.LowRisk {
		t.Errorf("the good camera is %v: %q", good.Grade, good.Reasons)
	}
	for _, f := range good.Findings {
		if f.Outcome == ringwall.Fail {
			t.Errorf("the good camera fails %s: %q %q", f.Indicator, f.Title, f.Evidence)
		}
	}
	for _, id := range []string{"AP-01", "FS-01", "CO-02"} {
		probetest.Want(t, bad.Findings, id, ringwall.Fail, ringwall.Confirmed)
	}
	if t.Failed() {
		for _, f := range bad.Findings {
			t.Logf("%s %v (%v) by %s: %s %q", f.Indicator, f.Outcome, f.Confidence, f.Source, f.Title, f.Evidence)
		}
	}
	if bad.Vendor == "" || bad.Model == "" || bad.Type != "camera" {
		t.Errorf("the bad camera is %q %q %q", bad.Vendor, bad.Model, bad.Type)
	}

	// An incident wrote a compromise; the owner repairs; the same Runner, with
	// the same ledger, looks again at once.
	caught := time.Now()
	if err := r.Repair(ctx, lab.BadCam, "a long and unique one"); err != nil {
		t.Fatal(err)
	}
	again := assess.Target{Name: "10.77.0.10", Addr: netip.MustParseAddr("10.77.0.10"), Prior: append(bad.Findings, ringwall.Finding{
		Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "incident/inc_1", Time: caught,
	})}
	as, err = run.Run(ctx, []assess.Target{again})
	if err != nil {
		t.Fatal(err)
	}
	fixed := as[0]
	if fixed.Grade != ringwall.MediumRisk {
		t.Errorf("after the repair the bad camera is %v: %q", fixed.Grade, fixed.Reasons)
	}
	probetest.Want(t, fixed.Findings, "AP-01", ringwall.Pass, ringwall.Observed)
	probetest.Want(t, fixed.Findings, "CO-02", ringwall.Pass, ringwall.Observed)
}
