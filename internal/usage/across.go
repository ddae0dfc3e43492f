package usage

import (
	"bytes"
	"io"
	"slices"
	"sync/atomic"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// across looks at several cards at once, for a Set: engines note what they see,
// and the goroutine that delivers alerts takes the notes, batch by batch and in
// the order of records, so that the same records make the same findings however
// many engines there are. What engines need not note they read from a rules.Usual
// that the table fills meanwhile; how much that spares depends on who is faster,
// and nothing else does: what is spared would have changed nothing.
type across struct {
	s     *Set
	c     cross.Config
	table *cross.Table
	bytes atomic.Int64 // that the table takes

	now atomic.Pointer[acrossNow] // for the next parcel
	was *acrossNow                // of the parcel that is delivered
}

// acrossNow is what holds from a parcel on: so findings follow from the input, and
// from what was said of cards and settings between two parcels of it.
type acrossNow struct {
	cards int // that are announced, or may be adopted
	book  *rules.Book
	usual *rules.Usual
}

// newAcross returns a table for as many cards as the engines may have.
func newAcross(s *Set, c cross.Config, e *Config) *across {
	if c.Cards == 0 {
		if c.Cards = e.MaxCards; c.Cards == 0 && e.Adopt {
			c.Cards = e.MaxAdopted
		}
	}
	a := &across{s: s, c: c, was: &acrossNow{cards: c.Cards, book: e.Book, usual: &rules.Usual{}}}
	a.now.Store(a.was)
	a.c.Settled = func(settings uint32, peer uint64, day uint16) {
		a.was.usual.Add(settings, peer, day)
		if c.Settled != nil {
			c.Settled(settings, peer, day)
		}
	}
	a.table = cross.New(a.c)
	return a
}

// Spare has the engine pass over what u has, of what cards without a list of
// addresses do there; without one it notes nothing of these cards. u is to be
// filled by what a cross.Table that is given what Watch is told of has settled,
// with numbers of settings that Book has.
func (e *Engine) Spare(u *rules.Usual) { e.env.Usual = u }

// Observed appends what an event says of more than its card (cross.Collect), for
// Watch. Cards are counted by settings of the Book, also when they have allowed uses
// of their own, whose numbers differ from engine to engine; what Spare spares of
// these is left out here.
func (e *Engine) Observed(to []cross.Observation, ev *cdr.Event, l *rules.Line, f rules.Fired) []cross.Observation {
	n, all := l.Settings(), uint32(e.book.base.Count())
	if n >= all {
		if own := int(n - all); own < len(e.book.own) {
			n = e.book.own[own].Base
		}
		if n >= all {
			n = 0
		}
		if f&rules.Unlisted != 0 && e.env.Usual.Has(n, ev) {
			f &^= rules.Unlisted
		}
	}
	return cross.Collect(to, n, ev, f)
}

// grow says that there are so many cards more.
func (a *across) grow(n int) {
	if a == nil || a.s.c.Engine.MaxCards > 0 {
		return
	}
	for {
		old := a.now.Load()
		next := *old
		next.cards += n
		if a.now.CompareAndSwap(old, &next) {
			return
		}
	}
}

// rule says which Book is in force, and what engines pass over since: the numbers
// of settings mean other ones now, and what was usual for these is not.
func (a *across) rule(b *rules.Book, usual *rules.Usual) {
	if a == nil {
		return
	}
	for {
		old := a.now.Load()
		if a.now.CompareAndSwap(old, &acrossNow{old.cards, b, usual}) {
			return
		}
	}
}

// noted is an observation and the event that it was made of.
type noted struct {
	at  uint16
	obs cross.Observation
}

// watch has an engine note what it sees.
func (sh *shardOf) watch(c *Config) {
	other, mask := c.Watch, c.Watched
	c.Watched |= cross.Watched
	c.Watch = func(ev *cdr.Event, l *rules.Line, f rules.Fired) {
		if sh.notes != nil {
			sh.obs = sh.e.Observed(sh.obs[:0], ev, l, f)
			for _, o := range sh.obs {
				*sh.notes = append(*sh.notes, noted{uint16(sh.e.at), o})
			}
		}
		if other != nil && f&mask != 0 {
			other(ev, l, f)
		}
	}
}

// take takes the notes of a parcel and returns what was found.
func (a *across) take(p *Parcel) (out []found) {
	n := 0
	for i := range p.notes {
		n += len(p.notes[i])
	}
	if n == 0 {
		return nil
	}
	a.was = p.now
	a.table.Grow(p.now.cards)
	list := p.notes[0]
	for i := range p.notes[1:] {
		list = append(list, p.notes[i+1]...)
		p.notes[i+1] = p.notes[i+1][:0]
	}
	if len(p.notes) > 1 {
		slices.SortStableFunc(list, func(a, b noted) int { return int(a.at) - int(b.at) })
	}
	for _, o := range list {
		if f, ok := a.table.Observe(o.obs); ok && (p.now.book == nil || f.Said(p.now.book)) {
			for _, alert := range f.Alerts(a.s.c.Engine.Key, a.name) {
				if line := p.Lines[o.at]; line != 0 && alert.Evidence.Records == nil {
					alert.Evidence.Records = []uint64{line}
				}
				out = append(out, found{o.at, alert})
			}
		}
	}
	p.notes[0] = list[:0]
	a.bytes.Store(a.table.Bytes())
	return out
}

// name asks the engine that has the card.
func (a *across) name(card uint64) (sim ringwall.SIMID, org ringwall.OrgID) {
	a.s.of(card, func(e *Engine) { sim, org = e.name(card) })
	return sim, org
}

// delivering runs f on the goroutine that delivers alerts, after all parcels that
// were submitted before, and waits.
func (s *Set) delivering(f func()) {
	done := make(chan struct{})
	s.order <- &Parcel{do: func() { f(); close(done) }}
	<-done
}

// saveAcross is the table as it is after all parcels that were submitted; nil =
// there is none. It waits for their alerts to be delivered.
func (s *Set) saveAcross() (b []byte, err error) {
	if s.across == nil {
		return nil, nil
	}
	s.delivering(func() {
		var buf bytes.Buffer
		buf.Grow(int(s.across.table.Bytes()))
		err = s.across.table.Snapshot(&buf)
		b = buf.Bytes()
	})
	return b, err
}

func (s *Set) loadAcross(r io.Reader) (err error) {
	if s.across == nil {
		return nil
	}
	s.delivering(func() {
		c := s.across.c
		c.Cards = s.across.now.Load().cards
		table := cross.New(c)
		if err = table.Restore(r); err == nil {
			s.across.table = table
			s.across.bytes.Store(table.Bytes())
		}
	})
	return err
}

// Across counts what was noted of several cards at once.
func (s *Set) Across() (st cross.Stats) {
	if s.across != nil {
		s.delivering(func() { st = s.across.table.Stats() })
	}
	return st
}
