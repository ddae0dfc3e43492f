package platform

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/mud"
)

func text(s string) *string { return &s }

// TestBulkEnrol_1000_gateways_by_one_token: each takes its own line, with its
// template and groups; nobody takes a line twice, or without being on the list.
func TestBulkEnrol_1000_gateways_by_one_token(t *testing.T) {
	t.Parallel()
	const n = 1000
	r := start(t, t.TempDir())
	svc, who := r.Service(), r.owner()
	g, err := svc.CreateGroup(t.Context(), who, api.GroupPatch{Name: text("branches")})
	if err != nil {
		t.Fatal(err)
	}
	arrival := ringwall.Enforce
	tpl, err := svc.PutTemplate(t.Context(), who, "", api.TemplatePut{Name: "branch", Site: api.Site{Arrival: &arrival, Resolver: text("192.0.2.53:53")}})
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]api.BulkLine, n)
	for i := range lines {
		lines[i] = api.BulkLine{Name: fmt.Sprintf("branch %d", i), Serial: fmt.Sprintf("S%05d", i), Template: "branch", Groups: []string{"branches"}}
	}
	tokens, err := svc.BulkEnrol(t.Context(), who, api.BulkEnrol{Lines: lines})
	if err != nil || len(tokens.Tokens) != 1 {
		t.Fatal(len(tokens.Tokens), err)
	}
	req, _ := request(t, tokens.Tokens[0].Token) // one key for all: what is tested is the door
	began := time.Now()
	for i := range n {
		one := req
		one.Name, one.Serial = "box", fmt.Sprintf("S%05d", i)
		if _, err := svc.Enrol(t.Context(), one); err != nil {
			t.Fatalf("gateway %d: %v", i, err)
		}
	}
	t.Logf("%d gateways enrolled in %s", n, time.Since(began))
	all, err := svc.FindGateways(t.Context(), who, httpapi.GatewayFilter{Template: tpl.ID})
	if err != nil || len(all) != n {
		t.Fatalf("%d gateways have the template, want %d: %v", len(all), n, err)
	}
	for _, gw := range all {
		if gw.Arrival != ringwall.Enforce || gw.Resolver != "192.0.2.53:53" || !slices.Contains(gw.Groups, g.ID) || gw.Serial == "" || gw.TemplateVersion != 1 {
			t.Fatalf("a gateway is set up as %+v", gw)
		}
	}
	for what, serial := range map[string]string{"a line that was used": "S00007", "a machine that is on no line": "S99999", "no serial number": ""} {
		one := req
		one.Name, one.Serial = "box", serial
		if _, err := svc.Enrol(t.Context(), one); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("%s enrols: %v", what, err)
		}
	}
}

