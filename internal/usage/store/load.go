package store

import (
	"github.com/ringwall/ringwall"
)

// Load fills a new table with the pieces of a copy, in the order in which they
// were taken.
type Load struct {
	t  *Table
	at uint64 // lines so far
}

// BeginLoad begins to fill an empty table.
func (t *Table) BeginLoad() *Load { return &Load{t: t} }

func broken(why string) error {
	return ringwall.Errorf(ringwall.Unverified, "the copy of a table of cards cannot be trusted: %s", why)
}

// Space returns the memory of n lines that follow those so far, to be read into.
// The error has code Unverified or Unavailable.
func (l *Load) Space(first uint32, n int) ([]Line, error) {
	if uint64(first) != l.at || n <= 0 {
		return nil, broken("its lines do not follow each other")
	}
	if err := l.t.lines.ensure(l.at + uint64(n)); err != nil {
		return nil, err
	}
	l.at += uint64(n)
	return l.t.lines.lines(first, n), nil
}

// Line is a line that was loaded, to be replaced. The error has code Unverified.
func (l *Load) Line(at uint32) (*Line, error) {
	if uint64(at) >= l.at {
		return nil, broken("it changes a line that is not there")
	}
	return l.t.lines.line(at), nil
}

// Finish finds every card again and checks that each is where it belongs. After
// an error the table is of no use. The error has code Unverified or Unavailable.
func (l *Load) Finish(x Index) error {
	t := l.t
	if x.Used%blockSize != 0 || x.Used > t.lines.most || l.at > x.Used || x.Used > (l.at+blockSize) {
		return broken("its size is not that of its lines")
	}
	taken := make([]bool, x.Used/blockSize)
	spanned := (x.Range[1] + blockSize - 1) / blockSize
	if x.Range[1] > maxKey || x.Range[0] > maxKey-x.Range[1] || spanned*blockSize > x.Used {
		return broken("its range is not that of its lines")
	}
	t.first, t.span, t.base = x.Range[0], x.Range[1], 0
	for i := range spanned {
		taken[i] = true
	}
	for _, b := range x.Blocks {
		i := b.First / blockSize
		if b.First%blockSize != 0 || b.First >= x.Used || taken[i] || b.Number == 0 || b.Number >= maxKey/blockSize {
			return broken("a block is where another is")
		}
		if _, ok := t.blocks.find(b.Number); ok {
			return broken("a block is there twice")
		}
		taken[i] = true
		t.blocks.put(b.Number, uint32(b.First))
	}
	t.used = x.Used
	return l.cards(taken)
}

// cards counts the cards, and finds the strays.
func (l *Load) cards(taken []bool) error {
	t := l.t
	n := 0
	for i, isBlock := range taken {
		if isBlock {
			continue
		}
		for at := uint64(i) * blockSize; at < min(uint64(i+1)*blockSize, l.at); at++ {
			if t.lines.line(uint32(at)).Card != 0 {
				n++
			}
		}
	}
	if n > 0 {
		if err := t.strays.resize(n); err != nil {
			return err
		}
	}
	for i, isBlock := range taken {
		first := uint64(i) * blockSize
		end := min(first+blockSize, l.at)
		if first >= end {
			continue
		}
		if err := l.extent(uint32(first), t.lines.lines(uint32(first), int(end-first)), isBlock); err != nil {
			return err
		}
	}
	// The extent whose lines were not all opened goes on being filled.
	if l.at < t.used {
		t.next, t.last = l.at, t.used
	}
	return nil
}

func (l *Load) extent(first uint32, lines []Line, isBlock bool) error {
	t := l.t
	for i := range lines {
		card := lines[i].Card
		at := first + uint32(i)
		switch {
		case card == 0:
			if !isBlock {
				t.free = append(t.free, at)
			}
			continue
		case card >= maxKey:
			return broken("a card has no number")
		case isBlock && t.place(card) != at:
			return broken("a card is in another's place")
		case !isBlock && (t.place(card) != None || t.strays.get(card, &t.lines) != None):
			return broken("a card is there twice")
		case !isBlock:
			t.strays.put(card, at)
		}
		t.n++
	}
	return nil
}
