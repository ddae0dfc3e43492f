package store

import (
	"slices"
	"unsafe"

	"github.com/ringwall/ringwall"
)

// Config bounds a Table. The zero value is good.
type Config struct {
	// MaxLines bounds the lines, those of announced numbers that nobody has
	// included; 0 = 1<<30 (64 GiB when all are in use). At most 1<<32 - 20,000.
	MaxLines int
	// MaxStrays bounds the cards that lie in no block; 0 = 1<<27.
	MaxStrays int
	// Moved is told when a card's line gets another place. nil = nobody asks.
	Moved func(card uint64, from, to uint32)
}

const (
	defaultLines  = 1 << 30
	defaultStrays = 1 << 27
	mostLines     = 1<<32 - 2*blockSize
)

// Table keeps a line a card. Make it with New.
type Table struct {
	lines  slab
	blocks blocks
	strays strays
	c      Config

	n    int    // cards
	used uint64 // lines taken, whole extents
	next uint64 // stray lines taken so far of the extent that strays fill
	last uint64 // where that extent ends
	free []uint32

	first, span uint64 // the range
	base        uint32 // where its lines begin

	copy *Copy // that is being taken
}

// New returns an empty table.
func New(c Config) *Table {
	if c.MaxLines <= 0 {
		c.MaxLines = defaultLines
	}
	if c.MaxStrays <= 0 {
		c.MaxStrays = defaultStrays
	}
	return &Table{c: c, lines: slab{most: uint64(min(c.MaxLines, mostLines))}}
}

// Close gives the memory back. The table is then empty.
func (t *Table) Close() error {
	err := t.lines.close()
	if serr := t.strays.own.close(); err == nil {
		err = serr
	}
	*t = *New(t.c)
	return err
}

// Len is how many cards there are.
func (t *Table) Len() int { return t.n }

// Line is the line at a place. It is valid until the next Put, Announce or
// Range: they may move all lines.
func (t *Table) Line(at uint32) *Line { return t.lines.line(at) }

// extent takes n lines together, for a block or for strays.
func (t *Table) extent(n uint64) (first uint32, err error) {
	if t.used+n > t.lines.most {
		return 0, ringwall.Errorf(ringwall.Unavailable, "the table of cards is full: its limit is %d lines", t.lines.most)
	}
	if err := t.lines.ensure(t.used + n); err != nil {
		return 0, err
	}
	first = uint32(t.used)
	t.used += n
	return first, nil
}

// Range says that the numbers from first on are cards of one range without
// holes: they are found by distance alone. There is one range, made while the
// table is empty. The error has code Invalid or Unavailable.
func (t *Table) Range(first uint64, n int) error {
	switch {
	case t.used != 0:
		return ringwall.Errorf(ringwall.Invalid, "a range of cards comes before all other cards")
	case n <= 0 || first == 0 || first+uint64(n) > maxKey:
		return ringwall.Errorf(ringwall.Invalid, "a range of %d cards is none", n)
	}
	size := (uint64(n) + blockSize - 1) / blockSize * blockSize
	base, err := t.extent(size)
	if err != nil {
		return err
	}
	t.first, t.span, t.base = first, uint64(n), base
	return nil
}

