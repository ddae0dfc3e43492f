package platform

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

// owned is a card and whose it is.
type owned struct {
	org ringwall.OrgID
	sim ringwall.SIMID
}

// usageJudges are those who are told of cards: engines in this process, or other
// machines.
type usageJudges interface {
	setBook(context.Context, *rules.Book) error
	setCards(context.Context, []usage.Card) error
	// dropCards has them forget cards and all that is known of them.
	dropCards(context.Context, []ringwall.IMSI) error
}

// usageCards tells those who judge usage records of all organisations' cards, and
// what each may be used for. It belongs to one goroutine, but for round.
type usageCards struct {
	*core
	home    ringwall.OrgID // in whose name is kept what concerns all
	keys    *cdr.Keys
	scopes  keptScopes
	to      usageJudges
	specs   *specs // what the Book has
	loaded  bool   // the numbers that settings had before
	orgs    map[ringwall.OrgID]*orgCards
	sims    map[uint64]owned  // by cdr.CardKey
	records map[uint64]uint64 // that engines have counted; of cards that were seen
	ended   time.Time         // the last look
	took    time.Duration
	round   atomic.Uint64 // looks that were begun

	settings map[settingsKey]api.UsageSettings // that were read in this look
	full     bool                              // in this look settings found no number
}

// orgCards are the cards of one organisation.
type orgCards struct {
	all   map[ringwall.SIMID]usage.Card // as those who judge were told
	said  map[ringwall.SIMID]string     // what each may be used for, in short
	since time.Time                     // what was changed before was read
}

type settingsKey struct {
	org              ringwall.OrgID
	customer, tariff string
}

func newUsageCards(c *core, home ringwall.OrgID, keys *cdr.Keys) *usageCards {
	return &usageCards{
		core: c, home: home, keys: keys, scopes: keptScopes{auditor: c.auditor, now: c.now}, specs: newSpecs(),
		orgs: map[ringwall.OrgID]*orgCards{}, sims: map[uint64]owned{},
	}
}

// tell has others told from now on: all that is known, then what changes.
func (c *usageCards) tell(ctx context.Context, to usageJudges) error {
	c.to, c.records = to, map[uint64]uint64{}
	if !c.loaded {
		if err := c.loadSpecs(ctx); err != nil {
			return err
		}
		c.loaded = true
	}
	if err := c.putBook(ctx, true); err != nil {
		return err
	}
	var known []usage.Card
	for _, o := range c.orgs {
		known = slices.AppendSeq(known, maps.Values(o.all))
	}
	if err := to.setCards(ctx, known); err != nil {
		return err
	}
	return c.look(ctx)
}

// look reads what has changed since the last look, and tells it.
func (c *usageCards) look(ctx context.Context) error {
	begun := time.Now() // of a pause, which is no time of records
	c.round.Add(1)
	scopes, err := c.all(ctx)
	if err != nil {
		return err
	}
	now := c.now()
	if err := c.forget(ctx, scopes); err != nil {
		return err
	}
	c.settings, c.full = map[settingsKey]api.UsageSettings{}, false // as they are now; many cards have the same
	looked := !c.ended.IsZero()                                     // before: a card that is new now had no records
	var changed, fresh []usage.Card
	said := map[ringwall.SIMID]string{}
	var doubles map[ringwall.OrgID]int
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) error {
		changed, fresh, doubles = nil, nil, map[ringwall.OrgID]int{}
		for _, scope := range scopes {
			o := c.orgs[scope.Org()]
			var since time.Time
			if o != nil && !o.since.IsZero() {
				since = o.since.Add(-changeOverlap)
			} else {
				n, err := tx.CountSIMsBy(scope, sqlstore.SIMFilter{Double: true})
				if err != nil {
					return err
				}
				doubles[scope.Org()] = n
				if err := c.base(scope.Org()); err != nil {
					return err
				}
			}
			for p := (sqlstore.Paging{Limit: 500}); ; {
				page, err := tx.FindSIMs(scope, sqlstore.SIMFilter{Changed: since, Judged: true}, p)
				if err != nil {
					return err
				}
				for _, s := range page.Items {
					card, text, err := c.cardOf(tx, scope, o, s)
					if err != nil {
						return err
					}
					if card.SIM == "" {
						continue
					}
					if changed, said[card.SIM] = append(changed, card), text; looked && !o.has(card.SIM) {
						fresh = append(fresh, card)
					}
				}
				if p.Cursor = page.Next; p.Cursor == "" {
					break
				}
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for org, n := range doubles {
		if n > 0 {
			c.log.Warn("cards are not judged: another organisation registered their numbers first", "org", org, "cards", n)
		}
	}
	if c.full {
		c.log.Error("cards differ in too many ways: some are judged without settings and allowed uses of their own")
	}
	if err := c.putBook(ctx, false); err != nil {
		return err
	}
	// Whoever had such a number before: it is another's card now.
	if err := c.drop(ctx, fresh); err != nil {
		return err
	}
	if len(changed) > 0 {
		if err := c.to.setCards(ctx, changed); err != nil {
			return err
		}
	}
	for _, scope := range scopes {
		org := scope.Org()
		if c.orgs[org] == nil {
			c.orgs[org] = &orgCards{all: map[ringwall.SIMID]usage.Card{}, said: map[ringwall.SIMID]string{}}
		}
		c.orgs[org].since = now
	}
	for _, card := range changed {
		o := c.orgs[card.Org]
		o.all[card.SIM], o.said[card.SIM] = card, said[card.SIM]
		c.sims[cdr.CardKey(card.IMSI.Reveal())] = owned{card.Org, card.SIM}
	}
	c.ended = time.Now()
	c.took = c.ended.Sub(begun)
	return nil
}

// has reports whether a card is known; of an organisation that is not, none is.
func (o *orgCards) has(id ringwall.SIMID) bool {
	if o == nil {
		return false
	}
	_, ok := o.all[id]
	return ok
}

// all returns the scopes of all organisations that there are.
func (c *usageCards) all(ctx context.Context) ([]audit.Scope, error) {
	scope, err := c.scopes.get(ctx, audit.SysUsage, audit.SystemUsage, "")
	if err != nil {
		return nil, err
	}
	var orgs []api.Org
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) { orgs, err = tx.Orgs(scope); return err }); err != nil {
		return nil, err
	}
	scopes := make([]audit.Scope, len(orgs))
	for i, o := range orgs {
		if scopes[i], err = c.scopes.get(ctx, audit.SysUsage, audit.SystemUsage, o.ID); err != nil {
			return nil, err
		}
	}
	return scopes, nil
}

