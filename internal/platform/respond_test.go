package platform

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/operatorport"
)

// house is a platform with a gateway and a device behind it.
type house struct {
	*running
	b   *box
	dev api.Device
}

func newHouse(t *testing.T) *house { return inHouse(start(t, t.TempDir())) }

// inHouse gives a platform a gateway with a device behind it.
func inHouse(r *running) *house {
	h := &house{running: r, b: r.enrol()}
	r.report(h.b, record(api.RecordHealth, api.Health{Version: "t"}), record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 1 })
	h.dev = r.devices()[0]
	h.ack(h.b)
	return h
}

// ack has a gateway say that its newest document is in force, until none
// newer comes of it.
func (h *house) ack(b *box) {
	h.Helper()
	for range 10 {
		d := h.desiredOf(b, 0)
		h.report(b, record(api.RecordAck, api.Ack{Generation: d.Generation, Hash: "h", At: time.Now()}))
		h.wait("acknowledgement", func() bool {
			g, err := h.Service().Gateway(h.Context(), h.owner(), b.answer.Gateway)
			return err == nil && g.InForce >= d.Generation
		})
		if h.desiredOf(b, d.Generation) == nil {
			return
		}
	}
	h.Fatal("each acknowledgement makes a newer document")
}

func (h *house) ask(kind string, expiry time.Duration) ringwall.ResponseID {
	h.Helper()
	r, err := h.Service().CreateResponse(h.Context(), h.owner(), api.ResponseCreate{Kind: kind, Target: deviceSubject(h.dev.ID), Reason: "test", Expiry: api.Duration(expiry)})
	if err != nil {
		h.Fatal(err)
	}
	return r.ID
}

func (h *house) response(id ringwall.ResponseID) api.Response {
	h.Helper()
	page, err := h.Service().Responses(h.Context(), h.owner(), httpapi.ResponseFilter{}, httpapi.Paging{})
	if err != nil {
		h.Fatal(err)
	}
	i := slices.IndexFunc(page.Items, func(r api.Response) bool { return r.ID == id })
	if i < 0 {
		return api.Response{}
	}
	return page.Items[i]
}

func (h *house) becomes(id ringwall.ResponseID, status string) api.Response {
	h.Helper()
	h.wait(fmt.Sprintf("response that is %s; it is %q", status, h.response(id).Status), func() bool { return h.response(id).Status == status })
	return h.response(id)
}

func (h *house) undo(id ringwall.ResponseID) {
	h.Helper()
	if _, err := h.Service().DecideResponse(h.Context(), h.owner(), id, httpapi.Undo); err != nil {
		h.Fatal(err)
	}
}

// holds returns what the newest document says of holds.
func (h *house) holds(b *box) (holds []ringwall.HoldID, releases []ringwall.HoldID) {
	h.Helper()
	d := h.desiredOf(b, 0)
	for _, x := range d.Holds {
		holds = append(holds, x.ID)
	}
	for _, x := range d.Releases {
		releases = append(releases, x.Hold)
	}
	return holds, releases
}

func (h *house) wantHolds(what string, b *box, holds, releases int) {
	h.Helper()
	if a, r := h.holds(b); len(a) != holds || len(r) != releases {
		h.Errorf("%s: the document has holds %v and releases %v, want %d and %d", what, a, r, holds, releases)
	}
}

func TestAResponseIsInForceOnceItsGatewaySaysSo(t *testing.T) {
	h := newHouse(t)
	id := h.ask(incident.Quarantine, 0)
	r := h.becomes(id, incident.Doing)
	h.wantHolds("asked for", h.b, 1, 0)
	h.ack(h.b)
	h.becomes(id, incident.Done)
	h.undo(id)
	h.becomes(id, incident.Undoing)
	h.wait("release", func() bool { _, rel := h.holds(h.b); return slices.Contains(rel, r.Hold) })
	h.ack(h.b)
	h.becomes(id, incident.Undone)
	h.wantHolds("undone", h.b, 0, 0)
	if d := h.devices()[0]; len(d.Holds) > 0 {
		t.Errorf("the device carries %v", d.Holds)
	}
}

