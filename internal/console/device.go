package console

import (
	"net/url"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/i18n"
	"github.com/ringwall/ringwall/internal/report"
)

type devicesPage struct {
	page
	Items  []api.Device
	Filter filter
	Next   string  // query of the next page
	ByCard *byCard // what one that is known by its SIM can be made of; nil = nothing
}

// filter is what the list is narrowed to, as in its form.
type filter struct{ Text, Grade, Trust, Presence, Enrolled string }

// Any reports whether the list is narrowed at all.
func (f filter) Any() bool { return f != filter{} }

func (*devicesPage) template() string { return "devices" }

func devices(q *request) (view, error) {
	v := q.URL.Query()
	f := filter{v.Get("text"), v.Get("grade"), v.Get("trust"), v.Get("presence"), v.Get("enrolled")}
	ask := httpapi.DeviceFilter{Text: f.Text}
	if err := ask.Narrow(f.Grade, f.Trust, f.Presence, f.Enrolled); err != nil {
		return nil, err
	}
	list, err := q.c.svc.Devices(q.Context(), q.actor, ask, httpapi.Paging{Cursor: v.Get("cursor"), Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	q.page.Title, q.page.Live = q.page.L.T("devices.title"), []string{"kind:device", "kind:incident"}
	p := &devicesPage{Items: list.Items, Filter: f, Next: next(v, list.Next)}
	if q.page.MayAct() {
		if p.ByCard, err = q.byCard(); err != nil {
			return nil, err
		}
	}
	p.page = q.page
	return p, nil
}

// next returns the query that leads to the page after, "" at the end.
func next(v url.Values, cursor string) string {
	if cursor == "" {
		return ""
	}
	n := url.Values{}
	for k := range v {
		if k != "done" {
			n.Set(k, v.Get(k))
		}
	}
	n.Set("cursor", cursor)
	return n.Encode()
}

type devicePage struct {
	page
	api.Device
	GatewayName string
	Reasons     []api.TrustReason // that limit trust, and those that decide it
	Others      []api.TrustReason
	Assessment  *assessment
	Holds       []holdRow
	Waiting     []responseRow
	Terms       []api.Term
	Refused     []api.FlowRow
	Hours       *flowTotals // of its flows; nil = they cannot be read
	FlowsFailed bool        // they could not be read: unknown, not none
	Card        *api.SIM
	Timeline    []line
	Older       string // "before" of the next part of the timeline
	Incidents   []api.Incident
	Tasks       []api.Remedial // that are not done
	Made        *api.RemedialDone
	Gate        *gateSign
	History     *history
}

func (*devicePage) template() string { return "device" }

// Restricted reports whether anything holds the device.
func (p *devicePage) Restricted() bool { return len(p.Holds) > 0 }

// holdRow is a hold with the response that made it, which can be undone.
type holdRow struct {
	api.Hold
	By       string
	Response ringwall.ResponseID
}

// assessment is one prepared for reading: findings that matter first.
type assessment struct {
	api.Assessment
	Why, Measure       []string // its reasons and next measurements, in the reader's language
	Bad, Unknown, Good []ringwall.Finding
}

func prepare(a api.Assessment, l i18n.Locale) *assessment {
	out := &assessment{Assessment: a, Why: report.Reasons(a, l), Measure: report.Next(a, l)}
	for _, f := range a.Findings {
		switch f.Outcome {
		case ringwall.Fail:
			out.Bad = append(out.Bad, f)
		case ringwall.Pass, ringwall.NotApplicable:
			out.Good = append(out.Good, f)
		case ringwall.Unknown:
			out.Unknown = append(out.Unknown, f)
		}
	}
	for _, f := range a.Findings {
		if f.Outcome == ringwall.Partial {
			out.Bad = append(out.Bad, f)
		}
	}
	return out
}

const timelinePart = 40

func device(q *request) (view, error) {
	ctx, id := q.Context(), ringwall.DeviceID(q.PathValue("id"))
	d, err := q.c.svc.Device(ctx, q.actor, id)
	if err != nil {
		return nil, err
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(id)}
	q.names[string(id)] = d.Name
	q.page.Title, q.page.Live = d.Name, []string{string(id), d.Incident, string(d.SIM)}
	q.page.Path = "/devices/" + string(id)
	p := &devicePage{Device: d, Terms: d.Terms, GatewayName: q.nameOf(ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(d.Gateway)})}
	for _, r := range d.TrustReasons {
		if r.Cap < ringwall.T4 || r.Cap == d.Trust {
			p.Reasons = append(p.Reasons, r)
		} else {
			p.Others = append(p.Others, r)
		}
	}
	if d.Assess != "" {
		a, err := q.c.svc.Assessment(ctx, q.actor, d.Assess)
		if err == nil {
			p.Assessment = prepare(a, q.page.L)
		} else if !isCode(err, ringwall.Unavailable) && !isCode(err, ringwall.NotFound) {
			return nil, err
		}
	}
	rs, err := q.c.svc.Responses(ctx, q.actor, httpapi.ResponseFilter{Target: subject}, httpapi.Paging{Limit: httpapi.DefaultPage})
	if err != nil {
		return nil, err
	}
	made := map[ringwall.HoldID]ringwall.ResponseID{}
	for _, r := range q.responses(rs.Items) {
		if r.Status == "proposed" {
			p.Waiting = append(p.Waiting, r)
		}
		if r.Hold != "" && r.Undoable() {
			made[r.Hold] = r.ID
		}
	}
	for _, h := range d.Holds {
		p.Holds = append(p.Holds, holdRow{Hold: h, By: q.who(h.By), Response: made[h.ID]})
	}
	if p.Refused, err = q.c.svc.Flows(ctx, q.actor, id, httpapi.FlowQuery{Verdict: "refused", Limit: 20}); err != nil {
		p.FlowsFailed = true
		status, _ := httpapi.Describe(err)
		q.c.note(ctx, status, err)
	} else if t, err := q.flowTotals(httpapi.FlowSearch{Device: id}); err == nil {
		p.Hours = t
	}
	if d.SIM != "" {
		if card, err := q.c.svc.SIM(ctx, q.actor, d.SIM); err == nil {
			p.Card = &card
		}
	}
	incs, err := q.c.svc.Incidents(ctx, q.actor, httpapi.IncidentFilter{Subject: subject}, httpapi.Paging{Limit: 10})
	if err == nil {
		p.Incidents = incs.Items
	}
	todo, err := q.c.svc.Remedials(ctx, q.actor, httpapi.RemedialFilter{Device: id}, httpapi.Paging{Limit: httpapi.MaxPage})
	if err != nil {
		return nil, err
	}
	for _, r := range todo.Items {
		if r.Status != "done" {
			p.Tasks = append(p.Tasks, r)
		}
	}
	soonest(p.Tasks)
	if p.Gate, err = q.gate(d); err != nil {
		return nil, err
	}
	if p.History, err = q.history(d); err != nil {
		return nil, err
	}
	if p.Timeline, p.Older, err = q.timeline(subject); err != nil {
		return nil, err
	}
	p.page = q.page
	return p, nil
}

// timeline reads one part of a subject's timeline, and the "before" of the part
// after it.
func (q *request) timeline(s ringwall.Subject) ([]line, string, error) {
	var before time.Time
	if b := q.URL.Query().Get("before"); b != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, b); err != nil {
			return nil, "", ringwall.Errorf(ringwall.Invalid, "the time to read back from cannot be read")
		}
		q.page.Live = nil // the past does not change
	}
	entries, err := q.c.svc.Timeline(q.Context(), q.actor, s, before, timelinePart)
	if err != nil {
		return nil, "", err
	}
	older := ""
	if len(entries) == timelinePart {
		older = entries[len(entries)-1].Time.UTC().Format(time.RFC3339Nano)
	}
	for i := range entries {
		entries[i].Subject = ringwall.Subject{} // the page is about it
	}
	return q.lines(entries), older, nil
}

