package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// cost is the processor time of a contender, for the whole tree of its
// processes.
type cost struct {
	Name    string  `json:"name"`
	Version string  `json:"version,omitempty"`
	Load    float64 `json:"load"`  // seconds; of ours, reading what is known
	Rules   float64 `json:"rules"` // of ours, reading the records as well
	Wall    float64 `json:"wall"`
	Peak    int64   `json:"peak"` // bytes resident of the largest process
	Answers int     `json:"answers"`
	Same    bool    `json:"same"`
	Missing string  `json:"missing,omitempty"` // why it could not be run
}

func (s cost) total() float64 { return s.Load + s.Rules }

// contender is one way to judge records. run leaves its answers in a file.
type contender struct {
	name string
	run  func(ctx context.Context, dir, out string) (cost, error)
}

var errMissing = errors.New("not compared")

// usageBench has the same records judged by our engine and by databases: the same
// answers, or it fails.
func usageBench(args []string) error {
	fs := flag.NewFlagSet("usage", flag.ContinueOnError)
	var d dataset
	fs.IntVar(&d.Records, "records", 10_000_000, "records")
	fs.IntVar(&d.Cards, "cards", 100_000, "cards")
	fs.Uint64Var(&d.Seed, "seed", 1, "seed of the world")
	dir := fs.String("dir", "", "keep the records here, and use those that are (default: a directory that is removed)")
	only := fs.String("only", "", "only contenders whose names hold one of these; ours is always there")
	asJSON := fs.Bool("json", false, "print JSON")
	rounds := fs.Int("rounds", 3, "rounds of ours at least, one before each peer and one after; the median counts")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if d.Records < 1000 || d.Records > 200_000_000 || d.Cards < 1000 || d.Cards > 10_000_000 || *rounds < 1 {
		return fmt.Errorf("-records %d or -cards %d or -rounds %d is out of range", d.Records, d.Cards, *rounds)
	}
	d.Version = datasetVersion
	d.Days = d.Records/(d.Cards*13) + 2
	ctx := context.Background()
	if *dir == "" {
		tmp, err := os.MkdirTemp("", "usage-bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		*dir = tmp
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	// Peers run as another user, who must be able to read.
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(abs, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: %d records of %d cards\n", d.Records, d.Cards)
	if err := d.prepare(ctx, abs); err != nil {
		return err
	}
	results, err := compare(ctx, d, abs, *rounds, *only)
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return errors.Join(err, e.Encode(struct {
			Dataset dataset `json:"dataset"`
			Results []cost  `json:"results"`
		}{d, results}))
	}
	return errors.Join(err, table(d, results))
}

// compare runs ours before each peer and after the last, so that all had the machine
// in the same minutes; the median of ours counts.
func compare(ctx context.Context, d dataset, dir string, rounds int, only string) ([]cost, error) {
	var mine []cost
	var want []answer
	ours := func() error {
		out := filepath.Join(dir, "answers-ours.csv")
		s, err := judged(ctx, dir, out)
		if err != nil {
			return err
		}
		got, err := readAnswers(out)
		if err != nil {
			return err
		}
		if len(got) == 0 {
			return errors.New("the rules said nothing: there is nothing to compare")
		}
		if len(mine) > 0 && !slices.Equal(want, got) {
			return errors.New("ours gives other answers each time")
		}
		want = got
		s.Answers, s.Same = len(got), true
		mine = append(mine, s)
		fmt.Fprintf(os.Stderr, "bench: ours %.2f CPU-s, %d answers: %s\n", s.total(), len(got), tally(got))
		return nil
	}
	results := make([]cost, 1)
	var failed error
	for _, c := range contenders() {
		if only != "" && !slices.ContainsFunc(strings.Split(only, ","), func(s string) bool { return strings.Contains(strings.ToLower(c.name), strings.ToLower(s)) }) {
			continue
		}
		if err := ours(); err != nil {
			return nil, err
		}
		s, err := challenge(ctx, c, dir, want)
		if err != nil && s.Name == "" {
			return nil, err
		}
		failed = errors.Join(failed, err)
		results = append(results, s)
	}
	for len(mine) < max(rounds, len(results)) {
		if err := ours(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(mine, func(a, b cost) int { return cmp.Compare(a.total(), b.total()) })
	results[0] = mine[len(mine)/2]
	fmt.Fprintf(os.Stderr, "bench: ours took %.2f to %.2f CPU-s\n", mine[0].total(), mine[len(mine)-1].total())
	return results, failed
}

// challenge runs a contender. It returns its cost with an error where it answers
// otherwise.
func challenge(ctx context.Context, c contender, dir string, want []answer) (cost, error) {
	out := filepath.Join(dir, "answers-"+c.name+".csv")
	began := time.Now()
	s, err := c.run(ctx, dir, out)
	s.Wall = time.Since(began).Seconds()
	if errors.Is(err, errMissing) {
		fmt.Fprintf(os.Stderr, "bench: %s IS NOT COMPARED: %v\n", c.name, err)
		return cost{Name: c.name, Missing: err.Error()}, nil
	}
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", c.name, err)
	}
	got, err := readAnswers(out)
	if err != nil {
		return cost{}, fmt.Errorf("answers of %s: %w", c.name, err)
	}
	s.Name, s.Answers, s.Same = c.name, len(got), slices.Equal(want, got)
	fmt.Fprintf(os.Stderr, "bench: %s %.2f CPU-s, %d answers: %s\n", c.name, s.total(), len(got), tally(got))
	if !s.Same {
		return s, fmt.Errorf("%s answers otherwise: %s", c.name, difference(want, got))
	}
	return s, nil
}

// tally counts answers by rule.
func tally(list []answer) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].rule == list[i].rule {
			j++
		}
		fmt.Fprintf(&b, "%s %d ", list[i].rule, j-i)
		i = j
	}
	return strings.TrimSpace(b.String())
}

