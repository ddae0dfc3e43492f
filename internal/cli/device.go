package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

// pager lists one page.
type pager[T any] = func(context.Context, client.Paging) (api.Page[T], error)

func newDevice(env Env) *cobra.Command {
	return noun(env, "device", "Devices: list, show, create, mode, set, enrol, pin, assess, examine, report, terms, allow, deny, quarantine", []string{"devices"},
		deviceList, deviceShow, deviceCreate, deviceMode, deviceSet, deviceEnrol, devicePin, deviceAssess, deviceExamine, deviceEvidence, deviceReport, deviceQuestionnaire, deviceRestrict("quarantine", "Put a device into quarantine: only the remediation set passes"),
		deviceRestrict("cutoff", "Cut a device off: nothing passes"), deviceTimeline, deviceFlows,
		deviceLearn, deviceMUD, deviceTerms, deviceTerm(api.Allow, "Let a device do something: a term of its owner"), deviceTerm(api.Deny, "Refuse a device something, whatever else allows it"))
}

// deviceID returns the id of a device that is named by its id, its name or its
// address.
func deviceID(ctx context.Context, c *client.Client, name string) (ringwall.DeviceID, error) {
	if ringwall.ValidID(ringwall.PrefixDevice, name) {
		return ringwall.DeviceID(name), nil
	}
	if name == "" {
		return "", usagef("a device has an id, a name or an address")
	}
	found, err := all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Device], error) {
		return c.Devices(ctx, client.DeviceFilter{Text: name}, p)
	})
	if err != nil {
		return "", err
	}
	var hits []api.Device
	for _, d := range found {
		if strings.EqualFold(d.Name, name) || d.Binding.IP.String() == name || strings.EqualFold(d.Binding.MAC, name) {
			hits = append(hits, d)
		}
	}
	switch len(hits) {
	case 1:
		return hits[0].ID, nil
	case 0:
		return "", &ringwall.Error{Code: ringwall.NotFound, Text: fmt.Sprintf("no device is called %q", name), Hint: `see "ringwall device list"`}
	}
	return "", &ringwall.Error{Code: ringwall.Conflict, Text: fmt.Sprintf("%d devices are called %q", len(hits), name), Hint: "name one by its id"}
}

func deviceList(k *conn) *cobra.Command {
	var f client.DeviceFilter
	var grade, trust, presence, gateway string
	var strangers bool
	c := &cobra.Command{
		Use: "list", Short: "List devices by name", Args: exactArgs(0),
		Example: "  ringwall device list --grade high",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Device, error) {
			f.Gateway = ringwall.GatewayID(gateway)
			if grade != "" {
				f.Grade = new(ringwall.Grade)
				if err := f.Grade.UnmarshalText([]byte(grade)); err != nil {
					return nil, usageError{err}
				}
			}
			if trust != "" {
				f.Trust = new(ringwall.Trust)
				if err := f.Trust.UnmarshalText([]byte(trust)); err != nil {
					return nil, usageError{err}
				}
			}
			if presence != "" {
				f.Presence = new(ringwall.Presence)
				if err := f.Presence.UnmarshalText([]byte(presence)); err != nil {
					return nil, usageError{err}
				}
			}
			if strangers {
				f.Enrolled = new(bool)
			}
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Device], error) { return c.Devices(ctx, f, p) })
		}, func(w io.Writer, ds []api.Device) {
			row(w, "NAME", "TYPE", "GRADE", "TRUST", "MODE", "PRESENCE", "ADDRESS", "ID")
			for _, d := range ds {
				trust := d.Trust.String()
				for _, h := range d.Holds {
					trust += " " + h.Do.String()
				}
				row(w, d.Name, d.Type, d.Grade, trust, d.Mode, d.Presence, d.Binding.IP, d.ID)
			}
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.Text, "text", "", "part of the name, vendor, model, MAC or IP")
	fl.StringVar(&f.Type, "type", "", "type, such as camera")
	fl.StringVar(&grade, "grade", "", "unknown, low, medium or high")
	fl.StringVar(&trust, "trust", "", "T0 to T4")
	fl.StringVar(&presence, "presence", "", "unknown, online, silent, gone or moved")
	fl.StringVar(&gateway, "gateway", "", "id of the gateway it is behind")
	fl.BoolVar(&strangers, "strangers", false, "only those that are not enrolled")
	return c
}

func deviceShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show DEVICE", Short: "Show a device: grade, trust and why, policy, holds", Args: exactArgs(1),
		Example: "  ringwall device show \"Front door camera\"",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Device, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Device{}, err
			}
			return c.Device(ctx, id)
		}, showDevice),
	}
}

func showDevice(w io.Writer, d api.Device) {
	row(w, "id", d.ID)
	row(w, "name", d.Name)
	row(w, "type", strings.TrimSpace(d.Type+" "+d.Vendor+" "+d.Model+" "+d.Firmware))
	row(w, "address", fmt.Sprintf("%s %s %s", d.Binding.IP, d.Binding.MAC, d.Binding.Port))
	row(w, "gateway", d.Gateway)
	if d.Agent != "" {
		row(w, "agent on it", d.Agent)
	}
	row(w, "enrolled", d.Enrolled)
	row(w, "presence", fmt.Sprintf("%s, seen %s", d.Presence, when(d.Seen)))
	row(w, "grade", fmt.Sprintf("%s (%s), %.0f %% measured, %s", d.Grade, d.Class, 100*d.Coverage, when(d.Graded)))
	row(w, "trust", d.Trust)
	for _, r := range d.TrustReasons {
		row(w, "", fmt.Sprintf("at most %s: %s: %s", r.Cap, r.Input, r.Reason))
	}
	row(w, "mode", d.Mode)
	for _, h := range d.Holds {
		row(w, "hold", fmt.Sprintf("%s by %s since %s: %s", h.Do, h.By, when(h.Made), h.Reason))
	}
	if d.Incident != "" {
		row(w, "incident", d.Incident)
	}
	for _, t := range d.Terms {
		row(w, "term", termText(t))
	}
}

// termText writes a term in one line.
func termText(t api.Term) string {
	other := "any"
	switch {
	case t.Domain != "":
		other = t.Domain
	case t.CIDR.IsValid():
		other = t.CIDR.String()
	case t.Device != "":
		other = string(t.Device)
	case t.Local:
		other = "local"
	case t.Controller != "":
		other = "controller:" + t.Controller
	case t.SameMaker:
		other = "same-maker"
	case t.Gateway:
		other = "gateway"
	}
	more := ""
	if i := t.Inside; i != nil {
		more += " inside " + strings.Join(append(append([]string{i.Proto}, i.Hosts...), i.Paths...), " ")
	}
	if w := t.Window; w != nil {
		more += fmt.Sprintf(" %s-%s %s %s", w.From, w.To, strings.Join(w.Days, ","), w.Zone)
	}
	if l := t.Limit; l != nil {
		more += " limited"
	}
	ports := ""
	for i, p := range t.Ports {
		if i > 0 {
			ports += ","
		}
		if ports += fmt.Sprint(p.First); p.Last != p.First {
			ports += fmt.Sprintf("-%d", p.Last)
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s  %s", t.Action, t.Direction, other, t.Proto, ports+more, t.Why))
}

func deviceMode(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "mode DEVICE learn|shadow|enforce", Short: "Set how a device's policy is applied", Args: exactArgs(2),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Device, error) {
			var m ringwall.Mode
			if err := m.UnmarshalText([]byte(args[1])); err != nil {
				return api.Device{}, usageError{err}
			}
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Device{}, err
			}
			return c.PatchDevice(ctx, id, 0, api.DevicePatch{Mode: &m})
		}, func(io.Writer, api.Device) {}),
	}
}

