package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newFlow(env Env) *cobra.Command {
	return noun(env, "flow", "What gateways let pass and refused", []string{"flows"}, flowList, flowWhy, flowTotals)
}

// flowFlags narrow flow reports.
type flowFlags struct {
	s            client.FlowSearch
	device       string
	since, until time.Duration
	from, to     string
}

func (f *flowFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVarP(&f.device, "device", "d", "", "of this device: id, name or address")
	fl.StringVar((*string)(&f.s.Gateway), "gateway", "", "of this gateway: id")
	fl.DurationVar(&f.since, "since", 0, "of the time since so long ago, such as 24h")
	fl.DurationVar(&f.until, "until", 0, "of the time until so long ago")
	fl.StringVar(&f.from, "from", "", "of the time from this moment on, such as 2026-11-21T20:00:00Z; in the place of --since")
	fl.StringVar(&f.to, "before", "", "of the time before this moment; in the place of --until")
	fl.StringVar(&f.s.Verdict, "verdict", "", "allowed, refused or would-refuse")
	fl.StringVar(&f.s.Remote, "to", "", "address or network of the other end")
	fl.StringVar(&f.s.Name, "name", "", "name of the other end; *.example for all below")
	fl.Uint16Var(&f.s.Port, "port", 0, "port of the service")
	fl.StringVar(&f.s.Proto, "proto", "", "tcp, udp, icmp or a number")
	fl.StringVar(&f.s.Reason, "reason", "", "why, such as default, deny or limited")
	fl.StringVar(&f.s.Term, "term", "", "id of the term that decided")
}

// search returns what the flags ask for.
func (f *flowFlags) search(ctx context.Context, c *client.Client, now time.Time) (client.FlowSearch, error) {
	s := f.s
	if f.device != "" {
		id, err := deviceID(ctx, c, f.device)
		if err != nil {
			return s, err
		}
		s.Device = id
	}
	for _, x := range []struct {
		ago  time.Duration
		text string
		at   *time.Time
		name string
	}{{f.since, f.from, &s.From, "--since and --from"}, {f.until, f.to, &s.To, "--until and --before"}} {
		switch {
		case x.ago < 0:
			return s, usagef("%s lie in the past: give a positive time", x.name)
		case x.ago > 0 && x.text != "":
			return s, usagef("%s say the same: give one", x.name)
		case x.ago > 0:
			*x.at = now.Add(-x.ago)
		case x.text != "":
			t, err := time.Parse(time.RFC3339, x.text)
			if err != nil {
				return s, usagef("%q is no moment of the form 2026-11-21T20:00:00Z", x.text)
			}
			*x.at = t
		}
	}
	return s, nil
}

func flowList(k *conn) *cobra.Command {
	var f flowFlags
	var limit int
	var cursor string
	c := &cobra.Command{
		Use: "list", Short: "Flow reports, newest first", Args: exactArgs(0),
		Long: `Flow reports, newest first. With --json the answer has "next", which --cursor takes for the page that follows:
pages that follow each other hold each report once, whatever comes in meanwhile.`,
		Example: "  ringwall flow list --verdict refused --since 24h\n  ringwall flow list --device 10.77.0.10 --to 198.51.100.0/24 --port 443",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.Page[api.FlowRow], error) {
			s, err := f.search(ctx, c, k.env.Now())
			if err != nil {
				return api.Page[api.FlowRow]{}, err
			}
			return c.FlowSearch(ctx, s, client.Paging{Cursor: cursor, Limit: limit})
		}, func(w io.Writer, p api.Page[api.FlowRow]) {
			row(w, "REPORT", "TIME", "DEVICE", "VERDICT", "OPENED", "PROTO", "REMOTE", "NAME", "BYTES", "REASON", "TERM")
			for _, f := range p.Items {
				row(w, f.ID, when(f.Time), f.Device, f.Verdict, f.Direction, f.Proto, f.Remote, f.Name, f.Bytes, f.Reason, f.Term)
			}
		}),
	}
	f.add(c)
	c.Flags().IntVarP(&limit, "limit", "n", 50, "most reports, up to 500")
	c.Flags().StringVar(&cursor, "cursor", "", "next of the page before")
	return c
}

