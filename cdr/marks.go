package cdr

import (
	"math/bits"

	"github.com/ringwall/ringwall/cdr/internal/text"
)

// marks are the places of separators and line breaks in a part of a buffer. They
// are looked for apart from reading what stands between them: where a field
// begins is then known before the one in front of it is read, and a processor
// reads several at once.
type marks struct {
	pos   [1 + marksCarry + marksPart + marksOver]uint32
	ends  [marksPart + 1]uint32 // of the whole lines, where in pos their line breaks stand
	first int                   // in pos, of the line that is next; the break before it stands in front
	n     int                   // places in pos
	line  int                   // in ends, of the line that is next
	lines int
	to    int  // the buffer was looked at up to here
	odd   bool // there may be quotes or bytes beyond ASCII
}

const (
	// marksPart is how many bytes are looked at together: they stay in the first
	// level of cache until their lines are read.
	marksPart = 4096
	// marksCarry is how many places a line that goes on in the next part may have;
	// one with more has too many fields for any header.
	marksCarry = MaxColumns
	// marksOver are places behind the last that may be written and looked at.
	marksOver = MaxColumns + 2
	// margin is how many bytes must stand before and behind those that are looked
	// at, so that more than one can be read at once anywhere among them.
	margin = 96
)

// reset forgets all; the next line begins at a place.
func (m *marks) reset(at int) { m.first, m.n, m.line, m.lines, m.to, m.odd = 1, 1, 0, 0, at, false }

// fill looks for lines in b[at:whole], which ends in a line break. It is called
// when no line is known that was not taken; at is where the next one begins. It
// reports false when that line is none for it: it has too many fields.
func (m *marks) fill(b []byte, at, whole int, comma byte) bool {
	for m.to < whole {
		carry := m.n - m.first
		if carry > marksCarry {
			return false
		}
		copy(m.pos[1:1+carry], m.pos[m.first:m.n])
		m.pos[0] = uint32(at - 1)
		blocks := (min(marksPart, whole-m.to) + 63) / 64
		n, lines, odd := scan(b, m.to, blocks, comma, m, 1+carry)
		m.odd = odd || m.odd && m.to > at
		if m.to += 64 * blocks; m.to > whole { // what stands behind is not there yet
			m.to = whole
			for n > 1 && int(m.pos[n-1]) >= whole {
				n--
			}
			for lines > 0 && int(m.ends[lines-1]) >= n {
				lines--
			}
		}
		m.first, m.n, m.line, m.lines = 1, n, 0, lines
		if lines > 0 {
			return true
		}
	}
	return false
}

// scanGo appends the places of separators and line breaks in blocks of 64 bytes
// from a place on to the n of m.pos, and sets m.ends to where those of line breaks
// stand. It returns how many places and line breaks there are, and whether there
// may be a quote or a byte with its highest bit set.
func scanGo(b []byte, from, blocks int, comma byte, m *marks, n int) (int, int, bool) {
	odd, lines, commas := uint64(0), 0, uint64(comma)*ones
	for i := from; i < from+64*blocks; i += 8 {
		w := text.Load(b, i)
		breaks := text.Equal(w, '\n'*ones)
		odd |= w&highs | text.Equal(w, '"'*ones)
		for seps := breaks | text.Equal(w, commas); seps != 0; seps &= seps - 1 {
			at := bits.TrailingZeros64(seps)
			if breaks>>at&1 != 0 {
				m.ends[lines] = uint32(n)
				lines++
			}
			m.pos[n] = uint32(i + at>>3)
			n++
		}
	}
	return n, lines, odd != 0
}