// Announce makes the blocks that hold the numbers from first on, without cards:
// 640,000 bytes a block once it is used. The error has code Invalid or
// Unavailable; blocks before the one that did not fit are there.
func (t *Table) Announce(first uint64, n int) error {
	if n <= 0 || first == 0 || first+uint64(n) > maxKey {
		return ringwall.Errorf(ringwall.Invalid, "a range of %d cards is none", n)
	}
	for b := first / blockSize; b <= (first+uint64(n)-1)/blockSize; b++ {
		if _, ok := t.blocks.find(b); ok || t.inRange(b*blockSize) && t.inRange((b+1)*blockSize-1) {
			continue
		}
		if err := t.makeBlock(b); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) inRange(card uint64) bool { return card-t.first < t.span }

// makeBlock makes a block and brings the strays in it home.
func (t *Table) makeBlock(block uint64) error {
	first, err := t.extent(blockSize)
	if err != nil {
		return err
	}
	t.blocks.put(block, first)
	if t.strays.n == 0 {
		return nil
	}
	for i := range uint64(blockSize) {
		card := block*blockSize + i
		if t.inRange(card) {
			continue
		}
		slot, at := t.strays.find(card, &t.lines)
		if at == None {
			continue
		}
		to := first + uint32(i)
		*t.lines.line(to) = *t.lines.line(at)
		*t.lines.line(at) = Line{}
		t.strays.remove(slot)
		t.free = append(t.free, at)
		t.touch(at)
		t.touch(to)
		if t.c.Moved != nil {
			t.c.Moved(card, at, to)
		}
	}
	return nil
}

// place is where a card's line is, or would be in a range or block; None = it
// is, or would be, a stray.
func (t *Table) place(card uint64) uint32 {
	if d := card - t.first; d < t.span {
		return t.base + uint32(d)
	}
	block := card / blockSize
	if first, ok := t.blocks.find(block); ok {
		return first + uint32(card-block*blockSize)
	}
	return None
}

// Get returns the place of a card, None when it is not there.
func (t *Table) Get(card uint64) uint32 {
	at := t.place(card)
	if at == None {
		return t.strays.get(card, &t.lines)
	}
	if t.lines.line(at).Card != card || card == 0 {
		return None
	}
	return at
}

// Put returns the place of a card and makes it when it is not there, all zero
// but for its number. The error has code Invalid or Unavailable.
func (t *Table) Put(card uint64) (uint32, error) {
	if card == 0 || card >= maxKey {
		return None, ringwall.Errorf(ringwall.Invalid, "a card without a number")
	}
	at := t.place(card)
	if at == None {
		return t.putStray(card)
	}
	if l := t.lines.line(at); l.Card != card {
		l.Card = card
		t.n++
		t.touch(at)
	}
	return at, nil
}

func (t *Table) putStray(card uint64) (uint32, error) {
	if at := t.strays.get(card, &t.lines); at != None {
		return at, nil
	}
	if t.strays.n >= t.c.MaxStrays {
		return None, ringwall.Errorf(ringwall.Unavailable, "%d cards lie in no block, and that is the limit", t.strays.n)
	}
	if t.strays.full() {
		if err := t.settle(); err != nil {
			return None, err
		}
		if at := t.place(card); at != None { // its block was just made
			return t.Put(card)
		}
	}
	at, err := t.strayLine()
	if err != nil {
		return None, err
	}
	*t.lines.line(at) = Line{Card: card}
	t.strays.put(card, at)
	t.n++
	t.touch(at)
	return at, nil
}

// strayLine takes a line that is not in a block.
func (t *Table) strayLine() (uint32, error) {
	if n := len(t.free); n > 0 {
		at := t.free[n-1]
		t.free = t.free[:n-1]
		return at, nil
	}
	if t.next == t.last {
		first := t.used
		if first+blockSize > t.lines.most {
			return None, ringwall.Errorf(ringwall.Unavailable, "the table of cards is full: its limit is %d lines", t.lines.most)
		}
		t.used += blockSize
		t.next, t.last = first, first+blockSize
	}
	// A small table opens lines as they are needed: most have few cards.
	if err := t.lines.ensure(t.next + 1); err != nil {
		return None, err
	}
	t.next++
	return uint32(t.next - 1), nil
}

// settled is how many cards of a block make it a block: below, its lines would
// cost more than strays do.
const settled = blockSize * 3 / 4

// settle makes room in the index of strays: by making blocks of those that are
// nearly whole, else by a larger index. It is called when the index is full, so
// that counting costs little for each card.
func (t *Table) settle() error {
	if t.strays.n >= settled {
		cards := make([]uint64, 0, t.strays.n)
		for _, e := range t.strays.slots {
			if e != 0 {
				cards = append(cards, t.lines.line(uint32(e)-1).Card)
			}
		}
		slices.Sort(cards)
		for i := 0; i < len(cards); {
			block, j := cards[i]/blockSize, i
			for ; j < len(cards) && cards[j]/blockSize == block; j++ {
			}
			if j-i >= settled {
				if err := t.makeBlock(block); err != nil {
					return err
				}
			}
			i = j
		}
	}
	if !t.strays.full() {
		return nil
	}
	return t.strays.resize(t.strays.n + 1)
}

// Remove forgets a card and reports whether it was there.
func (t *Table) Remove(card uint64) bool {
	at := t.place(card)
	if at != None {
		if l := t.lines.line(at); l.Card != card || card == 0 {
			return false
		}
	} else {
		if t.strays.n == 0 {
			return false
		}
		var slot uint64
		if slot, at = t.strays.find(card, &t.lines); at == None {
			return false
		}
		t.strays.remove(slot)
		t.free = append(t.free, at)
	}
	*t.lines.line(at) = Line{}
	t.n--
	t.touch(at)
	return true
}

// Sweep calls f with all lines in the order of their places, many at a time,
// until f answers false. Lines whose Card is 0 are of no card. f may change the
// lines only when no copy is being taken, and never their Card.
func (t *Table) Sweep(f func(first uint32, lines []Line) bool) {
	for at := uint64(0); at < t.used; {
		at = t.SweepFrom(at, sweepLines, f)
	}
}

// sweepLines is how many lines a sweep looks at together: 1 MiB.
const sweepLines = 1 << 14

// SweepFrom gives f up to n lines from the place at on, and returns the place
// after them; a sweep that must not hold up its goroutine is made of such steps.
// It returns End when there are no more or f answered false.
func (t *Table) SweepFrom(at uint64, n int, f func(first uint32, lines []Line) bool) uint64 {
	end := min(at+uint64(n), t.reach())
	if at >= end || !f(uint32(at), t.lines.lines(uint32(at), int(end-at))) {
		return End
	}
	return end
}

// End is the place after all.
const End = 1 << 63

// reach is how many lines have been opened and may hold a card.
func (t *Table) reach() uint64 { return min(t.used, t.lines.open) }

// Memory is what a table takes, in bytes, and where cards lie.
type Memory struct {
	Lines   uint64 `json:"lines"`   // of cards and of announced numbers
	Blocks  uint64 `json:"blocks"`  // the table of blocks
	Strays  uint64 `json:"strays"`  // the index of strays
	Free    uint64 `json:"free"`    // places to be used again
	InBlock int    `json:"inBlock"` // cards
	Stray   int    `json:"stray"`   // cards
	Mapped  bool   `json:"mapped"`  // apart from Go's heap
}

// Memory reports what the table takes. Lines that were never touched are
// counted, though no memory stands behind them yet.
func (t *Table) Memory() Memory {
	return Memory{
		Lines: t.reach() * LineBytes, Blocks: t.blocks.bytes(), Strays: t.strays.bytes(), Free: uint64(cap(t.free)) * uint64(unsafe.Sizeof(uint32(0))),
		InBlock: t.n - t.strays.n, Stray: t.strays.n, Mapped: t.lines.pages != nil,
	}
}
