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

// Equal marks the bytes of w that are those of x, by their highest bits.
func Equal(w, x uint64) uint64 {
	w ^= x
	return ^(w&^Highs + 0x7f*Ones | w) & Highs
}

// Line puts short texts one behind the other. Each word of what it holds is written
// once and whole: a processor hands on what was written a moment ago only to who
// reads it as it was written.
type Line struct {
	b    [MaxLine + 32]byte
	at   int    // of the word that is being put together
	word uint64 // so far
	bits uint   // that it has
	from struct {
		at   int
		word uint64
		bits uint
	}
}

// MaxLine is the most that a line may have.
const MaxLine = 256

// Begin is what all lines begin with from now on, up to MaxLine/2 bytes.
func (l *Line) Begin(p []byte) {
	n := copy(l.b[:MaxLine/2], p)
	l.from.at, l.from.bits, l.from.word = n&^7, uint(n&7)*8, 0
	for i, c := range l.b[n&^7 : n] {
		l.from.word |= uint64(c) << (8 * i)
	}
}

// Reset begins a line.
func (l *Line) Reset() { l.at, l.word, l.bits = l.from.at, l.from.word, l.from.bits }

// put adds the first n bytes of a word, 1 to 8, whose others are zero.
func (l *Line) put(w uint64, n uint) {
	l.word |= w << (l.bits & 63)
	if l.bits += 8 * n; l.bits >= 64 {
		binary.LittleEndian.PutUint64(l.b[l.at&(MaxLine-1):], l.word)
		l.at += 8
		l.bits -= 64
		// What is left of w; all of it was written when nothing is.
		l.word = w >> ((8*n - l.bits) & 63)
		if l.bits == 0 {
			l.word = 0
		}
	}
}

// Byte adds a byte.
func (l *Line) Byte(c byte) { l.put(uint64(c), 1) }

// Uint adds a number in decimal.
func (l *Line) Uint(v uint64) {
	if v >= 1e8 {
		if v >= 1e16 {
			l.Uint(v / 1e16)
			l.put(eight(v/1e8%1e8)|'0'*Ones, 8)
		} else {
			l.Uint(v / 1e8)
		}
		l.put(eight(v%1e8)|'0'*Ones, 8)
		return
	}
	w := eight(v)
	z := uint(bits.TrailingZeros64(w|1<<56)) &^ 7
	l.put((w|'0'*Ones)>>z, 8-z/8)
}

// Bytes is the line, until it begins anew. It holds at most MaxLine bytes; whoever
// fills it sees to that.
func (l *Line) Bytes() []byte {
	binary.LittleEndian.PutUint64(l.b[l.at&(MaxLine-1):], l.word)
	return l.b[:l.at+int(l.bits>>3)]
}

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
