package shard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// calling is a fleet of cards in few blocks that all reach two servers, and on the
// eighth day some of each block a third.
type calling struct {
	keys *cdr.Keys
	recs []cdr.Record
	from int
	last int
}

const callBlocks, callCards = 3, 80

func callIMSI(i int) string {
	return fmt.Sprint(460009000000000 + i/callCards*10_000 + i%callCards)
}

func newCalling(keys *cdr.Keys, server string) *calling {
	c := &calling{keys: keys}
	r := rand.New(rand.NewPCG(2, 2))
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	const n = 9_000
	for i := range n {
		card, peer := r.IntN(callBlocks*callCards), fmt.Sprintf("198.18.0.%d", r.IntN(2))
		if i > n*7/10 && i <= n*7/10+60 {
			card, peer = i*7%(callBlocks*callCards), server
		}
		c.recs = append(c.recs, cdr.Record{
			ID: fmt.Sprint("r", i), Time: start.Add(time.Duration(i) * (10 * 24 * time.Hour / n)), IMSI: ringwall.IMSI(callIMSI(card)), IMEI: ringwall.IMEI(fmt.Sprintf("8600000%07d0", card)),
			Service: cdr.Data, Peer: peer, Up: 500, Down: 700, Duration: time.Minute,
		})
	}
	return c
}

// batch fills a batch with what comes next.
func (c *calling) batch(b *cdr.Batch, n int) bool {
	b.Reset()
	c.last = c.from
	for ; n > 0 && c.from < len(c.recs); n-- {
		e, err := c.keys.Event(&c.recs[c.from])
		if err != nil {
			return false
		}
		b.Events, b.Lines = append(b.Events, e), append(b.Lines, uint64(c.from)+1)
		c.from++
	}
	b.Detail = c
	return len(b.Events) > 0
}

func (c *calling) Record(i int, r *cdr.Record) error {
	*r = c.recs[c.last+i]
	return nil
}

// one is a source that has one batch.
type one struct{ b *cdr.Batch }

func (o *one) Next(_ context.Context, b *cdr.Batch) error {
	if o.b == nil {
		return io.EOF
	}
	*b, o.b = *o.b, nil
	return nil
}

func (o *one) Position() []byte { return []byte("x") }

// kindOf is the kind of a piece of what a shard is told, and its length.
func kindOf(b []byte) (kind byte, size int) { return b[1+24], 1 + int(b[0]) }

// judged is what shards say of the fleet, and how many bytes they tell each other.
// What they tell comes late, and some of it twice; some shards begin anew from
// their last snapshot in the middle. keep says which kinds of telling arrive.
func judged(t *testing.T, server string, shards int, seed uint64, keep func(kind byte) bool) (alerts map[ringwall.AlertID]ringwall.Alert, told int) {
	t.Helper()
	key := []byte("a key of an operator, 32 bytes..")
	keys := usage.KeysOf(key)
	book, err := rules.NewBook(rules.BookSpec{Version: 1, Settings: []rules.Spec{{}, {}}}, keys)
	if err != nil {
		t.Fatal(err)
	}
	made := func(n int) *shard.Engine {
		return shard.NewEngine(shard.EngineConfig{Usage: usage.Config{Key: key, Keys: keys, Book: book, Duplicates: 1 << 15}, Shard: n, Shards: shards})
	}
	r := rand.New(rand.NewPCG(seed, 1))
	var control shard.Control
	for b := range callBlocks {
		control.Ranges = append(control.Ranges, shard.ControlRange{First: callIMSI(b * callCards), N: callCards, Settings: 1})
	}
	for i := range callBlocks * callCards {
		control.Set = append(control.Set, shard.ControlCard{SIM: ringwall.SIMID(fmt.Sprint("sim_", i)), Org: ringwall.OrgID(fmt.Sprint("org_", i%2)), IMSI: callIMSI(i), Settings: 1, Services: [][]string{nil, nil, {"data"}, {"data", "sms"}}[(i/callCards+i)%4]})
	}
	said, err := json.Marshal(control)
	if err != nil {
		t.Fatal(err)
	}
	engines := make([]*shard.Engine, shards)
	logs := make([][][]byte, shards) // of each, what it was told and has not taken
	alerts = map[ringwall.AlertID]ringwall.Alert{}
	apply := func(s int, e shard.Entry) {
		var out shard.Output
		if err := engines[s].Apply(&e, 0, &out); err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Alerts {
			alerts[a.ID] = a
		}
		for to, b := range out.Seen {
			told += len(b)
			var pass []byte
			for len(b) > 0 {
				kind, n := kindOf(b)
				if keep(kind) {
					pass = append(pass, b[:n]...)
				}
				b = b[n:]
			}
			if len(pass) > 0 {
				logs[to] = append(logs[to], pass)
				if r.IntN(4) == 0 {
					logs[to] = append(logs[to], pass)
				}
			}
		}
	}
	for s := range engines {
		engines[s] = made(s)
		e, _ := shard.Own(shard.Entry{Kind: shard.Cards, Payload: said}, s, shards)
		apply(s, e)
	}
	defer func() {
		for _, e := range engines {
			e.Usage().Close()
		}
	}()
	src := newCalling(keys, server)
	var b cdr.Batch
	for round := 0; src.batch(&b, 1+r.IntN(cdr.MaxBatch)); round++ {
		cut, err := shard.NewCut(t.Context(), 5, shards, nil, func([]byte) (cdr.Source, error) { return &one{&b}, nil })
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := cut.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			apply(p.Shard, shard.Entry{Kind: shard.Records, Payload: slices.Clone(p.Payload)})
		}
		cut.Close()
		for s := range logs {
			if r.IntN(3) == 0 {
				continue // it is slow
			}
			list := logs[s]
			logs[s] = nil
			for _, p := range list {
				apply(s, shard.Entry{Kind: shard.Seen, Payload: p})
			}
		}
		if s := r.IntN(shards); round%9 == 8 {
			var file bytes.Buffer
			if err := engines[s].Snapshot(&file, []byte("here")); err != nil {
				t.Fatal(err)
			}
			engines[s].Usage().Close()
			engines[s] = made(s)
			if p, err := engines[s].Restore(&file); err != nil || string(p) != "here" {
				t.Fatal(string(p), err)
			}
		}
	}
	for busy := true; busy; {
		busy = false
		for s := range logs {
			list := logs[s]
			logs[s], busy = nil, busy || len(list) > 0
			for _, p := range list {
				apply(s, shard.Entry{Kind: shard.Seen, Payload: p})
			}
		}
	}
	return alerts, told
}

