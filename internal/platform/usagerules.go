package platform

import (
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// usageRules describes the rules that say something of cards, for settings and
// exceptions: those of the engine, then those that compare the card with the
// device that it is in.
func usageRules() []api.UsageRule {
	var all []api.UsageRule
	for _, r := range rules.All() {
		u := api.UsageRule{Name: r.Name, Why: r.Why, Limits: map[string]float64{}}
		for _, l := range r.Limits {
			u.Limits[l.Name] = l.Default
		}
		all = append(all, u)
	}
	all = append(all, api.UsageRule{Name: rules.Box, Why: "Many cards that act as one: in one piece of equipment or one cell, a bank of modems that sells calls or opens accounts; at one new address, an infected fleet that calls home.", Limits: map[string]float64{}})
	return append(all, crossRules()...)
}
