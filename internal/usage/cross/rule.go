package cross

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Rule describes rule sim-box for people; its limits are the bounds of a Config.
func Rule() rules.Rule {
	return rules.Rule{
		Name: rules.Box, Version: 1, Severity: ringwall.Critical, Attack: "T1583", Learns: 3,
		Why:   "Many cards that act as one: in one piece of equipment within a week (a SIM box, a rack of modems, modules with one number), new in one cell and calling or writing from there, or suddenly at one peer that is new to the cards of their settings (a fleet that was taken over calls home, floods somebody, or sends messages to lure people). Not seen: fewer cards than the bound; cells in the first days, and peers in the first days of their settings.",
		Needs: "several cards; IMEIs, cells or peers in their records",
		Limits: []rules.Limit{
			{Name: "equipment", Default: 4, Least: 2, Most: 16, What: "cards in one piece of equipment within a week"},
			{Name: "cell", Default: 15, Least: 2, Most: 1000, What: "cards that are new in a cell and call or write from there in a day"},
			{Name: "peer", Default: 10, Least: 2, Most: 1000, What: "cards of the same settings at a new peer in a day"},
			{Name: "times", Default: 5, Least: 1, Most: 100, What: "times what is usual in the cell or at the peer"},
			{Name: "learn-days", Default: 3, Least: 1, Most: 60, What: "days in which nothing is said of cells, and of peers"},
		},
	}
}

// Said reports whether a finding is to be told, by what a book says of the card
// that tipped it: the rule may be off for it, or kept back by an exception.
func (f *Finding) Said(b *rules.Book) bool {
	return !b.MutedBox(f.Cards[0], b.Settings(f.Settings), f.Sec)
}