// difference tells the first few answers that only one side gives.
func difference(ours, theirs []answer) string {
	var b strings.Builder
	for _, side := range []struct {
		name string
		a, b []answer
	}{{"only ours", ours, theirs}, {"only theirs", theirs, ours}} {
		set := map[answer]bool{}
		for _, x := range side.b {
			set[x] = true
		}
		n := 0
		for _, x := range side.a {
			if !set[x] {
				if n++; n <= 5 {
					fmt.Fprintf(&b, "%s: %s; ", side.name, x)
				}
			}
		}
		if n > 5 {
			fmt.Fprintf(&b, "%s: %d in all; ", side.name, n)
		}
	}
	return b.String()
}

func table(d dataset, results []cost) error {
	fmt.Printf("%d records of %d cards, CSV; processor seconds of whole process trees\n", d.Records, d.Cards)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "engine\tload\trules\ttotal\ttimes ours\trecords/s\tpeak MiB\tanswers\t")
	best := 0.0
	for i, r := range results {
		if r.Missing != "" {
			fmt.Fprintf(w, "%s\t\t\t\t\t\t\t%s\t\n", r.Name, r.Missing)
			continue
		}
		same := fmt.Sprintf("%d, the same", r.Answers)
		if !r.Same {
			same = fmt.Sprintf("%d, OTHERS", r.Answers)
		}
		name := r.Name
		if r.Version != "" {
			name += " " + r.Version
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.1f\t%.0f\t%d\t%s\t\n", name, r.Load, r.Rules, r.total(), r.total()/results[0].total(), float64(d.Records)/r.total(), r.Peak>>20, same)
		if i > 0 && (best == 0 || r.total() < best) {
			best = r.total()
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if best > 0 {
		fmt.Printf("the best peer takes %.1f times as much (bar: 12)\n", best/results[0].total())
	}
	return nil
}

// self runs a part of this program as a process of its own and gives the time of
// its whole tree. The part prints the seconds that loading took.
func self(ctx context.Context, part, dir, out string) (s cost, err error) {
	me, err := os.Executable()
	if err != nil {
		return s, err
	}
	cmd := exec.CommandContext(ctx, me, part, dir, out)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("reading what %s says: %w", part, err)
	}
	total, peak := used(cmd.ProcessState)
	s.Rules, s.Peak = total-s.Load, peak
	return s, nil
}

// used is the processor time of a process that has ended, with that of the
// children it waited for.
func used(p *os.ProcessState) (seconds float64, peak int64) {
	if r, ok := p.SysUsage().(*syscall.Rusage); ok {
		peak = r.Maxrss << 10
	}
	return (p.UserTime() + p.SystemTime()).Seconds(), peak
}

// cpu is the processor time of this process so far.
func cpu() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}
