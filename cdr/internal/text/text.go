// Package text reads and writes short ASCII fields several bytes at a time, for
// the decoders of charging records. All of it is pure but for a Memo and a Line,
// which belong to one goroutine. Whoever calls sees to it that the bytes which are
// loaded are there: up to sixteen in front of where a field ends.
package text

import (
	"encoding/binary"
	"math/bits"
)

// Ones has each byte one, Highs the highest bit of each.
const (
	Ones  = 0x0101010101010101
	Highs = 0x8080808080808080
)

// Load gives eight bytes, the first the lowest.
func Load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }

// keep has the bytes of the first and of the last n characters of eight or sixteen.
var keep = func() (k [32]struct{ low, lo, hi uint64 }) {
	for n := range k {
		k[n].low = ^uint64(0) >> uint(64-8*min(n, 8))
		k[n].lo = ^uint64(0) << uint(64-8*min(n, 8))
		k[n].hi = ^uint64(0) << uint(64-8*min(max(n-8, 0), 8))
	}
	return k
}()

// First gives the first n characters at a place, at most eight, and zeros behind
// them; n is less than 16.
func First(b []byte, i, n int) uint64 { return Load(b, i) & keep[uint(n)&15].low }

// Last gives the last n characters, at most sixteen, of what ends at a place, as
// two words: each character as its distance from '0', the last in the highest
// byte of lo, and zeros before them. Of n the lowest five bits count.
func Last(b []byte, end, n int) (lo, hi uint64) {
	k, w := &keep[uint(n)&31], b[end-16:end:end]
	return (Load(w, 8) ^ '0'*Ones) & k.lo, (Load(w, 0) ^ '0'*Ones) & k.hi
}

// NoDigits is not zero when one of sixteen characters is no digit.
func NoDigits(lo, hi uint64) uint64 {
	return ((lo + 0x76*Ones) | lo | (hi + 0x76*Ones) | hi) & Highs
}

// Value is what eight digits say, each a byte of 0 to 9, the first the lowest.
func Value(t uint64) uint64 {
	t = t*10 + t>>8
	return ((t&0x000000FF000000FF)*(100+1e6<<32) + (t>>16&0x000000FF000000FF)*(1+1e4<<32)) >> 32
}

// Card15 is what fifteen digits say, with a 1 before them, of which the last eight
// characters are hi and those that stand before them lo, whose first is none; 0 when
// they are no digits.
func Card15(lo, hi uint64) uint64 {
	lo, hi = (lo^'0'*Ones)&^0xff, hi^'0'*Ones
	if NoDigits(lo, hi) != 0 {
		return 0
	}
	return 1e15 + Value(lo)*1e8 + Value(hi)
}

// Equal marks the bytes of w that are those of x, by their highest bits.
func Equal(w, x uint64) uint64 {
	w ^= x
	return ^(w&^Highs + 0x7f*Ones | w) & Highs
}

// Line puts short texts one behind the other. A text is written as a word, whatever
// stands behind it, and the next over that. Where a line ends so far is the caller's
// to hand on, so that it can stay in a register. All lines have the same beginning
// until there is another.
type Line struct {
	b     [MaxLine + 8]byte
	begin int
}

// MaxLine is the most that a line may have; who fills it sees to that.
const MaxLine = 256

// Begin is what all lines begin with from now on, up to MaxLine/2 bytes.
func (l *Line) Begin(p []byte) { l.begin = copy(l.b[:MaxLine/2], p) }

// Start begins a line, and says where it ends.
func (l *Line) Start() int { return l.begin }

// put adds the first n bytes of a word.
func (l *Line) put(end int, w uint64, n uint) int {
	binary.LittleEndian.PutUint64(l.b[end&(MaxLine-1):], w)
	return end + int(n)
}

// Byte adds a byte.
func (l *Line) Byte(end int, c byte) int { return l.put(end, uint64(c), 1) }

// Uint adds a number in decimal.
func (l *Line) Uint(end int, v uint64) int {
	if v < 1e8 {
		return l.some(end, v)
	}
	if v >= 1e16 {
		end = l.some(end, v/1e16)
		end = l.put(end, eight(v/1e8%1e8)|'0'*Ones, 8)
	} else {
		end = l.some(end, v/1e8)
	}
	return l.put(end, eight(v%1e8)|'0'*Ones, 8)
}

// Number adds a byte and a number in decimal.
func (l *Line) Number(end int, c byte, v uint64) int {
	switch {
	case v < 10:
		return l.put(end, ('0'+v)<<8|uint64(c), 2)
	case v < 1e7:
		w := eight(v)
		z := uint(bits.TrailingZeros64(w|1<<56)) &^ 7
		return l.put(end, (w|'0'*Ones)>>z<<8|uint64(c), 9-z/8)
	case v >= 1e9 && v < 1e10: // such as a time: the byte, seven digits, and three
		q := v / 1e3
		end = l.put(end, eight(q)|'0'*(Ones-1)|uint64(c), 8)
		h := (v - q*1e3) * 41 >> 12 & 0xf
		r := v - q*1e3 - h*100
		d := r * 103 >> 10
		return l.put(end, h|d<<8|(r-d*10)<<16|'0'*(Ones&0xffffff), 3)
	}
	return l.Uint(l.put(end, uint64(c), 1), v)
}

// some adds a number of at most eight digits.
func (l *Line) some(end int, v uint64) int {
	w := eight(v)
	z := uint(bits.TrailingZeros64(w|1<<56)) &^ 7
	return l.put(end, (w|'0'*Ones)>>z, 8-z/8)
}

// Bytes is a line, until another is begun.
func (l *Line) Bytes(end int) []byte { return l.b[:end] }

// eight gives the eight digits of v, the first in the lowest byte.
func eight(v uint64) uint64 {
	t := v/1e4 | v%1e4<<32
	h := t * 10486 >> 20 & 0x7f0000007f // hundreds
	t = (t-100*h)<<16 | h
	h = t * 103 >> 10 & 0x000f000f000f000f
	return (t-10*h)<<8 | h
}

// Memo remembers the keys of texts of at most MaxMemo characters.
type Memo[K uint32 | uint64] struct {
	of [256]struct {
		lo, hi uint64
		key    K
	}
}

// MaxMemo is the most characters of a text that a Memo takes.
const MaxMemo = 15

// Find returns where the key of the text of n characters that ends at a place is
// to be kept, and whether it is. n is not zero.
func (m *Memo[K]) Find(b []byte, end, n int) (*K, bool) {
	k, w := &keep[uint(n)&15], b[end-16:end:end]
	lo := Load(w, 8) & k.lo
	hi := Load(w, 0)&k.hi | uint64(n) // in the lowest byte, which no character has
	e := &m.of[(lo+hi>>7)*0x9e3779b97f4a7c15>>56]
	if e.lo == lo && e.hi == hi {
		return &e.key, true
	}
	e.lo, e.hi = lo, hi
	return &e.key, false
}
