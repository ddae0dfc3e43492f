package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

func newIncident(env Env) *cobra.Command {
	return noun(env, "incident", "Incidents: list, show, close", []string{"incidents"}, incidentList, incidentShow, incidentClose)
}

func incidentList(k *conn) *cobra.Command {
	var every bool
	c := &cobra.Command{
		Use: "list", Short: "List open incidents, newest first", Args: exactArgs(0),
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Incident, error) {
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Incident], error) {
				return c.Incidents(ctx, client.IncidentFilter{Open: !every}, p)
			})
		}, func(w io.Writer, is []api.Incident) {
			row(w, "OPENED", "SEVERITY", "STAGE", "STATUS", "ABOUT", "ALERTS", "ID")
			for _, i := range is {
				row(w, when(i.Opened), i.Severity, i.Stage, i.Status, i.Name, i.AlertCount, i.ID)
			}
		}),
	}
	c.Flags().BoolVar(&every, "all", false, "resolved and closed ones too")
	return c
}

func incidentShow(k *conn) *cobra.Command {
	return &cobra.Command{
		Use: "show INCIDENT", Short: "Tell an incident's story with its evidence and responses", Args: exactArgs(1),
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Incident, error) {
			return c.Incident(ctx, ringwall.IncidentID(args[0]))
		}, showIncident),
	}
}

func showIncident(w io.Writer, i api.Incident) {
	row(w, "about", fmt.Sprintf("%s (%s)", i.Name, i.Subject.ID))
	row(w, "state", fmt.Sprintf("%s, severity %s, stage %s, %d alerts", i.Status, i.Severity, i.Stage, i.AlertCount))
	if i.Disposition != "" {
		row(w, "decided", i.Disposition)
	}
	for _, s := range i.Stages {
		seen := "not seen"
		if !s.First.IsZero() {
			seen = fmt.Sprintf("%s, %d alerts", when(s.First), s.Count)
		}
		row(w, s.Stage, seen)
	}
	fmt.Fprintln(w)
	for _, s := range i.Story {
		row(w, when(s.Time), s.Text)
	}
	fmt.Fprintln(w)
	for _, a := range i.Alerts {
		row(w, when(a.Time), fmt.Sprintf("%s %s: %s (%s; packets %v)", a.Severity, a.Rule, a.Title, a.Attack, a.Evidence.Packets))
	}
	for _, r := range i.Responses {
		row(w, when(r.Made), fmt.Sprintf("%s %s of %s: %s", r.Status, r.Kind, r.Target.ID, r.ID))
	}
}

func incidentClose(k *conn) *cobra.Command {
	var disposition, note string
	c := &cobra.Command{
		Use: "close INCIDENT", Short: "Decide what an incident was, and close it", Args: exactArgs(1),
		Example: "  ringwall incident close inc_… --disposition true",
		RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Incident, error) {
			if !slices.Contains([]string{"true", "benign", "false", "unknown"}, disposition) {
				return api.Incident{}, usagef("say what it was: --disposition true, benign, false or unknown")
			}
			status := "closed"
			p := api.IncidentPatch{Status: &status, Disposition: &disposition}
			if note != "" {
				p.Note = &note
			}
			return c.PatchIncident(ctx, ringwall.IncidentID(args[0]), p)
		}, func(io.Writer, api.Incident) {}),
	}
	c.Flags().StringVar(&disposition, "disposition", "", "true (an attack), benign (meant to be), false (a false alarm) or unknown")
	c.Flags().StringVar(&note, "note", "", "a note for the record")
	return c
}

func newResponse(env Env) *cobra.Command {
	return noun(env, "response", "Responses: list, approve, decline, undo", []string{"responses"}, responseList,
		responseDecide("approve", "Do what a response proposes"), responseDecide("decline", "Do not do what a response proposes"),
		responseDecide("undo", "Take back what a response did"))
}

func responseList(k *conn) *cobra.Command {
	var f client.ResponseFilter
	c := &cobra.Command{
		Use: "list", Short: "List responses, newest first", Args: exactArgs(0),
		Example: "  ringwall response list --status proposed",
		RunE: ask(k, func(ctx context.Context, c *client.Client, _ []string) ([]api.Response, error) {
			return all(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Response], error) {
				return c.Responses(ctx, f, p)
			})
		}, func(w io.Writer, rs []api.Response) {
			row(w, "MADE", "KIND", "STATUS", "TARGET", "BY", "REASON", "ID")
			for _, r := range rs {
				row(w, when(r.Made), r.Kind, r.Status, r.Target.ID, r.By, r.Reason, r.ID)
			}
		}),
	}
	c.Flags().StringVar(&f.Status, "status", "", "proposed, approved, declined, doing, done, failed, undone or expired")
	return c
}

func responseDecide(decision, short string) func(*conn) *cobra.Command {
	return func(k *conn) *cobra.Command {
		return &cobra.Command{
			Use: decision + " RESPONSE", Short: short, Args: exactArgs(1),
			RunE: ask(k, func(ctx context.Context, c *client.Client, args []string) (api.Response, error) {
				return c.DecideResponse(ctx, ringwall.ResponseID(args[0]), decision)
			}, func(w io.Writer, r api.Response) { row(w, r.ID, r.Kind, r.Status) }),
		}
	}
}
