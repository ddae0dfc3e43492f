package sqlstore

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Telling is what an event's Data holds for the timeline, beside whatever else
// its kind carries.
type Telling struct {
	Key    string            `json:"key"`
	Params map[string]string `json:"params,omitempty"`
	Text   string            `json:"text"`
	Ref    string            `json:"ref,omitempty"`
}

// Emit keeps an event with the change that it tells of: on the timeline of its
// subject, and in the outbox. Any scope of the organisation may tell of what it
// did. An event that was emitted before is not emitted again.
func (tx *Tx) Emit(scope audit.Scope, e ringwall.Event) error {
	org, err := need(scope, scope.Act())
	if err != nil {
		return err
	}
	if e.Org != ringwall.OrgID(org) {
		return notFound("event", string(e.ID))
	}
	doc, err := encode(e)
	if err != nil {
		return err
	}
	n, err := tx.exec(`INSERT INTO events (org, id, kind, subject, time, doc) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org, id) DO NOTHING`,
		org, string(e.ID), string(e.Subject.Kind), e.Subject.ID, micros(e.Time), doc)
	if err != nil || n == 0 {
		return err
	}
	var next int64
	if err := tx.row("organisation", org, `INSERT INTO outbox_count (org, n) VALUES ($1, 1) ON CONFLICT (org) DO UPDATE SET n = outbox_count.n + 1 RETURNING n`,
		[]any{org}, &next); err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO outbox (org, n, event) VALUES ($1, $2, $3)`, org, next, string(e.ID))
	return err
}

// Timeline returns some limit entries about a subject from before a time (zero
// = now), newest first. An empty subject means the whole organisation. An
// instant is never split, so that the time of the last entry is where the next
// page begins: what one transaction told at once may make the page longer.
func (tx *Tx) Timeline(scope audit.Scope, s ringwall.Subject, before time.Time, limit int) ([]api.TimelineEntry, error) {
	act := audit.DeviceRead
	if s.Kind == ringwall.SubjectSIM {
		act = audit.SIMRead
	}
	if s.Kind == ringwall.SubjectGateway {
		act = audit.GatewayRead
	}
	org, err := need(scope, act)
	if err != nil {
		return nil, err
	}
	until := int64(1<<63 - 1)
	if !before.IsZero() {
		until = micros(before)
	}
	limit = Paging{Limit: limit}.limit()
	which, args := ``, []any{org}
	if s.ID != "" {
		which, args = ` AND kind = $2 AND subject = $3`, []any{org, string(s.Kind), s.ID}
	}
	at := func(n int) string { return placeholder(len(args) + n) }
	events, err := docs[ringwall.Event](tx, `SELECT doc FROM events WHERE org = $1`+which+` AND time < `+at(1)+` ORDER BY time DESC, id DESC LIMIT `+at(2),
		append(slices.Clone(args), until, limit)...)
	if err != nil {
		return nil, err
	}
	if len(events) == limit {
		last := events[limit-1]
		rest, err := docs[ringwall.Event](tx, `SELECT doc FROM events WHERE org = $1`+which+` AND time = `+at(1)+` AND id < `+at(2)+` ORDER BY id DESC`,
			append(slices.Clone(args), micros(last.Time), string(last.ID))...)
		if err != nil {
			return nil, err
		}
		events = append(events, rest...)
	}
	entries := make([]api.TimelineEntry, len(events))
	for i, e := range events {
		entries[i] = Entry(e)
	}
	return entries, nil
}

// Entry returns the line of the timeline that an event makes.
func Entry(e ringwall.Event) api.TimelineEntry {
	var t Telling
	if err := json.Unmarshal(e.Data, &t); err != nil || t.Text == "" {
		t = Telling{Key: "event." + e.Kind, Text: e.Kind}
	}
	return api.TimelineEntry{Time: e.Time, Kind: e.Kind, Key: t.Key, Params: t.Params, Text: t.Text, Actor: e.Actor, Ref: t.Ref, Event: e.ID, Subject: e.Subject}
}

// Waiting is an event in the outbox.
type Waiting struct {
	N     int64
	Event ringwall.Event
}

// Pending returns up to n events that wait to be published, each
// organisation's in the order in which they were emitted. All organisations
// that have some get their share, so that one with a backlog does not hold up
// the others. It needs SystemOutbox.
func (s *Store) Pending(ctx context.Context, scope audit.Scope, n int) ([]Waiting, error) {
	if err := needPlatform(scope, audit.SystemOutbox); err != nil {
		return nil, err
	}
	var all []Waiting
	err := s.View(ctx, func(tx *Tx) error {
		var orgs []string
		err := tx.rows(`SELECT c.org FROM outbox_count c WHERE EXISTS (SELECT 1 FROM outbox o WHERE o.org = c.org) ORDER BY c.org`, nil, func(scan func(...any) error) error {
			var org string
			err := scan(&org)
			orgs = append(orgs, org)
			return fail(err)
		})
		if err != nil {
			return err
		}
		for i, org := range orgs {
			share := (n - len(all)) / (len(orgs) - i)
			if share == 0 {
				continue // more organisations than n: the first come once the last have none left
			}
			if err := tx.pending(&all, org, share); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

func (tx *Tx) pending(all *[]Waiting, org string, n int) error {
	return tx.rows(`SELECT o.n, e.doc FROM outbox o JOIN events e ON e.org = o.org AND e.id = o.event WHERE o.org = $1 ORDER BY o.n LIMIT $2`, []any{org, n}, func(scan func(...any) error) error {
		var w Waiting
		var doc string
		if err := scan(&w.N, &doc); err != nil {
			return fail(err)
		}
		e, err := decode[ringwall.Event](doc)
		w.Event = e
		*all = append(*all, w)
		return err
	})
}

// Published removes events from the outbox after the spine has made them
// durable. It needs SystemOutbox.
func (s *Store) Published(ctx context.Context, scope audit.Scope, done []Waiting) error {
	if err := needPlatform(scope, audit.SystemOutbox); err != nil {
		return err
	}
	return s.Update(ctx, func(tx *Tx) error {
		for _, w := range done {
			if _, err := tx.exec(`DELETE FROM outbox WHERE org = $1 AND n = $2`, string(w.Event.Org), w.N); err != nil {
				return err
			}
		}
		return nil
	})
}

// Consume reports whether a consumer sees an event for the first time, and
// notes that it has: in the transaction that does what the event asks for.
func (tx *Tx) Consume(scope audit.Scope, consumer string, e ringwall.Event) (bool, error) {
	org, err := need(scope, scope.Act())
	if err != nil {
		return false, err
	}
	if e.Org != ringwall.OrgID(org) {
		return false, notFound("event", string(e.ID))
	}
	n, err := tx.exec(`INSERT INTO consumed (org, consumer, event, at) VALUES ($1, $2, $3, $4) ON CONFLICT (org, consumer, event) DO NOTHING`,
		org, consumer, string(e.ID), micros(tx.now()))
	return n == 1, err
}

// cursorActs are the acts whose parts of the platform keep a cursor.
var cursorActs = []audit.Act{audit.SystemProject, audit.SystemUsage, audit.SystemBootstrap}

// Cursor returns how far a part of the platform has come; "" at the start. It
// belongs to no organisation.
func (tx *Tx) Cursor(scope audit.Scope, name string) (string, error) {
	if !slices.ContainsFunc(cursorActs, scope.Permits) {
		return "", ringwall.Errorf(ringwall.Forbidden, "the scope does not permit reading a cursor")
	}
	var value string
	err := tx.row("cursor", name, `SELECT value FROM settings WHERE org = '' AND name = $1`, []any{"cursor:" + name}, &value)
	if ringwall.CodeOf(err) == ringwall.NotFound {
		return "", nil
	}
	return value, err
}

// PutCursor keeps how far a part of the platform has come.
func (tx *Tx) PutCursor(scope audit.Scope, name, value string) error {
	if !slices.ContainsFunc(cursorActs, scope.Permits) {
		return ringwall.Errorf(ringwall.Forbidden, "the scope does not permit writing a cursor")
	}
	_, err := tx.exec(`INSERT INTO settings (org, name, value) VALUES ('', $1, $2) ON CONFLICT (org, name) DO UPDATE SET value = excluded.value`, "cursor:"+name, value)
	return err
}
