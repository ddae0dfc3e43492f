// Package curve keeps what one card used over time, and where: a point an hour
// for 14 days, a point a day for 13 months, and the areas and cells that it was
// last used in.
//
// It is bounded whatever comes: at most Hours and Days points and MaxPlaces
// places, which Encode writes into at most some 24 KiB and mostly into far less,
// since only steps with use are written. A record counts at its own time; one
// that is older than what is kept counts nowhere in the curve, and one ahead of
// the newest by more than MaxAhead is refused, so that a single wrong clock does
// not push everything else out.
//
// A Curve belongs to one goroutine. The package does no I/O.
package curve

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"time"
)

// Bounds.
const (
	Hours     = 14 * 24
	Days      = 400 // 13 months and a little
	MaxPlaces = 64
	maxName   = 40 // bytes of an area's or a cell's name
	// MaxAhead is how far a record may lie ahead of now.
	MaxAhead = time.Hour
)

// Point is what was used in one step.
type Point struct {
	Up, Down, Calls, Messages, Records uint64
}

func (p *Point) add(o Point) {
	p.Up += o.Up
	p.Down += o.Down
	p.Calls += o.Calls
	p.Messages += o.Messages
	p.Records += o.Records
}

// Slot is a point with its number: hours or days since 1970.
type Slot struct {
	N int64
	Point
}

// Place is where a card was used.
type Place struct {
	Area, Cell, PLMN string
	First, Last      int64 // seconds since 1970
	Count            uint64
}

// Curve is what is kept of one card. The zero Curve is one that was never used.
type Curve struct {
	Hour   []Slot  // rising
	Day    []Slot  // rising
	Places []Place // the last used first
}

// Use is one use to be counted.
type Use struct {
	At               time.Time
	Point            Point
	Area, Cell, PLMN string
}

// Add counts a use, as of now, and reports whether it was counted anywhere.
func (c *Curve) Add(u Use, now time.Time) bool {
	if u.At.After(now.Add(MaxAhead)) || u.At.Unix() < 0 {
		return false
	}
	s := u.At.Unix()
	hour := put(&c.Hour, s/3600, u.Point, Hours)
	day := put(&c.Day, s/86400, u.Point, Days)
	c.place(u, s)
	return hour || day
}

// put adds to the slot n, keeping those of the last span.
func put(all *[]Slot, n int64, p Point, span int64) bool {
	s := *all
	if len(s) > 0 && n <= s[len(s)-1].N-span {
		return false
	}
	i, found := slices.BinarySearchFunc(s, n, func(a Slot, n int64) int { return int(min(max(a.N-n, -1), 1)) })
	if found {
		s[i].add(p)
		return true
	}
	s = slices.Insert(s, i, Slot{n, p})
	newest := s[len(s)-1].N
	first := 0
	for s[first].N <= newest-span {
		first++
	}
	*all = slices.Delete(s, 0, first)
	return true
}

func (c *Curve) place(u Use, at int64) {
	area, cell, plmn := short(u.Area), short(u.Cell), short(u.PLMN)
	if area == "" && cell == "" {
		return
	}
	i := slices.IndexFunc(c.Places, func(p Place) bool { return p.Area == area && p.Cell == cell && p.PLMN == plmn })
	p := Place{Area: area, Cell: cell, PLMN: plmn, First: at, Last: at}
	if i >= 0 {
		p = c.Places[i]
		p.First, p.Last = min(p.First, at), max(p.Last, at)
		c.Places = slices.Delete(c.Places, i, i+1)
	}
	p.Count++
	at = p.Last
	i = slices.IndexFunc(c.Places, func(o Place) bool { return o.Last <= at })
	if i < 0 {
		i = len(c.Places)
	}
	c.Places = slices.Insert(c.Places, i, p)
	if len(c.Places) > MaxPlaces {
		c.Places = c.Places[:MaxPlaces]
	}
}

func short(s string) string {
	if len(s) > maxName {
		return s[:maxName]
	}
	return s
}

// Area returns the area of the newest use that named one.
func (c *Curve) Area() string {
	for _, p := range c.Places {
		if p.Area != "" {
			return p.Area
		}
	}
	return ""
}

// Since sums what was used from a time on, by whole hours.
func (c *Curve) Since(t time.Time) (sum Point) {
	for _, s := range c.Hour {
		if s.N >= t.Unix()/3600 {
			sum.add(s.Point)
		}
	}
	return sum
}

// version of the encoding.
const version = 1

// ErrBad is what Decode answers to what Encode did not write.
var ErrBad = errors.New("curve: not an encoded curve")

// Encode writes a curve.
func (c *Curve) Encode() []byte {
	b := []byte{version}
	for _, slots := range [][]Slot{c.Hour, c.Day} {
		b = binary.AppendUvarint(b, uint64(len(slots)))
		last := int64(0)
		for _, s := range slots {
			b = binary.AppendUvarint(b, uint64(s.N-last))
			last = s.N
			for _, v := range [...]uint64{s.Up, s.Down, s.Calls, s.Messages, s.Records} {
				b = binary.AppendUvarint(b, v)
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(len(c.Places)))
	for _, p := range c.Places {
		for _, s := range [...]string{p.Area, p.Cell, p.PLMN} {
			b = append(b, byte(len(s)))
			b = append(b, s...)
		}
		b = binary.AppendUvarint(b, uint64(p.First))
		b = binary.AppendUvarint(b, uint64(p.Last-p.First))
		b = binary.AppendUvarint(b, p.Count)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// Decode reads what Encode wrote; nothing is the zero Curve. It returns ErrBad
// for anything else.
func Decode(b []byte) (c Curve, err error) {
	if len(b) == 0 {
		return c, nil
	}
	if len(b) < 5 || b[0] != version || binary.LittleEndian.Uint32(b[len(b)-4:]) != crc32.ChecksumIEEE(b[:len(b)-4]) {
		return c, ErrBad
	}
	r := reader{b: b[1 : len(b)-4]}
	c.Hour, c.Day = r.slots(Hours), r.slots(Days)
	n := r.number()
	if n > MaxPlaces {
		return Curve{}, ErrBad
	}
	for range n {
		p := Place{Area: r.text(), Cell: r.text(), PLMN: r.text()}
		p.First = r.time()
		p.Last = p.First + r.time()
		p.Count = r.number()
		c.Places = append(c.Places, p)
	}
	if r.bad || len(r.b) != 0 {
		return Curve{}, ErrBad
	}
	return c, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// time reads a count of seconds, hours or days that fits one.
func (r *reader) time() int64 {
	v := r.number()
	if v > 1<<40 {
		r.bad = true
		return 0
	}
	return int64(v)
}

func (r *reader) text() string {
	if len(r.b) == 0 || int(r.b[0]) > maxName || len(r.b) < 1+int(r.b[0]) {
		r.bad, r.b = true, nil
		return ""
	}
	n := int(r.b[0])
	s := string(r.b[1 : 1+n])
	r.b = r.b[1+n:]
	return s
}

func (r *reader) slots(most uint64) []Slot {
	n := r.number()
	if n > most {
		r.bad = true
		return nil
	}
	if n == 0 {
		return nil // as an empty curve has it
	}
	all := make([]Slot, 0, n)
	last := int64(0)
	for i := range n {
		step := r.time()
		if i > 0 && step == 0 {
			r.bad = true
		}
		last += step
		all = append(all, Slot{last, Point{r.number(), r.number(), r.number(), r.number(), r.number()}})
		if r.bad {
			return nil
		}
	}
	return all
}
