package cdr

import (
	"encoding/binary"
	"math/bits"

	"github.com/ringwall/ringwall/cdr/internal/text"
)

const (
	ones  = text.Ones
	highs = text.Highs
)

// lead reads the digits at the beginning of eight bytes: their value and how
// many there are, 0 to 8.
func lead(w uint64) (v uint64, n int) {
	t := w ^ 0x30*ones
	n = bits.TrailingZeros64((t+0x76*ones|t)&highs) >> 3
	return text.Value(t << uint(64-8*n)), n
}

// leading reads up to 16 digits at i; n may be 16 for more.
func leading(b []byte, i int) (v uint64, n int) {
	v, n = lead(text.Load(b, i))
	if n == 8 {
		w, m := lead(text.Load(b, i+8))
		return v*tens[m] + w, 8 + m
	}
	return v, n
}

// address reads a dotted IPv4 address of n bytes at i, in the one way in which it
// is written without leading zeros.
func address(b []byte, i, n int) (uint32, bool) {
	if n < 7 || n > 15 {
		return 0, false
	}
	// A bit for each dot: the highest bits of the bytes that are one, moved together
	// by a multiplication.
	d0 := text.Equal(text.Load(b, i), '.'*ones) >> 7 * 0x0102040810204080 >> 56
	d1 := text.Equal(text.Load(b, i+8), '.'*ones) >> 7 * 0x0102040810204080 >> 56
	dots := (d0 | d1<<8) & (1<<uint(n) - 1)
	p1 := bits.TrailingZeros64(dots | 1<<16)
	dots &= dots - 1
	p2 := bits.TrailingZeros64(dots | 1<<16)
	dots &= dots - 1
	p3 := bits.TrailingZeros64(dots | 1<<16)
	dots &= dots - 1
	a, w1 := octet(b, i, p1)
	c, w2 := octet(b, i+p1+1, p2-p1-1)
	e, w3 := octet(b, i+p2+1, p3-p2-1)
	g, w4 := octet(b, i+p3+1, n-p3-1)
	return a<<24 | c<<16 | e<<8 | g, w1|w2|w3|w4 == 0 && dots == 0
}

// octet reads a number to 255 of n digits; wrong is not zero when it is none.
func octet(b []byte, i, n int) (v, wrong uint32) {
	t := binary.LittleEndian.Uint32(b[i:i+4:i+4]) ^ 0x30303030
	t = t << (uint(24-8*n) & 31) & 0xffffff
	v = t&0xff*100 + t>>8&0xff*10 + t>>16
	return v, (t+0x767676|t)&0x808080 | uint32((n-1)|(3-n))>>31 | (255-v)>>31 | (v-least[uint(n)&3])>>31
}

// least is the least number of so many digits.
var least = [4]uint32{0, 0, 10, 100}
