package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

// maxDocument bounds a file of terms, of a template or of a manifest.
const maxDocument = 4 << 20

// readDocument reads JSON from a file, or from the standard input for "-". A word
// that nobody knows is an error: a misspelt limit would bound nothing.
func (k *conn) readDocument(file, what string, v any) error {
	in := k.env.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "reading %s: %w", what, err)
		}
		defer f.Close()
		in = f
	}
	d := json.NewDecoder(io.LimitReader(in, maxDocument))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading %s: %v", what, err)
	}
	return nil
}

// termFlags say what a term is about beside its other end.
type termFlags struct {
	id, window, zone, host string
	days                   []string
	in, explain            bool
	rate, quota            uint64
	per                    string
}

func (f *termFlags) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.id, "id", "", "id of the term; one of the same id is replaced")
	fl.BoolVar(&f.in, "in", false, "flows that the other end opens to the device")
	fl.StringVar(&f.window, "window", "", "only at this time of day, such as 22:00-06:00")
	fl.StringVar(&f.zone, "zone", "", "time zone of the window, such as Asia/Shanghai; UTC without")
	fl.StringSliceVar(&f.days, "day", nil, "day on which the window begins: mon to sun; repeat")
	fl.StringVar(&f.host, "host", "", "name that must stand in clear in the flow (SNI of TLS)")
	fl.Uint64Var(&f.rate, "rate", 0, "most bytes a second")
	fl.Uint64Var(&f.quota, "quota", 0, "most bytes in all, each --per")
	fl.StringVar(&f.per, "per", "day", "of --quota: hour, day or month")
	fl.BoolVar(&f.explain, "explain", false, "only tell what it would change")
}

// parseOther reads the other end of a term: an address or network, a name,
// local, gateway, same-maker, controller:ROLE or device:ID.
func parseOther(t *api.Term, other string) error {
	kind, rest, colon := strings.Cut(other, ":")
	switch {
	case other == "local":
		t.Local = true
	case other == "gateway":
		t.Gateway = true
	case other == "same-maker":
		t.SameMaker = true
	case colon && kind == "controller" && rest != "":
		t.Controller = rest
	case colon && kind == "device":
		if !ringwall.ValidID(ringwall.PrefixDevice, rest) {
			return usagef("%q is no id of a device", rest)
		}
		t.Device = ringwall.DeviceID(rest)
	default:
		if p, err := netip.ParsePrefix(other); err == nil {
			t.CIDR = p.Masked()
		} else if a, err := netip.ParseAddr(other); err == nil {
			t.CIDR = netip.PrefixFrom(a, a.BitLen())
		} else if strings.Contains(other, ".") && !strings.ContainsAny(other, "/ ") {
			t.Domain = strings.ToLower(other)
		} else {
			return usagef("%q is no address, network, name, local, gateway, same-maker, controller:ROLE or device:ID", other)
		}
	}
	return nil
}

// parseService reads "tcp/443", "udp/53,5000-5010", "icmp", "any".
func parseService(t *api.Term, s string) error {
	proto, list, some := strings.Cut(s, "/")
	t.Proto = proto
	if !some {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		a, b, ranged := strings.Cut(part, "-")
		if !ranged {
			b = a
		}
		first, err1 := strconv.ParseUint(a, 10, 16)
		last, err2 := strconv.ParseUint(b, 10, 16)
		if err1 != nil || err2 != nil || first > last {
			return usagef("%q is no port or range of ports", part)
		}
		t.Ports = append(t.Ports, api.PortRange{First: uint16(first), Last: uint16(last)})
	}
	return nil
}

