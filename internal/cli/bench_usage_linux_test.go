package cli

import (
	"encoding/json"
	"math"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/gen"
)

// TestBenchUsage_rows: every row is measured, at sizes that take no time, and what
// was judged, swept and restored is checked on the way. Whether bars are held says
// nothing here: others use the machine.
func TestBenchUsage_rows(t *testing.T) {
	got := command(t, nil, "bench", "usage", "--sizes", "100000", "--rounds", "1", "--cards", "2000", "--dir", t.TempDir(), "--json")
	if got.status != 0 && got.status != 1 {
		t.Fatalf("status %d: %s", got.status, got.talk)
	}
	var figures []usageFigure
	if err := json.Unmarshal([]byte(got.out), &figures); err != nil {
		t.Fatalf("%v: %s", err, got.out)
	}
	byName, missed := map[string]usageFigure{}, false
	for _, f := range figures {
		if f.Unit == "" || !(f.Best > 0) || !(f.Median > 0) || math.IsInf(f.Best, 0) {
			t.Errorf("a row without figures: %+v", f)
		}
		byName[f.Name], missed = f, missed || !f.good()
	}
	for _, name := range []string{
		"rules, one range, 0.1 M cards", "rules, blocks of 10,000, 0.1 M cards",
		"rules, blocks, ids remembered, 0.1 M cards", "sweep of 0.1 M cards",
		"line and what finds it, 0.1 M cards", "side", "ids of records remembered", "CSV → verdict", "TS 32.298 BER → verdict",
		"snapshot of 0.1 M cards, fsynced", "restore of 0.1 M cards", "snapshot, extrapolated to 900 M cards", "restore, extrapolated to 900 M cards",
	} {
		if _, ok := byName[name]; !ok {
			t.Errorf("there is no row %q", name)
		}
	}
	if missed != (got.status == 1) {
		t.Errorf("status %d, and a bar is missed: %v", got.status, missed)
	}
	if line := byName["line and what finds it, 0.1 M cards"].Best; line < 64 || line > 66 {
		t.Errorf("a line and what finds it take %v bytes, want the 64 of the line and little else", line)
	}
	only := command(t, nil, "bench", "usage", "--sizes", "100000", "--rounds", "1", "--only", "sweep")
	if n := strings.Count(only.out, "\n"); n != 2 || !strings.Contains(only.out, "sweep of 0.1 M cards") {
		t.Errorf("--only sweep prints %s", only.out)
	}
	for _, wrong := range [][]string{{"--only", "nothing"}, {"--sizes", "1000"}, {"--rounds", "0"}} {
		if got := command(t, nil, append([]string{"bench", "usage"}, wrong...)...); got.status != 2 {
			t.Errorf("%v: status %d, want 2", wrong, got.status)
		}
	}
}

// TestBenchUsage_checks_what_it_measures: an engine that does not know a card, and
// records that get lost on the way, are no figures.
func TestBenchUsage_checks_what_it_measures(t *testing.T) {
	runtime.LockOSThread() // rates are by its processor time
	defer runtime.UnlockOSThread()
	s, err := newSpeed(100_000, true, -1)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.round(false); err != nil || v <= 0 {
		t.Fatalf("%v, %v", v, err)
	}
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	s.engine = usage.New(usage.Config{Key: []byte("ringwall bench usage")})
	defer s.engine.Close() // nothing is in it
	if _, err := s.round(false); ringwall.CodeOf(err) != ringwall.Internal {
		t.Errorf("of an engine that knows no card: %v", err)
	}
	for name, lose := range map[string]bool{"all": false, "one lost": true} {
		b := &usageBench{f: benchUsageFlags{cards: 1000, rounds: 1, seed: 1}}
		w, e, err := b.fleetEngine(b.f.cards)
		if err != nil {
			t.Fatal(err)
		}
		src := w.Source()
		chunks := 0
		err = b.stream(t.Context(), name, 0, src, e, func(out []byte) ([]byte, error) {
			if len(out) == 0 {
				out = append(out, gen.Header...)
				chunks++
			}
			at := len(out)
			if out = src.AppendCSV(out); lose && at > len(gen.Header) {
				out = append(out[:at], out[at+1+strings.IndexByte(string(out[at:]), '\n'):]...)
			}
			return out, nil
		})
		if cerr := e.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		switch {
		case !lose && (err != nil || len(b.figures) != 2 || chunks != streamWarm+1):
			t.Errorf("%s: %v, %d chunks, %+v", name, err, chunks, b.figures)
		case lose && ringwall.CodeOf(err) != ringwall.Internal:
			t.Errorf("%s: %v, want that it is told", name, err)
		}
	}
	if cdr.MaxBatch*2 > 4*1000 {
		t.Error("a chunk has one batch: nothing is lost in the test above")
	}
}

