package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/webhook"
)

const (
	tICCID = "8986001234567890127"
	tIMSI  = "460001234567890"
	tIMEI  = "356938035643809"
	oIMEI  = "490154203237518"
)

// wireless is a house with a card, its operator and a file of usage records.
type wireless struct {
	*house
	store *operatorport.MemStore
	sim   api.SIM
	file  string
	n     int
	down  *switchable
}

// switchable is an operator's server that can be made to answer otherwise.
type switchable struct {
	http.Handler
	mu    sync.Mutex
	how   func(w http.ResponseWriter, r *http.Request) bool
	asked int
}

func (s *switchable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	how := s.how
	s.asked++
	s.mu.Unlock()
	if how == nil || !how(w, r) {
		s.Handler.ServeHTTP(w, r)
	}
}

func (s *switchable) answer(how func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.how = how
}

func newWireless(t *testing.T, dir string, change func(*Config)) *wireless {
	t.Helper()
	w := &wireless{file: filepath.Join(dir, "usage.csv")}
	var err error
	if w.store, err = operatorport.NewMemStore(time.Now, nil, operatorport.Card{ICCID: tICCID, IMSI: tIMSI}); err != nil {
		t.Fatal(err)
	}
	w.down = &switchable{Handler: operatorport.NewHandler(operatorport.HandlerConfig{Store: w.store, Token: "secret"})}
	srv := httptest.NewServer(w.down)
	t.Cleanup(srv.Close)
	port, err := operatorport.New(operatorport.Config{URL: srv.URL, Token: "secret", Plain: true, Tries: 1, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.file, []byte("imsi,time,service,imei,peer,up,down,area,cell,id,direction\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(filepath.Join(dir, "data"), io.Discard)
	cfg.Operator, cfg.Usage, cfg.WarnPlain = port, []UsageFile{{Path: w.file}}, true
	if change != nil {
		change(&cfg)
	}
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.house = inHouse(runPlatform(t, p))
	if w.sim, err = w.Service().CreateSIM(t.Context(), w.owner(), api.SIMCreate{
		ICCID: tICCID, IMSI: tIMSI, IMEI: tIMEI, Device: w.dev.ID, Services: []string{"data"}, Customer: "Water works", Tariff: "m1", Seller: "Nord",
	}); err != nil {
		t.Fatal(err)
	}

	return w
}

// use writes a usage record of the card.
func (w *wireless) use(at time.Time, service, imei, peer string, up int, area string) {
	w.Helper()
	w.n++
	f, err := os.OpenFile(w.file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "%s,%s,%s,%s,%s,%d,%d,%s,c1,r%d,mo\n", tIMSI, at.UTC().Format(time.RFC3339), service, imei, peer, up, 10, area, w.n)
	if err != nil || f.Close() != nil {
		w.Fatal(err)
	}
}

func (w *wireless) card() api.SIMCard {
	w.Helper()
	c, err := w.Service().SIMCard(w.Context(), w.owner(), w.sim.ID)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *wireless) respond(in api.ResponseCreate) api.Response {
	w.Helper()
	in.Target = simSubject(w.sim.ID)
	r, err := w.Service().CreateResponse(w.Context(), w.owner(), in)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// TestSIMCard_tells_all: records become curve, places, alerts, an incident of the
// device, a separation that trust reacts to; a decision makes an exception.
func TestSIMCard_tells_all(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	now := time.Now()
	w.use(now.Add(-26*time.Hour), "data", tIMEI, "", 1000, "9001")
	w.use(now.Add(-2*time.Hour), "data", tIMEI, "", 500, "9001")
	w.use(now.Add(-time.Hour), "sms", tIMEI, "13800138000", 0, "9002")
	w.wait("three records in the curve", func() bool { c := w.card(); return len(c.Hours.Points) == 3 && len(c.Alerts) == 1 })
	c := w.card()
	if p := c.Hours.Points; p[0].Up != 1000 || p[1].Up != 500 || p[2].Messages != 1 || p[2].Up != 0 {
		t.Errorf("hours %+v", p)
	}
	if len(c.Days.Points) < 2 || len(c.Places) != 2 || c.Places[0].Area != "9002" || c.SIM.Area != "9002" {
		t.Errorf("days %+v, places %+v, area %q", c.Days.Points, c.Places, c.SIM.Area)
	}
	if c.Binding.State != "held" || c.SIM.Customer != "Water works" || len(c.Custody) == 0 || c.Custody[0].What != "registered" || c.Proven {
		t.Errorf("binding %+v, custody %+v", c.Binding, c.Custody)
	}
	text, _ := json.Marshal(c)
	for _, number := range []string{tIMSI, tICCID, tIMEI, "13800138000"} {
		if strings.Contains(string(text), number) {
			t.Errorf("the card's page holds %s in clear", number)
		}
	}
	a := c.Alerts[0]
	if a.Rule != "sim-service" || a.Area != "9002" || a.Incident == "" || len(c.Open) != 1 {
		t.Errorf("alert %+v, incidents %d", a, len(c.Open))
	}

	// An analyst says that this is meant to be, and the same act keeps it quiet.
	until := now.Add(48 * time.Hour)
	got, err := svc.DecideSIMAlert(t.Context(), who, a.ID, api.AlertDecision{Disposition: "benign", Note: "test message", Except: &api.AlertExcept{Until: until}})
	if err != nil || got.Exception == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	w.use(now.Add(-59*time.Minute), "sms", tIMEI, "13800138001", 0, "9002")
	w.use(now.Add(-50*time.Hour), "sms", tIMEI, "13800138002", 0, "9002") // another day: it would be said again
	w.wait("a muted alert", func() bool {
		for _, x := range w.card().Alerts {
			if x.Muted == mutedException && x.MutedBy == string(got.Exception) {
				return true
			}
		}
		return false
	})
	if _, err := svc.EndException(t.Context(), who, got.Exception); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.EndException(t.Context(), who, got.Exception); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("ended twice: %v", err)
	}

	// Taken out: trust falls to T1 by the failed binding; back again, it is held.
	w.use(now, "data", oIMEI, "", 1, "9001")
	w.wait("separation", func() bool { return w.card().Binding.State == "broken" && w.devices()[0].Trust <= ringwall.T1 })
	w.use(now.Add(time.Second), "data", tIMEI, "", 1, "9001")
	w.wait("rejoined", func() bool { return w.card().Binding.State == "held" })

	// The fleet, seen from above.
	fleet, err := svc.SIMFleet(t.Context(), who)
	if err != nil || fleet.Cards != 1 || len(fleet.Top) != 1 || fleet.Top[0].SIM != w.sim.ID || len(fleet.Trend) < 30 {
		t.Errorf("fleet %+v, %v", fleet, err)
	}
	if _, err := svc.PutUsageAreas(t.Context(), who, []api.UsageArea{{Area: "9001", Name: "Nord", Lat: 40, Lon: 116}}, false); err != nil {
		t.Fatal(err)
	}
	if fleet, err = svc.SIMFleet(t.Context(), who); err != nil || len(fleet.Areas) == 0 {
		t.Fatalf("%+v, %v", fleet.Areas, err)
	}
	known := 0
	for _, r := range fleet.Areas {
		if r.Known {
			known++
		}
	}
	if known != 1 {
		t.Errorf("areas %+v", fleet.Areas)
	}
	credit, err := svc.Credit(t.Context(), who, "customer", "Water works")
	if err != nil || credit.Known || credit.Why != "cards" || len(credit.Deductions) == 0 {
		t.Errorf("credit of one card: %+v, %v", credit, err)
	}
	if _, err := svc.Credit(t.Context(), who, "customer", "Nobody"); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("credit of nobody: %v", err)
	}
}

// TestCurve_counts_once: the process dies after the curves were written and
// before the snapshot was; records are judged again and counted once.
func TestCurve_counts_once(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWireless(t, dir, nil)
	now := time.Now()
	for n := range 5 {
		w.use(now.Add(-time.Duration(n)*time.Hour), "data", tIMEI, "", 100, "9001")
	}
	w.wait("five records", func() bool { return len(w.card().Hours.Points) == 5 })
	before := w.card()
	cfg := w.cfg
	w.stop()
	snapshots, err := filepath.Glob(filepath.Join(dir, "data", usageDir, "*", "snapshot-*"))
	if err != nil || len(snapshots) == 0 {
		t.Fatalf("%v, %v", snapshots, err)
	}
	for _, s := range snapshots { // as if none had been taken
		if err := os.RemoveAll(s); err != nil {
			t.Fatal(err)
		}
	}
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.house.running = runPlatform(t, p)
	w.use(now, "data", tIMEI, "", 7, "9001")
	w.wait("the sixth record", func() bool {
		sum := uint64(0)
		for _, p := range w.card().Hours.Points {
			sum += p.Records
		}
		return sum >= 6
	})
	after := w.card()
	var sum uint64
	for _, p := range after.Hours.Points {
		sum += p.Up
	}
	if sum != 507 || len(after.Alerts) != len(before.Alerts) {
		t.Errorf("%d bytes are counted, want 507; %d alerts, want %d", sum, len(after.Alerts), len(before.Alerts))
	}
}

// TestSettings_are_versioned_tried_and_undone.
func TestSettings_are_versioned_tried_and_undone(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	now := time.Now()
	w.use(now.Add(-time.Hour), "sms", tIMEI, "13800138000", 0, "9001")
	w.wait("an alert", func() bool { return len(w.card().Alerts) == 1 })
	off := api.UsageSettings{Customer: "Water works", Rules: map[string]api.UsageRuleSetting{"sim-service": {Off: true}}}
	trial, err := svc.TryUsageSettings(t.Context(), who, api.UsageTry{Settings: off})
	if err != nil || trial.GoneAll != 1 || trial.Gone[0].Rule != "sim-service" || trial.Gone[0].SIM != w.sim.ID || !trial.Records || trial.Looked != 1 {
		t.Errorf("the trial says %+v, %v", trial, err)
	}
	// What a list would say that nobody has: the records tell it.
	peers := api.UsageSettings{Customer: "Water works", Peers: []string{"10086"}}
	if trial, err = svc.TryUsageSettings(t.Context(), who, api.UsageTry{Settings: peers}); err != nil || trial.NewAll != 1 || trial.Fresh[0].Rule != "sim-peer" || trial.Same != 1 {
		t.Errorf("of another list the trial says %+v, %v", trial, err)
	}
	// The file is not needed for that: the archive has the records.
	kept := w.usage.archiveDir()
	if err := os.Rename(w.file, w.file+".away"); err != nil {
		t.Fatal(err)
	}
	if trial, err = svc.TryUsageSettings(t.Context(), who, api.UsageTry{Settings: peers}); err != nil || !trial.Records || trial.NewAll != 1 {
		t.Errorf("without the file the trial says %+v, %v", trial, err)
	}
	// Without the records, what was said is looked at, and the rest is not known.
	if err := os.Rename(kept, kept+".away"); err != nil {
		t.Fatal(err)
	}
	if trial, err = svc.TryUsageSettings(t.Context(), who, api.UsageTry{Settings: peers}); err != nil || trial.Records || trial.NewAll != 0 || len(trial.Unknown) == 0 {
		t.Errorf("without records the trial says %+v, %v", trial, err)
	}
	if err := errors.Join(os.Rename(kept+".away", kept), os.Rename(w.file+".away", w.file)); err != nil {
		t.Fatal(err)
	}
	if all, err := svc.UsageSettings(t.Context(), who, "Water works", ""); err != nil || len(all) != 0 {
		t.Errorf("a trial has saved %+v, %v", all, err)
	}
	versions, err := svc.PutUsageSettings(t.Context(), who, off)
	if err != nil || len(versions) != 1 || versions[0].Version != 1 || versions[0].By == "" {
		t.Fatalf("%+v, %v", versions, err)
	}
	w.use(now.Add(-30*time.Hour), "sms", tIMEI, "13800138000", 0, "9001")
	w.wait("a muted alert", func() bool { a := w.card().Alerts; return len(a) == 2 && a[1].Muted == mutedOff })
	if versions, err = svc.UndoUsageSettings(t.Context(), who, "Water works", ""); err != nil || len(versions) != 2 || !versions[0].None {
		t.Fatalf("undone: %+v, %v", versions, err)
	}
	w.use(now.Add(-60*time.Hour), "sms", tIMEI, "13800138000", 0, "9001")
	w.wait("a loud alert", func() bool { a := w.card().Alerts; return len(a) == 3 && a[2].Muted == "" })
	for name, bad := range map[string]api.UsageSettings{
		"a rule that is none": {Rules: map[string]api.UsageRuleSetting{"x": {}}}, "a limit that is none": {Rules: map[string]api.UsageRuleSetting{"sim-volume": {Limits: map[string]float64{"x": 1}}}},
		"a negative limit":   {Rules: map[string]api.UsageRuleSetting{"sim-volume": {Limits: map[string]float64{"deviations": -1}}}},
		"a tariff of nobody": {Tariff: "x"}, "a pool that is none": {Pools: []string{"x"}}, "a service that is none": {Services: []string{"fax"}}, "a slash": {Customer: "a/b"},
	} {
		if _, err := svc.PutUsageSettings(t.Context(), who, bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	tomorrow := now.Add(24 * time.Hour)
	for name, bad := range map[string]api.ExceptionCreate{
		"no kind": {Until: tomorrow, Reason: "x"}, "no reason": {Kind: "window", Until: tomorrow}, "the past": {Kind: "window", Until: now.Add(-time.Hour), Reason: "x"},
		"for ever": {Kind: "window", Until: now.AddDate(3, 0, 0), Reason: "x"}, "of nobody": {Kind: "exception", Rules: []string{"separation"}, Until: tomorrow, Reason: "x"},
		"a swap into nothing": {Kind: "swap", SIM: w.sim.ID, Until: tomorrow, Reason: "x"}, "two rules": {Kind: "exception", SIM: w.sim.ID, Rules: []string{"separation", "sim-peer"}, Until: tomorrow, Reason: "x"},
	} {
		if _, err := svc.CreateException(t.Context(), who, bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSwap_as_planned_binds; equipment of a pool is no separation; the same
// without either is one (the negative control).
func TestSwap_as_planned_binds(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	now := time.Now()
	w.use(now.Add(-time.Minute), "data", tIMEI, "", 1, "9001")
	w.wait("a use", func() bool { return w.card().Binding.State == "held" })
	swap, err := svc.CreateException(t.Context(), who, api.ExceptionCreate{Kind: api.ExceptSwap, SIM: w.sim.ID, IMEI: oIMEI, Until: now.Add(time.Hour), Reason: "repair", From: now.Add(-time.Hour)})
	if err != nil || strings.Contains(swap.IMEI, "0323") {
		t.Fatalf("%+v, %v", swap, err)
	}
	if b := w.card().Binding; b.Swap == "" {
		t.Errorf("the swap is not on the card's page: %+v", b)
	}
	w.use(now, "data", oIMEI, "", 1, "9001")
	w.wait("bound to the new equipment", func() bool {
		c := w.card()
		return c.Binding.State == "held" && c.SIM.BoundIMEI == c.SIM.SeenIMEI && c.SIM.BoundIMEI == ringwall.IMEI(oIMEI).String()
	})
	if a := w.card().Alerts; len(a) != 1 || a[0].Muted != mutedSwap {
		t.Errorf("alerts %+v", a)
	}
	// A pool: another model altogether.
	third := "860123450000011"
	if _, err := svc.PutIMEIPool(t.Context(), who, api.IMEIPool{Name: "spares", TACs: []string{"86012345"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PutUsageSettings(t.Context(), who, api.UsageSettings{Customer: "Water works", Pools: []string{"spares"}}); err != nil {
		t.Fatal(err)
	}
	if err := svc.DropIMEIPool(t.Context(), who, "spares"); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a pool that settings name is dropped: %v", err)
	}
	w.use(now.Add(2*time.Second), "data", third, "", 1, "9001")
	w.wait("seen in the pool's equipment", func() bool { return w.card().SIM.SeenIMEI == ringwall.IMEI(third).String() })
	if c := w.card(); c.Binding.State != "held" || !c.SIM.Separated.IsZero() {
		t.Errorf("in the pool's equipment the binding is %+v", c.Binding)
	}
	if _, err := svc.UndoUsageSettings(t.Context(), who, "Water works", ""); err != nil {
		t.Fatal(err)
	}
	w.use(now.Add(3*time.Second), "data", "351234567890123", "", 1, "9001")
	w.wait("separated", func() bool { return w.card().Binding.State == "broken" })
}

// TestOperator_what_is_not_known_is_unknown: an operator that is down, takes its
// time, refuses or loses its answer never has a wrong state shown.
func TestOperator_what_is_not_known_is_unknown(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	state := func(want, asked string) {
		t.Helper()
		w.wait("state "+want+" "+asked, func() bool { s := w.card().SIM; return s.State == want && s.Asked == asked })
	}
	// Taken, and the answer is lost: unknown, then what it is.
	w.down.answer(func(rw http.ResponseWriter, r *http.Request) bool {
		rec := httptest.NewRecorder()
		w.down.Handler.ServeHTTP(rec, r)
		rw.WriteHeader(http.StatusBadGateway)
		return true
	})
	id := w.respond(api.ResponseCreate{Kind: incident.SIMSuspend, Reason: "test"}).ID
	state("unknown", askSuspend)
	w.wait("the operator to have done it", func() bool { return w.store.Cards()[0].State == operatorport.Suspended })
	state("unknown", askSuspend) // still: nobody has said so
	w.down.answer(nil)
	w.becomes(id, incident.Done)
	state("suspended", "")
	// Down for long: restoring is asked again and again, and the card is not called active.
	w.down.answer(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	w.undo(id)
	state("unknown", askRestore)
	w.down.answer(nil)
	w.becomes(id, incident.Undone)
	state("active", "")
	// Refused for good: what the card is, is asked.
	w.down.answer(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/state") {
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		return true
	})
	id = w.respond(api.ResponseCreate{Kind: incident.SIMSuspend, Reason: "test"}).ID
	w.becomes(id, incident.Failed)
	state("active", "") // by the operator's own word
	w.down.answer(nil)
	// Pending is not done.
	w.down.answer(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/suspend") {
			return false
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(rw, `{"iccid":%q,"state":"pending"}`, tICCID)
		return true
	})
	id = w.respond(api.ResponseCreate{Kind: incident.SIMSuspend, Reason: "test"}).ID
	state("unknown", askSuspend)
	w.down.answer(nil)
	w.becomes(id, incident.Done)
	state("suspended", "")
	// Of two suspensions one is undone: the card stays suspended, and nobody is asked.
	second := w.respond(api.ResponseCreate{Kind: incident.SIMSuspend, Reason: "another"}).ID
	w.becomes(second, incident.Done)
	w.undo(id)
	w.becomes(id, incident.Undone)
	state("suspended", "")
	if st := w.store.Cards()[0].State; st != operatorport.Suspended {
		t.Errorf("the operator has it %s, and a suspension is in force", st)
	}
}

// TestRestrict_until_then_restored_over_a_restart: the restriction is at the
// operator as asked for, one at a time, tried without effect, and ends in time
// though the platform was down when it did.
func TestRestrict_until_then_restored_over_a_restart(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	to := &api.SIMRestriction{Rate: 64_000, Services: []string{"voice", "sms"}}
	trial := w.respond(api.ResponseCreate{Kind: incident.SIMRestrict, Restrict: to, Trial: true})
	if !trial.Trial || trial.Effect == nil || trial.ID != "" {
		t.Errorf("the trial is %+v", trial)
	}
	if page, err := w.Service().Responses(t.Context(), w.owner(), httpapi.ResponseFilter{}, httpapi.Paging{}); err != nil || len(page.Items) != 0 || w.store.Restriction(tICCID) != nil {
		t.Errorf("a trial has done something: %+v, %v", page.Items, err)
	}
	r := w.respond(api.ResponseCreate{Kind: incident.SIMRestrict, Restrict: to, Expiry: api.Duration(4 * time.Second), Reason: "spike"})
	w.becomes(r.ID, incident.Done)
	if got := w.store.Restriction(tICCID); !operatorport.SameRestriction(got, to) {
		t.Errorf("the operator has %+v", got)
	}
	if s := w.card().SIM; s.State != "active" || !operatorport.SameRestriction(s.Restriction, to) {
		t.Errorf("the card is %s, %+v", s.State, s.Restriction)
	}
	if _, err := w.Service().CreateResponse(t.Context(), w.owner(), api.ResponseCreate{Kind: incident.SIMRestrict, Target: simSubject(w.sim.ID), Restrict: to}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a second restriction: %v", err)
	}
	for name, bad := range map[string]api.ResponseCreate{
		"of nothing": {Kind: incident.SIMRestrict}, "empty": {Kind: incident.SIMRestrict, Restrict: &api.SIMRestriction{}}, "a service that is none": {Kind: incident.SIMRestrict, Restrict: &api.SIMRestriction{Services: []string{"fax"}}},
		"with a suspension": {Kind: incident.SIMSuspend, Restrict: to},
	} {
		bad.Target = simSubject(w.sim.ID)
		if _, err := w.Service().CreateResponse(t.Context(), w.owner(), bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("a restriction %s: %v", name, err)
		}
	}
	cfg := w.cfg
	w.stop()
	if left := time.Until(r.Expires); left > 0 {
		time.Sleep(left) // it runs out while nobody is there
	}
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.house.running = runPlatform(t, p)
	w.becomes(r.ID, incident.Expired)
	if w.store.Restriction(tICCID) != nil || w.card().SIM.Restriction != nil {
		t.Error("the restriction stands though its time is over")
	}
	custody := ""
	for _, e := range w.card().Custody {
		custody += e.What + " "
	}
	if custody != "registered restricted released " {
		t.Errorf("the card's way is %q", custody)
	}
}

// TestCross_card_online_camera_offline, and the negative controls: not while the
// gateway is away, not while the device is heard.
func TestCross_card_online_camera_offline(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	scope, err := w.auditor.Authorise(t.Context(), audit.System(audit.SysUsage, w.org), audit.SystemUsage, audit.Target{Kind: "test", Org: w.org})
	if err != nil {
		t.Fatal(err)
	}
	rule := func() (found string) {
		for _, a := range w.card().Alerts {
			if strings.HasPrefix(a.Rule, "card-") || a.Rule == ruleDeviceChanged {
				found = a.Rule
			}
		}
		return found
	}
	check := func() {
		t.Helper()
		if err := w.core.crossCheck(t.Context(), scope); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Now().Add(20 * time.Minute) // as far ahead as clocks may be
	w.use(at, "data", tIMEI, "", 1, "9001")
	w.wait("a use", func() bool { return !w.card().SIM.LastUsage.IsZero() })
	check()
	if rule() != "" {
		t.Errorf("while the device is heard: %s", rule())
	}
	// The device falls silent, long before the card was used.
	quiet := func(presence ringwall.Presence, seen time.Time) {
		t.Helper()
		if err := w.core.turn(t.Context(), w.org, func(t *turn) error {
			s, err := t.projector()
			if err != nil {
				return err
			}
			return t.tx.TouchDevice(s, w.dev.ID, presence, seen)
		}); err != nil {
			t.Fatal(err)
		}
	}
	quiet(ringwall.Silent, at.Add(-20*time.Minute))
	online := func(is bool) {
		t.Helper()
		if err := w.core.turn(t.Context(), w.org, func(t *turn) error {
			s, err := t.projector()
			if err != nil {
				return err
			}
			_, err = t.tx.UpdateGateway(s, w.b.answer.Gateway, func(g *api.Gateway) error { g.Online, g.Seen = is, time.Now(); return nil })
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	online(false)
	check()
	if rule() != "" {
		t.Errorf("behind a gateway that is away nothing is known, and it says %s", rule())
	}
	online(true)
	check()
	if rule() != ruleCardOnline {
		t.Fatalf("alerts %+v", w.card().Alerts)
	}
	check()
	if n := len(w.card().Alerts); n != 1 {
		t.Errorf("said %d times in a day", n)
	}
	// One deviation alone opens nothing; with an attack it is of the device's incident.
	incidents := func() []api.Incident {
		t.Helper()
		page, err := svc.Incidents(t.Context(), who, httpapi.IncidentFilter{}, httpapi.Paging{})
		if err != nil {
			t.Fatal(err)
		}
		return page.Items
	}
	if in := incidents(); len(in) != 0 {
		t.Errorf("incidents %+v of one deviation", in)
	}
	w.report(w.b, record(api.RecordAlert, ringwall.Alert{
		ID: "alt_scan", Time: time.Now().UTC(), Rule: "mirai-scan", Nature: ringwall.NatureAttack, Severity: ringwall.Critical, Stage: ringwall.Propagation, Subject: deviceSubject(w.dev.ID), Title: "scan",
	}))
	w.wait("the device's incident", func() bool { return len(incidents()) > 0 })
	if in := incidents(); len(in) != 1 || in[0].Subject != deviceSubject(w.dev.ID) {
		t.Errorf("incidents %+v, want the device's alone", in)
	} else if got := w.card().Alerts[0].Incident; got != in[0].ID {
		t.Errorf("the alert names incident %q, want %s", got, in[0].ID)
	}
}

// TestCross_equipment_right_device_changed: an assessment finds another device
// behind a card whose equipment is right; trust falls to T1, and a person's word
// takes that back.
func TestCross_equipment_right_device_changed(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	w.use(time.Now(), "data", tIMEI, "", 1, "9001")
	w.wait("a use", func() bool { return w.card().Binding.State == "held" })
	found := func(vendor, model string) {
		t.Helper()
		if _, err := svc.SubmitAssessment(t.Context(), who, api.Assessment{Device: w.dev.ID, Target: "10.77.0.1", Vendor: vendor, Model: model, Findings: []ringwall.Finding{
			{Indicator: "AP-01", Module: ringwall.Application, Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Title: "x", Source: "t", Time: time.Now().UTC(), Evidence: []string{"e"}},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	found("Axiom", "C1")
	found("axiom ", "c1") // the same
	if c := w.card(); len(c.Alerts) != 0 || !c.SIM.Contradicted.IsZero() {
		t.Fatalf("the same device: %+v", c.Alerts)
	}
	found("Botwerk", "X9")
	c := w.card()
	if len(c.Alerts) != 1 || c.Alerts[0].Rule != ruleDeviceChanged || c.SIM.Contradicted.IsZero() {
		t.Fatalf("another device: %+v", c.Alerts)
	}
	w.wait("T1", func() bool { return w.devices()[0].Trust <= ringwall.T1 })
	if _, err := svc.DecideSIMAlert(t.Context(), who, c.Alerts[0].ID, api.AlertDecision{Disposition: "benign", Note: "replaced"}); err != nil {
		t.Fatal(err)
	}
	if c := w.card(); !c.SIM.Contradicted.IsZero() {
		t.Error("a person's word does not count")
	}
}

// receiver is a party's system that takes warnings.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret []byte
	got    []api.Warning
	text   string
	ids    map[string]int
	fails  int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{ids: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		id, body, err := webhook.Verify(req, r.secret, time.Now())
		if err != nil {
			t.Errorf("a warning is not signed: %v", err)
		}
		r.ids[id]++
		if r.fails > 0 {
			r.fails--
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		var w api.Warning
		if err := json.Unmarshal(body, &w); err != nil {
			t.Error(err)
		}
		r.got, r.text = append(r.got, w), r.text+string(body)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) warnings() ([]api.Warning, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got, r.text
}

// TestWarnings_each_party_sees_its_own_and_no_more.
func TestWarnings_each_party_sees_its_own_and_no_more(t *testing.T) {
	t.Parallel()
	w := newWireless(t, t.TempDir(), nil)
	svc, who := w.Service(), w.owner()
	if _, err := svc.SubmitAssessment(t.Context(), who, api.Assessment{Device: w.dev.ID, Target: "10.77.0.1", Vendor: "Axiom", Model: "C1", Firmware: "1.2"}); err != nil {
		t.Fatal(err)
	}
	name, tags := "Door of house 7", []string{"billing"}
	if _, err := svc.PatchDevice(t.Context(), who, w.dev.ID, 0, api.DevicePatch{Name: &name, Tags: &tags}); err != nil {
		t.Fatal(err)
	}
	parties := map[string]struct {
		*receiver
		put api.WarningRoutePut
	}{}
	for key, put := range map[string]api.WarningRoutePut{
		"enterprise":         {Party: ringwall.PartEnterprise, Customer: "Water works"},
		"another enterprise": {Party: ringwall.PartEnterprise, Customer: "Gas works"},
		"manufacturer":       {Party: ringwall.PartManufacturer, Vendor: "axiom"},
		"another maker":      {Party: ringwall.PartManufacturer, Vendor: "Botwerk"},
		"application":        {Party: ringwall.PartApplication, Tag: "billing"},
		"another service":    {Party: ringwall.PartApplication, Tag: "video"},
		"operator":           {Party: ringwall.PartOperator},
	} {
		r := newReceiver(t)
		put.Name, put.URL = key, r.URL+"/hook"
		made, err := svc.PutWarningRoute(t.Context(), who, "", put)
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		if r.secret, err = webhook.ParseSecret(made.Secret); err != nil {
			t.Fatal(err)
		}
		if key == "enterprise" {
			r.fails = 2 // it is sent again, under the same id
		}
		r.mu.Unlock()
		parties[key] = struct {
			*receiver
			put api.WarningRoutePut
		}{r, put}
	}
	routes, err := svc.WarningRoutes(t.Context(), who)
	if err != nil || len(routes) != len(parties) {
		t.Fatalf("%d routes, %v", len(routes), err)
	}
	if text, _ := json.Marshal(routes); strings.Contains(string(text), "whsec_") {
		t.Error("a secret is shown again")
	}
	for name, bad := range map[string]api.WarningRoutePut{
		"an enterprise without a name": {Party: ringwall.PartEnterprise, Name: "x", URL: "https://x.example"}, "a maker of everything": {Party: ringwall.PartManufacturer, Name: "x", URL: "https://x.example"},
		"an application of everything": {Party: ringwall.PartApplication, Name: "x", URL: "https://x.example"}, "a consumer": {Party: ringwall.PartConsumer, Name: "x", URL: "https://x.example"},
		"no address": {Party: ringwall.PartOperator, Name: "x"}, "inside": {Party: ringwall.PartOperator, Name: "x", URL: "https://169.254.169.254/"},
	} {
		if _, err := svc.PutWarningRoute(t.Context(), who, "", bad); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("a route to %s: %v", name, err)
		}
	}
	w.use(time.Now(), "data", oIMEI, "", 1, "9001") // a separation
	for _, key := range []string{"enterprise", "operator"} {
		w.wait("warning of the "+key, func() bool { got, _ := parties[key].warnings(); return len(got) > 0 })
	}
	e, _ := parties["enterprise"].warnings()
	if e[0].Type != warnOpened || e[0].Incident == nil || e[0].Incident.Name != name || e[0].Incident.SIM != w.sim.ID {
		t.Errorf("the enterprise is told %+v", e[0])
	}
	parties["enterprise"].mu.Lock()
	for id, n := range parties["enterprise"].ids {
		if n < 3 {
			t.Errorf("warning %s was sent %d times, want again after each failure", id, n)
		}
	}
	parties["enterprise"].mu.Unlock()
	_, op := parties["operator"].warnings()
	if !strings.Contains(op, string(w.sim.ID)) || strings.Contains(op, name) || strings.Contains(op, string(w.dev.ID)) || strings.Contains(op, w.dev.Binding.MAC) {
		t.Errorf("the operator is told %s", op)
	}
	// The maker hears of its model when the device itself is seen to do something.
	w.report(w.b, record(api.RecordAlert, ringwall.Alert{
		ID: "alt_scan", Time: time.Now().UTC(), Rule: "mirai-scan", Nature: ringwall.NatureAttack, Severity: ringwall.Critical, Stage: ringwall.Propagation, Subject: deviceSubject(w.dev.ID), Title: "scan",
	}))
	for _, key := range []string{"manufacturer", "application"} {
		w.wait("warning of the "+key, func() bool { got, _ := parties[key].warnings(); return len(got) > 0 })
	}
	_, maker := parties["manufacturer"].warnings()
	if !strings.Contains(maker, "Axiom C1") {
		t.Errorf("the manufacturer is not told the model: %s", maker)
	}
	for _, secret := range []string{string(w.sim.ID), string(w.dev.ID), name, "Water works", w.dev.Binding.MAC, string(w.org), "8986", "46000", oIMEI[:8] + "****"} {
		if strings.Contains(maker, secret) {
			t.Errorf("the manufacturer is told %q", secret)
		}
	}
	for _, key := range []string{"another enterprise", "another maker", "another service"} {
		if got, text := parties[key].warnings(); len(got) > 0 {
			t.Errorf("%s is told of what is not its: %s", key, text)
		}
	}
	for key, p := range parties {
		if _, text := p.warnings(); strings.Contains(text, tIMSI) || strings.Contains(text, tICCID) || strings.Contains(text, oIMEI) {
			t.Errorf("%s is told a number in clear", key)
		}
	}
}

// TestBatch_registers_what_is_good, and a second time changes nothing.
func TestBatch_registers_what_is_good(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	svc, who := r.Service(), r.owner()
	var in api.SIMBatch
	for n := range api.MaxBatch {
		in.Cards = append(in.Cards, api.SIMCreate{ICCID: fmt.Sprintf("89860012345678%05d", n), IMSI: fmt.Sprintf("4600012345%05d", n), Services: []string{"data"}, Customer: "Big", Tariff: "t"})
	}
	in.Cards[7].IMSI = "x"
	in.Cards[8].IMSI = in.Cards[9].IMSI
	out, err := svc.CreateSIMs(t.Context(), who, in)
	if err != nil || out.Made != api.MaxBatch-2 || len(out.Wrong) != 2 || out.Wrong[0].Index != 7 || out.Wrong[1].Index != 9 {
		t.Fatalf("%d made, wrong %+v, %v", out.Made, out.Wrong, err)
	}
	if out, err = svc.CreateSIMs(t.Context(), who, in); err != nil || out.Made != 0 || out.There != api.MaxBatch-2 || len(out.Wrong) != 2 {
		t.Errorf("again: %+v, %v", out, err)
	}
	seen := map[ringwall.SIMID]bool{}
	for p := (httpapi.Paging{Limit: 300}); ; {
		page, err := svc.FindSIMs(t.Context(), who, httpapi.SIMFilter{Customer: "Big", Never: true}, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Items {
			seen[s.ID] = true
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	if len(seen) != api.MaxBatch-2 {
		t.Errorf("%d cards are listed", len(seen))
	}
}
