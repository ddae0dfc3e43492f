package platform

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/archive"
	"github.com/ringwall/ringwall/internal/usage/curve"
	"github.com/ringwall/ringwall/internal/usage/quarantine"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/spool"
)

const (
	// snapshotEvery bounds what is judged again after a crash.
	snapshotEvery = time.Minute
	// writeEvery is how long what is known of cards waits to be written down while
	// records come; when none come, it is quietEvery.
	writeEvery = time.Second
	quietEvery = 100 * time.Millisecond
	// maxUses and maxTouched bound what waits to be written: past them it is written
	// at once.
	maxUses    = 50_000
	maxTouched = 2_000
	// maxPieces is how many pieces wait to be judged.
	maxPieces = 128
	// maxWorkers bounds the engines: what is written of cards costs more than judging.
	maxWorkers = 8
)

// usageJudge judges all usage records of all organisations' cards for as long as
// it lives: until its context ends, or what its engines were made with changes. It
// is the cdr.Source of usage.Run, whose goroutine calls Next; alerts come from
// another (emit), and settle from any.
//
// Alerts are committed before a snapshot that covers their records, and so is what
// is known of cards, their curves and the archive, each with how far it counts, in
// one transaction. After a crash the records behind the snapshot are judged again:
// they repeat no alert, since ids follow from what is said, and count nowhere twice.
type usageJudge struct {
	*core
	desk    *usageDesk
	home    ringwall.OrgID // in whose name is kept what concerns all
	keys    *cdr.Keys
	set     *usage.Set
	keep    *usage.Keep
	ctx     context.Context // of its life
	version uint64          // of what the engines were made with
	cards   *usageCards
	bad     *quarantine.File
	feeds   map[string]*feed
	pieces  chan *piece
	wake    chan struct{} // of Next, of length 1
	failed  atomic.Pointer[error]

	// Of Next's goroutine.
	held   *piece // waits for cards to be looked at
	tag    *piece // that is being judged
	places places

	emits keptScopes // of emit's goroutine

	// mu guards what waits to be written.
	mu       sync.Mutex
	handed   uint64 // pieces
	reckoned uint64 // of them
	last     *piece // handed and not reckoned
	touched  map[owned]*touch
	written  map[owned]ringwall.IMEI // equipment, as it is in the database
	waiting  int                     // uses in touched
	since    time.Time
	counted  map[string]*countedTo
	archive  *archive.Archive
	kept     piece // waits for the archive
	writes   keptScopes
}

// touch is what was seen of a card since the last write.
type touch struct {
	imei    ringwall.IMEI
	at      time.Time // of the record that named it
	use     usage.Use
	bytes   uint64
	records uint64
	uses    []curve.Use
}

// countedTo is how far the records of a feed are in curves and archive: further
// than the snapshot, when the process died between the two.
type countedTo struct {
	N uint64 `json:"n"` // of a source
	// Of followed files, the newest last.
	cursors []spool.Cursor
	dirty   bool
}

// maxCounted bounds the files of which it is known how far they are counted: more
// than are rotated between two snapshots.
const maxCounted = 4

// has reports whether the i-th event of a piece is counted already.
func (c *countedTo) has(p *piece, i int) bool {
	if p.cursors == nil {
		return p.last-uint64(len(p.events)-1-i) <= c.N
	}
	cur := p.cursors[i]
	at := slices.IndexFunc(c.cursors, func(o spool.Cursor) bool { return o.File == cur.File && o.Head == cur.Head })
	return at >= 0 && cur.Offset <= c.cursors[at].Offset
}

// add counts all of a piece.
func (c *countedTo) add(p *piece) {
	if len(p.events) == 0 || c.has(p, len(p.events)-1) {
		return
	}
	c.dirty = true
	if p.cursors == nil {
		c.N = p.last
		return
	}
	for _, cur := range p.cursors {
		at := slices.IndexFunc(c.cursors, func(o spool.Cursor) bool { return o.File == cur.File })
		if at >= 0 && at == len(c.cursors)-1 {
			c.cursors[at] = cur
			continue
		}
		if at >= 0 {
			c.cursors = slices.Delete(c.cursors, at, at+1)
		}
		c.cursors = append(c.cursors, cur)
		c.cursors = c.cursors[max(0, len(c.cursors)-maxCounted):]
	}
}

