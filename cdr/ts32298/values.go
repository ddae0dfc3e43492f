package ts32298

import (
	"encoding/binary"
	"time"

	"github.com/ringwall/ringwall/cdr"
)

const (
	lows  = 0x0f0f0f0f0f0f0f0f
	six   = 0x0606060606060606
	carry = 0x1010101010101010
)

// pairs is what sixteen digits say, of which e has the first, third and so on
// and o the others, the first in the lowest byte.
func pairs(e, o uint64) uint64 {
	t := e*10 + o
	t = (t&0x00ff00ff00ff00ff)*100 + t>>8&0x00ff00ff00ff00ff
	t = (t&0x0000ffff0000ffff)*10000 + t>>16&0x0000ffff0000ffff
	return t&0xffffffff*1e8 + t>>32
}

// cardOf is the card of an IMSI in TBCD (TS 29.002 section 17.7.8); 0 = none.
func cardOf(b []byte) uint64 {
	if len(b) == 8 {
		if card := cardOf8(binary.LittleEndian.Uint64(b)); card != 0 {
			return card
		}
	}
	var room [16]byte
	return cdr.CardKey(digits(room[:0], b))
}

// cardOf8 is cardOf for fifteen digits; 0 = others.
func cardOf8(x uint64) uint64 {
	e, o := x&lows, x>>4&lows&(1<<56-1)
	if ((e+six)|(o+six))&carry != 0 || x>>60 != 15 {
		return 0
	}
	return 1e15 + pairs(e, o)/10
}

// equipmentOf is the equipment of an IMEI or IMEISV in TBCD (TS 29.002 section
// 17.7.8); 0 = none.
func equipmentOf(b []byte) uint64 {
	if len(b) == 8 {
		if key := equipmentOf8(binary.LittleEndian.Uint64(b)); key != 0 {
			return key
		}
	}
	var room [18]byte
	return cdr.EquipmentKey(digits(room[:0], b))
}

// equipmentOf8 is equipmentOf for fifteen digits or sixteen; 0 = others.
func equipmentOf8(x uint64) uint64 {
	e, o := x&lows, x>>4&lows
	if x>>60 == 15 {
		o &= 1<<56 - 1
	}
	if ((e+six)|(o+six))&carry != 0 {
		return 0
	}
	return pairs(e&(1<<56-1), o&(1<<56-1))/100 + 1
}

// maxDigits bounds the digits of a number.
const maxDigits = 40

// digits appends the digits of TBCD: 0 to 9, * # a b c, and 15 as a filler that
// ends it (TS 29.002 section 17.7.8).
func digits(dst, b []byte) []byte {
	for i, c := range b {
		if i == maxDigits/2 {
			break
		}
		for _, d := range [2]byte{c & 15, c >> 4} {
			if d == 15 {
				return dst
			}
			dst = append(dst, "0123456789*#abc"[d])
		}
	}
	return dst
}

// number appends the digits of a BCDDirectoryNumber or AddressString: an octet
// of type and plan, perhaps one of presentation, TBCD (TS 24.008 section
// 10.5.4.7, TS 29.002 section 17.7.8). An international number has a plus sign.
func number(dst, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	kind := b[0]
	if b = b[1:]; kind < 0x80 && len(b) > 0 && b[0] >= 0x80 {
		b = b[1:]
	}
	if kind>>4&7 == 1 {
		dst = append(dst, '+')
	}
	return digits(dst, b)
}

// smsAddress appends an address of TS 23.040 section 9.1.2.5: perhaps its length
// in half octets, type of address, value; alphanumeric ones in the 7-bit alphabet.
func smsAddress(dst, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	length := -1
	if b[0] < 0x80 {
		length = int(b[0])
		b = b[1:]
	}
	if len(b) == 0 {
		return dst
	}
	switch b[0] >> 4 & 7 {
	case 5:
		return septets(dst, b[1:], length)
	case 1:
		dst = append(dst, '+')
	}
	return digits(dst, b[1:])
}

