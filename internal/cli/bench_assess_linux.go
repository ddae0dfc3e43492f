package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/lab/farm"
)

// benchAssessFlags are the flags of "ringwall bench assess".
type benchAssessFlags struct {
	runs    int
	table   string
	show    bool
	verbose bool
}

func newBenchAssess(env Env) *cobra.Command {
	var f benchAssessFlags
	c := &cobra.Command{
		Use:   "assess",
		Short: "Assess twenty devices as the table says, a /24 of forty, decoys, and cameras that lock",
		Long: `Stand a street of real servers in a network namespace and assess it from
another: the twenty devices of the table with every probe, again and again, the
grades compared with the table and with each other byte for byte; forty devices of
a /24, found and graded; servers that prove nothing; cameras that lock at the fifth
wrong password. Status 1 says that something was not as it must be.

The table is read from the source tree, so run it there.`,
		Example: "  ringwall bench assess --runs 20\n  ringwall bench assess --show",
		Args:    exactArgs(0),
		RunE:    func(c *cobra.Command, _ []string) error { return benchAssess(c.Context(), env, f) },
	}
	c.Flags().IntVar(&f.runs, "runs", 20, "runs over the twenty devices, and over the cameras that lock")
	c.Flags().StringVar(&f.table, "table", "internal/assess/testdata/fleet20.json", "devices and the grades that they must get")
	c.Flags().BoolVar(&f.show, "show", false, "only assess the twenty as \"ringwall assess NETWORK\" does, and show what it shows")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "with --show: show every finding with its evidence")
	return c
}

func benchAssess(ctx context.Context, env Env, f benchAssessFlags) error {
	if f.runs < 1 || f.runs > 1000 {
		return usagef("--runs %d is not between 1 and 1000", f.runs)
	}
	if f.show {
		return showStreet(ctx, env, f)
	}
	file, err := os.Open(f.table)
	if err != nil {
		return gone(err)
	}
	defer file.Close()
	table, err := farm.ReadFleet(file)
	if err != nil {
		return err
	}
	good := true
	for _, part := range []func() (bool, error){
		func() (bool, error) { return benchTwenty(ctx, env, table, f.runs) },
		func() (bool, error) { return benchForty(ctx, env) },
		func() (bool, error) { return benchDecoys(ctx, env) },
		func() (bool, error) { return benchLocks(ctx, env, f.runs) },
	} {
		ok, err := part()
		if err != nil {
			return err
		}
		good = good && ok
	}
	if !good {
		return errFound
	}
	return nil
}

// standing runs f on a farm of models, and takes it down.
func standing(ctx context.Context, models []farm.Model, f func(*farm.Farm) (bool, error)) (good bool, err error) {
	street, err := farm.Up(ctx, models)
	if err != nil {
		return false, err
	}
	good, err = f(street)
	return good, errors.Join(err, street.Down())
}

// wrong prints what is not as it must be, and reports whether there was nothing.
func wrong(w io.Writer, lines []string) bool {
	for _, l := range lines {
		fmt.Fprintf(w, "  NOT SO: %s\n", safe(l))
	}
	return len(lines) == 0
}

func benchTwenty(ctx context.Context, env Env, table *farm.Fleet, runs int) (bool, error) {
	return standing(ctx, farm.Twenty(), func(f *farm.Farm) (bool, error) {
		t, err := f.Trial(table, env.Now)
		if err != nil {
			return false, err
		}
		good, same := 0, 0
		var first [][]byte
		var took []time.Duration
		for run := range runs {
			began := time.Now()
			as, err := t.Run(ctx)
			if err != nil {
				return false, err
			}
			took = append(took, time.Since(began))
			if wrong(env.Stdout, t.Judge(as)) {
				good++
			}
			marks, err := marksOf(as)
			if err != nil {
				return false, err
			}
			if run == 0 {
				first = marks
			}
			if slices.EqualFunc(first, marks, bytes.Equal) {
				same++
			}
		}
		fmt.Fprintf(env.Stdout, "%d devices of the table: %d of %d runs as it says, %d the same byte for byte; %v a run at the median\n",
			len(table.Devices), good, runs, same, middle(took).Round(100*time.Millisecond))
		return good == runs && same == runs, nil
	})
}

func marksOf(as []api.Assessment) (out [][]byte, err error) {
	for _, a := range as {
		m, err := farm.Mark(a)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func middle(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func benchForty(ctx context.Context, env Env) (bool, error) {
	return standing(ctx, farm.Forty(), func(f *farm.Farm) (bool, error) {
		r, _ := f.Street(env.Now)
		began := time.Now()
		targets, err := r.Discover(ctx, []netip.Prefix{farm.Prefix()})
		if err != nil {
			return false, err
		}
		found := time.Since(began)
		as, err := r.Run(ctx, targets)
		if err != nil {
			return false, err
		}
		graded := 0
		for _, b := range f.Boxes {
			if slices.ContainsFunc(as, func(a api.Assessment) bool { return a.Target == b.Addr.String() && a.Grade != ringwall.Ungraded }) {
				graded++
			}
		}
		fmt.Fprintf(env.Stdout, "a /24: %d of %d devices found and graded in %v, discovery %v of it\n",
			graded, len(f.Boxes), time.Since(began).Round(100*time.Millisecond), found.Round(100*time.Millisecond))
		return graded == len(f.Boxes), nil
	})
}

func benchDecoys(ctx context.Context, env Env) (bool, error) {
	return standing(ctx, farm.Decoys(), func(f *farm.Farm) (bool, error) {
		r, targets := f.Street(env.Now)
		as, err := r.Run(ctx, targets)
		if err != nil {
			return false, err
		}
		var lines []string
		for _, a := range as {
			for _, f := range farm.False(a) {
				lines = append(lines, fmt.Sprintf("%s: %s said to be proven by %s: %s", a.Target, f.Indicator, f.Source, f.Title))
			}
		}
		good := wrong(env.Stdout, lines)
		fmt.Fprintf(env.Stdout, "%d decoys: %d false proofs\n", len(as), len(lines))
		return good, nil
	})
}

// atOnce is how many streets of cameras that lock are assessed side by side: most
// of the time is waiting between tries.
const atOnce = 10

func benchLocks(ctx context.Context, env Env, runs int) (bool, error) {
	var mu sync.Mutex
	tried, outs := 0, 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for range runs {
		g.Go(func() error {
			_, err := standing(ctx, farm.Locking(), func(f *farm.Farm) (bool, error) {
				r, targets := f.Street(env.Now)
				_, err := r.Run(ctx, targets)
				mu.Lock()
				defer mu.Unlock()
				for _, b := range f.Boxes {
					n, out := b.Lock.Count()
					tried, outs = tried+n, outs+out
				}
				return true, err
			})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	fmt.Fprintf(env.Stdout, "%d cameras that lock at the fifth wrong password, %d runs: %d wrong passwords, %d lock-outs\n", len(farm.Locking()), runs, tried, outs)
	return outs == 0 && tried > 0, nil
}

// showStreet shows the twenty as a person would see them who knows nothing of
// them.
func showStreet(ctx context.Context, env Env, f benchAssessFlags) error {
	_, err := standing(ctx, farm.Twenty(), func(street *farm.Farm) (bool, error) {
		o := assessOptions{verbose: f.verbose}
		r := o.runner(env, nil, nil)
		r.Network = street.Viewer()
		as, err := probed(ctx, env, r, &o, nil, []netip.Prefix{farm.Prefix()}, nil)
		if err != nil {
			return false, err
		}
		return true, printAssessments(env.Stdout, o, as)
	})
	return err
}
