package cli

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// newPolicy makes "ringwall policy": what a policy means, with no server.
func newPolicy(env Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Compile, check, explain, learn and compare policies, with no server",
		Long: `Policy works on files. A policy FILE is JSON or YAML: a list of terms, the policy
of one device (with "terms", and where wanted "mode", "trust", "remediation",
"controllers"), or the desired state of a gateway, as it is or as the platform
signed it. The mode is enforce and the trust T3 where a file does not say.

"-" is standard input.`,
		Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPolicyCheck(env), newPolicyCompile(env), newPolicyExplain(env), newPolicyLearn(env), newPolicyDiff(env))
	return c
}

// timeFlag reads --at.
func timeFlag(env Env, s string) (time.Time, error) {
	if s == "" {
		return env.Now(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usagef("%q is no time such as 2026-11-21T22:00:00+08:00", s)
	}
	return t, nil
}

// problem is one thing that is wrong with, or odd about, a policy.
type problem struct {
	File    string            `json:"file"`
	Device  ringwall.DeviceID `json:"device,omitempty"`
	Term    string            `json:"term,omitempty"`
	Warning bool              `json:"warning,omitempty"`
	Text    string            `json:"text"`
}

func newPolicyCheck(env Env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "Tell everything that is wrong with policies",
		Long: `Check reads policies and tells every term that is wrong, and warns of terms that
change nothing, since others say the same or deny it. The status is 1 when
something is wrong; warnings do not count.`,
		Example: "  ringwall policy check camera.yaml",
		Args:    leastArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			bad := false
			for _, name := range files {
				d, err := readPolicy(env, name)
				if err != nil {
					return err
				}
				for _, p := range checkPolicy(name, &d, env.Now()) {
					bad = bad || !p.Warning
					if asJSON {
						if err := printJSON(env.Stdout, p); err != nil {
							return err
						}
						continue
					}
					kind := "error"
					if p.Warning {
						kind = "warning"
					}
					fmt.Fprintf(env.Stdout, "%s: %s: %s\n", p.File, kind, p.Text)
				}
			}
			if bad {
				return errFound
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each problem")
	return c
}

// maxLint is how many terms are compared with each other.
const maxLint = 256

func checkPolicy(name string, d *api.Desired, now time.Time) []problem {
	var out []problem
	terms := func(dev ringwall.DeviceID, list []api.Term) (good bool) {
		good = true
		ids := map[string]bool{}
		for i := range list {
			t := &list[i]
			if err := policy.Check(*t); err != nil {
				out, good = append(out, problem{File: name, Device: dev, Term: t.ID, Text: err.Error()}), false
			}
			if ids[t.ID] {
				out = append(out, problem{File: name, Device: dev, Term: t.ID, Warning: true, Text: fmt.Sprintf("term %q: another term has this id, reports cannot tell them apart", t.ID)})
			}
			ids[t.ID] = true
		}
		return good
	}
	good := terms("", d.Remediation)
	for i := range d.Devices {
		dev := &d.Devices[i]
		if !terms(dev.Device, dev.Terms) {
			good = false
			continue
		}
		if len(dev.Terms) > maxLint {
			continue
		}
		for j, t := range dev.Terms {
			rest := slices.Delete(slices.Clone(dev.Terms), j, j+1)
			if ch, err := policy.Diff(rest, dev.Terms); err == nil && ch.Empty() {
				out = append(out, problem{File: name, Device: dev.Device, Term: t.ID, Warning: true, Text: fmt.Sprintf("term %q: changes nothing: %s", t.ID, policy.TermText(&t))})
			}
		}
	}
	if good { // what no single term shows
		if _, err := policy.Compile(*d, nil, now); err != nil {
			out = append(out, problem{File: name, Text: err.Error()})
		}
	}
	return out
}

func newPolicyCompile(env Env) *cobra.Command {
	var asJSON, host, stale bool
	var at string
	c := &cobra.Command{
		Use:   "compile FILE",
		Short: "Show what a gateway puts in force",
		Long: `Compile shows the lists that a gateway puts into its kernel at a moment: for each
device the ends that are allowed, denied, and looked into, the names it may
look up, and its limits.`,
		Example: "  ringwall policy compile --at 2026-11-21T23:00:00+08:00 desired.json",
		Args:    exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			now, err := timeFlag(env, at)
			if err != nil {
				return err
			}
			d, err := readPolicy(env, args[0])
			if err != nil {
				return err
			}
			p, err := policy.Options{Host: host, Stale: stale}.Compile(d, nil, now)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, p)
			}
			showPlan(env.Stdout, &p)
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "the whole plan as JSON")
	f.StringVar(&at, "at", "", "the moment for which windows are asked; now")
	f.BoolVar(&host, "host", false, "for an agent on the device itself")
	f.BoolVar(&stale, "stale", false, "as when the document is older than it may be")
	return c
}