// forget has the cards of organisations forgotten that are no more.
func (c *usageCards) forget(ctx context.Context, there []audit.Scope) error {
	for org, o := range c.orgs {
		if slices.ContainsFunc(there, func(s audit.Scope) bool { return s.Org() == org }) {
			continue
		}
		if err := c.drop(ctx, slices.Collect(maps.Values(o.all))); err != nil {
			return err
		}
		delete(c.orgs, org)
	}
	return nil
}

// drop has those who judge forget cards, and all that they know of them.
func (c *usageCards) drop(ctx context.Context, cards []usage.Card) error {
	if len(cards) == 0 {
		return nil
	}
	imsis := make([]ringwall.IMSI, len(cards))
	for i := range cards {
		imsis[i] = cards[i].IMSI
	}
	if err := c.to.dropCards(ctx, imsis); err != nil {
		return err
	}
	for _, i := range imsis {
		key := cdr.CardKey(i.Reveal())
		delete(c.sims, key)
		delete(c.records, key)
	}
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
	p.sims = make([]owned, len(p.events))
	for i := range p.events {
		p.sims[i] = c.sims[p.events[i].Card]
	}
}

// unseen reports whether a piece has cards of which records is not known.
func (c *usageCards) unseen(p *piece) bool {
	for i := range p.events {
		if _, ok := c.records[p.events[i].Card]; !ok && p.sims[i].sim != "" {
			return true
		}
	}
	return false
}

// cardOf is a card as those who judge are told of it, and what was said in a
// text; an empty one when they know that already. o are those of its organisation
// that are known; nil = none.
func (c *usageCards) cardOf(tx *sqlstore.Tx, scope audit.Scope, o *orgCards, s api.SIM) (card usage.Card, said string, err error) {
	org := scope.Org()
	key := settingsKey{org, s.Customer, s.Tariff}
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
	n, err := c.number(org, specOf(s, set, profile))
	if err != nil {
		return card, "", err
	}
	life := rules.LifeActive
	if s.State == string(operatorport.Suspended) && !s.StateSince.IsZero() {
		life = rules.LifeSuspended
	}
	said = fmt.Sprint(n, s.BoundIMEI, life, s.StateSince.Unix())
	if o.has(s.ID) && o.said[s.ID] == said {
		return card, said, nil // what it may be used for is as it was
	}
	numbers, err := tx.Numbers(scope, s.ID)
	if isCode(err, ringwall.Unverified) { // one card's trouble is not all others'
		c.log.Error("a card's numbers do not open: it is not judged", "org", org, "sim", s.ID)
		return usage.Card{}, "", nil
	}
	if err != nil {
		return card, "", err
	}
	return usage.Card{SIM: s.ID, Org: org, IMSI: numbers.IMSI, IMEI: numbers.BoundIMEI, Settings: n, Life: life, Since: s.StateSince}, said, nil
}
