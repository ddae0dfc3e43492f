package usage

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

const crowdCards = 60 // in each of six blocks

// crowdRecords are twelve days of a fleet that names no servers: some that all
// cards use, many that few do; on the ninth forty cards of three blocks reach one
// address, first, if it is old, on the first day.
func crowdRecords(old bool) (recs []cdr.Record) {
	r := rand.New(rand.NewPCG(4, 4))
	add := func(at time.Time, card int, peer string) {
		recs = append(recs, cdr.Record{
			Line: uint64(len(recs)) + 1, ID: fmt.Sprint("r", len(recs)), Time: at, IMSI: crowdIMSI(card), IMEI: ringwall.IMEI(fmt.Sprintf("8600000%07d0", card)), Service: cdr.Data, Peer: peer, Up: 500, Down: 700, Duration: time.Minute,
		})
	}
	const n = 30_000
	for i := range n {
		at := t0.Add(time.Duration(i) * (12 * 24 * time.Hour / n))
		peer := fmt.Sprintf("198.18.0.%d", r.IntN(5))
		if r.IntN(3) == 0 {
			peer = fmt.Sprintf("198.19.%d.%d", r.IntN(20), r.IntN(256))
		}
		add(at, r.IntN(6*crowdCards), peer)
		if old && i == 100 || i > n*9/12 && i <= n*9/12+40 {
			add(at, i%3*crowdCards+i%crowdCards, "203.0.113.77")
		}
	}
	return recs
}

// crowdIMSI puts cards into blocks that several engines share.
func crowdIMSI(card int) ringwall.IMSI {
	return ringwall.IMSI(fmt.Sprint(460007000000000 + card/crowdCards*10_000 + card%crowdCards))
}

// ragged is a source with batches of any size.
type ragged struct {
	chopped
	r *rand.Rand
	n int
}

func (c *ragged) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	c.last = c.from
	for n := 1 + c.r.IntN(c.n); n > 0 && c.from < len(c.recs); n-- {
		ev, err := testKeys.Event(&c.recs[c.from])
		if err != nil {
			return err
		}
		b.Events, b.Lines = append(b.Events, ev), append(b.Lines, c.recs[c.from].Line)
		c.from++
	}
	b.Detail = c
	if len(b.Events) == 0 {
		return io.EOF
	}
	return ctx.Err()
}

// crowdSet is a set for the fleet; bare engines do not look at servers. Every other
// card may do something of its own: what number that has differs from engine to
// engine.
func crowdSet(t *testing.T, workers int, bare bool, emit func(*Parcel, []ringwall.Alert) error) *Set {
	t.Helper()
	return crowdSetBy(t, workers, bare, rules.Spec{}, emit)
}

func crowdSetBy(t *testing.T, workers int, bare bool, spec rules.Spec, emit func(*Parcel, []ringwall.Alert) error) *Set {
	t.Helper()
	book := must(rules.NewBook(rules.BookSpec{Version: 1, Settings: []rules.Spec{{}, spec}}, testKeys))
	s := NewSet(SetConfig{Engine: Config{Key: []byte("test key"), Book: book}, Workers: workers, Emit: emit, Cross: &cross.Config{}})
	t.Cleanup(func() { _ = s.Close() })
	for block := range 6 {
		check(t, s.Announce(Range{First: crowdIMSI(block * crowdCards), N: crowdCards, Settings: 1}))
		for i := 0; i < crowdCards; i += 2 {
			own := must(ParseServices([][]string{{"data"}, {"data", "sms"}, {"data", "voice"}}[(i+block)/2%3]))
			n := block*crowdCards + i
			check(t, s.SetCard(Card{SIM: ringwall.SIMID(fmt.Sprint("sim_", n)), IMSI: crowdIMSI(n), Settings: 1, Services: own}))
		}
	}
	if bare {
		s.Each(func(_ int, e *Engine) { e.Spare(nil) })
	}
	return s
}

