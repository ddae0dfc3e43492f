package platform

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// everyPart is what the walkers play: all that may act.
var everyPart = []ringwall.Part{ringwall.PartOwner, ringwall.PartOperator, ringwall.PartEnterprise, ringwall.PartPlatform}

// settler makes an organisation with one of everything, as people and gateways
// would, and returns its ids and a token that plays every part.
func (r *running) settle(name string, n int) (ids []string, token string) {
	t := r.T
	t.Helper()
	svc := r.Service()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const password = "correct horse battery"
	org, err := r.AddOrg(t.Context(), name, "user of "+name, password, everyPart)
	must(err)
	k, err := svc.Login(t.Context(), "user of "+name, password)
	must(err)
	who, err := svc.ActorOfSession(t.Context(), k.Secret)
	must(err)
	walker, err := svc.CreateToken(t.Context(), who, api.TokenCreate{Name: "walker of " + name, Parts: everyPart})
	must(err)
	spare, err := svc.CreateToken(t.Context(), who, api.TokenCreate{Name: "spare of " + name, Parts: everyPart})
	must(err)

	enrol, err := svc.CreateEnrolToken(t.Context(), who)
	must(err)
	req, key := request(t, enrol.Token)
	req.Name = "gateway of " + name
	answer, err := svc.Enrol(t.Context(), req)
	must(err)
	b := &box{key: key, answer: answer}
	r.connect(b)
	r.report(b, record(api.RecordHealth, api.Health{Version: "t"}), record(api.RecordPresence, sighting(n)))
	var dev api.Device
	r.wait("device of "+name, func() bool {
		page, err := svc.Devices(t.Context(), who, httpapi.DeviceFilter{}, httpapi.Paging{})
		must(err)
		if len(page.Items) == 1 {
			dev = page.Items[0]
		}
		return len(page.Items) == 1
	})
	subject := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(dev.ID)}
	alert := ringwall.Alert{
		ID: ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, name)), Time: time.Now().UTC(), Rule: "mirai-scan", Nature: ringwall.NatureAttack,
		Severity: ringwall.Critical, Stage: ringwall.Propagation, Subject: subject, Title: "scan of " + name, Attack: "T1046",
	}
	hold := api.Hold{ID: ringwall.HoldID(ringwall.DeriveID(ringwall.PrefixHold, name)), Device: dev.ID, Do: ringwall.Quarantine, By: "reflex:mirai-scan", Alert: alert.ID, Reason: "of " + name, Made: time.Now().UTC()}
	r.report(b, record(api.RecordAlert, alert), record(api.RecordHold, api.HoldReport{Hold: hold, InForce: time.Now().UTC()}))
	seen, err := flow.Record{Start: time.Now(), End: time.Now(), Device: dev.ID, Direction: flow.FromDevice, Name: name + ".example"}.MarshalBinary()
	must(err)
	r.report(b, api.Record{Kind: api.RecordFlow, Time: time.Now().UTC(), Bin: seen})
	reports, err := svc.FlowSearch(t.Context(), who, httpapi.FlowSearch{Device: dev.ID}, httpapi.Paging{})
	must(err)
	if len(reports.Items) != 1 {
		t.Fatalf("%d flow reports of %s, want 1", len(reports.Items), name)
	}
	sim, err := svc.CreateSIM(t.Context(), who, api.SIMCreate{
		ICCID: "8986001234567890127", IMSI: fmt.Sprintf("46000123456789%d", n), IMEI: "356938035643809", Device: dev.ID, Services: []string{"data"},
	})
	must(err)
	assessed, err := svc.SubmitAssessment(t.Context(), who, api.Assessment{Device: dev.ID, Target: "10.77.0.1", Findings: []ringwall.Finding{
		{Indicator: "AP-01", Module: ringwall.Application, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "default password of " + name, Source: "t", Time: time.Now().UTC(), Evidence: []string{"e"}},
	}})
	must(err)
	var in api.Incident
	r.wait("incident of "+name, func() bool {
		page, err := svc.Incidents(t.Context(), who, httpapi.IncidentFilter{}, httpapi.Paging{})
		must(err)
		if len(page.Items) > 0 {
			in = page.Items[0]
		}
		return len(page.Items) > 0
	})
	asked, err := svc.CreateResponse(t.Context(), who, api.ResponseCreate{Kind: "cutoff", Target: subject, Incident: in.ID, Reason: "of " + name})
	must(err)

	text := func(s string) *string { return &s }
	group, err := svc.CreateGroup(t.Context(), who, api.GroupPatch{Name: text("group of " + name), Members: &[]ringwall.DeviceID{dev.ID}})
	must(err)
	template, err := svc.PutTemplate(t.Context(), who, "", api.TemplatePut{Name: "template of " + name, Site: api.Site{Groups: &[]ringwall.GroupID{group.ID}}})
	must(err)
	rollout, err := svc.StartRollout(t.Context(), who, api.RolloutStart{Change: api.RolloutChange{Group: group.ID, Terms: &[]api.Term{}}, Soak: api.Duration(time.Hour)})
	must(err)

	way, err := svc.AskTunnel(t.Context(), who, dev.ID, api.TunnelAsk{Port: 80, Minutes: 5, Reason: "of " + name})
	must(err)

	exception, err := svc.CreateException(t.Context(), who, api.ExceptionCreate{Kind: api.ExceptWindow, SIM: sim.ID, Until: time.Now().Add(time.Hour), Reason: "of " + name})
	must(err)
	hook, err := svc.PutWarningRoute(t.Context(), who, "", api.WarningRoutePut{Party: ringwall.PartOperator, Name: "desk of " + name, URL: "https://hooks.example/" + name})
	must(err)
	misuse := ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, name, "misuse"))
	must(r.core.turn(t.Context(), org, func(t *turn) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		_, err = t.tx.PutSIMAlert(scope, api.SIMAlert{ID: misuse, SIM: sim.ID, Time: t.at, Rule: "sim-service", Nature: ringwall.NatureAttack, Severity: ringwall.High, Title: "of " + name})
		return err
	}))

	// Everything that the organisation has by now, events included.
	ids = []string{string(org), who.ID, string(spare.ID), string(enrol.ID), string(answer.Gateway), string(dev.ID), string(sim.ID), string(assessed.ID),
		string(in.ID), string(alert.ID), string(hold.ID), string(asked.ID), string(way.ID), string(exception.ID), string(hook.ID), string(misuse), string(group.ID), string(template.ID), string(rollout.ID), string(reports.Items[0].ID)}
	line, err := svc.Timeline(t.Context(), who, subject, time.Time{}, 100)
	must(err)
	for _, e := range line {
		ids = append(ids, string(e.Event))
	}
	page, err := svc.Responses(t.Context(), who, httpapi.ResponseFilter{}, httpapi.Paging{})
	must(err)
	for _, p := range page.Items {
		ids = append(ids, string(p.ID))
	}
	tasks, err := svc.Remedials(t.Context(), who, httpapi.RemedialFilter{}, httpapi.Paging{})
	must(err)
	for _, r := range tasks.Items {
		ids = append(ids, string(r.ID))
	}
	return ids, walker.Token
}

