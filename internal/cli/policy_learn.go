package cli

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

type learnRun struct {
	env    Env
	json   bool
	terms  bool
	policy string
	device string
	addr   string
	alert  string
	days   int
	flows  uint64
	ip6    bool
}

func newPolicyLearn(env Env) *cobra.Command {
	x := &learnRun{env: env}
	c := &cobra.Command{
		Use:   "learn FLOWS...",
		Short: "Propose the least that a device needs, out of what it was seen to do",
		Long: `Learn reads flows of one device (captures, or JSON lines as "policy explain" has
them, with "flows", "bytes", "end" and "verdict" where known) and proposes terms,
each with its evidence: addresses that were found by name become the name, ports
become a range where they are dense. What is not proposed is listed with the
reason. A person reads and approves it: nothing is put in force.

What the present policy (--policy) allows is not proposed again; what it denies is
never proposed. What was first seen after --alert is left out.`,
		Example: "  ringwall policy learn --address 10.77.0.10 week.pcapng\n  ringwall policy learn --policy camera.yaml --terms flows.jsonl > learned.json",
		Args:    leastArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return x.run(args) },
	}
	f := c.Flags()
	f.BoolVar(&x.json, "json", false, "the whole draft as JSON")
	f.BoolVar(&x.terms, "terms", false, "the proposed terms alone, as a policy file")
	f.StringVar(&x.policy, "policy", "", "the present policy, whose needs are not proposed again")
	f.StringVar(&x.device, "device", "", "the device, where the policy is about several")
	f.StringVar(&x.addr, "address", "", "the device's address in captures, without --policy")
	f.StringVar(&x.alert, "alert", "", "when the first alert about the device was raised")
	f.IntVar(&x.days, "days", 2, "on how many days a need must have been seen")
	f.Uint64Var(&x.flows, "flows", 3, "how often it must have been seen")
	f.BoolVar(&x.ip6, "ip6", false, "the device has IPv6")
	return c
}

func (x *learnRun) run(files []string) error {
	if x.days < 1 || x.flows < 1 {
		return usagef("--days and --flows are at least 1")
	}
	o := policy.LearnOptions{MinDays: x.days, MinFlows: x.flows, IP6: x.ip6}
	if x.alert != "" {
		at, err := timeFlag(x.env, x.alert)
		if err != nil {
			return err
		}
		o.Alert = at
	}
	d := alone(loneDevice{})
	if x.policy != "" {
		var err error
		if d, err = readPolicy(x.env, x.policy); err != nil {
			return err
		}
	}
	if x.addr != "" {
		a, err := netip.ParseAddr(x.addr)
		if err != nil {
			return usagef("--address %q is none", x.addr)
		}
		d.Devices[0].Binding.IP = a
	}
	dev, err := deviceOf(&d, x.device)
	if err != nil {
		return err
	}
	o.IP6 = o.IP6 || len(dev.IP6) > 0
	var seen []policy.Observation
	for _, name := range files {
		err := eachFlow(x.env, name, d.Devices, string(dev.Device), func(line int, l *fileFlow) error {
			if l.Device != dev.Device {
				return nil
			}
			f, err := l.flow(x.env.Now(), d.Devices)
			if err != nil {
				return lineOf(name, line, err)
			}
			if len(seen) == maxObservations {
				return lineOf(name, line, ringwall.Errorf(ringwall.Invalid, "more than %d flows", maxObservations))
			}
			seen = append(seen, observation(l, &f))
			return nil
		})
		if err != nil {
			return err
		}
	}
	draft := policy.Learn(seen, *dev, policy.SiteOf(&d), o)
	switch {
	case x.json:
		return printJSON(x.env.Stdout, draft)
	case x.terms:
		return printJSON(x.env.Stdout, draft.APITerms())
	}
	x.show(&draft)
	return nil
}

// maxObservations bounds what is kept of files.
const maxObservations = 5_000_000

func observation(l *fileFlow, f *policy.Flow) policy.Observation {
	o := policy.Observation{
		Direction: f.Direction, Proto: f.Proto, Port: f.Remote.Port(), First: f.At, Last: f.At, Flows: max(1, l.Flows), Bytes: l.Bytes,
		Refused: l.Verdict == "refused", Device: f.RemoteDevice,
	}
	if l.Remote != "" {
		o.Addr = f.Remote.Addr().Unmap()
	}
	if l.End.After(o.Last) {
		o.Last = l.End
	}
	if o.Direction == api.ToDevice {
		o.Port = f.Local.Port()
	}
	if len(f.Names) > 0 {
		o.Name = f.Names[0]
	}
	return o
}

func (x *learnRun) show(d *policy.Draft) {
	w := x.env.Stdout
	for _, t := range d.Terms {
		fmt.Fprintf(w, "%s\n  seen %d times on %d days, %s to %s, at %d addresses\n", policy.TermText(&t.Term), t.Flows, t.Days, t.First.UTC().Format(time.DateOnly), t.Last.UTC().Format(time.DateOnly), len(t.Addrs))
		if t.Note != "" {
			fmt.Fprintf(w, "  note: %s\n", t.Note)
		}
	}
	for _, o := range d.Dropped {
		end := o.Name
		if end == "" {
			end = o.Addr.String()
		}
		if o.Device != "" {
			end = "device " + string(o.Device)
		}
		fmt.Fprintf(w, "not proposed: %s %s %s port %d, seen %d times: %s\n", o.Direction, o.Proto, end, o.Port, o.Flows, o.Why)
	}
	fmt.Fprintf(x.env.Stderr, "ringwall: %d terms proposed, %d needs are met already, %d not proposed\n", len(d.Terms), d.Covered, len(d.Dropped))
}