func showPlan(w io.Writer, p *policy.Plan) {
	if !p.Until.IsZero() {
		fmt.Fprintf(w, "until %s\n", p.Until.Format(time.RFC3339))
	}
	boxes := func(indent, what string, list []policy.Box) {
		for _, b := range list {
			fmt.Fprintf(w, "%s%-13s %s\n", indent, what, boxText(b))
		}
	}
	names := func(indent string, list []policy.Name) {
		for _, n := range list {
			what := "name"
			if n.Deny {
				what = "name-deny"
			}
			if n.Inspect {
				what += "-look"
			}
			fmt.Fprintf(w, "%s%-13s %s %s%s\n", indent, what, n.Pattern, protoName(n.Proto), portsSuffix(n.Ports))
		}
	}
	for i := range p.Devices {
		d := &p.Devices[i]
		fmt.Fprintf(w, "device %s mark %d address %s state %s\n", d.ID, d.Mark, strings.Join(addrs(d), ","), d.State)
		boxes("  ", "allow", d.Allow)
		boxes("  ", "deny", d.Deny)
		boxes("  ", "look", d.Inspect)
		boxes("  ", "look-named", d.InspectNamed)
		names("  ", d.Names)
		boxes("  ", "in-allow", d.InAllow)
		boxes("  ", "in-deny", d.InDeny)
		boxes("  ", "in-look", d.InInspect)
		for _, s := range d.GatewayAllow {
			fmt.Fprintf(w, "  %-13s %s%s\n", "gateway", protoName(s.Proto), portsSuffix(s.Ports))
		}
		for _, q := range d.Programs {
			who := q.Cgroup
			if q.UID != nil {
				who = strings.TrimSpace(fmt.Sprintf("user %d %s", *q.UID, q.Cgroup))
			}
			fmt.Fprintf(w, "  program %s\n", who)
			boxes("    ", "allow", q.Allow)
			boxes("    ", "deny", q.Deny)
			names("    ", q.Names)
		}
		for _, l := range d.Limits {
			of := "the device"
			if l.Term != "" {
				of = fmt.Sprintf("term %q", l.Term)
			}
			fmt.Fprintf(w, "  %-13s %d of %s: %s\n", "limit", l.ID, of, policy.LimitText(&l.Limit))
		}
	}
	if len(p.Remediation)+len(p.RemediationNames) > 0 {
		fmt.Fprintln(w, "remediation")
		boxes("  ", "allow", p.Remediation)
		boxes("  ", "deny", p.RemediationDeny)
		names("  ", p.RemediationNames)
	}
}

func addrs(d *policy.Device) []string {
	var out []string
	for _, a := range append([]netip.Addr{d.IP}, d.IP6...) {
		if a.IsValid() {
			out = append(out, a.String())
		}
	}
	return out
}

func protoName(p uint8) string {
	switch p {
	case policy.ProtoAny:
		return "any"
	case policy.ProtoICMP:
		return "icmp"
	case policy.ProtoTCP:
		return "tcp"
	case policy.ProtoUDP:
		return "udp"
	}
	return "other"
}

func portsSuffix(ports []api.PortRange) string {
	if len(ports) == 0 {
		return ""
	}
	return " port " + policy.PortsText(ports)
}

func boxText(b policy.Box) string {
	end := b.First.String()
	if b.First != b.Last {
		end += "-" + b.Last.String()
	}
	out := end + " " + protoName(b.Proto)
	if !b.AllPorts() {
		out += " port " + policy.PortsText([]api.PortRange{{First: b.PortFirst, Last: b.PortLast}})
	}
	return out
}

func newPolicyDiff(env Env) *cobra.Command {
	var asJSON bool
	var device string
	c := &cobra.Command{
		Use:   "diff FILE FILE",
		Short: "Tell what becomes allowed and refused from one policy to another",
		Long: `Diff compares what two policies mean, not how they are written. A line that
begins with "+" is allowed by the second and not by the first, one with "-" the
other way round. The status is 1 when they differ.`,
		Example: "  ringwall policy diff --device dev_4f2a before.json after.json",
		Args:    exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var lists [2][]api.Term
			for i, name := range args {
				d, err := readPolicy(env, name)
				if err != nil {
					return err
				}
				dev, err := deviceOf(&d, device)
				if err != nil {
					return err
				}
				lists[i] = dev.Terms
			}
			ch, err := policy.Diff(lists[0], lists[1])
			if err != nil {
				return err
			}
			return showChanges(env, ch, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().StringVar(&device, "device", "", "the device, where a file is about several")
	return c
}

func showChanges(env Env, ch policy.Changes, asJSON bool) error {
	if asJSON {
		if err := printJSON(env.Stdout, ch); err != nil {
			return err
		}
	} else {
		for _, x := range []struct {
			sign string
			list []policy.Change
		}{{"+", ch.Allowed}, {"-", ch.Refused}} {
			for _, c := range x.list {
				way := "to"
				if c.Direction == api.ToDevice {
					way = "from"
				}
				line := fmt.Sprintf("%s %s %s %s%s", x.sign, c.Proto, way, c.End, portsSuffix(c.Ports))
				if c.When != "" {
					line += " when " + c.When
				}
				if c.Other {
					line += " (as far as another term allows it)"
				}
				fmt.Fprintln(env.Stdout, line)
			}
		}
	}
	if !ch.Empty() {
		return errFound
	}
	return nil
}
