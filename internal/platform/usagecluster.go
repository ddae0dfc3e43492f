package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/task"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// UsageCluster is the way to machines that judge usage records together, in the
// place of this process.
type UsageCluster struct {
	// Shards are those of their log.
	Shards int
	// Run keeps to their log until ctx ends. It calls ready once the log is reached,
	// and tell for every alert of all machines, at least once; one that tell has an
	// error for comes again.
	Run func(ctx context.Context, ready func(UsageLog), tell func(ringwall.Alert) error) error
}

// UsageLog takes what is said to a shard.
type UsageLog interface {
	Append(ctx context.Context, shard int, entry []byte) (seq uint64, err error)
}

// usageTalk tells machines that judge together of all organisations' cards and
// settings, and has their alerts.
type usageTalk struct {
	*core
	home    ringwall.OrgID
	cluster *UsageCluster
	keyFile string
	log     UsageLog
	cards   *usageCards
	tells   keptScopes // of tell's goroutine
}

// run talks until ctx ends.
func (u *usageTalk) run(ctx context.Context) error {
	logs := make(chan UsageLog, 1)
	return task.Run(ctx, nil,
		task.Func("usage cluster", func(ctx context.Context, ready func()) error {
			ready()
			return u.cluster.Run(ctx, func(l UsageLog) { logs <- l }, func(a ringwall.Alert) error { return u.tell(ctx, a) })
		}),
		task.Func("usage cards", func(ctx context.Context, ready func()) error {
			ready()
			select {
			case <-ctx.Done():
				return nil
			case u.log = <-logs:
			}
			return u.publish(ctx)
		}))
}

// publish tells all at the start, then what changes.
func (u *usageTalk) publish(ctx context.Context) error {
	key, err := usageKey(u.keyFile)
	if err != nil {
		return err
	}
	u.cards = newUsageCards(u.core, u.home, usage.KeysOf(key))
	for begun := false; ; {
		if !begun {
			err = u.cards.tell(ctx, u)
			begun = err == nil
		} else if u.cards.past(sayEvery / 2) {
			err = u.cards.look(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			u.core.log.Warn("cards and settings are not all said to the usage machines; trying again", "cause", err)
		}
		if !waited(ctx, sayEvery) {
			return nil
		}
	}
}

// sayEvery is how long what somebody changed may not be said yet: the machines do
// not wait with the records of a card that they do not know.
const sayEvery = 200 * time.Millisecond

// setBook implements usageJudges: it says settings to all shards.
func (u *usageTalk) setBook(ctx context.Context, b *rules.Book) error {
	var payload bytes.Buffer
	if err := b.Encode(&payload); err != nil {
		return err
	}
	return u.say(ctx, shard.Entry{Kind: shard.Settings, Payload: payload.Bytes()})
}

// setCards implements usageJudges.
func (u *usageTalk) setCards(ctx context.Context, cards []usage.Card) error {
	return u.sayControls(ctx, shard.Declare(cards))
}

// dropCards implements usageJudges.
func (u *usageTalk) dropCards(ctx context.Context, imsis []ringwall.IMSI) error {
	return u.sayControls(ctx, shard.Withdraw(imsis))
}

func (u *usageTalk) sayControls(ctx context.Context, all []shard.Control) error {
	for _, c := range all {
		b, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if err := u.say(ctx, shard.Entry{Kind: shard.Cards, Payload: b}); err != nil {
			return err
		}
	}
	return nil
}

// sayTime bounds one entry for all shards.
const sayTime = time.Minute

// say puts an entry into the log of each shard that it concerns.
func (u *usageTalk) say(ctx context.Context, e shard.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, sayTime)
	defer cancel()
	for s := range u.cluster.Shards {
		own, any := shard.Own(e, s, u.cluster.Shards)
		if !any {
			continue
		}
		if _, err := u.log.Append(ctx, s, own.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}

// tell takes an alert of the machines, for the organisation that it names and for
// cards of this one alone. One of an organisation that is not here, or about
// nobody's card, is not ours to see.
func (u *usageTalk) tell(ctx context.Context, a ringwall.Alert) error {
	there := false
	if a.Subject.Kind == ringwall.SubjectSIM && a.Org != "" {
		scope, err := u.tells.get(ctx, audit.SysUsage, audit.SystemUsage, "")
		if err != nil {
			return err
		}
		if err := u.store.View(ctx, func(tx *sqlstore.Tx) error {
			orgs, err := tx.Orgs(scope)
			there = slices.ContainsFunc(orgs, func(o api.Org) bool { return o.ID == a.Org })
			return err
		}); err != nil {
			return err
		}
	}
	if !there {
		u.core.log.Debug("an alert of the usage machines is about no card of ours", "alert", a.ID)
		return nil
	}
	return u.turn(ctx, a.Org, func(t *turn) error {
		if err := t.inName(&u.tells); err != nil {
			return err
		}
		return t.simAlert(a, &cdr.Record{Area: a.Evidence.Facts["area"]})
	})
}