func flowWhy(k *conn) *cobra.Command {
	var f flowFlags
	lang := "en"
	c := &cobra.Command{
		Use: "why [REPORT]", Short: "Why a flow was let pass or refused, and what the policy says now",
		Long: `Why a flow was let pass or refused, and what the policy that is in force says of such a flow now.

The report is named by its id, as "ringwall flow list" shows it; without one, the newest that the flags ask for is taken.`,
		Example: "  ringwall flow why flw_1532-7\n  ringwall flow why --device 10.77.0.10 --verdict refused --name time.example",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("name one report")
			}
			return nil
		},
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.FlowWhy, error) {
			if len(args) == 1 {
				return c.FlowWhy(ctx, ringwall.FlowID(args[0]), lang)
			}
			s, err := f.search(ctx, c, k.env.Now())
			if err != nil {
				return api.FlowWhy{}, err
			}
			p, err := c.FlowSearch(ctx, s, client.Paging{Limit: 1})
			if err != nil {
				return api.FlowWhy{}, err
			}
			if len(p.Items) == 0 {
				return api.FlowWhy{}, ringwall.Errorf(ringwall.NotFound, "no flow report fits")
			}
			return c.FlowWhy(ctx, p.Items[0].ID, lang)
		}, showWhy),
	}
	f.add(c)
	c.Flags().StringVar(&lang, "language", lang, "of the words: en or zh")
	return c
}

func showWhy(w io.Writer, y api.FlowWhy) {
	f := y.Flow
	row(w, "report", f.ID)
	row(w, "flow", fmt.Sprintf("%s  %s %s  %s (opened %s)", when(f.Time), f.Proto, f.Remote, f.Name, f.Direction))
	row(w, "device", f.Device)
	if f.Inside != nil {
		row(w, "inside", fmt.Sprintf("%s %s %s%s", f.Inside.Proto, f.Inside.Method, f.Inside.Host, f.Inside.Path))
	}
	row(w, "then", y.Text)
	if y.Now == nil {
		row(w, "now", "unknown: "+y.Unknown)
		return
	}
	now := fmt.Sprintf("%s (generation %d)", y.Now.Text, y.Now.Generation)
	if y.Now.Same {
		now += " That is the policy that decided then."
	}
	row(w, "now", now)
	if y.Now.Why != "" {
		row(w, "term", y.Now.Term+": "+y.Now.Why)
	}
}

func flowTotals(k *conn) *cobra.Command {
	var f flowFlags
	c := &cobra.Command{
		Use: "totals", Short: "Sums of flow reports: refusals by reason and hour, and who talks most", Args: exactArgs(0),
		Long:    "Sums of flow reports, of whole hours; without --since and --from those of a day.",
		Example: "  ringwall flow totals --since 168h\n  ringwall flow totals --device 10.77.0.10",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.FlowTotals, error) {
			s, err := f.search(ctx, c, k.env.Now())
			if err != nil {
				return api.FlowTotals{}, err
			}
			return c.FlowTotals(ctx, s)
		}, func(w io.Writer, t api.FlowTotals) {
			row(w, "HOUR", "ALLOWED", "REFUSED", "WOULD-REFUSE", "BYTES")
			for _, h := range t.Hours {
				if h.Allowed+h.Refused+h.Would > 0 {
					row(w, when(h.Hour), h.Allowed, h.Refused, h.Would, h.Bytes)
				}
			}
			row(w, "all", t.Flows-t.Refused, t.Refused, "", t.Bytes)
			for _, r := range t.Reasons {
				row(w, "reason", r.Reason, r.Flows)
			}
			for _, d := range t.Devices {
				row(w, "device", d.Device, d.Flows, d.Refused, d.Bytes)
			}
			for _, r := range t.Remotes {
				row(w, "with", r.Remote, r.Flows, "", r.Bytes)
			}
		}),
	}
	f.add(c)
	return c
}
