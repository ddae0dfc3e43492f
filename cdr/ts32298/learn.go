package ts32298

import "github.com/ringwall/ringwall/cdr/ber"

// item is a header; or, of a structure of indefinite length, the octets that end it;
// or, of another, its end, which has none.
type item struct {
	kind   uint8 // leaf, enter, leave
	form   uint8 // of the length
	octets uint8 // of the tag
	tag    [2]byte
	do     action
	varies bool   // the length of a leaf is not that of the record that was learnt from
	n      int    // octets of contents of a leaf
	value  string // of a leaf whose contents belong to the shape
}

// told reports whether contents belong to the shape: of fields whose value is that
// of all records of a kind.
func (it *item) told() bool { return it.do == kindOf || it.do == equipType }

// Kinds of items.
const (
	leaf = iota
	enter
	leave
)

// Forms of a length, by its first octet; short ones are that octet.
const (
	short   = 0
	endless = 0x80
	one     = 0x81
	two     = 0x82
)

// Learning is slow, and is paid for: each record brings a little. Who sends records
// of ever other shapes makes little work.
const (
	lessonCost = 2048
	mostPurse  = 64 * lessonCost
)

// learn keeps the shape of a record that was walked and found right, if it can have
// one. When a shape differs from it only in lengths, those vary from now on.
func (d *Decoder) learn(b []byte) {
	d.purse = min(d.purse+d.seen-d.taught, mostPurse)
	if d.taught = d.seen; d.purse < lessonCost {
		return
	}
	d.purse -= lessonCost
	tag, from, open := opening(b)
	if tag < 0 || tag >= len(all.records) || all.records[tag] == nil {
		return
	}
	k := all.records[tag]
	l := lesson{b: b}
	if to := l.structure(from, len(b), k.fast, open); to != len(b) {
		return
	}
	for i, s := range d.shapes {
		if s.fits(tag, open) && alike(s.items, l.items) {
			if s := compile(l.items, k, open); s != nil {
				s.used = d.seen
				d.shapes[i] = s
			}
			return
		}
	}
	s := compile(l.items, k, open)
	if s == nil {
		return
	}
	s.used = d.seen
	if len(d.shapes) < maxShapes {
		d.shapes = append(d.shapes, s)
		return
	}
	oldest := 0
	for i, s := range d.shapes {
		if s.used < d.shapes[oldest].used {
			oldest = i
		}
	}
	d.shapes[oldest] = s
}

// alike reports whether what was learnt is that of a shape but for the lengths of
// leaves, and has those of it vary that do.
func alike(known, items []item) bool {
	if len(known) != len(items) {
		return false
	}
	for i := range known {
		x, y := &known[i], &items[i]
		if x.kind != y.kind || x.form != y.form || x.tag != y.tag || x.octets != y.octets || x.value != y.value {
			return false
		}
	}
	for i := range known {
		items[i].varies = known[i].varies || known[i].n != items[i].n
	}
	return true
}

// lesson reads the items of a record. It is strict about what it takes, as not all
// records need have a shape.
type lesson struct {
	b     []byte
	items []item
}

// maxItems bounds the items of a shape.
const maxItems = 256

// structure reads the elements at b[p:end], of which the fast table at says what is
// done with them. It returns where it ends, -1 = there is no shape.
func (l *lesson) structure(p, end int, at uint64, open bool) int {
	for {
		if !open && p == end {
			return p
		}
		if open && end-p >= 2 && l.b[p] == 0 && l.b[p+1] == 0 {
			return p + 2
		}
		t, known, err := ber.Header(l.b, p, end)
		if err != nil || known && t.To > end || len(l.items) > maxItems-2 {
			return -1
		}
		c, more := l.b[p], l.b[p+1]
		it := item{octets: 1, tag: [2]byte{c}, n: t.To - t.From, do: quickly[at&127].first[c]}
		if c&0x1f == 0x1f {
			if it.octets, it.tag[1] = 2, more; more >= 0x80 {
				return -1
			}
		}
		if it.do == moreTag {
			if it.do = quickly[at&127].more[more&127]; it.do > firstTable && c&0x20 == 0 {
				it.do = skip
			}
		}
		if it.do == moreOther {
			it.do = skip
		}
		if f := l.b[p+int(it.octets)]; f >= 0x80 {
			it.form = f
		}
		if it.form > two {
			return -1
		}
		if known && it.do < firstTable {
			if it.told() {
				it.value = string(l.b[t.From:t.To])
			}
			l.items = append(l.items, it)
			p = t.To
			continue
		}
		in := uint64(0) // a table that knows no element: all are passed over, to find the end
		switch {
		case it.do == anItem:
			in = at - 1 // from the items' table to that of their fields
		case it.do > firstTable:
			in = uint64(inside[it.do])
		case it.told():
			return -1
		}
		it.kind, it.n = enter, 0
		l.items = append(l.items, it)
		to := end
		if known {
			to = t.To
		}
		if p = l.structure(t.From, to, in, !known); p < 0 {
			return -1
		}
		it.kind = leave
		l.items = append(l.items, it)
	}
}

