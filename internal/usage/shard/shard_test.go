package shard_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/shard"
	"github.com/ringwall/ringwall/internal/usage/shard/shardtest"
)

func TestMem_conforms(t *testing.T) {
	m := shardtest.NewMem()
	m.TTL = 200 * time.Millisecond
	shardtest.Conform(t, m, m.TTL)
}

// book is a feed of uses: line n is of card draw(n). A restart goes on at the
// last saved line; turns end at other lines each time.
type book struct {
	shards int
	total  uint64
	next   uint64
	rng    *rand.Rand
	more   func() bool // whether the second half may come
}

func draw(n uint64) uint64 { return (n * 2654435761 >> 7) % 97 }

func (f *book) Source() uint64   { return 77 }
func (f *book) Position() []byte { return shardtest.Uses(f.next) }
func (f *book) Next(context.Context) ([]shard.Piece, error) {
	if f.next > f.total {
		return nil, io.EOF
	}
	if f.next > f.total/2 && !f.more() {
		time.Sleep(time.Millisecond)
		return nil, nil
	}
	pieces := map[int]*shard.Piece{}
	for end := min(f.total, f.next+uint64(f.rng.IntN(40))); f.next <= end; f.next++ {
		card := draw(f.next)
		p := pieces[int(card)%f.shards]
		if p == nil {
			p = &shard.Piece{Shard: int(card) % f.shards, First: f.next}
			pieces[p.Shard] = p
		}
		p.Last, p.Payload = f.next, append(p.Payload, shardtest.Uses(f.next, card)...)
	}
	var all []shard.Piece
	for _, p := range pieces {
		all = append(all, *p)
	}
	return all, nil
}

// mortal is what a machine sees of a cluster until it dies: then nothing it does
// arrives. Some of what arrives is not told to it.
type mortal struct {
	*shardtest.Mem
	dead *atomic.Bool
	mu   *sync.Mutex
	rng  *rand.Rand
}

var errDead = ringwall.Errorf(ringwall.Unavailable, "this machine is dead")

func (m mortal) alive() error {
	if m.dead.Load() {
		return errDead
	}
	return nil
}

// forgets is whether an answer is lost on its way.
func (m mortal) forgets() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(60) == 0
}

func (m mortal) Append(ctx context.Context, s int, e []byte) (uint64, error) {
	if err := m.alive(); err != nil {
		return 0, err
	}
	seq, err := m.Mem.Append(ctx, s, e)
	if err == nil && m.forgets() {
		return 0, ringwall.Errorf(ringwall.Unavailable, "the answer was lost")
	}
	return seq, err
}

func (m mortal) Read(ctx context.Context, s int, from uint64, f func(uint64, []byte) error, idle func() error) error {
	return m.Mem.Read(ctx, s, from, func(seq uint64, e []byte) error {
		if err := m.alive(); err != nil {
			return err
		}
		return f(seq, e)
	}, func() error {
		if err := m.alive(); err != nil {
			return err
		}
		return idle()
	})
}

func (m mortal) Join(ctx context.Context, n string) (int, error) {
	if err := m.alive(); err != nil {
		return 0, err
	}
	return m.Mem.Join(ctx, n)
}

func (m mortal) Renew(ctx context.Context, l shard.Lease, n string) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Mem.Renew(ctx, l, n)
}

func (m mortal) Release(ctx context.Context, l shard.Lease, n string) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Mem.Release(ctx, l, n)
}

func (m mortal) Leave(ctx context.Context, n string) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Mem.Leave(ctx, n)
}

func (m mortal) Put(ctx context.Context, l shard.Lease, seq uint64, w func(io.Writer) error) (uint64, error) {
	if err := m.alive(); err != nil {
		return 0, err
	}
	before, err := m.Mem.Put(ctx, l, seq, w)
	if err == nil && m.forgets() {
		return 0, ringwall.Errorf(ringwall.Unavailable, "the answer was lost")
	}
	return before, err
}

func (m mortal) Alerts(ctx context.Context, s int, a []ringwall.Alert) error {
	if err := m.alive(); err != nil {
		return err
	}
	if err := m.Mem.Alerts(ctx, s, a); err != nil || m.forgets() {
		return errors.Join(err, errDead)
	}
	return nil
}

// state reads what is known of every shard from its last snapshot and the log
// behind it.
func state(t *testing.T, m *shardtest.Mem, shards int) (cards map[uint64]uint64, seen map[uint64]bool) {
	t.Helper()
	cards, seen = map[uint64]uint64{}, map[uint64]bool{}
	for s := range shards {
		k := shardtest.NewTally(shards)(s).(*shardtest.Tally)
		err := m.Get(t.Context(), s, func(_ uint64, r io.Reader) error { _, err := k.Restore(r); return err })
		if err != nil && ringwall.CodeOf(err) != ringwall.NotFound {
			t.Fatalf("shard %d: %v", s, err)
		}
		for c, n := range k.Cards {
			cards[c] = n
		}
		for c := range k.Told {
			seen[c] = true
		}
	}
	return cards, seen
}