// crowdLockstep judges all, each parcel when what the one before told is known:
// engines are never further ahead than one.
func crowdLockstep(t *testing.T, s *Set, src *ragged) {
	t.Helper()
	for {
		p := must(s.Get(t.Context()))
		if err := src.Next(t.Context(), &p.Batch); err == io.EOF {
			s.Drop(p)
			return
		} else if err != nil {
			t.Fatal(err)
		}
		p.Detail = copied{src.recs[src.last:src.from]}
		s.Submit(p)
		check(t, s.Flush())
		s.Across()
	}
}

// TestSet_crowdIsSpared: engines that are not ahead pass over what is known to be
// usual. Those that are may tell of all of it: they ask when they please.
func TestSet_crowdIsSpared(t *testing.T) {
	recs := crowdRecords(false)
	s := crowdSet(t, 2, false, nil)
	crowdLockstep(t, s, &ragged{chopped{recs: recs}, rand.New(rand.NewPCG(1, 2)), 100})
	if st := s.Across(); st.Observations == 0 || st.Observations > uint64(len(recs))/2 {
		t.Errorf("%d observations of %d records", st.Observations, len(recs))
	}
}

// run judges all: whole parcels ahead of who delivers, as far as there are parcels.
func crowdRun(t *testing.T, s *Set, src *ragged) {
	t.Helper()
	for {
		p := must(s.Get(t.Context()))
		if err := src.Next(t.Context(), &p.Batch); err == io.EOF {
			s.Drop(p)
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.Detail = copied{src.recs[src.last:src.from]}
		s.Submit(p)
	}
	check(t, s.Flush())
}

// copied is a detail that stays.
type copied struct{ recs []cdr.Record }

func (c copied) Record(i int, r *cdr.Record) error {
	*r = c.recs[i]
	return nil
}

// TestSet_crowd: a fleet that was taken over calls home. However many engines there
// are, wherever batches end, however far engines are ahead, and when all begins anew
// from a snapshot in the middle of it, the same is found, in the same words, and the
// same is known. With engines that do not look at servers, or when the server is an
// old one, there is nothing.
func TestSet_crowd(t *testing.T) {
	boxes := func(as []ringwall.Alert) (out []ringwall.Alert) {
		for _, a := range as {
			if a.Rule == rules.Box {
				out = append(out, a)
			}
		}
		return out
	}
	recs := crowdRecords(false)
	var want []ringwall.Alert
	var state []byte
	for seed := range uint64(3) {
		for _, workers := range []int{1, 2, 4} {
			r := rand.New(rand.NewPCG(seed, uint64(workers)))
			var got told
			s := crowdSet(t, workers, false, got.emit)
			crowdRun(t, s, &ragged{chopped{recs: recs}, r, 1 + r.IntN(500)})
			found, known := boxes(got.list), must(s.saveAcross())
			if want == nil {
				want, state = found, known
			}
			if len(found) != 1 || found[0].Title != "Many SIMs suddenly reach the same peer" || found[0].Evidence.Facts["peer"] != "203.0.113.77" || found[0].Evidence.Facts["cards"] != "10" {
				t.Fatalf("found %+v", found)
			}
			if d := cmp.Diff(want, found, addrs); d != "" {
				t.Errorf("seed %d, %d engines find other things:\n%s", seed, workers, d)
			}
			if string(state) != string(known) {
				t.Errorf("seed %d, %d engines know other things", seed, workers)
			}
			st := s.Across()
			if st.Bytes == 0 || s.Memory().Across != uint64(st.Bytes) || st.Bytes > st.Most {
				t.Errorf("%d engines made %d observations of %d records; %+v", workers, st.Observations, len(recs), st)
			}
			// From a snapshot in the middle of the crowd.
			keep := must(OpenKeep(t.TempDir(), nil))
			half := crowdSet(t, workers, false, nil)
			cut := len(recs)*9/12 + r.IntN(50)
			check(t, Run(t.Context(), RunConfig{Set: half, Source: &ragged{chopped{recs: recs[:cut]}, r, 100}, Keep: keep}))
			var rest told
			again := crowdSet(t, workers, false, rest.emit)
			must(keep.Restore(again))
			crowdRun(t, again, &ragged{chopped{recs: recs, from: cut}, r, 300})
			if known := must(again.saveAcross()); string(state) != string(known) {
				t.Errorf("seed %d, %d engines that begin anew know other things", seed, workers)
			}
			for _, a := range boxes(rest.list) {
				if a.ID != want[0].ID {
					t.Errorf("who begins anew finds %+v", a)
				}
			}
		}
	}
	for name, f := range map[string]func(told *told) *Set{
		"engines that look at no servers": func(told *told) *Set {
			s := crowdSet(t, 2, true, told.emit)
			crowdRun(t, s, &ragged{chopped{recs: recs}, rand.New(rand.NewPCG(1, 1)), 400})
			return s
		},
		"a rule that is off": func(told *told) *Set {
			off := rules.Spec{Rules: map[string]api.UsageRuleSetting{rules.Box: {Off: true}}}
			s := crowdSetBy(t, 2, false, off, told.emit)
			crowdRun(t, s, &ragged{chopped{recs: recs}, rand.New(rand.NewPCG(1, 1)), 400})
			return s
		},
		"an old server": func(told *told) *Set {
			s := crowdSet(t, 2, false, told.emit)
			crowdRun(t, s, &ragged{chopped{recs: crowdRecords(true)}, rand.New(rand.NewPCG(1, 1)), 400})
			return s
		},
	} {
		var got told
		f(&got)
		if found := boxes(got.list); len(found) > 0 {
			t.Errorf("%s: found %+v", name, found)
		}
	}
}

// The bounds of what is noted of many cards follow from how many may be there.
func TestSet_acrossGrows(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Config
		x    cross.Config
		n    int
		want int64
	}{
		{"as many as there is room for", Config{MaxCards: 100_000_000}, cross.Config{}, 1000, 200_000_000},
		{"that may be adopted", Config{Adopt: true, MaxAdopted: 50_000_000}, cross.Config{}, 1000, 100_002_000},
		{"that are announced", Config{}, cross.Config{}, 90_000_000, 180_000_000},
		{"few", Config{}, cross.Config{}, 1000, 64 << 20},
		{"as it is told", Config{MaxCards: 100_000_000}, cross.Config{Bytes: 1 << 20}, 1000, 1 << 20},
	} {
		tt.c.Key = []byte("k")
		s := NewSet(SetConfig{Engine: tt.c, Workers: 2, Cross: &tt.x})
		check(t, s.Announce(Range{First: "460001230000000", N: tt.n}))
		p := must(s.Get(t.Context()))
		p.Events, p.Lines = append(p.Events, must(testKeys.Event(rec(func(r *cdr.Record) { r.IMSI = "460001230000001" })))), append(p.Lines, 1)
		s.Submit(p)
		check(t, s.Flush())
		if st := s.Across(); st.Most != tt.want || st.Observations == 0 {
			t.Errorf("%s: %+v, want at most %d bytes", tt.name, st, tt.want)
		}
		check(t, s.Close())
	}
}

// TestSet_crowdOfOtherBooks: Books come that have more settings, and fewer, in the
// middle of it; what is known is the same for any number of engines.
func TestSet_crowdOfOtherBooks(t *testing.T) {
	recs := crowdRecords(false)
	var state []byte
	for _, workers := range []int{1, 3} {
		s := crowdSet(t, workers, false, nil)
		r := rand.New(rand.NewPCG(1, uint64(workers)))
		from := 0
		for i, n := range []int{2, 6, 3, 2, 5} {
			to := len(recs) * (i + 1) / 5
			crowdRun(t, s, &ragged{chopped{recs: recs[:to], from: from}, r, 300})
			from = to
			check(t, s.SetBook(must(rules.NewBook(rules.BookSpec{Version: uint64(2 + i), Settings: make([]rules.Spec, n)}, testKeys))))
		}
		known := must(s.saveAcross())
		if state == nil {
			state = known
		}
		if string(state) != string(known) || s.Across().Findings == 0 {
			t.Errorf("%d engines know other things", workers)
		}
	}
}