// The names of cursors in the database.
func (u *usageJudge) fileCursor(name string) string  { return "curves/" + string(u.home) + "/" + name }
func (u *usageJudge) countCursor(name string) string { return "counted/" + string(u.home) + "/" + name }
func (u *usageJudge) placeCursor(name string) string { return "read/" + string(u.home) + "/" + name }
func (u *usageJudge) marksCursor() string            { return "archive/" + string(u.home) }

// Next implements cdr.Source, for usage.Run: the next piece whose cards were
// looked at late enough. io.EOF = this life ends.
func (u *usageJudge) Next(_ context.Context, b *cdr.Batch) error {
	if err := u.reckon(); err != nil {
		return err
	}
	for {
		if err := u.failed.Load(); err != nil {
			return *err
		}
		if u.ctx.Err() != nil || u.desk.version() != u.version {
			return io.EOF
		}
		wait := time.Hour
		if u.held != nil {
			ok, in, err := u.cards.ready(u.ctx, u.held)
			if err != nil {
				return u.ended(err)
			}
			if ok {
				return u.hand(b)
			}
			wait = in
		}
		in, err := u.writeDue(u.held == nil && len(u.pieces) == 0)
		if err != nil {
			return u.ended(err)
		}
		more := u.pieces
		if u.held != nil {
			more = nil
		}
		t := time.NewTimer(min(wait, in))
		select {
		case u.held = <-more:
		case <-t.C:
		case <-u.wake:
		}
		t.Stop()
	}
}

// ended is err, or io.EOF when it only tells that this life ends.
func (u *usageJudge) ended(err error) error {
	if u.ctx.Err() != nil {
		return io.EOF
	}
	return err
}

// hand hands the piece that is held to the engines.
func (u *usageJudge) hand(b *cdr.Batch) error {
	p := u.held
	u.held = nil
	u.cards.name(p)
	u.first(p)
	b.Events, b.Lines, b.Detail = append(b.Events[:0], p.events...), append(b.Lines[:0], p.lines...), p
	u.tag, u.places[p.feed.name] = p, p.place
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = p
	u.handed++
	return nil
}

// Position implements cdr.Source.
func (u *usageJudge) Position() []byte { return u.places.encode() }

// Tag implements usage.Tagger.
func (u *usageJudge) Tag() any { return u.tag }

// uses asks the engines what they know of the cards of a piece that are ours.
func (u *usageJudge) uses(p *piece) []usage.Use {
	all := make([]usage.Use, len(p.events))
	u.set.Each(func(n int, e *usage.Engine) {
		for i := range p.events {
			if card := p.events[i].Card; p.sims[i].sim != "" && usage.PartitionOf(card, u.set.Workers()) == n {
				all[i], _ = e.Use(ringwall.IMSI(cdr.IMSIOf(card)))
			}
		}
	})
	return all
}

// first asks how many records of the cards of a piece were counted before, of those
// of which that is not known yet.
func (u *usageJudge) first(p *piece) {
	if !u.cards.unseen(p) {
		return
	}
	for i, use := range u.uses(p) {
		if p.sims[i].sim != "" {
			u.cards.records[p.events[i].Card] = use.Records
		}
	}
}