// TestNode_deathsLoseAndRepeatNothing lets machines die, without a word and at any
// moment, while a feed that dies as well goes on: what is known in the end and
// what was said is what one machine that never died knows and says.
func TestNode_deathsLoseAndRepeatNothing(t *testing.T) {
	const shards, total = 5, 12_000
	wantCards, wantSaid, wantSeen := map[uint64]uint64{}, map[ringwall.AlertID]bool{}, map[uint64]bool{}
	for n := uint64(1); n <= total; n++ {
		c := draw(n)
		if wantCards[c]++; wantCards[c]%10 == 0 {
			wantSaid[ringwall.AlertID(fmt.Sprintf("alr_%d_%d", c, wantCards[c]))] = true
			wantSeen[c<<16|wantCards[c]] = true
		}
	}

	mem := shardtest.NewMem()
	mem.TTL = 60 * time.Millisecond
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var saved atomic.Uint64
	saved.Store(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var deaths, lives atomic.Int64
	enough := func() bool { return deaths.Load() >= 15 }
	// The feed, dying too.
	fed := make(chan struct{})
	feedRng := rand.New(rand.NewPCG(seed, 2))
	go func() {
		defer close(fed)
		for life := 0; ctx.Err() == nil; life++ {
			end, die := context.WithTimeout(ctx, time.Duration(5+feedRng.IntN(60))*time.Millisecond)
			if life > 40 {
				end, die = context.WithCancel(ctx)
			}
			f := &book{shards: shards, total: total, next: saved.Load(), rng: rand.New(rand.NewPCG(seed, uint64(3+life))), more: enough}
			alive := mortal{mem, new(atomic.Bool), &sync.Mutex{}, rand.New(rand.NewPCG(seed, uint64(1000+life)))}
			g := shard.Ingest{Log: alive, Shards: shards, Every: 10 * time.Millisecond, Pause: time.Millisecond, Save: func(_ context.Context, _ uint64, p []byte) error {
				if end.Err() != nil && life%2 == 0 {
					return nil // it died before it could
				}
				saved.Store(binary.BigEndian.Uint64(p))
				return nil
			}}
			err := g.Run(end, f)
			die()
			if err == nil && f.next > total && saved.Load() > total {
				return
			}
		}
	}()

	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
			for life := 0; ctx.Err() == nil; life++ {
				dead := new(atomic.Bool)
				b := mortal{mem, dead, &sync.Mutex{}, rand.New(rand.NewPCG(seed, uint64(2000+100*i+life)))}
				n, err := shard.NewNode(shard.Config{
					Name: fmt.Sprintf("n%d-%d", i, life), Shards: shards, Log: b, Leases: b, Store: b, Sink: b, Machine: shardtest.NewTally(shards),
					Every: 5 * time.Millisecond, Renew: 8 * time.Millisecond, HandOver: time.Second,
				})
				if err != nil {
					t.Error(err)
					return
				}
				lives.Add(1)
				run, stop := context.WithCancel(ctx)
				kill := time.AfterFunc(time.Duration(20+rng.IntN(150))*time.Millisecond, func() {
					if life < 25 {
						if rng.IntN(3) > 0 { // else it hands over in good order
							dead.Store(true)
							deaths.Add(1)
						}
						stop()
					}
				})
				_ = n.Run(run)
				kill.Stop()
				stop()
			}
		})
	}
	<-fed
	settled(t, mem, shards, wantCards, wantSaid, wantSeen)
	cancel()
	wg.Wait()
	t.Logf("%d machines lived, %d of them died without a word", lives.Load(), deaths.Load())
	cards, seen := state(t, mem, shards)
	if d := cmp.Diff(wantCards, cards); d != "" {
		t.Errorf("what is known of cards differs from one machine's:\n%s", d)
	}
	if d := cmp.Diff(wantSeen, seen); d != "" {
		t.Errorf("what shards were told differs:\n%s", d)
	}
	said := mem.Said()
	for id := range wantSaid {
		if said[id] == 0 {
			t.Errorf("alert %s was never said", id)
		}
		delete(said, id)
	}
	if len(said) > 0 {
		t.Errorf("%d alerts were said that one machine does not say: %v", len(said), said)
	}
}

// settled waits until all was taken.
func settled(t *testing.T, mem *shardtest.Mem, shards int, cards map[uint64]uint64, said map[ringwall.AlertID]bool, seen map[uint64]bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if len(mem.Said()) >= len(said) {
			gotCards, gotSeen := state(t, mem, shards)
			if reflect.DeepEqual(gotCards, cards) && reflect.DeepEqual(gotSeen, seen) {
				return
			}
		}
		if time.Now().After(end) {
			return // the comparison says what is missing
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	e := shard.Entry{Kind: shard.Records, Source: 1, First: 2, Last: 3, Payload: []byte("x")}
	f.Add(e.Append(nil))
	f.Add([]byte{1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := shard.ParseEntry(b)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.Append(nil), b) {
			t.Fatalf("%x reads as %+v, which is written otherwise", b, e)
		}
	})
}

func TestParseEntry_refuses(t *testing.T) {
	e := shard.Entry{Kind: shard.Records, Source: 9, First: 2, Last: 3, Payload: []byte("payload")}
	good := e.Append(nil)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x41
		if _, err := shard.ParseEntry(bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("with byte %d changed: %v, want an invalid error", i, err)
		}
	}
	for n := range good {
		if _, err := shard.ParseEntry(good[:n]); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("cut to %d bytes: %v, want an invalid error", n, err)
		}
	}
}
