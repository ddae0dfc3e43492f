package platform

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// heard is a log that can be read while it is written.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

// TestReveal_numbers_in_clear: who answers for cards sees a card's numbers, with a
// reason that stands in the audit log and on the card's way; nobody else does, and
// neither log nor any file has them in clear.
func TestReveal_numbers_in_clear(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &heard{}
	w := newWireless(t, dir, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	svc, who := w.Service(), w.owner()
	w.use(time.Now().Add(-time.Minute), "data", oIMEI, "", 1, "9001")
	w.wait("the equipment", func() bool { return w.card().SIM.SeenIMEI != "" })
	reason := "  operator hotline,   ticket 4711 of 2026-11-22 "
	got, err := svc.RevealSIM(t.Context(), who, w.sim.ID, api.SIMReveal{Reason: reason})
	if err != nil || got.ICCID != tICCID || got.IMSI != tIMSI || got.BoundIMEI != tIMEI || got.SeenIMEI != oIMEI || got.SIM != w.sim.ID || got.At.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, text := range []string{fmt.Sprint(got), fmt.Sprintf("%+v", got), fmt.Sprintf("%#v", got), got.LogValue().String()} {
		if strings.Contains(text, "4600") || strings.Contains(text, "8986") {
			t.Errorf("written into a text it is %q", text)
		}
	}
	const written = "operator hotline, ticket 4711 of 2026-11-22"
	entries, err := svc.Audit(t.Context(), w.as(ringwall.PartAuditor), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if e.Act == string(audit.SIMReveal) && e.Allowed && e.Reason == written && e.Actor == who.String() && strings.HasSuffix(e.Target, string(w.sim.ID)) {
			found++
		}
	}
	if found != 1 {
		t.Errorf("the audit log has it %d times: %+v", found, entries)
	}
	way := w.card().Custody
	if last := way[len(way)-1]; last.What != "revealed" || last.By != who.String() || !strings.Contains(last.Text, written) {
		t.Errorf("the card's way ends with %+v", last)
	}
	for name, x := range map[string]struct {
		who    audit.Actor
		sim    ringwall.SIMID
		reason string
		code   ringwall.Code
	}{
		"no reason":        {who, w.sim.ID, "", ringwall.Invalid},
		"hardly a reason":  {who, w.sim.ID, " so   ", ringwall.Invalid},
		"a long reason":    {who, w.sim.ID, strings.Repeat("because ", 30), ringwall.Invalid},
		"an IMSI in it":    {who, w.sim.ID, "looking for " + tIMSI, ringwall.Invalid},
		"a number in it":   {who, w.sim.ID, "caller +86 138-0013-8000 asks", ringwall.Invalid},
		"no such card":     {who, "sim_999", written, ringwall.NotFound},
		"an auditor":       {w.as(ringwall.PartAuditor), w.sim.ID, written, ringwall.Forbidden},
		"an integrator":    {w.as(ringwall.PartIntegrator), w.sim.ID, written, ringwall.Forbidden},
		"who passes it on": {w.as(ringwall.PartIntermediary), w.sim.ID, written, ringwall.Forbidden},
		"a provider":       {w.as(ringwall.PartProvider), w.sim.ID, written, ringwall.Forbidden},
	} {
		if got, err := svc.RevealSIM(t.Context(), x.who, x.sim, api.SIMReveal{Reason: x.reason}); ringwall.CodeOf(err) != x.code || got != (api.SIMNumbers{}) {
			t.Errorf("%s: %v, %v, want %s", name, got, err, x.code)
		}
	}
	if _, err := svc.RevealSIM(t.Context(), w.as(ringwall.PartOperator), w.sim.ID, api.SIMReveal{Reason: written}); err != nil {
		t.Errorf("an operator: %v", err)
	}
	w.stop()
	for _, number := range []string{tIMSI, tICCID} {
		if strings.Contains(log.String(), number) {
			t.Errorf("the log has %s in clear", number)
		}
		if err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == usageDir {
				return fs.SkipDir // usage records, which have the numbers that they came with
			}
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if bytes.Contains(b, []byte(number)) {
				t.Errorf("%s has %s in clear", path, number)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReveal_is_seldom: a person sees twenty cards an hour and an organisation a
// hundred a day; a restart forgets none of it, and an hour later a person may again.
func TestReveal_is_seldom(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	later := time.Duration(0)
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		later += d
	}
	dir := t.TempDir()
	w := newWireless(t, dir, func(c *Config) {
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(later)
		}
	})
	person := func(n int) audit.Actor {
		return audit.Actor{Kind: audit.KindUser, ID: fmt.Sprintf("usr_%d", n), Org: w.Org(), Parts: []ringwall.Part{ringwall.PartOperator}}
	}
	ask := func(n int) ringwall.Code {
		t.Helper()
		_, err := w.Service().RevealSIM(t.Context(), person(n), w.sim.ID, api.SIMReveal{Reason: "a case of the hotline"})
		return ringwall.CodeOf(err)
	}
	expect := func(what string, n int, want ringwall.Code) {
		t.Helper()
		if got := ask(n); got != want {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
	}
	for range revealsHour {
		expect("within the bound", 1, "")
	}
	expect("one too many", 1, ringwall.Unavailable)
	expect("another person", 2, "")
	cfg := w.cfg
	w.stop()
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.house.running = runPlatform(t, p)
	expect("after a restart", 1, ringwall.Unavailable)
	pass(time.Hour + time.Second)
	expect("an hour later", 1, "")
	for n := revealsHour + 2; n < revealsDay; n++ {
		expect("within the day's bound", 10+n/revealsHour, "")
	}
	expect("one too many of all", 99, ringwall.Unavailable)
	pass(23 * time.Hour)
	expect("the day after", 99, "")
}
