package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func deviceLearn(k *conn) *cobra.Command {
	var in api.LearnRequest
	var approve bool
	var only []string
	var groupName, mode string
	c := &cobra.Command{
		Use: "learn DEVICE", Short: "Propose the least that a device needs, out of its reports, and approve it", Args: exactArgs(1),
		Long: `Propose the least that a device needs, out of the flow reports of some days. Nothing follows from it until somebody
approves: with --approve, all of it, or the lines that are named with --only.

"ringwall policy learn" does the same with files, without a platform.`,
		Example: "  ringwall device learn \"Garage camera\" --days 14\n  ringwall device learn \"Garage camera\" --approve --mode shadow",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (learnAnswer, error) {
		id, err := deviceID(ctx, cl, args[0])
		if err != nil {
			return learnAnswer{}, err
		}
		draft, err := cl.LearnPolicy(ctx, id, in)
		if err != nil || !approve {
			return learnAnswer{Draft: draft}, err
		}
		a := api.DraftApproval{Terms: []api.Term{}}
		for _, l := range draft.Lines {
			if len(only) == 0 || slices.Contains(only, l.Term.ID) {
				a.Terms = append(a.Terms, l.Term)
			}
		}
		if len(a.Terms) == 0 {
			return learnAnswer{Draft: draft}, &ringwall.Error{Code: ringwall.NotFound, Text: "nothing of the proposal is to be approved", Hint: "see it without --approve"}
		}
		if groupName != "" {
			g, err := group(ctx, cl, groupName)
			if err != nil {
				return learnAnswer{}, err
			}
			a.Group = g.ID
		}
		if mode != "" {
			a.Mode = new(ringwall.Mode)
			if err := a.Mode.UnmarshalText([]byte(mode)); err != nil {
				return learnAnswer{}, usageError{err}
			}
		}
		v, err := cl.ApproveDraft(ctx, id, a)
		return learnAnswer{Draft: draft, Policy: &v}, err
	}, func(w io.Writer, a learnAnswer) {
		row(w, "reports", fmt.Sprintf("%d from %s to %s", a.Draft.Flows, when(a.Draft.From), when(a.Draft.To)))
		for _, l := range a.Draft.Lines {
			row(w, "proposed", l.Term.ID, termText(l.Term), fmt.Sprintf("%d flows on %d days, last %s %s", l.Flows, l.Days, when(l.Last), l.Note))
		}
		for _, l := range a.Draft.Left {
			row(w, "left", l.What, l.Why, fmt.Sprintf("%d days, last %s", l.Days, when(l.Last)))
		}
		row(w, "met already", a.Draft.Met)
		if a.Policy != nil {
			showPolicy(w, *a.Policy)
		}
	})
	fl := c.Flags()
	fl.IntVar(&in.Days, "days", 7, "days of reports, up to 90")
	fl.IntVar(&in.MinDays, "min-days", 0, "days on which a need must have been seen; 2 without")
	fl.Uint64Var(&in.MinFlows, "min-flows", 0, "how often in all; 3 without")
	fl.BoolVar(&approve, "approve", false, "make terms of it")
	fl.StringSliceVar(&only, "only", nil, "with --approve: only the line with this id; repeat")
	fl.StringVar(&groupName, "group", "", "with --approve: terms of a group instead of the device's owner")
	fl.StringVar(&mode, "mode", "", "with --approve: put the device into learn, shadow or enforce")
	return c
}

type learnAnswer struct {
	Draft  api.PolicyDraft `json:"draft"`
	Policy *api.PolicyView `json:"policy,omitempty"`
}

// deviceMUD is the parent of what is done with usage descriptions.
func deviceMUD(k *conn) *cobra.Command {
	c := &cobra.Command{
		Use: "mud", Short: "The usage description of a device's maker (RFC 8520): show, put, explain, decide, export; whose signatures are trusted", Args: exactArgs(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return usagef("say what to do; see %q", c.CommandPath()+" --help")
		},
	}
	c.AddCommand(mudShow(k), mudPut(k), mudExport(k), mudExplain(k), mudTasks(k), mudRoots(k),
		mudDecide(k, "narrow", "Put a description in force as far as it narrows"), mudDecide(k, "approve", "Put all of a description in force, what it adds included"),
		mudDecide(k, "decline", "Put nothing of a description in force; of a newer file beside one in force, decline that file alone"),
		mudDecide(k, "keep", "Keep to a description although the device tells another URL"), mudDecide(k, "refresh", "Fetch a description now"))
	return c
}

func showMUD(w io.Writer, m api.MUDState) {
	row(w, "url", m.URL)
	row(w, "state", m.Status)
	row(w, "signature", dash(m.Signature), m.Signer)
	if m.Reason != "" {
		row(w, "", m.Reason)
	}
	if m.Root != "" {
		row(w, "vouched for by", m.Root)
	}
	if m.NamedSigner != "" {
		row(w, "its device names", m.NamedSigner)
	}
	if m.Told != "" {
		row(w, "the device tells", m.Told)
	}
	if len(m.Waits) > 0 {
		row(w, "waits for you", strings.Join(m.Waits, ", "))
	}
	if !m.Narrowed.IsZero() {
		row(w, "narrowed by itself", when(m.Narrowed))
	}
	row(w, "fetched", when(m.Fetched), "again "+when(m.Next))
	row(w, "maker", m.Maker, m.Model, m.Info)
	row(w, "supported", m.Supported)
	if m.Error != "" {
		row(w, "error", m.Error)
	}
	for _, t := range m.Terms {
		row(w, "term", t.ID, termText(t))
	}
	for _, n := range m.Notes {
		row(w, "note", n)
	}
	if m.Changed != nil {
		row(w, "a newer file would change", "")
		showChange(w, *m.Changed)
	}
}

