package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
)

// platform serves a world over real HTTP.
func platform(t *testing.T) (*httpapitest.World, string) {
	t.Helper()
	w := httpapitest.NewWorld(time.Now)
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Service: w, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(srv.Close)
	return w, srv.URL
}

func owner(t *testing.T) (*httpapitest.World, *client.Client) {
	t.Helper()
	w, url := platform(t)
	c, err := client.New(client.Config{Server: url, Token: w.OwnerToken})
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func TestClient_does_all_there_is(t *testing.T) {
	w, c := owner(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	me, err := c.Me(ctx)
	must(err)
	if me.ID != w.Owner.ID || me.Org != w.Owner.Org || me.Kind != "user" {
		t.Errorf("Me = %+v", me)
	}
	o, err := c.Overview(ctx)
	must(err)
	if o.Devices != 5 || o.ByGrade["high"] != 1 || len(o.Waiting) != 1 || o.Demo == nil {
		t.Errorf("Overview = %+v", o)
	}
	high, no := ringwall.HighRisk, false
	devs, err := c.Devices(ctx, client.DeviceFilter{Grade: &high}, client.Paging{})
	must(err)
	if len(devs.Items) != 1 || devs.Items[0].ID != w.BadCamera {
		t.Errorf("high risk: %+v", devs)
	}
	devs, err = c.Devices(ctx, client.DeviceFilter{Enrolled: &no, Gateway: w.House, Text: "espressif", Type: "unknown"}, client.Paging{Limit: 1})
	must(err)
	if len(devs.Items) != 1 || devs.Items[0].ID != w.Newcomer {
		t.Errorf("not enrolled: %+v", devs)
	}
	var names []string
	for d, err := range client.All(ctx, func(ctx context.Context, p client.Paging) (api.Page[api.Device], error) {
		p.Limit = 2
		return c.Devices(ctx, client.DeviceFilter{}, p)
	}) {
		must(err)
		names = append(names, d.Name)
	}
	if len(names) != 5 || names[0] != "Electricity meter" {
		t.Errorf("all devices by name: %q", names)
	}
	d, err := c.Device(ctx, w.BadCamera)
	must(err)
	want, err := w.Device(ctx, w.Owner, w.BadCamera)
	must(err)
	if d.Grade != want.Grade || d.Trust != want.Trust || d.Presence != want.Presence || d.Binding != want.Binding || len(d.Holds) != 1 || d.Holds[0].Do != ringwall.Quarantine {
		t.Errorf("the device came as %+v, want %+v", d, want)
	}
	mode := ringwall.Shadow
	d2, err := c.PatchDevice(ctx, w.GoodCamera, 7, api.DevicePatch{Mode: &mode})
	must(err)
	if d2.Mode != ringwall.Shadow || d2.Version != 8 {
		t.Errorf("patched: %+v", d2)
	}
	if _, err := c.PatchDevice(ctx, w.GoodCamera, 7, api.DevicePatch{Mode: &mode}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a stale patch: %v", err)
	}
	flows, err := c.Flows(ctx, w.BadCamera, client.FlowQuery{Verdict: "refused", From: time.Now().Add(-time.Hour), To: time.Now(), Limit: 10})
	must(err)
	if len(flows) != 3 {
		t.Errorf("%d refused flows", len(flows))
	}
	for _, s := range []ringwall.Subject{{Kind: ringwall.SubjectDevice, ID: string(w.BadCamera)}, {Kind: ringwall.SubjectGateway, ID: string(w.House)}, {Kind: ringwall.SubjectSIM, ID: string(w.MeterSIM)}} {
		lines, err := c.Timeline(ctx, s, time.Time{}, 0)
		must(err)
		if len(lines) == 0 {
			t.Errorf("no timeline of %v", s)
			continue
		}
		older, err := c.Timeline(ctx, s, lines[0].Time, 3)
		must(err)
		if len(older) > 0 && !older[0].Time.Before(lines[0].Time) {
			t.Errorf("before %v came %v", lines[0].Time, older[0].Time)
		}
	}
	if _, err := c.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectUser, ID: "usr_1"}, time.Time{}, 0); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a user's timeline: %v", err)
	}
	started, err := c.AssessDevice(ctx, w.BadCamera)
	must(err)
	as, err := c.Assessment(ctx, started)
	must(err)
	if as.Device != w.BadCamera || len(as.Findings) != 7 || as.Findings[0].Outcome != ringwall.Fail || as.Modules[0].Module != ringwall.Hardware {
		t.Errorf("Assessment = %+v", as)
	}
	list, err := c.Assessments(ctx, w.BadCamera, client.Paging{})
	must(err)
	if len(list.Items) != 2 {
		t.Errorf("%d assessments", len(list.Items))
	}
	as.ID = ""
	_, err = c.SubmitAssessment(ctx, as)
	must(err)
	gws, err := c.Gateways(ctx, client.Paging{})
	must(err)
	g, err := c.Gateway(ctx, gws.Items[0].ID)
	must(err)
	name := "Front gateway"
	g, err = c.PatchGateway(ctx, g.ID, api.GatewayPatch{Name: &name, Remediate: &g.Remediate})
	must(err)
	if g.Name != name || len(g.Remediate) != 1 {
		t.Errorf("patched gateway: %+v", g)
	}
	et, err := c.CreateEnrolToken(ctx)
	must(err)
	en, err := c.Enrol(ctx, api.EnrolRequest{Token: et.Token, CSR: "csr", Name: "new"})
	must(err)
	if en.Gateway == "" || en.Org != w.Owner.Org {
		t.Errorf("enrolled: %+v", en)
	}
	if _, err := c.Enrol(ctx, api.EnrolRequest{Token: et.Token, CSR: "csr"}); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("the token was taken twice: %v", err)
	}
	sims, err := c.SIMs(ctx, client.Paging{})
	must(err)
	sim, err := c.CreateSIM(ctx, api.SIMCreate{ICCID: "89860012345678901234", IMSI: "460011234567890", Services: []string{"data"}})
	must(err)
	sim, err = c.SIM(ctx, sim.ID)
	must(err)
	if len(sims.Items) != 2 || strings.Contains(sim.IMSI, "1234567") {
		t.Errorf("SIM = %+v", sim)
	}
	incs, err := c.Incidents(ctx, client.IncidentFilter{Open: true, Device: w.BadCamera}, client.Paging{})
	must(err)
	inc, err := c.Incident(ctx, incs.Items[0].ID)
	must(err)
	if len(inc.Alerts) != 4 || inc.Alerts[3].Severity != ringwall.Critical || inc.Alerts[3].Peer.String() != "198.51.100.201" || len(inc.Responses) != 2 {
		t.Errorf("Incident = %+v", inc)
	}
	status := "triaged"
	inc, err = c.PatchIncident(ctx, inc.ID, api.IncidentPatch{Status: &status})
	must(err)
	if inc.Status != status {
		t.Errorf("status = %q", inc.Status)
	}
	rs, err := c.Responses(ctx, client.ResponseFilter{Status: "proposed", SIM: w.MeterSIM}, client.Paging{})
	must(err)
	r, err := c.DecideResponse(ctx, rs.Items[0].ID, "approve")
	must(err)
	if r.Status != "done" {
		t.Errorf("approved: %+v", r)
	}
	r, err = c.CreateResponse(ctx, api.ResponseCreate{Kind: "quarantine", Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(w.GoodCamera)}, Reason: "test", Expiry: api.Duration(time.Hour)})
	must(err)
	if r.Hold == "" || r.Expires.IsZero() {
		t.Errorf("quarantine: %+v", r)
	}
	_, err = c.CreateUser(ctx, api.UserCreate{Name: "mei", Password: "a long password", Parts: []ringwall.Part{ringwall.PartOwner}})
	must(err)
	users, err := c.Users(ctx)
	must(err)
	parties, err := c.Parties(ctx)
	must(err)
	if len(users) != 3 || len(parties) != 4 {
		t.Errorf("%d users, %d parties", len(users), len(parties))
	}
	tok, err := c.CreateToken(ctx, api.TokenCreate{Name: "ci", Parts: []ringwall.Part{ringwall.PartOwner}})
	must(err)
	toks, err := c.Tokens(ctx)
	must(err)
	if !strings.HasPrefix(tok.Token, "rwt_") || len(toks) != 2 || toks[1].Token != "" {
		t.Errorf("token %+v, list %+v", tok, toks)
	}
	must(c.DeleteToken(ctx, tok.ID))
	entries, err := c.Audit(ctx, time.Time{}, 100)
	must(err)
	if len(entries) < 10 {
		t.Errorf("%d audit entries", len(entries))
	}
	must(c.StartAttack(ctx, "mirai-scan", ""))
	if got := w.Attacks(); len(got) != 1 || got[0] != "mirai-scan" {
		t.Errorf("attacks: %q", got)
	}
}

