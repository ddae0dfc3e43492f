// Package dryrun tells what other settings would have changed: it judges records
// of the past by two books at once, the one that is in force and the one that is
// proposed, and compares what they say.
//
// Both are judged from the records alone, with the same lines of cards to begin
// with, so that what differs comes from the books. A statement is the same when
// card, rule, variant and day are, whichever record tipped it: that is also what
// alerts have their ids of.
//
// Rules that learn need days before the time that is asked about (Config.From):
// Result.Unknown names those for which the records do not go back far enough.
// Cards that act as one (rule sim-box) are not part of it: their bounds are not in
// the book.
//
// Memory is bounded: by Config.MaxCards, past which cards are left out and
// counted, and Config.MaxStatements. Of large fleets, Config.Sample takes one card
// of so many, always the same ones.
//
// A Trial belongs to one goroutine, starts none and opens nothing.
package dryrun

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Card is what is known of a card beside its records.
type Card struct {
	Old, New uint32 // its settings in the two books
	Bound    uint64 // declared equipment (cdr.EquipmentKey); 0 = none
	Life     rules.Life
	Since    uint32 // of a life in which it may not be used
}

// Config configures a Trial.
type Config struct {
	Old, New *rules.Book
	Areas    *rules.Areas
	// Card tells of a card; false = leave it out. nil = all cards have settings 0.
	Card func(card uint64) (Card, bool)
	// From is when the time begins that is asked about (seconds since 1970); what is
	// before is for learning.
	From uint32
	// Horizon is as in rules.Env.
	Horizon uint32
	// Sample takes one card of so many; 0 = all.
	Sample int
	// MaxCards bounds the cards; 0 = 1,048,576, about 300 bytes each.
	MaxCards int
	// MaxStatements bounds what is kept of what both say; 0 = 1,048,576.
	MaxStatements int
	// MaxList bounds the lists of the Result; 0 = 100.
	MaxList int
}

// Change is one statement that one book makes and the other does not.
type Change struct {
	Card uint64
	Sec  uint32 // of the record that tipped it
	Line uint64 // of it, in its input
	rules.Statement
}

// Result is what would change.
type Result struct {
	Records           uint64 // of cards that were judged, in the time that is asked about
	Before            uint64 // for learning
	Cards             int
	LeftOut           uint64 // records of cards that had no room, are not known or not in the sample
	Same              int
	Gone              []Change // that would not be said: the worst first
	Fresh             []Change // that would be said anew: the worst first
	GoneAll, FreshAll int
	// ByRule counts statements by rule.
	ByRule map[string]Count
	// Unknown are rules of which it cannot be told, because the records do not go back
	// far enough.
	Unknown []string
	// Full says that there were more statements than are kept: the counts are then
	// too low.
	Full bool
}

// Count counts statements of one rule.
type Count struct{ Same, Gone, Fresh int }

// side is a book with its lines.
type side struct {
	env   rules.Env
	lines map[uint64]*rules.Line
	said  map[statement]Change
}

type statement struct {
	card    uint64
	rule    string
	variant int
	day     uint32
}

// Trial judges by two books.
type Trial struct {
	c        Config
	sides    [2]*side
	r        Result
	from, to uint32 // of the records
	rec      cdr.Record
	batch    *cdr.Batch
	at       int
}

// New begins a trial. The error has code Invalid.
func New(c Config) (*Trial, error) {
	if c.Old == nil || c.New == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "a dry run needs the book that is in force and the one that is proposed")
	}
	for _, p := range []struct {
		v     *int
		other int
	}{{&c.Sample, 1}, {&c.MaxCards, 1 << 20}, {&c.MaxStatements, 1 << 20}, {&c.MaxList, 100}} {
		if *p.v <= 0 {
			*p.v = p.other
		}
	}
	t := &Trial{c: c}
	for i, b := range []*rules.Book{c.Old, c.New} {
		t.sides[i] = &side{env: rules.Env{Book: b, Areas: c.Areas, Side: rules.NewSide(0), Horizon: c.Horizon, Record: t.record}, lines: map[uint64]*rules.Line{}, said: map[statement]Change{}}
	}
	return t, nil
}

// record reads the record that is being judged.
func (t *Trial) record(*cdr.Event) *cdr.Record {
	if t.batch.Record(t.at, &t.rec) != nil {
		return nil
	}
	return &t.rec
}

