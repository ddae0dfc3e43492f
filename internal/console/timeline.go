package console

import (
	"maps"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// line is one thing that happened, ready to be read.
type line struct {
	Time  time.Time
	Kind  string // of the event
	Group string // what it is drawn as: "alert", "incident", "hold", "trust", "grade", "good", "plain"
	Text  string
	By    string
	Link  string
	Name  string // of the subject, on pages over many
	At    string // the subject's page
	More  int    // entries right after it that say the same
}

// lines tells timeline entries in the reader's language.
func (q *request) lines(entries []api.TimelineEntry) []line {
	out := make([]line, 0, len(entries))
	for _, e := range entries {
		out = append(out, line{
			Time: e.Time, Kind: e.Kind, Group: group(e.Kind, e.Key), Text: q.tell(e.Key, e.Text, e.Params), By: q.who(e.Actor),
			Link: refLink(e.Ref), Name: q.nameOf(e.Subject), At: link(e.Subject),
		})
	}
	return out
}

// joined puts lines that follow each other and say the same into one: a new
// policy for each of twenty devices is one thing that happened.
func joined(lines []line) []line {
	var out []line
	for _, l := range lines {
		if n := len(out); n > 0 && out[n-1].Kind == l.Kind && out[n-1].Text == l.Text && out[n-1].Time.Sub(l.Time).Abs() < time.Minute {
			out[n-1].More++
			continue
		}
		out = append(out, l)
	}
	return out
}

// group says how an entry is drawn.
func group(kind, key string) string {
	switch {
	case kind == ringwall.EventAlert:
		return "alert"
	case kind == ringwall.EventIncident:
		return "incident"
	case strings.HasSuffix(key, ".lifted") || strings.HasSuffix(key, ".undone"):
		return "good"
	case kind == ringwall.EventDeviceHold, kind == ringwall.EventResponse:
		return "hold"
	case kind == ringwall.EventDeviceTrust:
		return "trust"
	case kind == ringwall.EventDeviceGrade, kind == ringwall.EventAssessment:
		return "grade"
	}
	return "plain"
}

// refLink returns the page of a thing by its id, "" when it has none of its own.
func refLink(id string) string {
	if ringwall.ValidID(ringwall.PrefixIncident, id) {
		return "/incidents/" + id
	}
	return ""
}

// tell tells a line in the reader's language. Who did it is named, in the
// English text that came along too.
func (q *request) tell(key, english string, params map[string]string) string {
	if by := params["by"]; by != "" {
		name := q.who(by)
		params = maps.Clone(params)
		params["by"] = name
		english = strings.ReplaceAll(english, by, name)
	}
	return q.page.L.Tell(key, english, params)
}

// who returns what an actor is called: a person by name, the platform's parts
// and gateways by their word. Who may not list people reads ids.
func (q *request) who(id string) string {
	switch {
	case ringwall.ValidID(ringwall.PrefixGateway, id):
		return q.nameOf(ringwall.Subject{Kind: ringwall.SubjectGateway, ID: id})
	case !ringwall.ValidID(ringwall.PrefixUser, id):
		return q.page.L.Word("actor", id)
	}
	if _, asked := q.names[id]; !asked {
		q.names[id] = id
		if users, err := q.c.svc.Users(q.Context(), q.actor); err == nil {
			for _, u := range users {
				q.names[string(u.ID)] = u.Name
			}
		}
	}
	return q.names[id]
}
