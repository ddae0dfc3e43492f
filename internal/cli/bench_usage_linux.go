package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/gen/accuracy"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// benchUsageFlags are the flags of "ringwall bench usage".
type benchUsageFlags struct {
	accuracy bool
	cards    int
	days     int
	misuse   int
	seed     uint64
	stories  int
}

func newBenchUsage(env Env) *cobra.Command {
	var f benchUsageFlags
	c := &cobra.Command{
		Use:   "usage",
		Short: "The usage engine: speed, memory, accuracy",
		Long: `Measure the usage engine on records of a made-up fleet ("ringwall usage generate").

With --accuracy: how many alarms are false on honest cards, which misuse is found and
by when, and what nobody could tell. Status 1 says that the bars are missed: one
false alarm in a million card-days, all misuse found in time.`,
		Example: "  ringwall bench usage --accuracy --cards 200000 --days 30",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.accuracy {
				return benchUsageAccuracy(c.Context(), env, f)
			}
			return usagef("say what to measure: --accuracy")
		},
	}
	fl := c.Flags()
	fl.BoolVar(&f.accuracy, "accuracy", false, "false alarms and recall")
	fl.IntVar(&f.cards, "cards", 20_000, "cards")
	fl.IntVar(&f.days, "days", 30, "days of --accuracy")
	fl.IntVar(&f.misuse, "misuse", 0, "cases of each kind of misuse of --accuracy (default: up to 20)")
	fl.Uint64Var(&f.seed, "seed", 1, "what the fleet follows from")
	fl.IntVar(&f.stories, "stories", 5, "false alarms of each rule that are told")
	return c
}

func benchUsageAccuracy(ctx context.Context, env Env, f benchUsageFlags) error {
	w, err := gen.New(gen.Config{Seed: f.seed, Cards: f.cards, Days: f.days, Misuse: f.misuse})
	if err != nil {
		return err
	}
	areas, err := rules.NewAreas(w.Places(), w.Config().Keys)
	if err != nil {
		return err
	}
	j, err := accuracy.NewRules(w, areas)
	if err != nil {
		return err
	}
	before, began := spent(), time.Now()
	r, err := accuracy.Run(ctx, w, j)
	if err != nil {
		return err
	}
	after := spent()
	if err := r.Print(env.Stdout, w, f.stories); err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "ringwall: %.1f CPU-s, %v\n", (after.cpu - before.cpu).Seconds(), time.Since(began).Round(100*time.Millisecond))
	if !r.Good() {
		return errFound
	}
	return nil
}
