package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newGateway(env Env) *cobra.Command {
	return noun(env, "gateway", "Gateways: list, show, set, token, enrol, revoke", []string{"gateways"}, gatewayList, gatewayShow, gatewaySet, gatewayToken, gatewayEnrol, gatewayRevoke)
}

func gatewayList(k *conn) *cobra.Command {
	var f client.GatewayFilter
	var templateName string
	c := &cobra.Command{
		Use: "list", Short: "List gateways by name, and what somebody should look at", Args: exactArgs(0),
		Example: "  ringwall gateway list --flag clock\n  ringwall gateway list --template \"Branch office\" --flag drift",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Gateway, error) {
			if templateName != "" {
				t, err := siteTemplate(ctx, c, templateName)
				if err != nil {
					return nil, err
				}
				f.Template = t.ID
			}
			return c.FindGateways(ctx, f)
		},
			func(w io.Writer, gs []api.Gateway) {
				row(w, "NAME", "STATE", "SEEN", "IN FORCE", "NEWEST", "DEVICES", "LOOK AT", "ID")
				for _, g := range gs {
					state := "away"
					if g.Online {
						state = "on line"
					}
					if !g.Revoked.IsZero() {
						state = "revoked"
					}
					row(w, g.Name, state, when(g.Seen), g.InForce, g.Desired, g.Devices, dash(strings.Join(g.Flags, " ")), g.ID)
				}
			}),
	}
	fl := c.Flags()
	fl.StringVar(&f.Flag, "flag", "", "only those with one of "+strings.Join(api.GatewayFlags(), ", "))
	fl.StringVar(&templateName, "template", "", "only those that have a template")
	fl.StringVar(&f.Text, "text", "", "part of the name, serial number or id")
	return c
}

func gatewayShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show GATEWAY", Short: "Show a gateway by its id", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Gateway, error) {
			return c.Gateway(ctx, ringwall.GatewayID(args[0]))
		}, func(w io.Writer, g api.Gateway) {
			row(w, "id", g.ID)
			row(w, "name", g.Name)
			row(w, "on line", fmt.Sprintf("%v, seen %s", g.Online, when(g.Seen)))
			row(w, "in force", fmt.Sprintf("generation %d of %d, hash %s", g.InForce, g.Desired, g.Hash))
			row(w, "new devices", g.Arrival)
			row(w, "resolver", g.Resolver)
			row(w, "networks", g.LocalNets)
			row(w, "certificate", "until "+when(g.CertExpiry))
			if !g.Revoked.IsZero() {
				row(w, "revoked", when(g.Revoked))
			}
			for _, t := range g.Remediate {
				row(w, "remediation", termText(t))
			}
			if g.On != "" {
				row(w, "on device", g.On)
			}
			if p := g.Posture; p != nil {
				row(w, "posture", fmt.Sprintf("last %s, %d refused", when(p.Made), p.Refused))
				if g.On == "" && p.Nobody > 0 {
					row(w, "", `on no device: say on which with "ringwall device set DEVICE --agent `+string(g.ID)+`"`)
				}
				if p.Reason != "" {
					row(w, "", "refused: "+p.Reason)
				}
			}
			if g.LastError != "" {
				row(w, "last error", g.LastError)
			}
			if g.Serial != "" {
				row(w, "serial", g.Serial)
			}
			if g.Template != "" {
				row(w, "template", fmt.Sprintf("%s, version %d, set otherwise: %s", g.Template, g.TemplateVersion, dash(strings.Join(g.Drift, ", "))))
			}
			if len(g.Groups) > 0 {
				row(w, "groups", g.Groups)
			}
			for _, c := range g.Controllers {
				row(w, "controller", c.Role, fmt.Sprint(c.Nets, c.Domains, c.Devices))
			}
			for _, t := range g.Terms {
				row(w, "site term", t.ID, termText(t))
			}
			if len(g.Flags) > 0 {
				row(w, "look at", strings.Join(g.Flags, ", "))
			}
			for _, n := range g.Notices {
				row(w, "noticed", fmt.Sprintf("%s %d times, last %s: %s", n.Kind, n.Total, when(n.Last), n.Text))
			}
			if h := g.Health; h != nil {
				row(w, "speaks", fmt.Sprintf("protocol %d, tier %s, clock off by %s", cmp.Or(g.Protocol, h.Protocol), dash(h.Tier), h.Clock.Round(time.Millisecond)))
				row(w, "backlog", fmt.Sprintf("%d KiB, %.0f %% of its room, %d reports lost, %d not written", h.WALBytes>>10, 100*h.LogShare, h.Lost, h.Unwritten))
				for _, kind := range slices.Sorted(maps.Keys(h.Losses)) {
					row(w, "lost", fmt.Sprintf("%s %d", cmp.Or(string(kind), "of unknown kind"), h.Losses[kind]))
				}
				for _, name := range slices.Sorted(maps.Keys(h.Processes)) {
					row(w, "process", fmt.Sprintf("%s %d MiB", name, h.Processes[name]>>20))
				}
				row(w, "health", fmt.Sprintf("%s, up %s, %d packets, %d dropped by the tap, %d MiB", h.Version, h.Uptime, h.Packets, h.TapDrops, h.RSSBytes>>20))
			}
		}),
	}
}

