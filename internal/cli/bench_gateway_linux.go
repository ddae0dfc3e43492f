package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/internal/cli/gatewaybench"
)

// newBenchGateway measures the gateway; peers stand in the module bench, which
// runs the same with them.
func newBenchGateway(env Env) *cobra.Command {
	o := gatewaybench.Options{Log: env.Stderr}
	asJSON, agent := false, ""
	c := &cobra.Command{
		Use:   "gateway",
		Short: "What a gateway forwards, and what it does while its policy changes",
		Long: `Measure what a gateway forwards with 1, 100 and 10,000 devices of 20 destinations each, beside plain forwarding in the same run, and what it does
while its policy changes: packets that leak, first connections that fail, time to quarantine, time and memory to load. Root on Linux.
"go run -C bench . gateway" runs the same with the ways of others beside it.`,
		Example: "  ringwall bench gateway --devices 10000 --rounds 11\n  ringwall bench gateway --only conntrack,tap --workloads \"64 B\" --no-change",
		Args:    exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if agent != "" {
				o.Agent = []string{agent}
			} else {
				o.Agent = agentProgram()
			}
			return benchGateway(c.Context(), env, o, asJSON)
		},
	}
	f := c.Flags()
	f.IntSliceVar(&o.Devices, "devices", []int{1, 100, 10_000}, "numbers of devices")
	f.IntVar(&o.Rounds, "rounds", 7, "rounds")
	f.DurationVar(&o.Slot, "slot", 200*time.Millisecond, "that each is measured at a time")
	f.StringSliceVar(&o.Only, "only", nil, "only those whose names hold one of these (plain forwarding always), and of what changes only reloads, names, quarantine, load, decision, resident memory")
	f.StringSliceVar(&o.Workloads, "workloads", nil, `of "64 B", "64 B all flows", "1400 B", "new flows", "TCP" (default all)`)
	f.BoolVar(&o.SkipChange, "no-change", false, "leave out what happens while policy changes")
	f.BoolVar(&o.SkipSpeed, "no-speed", false, "leave out forwarding")
	f.StringVar(&agent, "agent", "", "the ringwall-agent whose memory is measured (default: the one beside this program, or in PATH)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func benchGateway(ctx context.Context, env Env, o gatewaybench.Options, asJSON bool) error {
	for _, n := range o.Devices {
		if n < 1 || n > 50_000 {
			return usagef("--devices %d is not between 1 and 50000", n)
		}
	}
	if o.Rounds < 1 || o.Rounds > 1000 || o.Slot < time.Millisecond || o.Slot > time.Minute {
		return usagef("--rounds or --slot makes no sense")
	}
	rep, err := gatewaybench.Run(ctx, o)
	// What was measured before something went wrong is told all the same.
	var perr error
	if asJSON {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		perr = e.Encode(rep)
	} else {
		perr = gatewaybench.Print(env.Stdout, rep)
	}
	if err := cmp.Or(err, perr); err != nil {
		return err
	}
	for _, b := range rep.Bars {
		if !b.Holds {
			return errFound
		}
	}
	return nil
}

// agentProgram finds the agent beside this program, or in PATH.
func agentProgram() []string {
	const name = "ringwall-agent"
	if self, err := os.Executable(); err == nil {
		if p, err := exec.LookPath(filepath.Join(filepath.Dir(self), name)); err == nil {
			return []string{p}
		}
	}
	if p, err := exec.LookPath(name); err == nil {
		return []string{p}
	}
	return nil
}
