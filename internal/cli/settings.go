package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newSettings(env Env) *cobra.Command {
	return noun(env, "settings", "What the organisation lays down about assessing: show, gate, ranges, laboratory", nil,
		settingsShow, settingsGate, settingsRanges, settingsLaboratory)
}

func settingsShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the gate, the registered networks, the laboratories and the platform's evidence key", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) (api.AssessSettings, error) {
			return c.AssessSettings(ctx)
		}, func(w io.Writer, s api.AssessSettings) {
			row(w, "gate", gateText(s.Gate))
			for _, p := range s.Ranges.Prefixes {
				row(w, "network", p)
			}
			for _, l := range s.Laboratories {
				row(w, "laboratory", l.Name, hex.EncodeToString(l.Key))
			}
			row(w, "evidence key", hex.EncodeToString(s.EvidenceKey))
		}),
	}
}

func gateText(g api.Gate) string {
	switch {
	case g.Worst == ringwall.Ungraded:
		return "none"
	case g.Ungraded:
		return g.Worst.String() + " or better, and what has no grade"
	}
	return g.Worst.String() + " or better"
}

// readGate reads the worst grade of a gate; "none" is none.
func readGate(worst string, ungraded bool) (api.Gate, error) {
	g := api.Gate{Ungraded: ungraded}
	if worst == "none" {
		return api.Gate{}, nil
	}
	if err := g.Worst.UnmarshalText([]byte(worst)); err != nil || g.Worst == ringwall.Ungraded {
		return g, usagef("a gate is low, medium, high or none, not %q", worst)
	}
	return g, nil
}

// lay changes the settings as they are now.
func lay(ctx context.Context, c *client.Client, change func(*api.AssessSettings) error) (api.AssessSettings, error) {
	s, err := c.AssessSettings(ctx)
	if err != nil {
		return s, err
	}
	if err := change(&s); err != nil {
		return s, err
	}
	s.EvidenceKey = nil // it is told, not set
	return c.PutAssessSettings(ctx, s)
}

func quiet(io.Writer, api.AssessSettings) {}

func settingsGate(k *conn) *cobra.Command {
	var ungraded bool
	c := &cobra.Command{
		Use: "gate low|medium|none", Short: "Set the worst grade with which a device may go online", Args: exactArgs(1),
		Example: "  ringwall settings gate medium --ungraded",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.AssessSettings, error) {
			g, err := readGate(args[0], ungraded)
			if err != nil {
				return api.AssessSettings{}, err
			}
			return lay(ctx, c, func(s *api.AssessSettings) error { s.Gate = g; return nil })
		}, quiet),
	}
	c.Flags().BoolVar(&ungraded, "ungraded", false, "let devices pass that have no grade yet")
	return c
}

func settingsRanges(k *conn) *cobra.Command {
	var remove bool
	c := &cobra.Command{
		Use: "ranges NETWORK...", Short: "Register networks as one's own, so that what is in them is assessed",
		Example: "  ringwall settings ranges 192.168.1.0/24 fd00:1::/64",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s takes networks such as 192.168.1.0/24", c.CommandPath())
			}
			return nil
		},
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.AssessSettings, error) {
			var ps []netip.Prefix
			for _, a := range args {
				p, err := netip.ParsePrefix(a)
				if err != nil {
					return api.AssessSettings{}, usagef("%q is no network such as 192.168.1.0/24", a)
				}
				ps = append(ps, p.Masked())
			}
			return lay(ctx, c, func(s *api.AssessSettings) error {
				s.Ranges.Prefixes = slices.DeleteFunc(slices.Clone(s.Ranges.Prefixes), func(p netip.Prefix) bool { return slices.Contains(ps, p) })
				if !remove {
					s.Ranges.Prefixes = append(s.Ranges.Prefixes, ps...)
				}
				return nil
			})
		}, quiet),
	}
	c.Flags().BoolVar(&remove, "remove", false, "take them out of the register")
	return c
}

func settingsLaboratory(k *conn) *cobra.Command {
	var key string
	var remove bool
	c := &cobra.Command{
		Use: "laboratory NAME", Short: "Believe a laboratory's signed results, or no longer", Args: exactArgs(1),
		Example: "  ringwall settings laboratory probe-lab --key probe-lab.pub",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.AssessSettings, error) {
			lab := api.Laboratory{Name: args[0]}
			if !remove {
				if key == "" {
					return api.AssessSettings{}, usagef("name the laboratory's public key with --key, or give --remove")
				}
				pub, err := laboratoryKey(key)
				if err != nil {
					return api.AssessSettings{}, err
				}
				lab.Key = pub
			}
			return lay(ctx, c, func(s *api.AssessSettings) error {
				old := len(s.Laboratories)
				s.Laboratories = slices.DeleteFunc(slices.Clone(s.Laboratories), func(l api.Laboratory) bool { return l.Name == lab.Name })
				if remove && len(s.Laboratories) == old {
					return ringwall.Errorf(ringwall.NotFound, "no laboratory %q is believed", lab.Name)
				}
				if !remove {
					s.Laboratories = append(s.Laboratories, lab)
				}
				return nil
			})
		}, quiet),
	}
	c.Flags().StringVar(&key, "key", "", "file with its Ed25519 public key (PEM)")
	c.Flags().BoolVar(&remove, "remove", false, "believe it no longer")
	return c
}

func laboratoryKey(file string) (ed25519.PublicKey, error) {
	der, err := readPEM(file, "PUBLIC KEY")
	if err != nil {
		return nil, gone(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	pub, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s holds no Ed25519 public key", file)
	}
	return pub, nil
}

func newMaker(env Env) *cobra.Command {
	return noun(env, "maker", "Manufacturers and how their devices fare here: list", []string{"makers"}, makerList)
}

func makerList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Score manufacturers by their devices here, the worst first", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.MakerScore, error) {
			return c.Makers(ctx)
		}, func(w io.Writer, ms []api.MakerScore) {
			row(w, "MAKER", "SCORE", "BETWEEN", "DEVICES", "HIGH", "MEDIUM", "LOW")
			for _, m := range ms {
				row(w, m.Name, fmt.Sprintf("%.0f", m.Score), fmt.Sprintf("%.0f-%.0f", m.Least, m.Most), m.Devices, m.High, m.Medium, m.Low)
			}
		}),
	}
}

func newFleet(env Env) *cobra.Command {
	return noun(env, "fleet", "All devices of the organisation: report", nil, fleetReport)
}

func fleetReport(k *conn) *cobra.Command {
	var o reportFile
	c := &cobra.Command{
		Use: "report", Short: "Compare the devices: grades, makers, sites, shared weaknesses, trend", Args: exactArgs(0),
		Example: "  ringwall fleet report --format html -o fleet.html",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.write(k, cmd, func(ctx context.Context, c *client.Client) ([]byte, error) {
				return c.FleetReport(ctx, o.format, o.language)
			})
		},
	}
	o.flags(c, "csv", "html", "csv", "trend")
	return c
}
