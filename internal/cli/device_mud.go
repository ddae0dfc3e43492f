package cli

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

// mudExplain tells what a description would do before anybody decides.
func mudExplain(k *conn) *cobra.Command {
	var file, signature string
	c := mudVerb(k, "explain", "Tell what the description that waits, or a file, would newly allow and refuse; nothing is changed",
		func(ctx context.Context, c *client.Client, id ringwall.DeviceID) (api.MUDPreview, error) {
			var in api.MUDPut
			for name, to := range map[string]*[]byte{file: &in.File, signature: &in.Signature} {
				if name == "" {
					continue
				}
				b, err := readBounded(name)
				if err != nil {
					return api.MUDPreview{}, err
				}
				*to = b
			}
			return c.ExplainMUD(ctx, id, in)
		}, func(w io.Writer, p api.MUDPreview) {
			row(w, "signature", dash(p.State.Signature), p.State.Signer)
			for _, n := range p.State.Notes {
				row(w, "note", n)
			}
			row(w, "narrow would change", "")
			showChange(w, p.Narrow)
			row(w, "approve would change", "")
			showChange(w, p.Approve)
		})
	c.Flags().StringVar(&file, "file", "", "a description that is not handed in")
	c.Flags().StringVar(&signature, "signature", "", "with --file: its detached signature (CMS)")
	return c
}

func mudTasks(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "tasks", Short: "List the descriptions that wait for a person", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.MUDTask, error) { return c.MUDTasks(ctx) }, func(w io.Writer, ts []api.MUDTask) {
			row(w, "DEVICE", "WAITS BECAUSE", "SIGNATURE", "URL", "ID")
			for _, t := range ts {
				row(w, t.Name, strings.Join(t.State.Waits, ", "), dash(t.State.Signature), t.State.URL, t.State.Device)
			}
		}),
	}
}

// mudRoots shows and sets whose signatures of descriptions are trusted.
func mudRoots(k *conn) *cobra.Command {
	var file, ask1 string
	var none bool
	c := &cobra.Command{
		Use: "roots", Short: "Show who may vouch for signers of descriptions, or set it (administrators)", Args: exactArgs(0),
		Long: `Show who may vouch for signers of usage descriptions: the file that the platform was started with (--mud-roots), and the
organisation's own certificates. --set replaces the organisation's by a PEM file. What is set is recorded.

A signature reads valid only below one of these. With none, every signature that holds reads unknown-signer.`,
		Example: "  ringwall device mud roots --set makers.pem",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, _ []string) (api.MUDSettings, error) {
		s, err := cl.MUDSettings(ctx)
		if err != nil || file == "" && !none && ask1 == "" {
			return s, err
		}
		switch {
		case file != "" && none:
			return s, usagef("--set and --none exclude each other")
		case none:
			s.Roots = ""
		case file != "":
			b, err := readBounded(file)
			if err != nil {
				return s, err
			}
			s.Roots = string(b)
		}
		switch ask1 {
		case "":
		case "ask", "alone":
			s.Ask = ask1 == "ask"
		default:
			return s, usagef("newer files that only take away ask or come alone, not %q", ask1)
		}
		s.Trusted = nil // it is told, not set
		return cl.PutMUDSettings(ctx, s)
	}, func(w io.Writer, s api.MUDSettings) {
		row(w, "VOUCHES", "UNTIL", "FROM", "SHA-256")
		for _, r := range s.Trusted {
			row(w, r.Subject, day(r.Until), r.From, r.Digest)
		}
		if len(s.Trusted) == 0 {
			row(w, "nobody: every signature that holds reads unknown-signer")
		}
		if s.Ask {
			row(w, "newer files that only take away wait for a person")
		}
	})
	fl := c.Flags()
	fl.StringVar(&file, "set", "", "PEM file with the organisation's roots, in the place of those that there are")
	fl.BoolVar(&none, "none", false, "take the organisation's roots away")
	fl.StringVar(&ask1, "narrowing", "", "of newer files that only take away: alone (in force by themselves) or ask")
	return c
}
