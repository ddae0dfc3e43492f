package platform

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// sight is what a party may see of the things that it may read at all; what it
// may read is the policies' to say. It agrees with what package incident shows
// of incidents: a provider learns what became of a device and not whom it
// talked to, a manufacturer what became of a model and not whose it is.
type sight struct {
	whole bool // with addresses, whereabouts, and what people wrote
	names bool // what the owner calls things
	usage bool // what a card was used for
}

func sightOf(a audit.Actor) sight {
	plays := func(parts ...ringwall.Part) bool { return slices.ContainsFunc(parts, a.Plays) }
	v := sight{whole: a.Kind == audit.KindSystem || plays(ringwall.PartOwner, ringwall.PartEnterprise, ringwall.PartIntegrator, ringwall.PartAuditor)}
	v.names = v.whole || plays(ringwall.PartProvider, ringwall.PartApplication)
	v.usage = v.names || plays(ringwall.PartOperator, ringwall.PartConsumer)
	return v
}

func (v sight) device(d api.Device) api.Device {
	if v.whole {
		return d
	}
	d.Binding, d.Elsewhere, d.Terms, d.Assessor, d.Agent = api.Binding{}, nil, []api.Term{}, false, ""
	d.Holds, d.TrustReasons = slices.Clone(d.Holds), slices.Clone(d.TrustReasons)
	for i := range d.Holds {
		d.Holds[i].By, d.Holds[i].Reason, d.Holds[i].Alert = side(d.Holds[i].By), "", ""
	}
	for i := range d.TrustReasons {
		d.TrustReasons[i].Evidence = ""
	}
	if !v.names {
		d.Org, d.Gateway, d.SIM, d.Incident = "", "", "", ""
		d.Name = strings.TrimSpace(d.Vendor + " " + d.Model)
	}
	return d
}

// finds reports whether a device is found by a text in what is seen of it.
func finds(d api.Device, text string) bool {
	return strings.Contains(strings.ToLower(d.Name+"\n"+d.Vendor+"\n"+d.Model), strings.ToLower(text))
}

func (v sight) assessment(a api.Assessment) api.Assessment {
	if v.whole {
		return a
	}
	a.Target, a.MAC, a.Services, a.Examinations, a.Contradictions = "", "", []api.Service{}, nil, nil
	a.Findings = slices.Clone(a.Findings)
	for i := range a.Findings {
		a.Findings[i].Evidence, a.Findings[i].Facts = []string{}, nil
	}
	if !v.names {
		a.Org = ""
	}
	return a
}

func (v sight) sim(s api.SIM) api.SIM {
	if !v.names {
		s.Device = ""
	}
	if !v.usage {
		s.Peers, s.LastUsage, s.Bytes, s.Records, s.SeenIMEI = []string{}, time.Time{}, 0, 0, ""
	}
	return s
}

// side replaces a person by the side that the person is on.
func side(by string) string {
	if by == "" || strings.HasPrefix(by, "rule:") || strings.HasPrefix(by, "reflex:") || strings.HasPrefix(by, "system:") {
		return by
	}
	return "owner"
}

// told lists what of an entry's parameters names nobody and no place, for the
// entries that are shown to those who may not see the whole. It is never
// written to.
var told = map[string][]string{
	"timeline.device.presence":     {"old", "new"},
	"timeline.device.moved":        {},
	"timeline.device.mode":         {"old", "new"},
	"timeline.device.enrolled":     {},
	"timeline.device.revoked":      {},
	"timeline.device.port.closed":  {"target"},
	"timeline.device.password":     {"by"},
	"timeline.device.grade":        {"old", "new", "coverage"},
	"timeline.device.trust":        {"old", "new", "reason", "reasonKey"},
	"timeline.device.policy":       {"generation"},
	"timeline.device.hold":         {"do", "took", "flows", "by"},
	"timeline.device.hold.lifted":  {"do"},
	"timeline.device.compromise":   {},
	"timeline.assessment":          {"findings", "failed"},
	"timeline.assessment.evidence": {"grade"},
	"timeline.incident.opened":     {"severity", "stage"},
	"timeline.incident.grew":       {"severity", "stage"},
	"timeline.incident.status":     {"status", "disposition"},
	"timeline.response.proposed":   {"kind"},
	"timeline.response.approved":   {"kind", "by"},
	"timeline.response.declined":   {"kind"},
	"timeline.response.doing":      {"kind", "by"},
	"timeline.response.done":       {"kind"},
	"timeline.response.undoing":    {"kind"},
	"timeline.response.undone":     {"kind"},
	"timeline.response.expired":    {"kind"},
	"timeline.response.failed":     {"kind"},
	"timeline.gateway.ack":         {"generation"},
	"timeline.gateway.online":      {},
	"timeline.gateway.offline":     {},
	"timeline.gateway.revoked":     {},
	"timeline.sim.added":           {},
	"timeline.sim.separated":       {},
	"timeline.sim.rejoined":        {},
	"timeline.sim.suspended":       {},
	"timeline.sim.restored":        {},
	"timeline.sim.restricted":      {},
	"timeline.sim.released":        {},
	"timeline.sim.asked":           {"what"},
	"timeline.sim.state":           {"state"},
}