func assessDevice(q *request) (string, error) {
	_, err := q.c.svc.AssessDevice(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")))
	return "assess", err
}

func (q *request) patchDevice(done string, p api.DevicePatch) (string, error) {
	_, err := q.c.svc.PatchDevice(q.Context(), q.actor, ringwall.DeviceID(q.PathValue("id")), 0, p)
	return done, err
}

func setMode(q *request) (string, error) {
	var m ringwall.Mode
	if err := m.UnmarshalText([]byte(q.PostFormValue("mode"))); err != nil {
		return "", err
	}
	return q.patchDevice("mode", api.DevicePatch{Mode: &m})
}

func enrolDevice(q *request) (string, error) {
	yes := q.PostFormValue("enrolled") == "true"
	done := "revoked"
	if yes {
		done = "enrolled"
	}
	return q.patchDevice(done, api.DevicePatch{Enrolled: &yes})
}

func nameDevice(q *request) (string, error) {
	name := strings.TrimSpace(q.PostFormValue("name"))
	if name == "" || len(name) > 100 {
		return "", ringwall.Errorf(ringwall.Invalid, "a name has 1 to 100 characters")
	}
	p := api.DevicePatch{Name: &name}
	if t := q.PostFormValue("type"); t != "" {
		p.Type = &t
	}
	return q.patchDevice("named", p)
}

func restrictDevice(q *request) (string, error) {
	kind := q.PostFormValue("kind")
	if kind != "quarantine" && kind != "cutoff" {
		return "", ringwall.Errorf(ringwall.Invalid, "a device is put into quarantine or cut off")
	}
	_, err := q.c.svc.CreateResponse(q.Context(), q.actor, api.ResponseCreate{
		Kind: kind, Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: q.PathValue("id")}, Reason: reasonGiven(q),
	})
	return "restricted", err
}

// reasonGiven is why somebody acts: what they wrote, or that they did it here.
func reasonGiven(q *request) string {
	if r := strings.TrimSpace(q.PostFormValue("reason")); r != "" {
		return r[:min(len(r), 500)]
	}
	return "from the console"
}

func decide(q *request) (string, error) {
	d := httpapi.Decision(q.PostFormValue("decision"))
	if d != httpapi.Approve && d != httpapi.Decline && d != httpapi.Undo {
		return "", ringwall.Errorf(ringwall.Invalid, "a response is approved, declined or undone")
	}
	_, err := q.c.svc.DecideResponse(q.Context(), q.actor, ringwall.ResponseID(q.PathValue("response")), d)
	return string(d), err
}