// TestEngine_crowd: a fleet that was taken over calls home. Shards find what one machine finds, whichever of them looks after that
// server, and however late they hear of each other. When shards do not tell each
// other since when there are cards of these settings, most find nothing: to them the
// settings are new.
func TestEngine_crowd(t *testing.T) {
	all := func(byte) bool { return true }
	ids := func(m map[ringwall.AlertID]ringwall.Alert) (out []string) {
		for id, a := range m {
			if a.Rule == rules.Box {
				out = append(out, string(id))
			}
		}
		slices.Sort(out)
		return out
	}
	deaf := 0
	for n := range 4 {
		server := fmt.Sprintf("203.0.113.%d", n)
		want, none := judged(t, server, 1, 1, all)
		if len(ids(want)) != 4 || none != 0 {
			t.Fatalf("one machine says %v, want a crowd, then a large one, to both whom it concerns", slices.Collect(maps.Values(want)))
		}
		for _, a := range want {
			if a.Rule == rules.Box && a.Evidence.Facts["peer"] != server {
				t.Errorf("%+v", a)
			}
		}
		got, told := judged(t, server, 5, uint64(n), all)
		if d := cmp.Diff(ids(want), ids(got)); d != "" {
			t.Errorf("%s: five shards find other things:\n%s", server, d)
		}
		if n > 0 {
			// once is enough
		} else if _, more := judged(t, server, 5, uint64(n), func(k byte) bool { return k != 3 }); told > more*9/10 {
			t.Errorf("%s: shards tell each other %d bytes, and %d when they do not spare each other what is usual", server, told, more)
		}
		if got, _ := judged(t, server, 5, uint64(n), func(k byte) bool { return k <= 3 }); len(ids(got)) == 0 {
			deaf++
		}
	}
	if deaf < 1 {
		t.Errorf("shards that do not hear of each other miss %d of 4 crowds: that they hear proves nothing", deaf)
	}
	if got, _ := judged(t, "198.18.0.0", 5, 1, all); len(ids(got)) > 0 {
		t.Errorf("at a server that they always reach: %v", got)
	}
}

// FuzzEngine_seen takes anything for what another shard saw: it is taken or refused,
// and what is known then can be kept and read.
func FuzzEngine_seen(f *testing.F) {
	f.Add([]byte{})
	one := append([]byte{26}, make([]byte, 26)...)
	for kind := range byte(8) {
		one[25] = kind
		f.Add(slices.Clone(one))
		f.Add(append(slices.Clone(one), one[:20]...))
	}
	one[26] = 200
	f.Add(one)
	key := []byte("a key of an operator, 32 bytes..")
	f.Fuzz(func(t *testing.T, b []byte) {
		e := shard.NewEngine(shard.EngineConfig{Usage: usage.Config{Key: key, Duplicates: 16}, Shard: 1, Shards: 3})
		defer e.Usage().Close()
		var out shard.Output
		if err := e.Apply(&shard.Entry{Kind: shard.Seen, Payload: b}, 0, &out); err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := e.Snapshot(&file, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Restore(&file); err != nil {
			t.Fatal(err)
		}
	})
}
