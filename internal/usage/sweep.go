package usage

import (
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// Sweep calls f for every card, until it answers false: the full traversal. The
// line and the side are to be read only.
func (e *Engine) Sweep(f func(*rules.Line, *rules.Side) bool) {
	for at := uint64(0); at != End; {
		at = e.SweepFrom(at, sweepStep, f)
	}
}

// End is the place after all cards.
const End = store.End

// sweepStep is how many lines are looked at together: 1 MiB.
const sweepStep = 1 << 14

// SweepFrom is a part of Sweep: it looks at n places from at on and returns
// where to go on, End when there are no more. Between two parts records may be
// judged; a card that comes then may be missed.
func (e *Engine) SweepFrom(at uint64, n int, f func(*rules.Line, *rules.Side) bool) uint64 {
	side := e.env.Side
	return e.table.SweepFrom(at, n, func(_ uint32, lines []store.Line) bool {
		for i := range lines {
			if l := asRules(&lines[i]); l.Card != 0 && l.Own()&ownPending == 0 && !f(l, side) {
				return false
			}
		}
		return true
	})
}

// Hash is a hash of what is known of all cards and of the records that came,
// whatever places and orders: two engines that were given the same have the
// same, also when one of them was stopped and restored on the way.
func (e *Engine) Hash() uint64 {
	var sum uint64
	var b []byte
	e.table.Sweep(func(_ uint32, lines []store.Line) bool {
		for i := range lines {
			if lines[i].Card != 0 {
				b = asRules(&lines[i]).AppendState(b[:0], e.env.Side)
				sum += hashOf(b)
			}
		}
		return true
	})
	e.seen.Each(func(k uint64, age int) {
		sum += hashOf([]byte{byte(age), byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24), byte(k >> 32), byte(k >> 40), byte(k >> 48), byte(k >> 56)})
	})
	for i, v := range e.stats.counters() {
		sum += *v * (uint64(2*i+1) * 0x9e3779b97f4a7c15)
	}
	return sum
}

// hashOf is FNV-1a by words, with a last mixing.
func hashOf(b []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ (uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56)) * 0xd6e8feb86659fd93
		h ^= h >> 32
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h ^= h >> 29
	return h * 0x9e3779b97f4a7c15
}
