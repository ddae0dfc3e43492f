package accuracy

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

func number(name string, other int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return other
}

func TestRules(t *testing.T) {
	w, err := gen.New(gen.Config{Seed: uint64(number("SEED", 1)), Cards: number("CARDS", 2000), Days: number("DAYS", 30)})
	if err != nil {
		t.Fatal(err)
	}
	areas, err := rules.NewAreas(w.Places(), w.Config().Keys)
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewRules(w, areas)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), w, j)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records, %v card-days, %d alarms, %d false: %v; ambiguous %v; %+v", r.Records, r.CardDays(), r.Alarms, r.Wrong(), r.False, r.Ambiguous, r.Counts)
	for _, a := range r.Examples {
		t.Log(a.Story(w))
	}
	for _, c := range r.Missed() {
		card, _ := w.CardOf(c.Card)
		t.Logf("missed: %s: card %d of %s, %v, by %v: %+v, others %v", c.Kind, card, w.CustomerOf(card).Name, c.From, c.Truth.By, c.By, c.Other)
	}
	type tally struct{ all, found, late int }
	kinds := map[string]*tally{}
	for _, c := range r.Cases {
		if c.Ambiguous != "" {
			continue
		}
		k := kinds[c.Kind]
		if k == nil {
			k = &tally{}
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
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		t.Logf("%-45s %d of %d, %d late", k, kinds[k].found, kinds[k].all, kinds[k].late)
	}
}
