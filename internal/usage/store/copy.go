package store

import "math/bits"

// Copy is an image of a table that is taken in pieces between other work. Lines
// that change after they were copied are noted, a bit a line, and copied again:
// the later piece counts. When Next has nothing more to give, at that moment the
// pieces together are the table, and End gives what else belongs to it.
//
// So no copy of the whole is ever in memory, nobody waits for the disk but who
// writes to it, and the only pause is for what changed since the last piece.
type Copy struct {
	t      *Table
	cursor uint64   // lines below it were copied once
	dirty  []uint64 // a bit for each of them
	n      int      // bits that are set
	word   int      // where the search for them goes on
}

// Chunk is a piece of a copy.
type Chunk struct {
	// First is the place of the first line when Places is empty: they follow each
	// other. Else each line has its own place.
	First  uint32
	Places []uint32
	Lines  []Line
}

// BeginCopy begins an image. From then on each change of a line is to be told
// by Touch; there is one copy at a time, and a new one ends the old.
func (t *Table) BeginCopy() *Copy {
	t.copy = &Copy{t: t, dirty: make([]uint64, 0, t.reach()/64+1)}
	return t.copy
}

// Touch says that the line at a place is being changed. It matters while a copy
// is being taken, and costs nothing else.
func (t *Table) Touch(at uint32) {
	if t.copy != nil {
		t.copy.touch(at)
	}
}

func (t *Table) touch(at uint32) { t.Touch(at) }

// Copying reports whether a copy is being taken.
func (t *Table) Copying() bool { return t.copy != nil }

func (c *Copy) touch(at uint32) {
	if uint64(at) >= c.cursor {
		return
	}
	if w, bit := &c.dirty[at/64], uint64(1)<<(at%64); *w&bit == 0 {
		*w |= bit
		c.n++
	}
}

// Left is how many lines are to be copied still, as of now.
func (c *Copy) Left() int { return c.n + int(c.t.reach()-c.cursor) }

// Changed is how many lines changed after they were copied: what is left once
// all were copied for the first time.
func (c *Copy) Changed() (n int, first bool) { return c.n, c.cursor < c.t.reach() }

// Next fills a piece with up to n lines, and reports whether there was one.
func (c *Copy) Next(ch *Chunk, n int) bool {
	ch.Places, ch.Lines = ch.Places[:0], ch.Lines[:0]
	if end := min(c.cursor+uint64(n), c.t.reach()); c.cursor < end {
		ch.First = uint32(c.cursor)
		ch.Lines = append(ch.Lines, c.t.lines.lines(ch.First, int(end-c.cursor))...)
		c.cursor = end
		for uint64(len(c.dirty))*64 < end {
			c.dirty = append(c.dirty, 0)
		}
		return true
	}
	for c.n > 0 && len(ch.Lines) < n {
		if c.word >= len(c.dirty) {
			c.word = 0
		}
		w := &c.dirty[c.word]
		for *w != 0 && len(ch.Lines) < n {
			at := uint32(c.word*64 + bits.TrailingZeros64(*w))
			*w &= *w - 1
			c.n--
			ch.Places = append(ch.Places, at)
			ch.Lines = append(ch.Lines, *c.t.lines.line(at))
		}
		if *w == 0 {
			c.word++
		}
	}
	return len(ch.Lines) > 0
}

// Index is what belongs to a table beside its lines.
type Index struct {
	Range  [2]uint64 // first number and how many; 0, 0 = none
	Used   uint64    // lines taken
	Blocks []Block
}

// Block is where a block of numbers begins.
type Block struct{ Number, First uint64 }

// Index returns where cards are found, as of now.
func (t *Table) Index() Index {
	x := Index{Range: [2]uint64{t.first, t.span}, Used: t.used, Blocks: make([]Block, 0, t.blocks.n)}
	t.blocks.all(func(block uint64, first uint32) { x.Blocks = append(x.Blocks, Block{block, uint64(first)}) })
	return x
}

// End ends the copy.
func (c *Copy) End() {
	if c.t.copy == c {
		c.t.copy = nil
	}
}