func mudVerb[T any](k *conn, use, short string, do func(context.Context, *client.Client, ringwall.DeviceID) (T, error), show func(io.Writer, T)) *cobra.Command {
	return &cobra.Command{
		Use: use + " DEVICE", Short: short, Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (T, error) {
			id, err := deviceID(ctx, c, args[0])
			if err != nil {
				var none T
				return none, err
			}
			return do(ctx, c, id)
		}, show),
	}
}

func mudShow(k *conn) *cobra.Command {
	return mudVerb(k, "show", "Show what is known of a description", func(ctx context.Context, c *client.Client, id ringwall.DeviceID) (api.MUDState, error) {
		return c.MUD(ctx, id)
	}, showMUD)
}

func mudDecide(k *conn, decision, short string) *cobra.Command {
	return mudVerb(k, decision, short, func(ctx context.Context, c *client.Client, id ringwall.DeviceID) (api.MUDState, error) {
		return c.DecideMUD(ctx, id, decision)
	}, showMUD)
}

func mudExport(k *conn) *cobra.Command {
	return mudVerb(k, "export", "Draft a description of what is in force; what it cannot say is told on the error output", func(ctx context.Context, c *client.Client, id ringwall.DeviceID) (api.MUDExport, error) {
		return c.ExportMUD(ctx, id)
	}, func(w io.Writer, x api.MUDExport) {
		fmt.Fprintf(w, "%s\n", x.File)
		for _, n := range x.Notes {
			fmt.Fprintf(k.env.Stderr, "ringwall: left out: %s\n", n)
		}
		if x.Change != nil {
			for _, s := range append(x.Change.Allows, x.Change.Refuses...) {
				fmt.Fprintf(k.env.Stderr, "ringwall: differs from its maker's: %s\n", s)
			}
		}
	})
}

func mudPut(k *conn) *cobra.Command {
	var url, file, signature, certificate string
	c := mudVerb(k, "put", "Name the URL of a description, or hand its file in", func(ctx context.Context, c *client.Client, id ringwall.DeviceID) (api.MUDState, error) {
		in := api.MUDPut{URL: url}
		for name, to := range map[string]*[]byte{file: &in.File, signature: &in.Signature, certificate: &in.Certificate} {
			if name == "" {
				continue
			}
			b, err := readBounded(name)
			if err != nil {
				return api.MUDState{}, err
			}
			*to = b
		}
		return c.PutMUD(ctx, id, in)
	}, showMUD)
	fl := c.Flags()
	fl.StringVar(&url, "url", "", "where the description is; https")
	fl.StringVar(&file, "file", "", "the description itself")
	fl.StringVar(&signature, "signature", "", "with --file: its detached signature (CMS)")
	fl.StringVar(&certificate, "certificate", "", "the device's own certificate (PEM or DER), which may name the URL and the only signer (RFC 8520 section 11)")
	return c
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(b) > maxDocument {
		err = ringwall.Errorf(ringwall.Invalid, "%s is larger than %d bytes", name, maxDocument)
	}
	return b, err
}

// simProfile shows, sets or takes back what a SIM may be used for.
func simProfile(k *conn) *cobra.Command {
	var file string
	var undo bool
	c := &cobra.Command{
		Use: "profile SIM", Short: "Show what a SIM may be used for, set it, or go back to the version before", Args: exactArgs(1),
		Long: `Show what a SIM may be used for, or set it: at its operator, at the gateway in front of its device, and by the rules that
its usage records are judged by. Every version is kept; --undo goes back to the one before.

The file is JSON: name, voice, sms, data, place, hours. What it does not name is not for this SIM.`,
		Example: `  echo '{"name":"meter","data":{"apns":["iot.example"],"peers":[{"cidr":"198.51.100.20/32","proto":"tcp","ports":[{"first":8883,"last":8883}]}]}}' |
    ringwall sim profile sim_... --set -`,
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) ([]api.SIMProfile, error) {
		id := ringwall.SIMID(args[0])
		switch {
		case undo && file != "":
			return nil, usagef("--set and --undo exclude each other")
		case undo:
			return cl.UndoSIMProfile(ctx, id)
		case file == "":
			return cl.SIMProfiles(ctx, id)
		}
		var p api.FunctionProfile
		if err := k.readDocument(file, "the profile", &p); err != nil {
			return nil, err
		}
		return cl.PutSIMProfile(ctx, id, p)
	}, func(w io.Writer, ps []api.SIMProfile) {
		row(w, "VERSION", "NAME", "AT THE OPERATOR", "SERVICES", "TERMS", "MADE", "BY")
		for _, p := range ps {
			name := p.Profile.Name
			if p.None {
				name = "(none)"
			}
			state := p.State
			if p.Error != "" {
				state += ": " + p.Error
			}
			row(w, p.Version, name, state, p.Plan.Rules.Services, len(p.Plan.Terms), when(p.Made), p.By)
		}
	})
	c.Flags().StringVar(&file, "set", "", "JSON file with the profile; - for the standard input")
	c.Flags().BoolVar(&undo, "undo", false, "go back to the version before")
	return c
}
