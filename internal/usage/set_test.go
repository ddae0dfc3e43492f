package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

var testKeys = KeysOf([]byte("test key"))

func source(t testing.TB, recs []cdr.Record, from []byte) cdr.Source {
	t.Helper()
	return &chopped{recs: recs, from: must(startOf(from, len(recs)))}
}

// chopped is a source of records in batches of 1 to 40.
type chopped struct {
	recs []cdr.Record
	from int
	last int
	hook func(at int) error
}

func startOf(from []byte, most int) (n int, err error) {
	if from == nil {
		return 0, nil
	}
	if _, err := fmt.Sscan(string(from), &n); err != nil || n > most {
		return 0, fmt.Errorf("position %q is none", from)
	}
	return n, nil
}

func (c *chopped) Next(ctx context.Context, b *cdr.Batch) error {
	if c.hook != nil {
		if err := c.hook(c.from); err != nil {
			return err
		}
	}
	b.Reset()
	c.last = c.from
	for n := 1 + c.from%40; c.from < len(c.recs) && len(b.Events) < n; c.from++ {
		ev, err := testKeys.Event(&c.recs[c.from])
		if err != nil {
			return err
		}
		b.Events, b.Lines = append(b.Events, ev), append(b.Lines, uint64(c.from)+1)
	}
	b.Detail = c
	if len(b.Events) == 0 {
		return io.EOF
	}
	return ctx.Err()
}

func (c *chopped) Record(i int, r *cdr.Record) error {
	*r = c.recs[c.last+i]
	return nil
}

func (c *chopped) Position() []byte { return fmt.Append(nil, c.from) }

// told collects alerts, as a sink does that remembers ids.
type told struct {
	mu   sync.Mutex
	list []ringwall.Alert
	ids  map[ringwall.AlertID]int
}

func (s *told) emit(_ *Parcel, as []ringwall.Alert) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[ringwall.AlertID]int{}
	}
	for _, a := range as {
		s.list = append(s.list, a)
		s.ids[a.ID]++
	}
	return nil
}

