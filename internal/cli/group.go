package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newGroup(env Env) *cobra.Command {
	return noun(env, "group", "Groups of devices and their terms: list, show, add, set, delete", []string{"groups"}, groupList, groupShow, groupAdd, groupSet, groupDelete)
}

// group finds a group by its id or name.
func group(ctx context.Context, c *client.Client, name string) (api.Group, error) {
	all, err := c.Groups(ctx)
	if err != nil {
		return api.Group{}, err
	}
	return byNameOrID(all, "group", name, func(g api.Group) (string, string) { return string(g.ID), g.Name })
}

func groupList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List groups by name", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Group, error) { return c.Groups(ctx) },
			func(w io.Writer, gs []api.Group) {
				row(w, "NAME", "DEVICES", "TERMS", "SELECTS", "ROLLOUT", "ID")
				for _, g := range gs {
					row(w, g.Name, g.Devices, len(g.Terms), selectorText(g.Select), dash(string(g.Rollout)), g.ID)
				}
			}),
	}
}

func selectorText(s *api.Selector) string {
	if s == nil {
		return "-"
	}
	var parts []string
	for _, p := range [][2]string{{"type", s.Type}, {"vendor", s.Vendor}, {"model", s.Model}, {"gateway", string(s.Gateway)}, {"tag", s.Tag}} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	return strings.Join(parts, " ")
}

func groupShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show GROUP", Short: "Show a group: who is in it, and its terms", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (groupAnswer, error) {
			g, err := group(ctx, c, args[0])
			if err != nil {
				return groupAnswer{}, err
			}
			in, err := c.GroupDevices(ctx, g.ID)
			return groupAnswer{g, in}, err
		}, showGroup),
	}
}

type groupAnswer struct {
	api.Group
	In []api.Device `json:"in,omitempty"`
}

func showGroup(w io.Writer, a groupAnswer) {
	row(w, "id", a.ID)
	row(w, "name", a.Name)
	row(w, "note", dash(a.Note))
	row(w, "selects", selectorText(a.Select))
	row(w, "devices", a.Devices)
	if a.Rollout != "" {
		row(w, "rollout", a.Rollout)
	}
	for _, t := range a.Terms {
		row(w, "term", t.ID, termText(t))
	}
	for _, d := range a.In {
		row(w, "device", d.Name, d.ID)
	}
}

// groupFlags are what of a group can be said.
type groupFlags struct {
	name, note, file string
	sel              api.Selector
	gateway          string
	add, remove      []string
}

func (f *groupFlags) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.name, "name", "", "what people call it")
	fl.StringVar(&f.note, "note", "", "what it is for")
	fl.StringVar(&f.file, "terms", "", "JSON file with its terms (a list); - for the standard input. They are in force at once; see \"ringwall rollout\"")
	fl.StringSliceVar(&f.add, "add", nil, "device to put in by name, id or address; repeat")
	fl.StringSliceVar(&f.remove, "remove", nil, "device to take out; repeat")
	fl.StringVar(&f.sel.Type, "type", "", "put in all of a type, such as camera")
	fl.StringVar(&f.sel.Vendor, "vendor", "", "put in all of a vendor")
	fl.StringVar(&f.sel.Model, "model", "", "put in all of a model")
	fl.StringVar(&f.gateway, "gateway", "", "put in all behind a gateway (id)")
	fl.StringVar(&f.sel.Tag, "tag", "", "put in all with a tag; with several of these, only those that fulfil all")
}

func (f *groupFlags) patch(ctx context.Context, k *conn, cl *client.Client, c *cobra.Command, members []ringwall.DeviceID) (p api.GroupPatch, err error) {
	fl := c.Flags()
	if fl.Changed("name") {
		p.Name = &f.name
	}
	if fl.Changed("note") {
		p.Note = &f.note
	}
	if f.file != "" {
		terms := []api.Term{}
		if err := k.readDocument(f.file, "the terms", &terms); err != nil {
			return p, err
		}
		p.Terms = &terms
	}
	if slices.ContainsFunc([]string{"type", "vendor", "model", "gateway", "tag"}, fl.Changed) {
		f.sel.Gateway = ringwall.GatewayID(f.gateway)
		p.Select = &f.sel
	}
	if len(f.add)+len(f.remove) > 0 {
		for _, name := range f.add {
			id, err := deviceID(ctx, cl, name)
			if err != nil {
				return p, err
			}
			if !slices.Contains(members, id) {
				members = append(members, id)
			}
		}
		for _, name := range f.remove {
			id, err := deviceID(ctx, cl, name)
			if err != nil {
				return p, err
			}
			members = slices.DeleteFunc(members, func(m ringwall.DeviceID) bool { return m == id })
		}
		p.Members = &members
	}
	return p, nil
}

func groupAdd(k *conn) *cobra.Command {
	var f groupFlags
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a group", Args: exactArgs(1),
		Example: "  ringwall group add Cameras --type camera --terms cameras.json\n  ringwall group add Annex --add 10.77.0.10 --add 10.77.0.11",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (groupAnswer, error) {
		p, err := f.patch(ctx, k, cl, c, []ringwall.DeviceID{})
		if err != nil {
			return groupAnswer{}, err
		}
		p.Name = &args[0]
		g, err := cl.CreateGroup(ctx, p)
		return groupAnswer{Group: g}, err
	}, showGroup)
	f.flags(c)
	return c
}

func groupSet(k *conn) *cobra.Command {
	var f groupFlags
	c := &cobra.Command{
		Use: "set GROUP", Short: "Change a group; its terms are in force for all at once", Args: exactArgs(1),
		Example: "  ringwall group set Cameras --terms cameras.json",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (groupAnswer, error) {
		g, err := group(ctx, cl, args[0])
		if err != nil {
			return groupAnswer{}, err
		}
		p, err := f.patch(ctx, k, cl, c, g.Members)
		if err != nil {
			return groupAnswer{}, err
		}
		if p == (api.GroupPatch{}) {
			return groupAnswer{}, usagef("nothing is to be set; see --help")
		}
		g, err = cl.PatchGroup(ctx, g.ID, g.Version, p)
		return groupAnswer{Group: g}, err
	}, showGroup)
	f.flags(c)
	return c
}

func groupDelete(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "delete GROUP", Short: "Forget a group; its devices lose its terms", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (string, error) {
			g, err := group(ctx, c, args[0])
			if err != nil {
				return "", err
			}
			return g.Name, c.DeleteGroup(ctx, g.ID)
		}, func(w io.Writer, name string) { row(w, fmt.Sprintf("group %s is deleted", name)) }),
	}
}