func TestBulkEnrol_each_line_its_own_token(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	svc, who := r.Service(), r.owner()
	tokens, err := svc.BulkEnrol(t.Context(), who, api.BulkEnrol{Each: true, Lines: []api.BulkLine{{Name: "a", Serial: "1"}, {Name: "b"}}})
	if err != nil || len(tokens.Tokens) != 2 {
		t.Fatal(len(tokens.Tokens), err)
	}
	first, _ := request(t, tokens.Tokens[0].Token)
	if _, err := svc.Enrol(t.Context(), first); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("a token for serial number 1 enrols a machine without one: %v", err)
	}
	first.Serial = "1"
	for i, want := range []ringwall.Code{"", ringwall.Unverified} {
		if _, err := svc.Enrol(t.Context(), first); err == nil != (want == "") || err != nil && ringwall.CodeOf(err) != want {
			t.Errorf("try %d: %v", i, err)
		}
	}
	for _, bad := range []api.BulkEnrol{
		{}, {Lines: []api.BulkLine{{Name: "a"}, {Name: "a"}}}, {Lines: []api.BulkLine{{Name: ""}}}, {Lines: []api.BulkLine{{Name: "a", Template: "none"}}},
		{Lines: []api.BulkLine{{Name: "a"}}, Life: api.Duration(1000 * time.Hour)},
	} {
		if _, err := svc.BulkEnrol(t.Context(), who, bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestGateway_whose_clock_is_slow_comes_on_line: its reports bear a time of ten
// minutes ago; it speaks now all the same, and its clock is flagged.
func TestGateway_whose_clock_is_slow_comes_on_line(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	b := r.enrol()
	h := record(api.RecordHealth, api.Health{Version: "1.2.0", Clock: -10 * time.Minute, DNSRunning: true, Lost: 7, LogShare: 0.7})
	h.Time = h.Time.Add(-10 * time.Minute)
	r.report(b, h)
	var g api.Gateway
	r.wait("gateway on line", func() bool {
		var err error
		if g, err = r.Service().Gateway(t.Context(), r.owner(), b.answer.Gateway); err != nil {
			t.Fatal(err)
		}
		return g.Online
	})
	for _, flag := range []string{api.FlagClock, api.FlagLost, api.FlagDisk} {
		if !slices.Contains(g.Flags, flag) {
			t.Errorf("flags are %v, without %s", g.Flags, flag)
		}
		if found, err := r.Service().FindGateways(t.Context(), r.owner(), httpapi.GatewayFilter{Flag: flag}); err != nil || len(found) != 1 {
			t.Errorf("filter %s finds %d, %v", flag, len(found), err)
		}
	}
	if slices.Contains(g.Flags, api.FlagAway) || slices.Contains(g.Flags, api.FlagDNS) {
		t.Errorf("flags are %v", g.Flags)
	}
}

// TestGateway_of_protocol_1_gets_a_narrowed_document before it ever sees another.
func TestGateway_of_protocol_1_gets_a_narrowed_document(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	b := r.enrol()
	if d := r.desiredOf(b, 0); d.Version != api.Version {
		t.Fatalf("version %d", d.Version)
	}
	desk := &gatewayDesk{core: r.core, segments: r.segments, scopes: map[deskKey]audit.Scope{}, protocols: map[ringwall.GatewayID]int{}}
	a, err := desk.newest(t.Context(), api.DesiredSubject(b.answer.Org, b.answer.Gateway), []byte(`{"version":1}`))
	if err != nil || a.Signed == nil {
		t.Fatal(a, err)
	}
	keys := map[string]ed25519.PublicKey{}
	for id, k := range b.answer.SigningKeys {
		keys[id] = k
	}
	d, err := a.Signed.Open(keys)
	if err != nil || d.Version != 1 {
		t.Errorf("a gateway of protocol 1 gets version %d, %v", d.Version, err)
	}
	if g, err := r.Service().Gateway(t.Context(), r.owner(), b.answer.Gateway); err != nil || g.Protocol != 1 || !slices.Contains(g.Flags, api.FlagVersion) {
		t.Errorf("%+v, %v", g.Flags, err)
	}
}

func TestTemplate_versions_drift_and_rollout_undone(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	b := r.enrol()
	svc, who, id := r.Service(), r.owner(), b.answer.Gateway
	age := api.Duration(720 * time.Hour)
	tpl, err := svc.PutTemplate(t.Context(), who, "", api.TemplatePut{Name: "site", Site: api.Site{Resolver: text("192.0.2.53:53"), MaxAge: &age, Controllers: &[]api.Controller{{Role: "my-controller", Domains: []string{"hub.example"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PatchGateway(t.Context(), who, id, api.GatewayPatch{Template: &tpl.ID}); err != nil {
		t.Fatal(err)
	}
	d := r.desiredOf(b, 0)
	if d.Resolver.String() != "192.0.2.53:53" || time.Duration(d.MaxAge) != 720*time.Hour || len(d.Controllers) != 1 {
		t.Fatalf("the document has %v, %v, %v", d.Resolver, d.MaxAge, d.Controllers)
	}
	g, err := svc.PatchGateway(t.Context(), who, id, api.GatewayPatch{Resolver: text("192.0.2.99:53")})
	if err != nil || !slices.Equal(g.Drift, []string{"resolver"}) || !slices.Contains(g.Flags, api.FlagDrift) {
		t.Fatalf("drift %v, flags %v, %v", g.Drift, g.Flags, err)
	}
	if tpl, err = svc.PutTemplate(t.Context(), who, tpl.ID, api.TemplatePut{Site: api.Site{Resolver: text("192.0.2.54:53")}}); err != nil || tpl.Version != 2 || tpl.Behind != 1 || tpl.Drifted != 1 {
		t.Fatalf("%+v, %v", tpl, err)
	}
	// A rollout gives the second version; the gateway refuses it, and it is undone.
	ro, err := svc.StartRollout(t.Context(), who, api.RolloutStart{Change: api.RolloutChange{Template: tpl.ID}, Stages: []int{100}, Soak: api.Duration(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	d = r.desiredOf(b, 0)
	if d.Resolver.String() != "192.0.2.54:53" {
		t.Fatalf("the document has resolver %v", d.Resolver)
	}
	r.report(b, record(api.RecordAck, api.Ack{Generation: d.Generation, Error: "no such resolver", At: time.Now()}), record(api.RecordHealth, api.Health{}))
	r.wait("rollout stopped", func() bool {
		ro, err = svc.Rollout(t.Context(), who, ro.ID)
		return err == nil && ro.Status == api.RolloutStopped
	})
	if g, err = svc.Gateway(t.Context(), who, id); err != nil || g.TemplateVersion != 1 || g.Resolver != "192.0.2.99:53" {
		t.Errorf("undone, the gateway has version %d and resolver %s, %v", g.TemplateVersion, g.Resolver, err)
	}
}

// TestNotices_become_what_they_are: counted, told once, alerts where they matter.
func TestNotices_become_what_they_are(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	b := r.enrol()
	r.report(b, record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 1 })
	d := r.devices()[0]
	notice := func(n api.Notice) { r.report(b, record(api.RecordNotice, n)) }
	for range 3 {
		notice(api.Notice{Kind: api.NoticeMappingTry, Device: d.ID, Detail: map[string]string{"protocol": "tcp", "port": "554"}, Count: 2})
	}
	notice(api.Notice{Kind: api.NoticeRogue, MAC: d.Binding.MAC, Text: "DHCP server"})
	notice(api.Notice{Kind: api.NoticeRolledBack, Text: "the platform was not heard"})
	notice(api.Notice{Kind: api.NoticeMapping, Device: "dev_of-somebody-else", Text: "x"})
	notice(api.Notice{Kind: api.NoticeMUD, Device: d.ID, Detail: map[string]string{"url": "https://mud.vendor.example/cam.json"}})
	svc, who := r.Service(), r.owner()
	var g api.Gateway
	r.wait("notices", func() bool {
		m, err := svc.MUD(t.Context(), who, d.ID)
		g, _ = svc.Gateway(t.Context(), who, b.answer.Gateway)
		return err == nil && m.URL != "" && len(g.Notices) == 4
	})
	if !slices.Contains(g.Flags, api.FlagRolledBack) {
		t.Errorf("flags %v", g.Flags)
	}
	at := slices.IndexFunc(g.Notices, func(n api.GatewayNotice) bool { return n.Kind == api.NoticeMappingTry })
	if at < 0 || g.Notices[at].Total != 6 {
		t.Errorf("notices %+v", g.Notices)
	}
	line, err := svc.Timeline(t.Context(), who, deviceSubject(d.ID), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]int{}
	for _, e := range line {
		keys[e.Key]++
		if e.Key == "timeline.alert" {
			keys[e.Params["rule"]]++
		}
	}
	for key, want := range map[string]int{"timeline.device.mapping": 1, "timeline.device.rogue": 1, ruleMappingTry: 1, ruleRogue: 1, "timeline.device.mud.at": 1} {
		if keys[key] != want {
			t.Errorf("%s is told %d times, want %d: %v", key, keys[key], want, keys)
		}
	}
}

// seenFlow reports one flow of a device.
func seenFlow(t *testing.T, d api.Device, at time.Time, remote, name string) api.Record {
	t.Helper()
	row := flow.Record{
		Start: at, End: at, Device: d.ID, Direction: flow.FromDevice, Proto: 6, Local: netip.AddrPortFrom(d.Binding.IP, 40000), Remote: netip.MustParseAddrPort(remote),
		Name: name, Verdict: flow.Allowed, PacketsUp: 5, BytesUp: 500,
	}
	b, err := row.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return api.Record{Time: at, Kind: api.RecordFlow, Bin: b}
}

// TestLearn_explain_approve: what was seen on two days is proposed with its
// evidence; approved, it is the owner's; a deny is explained by the flows that it
// would have refused.
func TestLearn_explain_approve(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	b := r.enrol()
	r.report(b, record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 1 })
	svc, who, d := r.Service(), r.owner(), r.devices()[0]
	yes := true
	if _, err := svc.PatchDevice(t.Context(), who, d.ID, 0, api.DevicePatch{Enrolled: &yes}); err != nil {
		t.Fatal(err)
	}
	var records []api.Record
	for day := range 3 {
		for range 2 {
			records = append(records, seenFlow(t, d, time.Now().AddDate(0, 0, -day), "198.51.100.20:443", "cloud.vendor.example"))
		}
	}
	records = append(records, seenFlow(t, d, time.Now(), "203.0.113.66:4444", ""))
	r.report(b, records...)
	draft, err := svc.LearnPolicy(t.Context(), who, d.ID, api.LearnRequest{Days: 7})
	if err != nil || len(draft.Lines) != 1 || draft.Lines[0].Term.Domain != "cloud.vendor.example" || draft.Lines[0].Days != 3 || len(draft.Left) != 1 {
		t.Fatalf("%+v, %v", draft, err)
	}
	enforce := ringwall.Enforce
	v, err := svc.ApproveDraft(t.Context(), who, d.ID, api.DraftApproval{Terms: []api.Term{draft.Lines[0].Term}, Mode: &enforce})
	if err != nil || len(v.Owner) != 1 || v.Mode != ringwall.Enforce {
		t.Fatalf("%+v, %v", v, err)
	}
	deny := api.Term{ID: "no-cloud", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.0/24"), Proto: "any"}
	x, err := svc.ExplainPolicy(t.Context(), who, d.ID, api.OwnerTerms{Terms: append(v.Owner, deny)})
	if err != nil || len(x.Flows) != 1 || x.Flows[0].Name != "cloud.vendor.example" || x.Looked != len(records) || len(x.Refuses) == 0 {
		t.Errorf("%+v, %v", x, err)
	}
	if now, err := svc.DevicePolicy(t.Context(), who, d.ID); err != nil || len(now.Owner) != 1 {
		t.Errorf("explaining changed it: %+v, %v", now.Owner, err)
	}
	if _, err := svc.PutOwnerTerms(t.Context(), who, d.ID, api.OwnerTerms{Terms: []api.Term{{ID: "a/b", Action: api.Allow, Direction: api.FromDevice, Local: true, Proto: "any"}}}); err == nil {
		t.Error("an owner's term takes the form of a group's")
	}
}

// fakeMUD answers with the file that it holds now.
type fakeMUD struct{ body []byte }

func (f *fakeMUD) Fetch(_ context.Context, at string) (*mudfetch.Fetched, error) {
	file, err := mud.Parse(f.body)
	if err != nil {
		return nil, err
	}
	return &mudfetch.Fetched{URL: at, At: time.Now(), Body: f.body, File: file}, nil
}

// TestMUD_is_proposed_then_narrows_then_allows, and a newer file waits for a
// person.
func TestMUD_is_proposed_then_narrows_then_allows(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	b := r.enrol()
	r.report(b, record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 1 })
	svc, who, d := r.Service(), r.owner(), r.devices()[0]
	yes := true
	if _, err := svc.PatchDevice(t.Context(), who, d.ID, 0, api.DevicePatch{Enrolled: &yes}); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile("../../mud/testdata/camera.json")
	if err != nil {
		t.Fatal(err)
	}
	file, err := mud.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	get := &fakeMUD{body: body}
	r.service.muds = get
	m, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{URL: file.URL})
	if err != nil || m.Status != mudProposed || len(m.Terms) == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	ofMUD := func() (n int) {
		v, err := svc.DevicePolicy(t.Context(), who, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, term := range v.Terms {
			if slices.ContainsFunc(m.Terms, func(m api.Term) bool { return m.ID == term.ID }) {
				n++
			}
		}
		return n
	}
	if n := ofMUD(); n != 0 {
		t.Errorf("%d terms of a proposal are in force", n)
	}
	if m, err = svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "narrow"}); err != nil || m.Status != mudNarrow {
		t.Fatal(m, err)
	}
	allows := 0
	for _, term := range m.Terms {
		if term.Action == api.Allow {
			allows++
		}
	}
	if n := ofMUD(); n > len(m.Terms)-allows {
		t.Errorf("narrow-only, %d of its terms are in force, of which only %d deny", n, len(m.Terms)-allows)
	}
	if m, err = svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "approve"}); err != nil || ofMUD() != len(m.Terms) {
		t.Fatalf("approved, %d of %d terms are in force, %v", ofMUD(), len(m.Terms), err)
	}
	before := len(m.Terms)
	for i := range file.ACLs {
		if len(file.ACLs[i].ACEs) > 1 {
			file.ACLs[i].ACEs = file.ACLs[i].ACEs[:1]
		}
	}
	file.Supported = false
	if get.body, err = mud.Write(file); err != nil {
		t.Fatal(err)
	}
	if m, err = svc.DecideMUD(t.Context(), who, d.ID, api.MUDDecision{Decision: "refresh"}); err != nil || m.Changed == nil || len(m.Terms) != before || m.Supported {
		t.Fatalf("a newer file: %+v, %v", m, err)
	}
	if a, err := svc.Device(t.Context(), who, d.ID); err != nil {
		t.Fatal(err)
	} else if shown, err := svc.Assessment(t.Context(), who, a.Assess); err == nil && !slices.ContainsFunc(shown.Findings, func(f ringwall.Finding) bool { return f.Indicator == "FS-12" && f.Outcome == ringwall.Fail }) {
		t.Errorf("its maker has given it up, and the assessment says %+v", shown.Findings)
	}
	if x, err := svc.ExportMUD(t.Context(), who, d.ID); err != nil {
		t.Error(err)
	} else if _, err := mud.Parse(x.File); err != nil || x.Change == nil {
		t.Errorf("the exported draft does not parse: %v", err)
	}
	if _, err := svc.PutMUD(t.Context(), who, d.ID, api.MUDPut{URL: "http://10.0.0.1/x"}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a URL without TLS is taken: %v", err)
	}
}

// TestSIMProfile_at_operator_gateway_and_usage_rules, and undone.
func TestSIMProfile_at_operator_gateway_and_usage_rules(t *testing.T) {
	t.Parallel()
	const iccid, imsi = "8986001234567890127", "460001234567890"
	store, err := operatorport.NewMemStore(time.Now, nil, operatorport.Card{ICCID: iccid, IMSI: imsi})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(operatorport.NewHandler(operatorport.HandlerConfig{Store: store, Token: "secret"}))
	defer srv.Close()
	port, err := operatorport.New(operatorport.Config{URL: srv.URL, Token: "secret", Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t.TempDir(), nopTerminal{})
	cfg.Operator = port
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	b := r.enrol()
	r.report(b, record(api.RecordHealth, api.Health{Version: "t"}), record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 1 })
	svc, who, d := r.Service(), r.owner(), r.devices()[0]
	card, err := svc.CreateSIM(t.Context(), who, api.SIMCreate{ICCID: iccid, IMSI: imsi, Device: d.ID, Services: []string{"data", "sms"}})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	if _, err := svc.PatchDevice(t.Context(), who, d.ID, 0, api.DevicePatch{Enrolled: &yes, BySIM: &yes}); err != nil {
		t.Fatal(err)
	}
	profile := api.FunctionProfile{Name: "meter", Data: &api.DataUse{APNs: []string{"iot.example"}, Peers: []api.FunctionPeer{{CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "tcp", Ports: []api.PortRange{{First: 8883, Last: 8883}}}}}}
	versions, err := svc.PutSIMProfile(t.Context(), who, card.ID, profile)
	if err != nil || len(versions) != 2 || versions[0].Profile.Name != "meter" {
		t.Fatalf("%+v, %v", versions, err)
	}
	state := func(want string) {
		t.Helper()
		r.wait("profile "+want, func() bool {
			versions, err = svc.SIMProfiles(t.Context(), who, card.ID)
			return err == nil && versions[0].State == want
		})
	}
	state(profileDone)
	if s, ok := store.Settings(iccid); !ok || !s.Data.Out || s.SMS.Out || !slices.Equal(s.APNs, []string{"iot.example"}) {
		t.Errorf("the operator has %+v, %v", s, ok)
	}
	if s, err := svc.SIM(t.Context(), who, card.ID); err != nil || !slices.Equal(s.Services, []string{"data"}) {
		t.Errorf("usage is judged by %v, %v", s.Services, err)
	}
	doc := r.desiredOf(b, 0)
	dev := doc.Devices[0]
	if len(doc.SubscriberSalt) != 16 || dev.Binding.Subscriber == "" || dev.Binding.MAC != "" || !slices.ContainsFunc(dev.Terms, func(t api.Term) bool { return t.CIDR.String() == "198.51.100.20/32" }) {
		t.Errorf("the document has %+v", dev)
	}
	if versions, err = svc.UndoSIMProfile(t.Context(), who, card.ID); err != nil || !versions[0].None {
		t.Fatalf("%+v, %v", versions, err)
	}
	state(profileDone)
	if _, ok := store.Settings(iccid); ok {
		t.Error("undone, the operator still has settings of ours")
	}
	if s, err := svc.SIM(t.Context(), who, card.ID); err != nil || !slices.Equal(s.Services, []string{"data", "sms"}) {
		t.Errorf("undone, usage is judged by %v, %v", s.Services, err)
	}
}

type nopTerminal struct{}

func (nopTerminal) Write(b []byte) (int, error) { return len(b), nil }
