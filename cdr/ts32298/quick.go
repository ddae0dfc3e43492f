package ts32298

import (
	"encoding/binary"

	"github.com/ringwall/ringwall/cdr/ber"
)

// fast says what is done with an element by the first octet of its tag.
type fast [256]action

// What a first octet may be beside the first of an element that a table knows.
const (
	moreTag  action = tables + iota // the tag has more octets
	moreItem                        // the same in a list, where no such item is known
	noTag                           // none of an element inside one of definite length
	anItem                          // an item of a list
)

// fastOf is what a table says of fields, or with list of items.
func fastOf(t *table, list bool) (f fast) {
	for i := range f {
		c := uint8(i)
		switch {
		case c == 0 || c == 0x20:
			f[c] = noTag
		case c&0x1f == 0x1f && list:
			f[c] = moreItem
		case c&0x1f == 0x1f:
			f[c] = moreTag
		case list && c == 0x20|ber.Sequence:
			f[c] = anItem
		case !list && c>>6 == ber.Context:
			f[c] = t.found(c, c&0x1f)
		}
	}
	return f
}

// found is what is done with an element of a context tag whose first octet is c: a
// structure that is none is passed over.
func (t *table) found(c, tag uint8) action {
	if do := t.do[tag&0x7f]; do < firstTable || c&0x20 != 0 {
		return do
	}
	return skip
}

// level is a structure that is read on when one inside it ends.
type level struct {
	of  *fast
	in  *table
	end int
	do  action // the one inside
}

// quick is slow for the records that network elements write: of definite lengths
// of at most two octets, and tags inside of at most two. It reports false when it
// is not for the record, or something is wrong with it; nothing counts then that
// it found. It goes through all structures in one loop, and finds what an element
// is by one table, so that a processor has little to guess.
func (d *Decoder) quick(b []byte) bool {
	f := &d.f
	*f = fields{}
	tag, from, to, ok := ber.Definite(b, 0, len(b))
	if !ok || to != len(b) || to > MaxRecord || tag >= len(all.records) || all.records[tag] == nil {
		return false
	}
	f.kind = all.records[tag]
	var (
		levels [8]level
		depth  int
		in     = &f.kind.table
		of     = &in.fields
		end    = to
		p      = from
	)
	for {
		for p == end {
			if depth == 0 {
				return true
			}
			depth--
			l := &levels[depth&7]
			switch l.do {
			case inEquipment:
				d.equip(b)
			case inSubscriber:
				if f.card = textCard(b, f.card2); f.card == 0 {
					return false
				}
			case inSMS, inSMSOrigin, inSMSTargets:
				if d.closed(l.do, b) != nil {
					return false
				}
			}
			of, in, end = l.of, l.in, l.end
		}
		if end-p < 2 {
			return false
		}
		c, n := b[p], int(b[p+1])
		from := p + 2
		do := of[c]
		if do >= moreTag && do != anItem {
			if do == noTag || n >= 0x80 || end-p < 3 {
				return false
			}
			if do == moreTag && c>>6 == ber.Context {
				do = in.found(c, uint8(n))
			} else {
				do = skip
			}
			n, from = int(b[p+2]), p+3
		}
		if n >= 0x80 {
			switch {
			case n == 0x81 && end-from > 0:
				n, from = int(b[from]), from+1
			case n == 0x82 && end-from > 1:
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
			levels[depth&7] = level{of, in, end, do}
			depth++
			if do == anItem {
				of = &in.fields
			} else if in = all.inner[do]; in.list {
				of = &in.items
			} else {
				of = &in.fields
			}
			p, end = from, to
			continue
		}
		switch do {
		case kindOf:
			if v, ok := integer(b, from, to); !ok || v != f.kind.recType {
				return false
			}
		case begin:
			if f.begin = d.clock.read(b[from:to]); f.begin == 0 {
				return false
			}
		case uli:
			d.where(b[from:to])
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
		default:
			if d.value(do, b, from, to) != nil {
				return false
			}
		}
	}
}

// where is place.location, quicker for what 4G and 5G have: TAI and ECGI in both
// their forms, 5GS TAI and NCGI.
func (d *Decoder) where(v []byte) {
	p := &d.f.place
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

// integer is ber.Uint of b[from:to].
func integer(b []byte, from, to int) (uint64, bool) {
	if n := to - from; to < 8 || n > 8 || n == 0 {
		return ber.Uint(b[from:to])
	}
	return octets(b, from, to), b[from] < 0x80
}
