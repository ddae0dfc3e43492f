package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/trial"
)

func newBench(env Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what docs/benchmarks.md publishes",
		Long:  "Measure what docs/benchmarks.md publishes. That page names the command behind each figure; those of one package are \"go test -bench\" commands.",
	}
	c.AddCommand(newBenchRange(env), newBenchQuarantine(env), newBenchAssess(env), newBenchPorts(env), newBenchFirmware(env), newBenchReports(env), newBenchGateways(env), newBenchGateway(env), newBenchUsage(env))
	return c
}

// benchRangeFlags are the flags of "ringwall bench range".
type benchRangeFlags struct {
	runs    int
	seed    uint64
	json    bool
	verbose bool
}

func newBenchRange(env Env) *cobra.Command {
	var f benchRangeFlags
	c := &cobra.Command{
		Use:     "range",
		Short:   "Time from an attack's first packet to the alert and to the quarantine, in the range",
		Example: "  ringwall bench range --runs 10 --seed 7",
		Args:    exactArgs(0),
		RunE:    func(c *cobra.Command, _ []string) error { return benchRange(c.Context(), env, f) },
	}
	c.Flags().IntVar(&f.runs, "runs", 10, "runs of each attack in mode learn")
	c.Flags().Uint64Var(&f.seed, "seed", 0, "seed that the attacks' seeds are drawn from (default: drawn, and printed)")
	c.Flags().BoolVar(&f.json, "json", false, "print all runs as JSON")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show what everybody says")
	return c
}

func benchRange(ctx context.Context, env Env, f benchRangeFlags) error {
	if f.runs < 1 || f.runs > 1000 {
		return usagef("--runs %d is not between 1 and 1000", f.runs)
	}
	if f.seed == 0 {
		f.seed = rand.Uint64() >> 16
	}
	fmt.Fprintf(env.Stderr, "ringwall: seed %d\n", f.seed)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := trial.Config{Agent: []string{self, "agent"}, Lab: lab.Config{Seed: f.seed}}
	if f.verbose {
		cfg.Log = env.Stderr
	}
	t, err := trial.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fig, err := t.Measure(ctx, f.runs, f.seed, env.Stderr)
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if f.json {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(fig)
	}
	return printRange(env, fig)
}

func printRange(env Env, fig trial.Figures) error {
	w := env.Stdout
	for _, attack := range []string{lab.MiraiScan, lab.UnknownScan} {
		m, worst, n := fig.Median(func(r trial.Run) (time.Duration, bool) {
			return r.ToAlert, r.Attack == attack && r.Mode == ringwall.Learn
		})
		fmt.Fprintf(w, "%s: first packet to alert, mode learn: median %v, worst %v of %d\n", attack, m.Round(100*time.Microsecond), worst.Round(100*time.Microsecond), n)
	}
	for _, away := range []bool{false, true} {
		m, worst, n := fig.Median(func(r trial.Run) (time.Duration, bool) { return r.ToHold, r.Mode == ringwall.Learn && r.Away == away })
		where := "there"
		if away {
			where = "away"
		}
		fmt.Fprintf(w, "alert to quarantine in force, platform %s: median %v, worst %v of %d\n", where, m.Round(100*time.Microsecond), worst.Round(100*time.Microsecond), n)
	}
	for _, r := range fig.Runs {
		if r.Mode == ringwall.Enforce {
			fmt.Fprintf(w, "%s, mode enforce: %d packets sent, %d arrived, alert %s\n", r.Attack, r.Packets, r.Arrived, r.Rule)
		}
	}
	for _, v := range fig.Phone {
		fmt.Fprintf(w, "phone's view of %s: %d sessions, %d pictures, %d broken, %d lost, longest gap %v\n", v.Camera, v.Sessions, v.Pictures, v.Broken, v.Lost, v.Longest.Round(time.Millisecond))
	}
	return nil
}
