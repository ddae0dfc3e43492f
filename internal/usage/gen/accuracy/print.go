package accuracy

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/internal/usage/gen"
)

// Bar is how many alarms a card-day may be false.
const Bar = 1e-6

// Good reports whether the rules were as good as they must be: no more false
// alarms than Bar, every case found in time.
func (r *Report) Good() bool {
	return float64(r.Wrong()) <= Bar*r.CardDays() && len(r.Missed()) == 0
}

// kindTally is what became of the cases of a kind.
type kindTally struct {
	rules            []string
	all, found, late int
}

// Print writes the report as tables: recall of each kind of misuse, false alarms
// of each rule with the story of some, and what nobody could tell. At most stories
// false alarms of each rule are told.
func (r *Report) Print(out io.Writer, w *gen.World, stories int) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%d records of %d cards in %d days (%d came late, %d twice), %d alarms\n\n", r.Records, r.Cards, r.Days, r.Counts.Late, r.Counts.Again, r.Alarms)
	kinds := map[string]*kindTally{}
	unclear := map[string][2]uint64{}
	why := map[string]string{}
	for _, c := range r.Cases {
		if c.Ambiguous != "" {
			n := unclear[c.Kind]
			unclear[c.Kind], why[c.Kind] = [2]uint64{n[0] + 1, r.Ambiguous[c.Kind]}, c.Ambiguous
			continue
		}
		k := kinds[c.Kind]
		if k == nil {
			k = &kindTally{rules: c.Rules}
			kinds[c.Kind] = k
		}
		k.all++
		if c.Found {
			k.found++
		}
		if c.Late {
			k.late++
		}
	}
	fmt.Fprintf(b, "%-44s %-30s %6s %6s %5s\n", "misuse", "must be found by", "cases", "found", "late")
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[name]
		fmt.Fprintf(b, "%-44s %-30s %6d %6d %5d\n", name, strings.Join(k.rules, " or "), k.all, k.found, k.late)
	}
	fmt.Fprintf(b, "\n%-44s %10s %14s\n", "false alarms on honest cards, by rule", "alarms", "a card-day")
	for _, rule := range slices.Sorted(maps.Keys(r.False)) {
		fmt.Fprintf(b, "%-44s %10d %14.2g\n", rule, r.False[rule], float64(r.False[rule])/r.CardDays())
	}
	fmt.Fprintf(b, "%-44s %10d %14.2g (bar %.0e, %.0f card-days)\n", "all", r.Wrong(), float64(r.Wrong())/r.CardDays(), Bar, r.CardDays())
	told := map[string]int{}
	for _, a := range r.Examples {
		if told[a.Rule]++; told[a.Rule] <= stories {
			fmt.Fprintf(b, "  %s\n", a.Story(w))
		}
	}
	if missed := r.Missed(); len(missed) > 0 {
		fmt.Fprintf(b, "\nnot found, or late:\n")
		for i, c := range missed {
			if i == 40 {
				fmt.Fprintf(b, "  and %d more\n", len(missed)-i)
				break
			}
			card, _ := w.CardOf(c.Card)
			fmt.Fprintf(b, "  %s: card %d of %s; late %v; other rules said %v\n", c.Kind, card, w.CustomerOf(card).Name, c.Late, c.Other)
		}
	}
	fmt.Fprintf(b, "\n%-44s %6s %6s  %s\n", "nobody could tell (counted neither way)", "cases", "alarms", "why")
	for _, name := range slices.Sorted(maps.Keys(unclear)) {
		fmt.Fprintf(b, "%-44s %6d %6d  %s\n", name, unclear[name][0], unclear[name][1], why[name])
	}
	_, err := io.WriteString(out, b.String())
	return err
}
