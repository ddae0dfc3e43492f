package cross

import (
	"math/bits"
	"slices"
)

const (
	week = 7 // days for which equipment remembers its cards
	// idle is after how many days an entry of equipment or of a cell is forgotten.
	idle = 14
	// fresh is for how many days a peer is new.
	fresh = 3
	// worse is how many times the bound makes the second variant.
	worse = 4
)

// gateDays is for how many days a first sighting is noted for which there was no
// room.
var gateDays = [kinds]uint16{Equipment: idle, Cell: 1, Peer: fresh}

// lot is what is known of one kind.
type lot struct {
	entries
	firsts   firsts
	gate     filter
	gateFrom uint16 // day
	gateMost int64  // bytes

	full, dropped, gated uint64
}

// Table takes the observations of one partition.
type Table struct {
	c        Config
	lots     [kinds]lot
	known    known             // peers of which nothing can be said any more
	begun    uint16            // day of the first observation
	groups   map[uint32]uint16 // of settings, the day of their first observation of a peer
	day      uint16            // newest
	ahead    ahead
	found    uint64
	observed uint64
}

// ahead is what says that it is later than the day after the newest: many cards
// must, as one may have a wrong clock, and nobody is to be forgotten for that.
type ahead struct {
	cards uint64 // that said so, by six bits of their hashes
	times uint32
	day   uint16 // the least that was said
}

// So many cards make it a later day, about 44, or so many observations where there
// are not that many.
const (
	aheadCards = 32
	aheadTimes = 4096
)

// vote counts an observation of a later day, and reports whether it is that day.
func (a *ahead) vote(card uint64, day uint16) bool {
	if a.times == 0 || day < a.day {
		a.day = day
	}
	a.times++
	a.cards |= 1 << (half(card) >> 10)
	return bits.OnesCount64(a.cards) >= aheadCards || a.times >= aheadTimes
}

// New returns an empty table.
func New(c Config) *Table {
	t := &Table{c: c.withDefaults(), groups: map[uint32]uint16{}}
	for k := range t.lots {
		t.lots[k].index = map[uint64]uint32{}
	}
	t.bound()
	return t
}

// Finding is that many cards act as one.
type Finding struct {
	Kind    Kind
	Key     uint64
	Variant int // 1 = many times as many as the bound
	Day     uint32
	Count   int      // cards, about
	Usual   int      // cards of a day that are usual
	Cards   []uint64 // some of them, the one that tipped it first
	Sec     uint32   // of what tipped it
	// Settings are those of the card that tipped it.
	Settings uint32
}

// Observe takes an observation. ok = it tipped something that was not yet said of
// its day.
func (t *Table) Observe(o Observation) (f Finding, ok bool) {
	t.observed++
	if o.Card >= nameless {
		return f, false // no card has such a key
	}
	day := uint16(o.Sec / 86400)
	switch {
	case t.day == 0 || day == t.day+1:
		t.turn(day)
	case day > t.day && t.ahead.vote(o.Card, day):
		t.turn(t.ahead.day)
	}
	t.Begin(o.Kind, o.Settings, day)
	id := o.id()
	if o.Kind == Peer && t.settled(&o, id>>16, day) {
		return f, false
	}
	l := &t.lots[o.Kind]
	e := l.find(id)
	if e == nil {
		if e = t.enter(l, id, &o, day); e == nil {
			return f, false
		}
	}
	t.take(l, e, &o, day)
	return t.judge(l, e, &o, day)
}

// Begin says that something was observed on a day, of this kind and of cards with
// these settings, in this partition or in another: of cells and peers all begin to
// learn at once, whichever partition these belong to. It reports whether that is
// earlier than was known, so that others have to hear of it.
func (t *Table) Begin(k Kind, settings uint32, day uint16) (news bool) {
	if day+2*periodDays < t.day {
		return false // a wrong clock
	}
	if t.begun == 0 || day < t.begun {
		t.begun, news = day, true
	}
	if k != Peer {
		return news
	}
	if begun, ok := t.groups[settings]; !ok || day < begun {
		t.groups[settings], news = day, true
	}
	return news
}

