package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newWarning(env Env) *cobra.Command {
	return noun(env, "warning", "Warnings to parties: routes, add, test, drop, list", []string{"warnings"}, warningRoutes, warningAdd, warningTest, warningDrop, warningList)
}

func warningRoutes(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "routes", Short: "List to whom warnings go", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.WarningRoute, error) {
			return c.WarningRoutes(ctx)
		}, func(w io.Writer, rs []api.WarningRoute) {
			row(w, "PARTY", "NAME", "FOR", "SEVERITY", "SENT", "WAITING", "LAST ERROR", "ID")
			for _, r := range rs {
				row(w, r.Party, r.Name, dash(strings.TrimSpace(r.Customer+" "+r.Vendor+" "+r.Tag)), r.Severity, r.Sent, r.Waiting, dash(r.LastError), r.ID)
			}
		}),
	}
}

func warningAdd(k *conn) *cobra.Command {
	var in api.WarningRoutePut
	var party, severity string
	c := &cobra.Command{
		Use: "add URL", Short: "Send warnings to a party's system; the secret is shown once", Args: exactArgs(1),
		Long: `Send warnings to a party's system by signed HTTP requests (Standard Webhooks). Each party gets what its part entitles it
to: an enterprise (--customer) its own cards and devices, a manufacturer (--vendor) models and methods and no owner, an
application or service provider (--tag) devices with a tag, the operator its cards.`,
		Example: "  ringwall warning add https://hooks.example/ringwall --party enterprise --customer 'Water works' --name 'their desk'",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.WarningRoute, error) {
			in.URL, in.Party = args[0], ringwall.Part(party)
			if err := in.Severity.UnmarshalText([]byte(severity)); err != nil {
				return api.WarningRoute{}, usageError{err}
			}
			return c.PutWarningRoute(ctx, "", in)
		}, func(w io.Writer, r api.WarningRoute) {
			row(w, "id", r.ID)
			row(w, "secret", r.Secret)
			fmt.Fprintln(k.env.Stderr, "ringwall: the secret is shown once; the receiver checks signatures with it")
		}),
	}
	f := c.Flags()
	f.StringVar(&party, "party", "enterprise", "enterprise, manufacturer, application, provider, operator, integrator or owner")
	f.StringVar(&in.Name, "name", "", "what to call it")
	f.StringVar(&in.Customer, "customer", "", "for this customer's cards")
	f.StringVar(&in.Vendor, "vendor", "", "for devices of this vendor")
	f.StringVar(&in.Tag, "tag", "", "for devices with this tag")
	f.StringVar(&severity, "severity", "medium", "of incidents, at least")
	return c
}

func warningTest(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "test ROUTE", Short: "Send a warning of nothing", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Delivery, error) {
			return c.TestWarningRoute(ctx, ringwall.RouteID(args[0]))
		}, func(w io.Writer, d api.Delivery) { row(w, d.ID, d.State) }),
	}
}

func warningDrop(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "drop ROUTE", Short: "End a route, and what waits on it", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (struct{}, error) {
			return struct{}{}, c.DropWarningRoute(ctx, ringwall.RouteID(args[0]))
		}, func(io.Writer, struct{}) {}),
	}
}

func warningList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List warnings on their way and those that have come, newest first", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Delivery, error) {
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Delivery], error) {
				return c.Deliveries(ctx, "", p)
			})
		}, func(w io.Writer, ds []api.Delivery) {
			row(w, "MADE", "TYPE", "STATE", "TRIES", "ERROR", "ROUTE", "ID")
			for _, d := range ds {
				row(w, when(d.Made), d.Type, d.State, d.Tries, dash(d.Error), d.Route, d.ID)
			}
		}),
	}
}