func TestAResponseUndoneBeforeItsGatewayHeardOfIt(t *testing.T) {
	h := newHouse(t)
	id := h.ask(incident.Quarantine, 0)
	h.becomes(id, incident.Doing)
	h.undo(id)
	h.wait("release", func() bool { _, rel := h.holds(h.b); return len(rel) == 1 })
	if s := h.response(id).Status; s != incident.Undoing {
		t.Errorf("before the gateway has heard of it, it is %s", s)
	}
	h.ack(h.b)
	h.becomes(id, incident.Undone)
	h.wantHolds("undone", h.b, 0, 0)
}

func TestOfTwoResponsesOneIsUndone(t *testing.T) {
	h := newHouse(t)
	quarantine := h.ask(incident.Quarantine, 0)
	cutoff := h.ask(incident.Cutoff, 0)
	h.becomes(quarantine, incident.Doing)
	h.becomes(cutoff, incident.Doing)
	h.ack(h.b)
	h.becomes(quarantine, incident.Done)
	kept := h.becomes(cutoff, incident.Done)
	h.undo(quarantine)
	h.wait("release", func() bool { _, rel := h.holds(h.b); return len(rel) == 1 })
	h.ack(h.b)
	h.becomes(quarantine, incident.Undone)
	h.becomes(cutoff, incident.Done)
	if d := h.devices()[0]; len(d.Holds) != 1 || d.Holds[0].ID != kept.Hold || d.Trust > ringwall.T0 {
		t.Errorf("the device carries %v at %v; want the cutoff at T0", d.Holds, d.Trust)
	}
}

func TestAResponseRunsOutWhileItsGatewayIsAway(t *testing.T) {
	h := newHouse(t)
	id := h.ask(incident.Quarantine, 1500*time.Millisecond)
	r := h.becomes(id, incident.Doing)
	if d := h.desiredOf(h.b, 0); len(d.Holds) != 1 || !d.Holds[0].Expires.Equal(r.Expires) {
		t.Errorf("the hold is %+v, want one that the gateway can end at %v by itself", d.Holds, r.Expires)
	}
	h.becomes(id, incident.Undoing) // it does not stay "doing" for ever
	h.ack(h.b)
	h.becomes(id, incident.Expired)
	h.wantHolds("expired", h.b, 0, 0)
}

func TestAGatewayEndsAHoldInTime(t *testing.T) {
	h := newHouse(t)
	id := h.ask(incident.Quarantine, time.Minute)
	h.becomes(id, incident.Doing)
	h.ack(h.b)
	h.becomes(id, incident.Done)
	hold := h.desiredOf(h.b, 0).Holds[0]
	h.report(h.b, record(api.RecordHold, api.HoldReport{Hold: hold, Lifted: true, Why: "expired"}))
	h.becomes(id, incident.Expired)
}

func TestAGatewayCannotLiftWhatStands(t *testing.T) {
	h := newHouse(t)
	id := h.ask(incident.Quarantine, 0)
	h.becomes(id, incident.Doing)
	h.ack(h.b)
	hold := h.desiredOf(h.b, 0).Holds[0]
	other := h.enrol()
	h.report(other, record(api.RecordPresence, sighting(2)))
	h.wait("second device", func() bool { return len(h.devices()) == 2 })
	var theirs ringwall.DeviceID
	for _, d := range h.devices() {
		if d.ID != h.dev.ID {
			theirs = d.ID
		}
	}
	foreign := hold
	foreign.Device = theirs
	h.report(h.b, record(api.RecordHold, api.HoldReport{Hold: hold, Lifted: true, Why: "because"}))
	h.report(other, record(api.RecordHold, api.HoldReport{Hold: hold, Lifted: true}), record(api.RecordHold, api.HoldReport{Hold: foreign, Lifted: true}),
		record(api.RecordHold, api.HoldReport{Hold: foreign}), record(api.RecordPresence, sighting(3)))
	h.wait("third device", func() bool { return len(h.devices()) == 3 })
	h.becomes(id, incident.Done)
	h.wantHolds("after false reports", h.b, 1, 0)
	page, err := h.Service().Responses(t.Context(), h.owner(), httpapi.ResponseFilter{Target: deviceSubject(theirs)}, httpapi.Paging{})
	if err != nil || len(page.Items) > 0 {
		t.Errorf("a report on another's hold made the response %+v, %v", page.Items, err)
	}
	// Nor is a generation in force that was never made.
	h.report(h.b, record(api.RecordAck, api.Ack{Generation: 1 << 60, Hash: "h"}), record(api.RecordPresence, sighting(4)))
	h.wait("fourth device", func() bool { return len(h.devices()) == 4 })
	if g, err := h.Service().Gateway(t.Context(), h.owner(), h.b.answer.Gateway); err != nil || g.InForce > g.Desired {
		t.Errorf("in force is %d of %d, %v", g.InForce, g.Desired, err)
	}
}

