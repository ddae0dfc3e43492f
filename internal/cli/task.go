package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newTask(env Env) *cobra.Command {
	return noun(env, "task", "Tasks that would better grades: list, show, do, doing, accept, reopen", []string{"tasks"},
		taskList, taskShow, taskDo,
		taskState("doing", "doing", "Say that somebody is at a task"),
		taskState("accept", "accepted", "Take the risk: the task is asked of nobody"),
		taskState("reopen", "open", "Ask for a task again"))
}

func taskList(k *conn) *cobra.Command {
	var f client.RemedialFilter
	var device, party string
	var every bool
	c := &cobra.Command{
		Use: "list", Short: "List open tasks, newest first", Args: exactArgs(0),
		Example: "  ringwall task list --device \"Front door camera\" --party owner",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Remedial, error) {
			f := f
			if every {
				f.Status = ""
			}
			f.Party = ringwall.Part(party)
			if device != "" {
				id, err := deviceID(ctx, c, device)
				if err != nil {
					return nil, err
				}
				f.Device = id
			}
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Remedial], error) {
				return c.Remedials(ctx, f, p)
			})
		}, func(w io.Writer, rs []api.Remedial) {
			row(w, "STATUS", "INDICATOR", "PARTY", "EFFORT", "DUE", "ONE ACT", "TASK", "DEVICE", "ID")
			for _, r := range rs {
				row(w, r.Status, r.Indicator, r.Party, r.Effort, day(r.Due), dash(r.Do), r.Remedy, r.Device, r.ID)
			}
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.Status, "status", "open", "open, doing, accepted or done")
	fl.BoolVar(&every, "all", false, "whatever their status")
	fl.StringVar(&device, "device", "", "only of this device")
	fl.StringVar(&party, "party", "", "only of this party: manufacturer, provider, integrator or owner")
	return c
}

// task finds one task by its id.
func task(ctx context.Context, c *client.Client, id string) (api.Remedial, error) {
	list := func(ctx context.Context, p client.Paging) (api.Page[api.Remedial], error) {
		return c.Remedials(ctx, client.RemedialFilter{}, p)
	}
	for r, err := range client.All(ctx, list) {
		if err != nil {
			return api.Remedial{}, err
		}
		if string(r.ID) == id {
			return r, nil
		}
	}
	return api.Remedial{}, &ringwall.Error{Code: ringwall.NotFound, Text: fmt.Sprintf("no task %q", id), Hint: `see "ringwall task list --all"`}
}

func taskShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show TASK", Short: "Show a task: what is to be done, because of what, by whom", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Remedial, error) {
			return task(ctx, c, args[0])
		}, showTask),
	}
}

func showTask(w io.Writer, r api.Remedial) {
	row(w, "id", r.ID)
	row(w, "task", r.Remedy)
	row(w, "because", r.Indicator+" "+r.Title)
	row(w, "device", r.Device)
	row(w, "party", r.Party)
	row(w, "effort", r.Effort)
	row(w, "status", fmt.Sprintf("%s, opened %s, due %s", r.Status, when(r.Opened), day(r.Due)))
	if r.Do != "" {
		row(w, "one act", strings.TrimSpace(r.Do+" "+r.Target))
	}
	if r.Note != "" {
		row(w, "note", r.Note)
	}
}

// taskState says of a task what only people can say; that it is done is measured.
func taskState(verb, status, short string) func(*conn) *cobra.Command {
	return func(k *conn) *cobra.Command {
		var note, due string
		c := &cobra.Command{Use: verb + " TASK", Short: short, Args: exactArgs(1)}
		c.RunE = ask(k, func(ctx context.Context, cl *client.Client, args []string) (api.Remedial, error) {
			p := api.RemedialPatch{Status: &status}
			if c.Flags().Changed("note") {
				p.Note = &note
			}
			if due != "" {
				at, err := time.Parse(time.DateOnly, due)
				if err != nil {
					return api.Remedial{}, usagef("--due %q is no day such as 2027-01-31", due)
				}
				p.Due = &at
			}
			return cl.PatchRemedial(ctx, ringwall.RemedialID(args[0]), p)
		}, func(io.Writer, api.Remedial) {})
		c.Flags().StringVar(&note, "note", "", "a note beside it; it is kept")
		c.Flags().StringVar(&due, "due", "", "by which day, such as 2027-01-31")
		return c
	}
}

func taskDo(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "do TASK", Short: "Have the platform do a task: replace a default password, close a port", Args: exactArgs(1),
		Long: `Do has the platform do what a task asks for, where it can: replace a default
password by ONVIF, or close a port at the gateway. Then it assesses the device
again. A new password is printed once, on the standard output, and kept nowhere.`,
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.RemedialDone, error) {
			d, err := c.DoRemedial(ctx, ringwall.RemedialID(args[0]))
			if err == nil && d.Secret != "" {
				fmt.Fprintln(k.env.Stderr, "ringwall: keep this password: it is shown this once and stored nowhere")
			}
			return d, err
		}, func(w io.Writer, d api.RemedialDone) {
			row(w, "status", d.Remedial.Status)
			if d.Secret != "" {
				row(w, "account", d.Account)
				row(w, "password", d.Secret)
			}
			if d.Response != "" {
				row(w, "response", d.Response)
			}
			if d.Assess != "" {
				row(w, "assessment", d.Assess)
			}
		}),
	}
}

// day writes a day for people: "-" for none.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateOnly)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