// septets appends text in the 7-bit alphabet (TS 23.038 section 6.2.1), whose
// letters, digits and common signs are those of ASCII; others become '?'.
func septets(dst, b []byte, half int) []byte {
	n := len(b) * 8 / 7
	if half >= 0 {
		n = min(n, half*4/7)
	}
	for i := range min(n, maxDigits) {
		bit := i * 7
		v := uint16(b[bit/8])
		if bit/8+1 < len(b) {
			v |= uint16(b[bit/8+1]) << 8
		}
		c := byte(v>>(bit%8)) & 0x7f
		if c < 0x20 || c == 0x24 || c == 0x40 || c > 'z' || c > 'Z' && c < 'a' {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// plmnOf reads three octets of codes (TS 24.008 section 10.5.1.3); 0 = none.
func plmnOf(b []byte) uint32 {
	if len(b) < 3 {
		return 0
	}
	c1, c2, c3, n1, n2, n3 := b[0]&15, b[0]>>4, b[1]&15, b[2]&15, b[2]>>4, b[1]>>4
	if c1 > 9 || c2 > 9 || c3 > 9 || n1 > 9 || n2 > 9 || n3 > 9 && n3 != 15 {
		return 0
	}
	country := uint32(c1)*100 + uint32(c2)*10 + uint32(c3)
	if n3 == 15 {
		return cdr.PLMN(country, uint32(n1)*10+uint32(n2), 2)
	}
	return cdr.PLMN(country, uint32(n1)*100+uint32(n2)*10+uint32(n3), 3)
}

// place is where a card was.
type place struct {
	plmn    uint32
	area    uint32
	cell    uint64
	hasArea bool
	hasCell bool
}

func (p *place) setArea(b []byte) {
	switch len(b) {
	case 2:
		p.area, p.hasArea = uint32(b[0])<<8|uint32(b[1]), true
	case 3:
		p.area, p.hasArea = uint32(b[0])<<16|uint32(b[1])<<8|uint32(b[2]), true
	}
}

func (p *place) setCell(v uint64) { p.cell, p.hasCell = v, true }

// location reads UserLocationInformation in the forms that charging records
// have it: one kind (TS 29.060 section 7.7.51, TS 29.061 section 16.4.7.2), or
// several after an octet of flags (TS 29.274 section 8.21). It reports whether it
// understood; what it does not, is no place.
func (p *place) location(b []byte) bool {
	if len(b) < 6 {
		return false
	}
	kind, b := b[0], b[1:]
	be := binary.BigEndian
	var q place
	area := func(b []byte) { // PLMN and two octets
		q.plmn = plmnOf(b)
		q.setArea(b[3:5])
	}
	switch n := len(b); {
	case kind <= 2 && n == 7: // CGI, SAI, RAI; in TS 29.274 flags 1 and 2 are CGI and SAI
		area(b)
		if kind <= 1 || b[6] != 0xff { // a RAI has one octet, and ones
			q.setCell(uint64(be.Uint16(b[5:])))
		}
	case kind == 128 && n == 5: // TAI
		area(b)
	case kind == 129 && n == 7: // ECGI
		q.plmn = plmnOf(b)
		q.setCell(uint64(be.Uint32(b[3:]) & (1<<28 - 1)))
	case kind == 130 && n == 12: // TAI and ECGI
		area(b)
		q.setCell(uint64(be.Uint32(b[8:]) & (1<<28 - 1)))
	case kind == 135 && n == 8: // NCGI
		q.plmn = plmnOf(b)
		q.setCell(be.Uint64(b) & (1<<36 - 1))
	case kind == 136 && n == 6: // 5GS TAI
		q.plmn = plmnOf(b)
		q.setArea(b[3:6])
	case kind == 137 && n == 14: // 5GS TAI and NCGI
		q.plmn = plmnOf(b)
		q.setArea(b[3:6])
		q.setCell(be.Uint64(b[6:]) & (1<<36 - 1))
	case kind < 0x40:
		if !q.flagged(kind, b) {
			return false
		}
	default:
		return false
	}
	if q.plmn == 0 {
		return false
	}
	*p = q
	return true
}

// flagged reads CGI, SAI, RAI, TAI, ECGI and LAI in that order, as flags say. The
// evolved ones are preferred: they are where the card is served.
func (q *place) flagged(flags byte, b []byte) bool {
	take := func(bit byte, n int) []byte {
		if flags&bit == 0 || len(b) < n {
			return nil
		}
		v := b[:n]
		b = b[n:]
		return v
	}
	cgi, sai, rai, tai, ecgi, lai := take(1, 7), take(2, 7), take(4, 7), take(8, 5), take(16, 7), take(32, 5)
	for _, v := range [][]byte{lai, rai, sai, cgi, tai} {
		if v != nil {
			q.plmn = plmnOf(v)
			q.setArea(v[3:5])
		}
	}
	for _, v := range [][]byte{sai, cgi} {
		if v != nil {
			q.setCell(uint64(binary.BigEndian.Uint16(v[5:])))
		}
	}
	if ecgi != nil {
		q.plmn = plmnOf(ecgi)
		q.setCell(uint64(binary.BigEndian.Uint32(ecgi[3:]) & (1<<28 - 1)))
	}
	return q.plmn != 0
}

// clock reads TimeStamps (module GenericChargingDataTypes) to the second. It
// remembers the day that came last.
type clock struct {
	date uint32
	day  int64
	// All but hours, minutes and seconds of the last that was read at once, and when
	// its day began.
	rest uint64
	base int64
}

// read9 is read for the nine octets of a TimeStamp: eight, and the last.
func (c *clock) read9(x uint64, last byte) int64 {
	if rest := x&^(0xffffff<<24) | uint64(last)<<24 | 1<<32; rest != c.rest {
		sec := c.read(append(binary.LittleEndian.AppendUint64(nil, x), last))
		if sec == 0 {
			return 0
		}
		t := x>>28&0x0f0f0f*10 + x>>24&0x0f0f0f
		c.rest, c.base = rest, sec-int64(t&0xff)*3600-int64(t>>8&0xff)*60-int64(t>>16)
		return sec
	}
	h, l := x>>28&0x0f0f0f, x>>24&0x0f0f0f
	t := h*10 + l
	// No digit above nine, no hour above 23, no minute or second above 59.
	if ((h+0x060606)|(l+0x060606))&0x101010|(t+(0x7f-23)+(0x7f-59)<<8+(0x7f-59)<<16)&0x808080 != 0 {
		return 0
	}
	return c.base + int64(t&0xff)*3600 + int64(t>>8&0xff)*60 + int64(t>>16)
}

// read reads a TimeStamp; 0 = it is none.
func (c *clock) read(b []byte) int64 {
	if len(b) != 9 {
		return 0
	}
	x := binary.LittleEndian.Uint64(b)
	z := x&^(0xff<<48) | uint64(b[8])<<48 // the sign gives way to the minutes of the zone
	if ((z>>4&lows+six)|(z&lows+six))&carry != 0 {
		return 0
	}
	t := z>>4&lows*10 + z&lows
	h, m, s, zm, zh := int64(t>>24&0xff), int64(t>>32&0xff), int64(t>>40&0xff), int64(t>>48&0xff), int64(t>>56)
	if h > 23 || m > 59 || s > 59 || zm > 59 || zh > 23 {
		return 0
	}
	if date := uint32(x)&0xffffff | 1<<24; date != c.date {
		if !c.turn(int(t&0xff), int(t>>8&0xff), int(t>>16&0xff)) {
			return 0
		}
		c.date = date
	}
	sec := c.day + h*3600 + m*60 + s
	switch off := zh*3600 + zm*60; b[6] {
	case '+':
		return sec - off
	case '-':
		return sec + off
	}
	return 0
}

// turn sets the day: of this century, or of the nineties.
func (c *clock) turn(y, m, d int) bool {
	if y += 2000; y >= 2090 {
		y -= 100
	}
	if m < 1 || m > 12 || d < 1 {
		return false
	}
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	c.date, c.day = 0, t.Unix()
	return t.Day() == d
}
