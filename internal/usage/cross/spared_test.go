package cross_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// fleetEvents are events of cards without a list of servers: some servers that all
// use, many that few do, months without anything, clocks that are wrong by months,
// and crowds at servers that are new.
func fleetEvents(seed uint64, n int) (all []cdr.Event) {
	r := rand.New(rand.NewPCG(seed, 1))
	at := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC).Unix()
	crowd := 0
	for i := range n {
		switch k := r.IntN(20_000); {
		case k == 0 && i > n/8:
			at += int64(r.IntN(70)) * 86400
		case k < 40:
			at += int64(r.IntN(86400))
		default:
			at += int64(r.IntN(20))
		}
		if r.IntN(2000) == 0 {
			crowd = 30
		}
		e := cdr.Event{Card: 1_460_001_230_000_000 + uint64(r.IntN(400)), ID: uint64(i) + 1, Sec: uint32(at), Use: cdr.NewUse(cdr.Data, cdr.Originated, 30, 0), Volume: 1000}
		switch k := r.IntN(10); {
		case crowd > 0:
			crowd--
			e.Peer = cdr.AddressPeer(203<<24 | uint32(i/400))
		case k < 6:
			e.Peer = cdr.AddressPeer(198<<24 | uint32(r.IntN(4)))
		default:
			e.Peer = cdr.AddressPeer(10<<24 | uint32(r.IntN(1<<14)))
		}
		if r.IntN(300) == 0 {
			e.Sec -= uint32(r.IntN(80) * 86400)
		}
		all = append(all, e)
	}
	return all
}

// pipe judges events ahead of the table, by as many as lag says, as engines do.
func pipe(t *testing.T, events []cdr.Event, bytes int64, usual *rules.Usual, lag func() int) (*cross.Table, []string, int) {
	t.Helper()
	book, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{{}, {}}}, cdr.NewKeys([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	env := rules.Env{Book: book, Side: rules.NewSide(0), Usual: usual}
	c := cross.Config{Bytes: bytes}
	if env.Usual == nil {
		env.Usual = &rules.Usual{} // which nobody fills: nothing is spared
	} else {
		c.Usual = usual
	}
	table := cross.New(c)
	lines := map[uint64]*rules.Line{}
	var said []string
	var obs []cross.Observation
	given := 0
	for len(events) > 0 {
		n := min(lag(), len(events))
		obs = obs[:0]
		for i := range events[:n] {
			e := &events[i]
			l := lines[e.Card]
			if l == nil {
				l = &rules.Line{Card: e.Card}
				l.SetSettings(uint32(e.Card % 2))
				lines[e.Card] = l
			}
			obs = cross.Collect(obs, l.Settings(), e, rules.Step(l, book.Settings(l.Settings()), e, &env))
		}
		events = events[n:]
		given += len(obs)
		for _, o := range obs {
			if f, ok := table.Observe(o); ok {
				said = append(said, fmt.Sprintf("%+v", f))
			}
		}
	}
	return table, said, given
}

// What Usual spares would have changed nothing: however far whoever judges is ahead
// of the table, findings and every byte of its state are the same, also when memory
// is short.
func TestUsual_changesNothing(t *testing.T) {
	for _, size := range []int64{256 << 10, 4 << 20} {
		for seed := range uint64(3) {
			events := fleetEvents(seed, 60_000)
			r := rand.New(rand.NewPCG(seed, 2))
			state := func(tb *cross.Table) []byte {
				var b bytes.Buffer
				if err := tb.Snapshot(&b); err != nil {
					t.Fatal(err)
				}
				return b.Bytes()
			}
			want, said, all := pipe(t, events, size, nil, func() int { return 1 })
			if len(said) < 10 {
				t.Fatalf("only %d findings: they prove nothing", len(said))
			}
			for name, lag := range map[string]func() int{
				"none": func() int { return 1 }, "a batch": func() int { return 512 }, "some": func() int { return 1 + r.IntN(3000) }, "much": func() int { return 25_000 },
			} {
				got, other, given := pipe(t, events, size, &rules.Usual{}, lag)
				if d := cmp.Diff(said, other); d != "" {
					t.Fatalf("%d bytes, seed %d, ahead by %s, other things are found:\n%s", size, seed, name, d)
				}
				if !bytes.Equal(state(want), state(got)) {
					t.Fatalf("%d bytes, seed %d, ahead by %s, the state is another", size, seed, name)
				}
				if given >= all || name == "a batch" && given > all*3/4 {
					t.Errorf("ahead by %s: of %d observations %d were made: nothing is spared", name, all, given)
				}
			}
			t.Logf("%d observations, %d findings, %+v", all, len(said), want.Stats())
		}
	}
}
