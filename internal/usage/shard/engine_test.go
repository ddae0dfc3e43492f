package shard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/shard"
	"github.com/ringwall/ringwall/internal/usage/shard/shardtest"
)

// world is a small fleet with misuse in it, and what its operator knows.
type world struct {
	*gen.World
	key   []byte
	keys  *cdr.Keys
	areas *rules.Areas
	book  *rules.Book
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{key: []byte("a key of an operator, 32 bytes..")}
	w.keys = usage.KeysOf(w.key)
	var err error
	if w.World, err = gen.New(gen.Config{Seed: 7, Cards: 600, Days: 5, Start: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Plain: true, Keys: w.keys}); err != nil {
		t.Fatal(err)
	}
	if w.areas, err = rules.NewAreas(w.Places(), w.keys); err != nil {
		t.Fatal(err)
	}
	spec := w.Book()
	spec.Version = 1
	if w.book, err = rules.NewBook(spec, w.keys); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) engine(book *rules.Book, n, of int) *shard.Engine {
	return shard.NewEngine(shard.EngineConfig{
		Usage: usage.Config{Key: w.key, Keys: w.keys, Book: book, Areas: w.areas, Duplicates: 1 << 14}, Shard: n, Shards: of,
	})
}

// said is what is said of the cards: their ranges, and one card by name.
func (w *world) said() shard.Control {
	var c shard.Control
	for _, cu := range w.Customers() {
		c.Ranges = append(c.Ranges, shard.ControlRange{First: strconv.FormatUint(w.FirstNumber(cu), 10)[1:], N: cu.Cards, Settings: cu.Settings()})
	}
	c.Set = []shard.ControlCard{{SIM: "sim_1", Org: "org_a", IMSI: c.Ranges[0].First, Settings: c.Ranges[0].Settings, Services: []string{"voice"}}}
	return c
}

// entries is what an operator's books say, as entries of every shard.
func (w *world) entries(t testing.TB) (all [][]byte) {
	t.Helper()
	var book bytes.Buffer
	if err := w.book.Encode(&book); err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(w.said())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []shard.Entry{{Kind: shard.Settings, Payload: book.Bytes()}, {Kind: shard.Cards, Payload: said}} {
		all = append(all, e.Append(nil))
	}
	return all
}

