package platform

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

const (
	// cardRound is how long what somebody changed of a card or of settings may not
	// count yet.
	cardRound = time.Second
	// strangerPause is the least time between two looks for a card that nobody knows:
	// its records wait.
	strangerPause = 50 * time.Millisecond
	// lookShare is how many times as long as the last look took is waited at least.
	lookShare = 4
	// changeOverlap covers what was changed while cards were being read.
	changeOverlap = 10 * time.Second
)

// usageCards tells those who judge usage records of an organisation's cards, and
// what each may be used for. It belongs to one goroutine, but for round.
type usageCards struct {
	*core
	org      ringwall.OrgID
	keys     *cdr.Keys
	scopes   keptScopes
	setBook  func(*rules.Book) error
	setCards func([]usage.Card) error
	specs    *specs // what the Book has
	// settings are those that were read in this look.
	settings map[[2]string]api.UsageSettings
	all      map[ringwall.SIMID]usage.Card // as those who judge were told
	said     map[ringwall.SIMID]string     // what each may be used for, in short
	sims     map[uint64]ringwall.SIMID     // by cdr.CardKey
	records  map[uint64]uint64             // that engines have counted; of cards that were seen
	since    time.Time                     // what was changed before was read
	ended    time.Time                     // the last look
	took     time.Duration
	round    atomic.Uint64 // looks that were begun
}

func newUsageCards(c *core, org ringwall.OrgID, keys *cdr.Keys) *usageCards {
	return &usageCards{
		core: c, org: org, keys: keys, scopes: keptScopes{auditor: c.auditor, now: c.now}, specs: newSpecs(),
		all: map[ringwall.SIMID]usage.Card{}, said: map[ringwall.SIMID]string{}, sims: map[uint64]ringwall.SIMID{},
	}
}

// tell has others told from now on: all that is known, then what changes.
func (c *usageCards) tell(ctx context.Context, setBook func(*rules.Book) error, setCards func([]usage.Card) error) error {
	c.setBook, c.setCards, c.records = setBook, setCards, map[uint64]uint64{}
	if err := c.specs.put(setBook, c.keys, true); err != nil {
		return err
	}
	known := make([]usage.Card, 0, len(c.all))
	for _, card := range c.all {
		known = append(known, card)
	}
	if err := setCards(known); err != nil {
		return err
	}
	return c.look(ctx)
}

// look reads what has changed since the last look, and tells it.
func (c *usageCards) look(ctx context.Context) error {
	begun := time.Now() // of a pause, which is no time of records
	c.round.Add(1)
	scope, err := c.scopes.get(ctx, audit.SysUsage, audit.SystemUsage, c.org)
	if err != nil {
		return err
	}
	since, now := c.since, c.now()
	if !since.IsZero() {
		since = since.Add(-changeOverlap)
	}
	c.settings = map[[2]string]api.UsageSettings{} // as they are now; many cards have the same
	var changed []usage.Card
	said := map[ringwall.SIMID]string{}
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) error {
		for p := (sqlstore.Paging{Limit: 500}); ; {
			page, err := tx.FindSIMs(scope, sqlstore.SIMFilter{Changed: since}, p)
			if err != nil {
				return err
			}
			for _, s := range page.Items {
				card, text, err := c.cardOf(tx, scope, s)
				if err != nil {
					return err
				}
				if card.SIM != "" {
					changed, said[card.SIM] = append(changed, card), text
				}
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				return nil
			}
		}
	}); err != nil {
		return err
	}
	if err := c.specs.put(c.setBook, c.keys, false); err != nil {
		return err
	}
	if len(changed) > 0 {
		if err := c.setCards(changed); err != nil {
			return err
		}
	}
	for _, card := range changed {
		c.all[card.SIM], c.said[card.SIM] = card, said[card.SIM]
		c.sims[cdr.CardKey(card.IMSI.Reveal())] = card.SIM
	}
	c.since, c.ended = now, time.Now()
	c.took = c.ended.Sub(begun)
	return nil
}

// past reports whether the last look was so long ago, and it is time for another.
func (c *usageCards) past(d time.Duration) bool {
	return time.Since(c.ended) > max(d, lookShare*c.took)
}

// ready reports whether the cards of a piece were looked at late enough to judge
// it: a moment ago, and, when it has cards that nobody knows, after it was read.
// It looks when it may; else in is how long it has to wait.
func (c *usageCards) ready(ctx context.Context, p *piece) (ok bool, in time.Duration, err error) {
	strange := false
	for i := range p.events {
		if _, known := c.sims[p.events[i].Card]; !known {
			strange = true
			break
		}
	}
	stale := c.past(cardRound)
	if !stale && (!strange || c.round.Load() > p.round) {
		return true, 0, nil
	}
	if left := max(strangerPause, lookShare*c.took) - time.Since(c.ended); left > 0 && !stale {
		return false, left, nil
	}
	if err := c.look(ctx); err != nil {
		return false, 0, err
	}
	return true, 0, nil
}

// name says which cards of a piece are whose.
func (c *usageCards) name(p *piece) {
	p.sims = make([]ringwall.SIMID, len(p.events))
	for i := range p.events {
		p.sims[i] = c.sims[p.events[i].Card]
	}
}

// unseen reports whether a piece has cards of which records is not known.
func (c *usageCards) unseen(p *piece) bool {
	for i := range p.events {
		if _, ok := c.records[p.events[i].Card]; !ok && p.sims[i] != "" {
			return true
		}
	}
	return false
}

// cardOf is a card as those who judge are told of it, and what was said in a
// text; an empty one when they know that already.
func (c *usageCards) cardOf(tx *sqlstore.Tx, scope audit.Scope, s api.SIM) (card usage.Card, said string, err error) {
	key := [2]string{s.Customer, s.Tariff}
	set, ok := c.settings[key]
	if !ok {
		if set, err = settingsOf(tx, scope, s.Customer, s.Tariff); err != nil {
			return card, "", err
		}
		c.settings[key] = set
	}
	versions, err := tx.SIMProfiles(scope, s.ID)
	if err != nil {
		return card, "", err
	}
	var profile *api.SIMProfile
	if len(versions) > 0 {
		profile = &versions[0]
	}
	n, err := c.specs.add(specOf(s, set, profile))
	if err != nil {
		return card, "", err
	}
	life := rules.LifeActive
	if s.State == string(operatorport.Suspended) && !s.StateSince.IsZero() {
		life = rules.LifeSuspended
	}
	said = fmt.Sprint(n, s.BoundIMEI, life, s.StateSince.Unix())
	if _, known := c.all[s.ID]; known && c.said[s.ID] == said {
		return card, said, nil // what it may be used for is as it was
	}
	numbers, err := tx.Numbers(scope, s.ID)
	if err != nil {
		return card, "", err
	}
	return usage.Card{SIM: s.ID, Org: c.org, IMSI: numbers.IMSI, IMEI: numbers.BoundIMEI, Settings: n, Life: life, Since: s.StateSince}, said, nil
}