// handler is the API over the real platform.
func (r *running) handler() http.Handler {
	return httpapi.New(httpapi.Config{Service: r.Service(), Log: slog.New(slog.DiscardHandler)})
}

// TestNoRouteFindsAnotherOrganisation walks every route of the API over a real
// platform with every id of another organisation.
func TestNoRouteFindsAnotherOrganisation(t *testing.T) {
	r, feed := usageTenants(t, t.TempDir())
	own, token := r.settle("alpha", 1)
	foreign, foreignToken := r.settle("bravo", 2)
	// Both cards are used as they are not meant to be, and come by one stream.
	var rows []string
	for n := 1; n <= 2; n++ {
		rows = append(rows, fmt.Sprintf("46000123456789%d,%s,sms,356938035643809,13800138000,0,0,9001,c1,w%d,mo\n", n, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), n))
	}
	feed.say(rows...)
	own, foreign = append(own, r.judged(token)...), append(foreign, r.judged(foreignToken)...)
	before := r.everything("bravo", foreignToken)
	httpapitest.WalkForeign(t, r.handler(), httpapi.OpenAPIJSON(), httpapitest.IDs{Own: own, Foreign: foreign}, token)
	if after := r.everything("bravo", foreignToken); after != before {
		t.Errorf("what bravo has was changed by alpha:\n--- before\n%s\n--- after\n%s", before, after)
	}
}

// judged waits until a record of the card that settle made was judged, and returns
// the ids of what was said.
func (r *running) judged(token string) (ids []string) {
	t := r.T
	t.Helper()
	who, err := r.Service().ActorOfToken(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	o := &tenant{running: r, name: string(who.Org), id: who.Org, who: who}
	r.wait("a record that was judged", func() bool {
		ids = nil
		for _, x := range o.said("sim-service") {
			if x.Title != "" && len(x.Facts) > 0 {
				ids = append(ids, string(x.ID), string(x.Incident))
			}
			if o.records(x.SIM) != 1 {
				return false
			}
		}
		return len(ids) > 0
	})
	return ids
}

// everything returns what an organisation has that others could have changed,
// as text.
func (r *running) everything(name, token string) string {
	t := r.T
	t.Helper()
	who, err := r.Service().ActorOfToken(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	scope, err := r.auditor.Authorise(t.Context(), who, audit.DeviceWrite, audit.Target{Kind: "test", Org: who.Org})
	if err != nil {
		t.Fatal(err)
	}
	var all []any
	err = r.store.View(t.Context(), func(tx *sqlstore.Tx) error {
		devices, err := tx.Devices(scope, sqlstore.DeviceFilter{}, sqlstore.Paging{})
		if err != nil {
			return err
		}
		for i := range devices.Items { // what the platform does by itself meanwhile
			d := &devices.Items[i]
			d.Version, d.Seen, d.Trust, d.TrustReasons, d.Terms, d.Holds, d.Incident = 0, time.Time{}, 0, nil, nil, nil, ""
		}
		gateways, err := tx.Gateways(scope, sqlstore.Paging{})
		if err != nil {
			return err
		}
		for i := range gateways.Items {
			gateways.Items[i].Desired, gateways.Items[i].Seen = 0, time.Time{}
		}
		sims, err := tx.SIMs(scope, sqlstore.Paging{})
		all = append(all, devices.Items, gateways.Items, sims.Items)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []func() (any, error){
		func() (any, error) { return r.Service().Users(t.Context(), who) },
		func() (any, error) { return r.Service().Tokens(t.Context(), who) },
		func() (any, error) { return r.Service().Parties(t.Context(), who) },
	} {
		v, err := list()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestStrangersFindEveryRouteShut(t *testing.T) {
	r := start(t, t.TempDir())
	httpapitest.WalkStrangers(t, r.handler(), httpapi.OpenAPIJSON())
}
