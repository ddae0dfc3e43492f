package cross

import (
	"math"
	"math/bits"
)

// entry is what is known of something that more than few cards were seen with.
type entry struct {
	ID       uint64 // 0 = nothing is here
	Key      uint64
	Settings uint32
	Many     uint32 // its place among many, from 1; 0 = it has no more cards than here
	Day      uint16 // newest, since 1970
	Said     uint16 // of which day Variants are
	Usual    uint16 // cards a day, in sixteenths
	Days     uint16 // on which there were any, before Day
	First    uint16 // day
	Variants uint8  // that were said
	N        uint8  // cards that are known by name, or by a hash of it
	Cards    [named]uint64
	Seen     [named]uint16 // their newest days
}

// many is what an entry has besides, when its cards are many.
type many struct {
	Today [4]uint64 // sketch of the cards of the newest day
	Cards [listed - named]uint64
	Seen  [listed - named]uint16
}

const (
	named  = 4  // cards that an entry has room for
	listed = 16 // and with many
)

// What they take, with what finds them.
const (
	entryBytes = 80 + 40
	manyBytes  = 152
)

// pages is a list that grows without being copied, up to a bound.
type pages[T any] struct {
	pages [][]T
	free  []uint32
	n     uint32 // places that were ever given away
	most  int    // pages
}

const pageSize = 16

func (p *pages[T]) at(i uint32) *T { return &p.pages[i/pageSize][i%pageSize] }

// room reports whether get has a place.
func (p *pages[T]) room() bool { return len(p.free) > 0 || int(p.n) < p.most*pageSize }

func (p *pages[T]) get() uint32 {
	if n := len(p.free); n > 0 {
		i := p.free[n-1]
		p.free = p.free[:n-1]
		return i
	}
	if int(p.n/pageSize) == len(p.pages) {
		p.pages = append(p.pages, make([]T, pageSize))
	}
	p.n++
	return p.n - 1
}

func (p *pages[T]) put(i uint32) {
	var none T
	*p.at(i) = none
	p.free = append(p.free, i)
}

func (p *pages[T]) len() int { return int(p.n) - len(p.free) }

// entries are those of one kind, within a bound.
type entries struct {
	index map[uint64]uint32
	all   pages[entry]
	many  pages[many]
	hand  uint32 // from where on something to give up is looked for
	peak  int
}

// bound sets what they may take; five eighths are for entries, and the rest for
// those with many cards.
func (l *entries) bound(bytes int64) {
	l.all.most = int(max(bytes*5/8/(pageSize*entryBytes), 1))
	l.many.most = int(max(bytes*3/8/(pageSize*manyBytes), 1))
}

func (l *entries) bytes() int64 {
	return (int64(len(l.all.pages))*entryBytes + int64(len(l.many.pages))*manyBytes) * pageSize
}

func (l *entries) find(id uint64) *entry {
	if i, ok := l.index[id]; ok {
		return l.all.at(i)
	}
	return nil
}

// add makes an entry, for which there is room.
func (l *entries) add(e entry) *entry {
	i := l.all.get()
	*l.all.at(i) = e
	l.index[e.ID] = i
	l.peak = max(l.peak, l.all.len())
	return l.all.at(i)
}

func (l *entries) drop(e *entry) {
	i := l.index[e.ID]
	l.slim(e)
	delete(l.index, e.ID)
	l.all.put(i)
}

// slim gives up what an entry has besides.
func (l *entries) slim(e *entry) {
	if e.Many != 0 {
		l.many.put(e.Many - 1)
		e.Many, e.N = 0, min(e.N, named)
	}
}

// widen makes room for more cards, and sketches those of the day.
func (l *entries) widen(e *entry) {
	e.Many = l.many.get() + 1
	m := l.many.at(e.Many - 1)
	for i := range e.Cards[:e.N] {
		if e.Seen[i] == e.Day {
			m.mark(half(e.Cards[i]))
		}
	}
}

// card is a card that is known, and its newest day.
func (l *entries) card(e *entry, i int) (*uint64, *uint16) {
	if i < named {
		return &e.Cards[i], &e.Seen[i]
	}
	m := l.many.at(e.Many - 1)
	return &m.Cards[i-named], &m.Seen[i-named]
}

// nameless marks a card of which 16 bits of a hash are known: it counts, without
// a name.
const nameless = 1 << 63

func sameCard(known, card uint64) bool {
	return known == card || known&nameless != 0 && uint16(known) == half(card)
}

// half is 16 bits of a hash of a card, not 0. Numbers of cards come in rows: they
// are mixed well (the finalizer of MurmurHash3).
func half(card uint64) uint16 {
	if card&nameless != 0 {
		return uint16(card)
	}
	card = (card ^ card>>33) * 0xff51afd7ed558ccd
	card = (card ^ card>>33) * 0xc4ceb9fe1a85ec53
	return uint16((card^card>>33)>>48) | 1
}

// mark notes a card in the sketch of the day.
func (m *many) mark(half uint16) {
	h := half >> 8
	m.Today[h>>6] |= 1 << (h & 63)
}

// today is how many cards there were on the newest day: exactly up to 16, then
// by the sketch (linear counting).
func (l *entries) today(e *entry) int {
	exact, set := 0, 0
	for i := range int(e.N) {
		if _, seen := l.card(e, i); *seen == e.Day {
			exact++
		}
	}
	if e.Many == 0 {
		return exact
	}
	for _, w := range l.many.at(e.Many - 1).Today {
		set += bits.OnesCount64(w)
	}
	if exact < listed && set < listed {
		return max(exact, set)
	}
	const m = 256
	return max(exact, int(-m*math.Log(max(float64(m-set), 0.5)/m)))
}

// within is how many cards there were in the week up to a day, of those that are
// known.
func (l *entries) within(e *entry, day uint16) (n int) {
	for i := range int(e.N) {
		if _, seen := l.card(e, i); *seen+week > day && *seen <= day {
			n++
		}
	}
	return n
}

// close ends the entry's day: what is usual follows by a quarter. Of a cell and a
// peer cards of other days do not matter, of equipment those of more than a week
// ago.
func (l *entries) close(k Kind, e *entry, day uint16) {
	n := int32(min(l.today(e), 4000)) * 16
	if e.Days == 0 {
		e.Usual = uint16(n)
	} else {
		e.Usual = uint16(int32(e.Usual) + (n-int32(e.Usual))/4)
	}
	e.Days++
	e.Day = day
	kept := 0
	if k == Equipment {
		for i := range int(e.N) {
			if c, s := l.card(e, i); *s+week > day {
				to, at := l.card(e, kept)
				*to, *at = *c, *s
				kept++
			}
		}
	}
	for i := kept; i < int(e.N); i++ {
		c, s := l.card(e, i)
		*c, *s = 0, 0
	}
	if e.N = uint8(kept); kept <= named {
		l.slim(e)
	} else {
		l.many.at(e.Many - 1).Today = [4]uint64{}
	}
}
