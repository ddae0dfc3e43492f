package cdr

import (
	"time"

	"github.com/ringwall/ringwall/cdr/internal/text"
)

// clock reads times to the second.
type clock struct {
	form   uint8
	zone   *time.Location
	first  uint64 // of the day that was read last, "2026-11-"
	second uint16 // and "21"
	day    int64  // seconds since 1970 at its beginning
	hour   int64  // of which the difference to UTC is known, as if the zone were UTC
	ahead  int64
	known  bool
}

const (
	formNone    = iota // by package time
	formDefault        // RFC 3339, or seconds since 1970
	formCompact        // 20060102150405
	formBlank          // 2006-01-02 15:04:05
	formLetter         // 2006-01-02T15:04:05
)

func newClock(l *Layout) clock {
	c := clock{zone: l.m.Zone}
	switch l.m.Time {
	case "":
		c.form = formDefault
	case "20060102150405":
		c.form = formCompact
	case "2006-01-02 15:04:05":
		c.form = formBlank
	case "2006-01-02T15:04:05":
		c.form = formLetter
	}
	return c
}

// read reads the time at i and tells how many bytes it has; -1 = it is not one
// that is understood here.
func (c *clock) read(b []byte, i int) (sec int64, n int) {
	switch c.form {
	case formDefault:
		w := text.Load(b, i)
		if v, n := lead(w); n == 8 {
			return c.epoch(b, i, v)
		}
		if sec, n = c.civil(b, i, w, 'T'); n < 0 {
			return 0, -1
		}
		sec, n = rest(b, i, sec)
	case formBlank:
		if sec, n = c.civil(b, i, text.Load(b, i), ' '); n > 0 {
			sec, n = c.local(sec, n)
		}
	case formLetter:
		if sec, n = c.civil(b, i, text.Load(b, i), 'T'); n > 0 {
			sec, n = c.local(sec, n)
		}
	case formCompact:
		if sec, n = c.compact(b, i); n > 0 {
			sec, n = c.local(sec, n)
		}
	default:
		return 0, -1
	}
	if sec < minTime || sec >= maxTime {
		return 0, -1
	}
	return sec, n
}

// epoch reads seconds since 1970, of which the first eight digits are v.
func (c *clock) epoch(b []byte, i int, v uint64) (int64, int) {
	m := 0
	for n := 8; n < 10; n++ {
		d := b[i+n] - '0'
		if d > 9 {
			break
		}
		v = v*10 + uint64(d)
		m++
	}
	n := 8 + m
	if v < minTime || v >= maxTime {
		return 0, -1
	}
	if b[i+n] == '.' {
		_, k := leading(b, i+n+1)
		if k == 0 || k > 9 {
			return 0, -1
		}
		n += 1 + k
	}
	return int64(v), n
}

// civil reads "2006-01-02T15:04:05", as if in UTC; w are its first eight bytes.
func (c *clock) civil(b []byte, i int, w uint64, sep byte) (int64, int) {
	w1, w2 := text.Load(b, i+8), text.Load(b, i+16)
	if w != c.first || uint16(w1) != c.second || !c.known {
		if !c.date(w&0xffffffff|w>>40&0xffff<<32|w1<<48, w, uint16(w1)) || byte(w>>32) != '-' || byte(w>>56) != '-' {
			c.known = false
			return 0, -1
		}
	}
	if byte(w1>>16) != sep || byte(w1>>40) != ':' || byte(w2) != ':' {
		return 0, -1
	}
	t := w1>>24&0xffff | w1>>48<<16 | w2>>8&0xffff<<32
	s, ok := day(t)
	if !ok {
		return 0, -1
	}
	return c.day + s, 19
}

// compact reads "20060102150405".
func (c *clock) compact(b []byte, i int) (int64, int) {
	w, w1 := text.Load(b, i), text.Load(b, i+8)
	if w != c.first || !c.known {
		// Here all eight digits are the first, and there is no second.
		if !c.date(w, w, 0) {
			c.known = false
			return 0, -1
		}
	}
	s, ok := day(w1 & (1<<48 - 1))
	if !ok {
		return 0, -1
	}
	return c.day + s, 14
}

// day reads "150405" in the low six bytes of t.
func day(t uint64) (int64, bool) {
	t ^= 0x303030303030
	if (t+0x767676767676|t)&0x808080808080 != 0 {
		return 0, false
	}
	t = t*10 + t>>8
	h, m, s := t&0xff, t>>16&0xff, t>>32&0xff
	return int64(h*3600 + m*60 + s), h < 24 && m < 60 && s < 60
}

// date makes eight digits of a date the day that is known.
func (c *clock) date(digits, first uint64, second uint16) bool {
	v, n := lead(digits)
	y, m, d := v/10000, v/100%100, v%100
	if n != 8 || y < 1970 || m < 1 || m > 12 || d < 1 || d > 31 {
		return false
	}
	t := time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)
	if t.Day() != int(d) {
		return false
	}
	c.first, c.second, c.day, c.known = first, second, t.Unix(), true
	return true
}

// local makes of a time as if in UTC the one in the zone.
func (c *clock) local(sec int64, n int) (int64, int) {
	if c.zone == nil || c.zone == time.UTC {
		return sec, n
	}
	if hour := sec / 3600; hour != c.hour {
		// Within one hour without a change of the clock the difference is one.
		a := time.Unix(hour*3600, 0).UTC()
		at := func(s int) int64 {
			return time.Date(a.Year(), a.Month(), a.Day(), a.Hour(), 0, s, 0, c.zone).Unix()
		}
		begin, end := at(0), at(3599)
		if end-begin != 3599 {
			return 0, -1
		}
		c.hour, c.ahead = hour, hour*3600-begin
	}
	return sec - c.ahead, n
}

// rest reads what follows the seconds in RFC 3339.
func rest(b []byte, i int, sec int64) (int64, int) {
	n := 19
	if b[i+n] == '.' {
		_, k := leading(b, i+n+1)
		if k == 0 || k > 9 {
			return 0, -1
		}
		n += 1 + k
	}
	switch b[i+n] {
	case 'Z':
		return sec, n + 1
	case '+', '-':
		w := text.Load(b, i+n+1)
		h, hn := lead(w & 0xffff)
		m, mn := lead(w >> 24 & 0xffff)
		if hn != 2 || mn != 2 || byte(w>>16) != ':' || h > 23 || m > 59 {
			return 0, -1
		}
		off := int64(h*3600 + m*60)
		if b[i+n] == '-' {
			off = -off
		}
		return sec - off, n + 6
	}
	return 0, -1
}