// settled reports whether nothing can be said of a peer, whatever is observed: it
// is known, or it comes in the first days of its settings.
//
// What Usual is told here must stay true for all time: that an observation of this
// peer, these settings and this day changes nothing. It does not move t.day, begun
// or the group's first day, which this one has moved already; while the peer is
// known it comes no further than here, and changes nothing on the way, because it
// has been noted in its period; and when it is forgotten, after a month or two, the
// day is more than a week ago.
func (t *Table) settled(o *Observation, h uint64, day uint16) bool {
	if day+week < t.day {
		return true
	}
	known, now := t.known.find(h)
	if !known && day < t.groups[o.Settings]+uint16(t.c.LearnDays) && t.known.room() {
		t.known.add(h)
		known, now = true, true
	}
	if known && !now && day/periodDays == t.known.period {
		t.known.add(h)
		now = true
	}
	if known && now && day == t.day {
		if t.c.Usual != nil {
			t.c.Usual.Add(o.Settings, o.Key, day)
		}
		if t.c.Settled != nil {
			t.c.Settled(o.Settings, o.Key, day)
		}
	}
	return known
}

// settle makes a peer known. When there is little room it is not, if only one card
// ever reached it.
func (t *Table) settle(h uint64, cards bool) {
	if cards || t.known.room() {
		t.known.add(h)
	}
}

// room is how many cards are noted without an entry: no more than say nothing.
func (t *Table) room(k Kind) int {
	bound := [kinds]int{t.c.Equipment, t.c.Cell, t.c.Peer}[k]
	if k == Equipment {
		return 1
	}
	return max(min(few, bound-1), 1)
}

// enter makes an entry of what more cards were seen with; nil = too few were, or
// there is no room. Equipment has one from its second card on, cells and peers
// from the fourth of a day: most addresses that a fleet reaches are reached by
// few.
func (t *Table) enter(l *lot, id uint64, o *Observation, day uint16) *entry {
	card, h := half(o.Card), id>>16
	p := l.firsts.find(h)
	if p == nil {
		t.note(l, h, card, o.Kind, day)
		return nil
	}
	if o.Kind == Peer && day < p.first {
		p.first = day // late
	}
	switch {
	case o.Kind == Peer && day >= p.first+fresh:
		t.settle(h, p.n() > 1 || p.day > p.first)
		l.firsts.clear(p)
		return nil
	case o.Kind == Equipment && p.cards[0] == card:
		p.day = max(p.day, day)
		return nil
	case o.Kind == Equipment && day >= p.day+week, o.Kind != Equipment && day > p.day:
		p.day, p.cards = day, [few]uint16{card}
		return nil
	case o.Kind == Equipment && day+week <= p.day, o.Kind != Equipment && day < p.day:
		return nil
	case !p.more(card, t.room(o.Kind)):
		return nil
	case o.Kind == Peer && p.first < t.groups[o.Settings]+uint16(t.c.LearnDays):
		t.settle(h, true)
		l.firsts.clear(p)
		return nil
	case !t.give(o.Kind, l.all.room, false, p.n()+1, nil):
		return nil
	}
	e := l.add(entry{ID: id, Key: o.Key, Settings: o.Settings, Day: max(p.day, day), First: min(p.first, day)})
	for _, c := range p.cards[:p.n()] {
		e.Cards[e.N], e.Seen[e.N] = nameless|uint64(c), p.day
		e.N++
	}
	l.firsts.clear(p)
	return e
}

// live reports whether what is noted in a slot may still matter.
func (t *Table) live(k Kind, p *first) bool {
	switch k {
	case Equipment:
		return p.day+week > t.day
	case Cell:
		return p.day+1 >= t.day // files come late
	default:
		return t.day < p.first+fresh
	}
}

