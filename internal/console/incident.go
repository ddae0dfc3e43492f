package console

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

type incidentsPage struct {
	page
	Items []api.Incident
	All   bool
	Next  string
}

func (*incidentsPage) template() string { return "incidents" }

func incidents(q *request) (view, error) {
	v := q.URL.Query()
	all := v.Get("all") != ""
	list, err := q.c.svc.Incidents(q.Context(), q.actor, httpapi.IncidentFilter{Open: !all}, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("incidents.title"), []string{"kind:incident"}
	return &incidentsPage{page: q.page, Items: list.Items, All: all, Next: next(v, list.Next)}, nil
}

type incidentPage struct {
	page
	api.Incident
	Chain     []stage
	Told      []told
	Rows      []responseRow
	SubjectAt string
	Open      bool
	SIMName   string
	Dispose   []string
}

func (*incidentPage) template() string { return "incident" }

// stage is one stage of the kill chain as it is drawn.
type stage struct {
	Name    string
	Reached bool
	Last    bool // the furthest reached
	First   time.Time
	After   time.Duration // since the first stage that was reached
	Count   int
}

// told is one line of the story in the reader's language.
type told struct {
	Time time.Time
	Text string
	Ref  string
}

func incident(q *request) (view, error) {
	i, err := q.c.svc.Incident(q.Context(), q.actor, ringwall.IncidentID(q.PathValue("id")))
	if err != nil {
		return nil, err
	}
	q.page.Title = q.page.L.T("incident.title", "name", i.Name)
	q.page.Live = []string{string(i.ID), i.Subject.ID, string(i.SIM)}
	q.page.Path = "/incidents/" + string(i.ID)
	q.names[i.Subject.ID] = i.Name
	p := &incidentPage{
		Incident: i, Chain: chain(i), SubjectAt: link(i.Subject), Open: i.Status != "resolved" && i.Status != "closed",
		Dispose: []string{"true", "benign", "false", "unknown"},
	}
	if i.SIM != "" {
		p.SIMName = q.nameOf(ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(i.SIM)})
	}
	for _, s := range i.Story {
		p.Told = append(p.Told, told{Time: s.Time, Text: q.tell(s.Key, s.Text, s.Params), Ref: s.Ref})
	}
	p.Rows = q.responses(i.Responses)
	for n := range p.Rows {
		p.Rows[n].By = q.who(p.Rows[n].By)
	}
	slices.SortStableFunc(p.Alerts, func(a, b ringwall.Alert) int { return a.Time.Compare(b.Time) })
	p.page = q.page
	return p, nil
}

// chain lays the stages out in their order, reached or not.
func chain(i api.Incident) []stage {
	seen := map[ringwall.Stage]api.StageSeen{}
	var start time.Time
	for _, s := range i.Stages {
		seen[s.Stage] = s
		if !s.First.IsZero() && (start.IsZero() || s.First.Before(start)) {
			start = s.First
		}
	}
	var out []stage
	for _, s := range []ringwall.Stage{ringwall.Infection, ringwall.Command, ringwall.Action, ringwall.Propagation} {
		is := seen[s]
		st := stage{Name: s.String(), Reached: !is.First.IsZero(), Last: s == i.Stage, First: is.First, Count: is.Count}
		if st.Reached {
			st.After = is.First.Sub(start)
		}
		out = append(out, st)
	}
	return out
}

func patchIncident(q *request) (string, error) {
	p := api.IncidentPatch{}
	done := ""
	for _, f := range []struct {
		name string
		to   **string
	}{{"status", &p.Status}, {"disposition", &p.Disposition}, {"note", &p.Note}} {
		if v := q.PostFormValue(f.name); v != "" {
			*f.to, done = &v, f.name
		}
	}
	if done == "" {
		return "", ringwall.Errorf(ringwall.Invalid, "nothing was decided")
	}
	_, err := q.c.svc.PatchIncident(q.Context(), q.actor, ringwall.IncidentID(q.PathValue("id")), p)
	return done, err
}
