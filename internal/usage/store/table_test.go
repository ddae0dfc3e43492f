package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ringwall/ringwall"
)

// number is the key of card i of an operator's numbers.
func number(i uint64) uint64 { return 1_460_000_000_000_000 + i }

func put(t testing.TB, tab *Table, card uint64) uint32 {
	t.Helper()
	at, err := tab.Put(card)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// model is what a table should hold: of each card what was written to its line.
type model map[uint64]uint64

// check compares a table with what it should hold, by every way there is.
func (m model) check(t *testing.T, tab *Table) {
	t.Helper()
	if tab.Len() != len(m) {
		t.Fatalf("the table has %d cards, want %d", tab.Len(), len(m))
	}
	cards := slices.Sorted(maps.Keys(m))
	for chunk := range slices.Chunk(cards, Width) {
		var few Cards
		var at Places
		tab.Find(&few, copy(few[:], chunk), &at)
		for i, c := range chunk {
			if got := tab.Get(c); got == None || got != at[i] {
				t.Fatalf("card %d: Get says %d, Find %d", c, got, at[i])
			}
			if l := tab.Line(at[i]); l.Card != c || l.Data[0] != m[c] {
				t.Fatalf("card %d has the line %v, want %d", c, *l, m[c])
			}
		}
	}
	seen := 0
	tab.Sweep(func(first uint32, lines []Line) bool {
		for i, l := range lines {
			if l.Card == 0 {
				if l != (Line{}) {
					t.Fatalf("an empty line holds %v", l)
				}
				continue
			}
			if seen++; tab.Get(l.Card) != first+uint32(i) {
				t.Fatalf("card %d is swept at %d, found at %d", l.Card, first+uint32(i), tab.Get(l.Card))
			}
		}
		return true
	})
	if seen != len(m) {
		t.Fatalf("a sweep saw %d cards, want %d", seen, len(m))
	}
}

// draw draws the number of a card: of a range, of blocks, of blocks that become
// some, and of nowhere.
func draw(r *rand.Rand) uint64 {
	switch r.IntN(5) {
	case 0:
		return number(r.Uint64N(30_000)) // the range, and a little after it
	case 1:
		return number(1_000_000 + r.Uint64N(20_000)) // announced
	case 2:
		return number(2_000_000 + r.Uint64N(10_000)) // becomes a block
	case 3:
		return 1_000_000 + r.Uint64N(1000) // a short number, with leading zeros
	}
	return number(r.Uint64N(1 << 40))
}

func TestTable_holdsWhatWasPut(t *testing.T) {
	for _, ranged := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 1))
		tab := New(Config{})
		moved := 0
		tab.c.Moved = func(card uint64, from, to uint32) {
			if moved++; tab.Line(to).Card != card || tab.Line(from).Card == card {
				t.Errorf("card %d was not moved from %d to %d", card, from, to)
			}
		}
		if ranged {
			if err := tab.Range(number(0), 25_000); err != nil {
				t.Fatal(err)
			}
		}
		m := model{}
		for i := range 150_000 {
			if i == 60_000 {
				if err := tab.Announce(number(1_000_000), 20_000); err != nil {
					t.Fatal(err)
				}
			}
			c := draw(r)
			if r.IntN(8) == 0 {
				_, want := m[c]
				if got := tab.Remove(c); got != want {
					t.Fatalf("Remove(%d) = %v, want %v", c, got, want)
				}
				delete(m, c)
				continue
			}
			l := tab.Line(put(t, tab, c))
			if l.Data[0] != m[c] {
				t.Fatalf("the line of %d holds %d, want %d", c, l.Data[0], m[c])
			}
			m[c]++
			l.Data[0]++
		}
		m.check(t, tab)
		if moved == 0 {
			t.Error("no stray ever came home to a block")
		}
		mem := tab.Memory()
		if mem.Stray+mem.InBlock != len(m) || mem.Stray == 0 || mem.InBlock < 20_000 {
			t.Errorf("%+v of %d cards", mem, len(m))
		}
		if tab.Get(0) != None || tab.Remove(0) || tab.Remove(maxKey-1) {
			t.Error("there is a card without a number")
		}
		if err := tab.Close(); err != nil || tab.Len() != 0 {
			t.Errorf("closing: %v, %d cards", err, tab.Len())
		}
	}
}

