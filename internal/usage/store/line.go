package store

import "unsafe"

// Line is what is kept of one card: one cache line. All zero = no card.
type Line struct {
	Card uint64
	Data [7]uint64
}

// LineBytes is the size of a Line.
const LineBytes = 64

// A Line is exactly one cache line: neither of these is a negative array.
var (
	_ [LineBytes - unsafe.Sizeof(Line{})]byte
	_ [unsafe.Sizeof(Line{}) - LineBytes]byte
)

// None is the place of a card that is not there.
const None = ^uint32(0)

// Width is how many records Find takes at most: enough to have memory work on
// many at once, few enough that lines and records stay in the first level.
const Width = 64

// blockSize is how many numbers operators issue together, and how many lines a
// Table takes together.
const blockSize = 10_000
