package platform

import (
	"context"
	"os"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/archive"
	"github.com/ringwall/ringwall/internal/usage/dryrun"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

const (
	// tryTime bounds one trial over records: people do not wait longer, and what was
	// said by then is not the whole.
	tryTime = 20 * time.Second
	// tryCards bounds the cards of one.
	tryCards = 200_000
)

// cardsTried are the cards that settings are for, by what they are judged by.
type cardsTried struct {
	old, next *specs
	cards     map[uint64]dryrun.Card
	ids       map[uint64]ringwall.SIMID
}

// tryRecords judges the records of the past by the settings that are in force
// and by others. ok is false when it cannot be told so: no records are there, or
// they are too many. Only the organisation's own cards are looked at.
func (s *service) tryRecords(ctx context.Context, a audit.Actor, set api.UsageSettings, out *api.UsageTrial) (ok bool, err error) {
	secret, err := os.ReadFile(s.usage.keyFile())
	if err != nil {
		return false, nil // nothing was judged yet
	}
	if _, err := os.Stat(s.usage.archiveDir()); err != nil {
		return false, nil // and nothing is kept
	}
	keys := usage.KeysOf(secret)
	// What is looked at is the platform's: numbers are needed to find a card's records.
	scope, err := s.auditor.Authorise(ctx, audit.System(audit.SysUsage, a.Org), audit.SystemUsage, audit.Target{Kind: "usage settings", ID: settingsName(set), Org: a.Org})
	if err != nil {
		return false, err
	}
	network, err := s.auditor.Authorise(ctx, audit.System(audit.SysUsage, s.usage.home), audit.SystemUsage, audit.Target{Kind: "areas", Org: s.usage.home})
	if err != nil {
		return false, err
	}
	tried := cardsTried{old: newSpecs(), next: newSpecs(), cards: map[uint64]dryrun.Card{}, ids: map[uint64]ringwall.SIMID{}}
	var areas *rules.Areas
	if err := s.store.View(ctx, func(tx *sqlstore.Tx) error {
		if areas, err = areasOf(tx, network, keys); err != nil {
			return err
		}
		return tried.read(tx, scope, set)
	}); err != nil || len(tried.cards) == 0 || len(tried.cards) > tryCards {
		return false, err
	}
	old, err := rules.NewBook(rules.BookSpec{Version: 1, Settings: tried.old.list}, keys)
	if err != nil {
		return false, err
	}
	next, err := rules.NewBook(rules.BookSpec{Version: 2, Settings: tried.next.list}, keys)
	if err != nil {
		return false, err
	}
	trial, err := dryrun.New(dryrun.Config{
		Old: old, New: next, Areas: areas, From: uint32(out.From.Unix()), Horizon: uint32(s.now().Add(time.Hour).Unix()), MaxList: api.MaxTrial,
		Card: func(card uint64) (dryrun.Card, bool) { c, ok := tried.cards[card]; return c, ok },
	})
	if err != nil {
		return false, err
	}
	bound, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if err := s.usage.settle(bound); err != nil {
		s.log.Warn("the newest usage records are not in the archive", "cause", err)
	}
	if err := runTrial(bound, trial, s.usage.archiveDir(), out.From); err != nil {
		s.log.Warn("settings are not tried over records", "cause", err)
		return false, ctx.Err()
	}
	r := trial.Result()
	if r.Records == 0 {
		return false, nil
	}
	out.Records, out.Looked, out.Same, out.GoneAll, out.NewAll, out.Unknown = true, int(r.Records), r.Same, r.GoneAll, r.FreshAll, r.Unknown
	for _, c := range r.Gone {
		out.Gone = append(out.Gone, tried.alert(c))
	}
	for _, c := range r.Fresh {
		out.Fresh = append(out.Fresh, tried.alert(c))
	}
	return true, nil
}

// trialLearns is how many days before the time that is asked about records are judged, so
// that the rules learn.
const trialLearns = 30

func runTrial(ctx context.Context, trial *dryrun.Trial, dir string, from time.Time) error {
	src, err := archive.NewSource(dir, archive.SourceConfig{Since: from.AddDate(0, 0, -trialLearns)})
	if err != nil {
		return err
	}
	defer src.Close() // it is only read
	return trial.Run(ctx, src)
}

// read finds the cards that settings are for.
func (c *cardsTried) read(tx *sqlstore.Tx, scope audit.Scope, set api.UsageSettings) error {
	for p := (sqlstore.Paging{}); len(c.cards) <= tryCards; {
		page, err := tx.FindSIMs(scope, sqlstore.SIMFilter{Customer: set.Customer, Tariff: set.Tariff, Judged: true}, p)
		if err != nil {
			return err
		}
		for _, s := range page.Items {
			if meant, err := meansCard(tx, scope, set, s); err != nil {
				return err
			} else if !meant {
				continue
			}
			if err := c.add(tx, scope, set, s); err != nil {
				return err
			}
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			return nil
		}
	}
	return nil
}

func (c *cardsTried) add(tx *sqlstore.Tx, scope audit.Scope, set api.UsageSettings, s api.SIM) error {
	now, err := settingsOf(tx, scope, s.Customer, s.Tariff)
	if err != nil {
		return err
	}
	versions, err := tx.SIMProfiles(scope, s.ID)
	if err != nil {
		return err
	}
	var profile *api.SIMProfile
	if len(versions) > 0 {
		profile = &versions[0]
	}
	n, err := tx.Numbers(scope, s.ID)
	if err != nil {
		return err
	}
	card := dryrun.Card{Bound: uint64(usage.EquipmentOf(n.BoundIMEI)), Life: rules.LifeActive}
	if card.Old, err = c.old.add(withOff(specOf(s, now, profile), now)); err != nil {
		return err
	}
	if card.New, err = c.next.add(withOff(specOf(s, set, profile), set)); err != nil {
		return err
	}
	key := cdr.CardKey(n.IMSI.Reveal())
	c.cards[key], c.ids[key] = card, s.ID
	return nil
}

// withOff adds which rules are off, which the engine's own Book does not have.
func withOff(spec rules.Spec, set api.UsageSettings) rules.Spec {
	for name, r := range set.Rules {
		if !r.Off || name == rules.Box || !isEngineRule(name) {
			continue
		}
		if spec.Rules == nil {
			spec.Rules = map[string]api.UsageRuleSetting{}
		}
		one := spec.Rules[name]
		one.Off = true
		spec.Rules[name] = one
	}
	return spec
}

func isEngineRule(name string) bool {
	for _, r := range rules.All() {
		if r.Name == name {
			return true
		}
	}
	return false
}

func (c *cardsTried) alert(x dryrun.Change) api.SIMAlert {
	return api.SIMAlert{SIM: c.ids[x.Card], Time: time.Unix(int64(x.Sec), 0).UTC(), Rule: x.Rule, Nature: x.Nature, Severity: x.Severity, Title: x.Title, Facts: x.Facts}
}
