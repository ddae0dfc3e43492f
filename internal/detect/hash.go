package detect

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// ways is the size of a bucket of every table.
const ways = 8

// hasher mixes keys with a secret seed, so that nobody can choose addresses
// that meet in one bucket. Sixty-four bits identify an entry: that two of a
// table's entries share them has a chance below 2^-30.
type hasher struct{ a, b uint64 }

func mix(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}

// addr hashes an address.
func (h hasher) addr(a netip.Addr) uint64 {
	if a.Is4() {
		v := a.As4()
		x := uint64(binary.BigEndian.Uint32(v[:]))
		return mix(x^h.a, h.b^0x9e3779b97f4a7c15) | 1
	}
	v := a.As16()
	return mix(binary.BigEndian.Uint64(v[:8])^h.a, binary.BigEndian.Uint64(v[8:])^h.b) | 1
}

// side hashes an address and a port.
func (h hasher) side(addr uint64, port uint16) uint64 {
	return mix(addr^h.b, uint64(port)+0xa0761d6478bd642f^h.a)
}

// both joins two ends, the same for either order.
func (h hasher) both(x, y uint64, proto uint8) uint64 {
	return mix(x+y^h.a, (x^y)+uint64(proto)|1) | 1
}

// ordered joins two keys and a number; the order matters.
func (h hasher) ordered(x, y, n uint64) uint64 {
	return mix(x^h.a, bits.RotateLeft64(y, 17)^h.b^n*0xe7037ed1a0b428db) | 1
}

// bytes hashes a text.
func (h hasher) bytes(b []byte) uint64 {
	k := h.a
	for len(b) >= 8 {
		k = mix(k^binary.LittleEndian.Uint64(b), h.b)
		b = b[8:]
	}
	for _, c := range b {
		k = mix(k^uint64(c), h.b)
	}
	return mix(k, h.b)
}
