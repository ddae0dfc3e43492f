package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newSIM(env Env) *cobra.Command {
	return noun(env, "sim", "SIMs: list, show, reveal, fleet, alerts, add, import, set, profile, suspend, restrict, rules, exceptions, pools, areas, credit", []string{"sims"},
		simList, simShow, simReveal, simFleet, simAlerts, simJudge, simAdd, simImport, simSet, simProfile, simSuspend, simRestrict, simRules, simExceptions, simExcept, simPools, simAreas, simCredit)
}

func simList(k *conn) *cobra.Command {
	var f client.SIMFilter
	c := &cobra.Command{
		Use: "list", Short: "List SIMs", Args: exactArgs(0),
		Example: "  ringwall sim list --customer 'Water works' --separated",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.SIM, error) {
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.SIM], error) { return c.FindSIMs(ctx, f, p) })
		}, func(w io.Writer, ss []api.SIM) {
			row(w, "ICCID", "IMSI", "STATE", "SERVICES", "DEVICE", "CUSTOMER", "LAST USED", "ID")
			for _, s := range ss {
				row(w, s.ICCID, s.IMSI, stateOf(s), strings.Join(s.Services, ","), dash(string(s.Device)), dash(s.Customer), when(s.LastUsage), s.ID)
			}
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.State, "state", "", "active, suspended or unknown")
	fl.StringVar(&f.Customer, "customer", "", "of this customer")
	fl.StringVar(&f.Tariff, "tariff", "", "of this tariff")
	fl.StringVar(&f.Seller, "seller", "", "passed on by this intermediary")
	fl.StringVar(&f.Area, "area", "", "last used in this area")
	fl.BoolVar(&f.NoDevice, "nodevice", false, "in no device")
	fl.BoolVar(&f.Separated, "separated", false, "in other equipment than they are bound to")
	fl.BoolVar(&f.Silent, "silent", false, "used before, and not for a week")
	fl.BoolVar(&f.Never, "never", false, "never used")
	return c
}

// stateOf says what a card is, and what its operator was asked and has not
// answered.
func stateOf(s api.SIM) string {
	if s.Asked != "" {
		return s.State + " (asked to " + s.Asked + ")"
	}
	if s.Restriction != nil {
		return s.State + ", restricted"
	}
	return s.State
}

func simShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show SIM", Short: "Show all that is known of a SIM, by its id; its numbers are masked", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.SIMCard, error) {
			return c.SIMCard(ctx, ringwall.SIMID(args[0]))
		}, showCard),
	}
}

func simReveal(k *conn) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "reveal SIM --reason TEXT", Short: "Show the numbers of a SIM in clear; who asked and why is written down", Args: exactArgs(1),
		Long: `Show ICCID, IMSI and IMEIs of a SIM in clear. Who asked, when and why is written into the audit log and onto the
card's way before anything is shown. 20 an hour are shown to one person, 100 a day to an organisation. The reason
names a case, and no number.`,
		Example: "  ringwall sim reveal sim_06h0 --reason 'operator hotline, ticket 4711'",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.SIMNumbers, error) {
			return c.RevealSIM(ctx, ringwall.SIMID(args[0]), reason)
		}, func(w io.Writer, n api.SIMNumbers) {
			row(w, "ICCID", n.ICCID)
			row(w, "IMSI", n.IMSI)
			row(w, "bound to", dash(n.BoundIMEI))
			row(w, "seen in", dash(n.SeenIMEI))
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why they are needed (5 to 200 characters)")
	return c
}

// maxCard bounds the description of one card.
const maxCard = 64 << 10

func simAdd(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE|-", Short: "Register the SIM that a JSON file describes", Args: exactArgs(1),
		Long: `Register a SIM. Its numbers are read from a file or the standard input and not from flags, which others on the
machine can read; the platform seals them and shows them masked ("ringwall sim reveal" is the exception).

The file holds iccid, imsi and services ("data", "sms", "voice"), and may hold imei, device and peers.`,
		Example: `  echo '{"iccid":"8986…","imsi":"46004…","services":["data"]}' | ringwall sim add -`,
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.SIM, error) {
			in := k.env.Stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return api.SIM{}, ringwall.Errorf(ringwall.Invalid, "reading the card: %w", err)
				}
				defer f.Close()
				in = f
			}
			var card api.SIMCreate
			d := json.NewDecoder(io.LimitReader(in, maxCard))
			d.DisallowUnknownFields()
			if err := d.Decode(&card); err != nil {
				return api.SIM{}, ringwall.Errorf(ringwall.Invalid, "reading the card: %v", err)
			}
			return c.CreateSIM(ctx, card)
		}, func(w io.Writer, s api.SIM) { row(w, s.ID) }),
	}
}

func simSuspend(k *conn) *cobra.Command {
	var reason string
	var expiry time.Duration
	var trial bool
	c := &cobra.Command{
		Use: "suspend SIM", Short: "Ask the operator to suspend a SIM", Args: exactArgs(1),
		Long: `Ask the operator to suspend a SIM. "ringwall response undo" restores it.`,
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Response, error) {
			return c.CreateResponse(ctx, api.ResponseCreate{Kind: "sim-suspend", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: args[0]}, Reason: reason, Expiry: api.Duration(expiry), Trial: trial})
		}, showResponse),
	}
	c.Flags().DurationVar(&expiry, "for", 0, "how long; 0 = until it is undone")
	c.Flags().BoolVar(&trial, "dry-run", false, "tell what would be done, and do nothing")
	c.Flags().StringVar(&reason, "reason", "from the command line", "why; it is recorded")
	return c
}