func (f *termFlags) term(action api.Action, other, service string) (api.Term, error) {
	t := api.Term{Action: action, Direction: api.FromDevice, ID: f.id}
	if f.in {
		t.Direction = api.ToDevice
	}
	if err := parseOther(&t, other); err != nil {
		return t, err
	}
	if err := parseService(&t, service); err != nil {
		return t, err
	}
	if f.window != "" {
		from, to, ok := strings.Cut(f.window, "-")
		if !ok {
			return t, usagef("a window is of the form 22:00-06:00")
		}
		t.Window = &api.Window{Zone: f.zone, Days: f.days, From: from, To: to}
	} else if f.zone != "" || len(f.days) > 0 {
		return t, usagef("--zone and --day are said of a --window")
	}
	if f.host != "" {
		t.Inside = &api.Inside{Proto: "tls", Hosts: []string{f.host}}
	}
	if f.rate > 0 || f.quota > 0 {
		t.Limit = &api.Limit{ByteRate: f.rate, Quota: f.quota}
		if f.quota > 0 {
			t.Limit.Per = f.per
		}
	}
	if t.ID == "" {
		t.ID = strings.Trim(strings.NewReplacer("/", "-", ":", "-", "*", "any", ",", "-").Replace(strings.Join([]string{string(action), string(t.Direction), other, service}, "-")), "-")
	}
	return t, nil
}

// deviceTerm is "device allow" and "device deny".
func deviceTerm(action api.Action, short string) func(*conn) *cobra.Command {
	return func(k *conn) *cobra.Command {
		var f termFlags
		c := &cobra.Command{
			Use: string(action) + " DEVICE OTHER [SERVICE]", Short: short, Args: rangeArgs(2, 3),
			Long: short + `.

OTHER is an address or network, a name (*.cdn.example for all below), local, gateway, same-maker, controller:ROLE or
device:ID. SERVICE is tcp/443, udp/53,5000-5010, icmp or any; any without. Any deny wins over every allow.`,
			Example: "  ringwall device " + string(action) + " \"Garage camera\" time.vendor.example udp/123\n  ringwall device " + string(action) + " 10.77.0.10 198.51.100.0/24 tcp/443 --explain",
		}
		c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (policyAnswer, error) {
			service := "any"
			if len(args) == 3 {
				service = args[2]
			}
			term, err := f.term(action, args[1], service)
			if err != nil {
				return policyAnswer{}, err
			}
			id, err := deviceID(ctx, cl, args[0])
			if err != nil {
				return policyAnswer{}, err
			}
			now, err := cl.DevicePolicy(ctx, id)
			if err != nil {
				return policyAnswer{}, err
			}
			terms := append(slices.DeleteFunc(now.Owner, func(t api.Term) bool { return t.ID == term.ID }), term)
			return putTerms(ctx, cl, id, api.OwnerTerms{Terms: terms}, f.explain)
		}, showPolicyAnswer)
		f.flags(c)
		return c
	}
}

// policyAnswer is what a change of terms would do, or the policy after it.
type policyAnswer struct {
	Change *api.PolicyChange `json:"change,omitempty"`
	Policy *api.PolicyView   `json:"policy,omitempty"`
}

func putTerms(ctx context.Context, cl *client.Client, id ringwall.DeviceID, in api.OwnerTerms, explain bool) (policyAnswer, error) {
	if explain {
		x, err := cl.ExplainPolicy(ctx, id, in)
		return policyAnswer{Change: &x}, err
	}
	v, err := cl.PutOwnerTerms(ctx, id, in)
	return policyAnswer{Policy: &v}, err
}

func showPolicyAnswer(w io.Writer, a policyAnswer) {
	if a.Change != nil {
		showChange(w, *a.Change)
	}
	if a.Policy != nil {
		showPolicy(w, *a.Policy)
	}
}

func showChange(w io.Writer, c api.PolicyChange) {
	for _, s := range c.Allows {
		row(w, "newly allowed", s)
	}
	for _, s := range c.Refuses {
		row(w, "newly refused", s)
	}
	for _, f := range c.Flows {
		row(w, "would have been refused", fmt.Sprintf("%s %s %s %s %s, last %s", f.Direction, f.Proto, f.Local, f.Remote, f.Name, when(f.Time)))
	}
	all := ""
	if !c.All {
		all = ", the newest of more"
	}
	row(w, "tried on", fmt.Sprintf("%d flows since %s%s", c.Looked, when(c.From), all))
}

