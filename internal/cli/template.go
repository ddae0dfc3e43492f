package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newTemplate(env Env) *cobra.Command {
	return noun(env, "template", "Settings of sites: list, show, put, apply", []string{"templates"}, templateList, templateShow, templatePut, templateApply)
}

func siteTemplate(ctx context.Context, c *client.Client, name string) (api.Template, error) {
	all, err := c.Templates(ctx)
	if err != nil {
		return api.Template{}, err
	}
	return byNameOrID(all, "template", name, func(t api.Template) (string, string) { return string(t.ID), t.Name })
}

func templateList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List templates by name", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Template, error) {
			return c.Templates(ctx)
		},
			func(w io.Writer, ts []api.Template) {
				row(w, "NAME", "VERSION", "GATEWAYS", "BEHIND", "DRIFTED", "ID")
				for _, t := range ts {
					row(w, t.Name, t.Version, t.Gateways, t.Behind, t.Drifted, t.ID)
				}
			}),
	}
}

func templateShow(k *conn) *cobra.Command {
	var version int
	c := &cobra.Command{
		Use: "show TEMPLATE", Short: "Show a template as JSON, as \"put\" reads it", Args: exactArgs(1),
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (api.Template, error) {
		t, err := siteTemplate(ctx, cl, args[0])
		if err != nil || version == 0 {
			return t, err
		}
		return cl.Template(ctx, t.ID, version)
	}, func(w io.Writer, t api.Template) {
		row(w, "id", t.ID)
		row(w, "name", t.Name)
		row(w, "version", fmt.Sprintf("%d of %s by %s", t.Version, when(t.Made), t.By))
		row(w, "gateways", fmt.Sprintf("%d, %d of them with an older version, %d set otherwise", t.Gateways, t.Behind, t.Drifted))
		s := t.Site
		if s.Arrival != nil {
			row(w, "new devices", *s.Arrival)
		}
		if s.Resolver != nil {
			row(w, "resolver", *s.Resolver)
		}
		if s.LocalNets != nil {
			row(w, "networks", *s.LocalNets)
		}
		if s.Groups != nil {
			row(w, "groups", *s.Groups)
		}
		if s.Use != nil {
			row(w, "use", *s.Use)
		}
		if s.ReflexLimit != nil {
			row(w, "reflex limit", *s.ReflexLimit)
		}
		if s.MaxAge != nil {
			row(w, "maximum age", time.Duration(*s.MaxAge))
		}
		if s.Confirm != nil {
			row(w, "confirm within", time.Duration(*s.Confirm))
		}
		if s.Controllers != nil {
			for _, c := range *s.Controllers {
				row(w, "controller", c.Role, fmt.Sprint(c.Nets, c.Domains, c.Devices))
			}
		}
		if s.Terms != nil {
			for _, t := range *s.Terms {
				row(w, "term", t.ID, termText(t))
			}
		}
		if s.Remediate != nil {
			for _, t := range *s.Remediate {
				row(w, "remediation", t.ID, termText(t))
			}
		}
	})
	c.Flags().IntVar(&version, "version", 0, "an older version; the newest without")
	return c
}

func templatePut(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "put NAME FILE|-", Short: "Make a template, or its next version, of a JSON file", Args: exactArgs(2),
		Long: `Make a template, or its next version. Gateways that have it keep their version until "template apply" or "rollout start
--template" gives them this one.

The file may set arrival, resolver, localNets, remediation, controllers, groups (ids), terms, use, reflexLimit, maxAge
and confirm; what it does not set a gateway keeps.`,
		Example: `  echo '{"arrival":"enforce","resolver":"192.0.2.53:53","maxAge":"720h"}' | ringwall template put "Branch office" -`,
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Template, error) {
			in := api.TemplatePut{Name: args[0]}
			if err := k.readDocument(args[1], "the template", &in.Site); err != nil {
				return api.Template{}, err
			}
			t, err := siteTemplate(ctx, c, args[0])
			if err != nil && ringwall.CodeOf(err) != ringwall.NotFound {
				return t, err
			}
			if err == nil {
				in.Name = t.Name
			}
			return c.PutTemplate(ctx, t.ID, in)
		}, func(w io.Writer, t api.Template) { row(w, t.Name, "version", t.Version, t.ID) }),
	}
}

func templateApply(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "apply TEMPLATE GATEWAY...", Short: "Give gateways the newest version of a template at once", Args: cobra.MinimumNArgs(2),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) ([]api.Gateway, error) {
			t, err := siteTemplate(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			out := []api.Gateway{}
			for _, id := range args[1:] {
				g, err := c.PatchGateway(ctx, ringwall.GatewayID(id), api.GatewayPatch{Template: &t.ID})
				if err != nil {
					return out, err
				}
				out = append(out, g)
			}
			return out, nil
		}, func(w io.Writer, gs []api.Gateway) {
			for _, g := range gs {
				row(w, g.Name, "version", g.TemplateVersion, g.ID)
			}
		}),
	}
}

