package cdr

import (
	"encoding/binary"
	"math/bits"
)

// sip is SipHash-1-3 with a key of 128 bits (Aumasson and Bernstein, "SipHash: a
// fast short-input PRF", section 2, with one round a word and three at the end):
// what it answers tells nothing of the key or of other answers.
type sip struct{ k0, k1 uint64 }

func (k sip) sum(b []byte) uint64 {
	v0, v1 := k.k0^0x736f6d6570736575, k.k1^0x646f72616e646f6d
	v2, v3 := k.k0^0x6c7967656e657261, k.k1^0x7465646279746573
	n := uint64(len(b)) << 56
	for len(b) >= 8 {
		m := binary.LittleEndian.Uint64(b)
		b = b[8:]
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	v3 ^= n
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= n
	v2 ^= 0xff
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}

// mixer hashes by multiplying words to 128 bits and folding them, with secret
// words in between: three times as fast as sip, spreads as well, but is not
// proven to hide what it was given. It is for what is no secret: numbers of
// records and names of access points.
type mixer struct{ k0, k1, k2 uint64 }

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// sum hashes b together with a number.
func (k *mixer) sum(with uint64, b []byte) uint64 {
	seed := fold(with^k.k0, uint64(len(b))^k.k1)
	for len(b) > 16 {
		seed = fold(binary.LittleEndian.Uint64(b)^k.k1, binary.LittleEndian.Uint64(b[8:])^seed)
		b = b[16:]
	}
	lo, hi := pair(b)
	return fold(fold(lo^k.k1, hi^seed)^k.k2, seed^k.k0)
}

// pair gives up to 16 bytes as two words; different ones of one length are
// different.
func pair(b []byte) (lo, hi uint64) {
	switch n := len(b); {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<32, 0
	case n > 0:
		return uint64(b[0]) | uint64(b[n>>1])<<8 | uint64(b[n-1])<<16, 0
	}
	return 0, 0
}

// lower makes the ASCII capitals of eight bytes small.
func lower(w uint64) uint64 {
	low := w &^ highs
	atLeastA := low + (0x80-'A')*ones
	aboveZ := low + (0x80-'Z'-1)*ones
	return w | (atLeastA&^aboveZ&^w&highs)>>2
}

// sumLower hashes b with its ASCII capitals made small, as sum hashes it.
func (k *mixer) sumLower(with uint64, b []byte) uint64 {
	seed := fold(with^k.k0, uint64(len(b))^k.k1)
	for len(b) > 16 {
		seed = fold(lower(binary.LittleEndian.Uint64(b))^k.k1, lower(binary.LittleEndian.Uint64(b[8:]))^seed)
		b = b[16:]
	}
	lo, hi := pair(b)
	return fold(fold(lower(lo)^k.k1, lower(hi)^seed)^k.k2, seed^k.k0)
}