func showPolicy(w io.Writer, v api.PolicyView) {
	row(w, "mode", v.Mode)
	for _, t := range v.Owner {
		row(w, "owner", t.ID, termText(t))
	}
	for _, g := range v.Groups {
		for _, t := range g.Terms {
			row(w, "group "+g.Name, t.ID, termText(t))
		}
	}
	for _, t := range v.Site {
		row(w, "site", t.ID, termText(t))
	}
	for _, t := range v.SIM {
		row(w, "SIM", t.ID, termText(t))
	}
	for _, t := range v.Terms {
		row(w, "in force", t.ID, termText(t))
	}
	for _, r := range v.Rollouts {
		row(w, "under rollout", r)
	}
}

func deviceTerms(k *conn) *cobra.Command {
	var file string
	var drop []string
	var explain bool
	c := &cobra.Command{
		Use: "terms DEVICE", Short: "Show what a device may do and who says so, or replace its owner's terms", Args: exactArgs(1),
		Example: "  ringwall device terms 10.77.0.10\n  ringwall device terms 10.77.0.10 --file terms.json --explain\n  ringwall device terms 10.77.0.10 --drop allow-from-time.vendor.example-udp-123",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (policyAnswer, error) {
		id, err := deviceID(ctx, cl, args[0])
		if err != nil {
			return policyAnswer{}, err
		}
		now, err := cl.DevicePolicy(ctx, id)
		if err != nil {
			return policyAnswer{}, err
		}
		in := api.OwnerTerms{Terms: now.Owner}
		switch {
		case file != "":
			in.Terms = nil
			if err := k.readDocument(file, "the terms", &in.Terms); err != nil {
				return policyAnswer{}, err
			}
		case len(drop) > 0:
			for _, name := range drop {
				n := len(in.Terms)
				if in.Terms = slices.DeleteFunc(in.Terms, func(t api.Term) bool { return t.ID == name }); len(in.Terms) == n {
					return policyAnswer{}, &ringwall.Error{Code: ringwall.NotFound, Text: fmt.Sprintf("its owner has no term %q", name), Hint: "those of its class and groups are not the owner's to drop"}
				}
			}
		default:
			return policyAnswer{Policy: &now}, nil
		}
		return putTerms(ctx, cl, id, in, explain)
	}, showPolicyAnswer)
	fl := c.Flags()
	fl.StringVar(&file, "file", "", "replace the owner's terms by those of a JSON file (a list); - for the standard input")
	fl.StringSliceVar(&drop, "drop", nil, "id of an owner's term to take away; repeat")
	fl.BoolVar(&explain, "explain", false, "only tell what it would change")
	return c
}

// rangeArgs is cobra.RangeArgs with a usage error.
func rangeArgs(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usagef("%s takes %d to %d arguments, got %d; see %q", c.CommandPath(), least, most, len(args), c.CommandPath()+" --help")
		}
		return nil
	}
}

// byNameOrID finds the one thing that is named by its id or its name.
func byNameOrID[T any](all []T, what, name string, of func(T) (id, name string)) (T, error) {
	var hits []T
	for _, v := range all {
		id, n := of(v)
		if id == name {
			return v, nil
		}
		if strings.EqualFold(n, name) {
			hits = append(hits, v)
		}
	}
	var none T
	switch len(hits) {
	case 1:
		return hits[0], nil
	case 0:
		return none, &ringwall.Error{Code: ringwall.NotFound, Text: fmt.Sprintf("no %s is called %q", what, name), Hint: `see "ringwall ` + cmp.Or(what, "") + ` list"`}
	}
	return none, &ringwall.Error{Code: ringwall.Conflict, Text: fmt.Sprintf("%d are called %q", len(hits), name), Hint: "name one by its id"}
}