// gatewayEnrol makes what enrols many gateways.
func gatewayEnrol(k *conn) *cobra.Command {
	var file string
	var life time.Duration
	var each bool
	c := &cobra.Command{
		Use: "enrol --bulk FILE", Short: "Make one token, or one each, that enrols the gateways of a manifest", Args: exactArgs(0),
		Long: `Make what enrols the gateways of a manifest: one token that is good for each of its lines, once, or with --each a
one-time token a line. It is printed this once.

The manifest is CSV with a header: name, and as far as wanted serial, template, groups (several with ;). A gateway takes
the line of the serial number that it enrols with, or, where a line has none, of its name, and gets the
line's name, template and groups.`,
		Example: "  ringwall gateway enrol --bulk branches.csv --life 168h > token\n  ringwall gateway enrol --bulk branches.csv --each > tokens.csv",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, _ []string) (bulkAnswer, error) {
		if file == "" {
			return bulkAnswer{}, usagef("name the manifest with --bulk; one gateway is enrolled with \"ringwall gateway token\"")
		}
		lines, err := k.readManifest(file)
		if err != nil {
			return bulkAnswer{}, err
		}
		t, err := cl.BulkEnrol(ctx, api.BulkEnrol{Lines: lines, Life: api.Duration(life), Each: each})
		return bulkAnswer{t, lines}, err
	}, func(w io.Writer, a bulkAnswer) {
		if !each {
			fmt.Fprintln(w, a.Tokens[0].Token)
		} else {
			for i, t := range a.Tokens {
				fmt.Fprintf(w, "%s,%s,%s\n", csvCell(a.lines[i].Name), csvCell(a.lines[i].Serial), t.Token)
			}
		}
		fmt.Fprintf(k.env.Stderr, "ringwall: good for %d gateways until %s\n", a.Lines, when(a.Tokens[0].Expires))
		if pin := a.Tokens[0].CAPin; pin != "" {
			fmt.Fprintf(k.env.Stderr, "ringwall: hint: the platform's authority has the pin %s (ringwall-agent enrol -pin)\n", pin)
		}
	})
	fl := c.Flags()
	fl.StringVar(&file, "bulk", "", "manifest (CSV); - for the standard input")
	fl.DurationVar(&life, "life", 24*time.Hour, "how long it waits, up to 720h")
	fl.BoolVar(&each, "each", false, "a one-time token for each line, as CSV: name, serial, token")
	return c
}

type bulkAnswer struct {
	api.BulkTokens
	lines []api.BulkLine
}

func csvCell(s string) string {
	if strings.ContainsAny(s, ",\"\r\n") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// readManifest reads a CSV of gateways to come.
func (k *conn) readManifest(file string) ([]api.BulkLine, error) {
	in := k.env.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading the manifest: %w", err)
		}
		defer f.Close()
		in = f
	}
	return parseManifest(io.LimitReader(in, maxDocument))
}

// parseManifest reads the lines of a manifest. The error names the line.
func parseManifest(in io.Reader) ([]api.BulkLine, error) {
	r := csv.NewReader(in)
	r.TrimLeadingSpace = true
	head, err := r.Read()
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the manifest: %v", err)
	}
	columns := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains([]string{"name", "serial", "template", "groups"}, name) {
			return nil, ringwall.Errorf(ringwall.Invalid, "manifest: column %.40q is none of name, serial, template, groups", name)
		}
		if _, twice := columns[name]; twice {
			return nil, ringwall.Errorf(ringwall.Invalid, "manifest: column %q is there twice", name)
		}
		columns[name] = i
	}
	if _, ok := columns["name"]; !ok {
		return nil, ringwall.Errorf(ringwall.Invalid, "manifest: there is no column name")
	}
	cell := func(fields []string, name string) string {
		if i, ok := columns[name]; ok {
			return strings.TrimSpace(fields[i])
		}
		return ""
	}
	var out []api.BulkLine
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "reading the manifest: %v", err)
		}
		if len(out) == api.MaxBulk {
			return nil, ringwall.Errorf(ringwall.Invalid, "the manifest has more than %d lines", api.MaxBulk)
		}
		l := api.BulkLine{Name: cell(fields, "name"), Serial: cell(fields, "serial"), Template: cell(fields, "template")}
		for g := range strings.SplitSeq(cell(fields, "groups"), ";") {
			if g = strings.TrimSpace(g); g != "" {
				l.Groups = append(l.Groups, g)
			}
		}
		out = append(out, l)
	}
}