// TestBenchUsage_slope: an extrapolation is never less than nothing.
func TestBenchUsage_slope(t *testing.T) {
	for _, x := range []struct{ few, short, many, long, want float64 }{
		{100, 1, 200, 3, 0.02},      // a slope
		{100, 3, 200, 3, 0.015},     // none
		{100, 4, 200, 3, 0.015},     // backwards
		{200, 3, 200, 3, 3.0 / 200}, // one size
	} {
		if got := perCard(x.few, x.short, x.many, x.long); math.Abs(got-x.want) > 1e-12 {
			t.Errorf("perCard(%v, %v, %v, %v) = %v, want %v", x.few, x.short, x.many, x.long, got, x.want)
		}
	}
}

// TestBenchUsage_accuracy: all misuse of a small world is found, no honest card is
// blamed, and the same seed says the same.
func TestBenchUsage_accuracy(t *testing.T) {
	run := func() told { return command(t, nil, "bench", "usage", "--accuracy", "--cards", "1000", "--days", "7") }
	got := run()
	if got.status != 0 {
		t.Fatalf("status %d: %s%s", got.status, got.out, got.talk)
	}
	cases, found := 0, 0
	for _, m := range regexp.MustCompile(`(?m)^\S.* (?:separation|sim-\S+) +(\d+) +(\d+) +(\d+)$`).FindAllStringSubmatch(got.out, -1) {
		n := [3]int{}
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1]) // digits
		}
		cases, found = cases+n[0], found+n[1]
	}
	if cases < 40 || found != cases || !strings.Contains(got.out, "7000 card-days") {
		t.Errorf("%d cases, %d found:\n%s", cases, found, got.out)
	}
	if again := run(); again.out != got.out {
		t.Errorf("the same seed says\n%s, and before\n%s", again.out, got.out)
	}
}

// TestBenchUsage_soak: what is written into a spool is judged, all of it and once,
// and each misuse becomes an alert.
func TestBenchUsage_soak(t *testing.T) {
	got := command(t, nil, "bench", "usage", "--soak", "1s", "--cards", "100000", "--rate", "60000", "--dir", t.TempDir())
	if got.status != 0 && got.status != 1 { // 1: the machine was too busy for the rate
		t.Fatalf("status %d: %s", got.status, got.talk)
	}
	var written, judged, unknown, duplicate, wrong, found int
	m := regexp.MustCompile(`misuse: (\d+) records, (\d+) found; from record to alert median \S+, p99 \S+, worst \S+\nwritten (\d+), judged (\d+), unknown (\d+), duplicate (\d+)\n`).FindStringSubmatch(got.out)
	if m == nil {
		t.Fatal(got.out)
	}
	for i, p := range []*int{&wrong, &found, &written, &judged, &unknown, &duplicate} {
		*p, _ = strconv.Atoi(m[i+1]) // digits
	}
	if written < 6000 || judged != written || unknown+duplicate != 0 || wrong != written/misuseEvery || found != wrong {
		t.Errorf("%s", got.out)
	}
}
