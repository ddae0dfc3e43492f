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

// Line puts short texts one behind the other. It writes whole words, each at its
// place: a processor hands on what was written a moment ago only to who reads it as
// it was written. All lines have the same beginning until there is another.
type Line struct {
	b    [MaxLine + 32]byte
	from Tail
}

// Tail is the end of a line that is being put together. It is a value, so that it
// can stay in registers.
type Tail struct {
	word uint64 // the last, so far
	bits uint   // that it has, less than 64
	at   int    // of the word
}

// MaxLine is the most that a line may have; who fills it sees to that.
const MaxLine = 256

// Begin is what all lines begin with from now on, up to MaxLine/2 bytes.
func (l *Line) Begin(p []byte) {
	n := copy(l.b[:MaxLine/2], p)
	l.from = Tail{at: n &^ 7, bits: uint(n&7) * 8}
	for i, c := range l.b[n&^7 : n] {
		l.from.word |= uint64(c) << (8 * i)
	}
}

// Start begins a line.
func (l *Line) Start() Tail { return l.from }

// put adds the first n bytes of a word, 1 to 8, whose others are zero. Whether the
// word before it is full then is hard to guess, and so it is no branch.
func (l *Line) put(t Tail, w uint64, n uint) Tail {
	word := t.word | w<<(t.bits&63)
	binary.LittleEndian.PutUint64(l.b[t.at&(MaxLine-1):], word)
	all := t.bits + 8*n
	full := uint64(all >> 6)
	rest := w >> 1 >> ((63 - t.bits) & 63) // what the word had no room for
	return Tail{word ^ (word^rest)&-full, all & 63, t.at + int(full<<3)}
}

// Byte adds a byte.
func (l *Line) Byte(t Tail, c byte) Tail { return l.put(t, uint64(c), 1) }

// Uint adds a number in decimal.
func (l *Line) Uint(t Tail, v uint64) Tail {
	if v < 1e8 {
		return l.some(t, v)
	}
	if v >= 1e16 {
		t = l.some(t, v/1e16)
		t = l.put(t, eight(v/1e8%1e8)|'0'*Ones, 8)
	} else {
		t = l.some(t, v/1e8)
	}
	return l.put(t, eight(v%1e8)|'0'*Ones, 8)
}

// Number adds a byte and a number in decimal.
func (l *Line) Number(t Tail, c byte, v uint64) Tail {
	switch {
	case v < 1e7:
		w := eight(v)
		z := uint(bits.TrailingZeros64(w|1<<56)) &^ 7
		return l.put(t, (w|'0'*Ones)>>z<<8|uint64(c), 9-z/8)
	case v >= 1e9 && v < 1e10: // such as a time: the byte, seven digits, and three
		q := v / 1e3
		t = l.put(t, eight(q)|'0'*(Ones-1)|uint64(c), 8)
		h := (v - q*1e3) * 41 >> 12 & 0xf
		r := v - q*1e3 - h*100
		d := r * 103 >> 10
		return l.put(t, h|d<<8|(r-d*10)<<16|'0'*(Ones&0xffffff), 3)
	}
	return l.Uint(l.put(t, uint64(c), 1), v)
}

// some adds a number of at most eight digits.
func (l *Line) some(t Tail, v uint64) Tail {
	w := eight(v)
	z := uint(bits.TrailingZeros64(w|1<<56)) &^ 7
	return l.put(t, (w|'0'*Ones)>>z, 8-z/8)
}

// Bytes is a line, until another is begun.
func (l *Line) Bytes(t Tail) []byte {
	binary.LittleEndian.PutUint64(l.b[t.at&(MaxLine-1):], t.word)
	return l.b[:t.at+int(t.bits>>3)]
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
