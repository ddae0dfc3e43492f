package platform

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

const (
	// cursorName is the projector's place among the settings.
	cursorName = "project"
	// chunkState bounds the records that change state in one transaction, so
	// that people's own changes do not wait long.
	chunkState = 200
	// idle is how often the projector looks without being told to.
	idle = time.Second
	// keepEvery is how often the cursor is kept when nothing else is.
	keepEvery = 2 * time.Second
	// triesOfOne is how often a single record that fails for no reason of its
	// surroundings is tried before it is passed over.
	triesOfOne = 5
)

// projector turns what gateways have reported into state. It alone moves its
// cursor, in the transaction that does what the records say: whatever kills
// the process, each record counts once.
type projector struct {
	*core
	segments *segment.Store
	scope    audit.Scope // of the cursor; concerns no organisation
	one      bool        // go record by record: the last chunk failed
	failed   int         // how often in a row
	where    func(segment.Cursor)

	// ahead is behind what was passed over since the cursor was kept: evidence that
	// changes no state. It is kept with the next that does, or once in a while.
	ahead segment.Cursor
	kept  time.Time
}

// item is one record with who sent it.
type item struct {
	gw ringwall.GatewayID
	r  api.Record
}

var errChunkFull = errors.New("the chunk is full")

// run projects until ctx ends.
func (p *projector) run(ctx context.Context) error {
	for {
		more, err := p.chunk(ctx)
		wait := idle
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			p.log.Error("reports not turned into state, trying again", "tries", p.failed, "cause", err)
			wait = min(idle<<min(p.failed, 5), 30*time.Second)
		case more:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed(err):
		case <-time.After(wait):
		}
	}
}

// changed tells of new records; after an error only time helps.
func (p *projector) changed(err error) <-chan struct{} {
	if err != nil {
		return nil
	}
	return p.segments.Changed()
}

// chunk takes the next records of one organisation and reports whether there
// may be more.
func (p *projector) chunk(ctx context.Context) (more bool, err error) {
	from, err := p.next(ctx)
	if err != nil {
		return false, err
	}
	var items []item
	var org ringwall.OrgID
	state := 0
	to, err := p.segments.ScanKinds(ctx, from, changesState, func(gw ringwall.GatewayID, o ringwall.OrgID, r api.Record) error {
		if len(items) > 0 && (o != org || p.one || state >= chunkState) {
			return errChunkFull
		}
		state++
		org = o
		// What Scan hands out is its buffer's, and gone with the next record.
		r.Data, r.Bin = bytes.Clone(r.Data), nil
		items = append(items, item{gw, r})
		return nil
	})
	if err != nil && !errors.Is(err, errChunkFull) {
		return false, err
	}
	more = err != nil
	if len(items) == 0 {
		return false, p.passed(ctx, to)
	}
	if err := p.project(ctx, org, items, to); err != nil {
		return more, err
	}
	if p.one && more && p.failed == 0 {
		p.one = false // past what failed: in chunks again
	}
	p.where(to)
	return more, nil
}

// changesState reports whether records of a kind are turned into state; the
// others are read in the segments.
func changesState(kind []byte) bool {
	return string(kind) != string(api.RecordFlow) && string(kind) != string(api.RecordDNS)
}

// passed notes that everything before to was evidence alone.
func (p *projector) passed(ctx context.Context, to segment.Cursor) error {
	p.ahead = to
	p.where(to)
	now := p.now()
	if old := now.Sub(p.kept); old >= 0 && old < keepEvery {
		return nil
	}
	p.kept = now
	return p.store.Update(ctx, func(tx *sqlstore.Tx) error { return p.keepCursor(tx, to) })
}

// next returns where to read on.
func (p *projector) next(ctx context.Context) (segment.Cursor, error) {
	c, err := p.cursor(ctx)
	if err == nil && c.Less(p.ahead) {
		c = p.ahead
	}
	return c, err
}

// cursor returns the cursor that is kept. It may be called from any goroutine.
func (p *projector) cursor(ctx context.Context) (segment.Cursor, error) {
	var text string
	err := p.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		text, err = tx.Cursor(p.scope, cursorName)
		return err
	})
	if err != nil {
		return segment.Cursor{}, err
	}
	store, place, found := strings.Cut(text, "/")
	if text != "" && (!found || store != p.segments.ID()) {
		// The evidence was replaced: the place in what was there means nothing in
		// what is. Alerts are known by their ids, so reading anew repeats none.
		p.log.Error("the evidence store is another one than was read from; reading it from its beginning")
		return segment.Cursor{}, nil
	}
	return segment.ParseCursor(place)
}

// keepCursor notes how far was read, and in which store.
func (p *projector) keepCursor(tx *sqlstore.Tx, to segment.Cursor) error {
	return tx.PutCursor(p.scope, cursorName, p.segments.ID()+"/"+to.String())
}

func (p *projector) project(ctx context.Context, org ringwall.OrgID, items []item, to segment.Cursor) error {
	err := p.turn(ctx, org, func(t *turn) error {
		for _, i := range items {
			if err := t.take(i.gw, i.r); err != nil {
				return err
			}
		}
		return p.keepCursor(t.tx, to)
	})
	if err == nil {
		p.failed = 0
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	p.failed++
	if len(items) > 1 {
		p.one = true
		return err
	}
	// One record alone fails. When the database or another part is away, it is
	// not the record's fault, and waiting is right.
	if p.failed < triesOfOne || ringwall.CodeOf(err) == ringwall.Unavailable {
		return err
	}
	p.log.Error("record cannot be turned into state and is passed over; it stays in the segments",
		"org", org, "gateway", items[0].gw, "seq", items[0].r.Seq, "kind", items[0].r.Kind, "cause", err)
	p.failed = 0
	return p.store.Update(ctx, func(tx *sqlstore.Tx) error { return p.keepCursor(tx, to) })
}

// take applies one record; a minute of traffic is a sign of life too.
func (t *turn) take(gw ringwall.GatewayID, r api.Record) error {
	if r.Kind == api.RecordFeatures {
		err := read(r, func(f api.Features) error { return t.heard(gw, f) })
		switch ringwall.CodeOf(err) {
		case ringwall.Invalid, ringwall.NotFound:
			return nil // of a device that has gone elsewhere, or nonsense: evidence all the same
		}
		return err
	}
	return t.apply(gw, r)
}
