package cli

import (
	"context"
	"fmt"
	"slices"
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
	json     bool
	sizes    []int
	rounds   int
	only     []string
	dir      string
	soak     time.Duration
	rate     int
}

func newBenchUsage(env Env) *cobra.Command {
	var f benchUsageFlags
	c := &cobra.Command{
		Use:   "usage",
		Short: "The usage engine: speed, memory, accuracy",
		Long: `Measure the usage engine on one core: all rules over records of random cards, a
sweep over all cards, memory a card, CSV and TS 32.298 records to verdicts, and
snapshots. Rates are by the processor time of the measuring thread; the best round
and the median are told. Records are of a made-up fleet ("ringwall usage generate").

With --accuracy: how many alarms are false on honest cards, which misuse is found and
by when, and what nobody could tell. The bars are one false alarm in a million
card-days, and all misuse found in time.

With --soak: so long, so many cards live in one process, from files in a spool
directory, at --rate records a second, with the time from record to alert.

Status 1 says that a bar is missed. Peers stand beside it in "go run -C bench . usage".`,
		Example: "  ringwall bench usage --sizes 10000000,50000000,100000000\n  ringwall bench usage --accuracy --cards 200000 --days 30\n  ringwall bench usage --soak 10m --cards 100000000",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.rounds < 1 || f.rounds > 100 || len(f.sizes) == 0 || slices.Min(f.sizes) < 100_000 || slices.Max(f.sizes) > 200_000_000 {
				return usagef("--rounds are 1 to 100, --sizes 100000 to 200000000")
			}
			switch {
			case f.accuracy:
				return benchUsageAccuracy(c.Context(), env, f)
			case f.soak > 0:
				return benchUsageSoak(c.Context(), env, f)
			}
			return benchUsageSpeed(c.Context(), env, f)
		},
	}
	fl := c.Flags()
	fl.BoolVar(&f.accuracy, "accuracy", false, "false alarms and recall")
	fl.IntVar(&f.cards, "cards", 100_000, "cards of the fleet, of --accuracy and of --soak")
	fl.IntVar(&f.days, "days", 30, "days of --accuracy")
	fl.IntVar(&f.misuse, "misuse", 0, "cases of each kind of misuse of --accuracy (default: up to 20)")
	fl.Uint64Var(&f.seed, "seed", 1, "what the fleet follows from")
	fl.IntVar(&f.stories, "stories", 5, "false alarms of each rule that are told")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	fl.IntSliceVar(&f.sizes, "sizes", []int{1_000_000, 10_000_000}, "numbers of cards for rules; the largest for sweep and snapshots. 64 bytes each")
	fl.IntVar(&f.rounds, "rounds", 5, "rounds of each measurement, after a warm-up")
	fl.StringSliceVar(&f.only, "only", nil, "only some of rules, sweep, memory, csv, ber, snapshot")
	fl.StringVar(&f.dir, "dir", "", "directory for snapshots and the spool (default: a temporary one)")
	fl.DurationVar(&f.soak, "soak", 0, "keep the engine busy for so long")
	fl.IntVar(&f.rate, "rate", 1_000_000, "records a second of --soak")
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
	fmt.Fprintf(env.Stdout, "\ncards that act as one: %+v\n", j.Cross())
	fmt.Fprintf(env.Stderr, "ringwall: %.1f CPU-s, %v\n", (after.cpu - before.cpu).Seconds(), time.Since(began).Round(100*time.Millisecond))
	if !r.Good() {
		return errFound
	}
	return nil
}
