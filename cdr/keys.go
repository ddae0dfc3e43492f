package cdr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// Keys makes the numbers by which events name cards, places and peers. Numbers
// of cards and equipment are themselves, other names are hashed with a secret:
// machines that share it make the same numbers, in any order and at any time. It
// is not changed after NewKeys and may be shared by goroutines.
//
// What people could be found by (peers, cells that are no numbers) goes through
// SipHash; names of access points and numbers of records, which are no secrets,
// through something faster that makes no such promise.
type Keys struct {
	peer, place sip
	id, apn     mixer
}

// NewKeys derives keys from a secret. All machines that work on one input need
// the same one, and whoever has it can find peers by trying all.
func NewKeys(secret [32]byte) *Keys {
	word := func(purpose string, i int) uint64 {
		m := hmac.New(sha256.New, secret[:])
		m.Write([]byte("cdr keys 1\x00" + purpose))
		return binary.LittleEndian.Uint64(m.Sum(nil)[8*i:])
	}
	return &Keys{
		peer:  sip{word("peer", 0), word("peer", 1)},
		place: sip{word("place", 0), word("place", 1)},
		id:    mixer{word("id", 0), word("id", 1), word("id", 2)},
		apn:   mixer{word("apn", 0), word("apn", 1), word("apn", 2)},
	}
}

// CardKey is an IMSI as a number: its 6 to 15 digits with a 1 before them, so
// that leading zeros and lengths are kept. 0 when it is none.
func CardKey[T ~string | ~[]byte](imsi T) uint64 {
	if len(imsi) < 6 || len(imsi) > 15 {
		return 0
	}
	v, ok := decimal([]byte(imsi))
	if !ok {
		return 0
	}
	return tens[len(imsi)] + v
}

// IMSIOf is the inverse of CardKey; "" when key is none.
func IMSIOf(key uint64) string {
	s := strconv.FormatUint(key, 10)
	if len(s) < 7 || len(s) > 16 || s[0] != '1' {
		return ""
	}
	return s[1:]
}

// EquipmentKey is the equipment that an IMEI or IMEISV of 14 to 16 digits names:
// its first 14 digits, plus one. The 15th is a check digit or the first of the
// software's version (TS 23.003 sections 6.2.1 and 6.2.2). 0 when it is none.
func EquipmentKey[T ~string | ~[]byte](imei T) uint64 {
	if len(imei) < 14 || len(imei) > 16 {
		return 0
	}
	all := []byte(imei)
	v, ok := decimal(all[:14])
	if !ok {
		return 0
	}
	for _, c := range all[14:] {
		if c < '0' || c > '9' {
			return 0
		}
	}
	return v + 1
}

// IMEIOf is the inverse of EquipmentKey, as 14 digits; "" when key is none.
func IMEIOf(key uint64) string {
	if key == 0 || key > tens[14] {
		return ""
	}
	return strconv.FormatUint(tens[14]+key-1, 10)[1:]
}

// TAC is the type allocation code of the equipment: its first eight digits.
func TAC(key uint64) uint32 {
	if key == 0 {
		return 0
	}
	return uint32((key - 1) / 1e6)
}

// ParsePLMN reads a network, such as "46000" or "310410": three digits of mobile
// country code, two or three of network code. The country code is in the highest
// 12 bits, the number of digits of the network code in bits 10 and 11, the code
// below. 0 when it is none.
func ParsePLMN[T ~string | ~[]byte](s T) uint32 {
	if len(s) != 5 && len(s) != 6 {
		return 0
	}
	v, ok := decimal([]byte(s))
	if !ok {
		return 0
	}
	if len(s) == 5 {
		return PLMN(uint32(v/100), uint32(v%100), 2)
	}
	return PLMN(uint32(v/1000), uint32(v%1000), 3)
}

// PLMN packs a network as ParsePLMN does; n is the number of digits of its code.
func PLMN(country, network, n uint32) uint32 { return country<<20 | n<<10 | network }

// PLMNText is the inverse of ParsePLMN; "" when p is none.
func PLMNText(p uint32) string {
	n := p >> 10 & 3
	if n < 2 || p>>20 > 999 || p&(1<<10-1) >= uint32(tens[n]) {
		return ""
	}
	s := strconv.FormatUint((1000+uint64(p>>20))*tens[n]+uint64(p&(1<<10-1)), 10)
	return s[1:]
}

// Country is the mobile country code of a network.
func Country(plmn uint32) uint32 { return plmn >> 20 }

// IDKey names a record for its card: two records of one card with one id have
// one key. 0 when there is no id.
func (k *Keys) IDKey(card uint64, id []byte) uint64 {
	if len(id) == 0 {
		return 0
	}
	return k.id.sum(card, id) | 1
}

// APNKey is the name of an access point, whatever the case of its ASCII letters;
// 0 when there is none.
func (k *Keys) APNKey(name []byte) uint32 {
	if len(name) == 0 {
		return 0
	}
	return uint32(k.apn.sumLower(0, name)>>32) | 1
}

var tens = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// decimal reads 1 to 19 digits.
func decimal(b []byte) (v uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	for len(b) >= 8 {
		w, ok := eight(binary.LittleEndian.Uint64(b))
		if !ok {
			return 0, false
		}
		v = v*1e8 + w
		b = b[8:]
	}
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + uint64(c)
	}
	return v, true
}

// eight reads eight digits at once, the first in the lowest byte.
func eight(w uint64) (uint64, bool) {
	d := w ^ 0x30*ones
	if (d+0x76*ones|d)&highs != 0 {
		return 0, false
	}
	d = d*10 + d>>8
	d = ((d&0x000000FF000000FF)*(100+1e6<<32) + (d>>16&0x000000FF000000FF)*(1+1e4<<32)) >> 32
	return d, true
}