// note notes a first card. When all slots where it may be are taken by what still
// matters and there can be no more slots, the first sighting only opens the gate
// for the second: what comes once, as the addresses do that somebody tries, takes
// nobody's place. What gives way then is what tells least.
func (t *Table) note(l *lot, h uint64, card uint16, k Kind, day uint16) {
	var p *first
	for p == nil {
		set := l.firsts.set(h)
		for i := range set {
			if set[i].cards[0] == 0 {
				p = &set[i]
				break
			}
		}
		for i := range set {
			if p == nil && !t.live(k, &set[i]) {
				p = &set[i]
			}
		}
		if p == nil && !l.firsts.grow() {
			if !l.pass(h, t.day) {
				return
			}
			for i := range set { // of equals not always the same
				if s := &set[(i+int(h>>8))%ways]; p == nil || s.n() < p.n() || s.n() == p.n() && s.day < p.day {
					p = s
				}
			}
			l.dropped++
		}
	}
	if p.cards[0] == 0 {
		l.firsts.n++
	} else if k == Peer {
		t.settle(p.hash(), p.n() > 1 || p.day > p.first)
	}
	*p = first{tag: uint32(h >> 16), low: uint16(h), first: day, day: day, cards: [few]uint16{card}}
}

// pass asks whether something passes the gate: it was seen before.
func (l *lot) pass(h uint64, day uint16) bool {
	switch g := &l.gate; {
	case len(g.blocks) == 0:
		*g = newFilter(l.gateMost, gateProbes)
		l.gateFrom = day
	case g.full():
		l.dropped += g.members()
		g.clear()
		l.gateFrom = day
	}
	if l.gate.has(h) {
		return true
	}
	l.gate.add(h)
	l.gated++
	return false
}

const gateProbes = 5

// take notes a card in an entry.
func (t *Table) take(l *lot, e *entry, o *Observation, day uint16) {
	if o.Kind == Peer {
		e.First = min(e.First, day) // late
	}
	if day > e.Day {
		l.close(o.Kind, e, day)
	}
	if day == e.Day && e.Many != 0 {
		l.many.at(e.Many - 1).mark(half(o.Card))
	}
	oldest := 0
	for i := range int(e.N) {
		c, s := l.card(e, i)
		if sameCard(*c, o.Card) {
			*c, *s = o.Card, max(*s, day)
			return
		}
		if _, least := l.card(e, oldest); *s < *least {
			oldest = i
		}
	}
	if int(e.N) == named && e.Many == 0 && t.give(o.Kind, l.many.room, true, named+1, e) {
		l.widen(e)
		if day == e.Day {
			l.many.at(e.Many - 1).mark(half(o.Card))
		}
	}
	c, s := l.card(e, oldest)
	switch {
	case int(e.N) < named || e.Many != 0 && int(e.N) < listed:
		c, s = l.card(e, int(e.N))
		e.N++
	case *s >= day:
		return
	}
	*c, *s = o.Card, day
}

