package cdr

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ringwall/ringwall"
)

// Bounds.
const (
	MaxLine    = 64 << 10 // bytes of one line
	MaxColumns = 256
	maxField   = 256 // bytes of one field that is kept
)

// Columns, in the order in which a Writer writes them.
var columns = [...]string{"id", "time", "imsi", "imei", "service", "direction", "peer", "apn", "up", "down", "area", "cell", "duration", "plmn", "flags", "address"}

const (
	colID = iota
	colTime
	colIMSI
	colIMEI
	colService
	colDirection
	colPeer
	colAPN
	colUp
	colDown
	colArea
	colCell
	colDuration
	colPLMN
	colFlags
	colAddress
)

// Columns returns the names of all columns.
func Columns() []string { return append([]string(nil), columns[:]...) }

// Mapping says how another system's file differs from ours. The zero value is
// ours.
type Mapping struct {
	// Names gives, for a column of ours, the name in the header. Columns that
	// are not in it keep our name.
	Names map[string]string
	// Time is the layout of times, as package time writes it; "" means RFC 3339
	// or seconds since 1970 with or without a fraction.
	Time string
	// Zone is where times without a zone are; nil = UTC.
	Zone *time.Location
	// Comma separates fields; 0 = ','.
	Comma byte
	// Unit is how many bytes one of up and down is; 0 = 1.
	Unit uint64
	// Services and Directions give the meaning of other words, such as
	// "GPRS": "data" or "1": "mo".
	Services   map[string]string
	Directions map[string]string
}

// Layout is where the columns of one input stand. It may be used by several
// goroutines.
type Layout struct {
	m     Mapping
	comma byte
	field []int8 // of a position, the column; -1 = skipped
	width int
}

// ParseHeader reads the first line of an input. The error has code Invalid.
func ParseHeader(line []byte, m Mapping) (*Layout, error) {
	l := &Layout{m: m, comma: m.Comma}
	if l.comma == 0 {
		l.comma = ','
	}
	for ours := range m.Names {
		if column(ours) < 0 {
			return nil, ringwall.Errorf(ringwall.Invalid, "cdr: the mapping names column %q, which is none of %s", short(ours), strings.Join(columns[:], ", "))
		}
	}
	head := strings.TrimPrefix(strings.TrimRight(string(line), "\r\n"), "\ufeff")
	var seen [len(columns)]bool
	s := splitter{rest: head, comma: l.comma}
	for s.next() {
		if l.width++; l.width > MaxColumns {
			return nil, ringwall.Errorf(ringwall.Invalid, "cdr: the header has more than %d columns", MaxColumns)
		}
		c := l.column(strings.TrimSpace(s.field))
		if c >= 0 && seen[c] {
			return nil, ringwall.Errorf(ringwall.Invalid, "cdr: the header has column %q twice", columns[c])
		}
		if c >= 0 {
			seen[c] = true
		}
		l.field = append(l.field, int8(c))
	}
	if s.err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "cdr: header: %v", s.err)
	}
	for _, c := range []int{colTime, colIMSI, colService} {
		if !seen[c] {
			return nil, ringwall.Errorf(ringwall.Invalid, "cdr: the header %q lacks column %q; the first line must name the columns", short(head), l.name(c))
		}
	}
	return l, nil
}

func column(name string) int {
	for i, c := range columns {
		if c == name {
			return i
		}
	}
	return -1
}

func (l *Layout) name(c int) string {
	if n, ok := l.m.Names[columns[c]]; ok {
		return n
	}
	return columns[c]
}

func (l *Layout) column(name string) int {
	for i := range columns {
		if strings.EqualFold(l.name(i), name) {
			return i
		}
	}
	return -1
}

// Decode reads one line into r, all of whose fields it sets but Line. The error
// has code Invalid; r is then not to be used.
func (l *Layout) Decode(line []byte, r *Record) error {
	*r = Record{Line: r.Line}
	// One copy of the line, which the fields of r share.
	s := splitter{rest: strings.TrimRight(string(line), "\r\n"), comma: l.comma}
	n := 0
	for s.next() {
		if n < len(l.field) {
			if c := l.field[n]; c >= 0 && len(s.field) > 0 {
				if err := l.set(int(c), s.field, r); err != nil {
					return err
				}
			}
		}
		n++
	}
	switch {
	case s.err != nil:
		return ringwall.Errorf(ringwall.Invalid, "%v", s.err)
	case n != l.width:
		return ringwall.Errorf(ringwall.Invalid, "%d fields, the header has %d", n, l.width)
	case r.Time.IsZero():
		return ringwall.Errorf(ringwall.Invalid, "no %s", l.name(colTime))
	case r.IMSI == "":
		return ringwall.Errorf(ringwall.Invalid, "no %s", l.name(colIMSI))
	case r.Service == ServiceUnknown:
		return ringwall.Errorf(ringwall.Invalid, "no %s", l.name(colService))
	}
	return nil
}