// TestEngine_machinesThatDieSayWhatOneSays judges a world on one engine, then on
// shards of machines that die at random, with a source that dies too: alerts and
// state are the same.
func TestEngine_machinesThatDieSayWhatOneSays(t *testing.T) {
	const shards = 4
	w := newWorld(t)
	one := w.engine(w.book, 0, 1)
	defer one.Usage().Close()
	var out shard.Output
	said, err := json.Marshal(w.said())
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Apply(&shard.Entry{Kind: shard.Cards, Payload: said}, 0, &out); err != nil {
		t.Fatal(err)
	}
	cut, err := shard.NewCut(t.Context(), 5, 1, nil, func([]byte) (cdr.Source, error) { return w.Source(), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	for {
		pieces, err := cut.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			if err := one.Apply(&shard.Entry{Kind: shard.Records, Payload: p.Payload}, 0, &out); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[ringwall.AlertID]ringwall.Alert{}
	for _, a := range out.Alerts {
		want[a.ID] = a
	}
	if len(want) < 50 {
		t.Fatalf("the world gives %d alerts, too few to prove anything", len(want))
	}
	total := one.Usage().Stats()

	mem := shardtest.NewMem()
	mem.TTL = 400 * time.Millisecond
	for _, e := range w.entries(t) {
		for s := range shards {
			if _, err := mem.Append(t.Context(), s, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d; %d alerts of %d records", seed, len(want), total.Records)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var deaths atomic.Int64
	var wg sync.WaitGroup
	var sum struct {
		sync.Mutex
		said map[ringwall.AlertID]ringwall.Alert
	}
	sum.said = map[ringwall.AlertID]ringwall.Alert{}
	for i := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for life := 0; ctx.Err() == nil; life++ {
				dead := new(atomic.Bool)
				b := mortal{mem, dead, &sync.Mutex{}, rand.New(rand.NewPCG(seed, uint64(100*i+life)))}
				n, err := shard.NewNode(shard.Config{
					Name: fmt.Sprintf("n%d-%d", i, life), Shards: shards, Log: b, Leases: b, Store: b, Sink: noting{b, func(all []ringwall.Alert) {
						sum.Lock()
						defer sum.Unlock()
						for _, a := range all {
							sum.said[a.ID] = a
						}
					}},
					Machine: func(n int) shard.Machine { return w.engine(nil, n, shards) },
					Every:   60 * time.Millisecond, Renew: 60 * time.Millisecond, HandOver: 5 * time.Second,
				})
				if err != nil {
					t.Error(err)
					return
				}
				run, stop := context.WithCancel(ctx)
				kill := time.AfterFunc(time.Duration(100+rng.IntN(400))*time.Millisecond, func() {
					if life < 5 {
						dead.Store(true)
						deaths.Add(1)
						stop()
					}
				})
				_ = n.Run(run)
				kill.Stop()
				stop()
			}
		})
	}
	// The source, cut, in lives of a few turns.
	var place []byte
	for lives, done := 1, false; !done; lives++ {
		cut, err := shard.NewCut(ctx, 5, shards, place, func(p []byte) (cdr.Source, error) {
			s := w.Source()
			if len(p) > 0 {
				return s, s.Resume(ctx, p)
			}
			return s, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		life, end := context.WithTimeout(ctx, time.Duration(lives)*300*time.Millisecond)
		g := shard.Ingest{Log: mem, Shards: shards, Every: 20 * time.Millisecond, Save: func(_ context.Context, _ uint64, p []byte) error { place = p; return nil }}
		err = g.Run(life, cut)
		done = err == nil && life.Err() == nil
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		end()
		cut.Close()
	}
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left := 0
		for s := range shards {
			left += mem.Left(s)
		}
		if left == 0 && deaths.Load() >= 6 {
			break
		}
	}
	cancel()
	wg.Wait()
	t.Logf("%d machines died", deaths.Load())
	for id, a := range want {
		g, ok := sum.said[id]
		if !ok {
			t.Errorf("never said: %s of %s (%s)", a.Rule, a.Subject.ID, a.Time)
			continue
		}
		if a.Rule == rules.Box { // which cards made the crowd full depends on who was heard first
			g.Time, g.Subject, g.Evidence.Facts = a.Time, a.Subject, a.Evidence.Facts
		}
		if g.Rule != a.Rule || !g.Time.Equal(a.Time) || g.Severity != a.Severity || g.Subject != a.Subject || fmt.Sprint(g.Evidence.Facts) != fmt.Sprint(a.Evidence.Facts) {
			t.Errorf("one machine says %+v, many %+v", a, g)
		}
	}
	for id, a := range sum.said {
		if _, ok := want[id]; !ok {
			t.Errorf("only many say: %s of %s (%s)", a.Rule, a.Subject.ID, a.Time)
		}
	}
	// What is known of each card is the same too.
	known := map[uint64]rules.View{}
	for s := range shards {
		m := w.engine(nil, s, shards)
		if err := mem.Get(t.Context(), s, func(_ uint64, r io.Reader) error { _, err := m.Restore(r); return err }); err != nil {
			t.Fatal(err)
		}
		m.Usage().Sweep(func(l *rules.Line, _ *rules.Side) bool {
			v, _ := m.Usage().View(l.Card)
			known[l.Card] = v
			return true
		})
		m.Usage().Close()
	}
	cards := 0
	one.Usage().Sweep(func(l *rules.Line, _ *rules.Side) bool {
		cards++
		v, _ := one.Usage().View(l.Card)
		if fmt.Sprint(v) != fmt.Sprint(known[l.Card]) {
			t.Errorf("of a card one machine knows %+v, many %+v", v, known[l.Card])
		}
		return cards < 100_000 && !t.Failed()
	})
	if cards < 400 {
		t.Errorf("%d cards are known", cards)
	}
}

// noting is a sink that shows what it keeps.
type noting struct {
	mortal
	note func([]ringwall.Alert)
}

func (n noting) Alerts(ctx context.Context, s int, all []ringwall.Alert) error {
	n.note(all)
	return n.mortal.Alerts(ctx, s, all)
}
