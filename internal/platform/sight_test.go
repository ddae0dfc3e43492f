package platform

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
)

// as returns a person of the house's organisation who plays these parts.
func (h *house) as(parts ...ringwall.Part) audit.Actor {
	return audit.Actor{Kind: audit.KindUser, ID: "usr_" + string(parts[0]), Org: h.Org(), Parts: parts}
}

// show returns all that a person is answered, as one text, and what was
// forbidden to that person.
func (h *house) show(a audit.Actor, sim ringwall.SIMID) (text string, forbidden []string) {
	h.Helper()
	svc, ctx := h.Service(), h.Context()
	one := httpapi.Paging{Limit: 100}
	device, card := deviceSubject(h.dev.ID), ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim)}
	for name, ask := range map[string]func() (any, error){
		"overview":  func() (any, error) { return svc.Overview(ctx, a) },
		"devices":   func() (any, error) { return svc.Devices(ctx, a, httpapi.DeviceFilter{}, one) },
		"device":    func() (any, error) { return svc.Device(ctx, a, h.dev.ID) },
		"flows":     func() (any, error) { return svc.Flows(ctx, a, h.dev.ID, httpapi.FlowQuery{}) },
		"assess":    func() (any, error) { return svc.Assessments(ctx, a, h.dev.ID, one) },
		"timeline":  func() (any, error) { return svc.Timeline(ctx, a, device, time.Time{}, 100) },
		"card":      func() (any, error) { return svc.Timeline(ctx, a, card, time.Time{}, 100) },
		"sims":      func() (any, error) { return svc.SIMs(ctx, a, one) },
		"responses": func() (any, error) { return svc.Responses(ctx, a, httpapi.ResponseFilter{}, one) },
		"incidents": func() (any, error) { return svc.Incidents(ctx, a, httpapi.IncidentFilter{}, one) },
	} {
		v, err := ask()
		if isCode(err, ringwall.Forbidden) {
			forbidden = append(forbidden, name)
			continue
		}
		if err != nil {
			h.Fatalf("%s for %v: %v", name, a.Parts, err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			h.Fatal(err)
		}
		text += string(b) + "\n"
	}
	slices.Sort(forbidden)
	return text, forbidden
}