// hidden stands for what a party may not see.
const hidden = "…"

// telling returns what a party may read of an entry, and whether anything.
func (v sight) telling(t sqlstore.Telling) (sqlstore.Telling, bool) {
	if v.whole {
		return t, true
	}
	open, ok := told[t.Key]
	if !ok {
		return t, false
	}
	params := map[string]string{}
	for k, s := range t.Params {
		switch {
		case k == "by" && slices.Contains(open, k):
			params[k] = side(s)
		case slices.Contains(open, k), s == "", k == "name" && v.names:
			params[k] = s
		default:
			params[k] = hidden
		}
	}
	if !v.names {
		t.Ref = "" // an id of the owner's
	}
	return sqlstore.Telling{Key: t.Key, Params: params, Text: incident.Render(messages[t.Key], params), Ref: t.Ref}, true
}

func (v sight) timeline(entries []api.TimelineEntry) []api.TimelineEntry {
	if v.whole {
		return entries
	}
	out := []api.TimelineEntry{}
	for _, e := range entries {
		t, ok := v.telling(sqlstore.Telling{Key: e.Key, Params: e.Params, Text: e.Text, Ref: e.Ref})
		if !ok {
			continue
		}
		e.Params, e.Text, e.Ref, e.Actor = t.Params, t.Text, t.Ref, side(e.Actor)
		out = append(out, e)
	}
	return out
}

// event returns what a party may hear of an event. Of one that it may not read
// in words it hears nothing.
func (v sight) event(e ringwall.Event) (ringwall.Event, bool) {
	if v.whole {
		return e, true
	}
	var t sqlstore.Telling
	if err := json.Unmarshal(e.Data, &t); err != nil {
		return e, false
	}
	t, ok := v.telling(t)
	if !ok {
		return e, false
	}
	data, err := json.Marshal(t)
	e.Data, e.Actor, e.Cause = data, side(e.Actor), ""
	return e, err == nil
}

// showResponse shows a response as package incident does within an incident.
func showResponse(a audit.Actor, r api.Response) (api.Response, bool) {
	if sightOf(a).whole && !onlyIntegrates(a) {
		return r, true
	}
	in := incident.Incident{Incident: api.Incident{ID: r.Incident, Org: r.Org, Status: incident.New, Subject: r.Target, Responses: []api.Response{r}}}
	for _, part := range widest {
		if !slices.Contains(a.Parts, part) {
			continue
		}
		if shown, ok := incident.Project(in, part); ok && len(shown.Responses) == 1 {
			r := shown.Responses[0]
			if !sightOf(a).whole {
				r.By, r.Decided = side(r.By), side(r.Decided)
			}
			return r, true
		}
	}
	return r, false
}

// onlyIntegrates says that the whole is seen as an integrator alone, who has
// nothing to do with the card.
func onlyIntegrates(a audit.Actor) bool {
	return a.Kind != audit.KindSystem && !a.Plays(ringwall.PartOwner) && !a.Plays(ringwall.PartEnterprise) && !a.Plays(ringwall.PartAuditor)
}

func showResponses(a audit.Actor, rs []api.Response) []api.Response {
	out := []api.Response{}
	for _, r := range rs {
		if shown, ok := showResponse(a, r); ok {
			out = append(out, shown)
		}
	}
	return out
}

// Events tells of the organisation's events as they are published: those about
// what the actor may read, as far as its parts may see.
func (s *service) Events(ctx context.Context, a audit.Actor) (<-chan ringwall.Event, error) {
	open := map[ringwall.SubjectKind]bool{}
	var refused error
	for kind, act := range map[ringwall.SubjectKind]audit.Act{
		ringwall.SubjectDevice: audit.DeviceRead, ringwall.SubjectSIM: audit.SIMRead, ringwall.SubjectGateway: audit.GatewayRead,
	} {
		_, err := s.auditor.Authorise(ctx, a, act, audit.Target{Kind: "events", Org: a.Org})
		switch {
		case err == nil:
			open[kind] = true
		case isCode(err, ringwall.Forbidden):
			refused = err
		default:
			return nil, err
		}
	}
	v, all := sightOf(a), s.hub.watch(ctx, a.Org)
	switch {
	case len(open) == 0:
		return nil, refused
	case v.whole && refused == nil:
		return all, nil
	}
	some := make(chan ringwall.Event)
	go func() { // ends with ctx, or when the hub lets go of a watcher that lags
		defer close(some)
		for e := range all {
			shown, ok := v.event(e)
			if !ok || !open[e.Subject.Kind] {
				continue
			}
			select {
			case some <- shown:
			case <-ctx.Done():
				return
			}
		}
	}()
	return some, nil
}
