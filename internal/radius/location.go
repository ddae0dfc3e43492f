package radius

import (
	"encoding/binary"
	"fmt"
)

// Location is where a card was, as 3GPP-User-Location-Info tells it (TS 29.061
// section 16.4.7.2). Kind is "" when it is not known or of a kind that this package
// does not know.
type Location struct {
	Kind string // "cgi", "sai", "rai", "tai", "ecgi", "tai+ecgi"
	PLMN string // mobile country code and network code, such as "46000"
	Area uint32 // LAC, or TAC
	Cell uint32 // CI, SAC, RAC or E-UTRAN cell identifier
}

func (l Location) String() string {
	if l.Kind == "" {
		return "unknown"
	}
	return fmt.Sprintf("%s %s-%d-%d", l.Kind, l.PLMN, l.Area, l.Cell)
}

// Kinds of locations by their number.
const (
	locCGI     = 0
	locSAI     = 1
	locRAI     = 2
	locTAI     = 128
	locECGI    = 129
	locTAIECGI = 130
)

// location reads what it knows; anything else is no location, since that decides
// nothing.
func location(v []byte) (l Location) {
	if len(v) < 1 {
		return l
	}
	kind, v := v[0], v[1:]
	area := func() {
		l.PLMN, l.Area = plmn(v), uint32(binary.BigEndian.Uint16(v[3:]))
	}
	switch {
	case (kind == locCGI || kind == locSAI || kind == locRAI) && len(v) == 7:
		area()
		l.Kind = map[byte]string{locCGI: "cgi", locSAI: "sai", locRAI: "rai"}[kind]
		l.Cell = uint32(binary.BigEndian.Uint16(v[5:]))
	case kind == locTAI && len(v) == 5:
		area()
		l.Kind = "tai"
	case kind == locECGI && len(v) == 7:
		l.Kind, l.PLMN, l.Cell = "ecgi", plmn(v), binary.BigEndian.Uint32(v[3:])&(1<<28-1)
	case kind == locTAIECGI && len(v) == 12:
		area()
		l.Kind, l.Cell = "tai+ecgi", binary.BigEndian.Uint32(v[8:])&(1<<28-1)
	}
	if l.PLMN == "" {
		return Location{}
	}
	return l
}

// encode is the inverse of location.
func (l Location) encode() []byte {
	p, ok := packPLMN(l.PLMN)
	if !ok {
		return nil
	}
	area := binary.BigEndian.AppendUint16(p[:3:3], uint16(l.Area))
	switch l.Kind {
	case "cgi":
		return append([]byte{locCGI}, binary.BigEndian.AppendUint16(area, uint16(l.Cell))...)
	case "sai":
		return append([]byte{locSAI}, binary.BigEndian.AppendUint16(area, uint16(l.Cell))...)
	case "rai":
		return append([]byte{locRAI}, binary.BigEndian.AppendUint16(area, uint16(l.Cell))...)
	case "tai":
		return append([]byte{locTAI}, area...)
	case "ecgi":
		return append([]byte{locECGI}, binary.BigEndian.AppendUint32(p[:3:3], l.Cell)...)
	case "tai+ecgi":
		return append([]byte{locTAIECGI}, binary.BigEndian.AppendUint32(append(area, p...), l.Cell)...)
	}
	return nil
}

// plmn reads the three bytes of codes (TS 24.008 section 10.5.1.3); "" when they
// are no digits.
func plmn(v []byte) string {
	d := []byte{v[0] & 15, v[0] >> 4, v[1] & 15, v[2] & 15, v[2] >> 4}
	if third := v[1] >> 4; third != 15 {
		d = append(d, third)
	}
	for i, n := range d {
		if n > 9 {
			return ""
		}
		d[i] = '0' + n
	}
	return string(d)
}

func packPLMN(s string) ([]byte, bool) {
	if d, ok := digits([]byte(s), 5, 6); !ok || d == "" {
		return nil, false
	}
	third := byte(15)
	if len(s) == 6 {
		third = s[5] - '0'
	}
	n := func(i int) byte { return s[i] - '0' }
	return []byte{n(0) | n(1)<<4, n(2) | third<<4, n(3) | n(4)<<4}, true
}