func (l *Layout) set(c int, f string, r *Record) (err error) {
	if len(f) > maxField || !utf8.ValidString(f) {
		return ringwall.Errorf(ringwall.Invalid, "%s has %d bytes or is not UTF-8; want at most %d", l.name(c), len(f), maxField)
	}
	switch c {
	case colID:
		r.ID = f
	case colTime:
		r.Time, err = l.time(f)
	case colIMSI:
		// TS 23.003 section 2.2: 15 digits at most; 6 is a country, a network
		// and one digit.
		if !digits(f, 6, 15) {
			return ringwall.Errorf(ringwall.Invalid, "%s %q is not 6 to 15 digits", l.name(c), short(f))
		}
		r.IMSI = ringwall.IMSI(f)
	case colIMEI:
		// TS 23.003 section 6.2: 14 digits, and a check digit or a software version.
		if !digits(f, 14, 16) {
			return ringwall.Errorf(ringwall.Invalid, "%s %q is not 14 to 16 digits", l.name(c), short(f))
		}
		r.IMEI = ringwall.IMEI(f)
	case colService:
		r.Service, err = l.service(f)
	case colDirection:
		r.Direction, err = l.direction(f)
	case colPeer:
		r.Peer = f
	case colAPN:
		r.APN = f
	case colUp:
		r.Up, err = l.number(c, f)
	case colDown:
		r.Down, err = l.number(c, f)
	case colArea:
		r.Area = f
	case colCell:
		r.Cell = f
	case colDuration:
		r.Duration, err = l.duration(f)
	case colPLMN:
		if ParsePLMN(f) == 0 {
			return ringwall.Errorf(ringwall.Invalid, "%s %q is not 5 or 6 digits", l.name(c), short(f))
		}
		r.PLMN = f
	case colFlags:
		err = l.flags(f, r)
	case colAddress:
		r.Address = f
	}
	return err
}

// flags reads words with blanks between them.
func (l *Layout) flags(f string, r *Record) error {
	for w := range strings.FieldsSeq(f) {
		switch w {
		case flagEstimated:
			r.Estimated = true
		case flagPartial:
			r.Partial = true
		default:
			return ringwall.Errorf(ringwall.Invalid, "%s %q is neither %q nor %q", l.name(colFlags), short(w), flagEstimated, flagPartial)
		}
	}
	return nil
}

const (
	flagEstimated = "estimated"
	flagPartial   = "partial"
)

func digits(f string, least, most int) bool {
	if len(f) < least || len(f) > most {
		return false
	}
	for _, c := range []byte(f) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func (l *Layout) number(c int, f string) (uint64, error) {
	v, err := strconv.ParseUint(f, 10, 64)
	if err != nil {
		return 0, ringwall.Errorf(ringwall.Invalid, "%s %q is not a whole number", l.name(c), short(f))
	}
	if l.m.Unit > 1 {
		hi, lo := bits.Mul64(v, l.m.Unit)
		if hi != 0 {
			return 0, ringwall.Errorf(ringwall.Invalid, "%s %q is more than can be counted", l.name(c), short(f))
		}
		v = lo
	}
	return v, nil
}

// maxSeconds is a year: no call, session or partial record lasts longer.
const maxSeconds = 366 * 24 * 3600

func (l *Layout) duration(f string) (time.Duration, error) {
	v, err := strconv.ParseFloat(f, 64)
	if err != nil || !(v >= 0 && v <= maxSeconds) {
		return 0, ringwall.Errorf(ringwall.Invalid, "%s %q is not 0 to %d seconds", l.name(colDuration), short(f), maxSeconds)
	}
	return time.Duration(v * float64(time.Second)).Round(time.Microsecond), nil
}

// Times outside of these are a broken clock, not a record.
const (
	minTime = 631152000  // 1990: before the first SIM
	maxTime = 4102444800 // 2100
)

func (l *Layout) time(f string) (time.Time, error) {
	bad := func() (time.Time, error) {
		return time.Time{}, ringwall.Errorf(ringwall.Invalid, "%s %q is not a time between 1990 and 2100", l.name(colTime), short(f))
	}
	t, err := l.parseTime(f)
	if err != nil || t.Unix() < minTime || t.Unix() >= maxTime {
		return bad()
	}
	return t.UTC(), nil
}

func (l *Layout) parseTime(s string) (time.Time, error) {
	if l.m.Time != "" {
		zone := l.m.Zone
		if zone == nil {
			zone = time.UTC
		}
		return time.ParseInLocation(l.m.Time, s, zone)
	}
	if len(s) >= 10 && s[4] == '-' {
		return time.Parse(time.RFC3339Nano, s)
	}
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	nsec := int64(0)
	if frac != "" {
		if len(frac) > 9 {
			frac = frac[:9]
		}
		if !digits(frac, 1, 9) {
			return time.Time{}, fmt.Errorf("fraction %q", frac)
		}
		if nsec, err = strconv.ParseInt((frac + "000000000")[:9], 10, 64); err != nil {
			return time.Time{}, err
		}
	}
	return time.Unix(sec, nsec), nil
}

func (l *Layout) service(s string) (Service, error) {
	if to, ok := l.m.Services[s]; ok {
		s = to
	}
	return ParseService(strings.ToLower(s))
}

func (l *Layout) direction(s string) (Direction, error) {
	if to, ok := l.m.Directions[s]; ok {
		s = to
	}
	switch strings.ToLower(s) {
	case "mo":
		return Originated, nil
	case "mt":
		return Terminated, nil
	}
	return 0, ringwall.Errorf(ringwall.Invalid, `%s %q is neither "mo" nor "mt"`, l.name(colDirection), short(s))
}