func TestClient_errors_come_back_as_ours(t *testing.T) {
	w, c := owner(t)
	w.Break(&ringwall.Error{Code: ringwall.Unavailable, Text: "the store is away", Hint: "wait", Err: errors.New("inner")})
	_, err := c.Overview(t.Context())
	e, ok := errors.AsType[*ringwall.Error](err)
	if !ok || e.Code != ringwall.Unavailable || e.Text != "the store is away" || e.Hint != "wait" || strings.Contains(err.Error(), "inner") {
		t.Errorf("got %#v", err)
	}
	w.Break(nil)
	if _, err := c.CreateUser(t.Context(), api.UserCreate{Name: "x", Password: "y", Parts: []ringwall.Part{"god"}}); ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), "body.parts[0]") {
		t.Errorf("wrong input: %v", err)
	}
	if _, err := c.Device(t.Context(), "dev_../../healthz"); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("an id with slashes: %v", err)
	}
}

func TestClient_answers_that_are_no_platform(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   ringwall.Code
	}{
		{"a web server", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>hello</html>")) }, ringwall.Unavailable},
		{"its 404", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, ringwall.NotFound},
		{"a proxy's 502", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, ringwall.Unavailable},
		{"a problem without a code", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			w.Write([]byte(`{"title":"oops"}`))
		}, ringwall.Unavailable},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"devices":5,`)) }, ringwall.Unavailable},
		{"a redirect to elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://203.0.113.1/steal", http.StatusFound)
		}, ringwall.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.answer)
			defer srv.Close()
			cl, err := client.New(client.Config{Server: srv.URL, Token: "rwt_secret"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = cl.Overview(t.Context())
			if ringwall.CodeOf(err) != c.want {
				t.Errorf("got %v, want code %s", err, c.want)
			}
		})
	}
	dead := httptest.NewServer(nil)
	dead.Close()
	cl, _ := client.New(client.Config{Server: dead.URL, Token: "rwt_secret"})
	_, err := cl.Overview(t.Context())
	if e, ok := errors.AsType[*ringwall.Error](err); !ok || e.Code != ringwall.Unavailable || e.Hint == "" {
		t.Errorf("a platform that is not there: %v", err)
	}
}

func TestNew_minds_the_token(t *testing.T) {
	for _, c := range []struct {
		server, token string
		plain, ok     bool
	}{
		{"127.0.0.1:8080", "t", false, true},
		{"localhost:8080", "t", false, true},
		{"http://[::1]:8080", "t", false, true},
		{"ringwall.example", "t", false, true}, // https
		{"http://ringwall.example", "t", false, false},
		{"http://ringwall.example", "t", true, true},
		{"http://ringwall.example", "", false, true},
		{"http://127.0.0.1.evil.example", "t", false, false},
		{"https://user:pass@ringwall.example", "t", false, false},
		{"ftp://ringwall.example", "", false, false},
		{"https://", "", false, false},
		{"", "", false, false},
		{"https://ringwall.example?x=1", "", false, false},
		{"127.0.0.1:8080", "t\r\nX-Evil: 1", false, false},
	} {
		_, err := client.New(client.Config{Server: c.server, Token: c.token, AllowPlain: c.plain})
		if (err == nil) != c.ok {
			t.Errorf("New(%q, plain %v) = %v, want ok %v", c.server, c.plain, err, c.ok)
		}
		if err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("New(%q): code %s", c.server, ringwall.CodeOf(err))
		}
	}
}

// TestClient_posts_once proves that a connection which dies after the platform
// has acted does not make it act twice.
func TestClient_posts_once(t *testing.T) {
	w := httpapitest.NewWorld(time.Now)
	inner := httpapi.New(httpapi.Config{Service: w, Log: slog.New(slog.DiscardHandler)})
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && asked.Add(1) == 1 {
			inner.ServeHTTP(httptest.NewRecorder(), r) // done, and the answer is lost
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	c, err := client.New(client.Config{Server: srv.URL, Token: w.OwnerToken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err != nil { // a connection that is used again
		t.Fatal(err)
	}
	if _, err := c.CreateToken(t.Context(), api.TokenCreate{Name: "once", Parts: []ringwall.Part{ringwall.PartOwner}}); err != nil {
		t.Fatalf("the lost answer was not asked for again: %v", err)
	}
	toks, err := c.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, k := range toks {
		if k.Name == "once" {
			n++
		}
	}
	if asked.Load() != 2 || n != 1 {
		t.Errorf("%d requests made %d tokens, want 2 and 1", asked.Load(), n)
	}
}

func TestClient_events(t *testing.T) {
	w, c := owner(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { // ends with the test's context
		mode := ringwall.Learn
		for v := ringwall.Learn; ctx.Err() == nil; v++ {
			mode = ringwall.Mode(uint8(v) % 3)
			_, _ = w.PatchDevice(ctx, w.Owner, w.GoodCamera, 0, api.DevicePatch{Mode: &mode})
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for e, err := range c.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != ringwall.EventDeviceMode || e.Subject.ID != string(w.GoodCamera) {
			t.Errorf("event %+v", e)
		}
		break
	}
	cancel()
	bad, _ := client.New(client.Config{Server: "127.0.0.1:1", Token: "rwt_x"})
	for _, err := range bad.Events(t.Context()) {
		if ringwall.CodeOf(err) != ringwall.Unavailable {
			t.Errorf("no platform: %v", err)
		}
	}
}

func TestClient_over_TLS(t *testing.T) {
	w := httpapitest.NewWorld(time.Now)
	srv := httptest.NewTLSServer(httpapi.New(httpapi.Config{Service: w, Log: slog.New(slog.DiscardHandler), Secure: true}))
	defer srv.Close()
	c, err := client.New(client.Config{Server: srv.URL, Token: w.OwnerToken, HTTP: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err != nil {
		t.Error(err)
	}
	wrong, _ := client.New(client.Config{Server: srv.URL, Token: w.OwnerToken, HTTP: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}})
	if _, err := wrong.Me(t.Context()); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("an unknown certificate: %v", err)
	}
}
