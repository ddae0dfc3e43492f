package ts32298

import "github.com/ringwall/ringwall/cdr/ber"

// A shape is what the records of one network element have in common: the same tags
// in the same order, nested alike, and lengths most of which are always the same.
// A record of a known shape is not walked. Its octets are held against those of the
// shape, eight at a time, and only the lengths that vary are read. It is of the
// shape only when each octet of each header in it is right: the walks would find
// the same elements in the same places. Decoders learn shapes from records that
// were walked (learn.go).
//
// A group is a run of octets whose places are fixed among themselves. Each but the
// last ends with the header of an element whose length varies, whose contents stand
// between it and the next.
type shape struct {
	items []item // of which all else is made
	kind  *kind
	open  bool // the record is of indefinite length

	groups  []group
	windows []window // the same, if they are
	ends    []end
	takes   []take
	direct  direct
	used    uint64 // when it was, last
}

// spot is a place in a group.
type spot struct{ group, off int32 }

// group is how many octets a group has, and what they are.
type group struct {
	size   int
	checks []check
}

// check says what the eight octets are, where mask has ones, that begin at a place in
// a group, or a little in front of it.
type check struct {
	at         int
	want, mask uint64
}

// end says that a structure, the last octet of whose length is at length, ends at
// to. Its length is the last octets of it that mask has.
type end struct {
	length, to spot
	mask       int
}

// part is where contents stand.
type part struct{ from, to spot }

// take says what is done with contents, or when a structure ends.
type take struct {
	do action
	part
}

const (
	maxGroups = 16 // a power of two
	maxShapes = 8
)

// bases is where the groups of a record begin.
type bases [maxGroups]int

func (b *bases) at(s spot) int                  { return b[s.group&(maxGroups-1)] + int(s.off) }
func (b *bases) of(p part) (from, to int)       { return b.at(p.from), b.at(p.to) }
func (b *bases) bytes(p part, in []byte) []byte { return in[b.at(p.from):b.at(p.to)] }

// shaped finds the shape of a record, which must be all of b, and where its groups
// begin; nil = it is of none that is known.
func (d *Decoder) shaped(b []byte) *shape {
	if !d.trusts() || len(d.shapes) == 0 || len(b) > MaxRecord {
		return nil
	}
	tag, from, open := opening(b)
	if s := d.shapes[d.latest]; s.fits(tag, open) && s.match(b, from, &d.at) == len(b) {
		d.found(s)
		return s
	}
	for i, s := range d.shapes {
		if i != d.latest && s.fits(tag, open) && s.match(b, from, &d.at) == len(b) {
			d.latest = i
			d.found(s)
			return s
		}
	}
	d.trust = max(d.trust-1, leastTrust)
	return nil
}

// Trust in shapes grows with each record that is of one, and goes with each that is
// of none. Without any, one record of 64 is tried, and learnt from.
const (
	mostTrust  = 64
	leastTrust = -16
)

func (d *Decoder) trusts() bool {
	d.seen++
	d.tried = d.trust >= 0 || d.seen&63 == 0
	return d.tried
}

func (d *Decoder) found(s *shape) {
	s.used = d.seen
	d.trust = min(d.trust+1, mostTrust)
}

func (s *shape) fits(tag int, open bool) bool { return int(s.kind.tag) == tag && s.open == open }

// opening reads the header of a record. Its contents begin at from; -1 is the tag of
// those that have no shape.
func opening(b []byte) (tag, from int, open bool) {
	tag, from, to, ok := ber.Definite(b, 0, len(b))
	switch {
	case ok && to == len(b):
		return tag, from, false
	case len(b) < 4 || b[0]&0xe0 != 0xa0:
	case b[0]&0x1f != 0x1f && b[1] == endless:
		return int(b[0] & 0x1f), 2, true
	case b[0]&0x1f == 0x1f && b[1] < 0x80 && b[2] == endless:
		return int(b[1]), 3, true
	case b[0]&0x1f == 0x1f && b[1] >= 0x80 && b[2] < 0x80 && b[3] == endless:
		return int(b[1]&0x7f)<<7 | int(b[2]), 4, true
	}
	return -1, 0, false
}

// matchGo finds where the groups of a record begin whose contents begin at p, and
// returns where it ends; -1 = it is not of the shape.
func (s *shape) matchGo(b []byte, p int, at *bases) int {
	wrong := uint64(0)
	for i := range s.groups {
		g := &s.groups[i]
		at[i&(maxGroups-1)] = p
		to := p + g.size
		if to > len(b) {
			return -1
		}
		for j := range g.checks {
			c := &g.checks[j]
			wrong |= (octets8(b, p+c.at) ^ c.want) & c.mask
		}
		if p = to; i < len(s.groups)-1 {
			p += int(octet1(b, to-1))
		}
	}
	if wrong != 0 || !s.closed(b, at) {
		return -1
	}
	return p
}

// closed reports whether all structures end where their lengths say.
func (s *shape) closed(b []byte, at *bases) bool {
	wrong := 0
	for i := range s.ends {
		e := &s.ends[i]
		from := at.at(e.length) + 1
		wrong |= from + (int(octet1(b, from-2))<<8|int(octet1(b, from-1)))&e.mask - at.at(e.to)
	}
	return wrong == 0
}

// Ends returns where the record ends that b begins with, when it is of indefinite
// length and of a known shape; 0 = that has to be found out by reading it.
func (d *Decoder) Ends(b []byte) int {
	if len(d.shapes) == 0 || d.trust < 0 {
		return 0
	}
	b = b[:min(len(b), MaxRecord)]
	tag, from, open := opening(b)
	if !open {
		return 0
	}
	for i := range d.shapes {
		// The latest is tried first.
		s := d.shapes[(d.latest+i)%len(d.shapes)]
		if s.fits(tag, open) {
			if n := s.match(b, from, &d.at); n > 0 {
				return n
			}
		}
	}
	return 0
}

// replay takes the values of a record of a shape.
func (d *Decoder) replay(s *shape, b []byte) bool {
	d.f = fields{}
	d.f.kind = s.kind
	for i := range s.takes {
		t := &s.takes[i]
		if from, to := d.at.of(t.part); !d.take(t.do, b, from, to) {
			return false
		}
	}
	return true
}