func TestAHeldDeviceStaysHeldBehindAnotherGateway(t *testing.T) {
	h := newHouse(t)
	id := h.ask(incident.Quarantine, 0)
	h.becomes(id, incident.Doing)
	h.ack(h.b)
	first := h.becomes(id, incident.Done)
	second := h.enrol()
	s := sighting(1)
	s.First, s.Last = time.Now().UTC(), time.Now().UTC()
	h.report(second, record(api.RecordPresence, s))
	h.wait("move", func() bool { return h.devices()[0].Gateway == second.answer.Gateway })
	d := h.desiredOf(second, 0)
	if len(d.Devices) != 1 || len(d.Holds) != 1 || d.Holds[0].Device != h.dev.ID || d.Holds[0].Do != ringwall.Quarantine {
		t.Fatalf("the second gateway is told %+v with holds %+v", d.Devices, d.Holds)
	}
	if r := h.response(id); r.Status != incident.Doing || r.Hold != d.Holds[0].ID {
		t.Errorf("the response is %s by hold %s, want it doing by %s", r.Status, r.Hold, d.Holds[0].ID)
	}
	if _, rel := h.holds(h.b); !slices.Contains(rel, first.Hold) {
		t.Errorf("the first gateway is told of releases %v, want %s", rel, first.Hold)
	}
	h.ack(second)
	h.becomes(id, incident.Done)
	h.ack(h.b)
	h.wantHolds("moved away", h.b, 0, 0)
	h.undo(id)
	h.wait("release", func() bool { _, rel := h.holds(second); return len(rel) == 1 })
	h.ack(second)
	h.becomes(id, incident.Undone)
}

func TestAReflexIsUndoneLikeAnyResponse(t *testing.T) {
	h := newHouse(t)
	hold := api.Hold{ID: ringwall.HoldID(ringwall.NewID(ringwall.PrefixHold, time.Now())), Device: h.dev.ID, Do: ringwall.Quarantine, By: "reflex:mirai-scan", Reason: "scan", Made: time.Now().UTC()}
	h.report(h.b, record(api.RecordHold, api.HoldReport{Hold: hold, InForce: time.Now(), Took: time.Millisecond}))
	var id ringwall.ResponseID
	h.wait("response of the reflex", func() bool {
		page, err := h.Service().Responses(t.Context(), h.owner(), httpapi.ResponseFilter{Target: deviceSubject(h.dev.ID)}, httpapi.Paging{})
		if err == nil && len(page.Items) == 1 {
			id = page.Items[0].ID
		}
		return id != ""
	})
	h.undo(id)
	h.wait("release", func() bool { _, rel := h.holds(h.b); return slices.Contains(rel, hold.ID) })
	h.report(h.b, record(api.RecordHold, api.HoldReport{Hold: hold, Lifted: true, Why: "released"}))
	h.becomes(id, incident.Undone)
	h.wantHolds("lifted", h.b, 0, 0)
}

// operator is a telecom operator that answers as it is told.
type operator struct {
	mu     sync.Mutex
	asked  int
	answer func(n int) error
}

func (o *operator) say(n func(int) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked, o.answer = 0, n
}

func (o *operator) do() (operatorport.Status, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	return operatorport.Status{}, o.answer(o.asked)
}

func (o *operator) Suspend(context.Context, operatorport.Card, string, ringwall.ResponseID) (operatorport.Status, error) {
	return o.do()
}

func (o *operator) Restore(context.Context, operatorport.Card, string, ringwall.ResponseID) (operatorport.Status, error) {
	return o.do()
}