// TestTable_findsItsBlocks fills a table in the order in which lists come, with
// nothing announced.
func TestTable_findsItsBlocks(t *testing.T) {
	tab := New(Config{})
	const cards = 200_000 // past what is kept in ordinary memory
	for i := range uint64(cards) {
		tab.Line(put(t, tab, number(i*10/9))).Data[0] = i // nine of ten are issued
	}
	mem := tab.Memory()
	if mem.Stray > 30_000 {
		t.Errorf("%d of %d cards lie in no block", mem.Stray, cards)
	}
	if per := float64(mem.Lines+mem.Blocks+mem.Strays+mem.Free) / cards; per > 90 {
		t.Errorf("a card takes %.1f bytes", per)
	}
	if mem.Mapped != mapped {
		t.Errorf("lines apart from Go's heap: %v", mem.Mapped)
	}
	for i := range uint64(cards) {
		if l := tab.Line(tab.Get(number(i * 10 / 9))); l.Data[0] != i {
			t.Fatalf("card %d holds %d", i, l.Data[0])
		}
	}
}

func TestTable_strayCosts(t *testing.T) {
	tab := New(Config{})
	r := rand.New(rand.NewPCG(2, 2))
	m := model{}
	for len(m) < 200_000 {
		c := number(r.Uint64N(1 << 44))
		put(t, tab, c)
		m[c] = 0
	}
	m.check(t, tab)
	if per := float64(tab.Memory().Strays) / float64(len(m)); per > 13 {
		t.Errorf("finding a stray takes %.1f bytes, want at most 13", per)
	}
	for c := range m {
		if !tab.Remove(c) {
			t.Fatal("a card is lost")
		}
		delete(m, c)
		if len(m)%40_000 == 0 {
			m.check(t, tab)
		}
	}
}

func TestTable_isBounded(t *testing.T) {
	tab := New(Config{MaxLines: 3 * blockSize, MaxStrays: 100})
	for i := range uint64(100) {
		put(t, tab, number(i*blockSize))
	}
	if _, err := tab.Put(number(500 * blockSize)); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("a stray too many: %v", err)
	}
	if at, err := tab.Put(number(0)); err != nil || at == None {
		t.Errorf("a stray that is there: %v", err)
	}
	if err := tab.Announce(number(1_000_000), 30_000); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("a block too many: %v", err)
	}
	put(t, tab, number(1_019_999)) // the blocks that fitted are there
	if _, err := tab.Put(number(1_020_000)); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("a card of a block that did not fit: %v", err)
	}
	for _, c := range []uint64{0, maxKey} {
		if _, err := tab.Put(c); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("Put(%d) = %v, want invalid", c, err)
		}
	}
	for _, n := range []int{0, -1} {
		if ringwall.CodeOf(tab.Announce(number(0), n)) != ringwall.Invalid || ringwall.CodeOf(New(Config{}).Range(number(0), n)) != ringwall.Invalid {
			t.Errorf("a range of %d cards was taken", n)
		}
	}
	if ringwall.CodeOf(tab.Range(number(0), 10)) != ringwall.Invalid {
		t.Error("a range after cards was taken")
	}
}

// TestPrefetch_givesTheSame holds the processor's own code against none: it may
// make nothing but time.
func TestPrefetch_givesTheSame(t *testing.T) {
	lines := make([]Line, 100)
	for i := range lines {
		lines[i] = Line{Card: uint64(i), Data: [7]uint64{1, 2, 3}}
	}
	want := slices.Clone(lines)
	s := slab{most: 1000}
	s.grow(100)
	copy(s.small, lines)
	at := Places{0, 99, 50, None, None - 1, 7}
	guard := at
	for n := range uint64(Width + 1) {
		prefetch(s.base, &at[0], n, 6)
		prefetch(s.base, &at[0], n, 3)
	}
	if !slices.Equal(s.small[:100], want) || at != guard {
		t.Error("fetching ahead changed something")
	}
}

