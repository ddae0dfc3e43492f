package accuracy

import (
	"fmt"
	"strconv"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Rules judges by the rules of single cards and of cards that act as one, with a
// line a card and no engine around them.
type Rules struct {
	w     *gen.World
	book  *rules.Book
	lines []rules.Line
	env   rules.Env
	cross *cross.Table
	obs   []cross.Observation
	seen  map[uint64]struct{} // ids of records, to tell those that are sent twice
	old   map[uint64]struct{}
}

// maxSeen is how many ids of records are remembered at least.
const maxSeen = 4 << 20

// NewRules makes the lines of a world's cards, as its operator's books have them.
func NewRules(w *gen.World, areas *rules.Areas) (*Rules, error) {
	book, err := rules.NewBook(w.Book(), w.Config().Keys)
	if err != nil {
		return nil, fmt.Errorf("making the world's book: %w", err)
	}
	usual := &rules.Usual{}
	j := &Rules{
		w: w, book: book, lines: make([]rules.Line, w.Config().Cards), env: rules.Env{Book: book, Areas: areas, Side: rules.NewSide(0), Usual: usual},
		cross: cross.New(cross.Config{Usual: usual, Cards: w.Config().Cards}), seen: map[uint64]struct{}{},
	}
	for _, cu := range w.Customers() {
		for n := range uint32(cu.Cards) {
			card := cu.First() + n
			l := &j.lines[card]
			l.Card = w.FirstNumber(cu) + uint64(n)
			l.SetSettings(cu.Settings())
			l.SetLife(rules.LifeActive, 0, j.env.Side)
			if cu.Tariff.Bound {
				l.Bind(cu.Equipment(card), j.env.Side)
			}
		}
	}
	for _, n := range w.Notices() {
		if l := j.line(n.Card); n.Kind == "activate" && l != nil {
			l.SetLife(rules.LifeStock, 0, j.env.Side)
		}
	}
	return j, nil
}

func (j *Rules) line(card uint64) *rules.Line {
	n, ok := j.w.CardOf(card)
	if !ok {
		return nil
	}
	return &j.lines[n]
}

// Cross tells what the table of cards that act as one holds.
func (j *Rules) Cross() cross.Stats { return j.cross.Stats() }

// Side is what lies beside the lines.
func (j *Rules) Side() *rules.Side { return j.env.Side }

// Notice implements Judge.
func (j *Rules) Notice(n gen.Notice) error {
	l := j.line(n.Card)
	switch {
	case l == nil:
	case n.Kind == "suspend":
		l.SetLife(rules.LifeSuspended, uint32(n.From), j.env.Side)
	case n.Kind == "activate", n.Kind == "resume":
		l.SetLife(rules.LifeActive, uint32(n.From), j.env.Side)
	}
	return nil
}

// maxAhead is how far clocks may be ahead.
const maxAhead = 3600

// Batch implements Judge.
func (j *Rules) Batch(b *cdr.Batch, delivered int64, tell func(Alarm)) error {
	j.env.Horizon = uint32(delivered + maxAhead)
	for i := range b.Events {
		e := &b.Events[i]
		l := j.line(e.Card)
		if l == nil {
			return fmt.Errorf("record %d is of a card that nobody has", b.Lines[i])
		}
		if j.again(e.ID) {
			continue
		}
		s := j.book.Settings(l.Settings())
		f := rules.Step(l, s, e, &j.env)
		if f&(rules.Speaks|cross.Watched) == 0 {
			continue
		}
		var rec cdr.Record
		if err := b.Record(i, &rec); err != nil {
			return err
		}
		for st := range f.All() {
			x := rules.Explain(st, s, e, &rec, &j.env)
			tell(Alarm{Card: e.Card, Rule: st.Rule, Variant: st.Variant, At: int64(e.Sec), ID: rec.ID, Record: rec, Facts: x.Facts})
		}
		j.obs = cross.Collect(j.obs[:0], l.Settings(), e, f)
		for _, o := range j.obs {
			if found, ok := j.cross.Observe(o); ok {
				tell(Alarm{Card: found.Cards[0], Rule: rules.Box, Variant: found.Variant, At: int64(e.Sec), ID: rec.ID, Record: rec, Facts: map[string]string{
					"kind": found.Kind.String(), "cards": strconv.Itoa(found.Count), "usual": strconv.Itoa(found.Usual)}})
			}
		}
	}
	return nil
}

func (j *Rules) again(id uint64) bool {
	if _, ok := j.seen[id]; ok {
		return true
	}
	if _, ok := j.old[id]; ok {
		return true
	}
	if j.seen[id] = struct{}{}; len(j.seen) >= maxSeen {
		j.seen, j.old = map[uint64]struct{}{}, j.seen
	}
	return false
}

// End implements Judge.
func (j *Rules) End(func(Alarm)) error { return nil }
