package ts32298

import (
	"encoding/binary"

	"github.com/ringwall/ringwall/cdr/ber"
)

// fast says what is done with an element by the first octet of its tag, and when
// that says no more by the second.
type fast struct {
	first [256]action
	more  [128]action
}

// What a first octet may be beside the first of an element that a table knows.
const (
	anItem    action = tables + iota // an item of a list
	moreTag                          // the tag has a second octet, and is one of a field if it has no third
	moreOther                        // the same where no such tag is known
	noTag                            // none of an element inside one of definite length
)

// The fast tables of structure do are fastFields(do), and, of a list, behind them
// those of its items' tags. Those of records follow. The first two know no element.
func fastOf(do action) uint64 { return 2 * uint64(do-firstTable) }

var (
	quickly = fastTables()
	inside  = insides()
)

// fastTables makes all of them.
func fastTables() (f [128]fast) {
	for do, s := range structures {
		f[fastOf(do)] = fastFields(tableOf(s))
		if s.list {
			f[fastOf(do)+1] = fastItems()
		}
	}
	for i, r := range records {
		f[fastOf(tables)+uint64(i)] = fastFields(tableOf(r.structure))
	}
	return f
}

// insides says which of them is that of the elements inside a structure.
func insides() (in [256]uint8) {
	for do, s := range structures {
		in[do] = uint8(fastOf(do))
		if s.list {
			in[do]++
		}
	}
	return in
}

func fastFields(t table) (f fast) {
	found := func(c, tag uint8) action {
		// A structure that is none is passed over.
		if do := t.do[tag]; c>>6 == ber.Context && (do < firstTable || c&0x20 != 0) {
			return do
		}
		return skip
	}
	for i := range f.first {
		switch c := uint8(i); {
		case c&^0x20 == 0:
			f.first[c] = noTag
		case c&0x1f < 0x1f:
			f.first[c] = found(c, c&0x1f)
		case c == ber.Context<<6|0x3f:
			f.first[c] = moreTag
		case c == ber.Context<<6|0x1f:
			f.first[c] = moreTag
		default:
			f.first[c] = moreOther
		}
	}
	for tag := range f.more {
		f.more[tag] = t.do[tag]
	}
	return f
}

func fastItems() (f fast) {
	for i := range f.first {
		switch c := uint8(i); {
		case c&^0x20 == 0:
			f.first[c] = noTag
		case c == 0x20|ber.Sequence:
			f.first[c] = anItem
		case c&0x1f == 0x1f:
			f.first[c] = moreOther
		}
	}
	return f
}

// level is what is read on when a structure inside it ends: where it ends itself
// (24 bits), its fast table (8 bits), and the structure inside (8 bits).
type level uint64

// quick is slow for the records that network elements write: of definite lengths
// of at most two octets, and tags inside of at most two. It reports false when it
// is not for the record, or something is wrong with it; nothing counts then that
// it found. It goes through all structures in one loop, and finds what an element
// is by one table, so that a processor has little to guess.
func (d *Decoder) quick(b []byte) bool {
	f := &d.f
	*f = fields{}
	tag, p, end, ok := ber.Definite(b, 0, len(b))
	if !ok || end != len(b) || end > MaxRecord || tag >= len(all.records) || all.records[tag] == nil {
		return false
	}
	f.kind = all.records[tag]
	var (
		levels [8]level
		depth  int
		at     = f.kind.fast
	)
	for {
		for p == end {
			if depth == 0 {
				return true
			}
			depth--
			l := levels[depth&7]
			end, at = int(l&0xffffff), uint64(l>>24&0xff)
			switch do := action(l >> 32); do {
			case inEquipment, inSubscriber, inSMS, inSMSOrigin, inSMSTargets:
				if !d.take(do, b, 0, 0) {
					return false
				}
			}
		}
		if uint(p)+1 >= uint(len(b)) {
			return false
		}
		c, n, from := b[p], int(b[p+1]), p+2
		do := quickly[at&127].first[c]
		if do > anItem {
			if do == noTag || n >= 0x80 || uint(from) >= uint(len(b)) {
				return false
			}
			was := do
			do = skip
			if was == moreTag {
				if do = quickly[at&127].more[n&127]; do > firstTable && c&0x20 == 0 {
					do = skip
				}
			}
			n, from = int(b[from]), from+1
		}
		if n >= 0x80 {
			switch {
			case n == 0x81 && from < len(b):
				n, from = int(b[from]), from+1
			case n == 0x82 && from+1 < len(b):
				n, from = int(b[from])<<8|int(b[from+1]), from+2
			default:
				return false
			}
		}
		to := from + n
		if to > end {
			return false
		}
		p = to
		if do == skip {
			continue
		}
		if do > firstTable {
			if depth == len(levels) {
				return false
			}
			levels[depth&7] = level(end) | level(at)<<24 | level(do)<<32
			depth++
			p, end = from, to
			if do == anItem {
				at-- // from the items' table to that of their fields
			} else {
				at = uint64(inside[do])
			}
			continue
		}
		if !d.take(do, b, from, to) {
			return false
		}
	}
}