// Run judges all of a source.
func (t *Trial) Run(ctx context.Context, src cdr.Source) error {
	var b cdr.Batch
	for {
		switch err := src.Next(ctx, &b); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		t.Batch(&b)
	}
}

// Batch judges the events of a batch.
func (t *Trial) Batch(b *cdr.Batch) {
	t.batch = b
	for i := range b.Events {
		e := &b.Events[i]
		t.at = i
		// A mixing step (Fibonacci hashing): numbers are issued in blocks.
		if t.c.Sample > 1 && e.Card*0x9e3779b97f4a7c15>>33%uint64(t.c.Sample) != 0 || !t.known(e.Card) {
			t.r.LeftOut++
			continue
		}
		if t.from == 0 || e.Sec < t.from {
			t.from = e.Sec
		}
		t.to = max(t.to, e.Sec)
		if e.Sec < t.c.From {
			t.r.Before++
		} else {
			t.r.Records++
		}
		for _, s := range t.sides {
			t.judge(s, e)
		}
	}
}

// known makes the lines of a card, when there is room.
func (t *Trial) known(card uint64) bool {
	if t.sides[0].lines[card] != nil {
		return true
	}
	var c Card
	if t.c.Card != nil {
		var ok bool
		if c, ok = t.c.Card(card); !ok {
			return false
		}
	}
	if t.r.Cards >= t.c.MaxCards {
		return false
	}
	t.r.Cards++
	for i, s := range t.sides {
		l := &rules.Line{Card: card}
		l.SetSettings([]uint32{c.Old, c.New}[i])
		if c.Bound != 0 {
			l.Bind(c.Bound, s.env.Side)
		}
		l.SetLife(c.Life, c.Since, s.env.Side)
		s.lines[card] = l
	}
	return true
}

func (t *Trial) judge(s *side, e *cdr.Event) {
	l := s.lines[e.Card]
	set := s.env.Book.Settings(l.Settings())
	f := rules.Step(l, set, e, &s.env)
	if e.Sec < t.c.From {
		return
	}
	for st := range f.All() {
		key := statement{e.Card, st.Rule, st.Variant, e.Sec / 86400}
		if _, ok := s.said[key]; ok {
			continue
		}
		if len(s.said) >= t.c.MaxStatements {
			t.r.Full = true
			return
		}
		s.said[key] = Change{Card: e.Card, Sec: e.Sec, Line: t.batch.Lines[t.at], Statement: rules.Explain(st, set, e, t.record(e), &s.env)}
	}
}

// Result compares what both said so far.
func (t *Trial) Result() Result {
	r := t.r
	r.ByRule = map[string]Count{}
	count := func(rule string, f func(*Count)) {
		c := r.ByRule[rule]
		f(&c)
		r.ByRule[rule] = c
	}
	old, now := t.sides[0].said, t.sides[1].said
	for k, c := range old {
		if _, ok := now[k]; ok {
			r.Same++
			count(k.rule, func(c *Count) { c.Same++ })
			continue
		}
		r.Gone = append(r.Gone, c)
		count(k.rule, func(c *Count) { c.Gone++ })
	}
	for k, c := range now {
		if _, ok := old[k]; !ok {
			r.Fresh = append(r.Fresh, c)
			count(k.rule, func(c *Count) { c.Fresh++ })
		}
	}
	r.GoneAll, r.FreshAll = len(r.Gone), len(r.Fresh)
	r.Gone, r.Fresh = worst(r.Gone, t.c.MaxList), worst(r.Fresh, t.c.MaxList)
	r.Unknown = t.unknown()
	return r
}

func worst(list []Change, most int) []Change {
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Sec, b.Sec), cmp.Compare(a.Card, b.Card), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Variant, b.Variant))
	})
	return list[:min(len(list), most)]
}

// unknown names the rules that need more days of learning than there were before
// the time that is asked about.
func (t *Trial) unknown() (names []string) {
	days := 0
	if t.from != 0 && t.c.From > t.from {
		days = int(t.c.From-t.from) / 86400
	}
	for _, r := range rules.All() {
		if r.Learns > days {
			names = append(names, r.Name)
		}
	}
	return names
}