func TestEachPartSeesWhatItIsEntitledTo(t *testing.T) {
	h := newHouse(t)
	const name, reason, lan, mac = "The nursery", "the nanny did it", "10.77.0.2", "02:00:00:00:00:01"
	text := name
	if _, err := h.Service().PatchDevice(t.Context(), h.owner(), h.dev.ID, 0, api.DevicePatch{Name: &text}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Service().SubmitAssessment(t.Context(), h.owner(), api.Assessment{Device: h.dev.ID, Target: lan, Vendor: "Acme", Model: "C100", Findings: []ringwall.Finding{
		{Indicator: "AP-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "takes a default password", Source: "probe/rtsp", Evidence: []string{"rtsp://" + lan + " opened"}},
	}}); err != nil {
		t.Fatal(err)
	}
	sim, err := h.Service().CreateSIM(t.Context(), h.owner(), api.SIMCreate{ICCID: "8986001234567890127", IMSI: "460001234567890", Device: h.dev.ID})
	if err != nil {
		t.Fatal(err)
	}
	watched := map[ringwall.Part]<-chan ringwall.Event{}
	for _, p := range []ringwall.Part{ringwall.PartManufacturer, ringwall.PartOperator, ringwall.PartProvider} {
		if watched[p], err = h.Service().Events(t.Context(), h.as(p)); err != nil {
			t.Fatalf("events for a %s: %v", p, err)
		}
	}
	if _, err := h.Service().Events(t.Context(), h.as(ringwall.PartPlatform, ringwall.Part("none"))); err != nil && !isCode(err, ringwall.Forbidden) {
		t.Error(err)
	}
	owner := h.owner()
	for _, r := range []api.ResponseCreate{
		{Kind: incident.Quarantine, Target: deviceSubject(h.dev.ID), Reason: reason},
		{Kind: incident.SIMSuspend, Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim.ID)}, Reason: reason},
	} {
		if _, err := h.Service().CreateResponse(t.Context(), owner, r); err != nil {
			t.Fatal(err)
		}
	}
	s := sighting(1)
	s.Port = "lan7" // it moves while being learned: its whereabouts are told
	h.report(h.b, record(api.RecordPresence, s))
	h.wait("rebinding", func() bool { return h.devices()[0].Binding.Port == "lan7" })
	device, gw := string(h.dev.ID), string(h.b.answer.Gateway)
	for _, tt := range []struct {
		part                 ringwall.Part
		see, hide, forbidden []string
	}{
		{ringwall.PartOwner, []string{name, reason, lan, mac, device, string(sim.ID), gw, owner.ID, "lan7"}, nil, nil},
		{ringwall.PartAuditor, []string{name, reason, lan, mac}, nil, nil},
		{ringwall.PartIntegrator, []string{name, lan, mac}, nil, nil},
		{ringwall.PartProvider, []string{name, "quarantine", "C100"}, []string{reason, lan, mac, owner.ID, "lan7"}, []string{"flows"}},
		{ringwall.PartApplication, []string{name}, []string{reason, lan, mac, owner.ID, "lan7"}, []string{"flows"}},
		{ringwall.PartManufacturer, []string{"Acme C100", "default password"}, []string{name, reason, lan, mac, owner.ID, gw, string(sim.ID), "lan7", string(h.Org())},
			[]string{"card", "flows", "incidents", "responses", "sims"}},
		{ringwall.PartOperator, []string{string(sim.ID), "sim-suspend"}, []string{name, reason, lan, mac, device, owner.ID, gw, "quarantine"},
			[]string{"assess", "device", "devices", "flows", "overview", "timeline"}},
		{ringwall.PartIntermediary, []string{string(sim.ID)}, []string{name, reason, lan, mac, device, owner.ID, gw},
			[]string{"assess", "device", "devices", "flows", "incidents", "overview", "responses", "timeline"}},
		{ringwall.PartPlatform, nil, []string{name, reason, lan, mac, device},
			[]string{"assess", "card", "device", "devices", "flows", "incidents", "overview", "responses", "sims", "timeline"}},
	} {
		t.Run(string(tt.part), func(t *testing.T) {
			got, forbidden := h.show(h.as(tt.part), sim.ID)
			if !slices.Equal(forbidden, tt.forbidden) {
				t.Errorf("forbidden are %v, want %v", forbidden, tt.forbidden)
			}
			for _, s := range tt.see {
				if !strings.Contains(got, s) {
					t.Errorf("%q is hidden", s)
				}
			}
			if tt.part == ringwall.PartIntermediary || tt.part == ringwall.PartOperator {
				got = strings.ReplaceAll(got, `"org":"`+string(h.Org()), "") // their own
			}
			for _, s := range tt.hide {
				if i := strings.Index(got, s); i >= 0 {
					t.Errorf("%q is shown: …%s…", s, got[max(0, i-150):min(len(got), i+60)])
				}
			}
		})
	}
	if page, err := h.Service().Devices(t.Context(), h.as(ringwall.PartManufacturer), httpapi.DeviceFilter{Text: "nursery"}, httpapi.Paging{}); err != nil || len(page.Items) > 0 {
		t.Errorf("a manufacturer finds %d devices by what the owner calls them, %v", len(page.Items), err)
	}
	for part, ch := range watched {
		heard := 0
		for quiet := false; !quiet; {
			select {
			case e := <-ch:
				heard++
				b, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range []string{reason, mac, owner.ID, "lan7"} {
					if strings.Contains(string(b), s) {
						t.Errorf("a %s hears %s", part, b)
					}
				}
				if part == ringwall.PartOperator && e.Subject.Kind != ringwall.SubjectSIM || part == ringwall.PartManufacturer && e.Subject.Kind != ringwall.SubjectDevice {
					t.Errorf("a %s hears of %v", part, e.Subject)
				}
			case <-time.After(500 * time.Millisecond):
				quiet = true
			}
		}
		if heard == 0 {
			t.Errorf("a %s hears nothing", part)
		}
	}
}