// compiler makes a shape of items.
type compiler struct {
	s      *shape
	octets [maxGroups][]octet
	group  int32
	open   []spot // where the lengths of structures are that have not ended
}

// octet is one of a group: what it is, where mask has ones.
type octet struct{ want, mask byte }

func (c *compiler) here() spot { return spot{c.group, int32(len(c.octets[c.group]))} }

func (c *compiler) put(want, mask byte) {
	c.octets[c.group] = append(c.octets[c.group], octet{want & mask, mask})
}

// compile makes a shape; nil = items can have none.
func compile(items []item, k *kind, open bool) *shape {
	c := compiler{s: &shape{items: items, kind: k, open: open}}
	for i := range items {
		if !c.item(&items[i]) {
			return nil
		}
	}
	if open {
		c.put(0, 0xff)
		c.put(0, 0xff)
	}
	if !c.check() {
		return nil
	}
	c.s.widen(c.octets[:c.group+1])
	c.s.direct = directOf(c.s)
	return c.s
}

func (c *compiler) item(it *item) bool {
	s := c.s
	if it.kind == leave {
		last := len(c.open) - 1
		switch it.form {
		case endless:
			if it.do != skip && it.do < firstTable {
				from := c.open[last]
				from.off++
				s.takes = append(s.takes, take{it.do, part{from, c.here()}})
			}
			c.put(0, 0xff)
			c.put(0, 0xff)
		case two:
			s.ends = append(s.ends, end{c.open[last], c.here(), 0xffff})
		default:
			s.ends = append(s.ends, end{c.open[last], c.here(), 0xff})
		}
		c.open = c.open[:last]
		switch it.do {
		case inEquipment, inSubscriber, inSMS, inSMSOrigin, inSMSTargets:
			s.takes = append(s.takes, take{do: it.do})
		}
		return true
	}
	for _, v := range it.tag[:it.octets] {
		c.put(v, 0xff)
	}
	// Of lengths that vary, only what form they have is sure.
	is, sure := byte(it.n), byte(0xff)
	if it.kind == enter || it.varies {
		is, sure = 0, 0
	}
	switch it.form {
	case short:
		c.put(is, sure|0x80)
	case endless:
		c.put(endless, 0xff)
	case one:
		c.put(one, 0xff)
		c.put(is, sure)
	case two:
		c.put(two, 0xff)
		c.put(byte(it.n>>8), sure)
		c.put(is, sure)
	}
	if it.kind == enter {
		at := c.here()
		at.off--
		c.open = append(c.open, at)
		return true
	}
	p := part{from: c.here()}
	switch {
	case it.varies:
		if it.form != short || it.told() || c.group == maxGroups-1 {
			return false
		}
		c.group++
	case it.told():
		for _, v := range []byte(it.value) {
			c.put(v, 0xff)
		}
	default:
		c.octets[c.group] = append(c.octets[c.group], make([]octet, it.n)...)
	}
	switch p.to = c.here(); it.do {
	case skip, kindOf, subscrType: // of no matter, or seen to by the shape
	default:
		s.takes = append(s.takes, take{it.do, p})
	}
	return true
}

// check makes the checks of all octets that are known. It reports false when one
// would begin in front of the record.
func (c *compiler) check() bool {
	least := 2 // octets in front of the group, of the record's own header
	for _, in := range c.octets[:c.group+1] {
		g := group{size: len(in)}
		for i := 0; i < len(in); i++ {
			if in[i].mask == 0 {
				continue
			}
			// All eight are in the group or in front of it: behind it, there may be none.
			k := check{at: min(i, len(in)-8)}
			if least+k.at < 0 {
				return false
			}
			for j := range 8 {
				if at := k.at + j; at >= i {
					k.want |= uint64(in[at].want) << (8 * j)
					k.mask |= uint64(in[at].mask) << (8 * j)
				}
			}
			g.checks = append(g.checks, k)
			i = k.at + 7
		}
		c.s.groups = append(c.s.groups, g)
		least += len(in)
	}
	return true
}