// reckon looks at what became of the last piece.
func (u *usageJudge) reckon() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.last
	if p == nil {
		return nil
	}
	u.last = nil
	uses := u.uses(p)
	counted := u.counted[p.feed.name]
	for i, use := range uses {
		card := p.sims[i]
		if card.sim == "" {
			continue
		}
		r := &p.records[i]
		w := u.touched[card]
		if w == nil {
			w = &touch{}
			if len(u.touched) == 0 {
				u.since = time.Now()
			}
			u.touched[card] = w
		}
		if w.use = use; r.IMEI != "" {
			w.imei, w.at = r.IMEI, r.Time
		}
		judged := use.Records != u.cards.records[p.events[i].Card] // else it came before
		u.cards.records[p.events[i].Card] = use.Records
		if !judged || counted.has(p, i) {
			continue
		}
		w.uses = append(w.uses, useOf(r))
		w.bytes, w.records = w.bytes+r.Up+r.Down, w.records+1
		u.waiting++
		u.kept.events, u.kept.lines, u.kept.records = append(u.kept.events, p.events[i]), append(u.kept.lines, p.lines[i]), append(u.kept.records, *r)
		if len(u.kept.events) == cdr.MaxBatch {
			if err := u.archiveKept(); err != nil {
				return err
			}
		}
	}
	counted.add(p)
	u.reckoned++
	return nil
}

// archiveKept puts what waits into the archive. u.mu is held.
func (u *usageJudge) archiveKept() error {
	k := &u.kept
	if len(k.events) == 0 {
		return nil
	}
	err := u.archive.Add(&cdr.Batch{Events: k.events, Lines: k.lines, Detail: k})
	k.events, k.lines, k.records = k.events[:0], k.lines[:0], k.records[:0]
	return err
}

// saved tells sources how far they are not needed any more.
func (u *usageJudge) saved(v *usage.Saving) {
	if err := v.Err(); err != nil {
		u.log.Error("what is known of card usage is not kept; it is tried again", "cause", err)
		return
	}
	u.desk.forgetOld()
	var at places
	if err := json.Unmarshal(v.Position(), &at); err != nil {
		return // it was ours a moment ago
	}
	ends := map[string]feedPlace{}
	for name, place := range at {
		if f := u.feeds[name]; f != nil && f.source != nil {
			ends[name] = place
		}
	}
	if len(ends) > 0 {
		if err := u.putPlaces(context.WithoutCancel(u.ctx), ends); err != nil {
			u.log.Warn("how far usage records were read is not kept beside the snapshot", "cause", err)
			return
		}
	}
	for name, place := range ends {
		u.feeds[name].saved(place)
	}
}

// emit commits the alerts of a piece: each is told to the organisation of its card,
// and to nobody else.
func (u *usageJudge) emit(p *usage.Parcel, alerts []ringwall.Alert) error {
	of, _ := p.Tag.(*piece)
	ctx := context.WithoutCancel(u.ctx)
	err := u.turns(ctx, func(turn func(ringwall.OrgID) *turn) error {
		for _, a := range alerts {
			if a.Org == "" {
				continue // of a crowd, cards that are nobody's any more
			}
			t := turn(a.Org)
			if err := t.inName(&u.emits); err != nil {
				return err
			}
			if err := t.simAlert(a, of.recordOf(a)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		u.failed.Store(&err)
		nudge(u.wake)
	}
	return err
}

// inName has the turn use a scope of the usage rounds, which is authorised once an
// hour and not once a second and organisation.
func (t *turn) inName(kept *keptScopes) error {
	scope, err := kept.get(t.ctx, audit.SysUsage, audit.SystemUsage, t.org)
	if err == nil {
		t.keys[scopeKey{audit.SysUsage, audit.SystemUsage}] = scope
	}
	return err
}

// recordOf is the record that tipped an alert.
func (p *piece) recordOf(a ringwall.Alert) *cdr.Record {
	for i, card := range p.sims {
		if string(card.sim) == a.Subject.ID && card.org == a.Org {
			return &p.records[i]
		}
	}
	return &cdr.Record{}
}

// setBook implements usageJudges.
func (u *usageJudge) setBook(_ context.Context, b *rules.Book) error { return u.set.SetBook(b) }

// setCards implements usageJudges.
func (u *usageJudge) setCards(_ context.Context, cards []usage.Card) error {
	return u.set.SetCards(cards)
}

// dropCards implements usageJudges.
func (u *usageJudge) dropCards(_ context.Context, imsis []ringwall.IMSI) error {
	u.set.Each(func(n int, e *usage.Engine) {
		for _, i := range imsis {
			if usage.Partition(i, u.set.Workers()) == n {
				e.RemoveCard(i)
			}
		}
	})
	return nil
}