// gatewaySetFlags are what of a gateway can be set.
type gatewaySetFlags struct {
	name, arrival, resolver string
	nets, repair            []string
}

func gatewaySet(k *conn) *cobra.Command {
	var f gatewaySetFlags
	var c *cobra.Command
	c = &cobra.Command{
		Use: "set GATEWAY", Short: "Set a gateway's name, resolver, networks, new devices, repair servers", Args: exactArgs(1),
		Example: "  ringwall gateway set gw_... --resolver 192.0.2.53:53 --net 10.77.0.0/24 --repair update.vendor.example",
		RunE: ask(k, func(ctx context.Context, cl *client.Client, args []string) (api.Gateway, error) {
			p, err := f.patch(c)
			if err != nil {
				return api.Gateway{}, err
			}
			return cl.PatchGateway(ctx, ringwall.GatewayID(args[0]), p)
		}, func(w io.Writer, g api.Gateway) { row(w, "set", g.Name, "generation", g.Desired) }),
	}
	fl := c.Flags()
	fl.StringVar(&f.name, "name", "", "what people call it")
	fl.StringVar(&f.arrival, "arrival", "", "mode of devices that appear: learn or enforce")
	fl.StringVar(&f.resolver, "resolver", "", "where its DNS guard asks, as address:port")
	fl.StringSliceVar(&f.nets, "net", nil, "network behind it, such as 10.77.0.0/24; repeat")
	fl.StringSliceVar(&f.repair, "repair", nil, "name of a server that a quarantined device may reach over TLS; repeat")
	return c
}

func (f gatewaySetFlags) patch(c *cobra.Command) (p api.GatewayPatch, err error) {
	fl := c.Flags()
	if fl.Changed("name") {
		p.Name = &f.name
	}
	if fl.Changed("arrival") {
		p.Arrival = new(ringwall.Mode)
		if err := p.Arrival.UnmarshalText([]byte(f.arrival)); err != nil {
			return p, usageError{err}
		}
	}
	if fl.Changed("resolver") {
		p.Resolver = &f.resolver
	}
	if fl.Changed("net") {
		nets := []netip.Prefix{}
		for _, n := range f.nets {
			v, err := netip.ParsePrefix(n)
			if err != nil {
				return p, usagef("network %q is not of the form 10.77.0.0/24", n)
			}
			nets = append(nets, v.Masked())
		}
		p.LocalNets = &nets
	}
	if fl.Changed("repair") {
		terms := []api.Term{}
		for _, name := range f.repair {
			terms = append(terms, api.Term{
				ID: "repair-" + name, Action: api.Allow, Direction: api.FromDevice, Domain: name, Proto: "tcp",
				Ports: []api.PortRange{{First: 443, Last: 443}}, Why: "remediation",
			})
		}
		p.Remediate = &terms
	}
	return p, nil
}

func gatewayToken(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "token", Short: "Make a one-time token that enrols one gateway", Args: exactArgs(0),
		Long: `Make a one-time token that enrols one gateway. It is printed this once.

The gateway reads it from a file or its standard input, never from its arguments.`,
		Example: "  ringwall gateway token | ssh gateway ringwall-agent enrol -platform https://ringwall.example:8443 -pin SHA256",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.EnrolToken, error) {
			return c.CreateEnrolToken(ctx)
		},
			func(w io.Writer, t api.EnrolToken) {
				fmt.Fprintln(w, t.Token)
				fmt.Fprintf(k.env.Stderr, "ringwall: good for one gateway until %s\n", when(t.Expires))
				if t.CAPin != "" {
					fmt.Fprintf(k.env.Stderr, "ringwall: hint: the platform's authority has the pin %s (ringwall-agent enrol -pin)\n", t.CAPin)
				}
			}),
	}
}

func gatewayRevoke(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "revoke GATEWAY", Short: "End a gateway's identity for good", Args: exactArgs(1),
		Long: `End a gateway's identity for good: it is refused from now on, whatever certificate it shows.

What is behind it keeps its last policy and is vouched for by nobody. To come back it has to enrol anew, as another gateway.`,
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Gateway, error) {
			yes := true
			return c.PatchGateway(ctx, ringwall.GatewayID(args[0]), api.GatewayPatch{Revoked: &yes})
		}, func(io.Writer, api.Gateway) {}),
	}
}