// take takes a value, which stands at b[from:to], or what the fields of a structure
// say together when it ends. It is value and closed, quicker for what is common, and
// reports false when something is wrong.
func (d *Decoder) take(do action, b []byte, from, to int) bool {
	f := &d.f
	switch do {
	case kindOf:
		if v, ok := ber.Uint(b[from:to]); !ok || v != f.kind.recType {
			return false
		}
	case begin:
		if f.begin = d.clock.read(b[from:to]); f.begin == 0 {
			return false
		}
	case uli:
		d.where(&f.place, b[from:to])
	case plmn:
		f.serving = d.network(b[from:to])
	case cause:
		v, ok := integer(b, from, to)
		if f.cause = v; !ok {
			return false
		}
	case sequence:
		v, ok := integer(b, from, to)
		if f.sequence = v; !ok {
			return false
		}
		f.has |= hasSequence
	case equipType:
		v, ok := integer(b, from, to)
		if f.equipType = v; !ok {
			return false
		}
	case up:
		v, ok := integer(b, from, to)
		if f.up += v; f.up < v || !ok {
			return false
		}
		f.direct = true
	case down:
		v, ok := integer(b, from, to)
		if f.down += v; f.down < v || !ok {
			return false
		}
		f.direct = true
	case duration:
		v, ok := integer(b, from, to)
		if f.seconds = v; !ok {
			return false
		}
	case local:
		f.local = octets(b, from, to)
		f.has |= hasLocal
	case charging:
		f.charging = octets(b, from, to)
		f.has |= hasCharging
	case node:
		f.node = span{int32(from), int32(to)}
	case apn:
		f.apn = span{int32(from), int32(to)}
	case address:
		f.address = span{int32(from), int32(to)}
	case equipment:
		f.equipment2 = span{int32(from), int32(to)}
	case subscriber:
		f.card2 = span{int32(from), int32(to)}
	case subscrType:
	case inEquipment:
		d.equip(b)
	case inSubscriber:
		if f.card = textCard(b, int(f.card2.from), int(f.card2.to)); f.card == 0 {
			return false
		}
	case inSMS, inSMSOrigin, inSMSTargets:
		if d.closed(do, b) != nil {
			return false
		}
	default:
		if d.value(do, b, from, to) != nil {
			return false
		}
	}
	return true
}

// where is place.location, quicker for what 4G and 5G have: TAI and ECGI in both
// their forms, 5GS TAI and NCGI.
func (d *Decoder) where(p *place, v []byte) {
	switch {
	case len(v) == 13 && (v[0] == 130 || v[0] == 0x18):
		net := v[1:4]
		if v[0] == 0x18 {
			net = v[6:9]
		}
		if key := d.network(net); key != 0 {
			p.plmn, p.area, p.cell = key, uint32(v[4])<<8|uint32(v[5]), uint64(binary.BigEndian.Uint32(v[9:])&(1<<28-1))
			p.hasArea, p.hasCell = true, true
		}
	case len(v) == 15 && v[0] == 137:
		if key := d.network(v[1:4]); key != 0 {
			p.plmn, p.area, p.cell = key, uint32(v[4])<<16|uint32(v[5])<<8|uint32(v[6]), binary.BigEndian.Uint64(v[7:])&(1<<36-1)
			p.hasArea, p.hasCell = true, true
		}
	default:
		p.location(v)
	}
}

// network is plmnOf, and remembers one.
func (d *Decoder) network(v []byte) uint32 {
	if len(v) < 3 {
		return 0
	}
	x := uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16 | 1<<24
	if d.net.octets != x {
		d.net.octets, d.net.key = x, plmnOf(v)
	}
	return d.net.key
}

// octets is unsigned of b[from:to], without asking how many there are.
func octets(b []byte, from, to int) uint64 {
	if to < 8 {
		return unsigned(b[from:to])
	}
	return binary.BigEndian.Uint64(b[to-8:]) & (1<<uint(8*(to-from)) - 1)
}

// integer is ber.Uint of b[from:to] for one to eight octets that stand behind as
// many others; it says of others that they are none.
func integer(b []byte, from, to int) (v uint64, ok bool) {
	n := uint(to - from)
	if n-1 > 7 || to < 8 {
		return 0, false
	}
	v = binary.BigEndian.Uint64(b[to-8:]) << ((64 - 8*n) & 63)
	return v >> ((64 - 8*n) & 63), int64(v) >= 0
}
