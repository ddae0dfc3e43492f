package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
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

// usageTalk tells machines that judge together of the first organisation's cards
// and settings, and has their alerts.
type usageTalk struct {
	*core
	org     ringwall.OrgID
	cluster *UsageCluster
	keyFile string
	log     UsageLog
	cards   *usageCards
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
	u.cards = newUsageCards(u.core, u.org, usage.KeysOf(key))
	for begun := false; ; {
		if !begun {
			if err = u.load(ctx, u.cards.specs); err == nil {
				err = u.cards.tell(ctx, func(b *rules.Book) error { return u.sayBook(ctx, b) }, func(c []usage.Card) error { return u.sayCards(ctx, c) })
			}
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

// keptSpecs are settings with the numbers that the machines know them by: a number
// that meant something else after a restart would have cards judged by others'
// settings until all is said again.
type keptSpecs struct {
	Version uint64       `json:"version"`
	List    []rules.Spec `json:"list"`
}

func (u *usageTalk) cursor() string { return "usage settings/" + string(u.org) }

// load has settings keep their numbers. When half of them could be taken, they
// begin anew.
func (u *usageTalk) load(ctx context.Context, p *specs) error {
	scope, err := u.auditor.Authorise(ctx, audit.System(audit.SysUsage, u.org), audit.SystemUsage, audit.Target{Kind: "usage settings", Org: u.org})
	if err != nil {
		return err
	}
	var text string
	if err := u.store.View(ctx, func(tx *sqlstore.Tx) (err error) { text, err = tx.Cursor(scope, u.cursor()); return err }); err != nil {
		return err
	}
	var kept keptSpecs
	if text != "" {
		if err := json.Unmarshal([]byte(text), &kept); err != nil {
			return ringwall.Errorf(ringwall.Internal, "reading the settings that usage machines have: %w", err)
		}
	}
	// The clock as well: a database that was restored knows an older version.
	p.version = max(kept.Version, uint64(max(u.now().UnixMilli(), 0)))
	if len(kept.List) < rules.MaxSettings/4 {
		for _, s := range kept.List {
			if _, err := p.add(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// sayBook keeps the numbers of settings, then says them to all shards.
func (u *usageTalk) sayBook(ctx context.Context, b *rules.Book) error {
	text, err := json.Marshal(keptSpecs{b.Version(), u.cards.specs.list})
	if err != nil {
		return err
	}
	if err := u.turn(ctx, u.org, func(t *turn) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		return t.tx.PutCursor(scope, u.cursor(), string(text))
	}); err != nil {
		return err
	}
	var payload bytes.Buffer
	if err := b.Encode(&payload); err != nil {
		return err
	}
	return u.say(ctx, shard.Entry{Kind: shard.Settings, Payload: payload.Bytes()})
}

func (u *usageTalk) sayCards(ctx context.Context, cards []usage.Card) error {
	for _, c := range shard.Declare(cards) {
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

// tell takes an alert of the machines. One about another organisation's cards, or
// nobody's, is not ours to see.
func (u *usageTalk) tell(ctx context.Context, a ringwall.Alert) error {
	if a.Org != u.org || a.Subject.Kind != ringwall.SubjectSIM {
		u.core.log.Debug("an alert of the usage machines is about no card of ours", "alert", a.ID)
		return nil
	}
	return u.turn(ctx, u.org, func(t *turn) error { return t.simAlert(a, &cdr.Record{Area: a.Evidence.Facts["area"]}) })
}