func TestAStreamOfSomeEndsWithItsWatcher(t *testing.T) {
	h := newHouse(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := h.Service().Events(ctx, h.as(ringwall.PartManufacturer))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for deadline := time.After(5 * time.Second); ; {
		select {
		case _, open := <-ch:
			if !open {
				return
			}
		case <-deadline:
			t.Fatal("it does not end")
		}
	}
}

// TestWhatIsToldExists: each entry that is shown in part is one that is told.
func TestWhatIsToldExists(t *testing.T) {
	for key := range told {
		if messages[key] == "" {
			t.Errorf("%q is no message", key)
		}
	}
}

// answered returns the settled answer of an assessment to one indicator.
func answered(t *testing.T, a api.Assessment, indicator string) ringwall.Finding {
	t.Helper()
	i := slices.IndexFunc(a.Findings, func(f ringwall.Finding) bool { return f.Indicator == indicator })
	if i < 0 {
		t.Fatalf("the assessment does not answer %s: %+v", indicator, a)
	}
	return a.Findings[i]
}

func TestASubmitterCannotForge(t *testing.T) {
	h := newHouse(t)
	future := time.Now().Add(1000 * time.Hour)
	submit := func(fs ...ringwall.Finding) (api.Assessment, error) {
		return h.Service().SubmitAssessment(t.Context(), h.as(ringwall.PartIntegrator), api.Assessment{
			Device: h.dev.ID, Findings: fs, Started: future, Reasons: []string{"forged"}, Grade: ringwall.LowRisk, Type: strings.Repeat("x", 1000), Vendor: strings.Repeat("长", 1000),
		})
	}
	pass := func(source string, c ringwall.Confidence, at time.Time) ringwall.Finding {
		return ringwall.Finding{Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: c, Source: source, Time: at, Title: strings.Repeat("长", 4000), Evidence: []string{strings.Repeat("e", 1<<16)}}
	}
	fail := pass("probe/telnet", ringwall.Confirmed, time.Time{})
	fail.Outcome = ringwall.Fail
	a, err := submit(fail)
	if err != nil {
		t.Fatal(err)
	}
	if f := answered(t, a, "AP-01"); f.Time.After(time.Now()) || f.Time.IsZero() || len(f.Title) > maxSaid || len(f.Evidence[0]) > maxLine || len(a.Vendor) > maxName || a.Started.After(time.Now()) || slices.Contains(a.Reasons, "forged") {
		t.Errorf("kept is %.300v", a)
	}
	if d := h.devices()[0]; d.Type != h.dev.Type || d.Grade != ringwall.HighRisk {
		t.Errorf("the device is a %.20q of %v risk", d.Type, d.Grade)
	}
	unknown := pass("me", ringwall.Observed, time.Time{})
	unknown.Outcome = ringwall.Unknown
	for name, f := range map[string]ringwall.Finding{
		"the device's agent": pass("agent/1", ringwall.Confirmed, time.Now()), "an incident": pass("incident/inc_1", ringwall.Confirmed, future),
		"nobody": pass("", ringwall.Confirmed, time.Now()), "a declaration": pass("declaration/me", ringwall.Declared, future), "a gateway": pass("inline/gw", ringwall.Confirmed, time.Now()),
		"somebody who does not know": unknown,
	} {
		a, err := submit(f)
		if err != nil {
			t.Fatal(err)
		}
		if g := answered(t, a, "AP-01"); g.Outcome != ringwall.Fail || g.Source != "probe/telnet" {
			t.Errorf("in the name of %s the failure became %v by %q", name, g.Outcome, g.Source)
		}
	}
	// A probe that measured it does, also when somebody had dated an answer ahead.
	if a, err = submit(pass("probe/telnet", ringwall.Observed, time.Now())); err != nil || answered(t, a, "AP-01").Outcome != ringwall.Pass {
		t.Errorf("measured again it is %v, %v", answered(t, a, "AP-01").Outcome, err)
	}
	for name, fs := range map[string][]ringwall.Finding{
		"an indicator that is none": {{Indicator: "XX-99"}}, "too many": make([]ringwall.Finding, maxSubmitted+1),
	} {
		if _, err := submit(fs...); !isCode(err, ringwall.Invalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestACompromiseIsNotClearedByNothing(t *testing.T) {
	h := newHouse(t)
	owner := h.owner()
	err := h.turn(t.Context(), h.Org(), func(tn *turn) error {
		scope, err := tn.projector()
		if err != nil {
			return err
		}
		return tn.writeFinding(scope, h.dev.ID, ringwall.Finding{
			Indicator: ringwall.ObservedCompromise, Module: ringwall.Firmware, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "incident:inc_1", Time: tn.at, Title: "seen", Evidence: []string{"e"},
		}, "inc_1")
	})
	if err != nil {
		t.Fatal(err)
	}
	stands := func(a api.Assessment) bool { return compromised(a.Findings) }
	cleared := ringwall.Finding{Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Source: "incident:inc_1", Time: time.Now().Add(time.Hour)}
	door := func(id, source string) ringwall.Finding {
		return ringwall.Finding{Indicator: id, Outcome: ringwall.Pass, Confidence: ringwall.Observed, Source: source, Title: "shut", Time: time.Now()}
	}
	for name, fs := range map[string][]ringwall.Finding{
		"nothing": nil, "its own forged pass": {cleared}, "what somebody says": {door("AP-01", "me"), door("AP-05", "agent/1"), door("CO-02", "declaration/me")},
		"what was found before": {{Indicator: "CO-02", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Source: "probe/ports", Time: time.Now().Add(-time.Hour)}},
	} {
		a, err := h.Service().SubmitAssessment(t.Context(), owner, api.Assessment{Device: h.dev.ID, Findings: fs})
		if err != nil || !stands(a) {
			t.Errorf("%s clears it (%v)", name, err)
		}
	}
	a, err := h.Service().SubmitAssessment(t.Context(), owner, api.Assessment{MAC: "02-00-00-00-00-01", Findings: []ringwall.Finding{door("AP-01", "probe/telnet"), door("AP-05", "probe/onvif"), door("CO-02", "probe/ports")}})
	if err != nil || a.Device != h.dev.ID || stands(a) {
		t.Errorf("measured shut: of device %q, stands %v, %v", a.Device, stands(a), err)
	}
}

func TestABoundDeviceIsRefusedElsewhereUntilPinnedAnew(t *testing.T) {
	h := newHouse(t)
	yes, enforce := true, ringwall.Enforce
	if _, err := h.Service().PatchDevice(t.Context(), h.owner(), h.dev.ID, 0, api.DevicePatch{Pin: &yes}); !isCode(err, ringwall.Conflict) {
		t.Errorf("pinning what is where it belongs: %v, want conflict", err)
	}
	if _, err := h.Service().PatchDevice(t.Context(), h.owner(), h.dev.ID, 0, api.DevicePatch{Enrolled: &yes, Mode: &enforce}); err != nil {
		t.Fatal(err)
	}
	s := sighting(1)
	s.Port = "lan5"
	for range 3 {
		s.Last = time.Now().UTC()
		h.report(h.b, record(api.RecordPresence, s))
	}
	h.wait("sight elsewhere", func() bool { d := h.devices()[0]; return d.Elsewhere != nil && d.Elsewhere.Port == "lan5" })
	if d := h.desiredOf(h.b, 0); d.Devices[0].Binding.Port != "lan0" {
		t.Errorf("it is bound to %+v", d.Devices[0].Binding)
	}
	h.report(h.b, record(api.RecordPresence, sighting(2)))
	h.wait("second device", func() bool { return len(h.devices()) == 2 })
	line, err := h.Service().Timeline(t.Context(), h.owner(), deviceSubject(h.dev.ID), time.Time{}, 100)
	n := 0
	for _, e := range line {
		if e.Key == "timeline.device.elsewhere" {
			n++
			if !strings.Contains(e.Text, "lan5/10.77.0.2") {
				t.Errorf("it says %q", e.Text)
			}
		}
	}
	if err != nil || n != 1 {
		t.Errorf("told %d times, %v; want once", n, err)
	}
	d, err := h.Service().PatchDevice(t.Context(), h.owner(), h.dev.ID, 0, api.DevicePatch{Pin: &yes})
	if err != nil || d.Elsewhere != nil || d.Binding.Port != "lan5" {
		t.Errorf("pinned it is at %+v, elsewhere %v, %v", d.Binding, d.Elsewhere, err)
	}
	if d := h.desiredOf(h.b, 0); !slices.ContainsFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Device == h.dev.ID && p.Binding.Port == "lan5" }) {
		t.Errorf("the gateway is told %+v", d.Devices)
	}
}

func TestARevokedGatewayIsRefused(t *testing.T) {
	h := newHouse(t)
	svc, id, yes, no := h.Service(), h.b.answer.Gateway, true, false
	if _, err := svc.PatchGateway(t.Context(), h.as(ringwall.PartProvider), id, api.GatewayPatch{Revoked: &yes}); !isCode(err, ringwall.Forbidden) {
		t.Errorf("a provider revokes: %v", err)
	}
	g, err := svc.PatchGateway(t.Context(), h.owner(), id, api.GatewayPatch{Revoked: &yes})
	if err != nil || g.Revoked.IsZero() || g.Online {
		t.Fatalf("revoked: %+v, %v", g, err)
	}
	if ack := h.report(h.b, record(api.RecordHealth, api.Health{Version: "t"})); ack.Error == "" || ack.Seq != 0 {
		t.Errorf("its report is taken: %+v", ack)
	}
	out, err := h.b.conn.Request(t.Context(), api.DesiredSubject(h.b.answer.Org, id), []byte(`{"version":1,"csr":"x"}`))
	var a api.DesiredAnswer
	if err != nil || json.Unmarshal(out, &a) != nil || a.Error == "" || a.Signed != nil || a.Renewed != nil {
		t.Errorf("it is answered %s, %v", out, err)
	}
	h.b.conn.Close()
	again := dialSpine(t, h.b, h.SpineAddr())
	time.Sleep(time.Second)
	if again.Connected() {
		t.Error("it is let in again")
	}
	if _, err := svc.PatchGateway(t.Context(), h.owner(), id, api.GatewayPatch{Revoked: &no}); !isCode(err, ringwall.Conflict) {
		t.Errorf("taking it back: %v, want conflict", err)
	}
	r := h.ask(incident.Quarantine, 0)
	if got := h.becomes(r, incident.Failed); !strings.Contains(got.Error, "revoked") {
		t.Errorf("a response behind it failed for %q", got.Error)
	}
}

func TestASIMSitsInOneDevice(t *testing.T) {
	h := newHouse(t)
	h.report(h.b, record(api.RecordPresence, sighting(2)))
	h.wait("second device", func() bool { return len(h.devices()) == 2 })
	ds := h.devices()
	sim, err := h.Service().CreateSIM(t.Context(), h.owner(), api.SIMCreate{ICCID: "8986001234567890127", IMSI: "460001234567890"})
	if err != nil {
		t.Fatal(err)
	}
	bind := func(d ringwall.DeviceID, s ringwall.SIMID) error {
		_, err := h.Service().PatchDevice(t.Context(), h.owner(), d, 0, api.DevicePatch{SIM: &s})
		return err
	}
	in := func() ringwall.DeviceID {
		s, err := h.Service().SIM(t.Context(), h.owner(), sim.ID)
		if err != nil {
			t.Fatal(err)
		}
		return s.Device
	}
	if err := bind(ds[0].ID, sim.ID); err != nil || in() != ds[0].ID {
		t.Errorf("bound: %v, it is in %q", err, in())
	}
	if err := bind(ds[1].ID, sim.ID); !isCode(err, ringwall.Conflict) {
		t.Errorf("bound twice: %v, want conflict", err)
	}
	if err := bind(ds[0].ID, ""); err != nil || in() != "" {
		t.Errorf("taken out: %v, it is in %q", err, in())
	}
	if err := bind(ds[1].ID, sim.ID); err != nil || in() != ds[1].ID {
		t.Errorf("bound anew: %v, it is in %q", err, in())
	}
}
