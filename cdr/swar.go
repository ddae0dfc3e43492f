package cdr

import (
	"encoding/binary"
	"math/bits"
)

// pad is how many bytes must follow a line in its buffer, so that eight can be
// read at once anywhere in it.
const pad = 32

func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }

// has marks the bytes of w that are those of x: the lowest mark is right, those
// above a right one may not be.
func has(w, x uint64) uint64 {
	w ^= x
	return (w - ones) &^ w & highs
}

// first is the place of the lowest mark.
func first(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

// digitsAt counts the digits at the beginning of eight bytes.
func digitsAt(w uint64) int {
	t := w ^ 0x30*ones
	return bits.TrailingZeros64((t+0x76*ones|t)&highs) >> 3
}

// value is what eight digits say, each a byte of 0 to 9, the first the lowest.
func value(t uint64) uint64 {
	t = t*10 + t>>8
	return ((t&0x000000FF000000FF)*(100+1e6<<32) + (t>>16&0x000000FF000000FF)*(1+1e4<<32)) >> 32
}

// lead reads the digits at the beginning of eight bytes: their value and how
// many there are, 0 to 8.
func lead(w uint64) (v uint64, n int) {
	t := w ^ 0x30*ones
	n = bits.TrailingZeros64((t+0x76*ones|t)&highs) >> 3
	return value(t << uint(64-8*n)), n
}

// number reads up to 16 digits at i; n may be 16 for more.
func number(b []byte, i int) (v uint64, n int) {
	v, n = lead(load(b, i))
	if n == 8 {
		w, m := lead(load(b, i+8))
		return v*tens[m] + w, 8 + m
	}
	return v, n
}

// address reads a dotted IPv4 address at i and how long it is; 0 = there is
// none, or not in the one way in which it is written without leading zeros.
func address(b []byte, i int) (v uint32, n int) {
	at := i
	for k := 0; ; k++ {
		t := binary.LittleEndian.Uint32(b[at:at+4:at+4]) ^ 0x30303030
		n := bits.TrailingZeros32((t+0x76767676|t)&0x80808080) >> 3
		if n == 0 || n > 3 || n > 1 && t&0xff == 0 {
			return 0, 0
		}
		t = t << uint(8*(3-n)) & 0xffffff
		o := t&0xff*100 + t>>8&0xff*10 + t>>16
		if o > 255 {
			return 0, 0
		}
		v, at = v<<8|o, at+n
		if k == 3 {
			return v, at - i
		}
		if b[at] != '.' {
			return 0, 0
		}
		at++
	}
}
