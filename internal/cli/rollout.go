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

func newRollout(env Env) *cobra.Command {
	return noun(env, "rollout", "Changes of policy by stages: start, list, show, stop, resume", []string{"rollouts"},
		rolloutStart, rolloutList, rolloutShow, rolloutDecide("stop", "Stop a rollout and undo it"), rolloutDecide("resume", "Let a rollout that was stopped go on at the stage where it was"))
}

func rolloutStart(k *conn) *cobra.Command {
	var in api.RolloutStart
	var groupName, templateName, file, mode string
	var soak time.Duration
	c := &cobra.Command{
		Use: "start", Short: "Put a change in force by stages, and stop by itself when it breaks something", Args: exactArgs(0),
		Long: `Put a change in force by stages: new terms of a group, the mode of a group's devices, or the newest version of a
template at the gateways that have it.

Each stage covers a share of the devices, always the same ones, and is watched while it soaks. When an end that was
allowed before is refused, the rollout stops and is undone; "resume" lets it go on after it was mended.`,
		Example: "  ringwall rollout start --group Cameras --terms cameras.json --stage 5 --stage 25 --stage 100 --soak 2h\n  ringwall rollout start --group Cameras --mode enforce\n  ringwall rollout start --template \"Branch office\" --soak 10m",
	}
	c.RunE = ask(k, func(ctx context.Context, cl *client.Client, _ []string) (api.Rollout, error) {
		in.Soak = api.Duration(soak)
		switch {
		case templateName != "" && groupName == "" && file == "" && mode == "":
			t, err := siteTemplate(ctx, cl, templateName)
			if err != nil {
				return api.Rollout{}, err
			}
			in.Change.Template = t.ID
		case groupName != "" && templateName == "" && (file == "") != (mode == ""):
			g, err := group(ctx, cl, groupName)
			if err != nil {
				return api.Rollout{}, err
			}
			in.Change.Group = g.ID
			if mode != "" {
				in.Change.Mode = new(ringwall.Mode)
				if err := in.Change.Mode.UnmarshalText([]byte(mode)); err != nil {
					return api.Rollout{}, usageError{err}
				}
				break
			}
			terms := []api.Term{}
			if err := k.readDocument(file, "the terms", &terms); err != nil {
				return api.Rollout{}, err
			}
			in.Change.Terms = &terms
		default:
			return api.Rollout{}, usagef("say --template, or --group with --terms or --mode")
		}
		return cl.StartRollout(ctx, in)
	}, showRollout)
	fl := c.Flags()
	fl.StringVar(&in.Name, "name", "", "what people call it; the group's or template's name without")
	fl.StringVar(&groupName, "group", "", "group whose terms or mode change")
	fl.StringVar(&file, "terms", "", "JSON file with the group's new terms (a list); - for the standard input")
	fl.StringVar(&mode, "mode", "", "mode of the group's devices: shadow or enforce")
	fl.StringVar(&templateName, "template", "", "template whose newest version its gateways get")
	fl.IntSliceVar(&in.Stages, "stage", nil, "percent of the devices, rising to 100; repeat. 5, 25, 100 without")
	fl.DurationVar(&soak, "soak", time.Hour, "how long each stage is watched")
	fl.IntVar(&in.Stop.Ends, "ends", 0, "broken ends at which it stops; 1 without")
	fl.IntVar(&in.Stop.Refusals, "refusals", 0, "refused packets that make an end a broken one; 3 without")
	fl.BoolVar(&in.Stop.Never, "never-stop", false, "go on whatever breaks")
	return c
}

func rolloutText(r api.Rollout) string {
	if r.Status != api.RolloutRunning {
		return r.Status
	}
	return fmt.Sprintf("stage %d of %d: %d %%", r.Stage+1, len(r.Stages), r.Stages[min(r.Stage, len(r.Stages)-1)])
}

func rolloutList(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List rollouts, newest first", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Rollout, error) {
			return all(ctx, c.Rollouts)
		},
			func(w io.Writer, rs []api.Rollout) {
				row(w, "NAME", "STATE", "COVERS", "MADE", "WHY", "ID")
				for _, r := range rs {
					row(w, r.Name, rolloutText(r), fmt.Sprintf("%d of %d", r.Covered, r.Total), when(r.Made), dash(r.Why), r.ID)
				}
			}),
	}
}

func rolloutShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show ROLLOUT", Short: "Show a rollout: its stage, who has it, what broke", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Rollout, error) {
			return c.Rollout(ctx, ringwall.RolloutID(args[0]))
		}, showRollout),
	}
}

func showRollout(w io.Writer, r api.Rollout) {
	row(w, "id", r.ID)
	row(w, "name", r.Name)
	what := ""
	switch {
	case r.Change.Template != "":
		what = fmt.Sprintf("version %d of template %s", r.Change.Version, r.Change.Template)
	case r.Change.Mode != nil:
		what = fmt.Sprintf("mode %s of group %s", r.Change.Mode, r.Change.Group)
	case r.Change.Terms != nil:
		what = fmt.Sprintf("%d terms of group %s", len(*r.Change.Terms), r.Change.Group)
	}
	row(w, "change", what)
	row(w, "state", rolloutText(r))
	row(w, "stages", r.Stages)
	row(w, "covers", fmt.Sprintf("%d of %d", r.Covered, r.Total))
	row(w, "soak", time.Duration(r.Soak))
	row(w, "in force since", when(r.Since))
	for _, g := range r.Waiting {
		row(w, "waits for", g)
	}
	if r.Why != "" {
		row(w, "why", r.Why)
	}
	for _, b := range r.Broken {
		row(w, "broken", fmt.Sprintf("%s %s %s %s %s, %d times, allowed before by %s", b.Name, b.Flow.Direction, b.Flow.Proto, b.Flow.Remote, b.Flow.Name, b.Count, b.Was))
	}
	for _, s := range r.Log {
		row(w, when(s.Time), s.What, fmt.Sprintf("stage %d", s.Stage+1), dash(s.By), s.Why)
	}
}

func rolloutDecide(decision, short string) func(*conn) *cobra.Command {
	return func(k *conn) *cobra.Command {
		var reason string
		c := &cobra.Command{
			Use: decision + " ROLLOUT", Short: short, Args: exactArgs(1),
			RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Rollout, error) {
				return c.DecideRollout(ctx, ringwall.RolloutID(args[0]), api.RolloutDecision{Decision: decision, Reason: reason})
			}, showRollout),
		}
		c.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
		return c
	}
}