// judge asks whether the cards of an entry are many.
func (t *Table) judge(l *lot, e *entry, o *Observation, day uint16) (f Finding, ok bool) {
	n, bound := 0, 0
	switch o.Kind {
	case Equipment:
		n, bound = max(l.within(e, day), l.today(e)), t.c.Equipment
	case Cell:
		if day != e.Day || day < t.begun+uint16(t.c.LearnDays) {
			return f, false
		}
		n, bound = l.today(e), max(t.c.Cell, t.c.Times*int(e.Usual)/16)
	case Peer:
		if day != e.Day || e.First < t.groups[e.Settings]+uint16(t.c.LearnDays) || day >= e.First+fresh {
			return f, false
		}
		n, bound = l.today(e), max(t.c.Peer, t.c.Times*int(e.Usual)/16)
	}
	if n < bound {
		return f, false
	}
	variant := 0
	if n >= worse*bound {
		variant = 1
	}
	if e.Said != day {
		if e.Said > day {
			return f, false // late: of that day nothing is remembered
		}
		e.Said, e.Variants = day, 0
	}
	if e.Variants>>variant != 0 {
		return f, false
	}
	e.Variants |= 1 << variant
	t.found++
	f = Finding{Kind: o.Kind, Key: e.Key, Variant: variant, Day: uint32(day), Count: n, Usual: int(e.Usual) / 16, Sec: o.Sec, Settings: o.Settings, Cards: []uint64{o.Card}}
	for i := range int(e.N) {
		if c, s := l.card(e, i); *c&nameless == 0 && *c != o.Card && *s+week > day {
			f.Cards = append(f.Cards, *c)
		}
	}
	slices.Sort(f.Cards[1:])
	return f, true
}

// Names reports whether findings about what was observed may name its card.
func (t *Table) Names(o *Observation) bool {
	l := &t.lots[o.Kind]
	e := l.find(o.id())
	if e == nil {
		return false
	}
	for i := range int(e.N) {
		if c, _ := l.card(e, i); *c == o.Card {
			return true
		}
	}
	return false
}

// Cards calls f with all cards that findings may name; some come again.
func (t *Table) Cards(f func(card uint64)) {
	for k := range t.lots {
		l := &t.lots[k]
		for i := range l.all.n {
			e := l.all.at(i)
			for n := range int(e.N) {
				if c, _ := l.card(e, n); *c&nameless == 0 {
					f(*c)
				}
			}
		}
	}
}

// tells is how much there is in an entry: cards, or -1 when it is of no use any
// more.
func (t *Table) tells(k Kind, l *lot, e *entry) int {
	switch {
	case k == Equipment:
		if n := l.within(e, t.day); n > 0 {
			return n
		}
		return -1
	case k == Peer && t.day >= e.First+fresh, e.Day+idle < t.day:
		return -1
	case e.Day+1 >= t.day:
		return max(l.today(e), int(e.Usual)/16)
	}
	return int(e.Usual) / 16
}

// give makes room, if there is none, for something of so many cards: of some
// entries what tells least gives way, if it does not tell more. wide = what is
// needed is room for more cards, for entry but.
func (t *Table) give(k Kind, room func() bool, wide bool, cards int, but *entry) bool {
	l := &t.lots[k]
	for !room() {
		var least *entry
		tells := 0
		for looked, seen := uint32(0), 0; looked < min(l.all.n, 64) && seen < 16; looked++ {
			e := l.all.at(l.hand % l.all.n)
			l.hand = (l.hand + 1) % l.all.n
			if e.ID == 0 || e == but || wide && e.Many == 0 {
				continue
			}
			seen++
			if n := t.tells(k, l, e); least == nil || n < tells {
				least, tells = e, n
			}
		}
		if least == nil || tells > cards {
			l.full++
			return false
		}
		if tells >= 0 {
			l.full++
		}
		t.forget(k, least)
	}
	return true
}

// forget drops an entry. A peer is known from then on.
func (t *Table) forget(k Kind, e *entry) {
	if k == Peer {
		t.settle(e.ID>>16, true)
	}
	t.lots[k].drop(e)
}

// turn begins a day: it forgets what is of no use any more.
func (t *Table) turn(day uint16) {
	t.day, t.ahead = day, ahead{}
	t.known.turn(day)
	for k := range t.lots {
		l := &t.lots[k]
		if day >= l.gateFrom+gateDays[k] {
			l.gate = filter{}
		}
		for i := range l.all.n {
			e := l.all.at(i)
			if e.ID != 0 && (e.Day+idle < t.day || Kind(k) == Peer && t.day >= e.First+fresh) {
				t.forget(Kind(k), e)
			}
		}
	}
}
