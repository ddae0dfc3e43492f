package platform

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

// writeDue writes down what is known of cards when its time has come, and returns
// how long it has. idle says that nothing waits to be judged.
func (u *usageJudge) writeDue(idle bool) (time.Duration, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.touched) == 0 {
		return time.Hour, nil
	}
	every := writeEvery
	if idle {
		every = quietEvery
	}
	if left := every - time.Since(u.since); left > 0 && u.waiting < maxUses && len(u.touched) < maxTouched {
		return left, nil
	}
	return time.Hour, u.write(u.ctx)
}

// write writes down what is known of cards. u.mu is held.
func (u *usageJudge) write(ctx context.Context) error {
	if err := u.bad.Sync(); err != nil {
		u.log.Warn("usage records that cannot be read are not kept", "cause", err)
	}
	if err := u.archiveKept(); err != nil {
		return err
	}
	if err := u.archive.Sync(); err != nil {
		return err
	}
	marks := u.archive.Marks()
	if err := u.turns(ctx, func(turn func(ringwall.OrgID) *turn) error {
		for card, w := range u.touched {
			t := turn(card.org)
			if err := t.inName(&u.writes); err != nil {
				return err
			}
			err := t.cardUsed(card.sim, w, u.written[card] != w.imei)
			if isCode(err, ringwall.NotFound) { // its organisation is no more
				u.log.Warn("what a card was used for is not kept: the card is not there", "org", card.org, "sim", card.sim)
				continue
			}
			if err != nil {
				return err
			}
		}
		t := turn(u.home)
		if err := t.inName(&u.writes); err != nil {
			return err
		}
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		put := func(name string, v any) error {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			return t.tx.PutCursor(scope, name, string(b))
		}
		// With the curves, in one transaction: each record counts once in them, and is
		// once in the archive.
		for name, c := range u.counted {
			if !c.dirty {
				continue
			}
			if c.cursors != nil {
				if err := put(u.fileCursor(name), c.cursors); err != nil {
					return err
				}
			}
			if err := put(u.countCursor(name), c); err != nil {
				return err
			}
		}
		return put(u.marksCursor(), marks)
	}); err != nil {
		return err
	}
	for _, c := range u.counted {
		c.dirty = false
	}
	for card, w := range u.touched {
		if w.imei != "" {
			u.written[card] = w.imei
		}
	}
	clear(u.touched)
	u.waiting = 0
	return nil
}

// settle makes durable what follows from all that was handed to the engines so
// far.
func (u *usageJudge) settle() error { return u.settled(context.WithoutCancel(u.ctx)) }

func (u *usageJudge) settled(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for handed := u.handed; u.reckoned < handed; {
		// Next is about to reckon it, unless the set has stopped.
		u.mu.Unlock()
		err := u.set.Err()
		if err == nil && !waited(ctx, time.Millisecond) {
			err = ctx.Err()
		}
		u.mu.Lock()
		if err != nil {
			return err
		}
	}
	if len(u.touched) == 0 {
		return nil
	}
	return u.write(ctx)
}
