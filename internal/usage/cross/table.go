package cross

import (
	"math"
	"math/bits"
	"slices"

	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Config configures a Table. The zero value is good.
type Config struct {
	// Equipment is how many cards in one piece of equipment within a week are many;
	// 0 = 4.
	Equipment int
	// Cell is how many cards that are new in a cell and call or write from there in
	// a day are many; 0 = 15.
	Cell int
	// Peer is how many cards of the same settings that reach a new peer in a day are
	// many; 0 = 10. A peer is new for three days, to all of them.
	Peer int
	// Times is how many times what is usual they must be as well, of cells and peers;
	// 0 = 5.
	Times int
	// LearnDays is how long nothing is said of cells, after the table's first
	// observation, and of peers, after the first of their settings; 0 = 3.
	LearnDays int
	// Entries bounds what more than one card was seen with; 0 = 65,536, about 300
	// bytes each.
	Entries int
	// Firsts is how many first cards are noted; 0 = 1,048,576, 24 bytes each.
	Firsts int
	// Usual, if not nil, is told of peers that so many cards reach every day that
	// they need not be looked at.
	Usual *rules.Usual
}

func (c Config) withDefaults() Config {
	set := func(v *int, other int) {
		if *v <= 0 {
			*v = other
		}
	}
	set(&c.Equipment, 4)
	set(&c.Cell, 15)
	set(&c.Peer, 10)
	set(&c.Times, 5)
	set(&c.LearnDays, 3)
	set(&c.Entries, 1<<16)
	set(&c.Firsts, 1<<20)
	return c
}

const (
	listed = 16 // cards of an entry that are known by name
	week   = 7  // days for which equipment remembers its cards
	// idle is after how many days an entry is forgotten: of a peer only after two
	// months, because there are fleets that report once a month.
	idle     = 14
	idlePeer = 62
	// fresh is for how many days a peer is new.
	fresh = 3
	// popular is how many cards a day make a peer that need not be looked at.
	popular = 64
	// worse is how many times the bound makes the second variant.
	worse = 4
)

// entry is what is known of something that more than one card was seen with.
type entry struct {
	Key      uint64
	Settings uint32
	Kind     Kind
	Day      uint16 // newest, since 1970
	Said     uint16 // of which day Variants are
	Variants uint8  // that were said
	N        uint8
	Usual    uint16 // cards a day, in sixteenths
	Days     uint16 // on which there were any, before Day
	First    uint16 // day
	Cards    [listed]uint64
	Seen     [listed]uint16 // their newest days
	Today    [4]uint64      // sketch of the cards of Day
}

// first is what is known of something that few cards were seen with.
type first struct {
	id    uint64
	cards [few]uint16 // 16 bits of their hashes: of equipment the only one, of others those of the day
	first uint16      // day
	day   uint16      // newest
}

const ways = 4 // firsts of one set

// Stats counts what a Table holds.
type Stats struct {
	Observations uint64 `json:"observations"`
	Entries      int    `json:"entries"`
	Findings     uint64 `json:"findings"`
	Full         uint64 `json:"full"`    // entries for which there was no room
	Dropped      uint64 `json:"dropped"` // first cards that were forgotten before their time
}

// Table takes the observations of one partition.
type Table struct {
	c       Config
	entries map[uint64]*entry
	firsts  []first           // in sets of ways; a power of two
	begun   uint16            // day of the first observation
	groups  map[uint32]uint16 // of settings, the day of their first observation of a peer
	day     uint16            // newest
	stats   Stats
}

// New returns an empty table.
func New(c Config) *Table {
	c = c.withDefaults()
	n := ways
	for n < c.Firsts {
		n *= 2
	}
	return &Table{c: c, entries: map[uint64]*entry{}, firsts: make([]first, n), groups: map[uint32]uint16{}}
}

// Stats returns the counts.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Entries = len(t.entries)
	return s
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
	t.stats.Observations++
	day := uint16(o.Sec / 86400)
	if day > t.day {
		t.day = day
		t.forget()
	}
	if t.begun == 0 || day < t.begun {
		// Of any kind: a partition must not begin to learn later than the others
		// because its first cell comes later.
		t.begun = day
	}
	if o.Kind == Peer {
		if b, ok := t.groups[o.Settings]; !ok || day < b {
			t.groups[o.Settings] = day
		}
	}
	id := o.id()
	e := t.entries[id]
	if e == nil {
		if e = t.enter(id, &o, day); e == nil {
			return f, false
		}
	}
	t.take(e, o.Card, day)
	return t.judge(e, &o, day)
}

// enter makes an entry of what more cards were seen with; nil = too few were, or
// there is no room. Equipment has one from its second card on, cells and peers
// from the fourth of a day: most addresses that a fleet reaches are reached by
// few.
func (t *Table) enter(id uint64, o *Observation, day uint16) *entry {
	set := t.firsts[id>>20&uint64(len(t.firsts)-1)&^(ways-1):][:ways]
	card := half(o.Card)
	oldest := 0
	for i := range set {
		p := &set[i]
		if p.id != id {
			if p.day < set[oldest].day {
				oldest = i
			}
			continue
		}
		switch {
		case o.Kind == Equipment && p.cards[0] == card:
			p.day = max(p.day, day)
			return nil
		case o.Kind == Equipment:
		case day > p.day:
			p.day, p.cards = day, [few]uint16{card}
			return nil
		case day < p.day || !p.more(card):
			return nil
		}
		if len(t.entries) >= t.c.Entries {
			t.stats.Full++
			return nil
		}
		e := &entry{Key: o.Key, Settings: o.Settings, Kind: o.Kind, Day: max(p.day, day), First: min(p.first, day)}
		for _, c := range p.cards {
			// They are known by 16 bits of a hash: they count, without a name.
			if c != 0 {
				e.Cards[e.N], e.Seen[e.N] = nameless|uint64(c), p.day
				e.N++
				if p.day == e.Day {
					e.mark(c)
				}
			}
		}
		*p = first{}
		t.entries[id] = e
		return e
	}
	if set[oldest].id != 0 && set[oldest].day+week > day {
		t.stats.Dropped++
	}
	set[oldest] = first{id: id, cards: [few]uint16{card}, first: day, day: day}
	return nil
}