func TestASIMIsSuspendedWhateverTheOperatorAnswers(t *testing.T) {
	h := newHouse(t)
	sim, err := h.Service().CreateSIM(t.Context(), h.owner(), api.SIMCreate{ICCID: "8986001234567890127", IMSI: "460001234567890", Device: h.dev.ID})
	if err != nil {
		t.Fatal(err)
	}
	op := &operator{}
	var port simPort = op
	h.sims.Store(&port)
	ask := func() ringwall.ResponseID {
		t.Helper()
		r, err := h.Service().CreateResponse(t.Context(), h.owner(), api.ResponseCreate{Kind: incident.SIMSuspend, Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim.ID)}})
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	op.say(func(int) error { return ringwall.Errorf(ringwall.NotFound, "no such card") })
	if r := h.becomes(ask(), incident.Failed); r.Error != "no such card" {
		t.Errorf("refused: the error is %q", r.Error)
	}
	op.say(func(int) error { return ringwall.Errorf(ringwall.NotFound, "no such card") })
	brief, err := h.Service().CreateResponse(t.Context(), h.owner(), api.ResponseCreate{
		Kind: incident.SIMSuspend, Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim.ID)}, Expiry: api.Duration(1500 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.becomes(brief.ID, incident.Failed)
	h.becomes(brief.ID, incident.Expired)
	op.mu.Lock()
	if op.asked != 1 {
		t.Errorf("an operator that refused was asked %d times until it expired", op.asked)
	}
	op.mu.Unlock()
	op.say(func(n int) error {
		if n < 3 {
			return ringwall.Errorf(ringwall.Unavailable, "a page of HTML")
		}
		return nil
	})
	id := ask()
	// The operator's silence holds up no quarantine.
	q := h.ask(incident.Quarantine, 0)
	h.becomes(q, incident.Doing)
	h.becomes(id, incident.Done)
	op.say(func(int) error { return ringwall.Errorf(ringwall.Forbidden, "not yours") })
	h.undo(id)
	h.wait("second refusal", func() bool { op.mu.Lock(); defer op.mu.Unlock(); return op.asked >= 2 })
	time.Sleep(2500 * time.Millisecond)
	op.mu.Lock()
	asked := op.asked
	op.mu.Unlock()
	if asked > 4 {
		t.Errorf("an operator that refuses was asked %d times in some seconds", asked)
	}
	told := 0
	line, err := h.Service().Timeline(t.Context(), h.owner(), ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim.ID)}, time.Time{}, 100)
	for _, e := range line {
		if strings.HasSuffix(e.Key, ".undoing") {
			told++
		}
	}
	if err != nil || told != 2 { // asked for, and refused
		t.Errorf("the undoing is told %d times, %v; want 2", told, err)
	}
	op.say(func(int) error { return nil })
	h.becomes(id, incident.Undone)
}

func TestAProposalIsApprovedOnce(t *testing.T) {
	h := newHouse(t)
	alert := ringwall.Alert{
		ID: "alt_test", Time: time.Now().UTC(), Rule: "credential-guessing", Nature: ringwall.NatureAttack, Severity: ringwall.High, Stage: ringwall.Infection,
		Subject: deviceSubject(h.dev.ID), Title: strings.Repeat("长", 4000), Evidence: ringwall.Evidence{Facts: map[string]string{"role": "target"}},
	}
	entered := alert
	entered.ID, entered.Rule, entered.Title = "alt_test2", "binary-download", "download"
	h.report(h.b, record(api.RecordAlert, alert), record(api.RecordAlert, entered))
	var id ringwall.ResponseID
	h.wait("proposal", func() bool {
		page, err := h.Service().Responses(t.Context(), h.owner(), httpapi.ResponseFilter{Status: incident.Proposed}, httpapi.Paging{})
		if err == nil && len(page.Items) > 0 {
			id = page.Items[0].ID
		}
		return id != ""
	})
	codes := make(chan ringwall.Code, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := h.Service().DecideResponse(t.Context(), h.owner(), id, httpapi.Approve)
			codes <- ringwall.CodeOf(err)
		})
	}
	wg.Wait()
	close(codes)
	n := map[ringwall.Code]int{}
	for c := range codes {
		n[c]++
	}
	if n[""] != 1 || n[ringwall.Conflict] != 7 {
		t.Errorf("answers = %v, want one success and seven conflicts", n)
	}
	h.becomes(id, incident.Doing)
	h.wantHolds("approved", h.b, 1, 0)
	line, err := h.Service().Timeline(t.Context(), h.owner(), deviceSubject(h.dev.ID), time.Time{}, 100)
	for _, e := range line {
		if len(e.Text) > 2*maxSaid {
			t.Errorf("an entry of %d bytes: %.60s", len(e.Text), e.Text)
		}
		if e.Subject != deviceSubject(h.dev.ID) {
			t.Errorf("an entry about %v", e.Subject)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