// TestCopy_isTrueAtItsEnd copies a table that changes all the while.
func TestCopy_isTrueAtItsEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for round := range 6 {
		tab := New(Config{})
		if round%2 == 1 {
			if err := tab.Range(number(0), 25_000); err != nil {
				t.Fatal(err)
			}
		}
		m := model{}
		change := func(n int) {
			for range n {
				c := draw(r)
				if r.IntN(5) == 0 {
					tab.Remove(c)
					delete(m, c)
					continue
				}
				at := put(t, tab, c)
				tab.Touch(at)
				m[c]++
				tab.Line(at).Data[0]++
			}
		}
		change(30_000 * (round + 1))
		next := New(Config{})
		load := next.BeginLoad()
		cp := tab.BeginCopy()
		var ch Chunk
		step := func() bool {
			if !cp.Next(&ch, 1000+r.IntN(1000)) {
				return false
			}
			if len(ch.Places) > 0 {
				for i, at := range ch.Places {
					l, err := load.Line(at)
					if err != nil {
						t.Fatal(err)
					}
					*l = ch.Lines[i]
				}
				return true
			}
			space, err := load.Space(ch.First, len(ch.Lines))
			if err != nil {
				t.Fatal(err)
			}
			copy(space, ch.Lines)
			return true
		}
		for cp.Left() > 3000 && step() {
			change(400)
		}
		for step() {
		}
		if cp.Left() != 0 {
			t.Fatalf("%d lines are left of a copy that ended", cp.Left())
		}
		index := tab.Index()
		cp.End()
		was := maps.Clone(m)
		change(1000) // after its end nothing matters
		if err := load.Finish(index); err != nil {
			t.Fatal(err)
		}
		was2 := model(was)
		was2.check(t, next)
		// The copy lives on as the table does.
		tab, m = next, was
		change(5000)
		m.check(t, tab)
	}
}

func TestLoad_refusesWhatDoesNotFit(t *testing.T) {
	tab := New(Config{})
	if err := tab.Announce(number(0), 10_000); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(100) {
		put(t, tab, number(i))
		put(t, tab, number(1_000_000*(i+1)))
	}
	whole := func() ([]Line, Index) {
		var ch Chunk
		cp := tab.BeginCopy()
		defer cp.End()
		cp.Next(&ch, 1<<20)
		return ch.Lines, tab.Index()
	}
	tests := map[string]func([]Line, *Index) []Line{
		"a card twice":       func(l []Line, _ *Index) []Line { l[blockSize+1].Card = l[blockSize].Card; return l },
		"a card misplaced":   func(l []Line, _ *Index) []Line { l[3].Card = number(4); return l },
		"a stray of a block": func(l []Line, _ *Index) []Line { l[blockSize+200].Card = number(500); return l },
		"no such number":     func(l []Line, _ *Index) []Line { l[blockSize].Card = maxKey; return l },
		"fewer lines":        func(l []Line, _ *Index) []Line { return l[:100] },
		"a block outside":    func(l []Line, x *Index) []Line { x.Blocks[0].First = 1 << 40; return l },
		"a block twice":      func(l []Line, x *Index) []Line { x.Blocks = append(x.Blocks, x.Blocks[0]); return l },
		"a crooked block":    func(l []Line, x *Index) []Line { x.Blocks[0].First = 7; return l },
		"a giant range":      func(l []Line, x *Index) []Line { x.Range = [2]uint64{1, 1 << 60}; return l },
		"a wrapping range":   func(l []Line, x *Index) []Line { x.Range = [2]uint64{1<<64 - 5, 100}; return l },
		"a giant size":       func(l []Line, x *Index) []Line { x.Used = 1 << 50 * blockSize; return l },
	}
	for name, bend := range tests {
		lines, x := whole()
		lines = bend(lines, &x)
		load := New(Config{}).BeginLoad()
		space, err := load.Space(0, len(lines))
		if err != nil {
			t.Fatal(err)
		}
		copy(space, lines)
		if err := load.Finish(x); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("%s: %v, want unverified", name, err)
		}
	}
	lines, x := whole()
	load := New(Config{}).BeginLoad()
	if _, err := load.Space(5, 1); err == nil {
		t.Error("lines with a hole before them were taken")
	}
	if _, err := load.Line(0); err == nil {
		t.Error("a line that is not there was changed")
	}
	space, _ := load.Space(0, len(lines))
	copy(space, lines)
	if err := load.Finish(x); err != nil {
		t.Errorf("the same lines as they were: %v", err)
	}
}
