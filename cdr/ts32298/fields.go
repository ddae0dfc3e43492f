package ts32298

import (
	"net/netip"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
	"github.com/ringwall/ringwall/cdr/internal/text"
)

// addressIn finds the address in a PDPAddress or a PDUAddress: choices within
// choices, whose innermost element it is (module GenericChargingDataTypes).
func addressIn(b []byte) string {
	for p, end, depth := 0, len(b), 0; depth < 4; depth++ {
		e, err := ber.Parse(b, p, end)
		if err != nil || e.Class != ber.Context && e.Class != ber.Universal {
			return ""
		}
		if e.Constructed {
			p, end = e.From, e.To
			continue
		}
		v := b[e.From:e.To]
		if e.Tag == 2 || e.Tag == 3 { // as text
			a, err := netip.ParseAddr(string(v))
			if err != nil {
				return ""
			}
			return a.WithZone("").String()
		}
		if a, ok := netip.AddrFromSlice(v); ok {
			return a.String()
		}
		return ""
	}
	return ""
}

// equip takes the equipment of a SubscriberEquipmentNumber when it is an IMEI:
// in TBCD, or in digits as network functions of 5GS have it.
func (d *Decoder) equip(b []byte) {
	f := &d.f
	v := f.equipment2.of(b)
	if f.equipType != 0 || len(v) == 0 {
		return
	}
	if len(v) <= 8 {
		f.equipment, f.imei, f.imeiText = equipmentOf(v), f.equipment2, false
		return
	}
	text := f.equipment2
	text.from += int32(prefix(v, "imei-") + prefix(v, "imeisv-"))
	f.equipment, f.imei, f.imeiText = cdr.EquipmentKey(text.of(b)), text, true
}

// textCard is the card of a SUPI or of an IMSI in digits; 0 = none.
func textCard(b []byte, from, to int) uint64 {
	v := b[from:to]
	v = v[prefix(v, "imsi-"):]
	if len(v) == 15 && to >= 16 {
		lo, hi := text.Last(b, to, 15)
		if text.NoDigits(lo, hi) != 0 {
			return 0
		}
		return 1e15 + text.Value(hi)*1e8 + text.Value(lo)
	}
	return cdr.CardKey(v)
}

func prefix(v []byte, p string) int {
	if len(v) > len(p) && string(v[:len(p)]) == p {
		return len(p)
	}
	return 0
}

func cut(at int) error {
	return ringwall.Errorf(ringwall.Invalid, "byte %d: the element ends behind its surroundings", at)
}

func wrong(what string, v []byte) error {
	return ringwall.Errorf(ringwall.Invalid, "a %s of %d octets that is none", what, len(v))
}

// number8 reads an integer that is not negative.
func number8(v []byte, to *uint64) bool {
	n, ok := ber.Uint(v)
	*to = n
	return ok
}

// add adds an integer that is not negative; sums stop at the most.
func add(v []byte, to *uint64) bool {
	n, ok := ber.Uint(v)
	if *to += n; *to < n {
		*to = 1<<64 - 1
	}
	return ok
}

// unsigned reads a number of 32 bits that some write without its leading zero.
func unsigned(v []byte) (n uint64) {
	for _, c := range v[max(0, len(v)-8):] {
		n = n<<8 | uint64(c)
	}
	return n
}

// hexadecimal reads up to nine hexadecimal digits.
func hexadecimal(v []byte) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > 9 {
		return 0, false
	}
	for _, c := range v {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, true
}
