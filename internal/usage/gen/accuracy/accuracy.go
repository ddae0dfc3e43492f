// Package accuracy says how good rules are: how many alarms they give on honest
// cards, and which misuse they find and by when. It runs a world of package gen
// against them and holds what they say against the world's truth.
//
// An alarm is false when it is about a card of which the truth says nothing at
// that time. Alarms about ambiguous cases are counted apart: nobody could tell.
// Misuse is found when one of the rules that the truth names speaks of the card,
// or of one of its cards, not later than the record that the truth names.
package accuracy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/gen"
)

// Alarm is one thing that rules said.
type Alarm struct {
	Card    uint64
	Rule    string
	Variant int
	At      int64 // the record's time
	ID      string
	Record  cdr.Record
	Facts   map[string]string
	batch   int
}

// Judge is what is measured.
type Judge interface {
	// Batch judges records that were delivered by a time.
	Batch(b *cdr.Batch, delivered int64, tell func(Alarm)) error
	// Notice brings something about a card into the books.
	Notice(n gen.Notice) error
	// End is called after the last record.
	End(tell func(Alarm)) error
}

// Case is a case of the truth with what became of it.
type Case struct {
	gen.Truth
	Found bool
	Late  bool // found, but after it should have been
	due   int  // batch that brought the record with which it must be found
	By    Alarm
	Other map[string]int // what other rules said of it
}

// Report says how good the rules were.
type Report struct {
	Records, Cards uint64
	Days           int
	Alarms         uint64
	// False are alarms about honest cards, by rule; Examples some of them.
	False    map[string]uint64
	Examples []Alarm
	Cases    []Case
	// Ambiguous counts alarms about cases nobody could tell, by kind.
	Ambiguous map[string]uint64
	Counts    gen.Counts
}

// maxExamples bounds the examples of each rule.
const maxExamples = 20

// maxAlarms bounds what is kept to be judged at the end.
const maxAlarms = 5_000_000

// Run makes the records of a world and has them judged.
func Run(ctx context.Context, w *gen.World, j Judge) (*Report, error) {
	cfg := w.Config()
	r := &Report{Cards: uint64(cfg.Cards), Days: cfg.Days, False: map[string]uint64{}, Ambiguous: map[string]uint64{}}
	cases := newCases(w.Truth(), w.Config().Keys)
	batch := 0
	var kept []Alarm
	tell := func(a Alarm) {
		r.Alarms++
		if cases.of[a.Card] != nil {
			if a.batch = batch; len(kept) < maxAlarms {
				kept = append(kept, a)
			}
			return
		}
		r.wrong(a)
	}
	notices := slices.Clone(w.Notices())
	slices.SortStableFunc(notices, func(a, b gen.Notice) int { return cmp.Compare(a.From, b.From) })
	s := w.Source()
	var b cdr.Batch
	for {
		err := s.Next(ctx, &b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		batch++
		now := s.Now().Unix()
		cases.pass(&b, batch, now)
		for len(notices) > 0 && notices[0].From <= now {
			if err := j.Notice(notices[0]); err != nil {
				return nil, err
			}
			notices = notices[1:]
		}
		if err := j.Batch(&b, now, tell); err != nil {
			return nil, err
		}
		r.Records += uint64(len(b.Events))
	}
	if err := j.End(tell); err != nil {
		return nil, err
	}
	for _, a := range kept {
		if !cases.take(a, r) {
			r.wrong(a)
		}
	}
	r.Cases, r.Counts = cases.all, s.Counts()
	return r, nil
}

func (r *Report) wrong(a Alarm) {
	if r.False[a.Rule]++; r.False[a.Rule] <= maxExamples {
		r.Examples = append(r.Examples, a)
	}
}

type cases struct {
	all  []Case
	of   map[uint64][]int
	by   map[uint64][]int // of the id of a record, the cases that must be found with it
	open []int            // that must be found by a time, in its order
}

func newCases(truth []gen.Truth, keys *cdr.Keys) *cases {
	c := &cases{of: map[uint64][]int{}, by: map[uint64][]int{}}
	for i, t := range truth {
		c.all = append(c.all, Case{Truth: t, due: math.MaxInt, Other: map[string]int{}})
		c.of[t.Card] = append(c.of[t.Card], i)
		for _, k := range t.Cards {
			if k != t.Card {
				c.of[k] = append(c.of[k], i)
			}
		}
		switch {
		case t.Ambiguous != "":
		case t.ByRecord != "":
			// Of several cards, whose record it is is not told: it is one of theirs.
			for _, k := range append([]uint64{t.Card}, t.Cards...) {
				id := keys.IDKey(k, []byte(t.ByRecord))
				c.by[id] = append(c.by[id], i)
			}
		default:
			c.open = append(c.open, i)
		}
	}
	slices.SortFunc(c.open, func(a, b int) int { return cmp.Compare(c.all[a].Truth.By, c.all[b].Truth.By) })
	return c
}

// pass notes what has been delivered: from then on, finding a case is late.
func (c *cases) pass(b *cdr.Batch, batch int, now int64) {
	for i := range b.Events {
		if list, ok := c.by[b.Events[i].ID]; ok {
			for _, n := range list {
				c.all[n].due = min(c.all[n].due, batch)
			}
		}
	}
	for len(c.open) > 0 && c.all[c.open[0]].Truth.By+margin < now {
		c.all[c.open[0]].due = batch
		c.open = c.open[1:]
	}
}

// margin is what clocks of charging gateways may be off, and sessions that last.
const margin = 2 * 3600

// take reports whether an alarm is about a case: about misuse of the card,
// whatever the rule, or about something that nobody could tell, by one of the rules
// that may take it for misuse.
func (c *cases) take(a Alarm, r *Report) bool {
	about := -1
	for _, i := range c.of[a.Card] {
		t := &c.all[i]
		if a.At < t.From-margin || a.At > t.Until {
			continue
		}
		named := slices.Contains(t.Rules, a.Rule)
		switch {
		case t.Ambiguous == "" && named:
			if !t.Found {
				t.Found, t.Late, t.By = true, a.batch > t.due, a
			}
			return true
		case t.Ambiguous == "" || named:
			about = i
		}
	}
	if about < 0 {
		return false
	}
	t := &c.all[about]
	t.Other[a.Rule]++
	if t.Ambiguous != "" {
		r.Ambiguous[t.Kind]++
	}
	return true
}

// CardDays is how many cards were watched for how many days, together.
func (r *Report) CardDays() float64 { return float64(r.Cards) * float64(r.Days) }

// Wrong is how many alarms were false.
func (r *Report) Wrong() (n uint64) {
	for _, v := range r.False {
		n += v
	}
	return n
}

// Missed are the cases that were not found, or too late.
func (r *Report) Missed() (out []Case) {
	for _, c := range r.Cases {
		if c.Ambiguous == "" && (!c.Found || c.Late) {
			out = append(out, c)
		}
	}
	return out
}

// Story tells a false alarm for people, with no number of the card.
func (a Alarm) Story(w *gen.World) string {
	card, _ := w.CardOf(a.Card)
	cu := w.CustomerOf(card)
	r := &a.Record
	return fmt.Sprintf("%s/%d at %s: card %d of %s: %s %s, %d bytes in %s, area %s cell %s in %s; %v", a.Rule, a.Variant, r.Time.Format("2006-01-02 15:04:05"), card, cu.Name,
		r.Service, r.Direction, r.Up+r.Down, r.Duration, r.Area, r.Cell, r.PLMN, a.Facts)
}