func deviceSet(k *conn) *cobra.Command {
	var agent, use, gate, maker, fail, card, gateway string
	var ungraded, bySIM bool
	var tags []string
	var lookups int
	c := &cobra.Command{
		Use: "set DEVICE", Short: "Say what a device is used for, its own gate, which agent runs on it", Args: exactArgs(1),
		Example: "  ringwall device set \"Front door camera\" --use public --gate low\n  ringwall device set \"Front door camera\" --agent gw_...",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (api.Device, error) {
		var p api.DevicePatch
		fl := c.Flags()
		if fl.Changed("agent") {
			gw := ringwall.GatewayID(agent)
			if agent == "none" {
				gw = ""
			}
			p.Agent = &gw
		}
		if fl.Changed("use") {
			p.Use = &use
		}
		if fl.Changed("gate") {
			g, err := readGate(gate, ungraded)
			if err != nil {
				return api.Device{}, err
			}
			p.Gate = &g
		} else if ungraded {
			return api.Device{}, usagef("--ungraded is said of a --gate")
		}
		if fl.Changed("tag") {
			p.Tags = &tags
		}
		if fl.Changed("maker") {
			p.Maker = &maker
		}
		if fl.Changed("fail") {
			p.Fail = &fail
		}
		if fl.Changed("lookups") {
			p.Lookups = &lookups
		}
		if fl.Changed("sim") {
			id := ringwall.SIMID(card)
			if card == "none" {
				id = ""
			}
			p.SIM = &id
		}
		if fl.Changed("by-sim") {
			p.BySIM = &bySIM
		}
		if fl.Changed("gateway") {
			gw := ringwall.GatewayID(gateway)
			p.Gateway = &gw
		}
		if p == (api.DevicePatch{}) {
			return api.Device{}, usagef("nothing is to be set; see --help")
		}
		id, err := deviceID(ctx, cl, args[0])
		if err != nil {
			return api.Device{}, err
		}
		return cl.PatchDevice(ctx, id, 0, p)
	}, func(w io.Writer, d api.Device) {
		row(w, "device", d.Name)
		row(w, "use", dash(d.Profile.Use))
		own := "the organisation's"
		if d.Gate != nil {
			own = gateText(*d.Gate)
		}
		row(w, "gate", own)
		row(w, "agent on it", dash(string(d.Agent)))
		row(w, "SIM", dash(string(d.SIM)))
		if d.BySIM {
			row(w, "known by", "its SIM, behind "+string(d.Gateway))
		}
	})
	fl := c.Flags()
	fl.StringVar(&use, "use", "", "what it is used for: consumer, public or production")
	fl.StringVar(&gate, "gate", "", "worst grade with which it may go online: low, medium, high (any); none = the organisation's")
	fl.BoolVar(&ungraded, "ungraded", false, "with --gate: let it pass without a grade too")
	fl.StringSliceVar(&tags, "tag", nil, "a word of yours, for groups; repeat. They replace those that it has")
	fl.StringVar(&maker, "maker", "", "who made it, as terms with same-maker compare")
	fl.StringVar(&fail, "fail", "", "what happens when its gateway was alone for too long: static, closed or open")
	fl.IntVar(&lookups, "lookups", 0, "most names that it may look up a second; 0 = the gateway's own limit")
	fl.StringVar(&card, "sim", "", "id of the SIM in it; none takes it out")
	fl.BoolVar(&bySIM, "by-sim", false, "know it by its SIM in the place of MAC and address")
	fl.StringVar(&gateway, "gateway", "", "of a device that is known by its SIM: id of the gateway that its traffic passes")
	fl.StringVar(&agent, "agent", "", "id of the agent as \"ringwall gateway list\" shows it; none takes it off")
	return c
}

func deviceEnrol(k *conn) *cobra.Command {
	var revoke bool
	c := &cobra.Command{
		Use: "enrol DEVICE", Short: "Declare a device one's own, or take that back", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Device, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Device{}, err
			}
			yes := !revoke
			return c.PatchDevice(ctx, id, 0, api.DevicePatch{Enrolled: &yes})
		}, func(io.Writer, api.Device) {}),
	}
	c.Flags().BoolVar(&revoke, "revoke", false, "take the enrolment back")
	return c
}

func devicePin(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "pin DEVICE", Short: "Bind a device to where it was last seen, after it was moved", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Device, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Device{}, err
			}
			yes := true
			return c.PatchDevice(ctx, id, 0, api.DevicePatch{Pin: &yes})
		}, func(io.Writer, api.Device) {}),
	}
}

