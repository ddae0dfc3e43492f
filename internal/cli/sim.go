package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newSIM(env Env) *cobra.Command {
	return noun(env, "sim", "SIMs: list, show, add, profile, suspend", []string{"sims"}, simList, simShow, simAdd, simProfile, simSuspend)
}

func simList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List SIMs", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.SIM, error) { return all(ctx, c.SIMs) },
			func(w io.Writer, ss []api.SIM) {
				row(w, "ICCID", "IMSI", "STATE", "SERVICES", "DEVICE", "LAST USED", "ID")
				for _, s := range ss {
					row(w, s.ICCID, s.IMSI, s.State, strings.Join(s.Services, ","), s.Device, when(s.LastUsage), s.ID)
				}
			}),
	}
}

func simShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show SIM", Short: "Show a SIM by its id; its numbers are masked", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.SIM, error) {
			return c.SIM(ctx, ringwall.SIMID(args[0]))
		}, func(w io.Writer, s api.SIM) {
			row(w, "id", s.ID)
			row(w, "ICCID", s.ICCID)
			row(w, "IMSI", s.IMSI)
			row(w, "bound to", s.BoundIMEI)
			row(w, "seen in", s.SeenIMEI)
			row(w, "device", s.Device)
			row(w, "state", s.State)
			row(w, "services", strings.Join(s.Services, ", "))
			row(w, "peers", strings.Join(s.Peers, ", "))
			row(w, "usage", fmt.Sprintf("%d bytes in %d records, last %s", s.Bytes, s.Records, when(s.LastUsage)))
		}),
	}
}

// maxCard bounds the description of one card.
const maxCard = 64 << 10

func simAdd(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE|-", Short: "Register the SIM that a JSON file describes", Args: exactArgs(1),
		Long: `Register a SIM. Its numbers are read from a file or the standard input and not from flags, which others on the
machine can read; the platform seals them and never gives them back.

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
	c := &cobra.Command{
		Use: "suspend SIM", Short: "Ask the operator to suspend a SIM", Args: exactArgs(1),
		Long: `Ask the operator to suspend a SIM. "ringwall response undo" restores it.`,
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Response, error) {
			return c.CreateResponse(ctx, api.ResponseCreate{Kind: "sim-suspend", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: args[0]}, Reason: reason})
		}, func(w io.Writer, r api.Response) { row(w, r.ID, r.Kind, r.Status) }),
	}
	c.Flags().StringVar(&reason, "reason", "from the command line", "why; it is recorded")
	return c
}
