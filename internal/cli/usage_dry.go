package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/dryrun"
)

// try tells what other settings would change.
func (u *usageRun) try(ctx context.Context, src cdr.Source) error {
	if u.snapshot != "" {
		return usagef("--dry-run keeps nothing: leave out --snapshot")
	}
	next, err := u.readBook(u.dryRun)
	if err != nil {
		return err
	}
	names := usage.New(usage.Config{Key: u.secret, Keys: u.keys, NoTotals: true})
	old, oldOf, err := usage.BookOf(u.book, u.list, u.keys)
	if err != nil {
		return err
	}
	next, nextOf, err := usage.BookOf(next, u.list, u.keys)
	if err != nil {
		return err
	}
	c := dryrun.Config{Old: old, New: next, Areas: u.places, MaxCards: u.most, Horizon: uint32(u.env.Now().Add(time.Hour).Unix())}
	if u.cards != "" {
		cards := make(map[uint64]dryrun.Card, len(u.list))
		for i := range u.list {
			card := &u.list[i]
			if err := names.SetCard(*card); err != nil {
				return err
			}
			key := cdr.CardKey(card.IMSI.Reveal())
			cards[key] = dryrun.Card{Old: oldOf[key], New: nextOf[key], Bound: uint64(usage.EquipmentOf(card.IMEI)), Life: card.Life, Since: seconds(card.Since)}
		}
		c.Card = func(card uint64) (dryrun.Card, bool) { c, ok := cards[card]; return c, ok }
	}
	t, err := dryrun.New(c)
	if err != nil {
		return err
	}
	if err := t.Run(ctx, src); err != nil {
		return err
	}
	return u.changes(t.Result(), names)
}

func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(min(max(t.Unix(), 0), 1<<32-1))
}

// usageChange is one line of a dry run.
type usageChange struct {
	Change   string            `json:"change"` // "gone" or "fresh"
	Time     time.Time         `json:"time"`
	Rule     string            `json:"rule"`
	SIM      ringwall.SIMID    `json:"sim"`
	Severity ringwall.Severity `json:"severity"`
	Title    string            `json:"title"`
	Line     uint64            `json:"line,omitempty"`
}

// changes tells what would change: the worst one by one, all by rule.
func (u *usageRun) changes(r dryrun.Result, names *usage.Engine) error {
	tell := func(what string, list []dryrun.Change) error {
		for _, c := range list {
			sim, _ := names.Name(c.Card)
			line := usageChange{what, time.Unix(int64(c.Sec), 0).UTC(), c.Rule, sim, c.Severity, c.Title, c.Line}
			var err error
			if u.json {
				err = json.NewEncoder(u.out).Encode(line)
			} else {
				_, err = fmt.Fprintf(u.out, "%-5s %s %-8s %-20s %s  %s (line %d)\n", what, line.Time.Format(time.RFC3339), c.Severity, c.Rule, sim, c.Title, c.Line)
			}
			if err != nil {
				return ringwall.Errorf(ringwall.Unavailable, "writing a change: %w", err)
			}
		}
		return nil
	}
	if err := tell("gone", r.Gone); err != nil {
		return err
	}
	if err := tell("fresh", r.Fresh); err != nil {
		return err
	}
	fmt.Fprintf(u.env.Stderr, "ringwall: %d records of %d cards: %d alerts would stay, %d would be gone, %d would be fresh; %d records left out\n",
		r.Records, r.Cards, r.Same, r.GoneAll, r.FreshAll, r.LeftOut)
	for _, name := range slices.Sorted(maps.Keys(r.ByRule)) {
		if c := r.ByRule[name]; c.Gone+c.Fresh > 0 {
			fmt.Fprintf(u.env.Stderr, "ringwall: %s: %d stay, %d gone, %d fresh\n", name, c.Same, c.Gone, c.Fresh)
		}
	}
	if len(r.Unknown) > 0 {
		fmt.Fprintf(u.env.Stderr, "ringwall: the records do not go back far enough to tell of %s\n", strings.Join(r.Unknown, ", "))
	}
	if r.Full {
		fmt.Fprintln(u.env.Stderr, "ringwall: there are more alerts than are kept; the counts are too low")
	}
	return nil
}
