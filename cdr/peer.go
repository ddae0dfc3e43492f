package cdr

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxNumber is the most digits of a telephone number that is kept exactly. E.164
// allows 15; prefixes come on top.
const maxNumber = 17

// PeerKey is the other end: a telephone number of up to 17 digits (with or
// without a plus sign, which changes nothing) and an IPv4 address exactly, and
// anything else as a keyed hash: IPv6 addresses however they are written, longer
// numbers, and names whatever the case of their ASCII letters. 0 when there is
// none.
func (k *Keys) PeerKey(s []byte) uint64 {
	if len(s) == 0 {
		return 0
	}
	d := s
	if d[0] == '+' {
		d = d[1:]
	}
	if len(d) <= maxNumber {
		if v, ok := decimal(d); ok {
			return NumberPeer(v, len(d))
		}
	}
	if v, ok := dotted(s); ok {
		return AddressPeer(v)
	}
	return k.otherPeer(s, d)
}

func (k *Keys) otherPeer(s, d []byte) uint64 {
	if a, err := netip.ParseAddr(string(s)); err == nil {
		return k.AddrPeer(a)
	}
	// The digits of a long number only: a plus sign is no part of it.
	if strings.Trim(string(d), "0123456789") == "" && len(d) > 0 {
		s = d
	}
	low := make([]byte, 0, 64)
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low = append(low, c)
	}
	return PeerHashed<<62 | k.peer.sum(low)>>2
}

// NumberPeer is the key of a telephone number of n digits, at most 17.
func NumberPeer(digits uint64, n int) uint64 { return PeerNumber<<62 | tens[n] + digits }

// AddressPeer is the key of an IPv4 address, its first byte the highest.
func AddressPeer(a uint32) uint64 { return PeerIPv4<<62 | uint64(a) }

// AddrPeer is the key of an address; an IPv4 address inside an IPv6 one is the
// IPv4 address, and zones are no part.
func (k *Keys) AddrPeer(a netip.Addr) uint64 {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return AddressPeer(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
	}
	b := a.As16()
	return PeerHashed<<62 | k.peer.sum(b[:])>>2
}

// PeerText gives a number or an IPv4 address back; "" for a hashed one.
func PeerText(key uint64) string {
	switch PeerKind(key) {
	case PeerNumber:
		if s := strconv.FormatUint(key<<2>>2, 10); len(s) > 1 && s[0] == '1' {
			return s[1:]
		}
	case PeerIPv4:
		return netip.AddrFrom4([4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}).String()
	}
	return ""
}

// dotted reads an IPv4 address as netip.ParseAddr does: four numbers to 255
// without leading zeros.
func dotted(s []byte) (v uint32, ok bool) {
	if len(s) < 7 || len(s) > 15 {
		return 0, false
	}
	n, dots, size := uint32(0), 0, 0
	for _, c := range s {
		if c == '.' {
			if size == 0 || dots == 3 {
				return 0, false
			}
			v = v<<8 | n
			n, size = 0, 0
			dots++
			continue
		}
		if c -= '0'; c > 9 || size > 0 && n == 0 {
			return 0, false
		}
		if n = n*10 + uint32(c); n > 255 {
			return 0, false
		}
		size++
	}
	if dots != 3 || size == 0 {
		return 0, false
	}
	return v<<8 | n, true
}
