package cross

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ringwall/ringwall"
)

// A state is "RWCROSS\x02"; the newest day, the day of the first observation,
// what says that it is later, and the findings; the settings with their first days; the filters of known peers;
// of each kind its counts, gate, slots and entries; and a CRC-32C of all after the
// first eight bytes. Numbers are little endian. What is noted of peers that Usual
// spared is nowhere in it.
const (
	stateMagic = "RWCROSS\x02"
	stateOld   = "RWCROSS\x01"
)

// Snapshot writes the table. Equal tables have equal snapshots. It names cards
// by their keys: whoever keeps it, keeps it from others.
func (t *Table) Snapshot(w io.Writer) error {
	s := &writer{w: w, b: make([]byte, 0, 2*writeSize)}
	s.b = append(s.b, stateMagic...)
	s.flush()
	s.sum = 0
	s.put(2, uint64(t.day), uint64(t.begun), uint64(t.ahead.day))
	s.put(4, uint64(t.ahead.times))
	s.put(8, t.ahead.cards, t.found, uint64(len(t.groups)))
	groups := make([]uint32, 0, len(t.groups))
	for g := range t.groups {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	for _, g := range groups {
		s.put(4, uint64(g))
		s.put(2, uint64(t.groups[g]))
	}
	s.put(2, uint64(t.known.period), uint64(len(t.known.eras)))
	for i := range t.known.eras {
		s.put(2, uint64(t.known.eras[i].period))
		s.filter(&t.known.eras[i].f)
	}
	for k := range t.lots {
		s.lot(&t.lots[k])
	}
	s.flush()
	s.put(4, uint64(s.sum))
	s.flush()
	return s.err
}

// writer writes numbers, and sums them up.
type writer struct {
	w   io.Writer
	b   []byte
	sum uint32
	err error
}

const writeSize = 64 << 10

func (s *writer) flush() {
	s.sum = crc32.Update(s.sum, crc32.MakeTable(crc32.Castagnoli), s.b)
	if s.err == nil {
		_, s.err = s.w.Write(s.b)
	}
	s.b = s.b[:0]
}

// put writes numbers of so many bytes.
func (s *writer) put(size int, all ...uint64) {
	for _, v := range all {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		s.b = append(s.b, b[:size]...)
	}
	if len(s.b) >= writeSize {
		s.flush()
	}
}

func (s *writer) filter(f *filter) {
	s.put(8, uint64(len(f.blocks)), f.set, uint64(f.probes))
	for i := range f.blocks {
		n := len(s.b)
		s.b = append(s.b, make([]byte, blockBytes)...)
		for j, w := range f.blocks[i] {
			binary.LittleEndian.PutUint64(s.b[n+8*j:], w)
		}
		if len(s.b) >= writeSize {
			s.flush()
		}
	}
}

func (s *writer) lot(l *lot) {
	s.put(8, l.full, l.dropped, l.gated)
	s.put(2, uint64(l.gateFrom))
	s.filter(&l.gate)
	s.put(8, uint64(len(l.firsts.slots)), uint64(l.firsts.n))
	for i := range l.firsts.slots {
		if p := &l.firsts.slots[i]; p.cards[0] != 0 {
			s.put(4, uint64(i), uint64(p.tag))
			s.put(2, uint64(p.low), uint64(p.first), uint64(p.day), uint64(p.cards[0]), uint64(p.cards[1]), uint64(p.cards[2]))
		}
	}
	s.put(4, uint64(l.hand), uint64(l.all.n), uint64(len(l.all.free)))
	for _, i := range l.all.free {
		s.put(4, uint64(i))
	}
	for i := range l.all.n {
		e := l.all.at(i)
		if e.ID == 0 {
			continue
		}
		s.put(4, uint64(i), uint64(e.Settings))
		s.put(8, e.ID, e.Key)
		s.put(2, uint64(e.Day), uint64(e.Said), uint64(e.Usual), uint64(e.Days), uint64(e.First))
		s.put(1, uint64(e.Variants), uint64(e.N), uint64(min(e.Many, 1)))
		for i := range int(e.N) {
			c, at := l.card(e, i)
			s.put(8, *c)
			s.put(2, uint64(*at))
		}
		if e.Many != 0 {
			today := l.many.at(e.Many - 1).Today
			s.put(8, today[:]...)
		}
	}
}

// Restore reads what Snapshot wrote into a new table. Under other bounds what
// has no room is left out and counted. The error has code Unverified when it is
// cut or torn, Conflict when an older program wrote it; the table is then
// unchanged.
func (t *Table) Restore(r io.Reader) error {
	torn := func(why string) error {
		return ringwall.Errorf(ringwall.Unverified, "the state of cards that act as one cannot be trusted: %s", why)
	}
	in := &reader{r: bufio.NewReaderSize(r, writeSize)}
	magic := string(in.take(len(stateMagic)))
	switch {
	case magic == stateOld:
		return ringwall.Errorf(ringwall.Conflict, "the state of cards that act as one is of an older form: only the program that wrote it can read it")
	case in.bad || magic != stateMagic:
		return torn("it does not begin as one")
	}
	in.sum = 0
	next := New(t.c)
	next.day, next.begun = uint16(in.num(2)), uint16(in.num(2))
	next.ahead = ahead{day: uint16(in.num(2)), times: uint32(in.num(4)), cards: in.num(8)}
	next.found = in.num(8)
	for n := in.num(8); n > 0 && !in.bad; n-- {
		g := uint32(in.num(4))
		next.groups[g] = uint16(in.num(2))
	}
	next.known.period = uint16(in.num(2))
	for n := in.num(2); n > 0 && !in.bad; n-- {
		e := era{period: uint16(in.num(2))}
		in.filter(&e.f)
		in.check(e.f.probes == knownProbes && len(e.f.blocks) > 0)
		next.known.eras = append(next.known.eras, e)
	}
	for k := range next.lots {
		in.lot(&next.lots[k])
	}
	sum := in.sum
	if got := uint32(in.num(4)); in.bad {
		return torn("it is cut off, or its parts do not fit")
	} else if got != sum {
		return torn("its checksum does not hold")
	}
	if t.c.Usual != nil {
		t.c.Usual.Clear()
	}
	*t = *next
	return nil
}

// reader takes numbers; past the end it gives zeros and is bad. Nothing is made
// that is larger than what was read, or than what a table may have.
type reader struct {
	r   *bufio.Reader
	b   [blockBytes]byte
	sum uint32
	bad bool
}

func (r *reader) check(ok bool) { r.bad = r.bad || !ok }

// take gives the next bytes, at most 64, until it is called again.
func (r *reader) take(n int) []byte {
	b := r.b[:n]
	if _, err := io.ReadFull(r.r, b); err != nil || r.bad {
		r.bad = true
		clear(b)
	}
	r.sum = crc32.Update(r.sum, crc32.MakeTable(crc32.Castagnoli), b)
	return b
}

func (r *reader) num(n int) uint64 {
	var b [8]byte
	copy(b[:], r.take(n))
	return binary.LittleEndian.Uint64(b[:])
}

func (r *reader) filter(f *filter) {
	n := r.num(8)
	f.set, f.probes = r.num(8), int(r.num(8))
	r.check(f.probes >= 0 && f.probes <= knownProbes && n <= maxBlocks && f.set <= n*blockBits)
	for uint64(len(f.blocks)) < n && !r.bad {
		b := r.take(blockBytes)
		var block [8]uint64
		for i := range block {
			block[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
		f.blocks = append(f.blocks, block)
	}
}

// maxBlocks bounds a filter that is read.
const maxBlocks = 1 << 26

func (r *reader) lot(l *lot) {
	l.full, l.dropped, l.gated = r.num(8), r.num(8), r.num(8)
	l.gateFrom = uint16(r.num(2))
	r.filter(&l.gate)
	r.check(len(l.gate.blocks) == 0 || l.gate.probes == gateProbes)
	slots := r.num(8)
	same := slots <= uint64(l.firsts.most) && slots%ways == 0
	if same && !r.bad {
		l.firsts.slots = make([]first, slots)
	}
	for n := r.num(8); n > 0 && !r.bad; n-- {
		at, p := r.num(4), first{tag: uint32(r.num(4)), low: uint16(r.num(2)), first: uint16(r.num(2)), day: uint16(r.num(2))}
		for i := range p.cards {
			p.cards[i] = uint16(r.num(2))
		}
		switch {
		case p.cards[0] == 0, same && (at >= slots || l.firsts.slots[at].cards[0] != 0):
			r.bad = true
		case same:
			l.firsts.slots[at] = p
			l.firsts.n++
		case !l.firsts.put(p):
			l.dropped++
		}
	}
	r.entries(l)
}

// put puts back what was noted under other bounds.
func (t *firsts) put(p first) bool {
	for {
		set := t.set(p.hash())
		for i := range set {
			if set[i].cards[0] == 0 {
				set[i] = p
				t.n++
				return true
			}
		}
		if !t.grow() {
			return false
		}
	}
}

func (r *reader) entries(l *lot) {
	hand, n := r.num(4), r.num(4)
	var free []uint32
	for left := r.num(4); left > 0 && !r.bad; left-- {
		free = append(free, uint32(r.num(4)))
	}
	r.check(uint64(len(free)) <= n)
	same := n <= uint64(l.all.most)*pageSize
	if same && !r.bad {
		for range n {
			l.all.get()
		}
		l.all.free, l.hand = free, uint32(hand)
		for _, i := range free {
			r.check(uint64(i) < n)
		}
	}
	for left := n - uint64(len(free)); left > 0 && !r.bad; left-- {
		r.entry(l, same, n)
	}
	for i, sorted := 0, slices.Sorted(slices.Values(free)); same && i < len(sorted) && !r.bad; i++ {
		r.check(l.all.at(sorted[i]).ID == 0 && (i == 0 || sorted[i-1] < sorted[i]))
	}
}

func (r *reader) entry(l *lot, same bool, n uint64) {
	at := r.num(4)
	e := entry{Settings: uint32(r.num(4)), ID: r.num(8), Key: r.num(8)}
	for _, v := range []*uint16{&e.Day, &e.Said, &e.Usual, &e.Days, &e.First} {
		*v = uint16(r.num(2))
	}
	e.Variants, e.N = uint8(r.num(1)), uint8(r.num(1))
	wide := r.num(1) != 0
	_, twice := l.index[e.ID]
	r.check(e.ID != 0 && !twice && e.N <= listed && (wide || e.N <= named))
	if same {
		r.check(at < n && (at/pageSize >= uint64(len(l.all.pages)) || l.all.at(uint32(at)).ID == 0))
	}
	var m many
	for i := range int(e.N) {
		if r.bad {
			return
		}
		c, s := r.num(8), uint16(r.num(2))
		if i < named {
			e.Cards[i], e.Seen[i] = c, s
		} else {
			m.Cards[i-named], m.Seen[i-named] = c, s
		}
	}
	if wide {
		for i := range m.Today {
			m.Today[i] = r.num(8)
		}
	}
	switch {
	case r.bad:
		return
	case wide && l.many.room():
		e.Many = l.many.get() + 1
		*l.many.at(e.Many - 1) = m
	case wide:
		e.N = min(e.N, named)
		l.full++
	}
	if same {
		*l.all.at(uint32(at)) = e
		l.index[e.ID] = uint32(at)
	} else if !l.all.room() {
		l.slim(&e)
		l.full++
	} else {
		l.add(e)
	}
	l.peak = max(l.peak, l.all.len())
}