func deviceAssess(k *conn) *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use: "assess DEVICE", Short: "Assess a device and wait for the result", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Assessment, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return api.Assessment{}, err
			}
			started, err := c.AssessDevice(ctx, id)
			if err != nil {
				return api.Assessment{}, err
			}
			fmt.Fprintf(k.env.Stderr, "ringwall: assessment %s runs\n", started)
			return awaitAssessment(ctx, c, started, wait)
		}, func(w io.Writer, a api.Assessment) {
			row(w, "grade", fmt.Sprintf("%s (%s), %.0f %% measured", a.Grade, a.Class, 100*a.Coverage))
			for _, r := range a.Reasons {
				row(w, "", r)
			}
			for _, f := range a.Findings {
				if f.Outcome == ringwall.Fail || f.Outcome == ringwall.Partial {
					row(w, f.Outcome, fmt.Sprintf("%s %s (%s)", f.Indicator, f.Title, f.Confidence))
				}
			}
		}),
	}
	c.Flags().DurationVar(&wait, "wait", 5*time.Minute, "how long to wait for the result")
	return c
}

// awaitAssessment asks for an assessment until it is there: it is Unavailable
// as long as it runs.
func awaitAssessment(ctx context.Context, c *client.Client, id ringwall.AssessID, wait time.Duration) (api.Assessment, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := c.Assessment(ctx, id)
		if err == nil || ringwall.CodeOf(err) != ringwall.Unavailable {
			return a, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return a, &ringwall.Error{Code: ringwall.Unavailable, Text: fmt.Sprintf("assessment %s is not done yet", id), Err: err, Hint: "wait longer with --wait, or look at the device later"}
		}
	}
}

func deviceRestrict(kind, short string) func(*conn) *cobra.Command {
	return func(k *conn) *cobra.Command {
		var reason string
		var expiry time.Duration
		c := &cobra.Command{
			Use: kind + " DEVICE", Short: short, Args: exactArgs(1),
			Long: short + `. What is made here is undone with "ringwall response undo".`,
			RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Response, error) {
				id, err := deviceID(ctx, c, args[0])
				if err != nil {
					return api.Response{}, err
				}
				return c.CreateResponse(ctx, api.ResponseCreate{
					Kind: kind, Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)}, Reason: reason, Expiry: api.Duration(expiry),
				})
			}, func(w io.Writer, r api.Response) { row(w, r.ID, r.Kind, r.Status) }),
		}
		c.Flags().StringVar(&reason, "reason", "from the command line", "why; it is recorded")
		c.Flags().DurationVar(&expiry, "expiry", 0, "how long; 0 = until undone")
		return c
	}
}

func deviceTimeline(k *conn) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "timeline DEVICE", Short: "Everything that happened to a device, newest first", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) ([]api.TimelineEntry, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			return c.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)}, time.Time{}, limit)
		}, func(w io.Writer, es []api.TimelineEntry) {
			for _, e := range es {
				row(w, when(e.Time), e.Kind, e.Text, e.Actor)
			}
		}),
	}
	c.Flags().IntVarP(&limit, "limit", "n", 50, "most entries, up to 500")
	return c
}

func deviceFlows(k *conn) *cobra.Command {
	var q client.FlowQuery
	c := &cobra.Command{
		Use: "flows DEVICE", Short: "Flow reports of a device, newest first", Args: exactArgs(1),
		Example: "  ringwall device flows 10.77.0.10 --verdict refused",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) ([]api.FlowRow, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			return c.Flows(ctx, id, q)
		}, func(w io.Writer, fs []api.FlowRow) {
			row(w, "TIME", "VERDICT", "OPENED", "PROTO", "LOCAL", "REMOTE", "NAME", "PACKETS", "BYTES", "REASON")
			for _, f := range fs {
				row(w, when(f.Time), f.Verdict, f.Direction, f.Proto, f.Local, f.Remote, f.Name, f.Packets, f.Bytes, f.Reason)
			}
		}),
	}
	c.Flags().StringVar(&q.Verdict, "verdict", "", "allowed, refused or would-refuse")
	c.Flags().IntVarP(&q.Limit, "limit", "n", 50, "most reports, up to 500")
	return c
}
