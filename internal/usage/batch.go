package usage

import (
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"time"
	"unsafe"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// group is as many events as are fetched from memory together.
type group struct {
	which []uint16 // their places in the batch
	cards store.Cards
	ids   store.Cards
	at    store.Places
}

// Batch judges the events of a batch, in their order, and gives emit an alert
// for each new statement. It allocates nothing while nothing is said. emit is
// called before Batch returns and may be nil; the batch is the caller's again
// after that.
func (e *Engine) Batch(b *cdr.Batch, emit func(ringwall.Alert)) {
	e.part(b, e.every[:min(len(b.Events), cdr.MaxBatch)], func(_ uint16, a ringwall.Alert) {
		if emit != nil {
			emit(a)
		}
	})
}

// part judges some events of a batch: those of the engine's cards.
func (e *Engine) part(b *cdr.Batch, which []uint16, emit func(uint16, ringwall.Alert)) {
	e.begin(b)
	now, next := &e.groups[0], &e.groups[1]
	which = e.gather(now, which)
	for i := 0; i < len(now.which); i += store.Few {
		e.fetch(now, i)
	}
	for len(now.which) > 0 {
		which = e.gather(next, which)
		e.judge(now, next, emit)
		now, next = next, now
	}
	e.batch = nil
}

// begin prepares for the events of a batch.
func (e *Engine) begin(b *cdr.Batch) {
	e.batch = b
	if now, err := e.book.current(e.keys); err == nil {
		e.env.Book = now
	} // else what was in force stays: every part of it was checked when it came
	e.env.Horizon = 0
	if e.c.Now != nil {
		e.env.Horizon = uint32(min(max(e.c.Now().Add(maxAhead).Unix(), 1), 1<<32-1))
	}
}

// gather finds the lines of the next events.
func (e *Engine) gather(g *group, which []uint16) (rest []uint16) {
	n := min(len(which), store.Width)
	g.which, rest = which[:n], which[n:]
	if n == 0 {
		return nil
	}
	events := e.batch.Events
	for i, w := range g.which {
		g.cards[i&(store.Width-1)] = events[w].Card
	}
	if e.c.Duplicates > 0 {
		for i, w := range g.which {
			g.ids[i&(store.Width-1)] = events[w].ID
		}
	}
	e.table.Find(&g.cards, n, &g.at)
	return rest
}

// fetch has the lines of a few events of a group fetched.
func (e *Engine) fetch(g *group, i int) {
	e.table.Prefetch(&g.at, i)
	if e.c.Duplicates > 0 {
		e.seen.Prefetch(&g.ids, i)
	}
}

// judge judges the events of a group. Meanwhile the lines of the next are
// fetched, a few at a time.
func (e *Engine) judge(g, next *group, emit func(uint16, ringwall.Alert)) {
	e.stats.Records += uint64(len(g.which))
	events, copying, counting := e.batch.Events, e.table.Copying(), e.totals != nil && len(e.entries) > 0
	book := e.env.Book
	for i, w := range g.which {
		if i%store.Few == 0 && i < len(next.which) {
			e.fetch(next, i)
		}
		ev, at := &events[w], g.at[i&(store.Width-1)]
		var l *rules.Line
		if at != store.None {
			l = e.line(at)
		}
		if l == nil || l.Card != ev.Card || l.Own()&ownPending != 0 {
			var ok bool
			if at, ok = e.admit(ev.Card); !ok {
				e.stats.Unknown++
				continue
			}
			l = e.line(at)
		}
		if ev.ID != 0 && !e.seen.Add(ev.ID) {
			e.stats.Duplicate++
			continue
		}
		if copying {
			e.table.Touch(at)
		}
		e.at = int(w)
		s := book.Settings(l.Settings())
		if f := rules.Step(l, s, ev, &e.env); f&e.loud != 0 {
			e.told(l, s, ev, f, emit)
		}
		if counting {
			e.count(ev.Card, uint64(ev.Volume), 0)
		}
	}
}

// quiet are the flags that matter to nobody unless Watched says so; told looks
// at the others.
const quiet = rules.First | rules.Rebound | rules.Strange | rules.Arrived | rules.OffList | rules.Returned | rules.Unlisted

// told deals with what is worth telling of an event.
func (e *Engine) told(l *rules.Line, s *rules.Settings, ev *cdr.Event, f rules.Fired, emit func(uint16, ringwall.Alert)) {
	count := func(n *uint64, flag rules.Fired) {
		if f&flag != 0 {
			*n++
		}
	}
	count(&e.stats.Late, rules.Late)
	count(&e.stats.Future, rules.Future)
	count(&e.stats.Muted, rules.Muted)
	count(&e.stats.Cold, rules.Cold)
	if f&e.c.Watched != 0 && e.c.Watch != nil {
		e.c.Watch(ev, l, f)
	}
	if f&rules.Speaks == 0 {
		return
	}
	r := e.recordOf(ev)
	i := 0
	all := rules.Statements()
	for st := range f.All() {
		for all[i] != st {
			i++
		}
		e.stats.Said[i]++
		e.stats.Alerts++
		emit(uint16(e.at), e.alert(ev, rules.Explain(st, s, ev, r, &e.env), r))
	}
}

// recordOf reads the record behind the event that is being judged; nil = it is
// lost.
func (e *Engine) recordOf(*cdr.Event) *cdr.Record {
	if e.batch.Record(e.at, &e.rec) != nil {
		return nil
	}
	return &e.rec
}

// alert makes an alert of a statement. Its id says what was said, of whom and of
// which day, so that saying it again makes no new one.
func (e *Engine) alert(ev *cdr.Event, st rules.Statement, r *cdr.Record) ringwall.Alert {
	if e.mac == nil {
		e.mac = hmac.New(sha256.New, e.c.Key)
	}
	e.mac.Reset()
	imsi := keyedBy(e.mac, "usage alert", cdr.IMSIOf(ev.Card))
	sim, org := e.name(ev.Card)
	at := time.Unix(int64(ev.Sec), 0).UTC()
	if r != nil {
		at = r.Time.UTC()
	}
	a := ringwall.Alert{
		ID:  ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, string(imsi[:]), st.Rule, strconv.FormatUint(uint64(ev.Sec/86400), 10), strconv.Itoa(st.Variant))),
		Org: org, Time: at, Rule: st.Rule, Nature: st.Nature, Severity: st.Severity,
		Subject: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim)}, Stage: st.Stage, Title: st.Title, Attack: st.Attack, Peer: st.Peer,
		Evidence: ringwall.Evidence{Count: 1, First: at, Last: at, Facts: st.Facts},
	}
	if line := e.batch.Lines[e.at]; line != 0 {
		a.Evidence.Records = []uint64{line}
	}
	return a
}

func (e *Engine) count(card, up, down uint64) {
	if _, ok := e.entries[card]; !ok {
		return
	}
	t := e.totals[card]
	if t == nil {
		t = &total{}
		e.totals[card] = t
	}
	t.up, t.down, t.records = t.up+up, t.down+down, t.records+1
}

// lineOf is a line as the table has it.
type lineOf = store.Line

func asRules(l *lineOf) *rules.Line { return (*rules.Line)(unsafe.Pointer(l)) }
