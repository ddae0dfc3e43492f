package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

// Pair is a card and the device that it is in.
type Pair struct {
	SIM    ringwall.SIMID
	Device ringwall.DeviceID
	Used   time.Time // the card's newest record
	Seen   time.Time // when the device was last heard
}

func (tx *Tx) pairs(query string, args ...any) ([]Pair, error) {
	var all []Pair
	err := tx.rows(query, args, func(scan func(...any) error) error {
		var p Pair
		var used, seen int64
		if err := scan(&p.SIM, &p.Device, &used, &seen); err != nil {
			return fail(err)
		}
		p.Used, p.Seen = at(used), at(seen)
		all = append(all, p)
		return nil
	})
	return all, err
}

// UsedUnheard returns cards that were used since a time, and later by margin
// than the silent device that they are in was heard.
func (tx *Tx) UsedUnheard(scope audit.Scope, since time.Time, margin time.Duration, limit int) ([]Pair, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return tx.pairs(`SELECT s.id, d.id, s.last_used, d.seen FROM sims s JOIN devices d ON d.org = s.org AND d.id = s.device
		WHERE s.org = $1 AND s.last_used >= $2 AND d.seen > 0 AND s.last_used > d.seen + $3 AND d.presence IN ($4, $5) ORDER BY s.last_used DESC LIMIT $6`,
		org, micros(since), margin.Microseconds(), int64(ringwall.Silent), int64(ringwall.Gone), limit)
}

// HeardUnused returns devices on line and bound by their cards whose cards were
// used before, and not for margin before they were heard.
func (tx *Tx) HeardUnused(scope audit.Scope, margin time.Duration, limit int) ([]Pair, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return tx.pairs(`SELECT s.id, d.id, s.last_used, d.seen FROM sims s JOIN devices d ON d.org = s.org AND d.id = s.device
		WHERE s.org = $1 AND s.last_used > 0 AND s.state = 'active' AND s.last_used + $2 < d.seen AND d.presence = $3 AND d.doc LIKE '%"bySim":true%' ORDER BY s.last_used LIMIT $4`,
		org, margin.Microseconds(), int64(ringwall.Online), limit)
}

// BySIM returns devices on line that are bound by their cards, by id after one.
func (tx *Tx) BySIM(scope audit.Scope, after ringwall.DeviceID, limit int) ([]Pair, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return tx.pairs(`SELECT s.id, d.id, s.last_used, d.seen FROM sims s JOIN devices d ON d.org = s.org AND d.id = s.device
		WHERE s.org = $1 AND d.id > $2 AND s.last_used > 0 AND d.presence = $3 AND d.doc LIKE '%"bySim":true%' ORDER BY d.id LIMIT $4`,
		org, string(after), int64(ringwall.Online), limit)
}

// NewestUse returns when any card was last used, as far as records came.
func (tx *Tx) NewestUse(scope audit.Scope) (time.Time, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return time.Time{}, err
	}
	var newest int64
	if err := tx.row("organisation", org, `SELECT COALESCE(MAX(last_used), 0) FROM sims WHERE org = $1`, []any{org}, &newest); err != nil {
		return time.Time{}, err
	}
	return at(newest), nil
}
