package gen

import (
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// A source that is resumed gives what the first one would have given.
func TestSource_Resume(t *testing.T) {
	w := world(t, Config{Seed: 5, Cards: 300, Days: 6})
	s := w.Source()
	var want, got []cdr.Event
	var at []byte
	n := 0
	all(t, s, func(b *cdr.Batch) {
		if n++; n == 7 {
			at = s.Position()
		}
		if n > 7 {
			want = append(want, b.Events...)
		}
	})
	again := w.Source()
	if err := again.Resume(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	all(t, again, func(b *cdr.Batch) { got = append(got, b.Events...) })
	if len(want) == 0 || !slices.Equal(want, got) {
		t.Errorf("resumed, it gives %d records, want %d", len(got), len(want))
	}
	if err := w.Source().Resume(t.Context(), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err == nil {
		t.Error("a position past the end is taken")
	}
}

// Parts together are the whole.
func TestWorld_Part(t *testing.T) {
	w := world(t, Config{Seed: 5, Cards: 300, Days: 4})
	sum := func(of int) (n int, x uint64) {
		for i := range of {
			all(t, w.Part(i, of), func(b *cdr.Batch) {
				for _, e := range b.Events {
					n++
					x += mix(e.Card ^ e.ID ^ uint64(e.Sec)<<20)
				}
			})
		}
		return n, x
	}
	n, x := sum(1)
	if m, y := sum(3); n != m || x != y {
		t.Errorf("three parts have %d records, the whole %d", m, n)
	}
}

// Cards and their keys are one to one, and numbers of nobody are known as such.
func TestWorld_CardOf(t *testing.T) {
	w := world(t, Config{Seed: 1, Cards: 25_000, Days: 1})
	seen := map[uint64]bool{}
	for card := range uint32(25_000) {
		k := w.CardKey(card)
		if seen[k] {
			t.Fatalf("key %d is there twice", k)
		}
		seen[k] = true
		if got, ok := w.CardOf(k); !ok || got != card {
			t.Fatalf("CardOf(CardKey(%d)) = %d, %v", card, got, ok)
		}
	}
	for _, k := range []uint64{0, imsiBase, w.CardKey(24_999) + 1, 1 << 62} {
		if card, ok := w.CardOf(k); ok {
			t.Errorf("CardOf(%d) = %d", k, card)
		}
	}
}

// The books of a world are such as the rules take, and the truth can be in it.
func TestWorld_booksAndTruth(t *testing.T) {
	w := world(t, Config{Seed: 9, Cards: 5000, Days: 30})
	if _, err := rules.NewBook(w.Book(), w.Config().Keys); err != nil {
		t.Error(err)
	}
	if _, err := rules.NewAreas(w.Places(), w.Config().Keys); err != nil {
		t.Error(err)
	}
	known := map[string]bool{rules.Box: true}
	for _, r := range rules.All() {
		known[r.Name] = true
	}
	ids := map[uint64]bool{}
	all(t, w.Source(), func(b *cdr.Batch) {
		for i := range b.Events {
			ids[b.Events[i].ID] = true
		}
	})
	clear, kinds := 0, map[string]bool{}
	for _, x := range w.Truth() {
		if _, ok := w.CardOf(x.Card); !ok {
			t.Errorf("%s is about a card that nobody has", x.Kind)
		}
		for _, r := range x.Rules {
			if !known[r] {
				t.Errorf("%s must be found by rule %q, which there is not", x.Kind, r)
			}
		}
		if x.Ambiguous != "" {
			continue
		}
		clear++
		kinds[x.Kind] = true
		if x.ByRecord == "" {
			continue
		}
		found := false
		for _, k := range append([]uint64{x.Card}, x.Cards...) {
			found = found || ids[w.Config().Keys.IDKey(k, []byte(x.ByRecord))]
		}
		if !found {
			t.Errorf("%s must be found by a record that never comes", x.Kind)
		}
	}
	if want := len(w.recipes()); len(kinds) < want {
		t.Errorf("%d kinds of misuse in %d cases, want %d", len(kinds), clear, want)
	}
}

// What is in the truth as misuse is misuse by the operator's books: it is not what
// they allow. Of a world as long as it takes, some is: nobody could tell that.
func TestWorld_allowedIsNoMisuse(t *testing.T) {
	allowed := map[string]int{}
	for seed := range uint64(12) {
		w := world(t, Config{Seed: seed, Cards: 20_000, Days: 45})
		rows := map[uint64][]*row{}
		for i := range w.extra {
			r := &w.extra[i]
			key := w.CardKey(r.card)
			rows[key] = append(rows[key], r)
		}
		for _, x := range w.Truth() {
			card, _ := w.CardOf(x.Card)
			cu := w.CustomerOf(card)
			var ok bool
			switch x.Kind {
			case "used at night":
				for _, n := range w.Windows() {
					for _, r := range rows[x.Card] {
						ok = ok || n.Customer == cu.index && r.at >= n.From && r.at < n.To
					}
				}
			case "over its quota of bytes":
				first, last := rows[x.Card][0], rows[x.Card][len(rows[x.Card])-1]
				turn := time.Unix(last.at, 0).UTC()
				before, after := uint64(0), uint64(0)
				for _, r := range rows[x.Card] {
					if r.at < time.Date(turn.Year(), turn.Month(), 1, 0, 0, 0, 0, time.UTC).Unix() {
						before += r.up + r.down
					} else {
						after += r.up + r.down
					}
				}
				ok = first.at < last.at && before <= cu.Tariff.MonthBytes && after <= cu.Tariff.MonthBytes
			default:
				continue
			}
			if ok {
				allowed[x.Kind]++
			}
			if ok != (x.Ambiguous != "") {
				t.Errorf("seed %d: %s, allowed %v: %q", seed, x.Kind, ok, x.Ambiguous)
			}
		}
	}
	if len(allowed) < 2 {
		t.Errorf("there was only %v to try", allowed)
	}
	t.Log(allowed)
}

func TestNew_refuses(t *testing.T) {
	for _, c := range []Config{{Cards: 1, Days: 1}, {Cards: MaxCards + 1, Days: 1}, {Cards: 100}, {Cards: 100, Days: MaxDays + 1}, {Cards: 100, Days: 1, Misuse: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v) makes a world", c)
		}
	}
}

// A hundred million cards cost a bit each, and no list of anything.
func TestNew_large(t *testing.T) {
	w := world(t, Config{Seed: 1, Cards: 100_000_000, Days: 1, Plain: true, Misuse: 1})
	s := w.Source()
	var b cdr.Batch
	for range 20 {
		if err := s.Next(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.held) > maxHeld || len(s.habits) > 2000 {
		t.Errorf("%d records wait and there are %d habits", len(s.held), len(s.habits))
	}
}

// The records of one card are those that a source makes of it.
func TestWorld_own(t *testing.T) {
	w := world(t, Config{Seed: 5, Cards: 400, Days: 8})
	type made struct{ card, id uint64 }
	want := map[made]bool{}
	all(t, w.Source(), func(b *cdr.Batch) {
		for _, r := range b.Detail.(*Source).rows {
			if r.id < 1<<60 {
				want[made{w.CardKey(r.card), r.id}] = true
			}
		}
	})
	if len(want) < 10_000 {
		t.Errorf("only %d records to compare", len(want))
	}
	for card := range uint32(400) {
		for _, r := range w.own(w.CustomerOf(card), card, w.start, w.start+3*86400) {
			if k := (made{w.CardKey(card), r.id}); r.card != card || r.arrival >= w.start+3*86400+4 || !want[k] {
				t.Errorf("card %d: record %x of card %d is none, or there twice", card, r.id, r.card)
			} else {
				delete(want, k)
			}
		}
		for _, r := range w.own(w.CustomerOf(card), card, w.start+3*86400, w.end+4) {
			delete(want, made{w.CardKey(card), r.id})
		}
	}
	for k := range want {
		t.Errorf("card %d: record %x is missing", k.card, k.id)
	}
}
