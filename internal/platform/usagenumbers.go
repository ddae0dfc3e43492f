package platform

import (
	"context"
	"encoding/json"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// ofOrg are settings as an organisation's cards have them. Organisations that say
// the same have settings of their own all the same: which peers are usual is
// learned for each settings, and is not to be learned from another's cards. Those
// of the first are as they were when its cards alone were judged.
func (c *usageCards) ofOrg(org ringwall.OrgID, s rules.Spec) rules.Spec {
	if org != c.home {
		s.Customer = string(org)
	}
	return s
}

// number returns the number of settings. What the rules cannot take, and what there
// is no number for, is one organisation's trouble: its card is judged without
// settings of its own then, and all others as they are.
func (c *usageCards) number(org ringwall.OrgID, s rules.Spec) (uint32, error) {
	s = c.ofOrg(org, s)
	if !c.specs.has(s) {
		if _, err := rules.Compile(s, c.keys); err != nil {
			c.log.Error("what a card may be used for cannot be judged by", "org", org, "cause", err)
			s = c.ofOrg(org, rules.Spec{})
		}
	}
	n, err := c.specs.add(s)
	if isCode(err, ringwall.Conflict) {
		c.full = true
		if s = c.ofOrg(org, rules.Spec{}); !c.specs.has(s) {
			return 0, nil
		}
		return c.specs.add(s)
	}
	return n, err
}

// base has an organisation have settings that say nothing, while there is room.
func (c *usageCards) base(org ringwall.OrgID) error {
	_, err := c.number(org, rules.Spec{})
	return err
}

// putBook keeps the numbers of settings, then has those who judge do so by them, if
// there are new ones or always is set.
func (c *usageCards) putBook(ctx context.Context, always bool) error {
	p := c.specs
	if !p.dirty && !always {
		return nil
	}
	p.version++
	book, err := rules.NewBook(rules.BookSpec{Version: p.version, Settings: p.list}, c.keys)
	if err != nil {
		return err
	}
	if err := c.saveSpecs(ctx); err != nil {
		return err
	}
	if err := c.to.setBook(ctx, book); err != nil {
		return err
	}
	p.dirty = false
	return nil
}

// keptSpecs are settings with the numbers that those who judge know them by: a
// number that meant something else after a restart would have what was learned of
// peers, and on other machines the cards, judged by others' settings.
type keptSpecs struct {
	Version uint64       `json:"version"`
	List    []rules.Spec `json:"list"`
}

func (c *usageCards) specsCursor() string { return "usage settings/" + string(c.home) }

// loadSpecs has settings keep their numbers. When half of them could be taken, they
// begin anew.
func (c *usageCards) loadSpecs(ctx context.Context) error {
	scope, err := c.scopes.get(ctx, audit.SysUsage, audit.SystemUsage, c.home)
	if err != nil {
		return err
	}
	var text string
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) { text, err = tx.Cursor(scope, c.specsCursor()); return err }); err != nil {
		return err
	}
	var kept keptSpecs
	if text != "" {
		if err := json.Unmarshal([]byte(text), &kept); err != nil {
			return ringwall.Errorf(ringwall.Internal, "reading the settings that cards are judged by: %w", err)
		}
	}
	// The clock as well: a database that was restored knows an older version.
	c.specs.version = max(kept.Version, uint64(max(c.now().UnixMilli(), 0)))
	if len(kept.List) < rules.MaxSettings/4 {
		for _, s := range kept.List {
			if _, err := c.specs.add(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *usageCards) saveSpecs(ctx context.Context) error {
	text, err := json.Marshal(keptSpecs{c.specs.version, c.specs.list})
	if err != nil {
		return err
	}
	scope, err := c.scopes.get(ctx, audit.SysUsage, audit.SystemUsage, c.home)
	if err != nil {
		return err
	}
	return c.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.PutCursor(scope, c.specsCursor(), string(text)) })
}