func newSet(t testing.TB, workers int, emit func(*Parcel, []ringwall.Alert) error) *Set {
	t.Helper()
	s := NewSet(SetConfig{Engine: Config{Key: []byte("test key"), Duplicates: 100_000, Adopt: true}, Workers: workers, Emit: emit, Cross: &cross.Config{Equipment: 3}})
	t.Cleanup(func() { _ = s.Close() })
	if err := s.SetCards(fleet()); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSet_saysWhatOneEngineSays: for any number of engines, the same alerts in
// the same order, the same counts, the same state.
func TestSet_saysWhatOneEngineSays(t *testing.T) {
	recs := stream(7, 4000)
	one := newEngine(t, Config{Adopt: true, Duplicates: 100_000}, fleet()...)
	var want []ringwall.Alert
	for i := range recs {
		r := recs[i]
		r.Line = uint64(i) + 1
		want = append(want, one.Record(&r).Alerts...)
	}
	var first []ringwall.Alert
	for _, workers := range []int{1, 2, 5} {
		var got told
		s := newSet(t, workers, got.emit)
		if err := Run(t.Context(), RunConfig{Set: s, Source: source(t, recs, nil)}); err != nil {
			t.Fatal(err)
		}
		var alone []ringwall.Alert
		for _, a := range got.list {
			if a.Rule != rules.Box {
				alone = append(alone, a)
			}
		}
		if d := cmp.Diff(want, alone, addrs); d != "" {
			t.Fatalf("%d engines say other things:\n%.800s", workers, d)
		}
		if workers == 1 {
			first = got.list
		}
		if d := cmp.Diff(first, got.list, addrs); d != "" || len(first) == len(want) || s.Across().Findings == 0 {
			t.Fatalf("%d engines find other things of several cards:\n%.800s", workers, d)
		}
		if d := cmp.Diff(one.Stats(), s.Stats()); d != "" {
			t.Errorf("%d engines count other things:\n%s", workers, d)
		}
		if workers == 1 && s.Hash() != one.Hash() {
			t.Error("a set of one knows other things than one")
		}
		if m := s.Memory(); m.Cards != one.Memory().Cards {
			t.Errorf("%d engines have %d cards", workers, m.Cards)
		}
		swept := make([]int, workers)
		s.Sweep(func(n int, _ *rules.Line, _ *rules.Side) bool { swept[n]++; return true })
		sum := 0
		for _, n := range swept {
			sum += n
		}
		if sum != one.Stats().Cards {
			t.Errorf("a sweep saw %d cards, want %d", sum, one.Stats().Cards)
		}
		card := cardOf(imsiNo(3))
		a, aok := one.View(card)
		b, bok := s.View(card)
		if d := cmp.Diff(a, b, cmp.AllowUnexported(rules.Said{})); d != "" || !aok || !bok {
			t.Errorf("of one card other things are known:\n%s", d)
		}
	}
}

// TestSet_waits: when nobody takes the alerts, batches wait, and nothing piles
// up.
func TestSet_waits(t *testing.T) {
	gate := make(chan struct{})
	taken := 0
	s := NewSet(SetConfig{Engine: Config{Key: []byte("test key")}, Workers: 2, Waiting: 3, Emit: func(*Parcel, []ringwall.Alert) error { <-gate; taken++; return nil }})
	defer s.Close()
	if err := s.SetCards(fleet()); err != nil {
		t.Fatal(err)
	}
	bad := rec(func(r *cdr.Record) { r.IMSI = imsiNo(0); r.IMEI = phone })
	for i := range 3 {
		p, err := s.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := *bad
		r.Time = t0.AddDate(0, 0, i)
		p.Events, p.Lines = append(p.Events, must(testKeys.Event(&r))), append(p.Lines, 1)
		s.Judge(p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("a fourth batch while three wait: %v, want to wait", err)
	}
	close(gate)
	if err := s.Flush(); err != nil || taken != 3 {
		t.Errorf("%v, %d batches of alerts were taken, want 3", err, taken)
	}
}

func TestSet_stopsWhenAlertsCannotBeTold(t *testing.T) {
	dir := t.TempDir()
	keep := must(OpenKeep(dir, nil))
	full := errors.New("no space left on device")
	s := newSet(t, 2, func(*Parcel, []ringwall.Alert) error { return full })
	if err := Run(t.Context(), RunConfig{Set: s, Source: source(t, stream(7, 4000), nil), Keep: keep}); !errors.Is(err, full) {
		t.Errorf("Run = %v, want %v", err, full)
	}
	if gens, _ := keep.list(); len(gens) != 0 {
		t.Error("there is a snapshot that covers alerts that nobody was told")
	}
}

// TestSet_registersAndForgets uses the set as a platform does, while it runs.
func TestSet_registersAndForgets(t *testing.T) {
	s := NewSet(SetConfig{Engine: Config{Key: []byte("test key")}, Workers: 3})
	defer s.Close()
	if err := s.Announce(Range{First: "460001230000000", N: 50_000, Settings: 1}); err != nil {
		t.Fatal(err)
	}
	book := must(rules.NewBook(rules.BookSpec{Version: 2, Settings: []rules.Spec{{}, {Services: []string{"data"}}}}, testKeys))
	if err := s.SetBook(book); err != nil {
		t.Fatal(err)
	}
	feed := func(imsi ringwall.IMSI) {
		p := must(s.Get(t.Context()))
		r := rec(func(r *cdr.Record) { r.IMSI = imsi; r.Service, r.Direction, r.Peer = cdr.SMS, cdr.Originated, "10086" })
		p.Events, p.Lines = append(p.Events, must(testKeys.Event(r))), append(p.Lines, 1)
		s.Judge(p)
	}
	for i := range 5 {
		feed(ringwall.IMSI(fmt.Sprint(460001230000000 + i*10_000)))
	}
	feed("460001230050000") // after the range
	if st := s.Stats(); st.Unknown != 1 || st.Cards != 5 || st.ByRule()[SIMService] != 5 {
		t.Errorf("%+v, %v; want five cards judged by settings 1, and one unknown", st, st.ByRule())
	}
	if err := s.SetCard(Card{SIM: "sim_1", IMSI: "460001230050000", Services: must(ParseServices([]string{"data", "sms"}))}); err != nil {
		t.Fatal(err)
	}
	feed("460001230050000")
	s.RemoveCard("460001230050000")
	feed("460001230050000")
	if st := s.Stats(); st.Unknown != 2 || st.Alerts != 5 {
		t.Errorf("%+v; want the card known, allowed, and unknown again", st)
	}
	for _, r := range []Range{{First: "46000x", N: 1}, {First: "460001230000000"}, {First: "460001230000000", N: 10, Dense: true}} {
		if ringwall.CodeOf(s.Announce(r)) != ringwall.Invalid {
			t.Errorf("%+v was taken", r)
		}
	}
}

// TestRun_carriesOn stops runs at random places in every way and starts again;
// what is known and told in the end is what one run knows and tells.
func TestRun_carriesOn(t *testing.T) {
	recs := stream(9, 6000)
	var want told
	whole := newSet(t, 2, want.emit)
	if err := Run(t.Context(), RunConfig{Set: whole, Source: source(t, recs, nil)}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var got told
	stops := 0
	died := errors.New("killed")
	for at := 700; ; at += 700 {
		s := newSet(t, 2, got.emit)
		keep := must(OpenKeep(dir, nil))
		r, err := keep.Restore(s)
		if err != nil {
			t.Fatal(err)
		}
		src := &chopped{recs: recs, from: must(startOf(r.Position, len(recs)))}
		saved := 0
		src.hook = func(n int) error {
			if n > at {
				if at%1400 == 0 {
					return died // the end takes a snapshot all the same
				}
				return context.Canceled
			}
			return nil
		}
		err = Run(t.Context(), RunConfig{Set: s, Source: src, Keep: keep, Every: time.Millisecond, Saved: func(v *Saving) { saved++ }})
		if err == nil {
			if s.Hash() != whole.Hash() {
				t.Error("what is known in the end is not what one run knows")
			}
			if d := cmp.Diff(whole.Stats(), s.Stats()); d != "" {
				t.Error(d)
			}
			break
		}
		if stops++; saved == 0 {
			t.Errorf("no snapshot was taken: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if stops < 5 {
		t.Errorf("the run was stopped %d times only", stops)
	}
	if len(got.ids) != len(want.ids) || len(want.ids) < 100 {
		t.Errorf("%d alerts, want %d", len(got.ids), len(want.ids))
	}
	for id := range want.ids {
		if got.ids[id] == 0 {
			t.Fatalf("alert %s was lost", id)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 2 {
		t.Errorf("the directory has %v, want two snapshots", names)
	}
	if info, err := os.Stat(filepath.Join(dir, must(os.ReadDir(dir))[0].Name(), "engine-0000")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a file that nobody else reads", info, err)
	}
}

// TestKeep_passesOverDamage: each kind of damage to the newest snapshot brings
// the one before; damage to both is told.
func TestKeep_passesOverDamage(t *testing.T) {
	recs := stream(11, 3000)
	damage := map[string]func(t *testing.T, gen string){
		"a part is cut":          func(t *testing.T, g string) { truncate(t, filepath.Join(g, "engine-0001"), 1000) },
		"a part is empty":        func(t *testing.T, g string) { truncate(t, filepath.Join(g, "engine-0000"), 0) },
		"a part is missing":      func(t *testing.T, g string) { check(t, os.Remove(filepath.Join(g, "engine-0000"))) },
		"a bit flips":            func(t *testing.T, g string) { flip(t, filepath.Join(g, "engine-0001"), 5000) },
		"the manifest is bent":   func(t *testing.T, g string) { flip(t, filepath.Join(g, manifestName), 40) },
		"the manifest is gone":   func(t *testing.T, g string) { check(t, os.Remove(filepath.Join(g, manifestName))) },
		"parts change places":    swapParts,
		"a part of another time": nil, // see below
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			keep := must(OpenKeep(dir, nil))
			s := newSet(t, 2, nil)
			check(t, Run(t.Context(), RunConfig{Set: s, Source: source(t, recs[:1000], nil), Keep: keep}))
			first := s.Hash()
			check(t, Run(t.Context(), RunConfig{Set: s, Source: &chopped{recs: recs, from: 1000}, Keep: keep}))
			gens := must(keep.list())
			if len(gens) != 2 {
				t.Fatalf("%d snapshots", len(gens))
			}
			if hurt == nil {
				b := must(os.ReadFile(filepath.Join(keep.path(gens[1]), "engine-0001")))
				check(t, os.WriteFile(filepath.Join(keep.path(gens[0]), "engine-0001"), b, 0o600))
			} else {
				hurt(t, keep.path(gens[0]))
			}
			again := newSet(t, 2, nil)
			r, err := keep.Restore(again)
			if err != nil || string(r.Position) != "1000" || len(r.Passed) != 1 || again.Hash() != first {
				t.Errorf("Restore = %q, %v, passed %v; want the snapshot before", r.Position, err, r.Passed)
			}
			truncate(t, filepath.Join(keep.path(gens[1]), "engine-0000"), 77)
			if _, err := keep.Restore(newSet(t, 2, nil)); ringwall.CodeOf(err) != ringwall.Unverified {
				t.Errorf("with both damaged: %v, want unverified", err)
			}
		})
	}
}

func TestKeep_refusesAnotherNumberOfEngines(t *testing.T) {
	keep := must(OpenKeep(t.TempDir(), nil))
	if r, err := keep.Restore(newSet(t, 2, nil)); err != nil || r.Position != nil || keep.Parts() != 0 {
		t.Fatalf("an empty directory: %+v, %v", r, err)
	}
	check(t, Run(t.Context(), RunConfig{Set: newSet(t, 2, nil), Source: source(t, stream(1, 100), nil), Keep: keep}))
	if _, err := keep.Restore(newSet(t, 3, nil)); ringwall.CodeOf(err) != ringwall.Conflict || keep.Parts() != 2 {
		t.Errorf("three engines from a snapshot of two: %v", err)
	}
	other := NewSet(SetConfig{Engine: Config{Key: []byte("another key")}, Workers: 2})
	defer other.Close()
	if _, err := keep.Restore(other); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("with another key: %v, want unverified", err)
	}
	none := NewSet(SetConfig{Workers: 2})
	defer none.Close()
	if _, err := keep.Begin(none); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a snapshot without a key: %v, want invalid", err)
	}
}

// TestSaving_abort gives a snapshot up: nothing of it stays.
func TestSaving_abort(t *testing.T) {
	dir := t.TempDir()
	keep := must(OpenKeep(dir, nil))
	s := newSet(t, 2, nil)
	v := must(keep.Begin(s))
	v.Abort()
	<-v.Ready()
	if names := must(os.ReadDir(dir)); len(names) != 0 {
		t.Errorf("%v is left", names)
	}
	check(t, Run(t.Context(), RunConfig{Set: s, Source: source(t, stream(1, 100), nil), Keep: keep}))
}

func truncate(t *testing.T, name string, size int64) { t.Helper(); check(t, os.Truncate(name, size)) }

func flip(t *testing.T, name string, at int) {
	t.Helper()
	b := must(os.ReadFile(name))
	b[at%len(b)] ^= 4
	check(t, os.WriteFile(name, b, 0o600))
}

func swapParts(t *testing.T, gen string) {
	a, b := filepath.Join(gen, "engine-0000"), filepath.Join(gen, "engine-0001")
	check(t, errors.Join(os.Rename(a, a+"x"), os.Rename(b, a), os.Rename(a+"x", b)))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
