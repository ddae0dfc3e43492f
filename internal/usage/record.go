package usage

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// Outcome is what became of one record.
type Outcome struct {
	SIM       ringwall.SIMID // "" when nobody registered the card
	Duplicate bool           // not judged again
	Late      bool
	Future    bool
	Alerts    []ringwall.Alert
}

// Record judges one record: for those who have one at a time. A record that is
// none (cdr.Keys.Event refuses it) is of an unknown card.
func (e *Engine) Record(r *cdr.Record) Outcome {
	ev, err := e.keys.Event(r)
	if err != nil {
		e.stats.Records++
		e.stats.Unknown++
		return Outcome{}
	}
	was := e.stats
	b := &e.one
	b.Reset()
	b.Events, b.Lines, b.Detail = append(b.Events, ev), append(b.Lines, r.Line), single{r}
	var out Outcome
	e.Batch(b, func(a ringwall.Alert) { out.Alerts = append(out.Alerts, a) })
	b.Detail = nil
	if e.stats.Unknown != was.Unknown {
		return out
	}
	out.SIM, _ = e.name(ev.Card)
	out.Duplicate, out.Late, out.Future = e.stats.Duplicate != was.Duplicate, e.stats.Late != was.Late, e.stats.Future != was.Future
	if t := e.totals[ev.Card]; t != nil && !out.Duplicate {
		t.up, t.down = t.up-uint64(ev.Volume)+r.Up, t.down+r.Down
	}
	return out
}

// single is the record of a batch of one.
type single struct{ r *cdr.Record }

func (s single) Record(_ int, r *cdr.Record) error {
	*r = *s.r
	return nil
}

// Use is what is known of one card's use.
type Use struct {
	Last     time.Time
	Bound    Equipment // declared or learned
	Declared bool      // the binding was declared
	Seen     Equipment
	// Up, Down and Records are those since SetCard named the card, if Config has
	// them counted. Batch does not know which way bytes went: they are all Up.
	Up, Down uint64
	Records  uint64
}

// Use returns what is known of a card's use, and whether the card is known.
func (e *Engine) Use(imsi ringwall.IMSI) (Use, bool) {
	v, ok := e.View(cdr.CardKey(imsi.Reveal()))
	if !ok {
		return Use{}, false
	}
	u := Use{Last: v.Last, Bound: Equipment(v.Bound), Declared: v.Declared, Seen: Equipment(v.Seen)}
	if t := e.totals[cdr.CardKey(imsi.Reveal())]; t != nil {
		u.Up, u.Down, u.Records = t.up, t.down, t.records
	}
	return u, true
}

// View returns all that is known of a card (cdr.CardKey), and whether the card
// is.
func (e *Engine) View(card uint64) (rules.View, bool) {
	at := e.table.Get(card)
	if at == store.None || e.line(at).Own()&ownPending != 0 {
		return rules.View{}, false
	}
	return e.line(at).View(e.env.Side), true
}