// few is how many cards of a day a cell or peer may have without an entry.
const few = 3

// more notes a card and reports whether there are more than there is room for.
func (p *first) more(card uint16) bool {
	for i, c := range p.cards {
		if c == card {
			return false
		}
		if c == 0 {
			p.cards[i] = card
			return false
		}
	}
	return true
}

// nameless marks a card of which 16 bits of a hash are known.
const nameless = 1 << 63

func sameCard(known, card uint64) bool {
	return known == card || known&nameless != 0 && uint16(known) == half(card)
}

// half is 16 bits of a hash of a card, not 0. Numbers of cards come in rows: they
// are mixed well (the finalizer of MurmurHash3).
func half(card uint64) uint16 {
	card = (card ^ card>>33) * 0xff51afd7ed558ccd
	card = (card ^ card>>33) * 0xc4ceb9fe1a85ec53
	return uint16((card^card>>33)>>48) | 1
}

// mark notes a card in the sketch of the day.
func (e *entry) mark(half uint16) {
	h := half >> 8
	e.Today[h>>6] |= 1 << (h & 63)
}

// take notes a card in an entry.
func (t *Table) take(e *entry, card uint64, day uint16) {
	if day > e.Day {
		e.close(t, day)
	}
	if day == e.Day {
		e.mark(half(card))
	}
	oldest := 0
	for i := range e.Cards[:e.N] {
		if sameCard(e.Cards[i], card) {
			e.Cards[i], e.Seen[i] = card, max(e.Seen[i], day)
			return
		}
		if e.Seen[i] < e.Seen[oldest] {
			oldest = i
		}
	}
	if int(e.N) < listed {
		oldest = int(e.N)
		e.N++
	} else if e.Seen[oldest] >= day {
		return
	}
	e.Cards[oldest], e.Seen[oldest] = card, day
}

// close ends the entry's day: what is usual follows by a quarter.
func (e *entry) close(t *Table, day uint16) {
	n := int32(min(e.today(), 4000)) * 16
	if e.Days == 0 {
		e.Usual = uint16(n)
	} else {
		e.Usual = uint16(int32(e.Usual) + (n-int32(e.Usual))/4)
	}
	e.Days++
	e.Day, e.Today = day, [4]uint64{}
	if e.Kind == Peer && t.c.Usual != nil && day >= e.First+fresh && e.Usual >= popular*16 {
		t.c.Usual.Add(e.Settings, e.Key)
	}
}

// today is how many cards there were on the newest day: exactly up to 16, then
// by the sketch (linear counting).
func (e *entry) today() int {
	exact, set := 0, 0
	for i := range e.Cards[:e.N] {
		if e.Seen[i] == e.Day {
			exact++
		}
	}
	for _, w := range e.Today {
		set += bits.OnesCount64(w)
	}
	if exact < listed && set < listed {
		return max(exact, set)
	}
	const m = 256
	return max(exact, int(-m*math.Log(max(float64(m-set), 0.5)/m)))
}

// judge asks whether the cards of an entry are many.
func (t *Table) judge(e *entry, o *Observation, day uint16) (f Finding, ok bool) {
	n, bound := 0, 0
	switch e.Kind {
	case Equipment:
		bound = t.c.Equipment
		for i := range e.Cards[:e.N] {
			if e.Seen[i]+week > day && e.Seen[i] <= day {
				n++
			}
		}
		n = max(n, e.today())
	case Cell:
		if day != e.Day || day < t.begun+uint16(t.c.LearnDays) {
			return f, false
		}
		n, bound = e.today(), max(t.c.Cell, t.c.Times*int(e.Usual)/16)
	case Peer:
		if day != e.Day || e.First < t.groups[e.Settings]+uint16(t.c.LearnDays) || day >= e.First+fresh {
			return f, false
		}
		n, bound = e.today(), max(t.c.Peer, t.c.Times*int(e.Usual)/16)
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
	t.stats.Findings++
	f = Finding{Kind: e.Kind, Key: e.Key, Variant: variant, Day: uint32(day), Count: n, Usual: int(e.Usual) / 16, Sec: o.Sec, Settings: o.Settings, Cards: []uint64{o.Card}}
	for i := range e.Cards[:e.N] {
		if c := e.Cards[i]; c&nameless == 0 && c != o.Card && e.Seen[i]+week > day {
			f.Cards = append(f.Cards, c)
		}
	}
	slices.Sort(f.Cards[1:])
	return f, true
}

// forget drops entries of long ago, once a day.
func (t *Table) forget() {
	for id, e := range t.entries {
		keep := uint16(idle)
		if e.Kind == Peer {
			keep = idlePeer
		}
		if e.Day+keep < t.day {
			delete(t.entries, id)
		}
	}
}
