package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/internal/trial"
)

func newBenchQuarantine(env Env) *cobra.Command {
	var runs int
	var asJSON bool
	c := &cobra.Command{
		Use:     "quarantine",
		Short:   "Time from the click that cuts a device off to the last packet of its live stream, in the range",
		Example: "  ringwall bench quarantine --runs 200",
		Args:    exactArgs(0),
		RunE:    func(c *cobra.Command, _ []string) error { return benchQuarantine(c.Context(), env, runs, asJSON) },
	}
	c.Flags().IntVar(&runs, "runs", 200, "how often")
	c.Flags().BoolVar(&asJSON, "json", false, "print all runs as JSON")
	return c
}

func benchQuarantine(ctx context.Context, env Env, runs int, asJSON bool) error {
	if runs < 1 || runs > 10_000 {
		return usagef("--runs %d is not between 1 and 10000", runs)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t, err := trial.Start(ctx, trial.Config{Agent: []string{self, "agent"}})
	if err != nil {
		return err
	}
	cuts, err := t.CutOff(ctx, runs)
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(env.Stdout).Encode(cuts)
	}
	line := func(what string, pick func(trial.Cut) time.Duration) {
		all := make([]time.Duration, len(cuts))
		for i, c := range cuts {
			all[i] = pick(c)
		}
		slices.Sort(all)
		at := func(share float64) time.Duration {
			return all[min(len(all)-1, int(share*float64(len(all))))].Round(100 * time.Microsecond)
		}
		fmt.Fprintf(env.Stdout, "%-32s median %8s  p99 %8s  worst %8s  (%d)\n", what, at(0.5), at(0.99), all[len(all)-1].Round(100*time.Microsecond), len(all))
	}
	line("click → platform's answer", func(c trial.Cut) time.Duration { return c.ToAnswer })
	line("click → last packet that passed", func(c trial.Cut) time.Duration { return c.ToLast })
	return nil
}
