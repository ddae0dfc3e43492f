package sqlstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

type memRecorder struct{}

func (memRecorder) Record(context.Context, audit.Entry, bool) error { return nil }

func newAuditor(t *testing.T) *audit.Auditor {
	t.Helper()
	a, err := audit.New(audit.Config{Recorder: memRecorder{}, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// world is a store with two organisations that hold the same kinds of things.
type world struct {
	*testing.T
	dir     string
	store   *sqlstore.Store
	auditor *audit.Auditor
	filled  int // organisations
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), auditor: newAuditor(t)}
	w.open()
	return w
}

func (w *world) open() {
	w.Helper()
	s, err := sqlstore.Open(w.Context(), w.dir)
	if err != nil {
		w.Fatal(err)
	}
	w.store = s
	w.Cleanup(func() { s.Close() })
}

var systems = map[audit.SystemName]audit.Act{
	audit.SysBootstrap: audit.SystemBootstrap, audit.SysIdentity: audit.SystemAuthenticate, audit.SysEnrol: audit.GatewayEnrol,
	audit.SysOutbox: audit.SystemOutbox, audit.SysProject: audit.SystemProject, audit.SysPresence: audit.SystemPresence,
	audit.SysPolicy: audit.SystemPolicy, audit.SysIncident: audit.DeviceRespond, audit.SysUsage: audit.SystemUsage, audit.SysMeter: audit.SystemMeter, audit.SysAssess: audit.AssessRun,
	audit.SysRollout: audit.SystemRollout,
}

func (w *world) system(name audit.SystemName, org ringwall.OrgID) audit.Scope {
	w.Helper()
	return w.scope(audit.System(name, org), systems[name], org)
}

func (w *world) scope(actor audit.Actor, act audit.Act, org ringwall.OrgID) audit.Scope {
	w.Helper()
	s, err := w.auditor.Authorise(w.Context(), actor, act, audit.Target{Kind: "fleet", Org: org})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// person returns a scope of somebody who plays every part that may act.
func (w *world) person(act audit.Act, org ringwall.OrgID) audit.Scope {
	w.Helper()
	parts := []ringwall.Part{ringwall.PartOwner, ringwall.PartOperator, ringwall.PartPlatform}
	return w.scope(audit.Actor{Kind: audit.KindUser, ID: "usr_" + strings.TrimPrefix(string(org), "org_"), Org: org, Parts: parts}, act, org)
}

func (w *world) update(f func(*sqlstore.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.Context(), f); err != nil {
		w.Fatal(err)
	}
}

func (w *world) view(f func(*sqlstore.Tx) error) {
	w.Helper()
	if err := w.store.View(w.Context(), f); err != nil {
		w.Fatal(err)
	}
}

// things are ids of what fill puts into an organisation.
type things struct {
	org      ringwall.OrgID
	gateway  ringwall.GatewayID
	device   ringwall.DeviceID
	sim      ringwall.SIMID
	alert    ringwall.AlertID
	incident ringwall.IncidentID
	hold     ringwall.HoldID
	event    ringwall.EventID
	user     ringwall.UserID
	token    ringwall.TokenID
	enrol    ringwall.TokenID
	response ringwall.ResponseID
	assess   ringwall.AssessID
	exam     ringwall.ExamID
	remedial ringwall.RemedialID
	group    ringwall.GroupID
	rollout  ringwall.RolloutID
	template ringwall.TemplateID
	except   ringwall.ExceptionID
	route    ringwall.RouteID
}

const (
	testIMSI  = "460001234567890"
	testICCID = "89860012345678901234"
	testIMEI  = "356938035643809"
	testMAC   = "02:00:00:00:00:10"
)

func (w *world) emptyOrg(org ringwall.OrgID) {
	w.Helper()
	w.update(func(tx *sqlstore.Tx) error {
		return tx.CreateOrg(w.system(audit.SysBootstrap, org), api.Org{ID: org, Name: "name of " + string(org)})
	})
}

// fill puts one of everything into an organisation; every text in it holds
// the organisation's id.
func (w *world) fill(org ringwall.OrgID) things {
	w.Helper()
	w.emptyOrg(org)
	tail := strings.TrimPrefix(string(org), "org_")
	imsi := ringwall.IMSI(testIMSI) // a number is one card's alone
	if w.filled++; w.filled > 1 {
		imsi = ringwall.IMSI(fmt.Sprintf("46000999%07d", w.filled))
	}
	th := things{
		org: org, gateway: ringwall.GatewayID("gw_" + tail), device: ringwall.DeviceID("dev_" + tail), sim: ringwall.SIMID("sim_" + tail),
		alert: ringwall.AlertID("alt_" + tail), incident: ringwall.IncidentID("inc_" + tail), hold: ringwall.HoldID("hld_" + tail),
		event: ringwall.EventID("evt_" + tail), user: ringwall.UserID("usr_" + tail), response: ringwall.ResponseID("rsp_" + tail), assess: ringwall.AssessID("asm_" + tail),
		exam: ringwall.ExamID("exm_" + tail), remedial: ringwall.RemedialID("rem_" + tail),
		group: ringwall.GroupID("grp_" + tail), rollout: ringwall.RolloutID("rol_" + tail), template: ringwall.TemplateID("tpl_" + tail), except: ringwall.ExceptionID("exc_" + tail), route: ringwall.RouteID("rte_" + tail),
	}
	mark := "of " + string(org)
	boot, project, policy := w.system(audit.SysBootstrap, org), w.system(audit.SysProject, org), w.system(audit.SysPolicy, org)
	enrol, respond, assess := w.system(audit.SysEnrol, org), w.system(audit.SysIncident, org), w.person(audit.AssessRun, org)
	simWrite, policyWrite := w.person(audit.SIMWrite, org), w.person(audit.PolicyWrite, org)
	groupWrite, templateWrite := w.person(audit.GroupWrite, org), w.person(audit.TemplateWrite, org)
	dev := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(th.device)}
	must := func(errs ...error) {
		w.Helper()
		for _, err := range errs {
			if err != nil {
				w.Fatal(err)
			}
		}
	}
	w.update(func(tx *sqlstore.Tx) error {
		must(tx.CreateUser(boot, api.User{ID: th.user, Org: org, Name: "user " + mark, Parts: []ringwall.Part{ringwall.PartOwner}}, "hash "+mark))
		_, r := identity.NewToken(identity.APIToken, org, clock())
		r.Name, r.Parts, th.token = "token "+mark, []ringwall.Part{ringwall.PartOwner}, r.ID
		must(tx.CreateToken(boot, r))
		_, r = identity.NewToken(identity.EnrolToken, org, clock())
		r.Expires, th.enrol = clock().Add(time.Hour), r.ID
		must(tx.CreateEnrolToken(enrol, r))
		must(tx.CreateGateway(enrol, api.Gateway{ID: th.gateway, Org: org, Name: "gateway " + mark}, "01"))
		n, err := tx.NextMark(project, th.gateway)
		must(err)
		must(tx.CreateDevice(project, api.Device{
			ID: th.device, Org: org, Name: "device " + mark, Type: "camera", Gateway: th.gateway, Presence: ringwall.Online, Seen: clock(), SIM: th.sim,
			Binding: api.Binding{MAC: testMAC, IP: netip.MustParseAddr("10.77.0.10")},
		}, n))
		must(tx.PutTrustState(project, th.device, []byte("state "+mark)))
		_, err = tx.LearnPeers(project, th.device, []api.Peer{{Direction: api.FromDevice, Domain: "peer-" + tail + ".example", Proto: "tcp", Port: 443}})
		must(err, tx.PutTerms(policyWrite, th.device, []api.Term{{ID: "term " + mark, Action: api.Allow}}))
		must(tx.PutFinding(project, th.device, "incident", ringwall.Finding{Indicator: "AP-01", Title: "finding " + mark, Time: clock()}))
		_, err = tx.CreateSIM(simWrite, api.SIM{ID: th.sim, Org: org, State: "active", Device: th.device, Peers: []string{"sim " + mark}},
			sqlstore.Numbers{ICCID: testICCID, IMSI: imsi, BoundIMEI: testIMEI})
		must(err, tx.PutUsageState(simWrite, th.sim, []byte("usage "+mark)))
		must(tx.PutAssessment(assess, api.Assessment{ID: th.assess, Org: org, Device: th.device, Started: clock(), Ended: clock(), Target: "target " + mark}))
		must(tx.PutExamination(assess, api.Examination{
			ID: th.exam, Org: org, Device: th.device, Kind: api.ExamFirmware, Source: "firmware/" + tail, Made: clock(), Notes: []string{"note " + mark},
			Findings: []ringwall.Finding{{Indicator: "FS-01", Title: "image finding " + mark, Time: clock()}},
			Secrets:  []api.SecretMark{{Kind: "private-key", Mark: "the same", Path: "key " + mark}},
		}))
		must(tx.PutRemedial(assess, api.Remedial{ID: th.remedial, Device: th.device, Indicator: "AP-01", Status: "open", Party: ringwall.PartOwner, Title: "task " + mark, Opened: clock()}))
		must(tx.PutDraft(assess, th.device, "questionnaire", "draft "+mark, clock()))
		must(tx.PutOrgSetting(policyWrite, "gate", "setting "+mark))
		must(tx.PutIncident(project, api.Incident{ID: th.incident, Org: org, Subject: dev, Name: "incident " + mark, Status: "new", Opened: clock(), Updated: clock()}, []byte("state "+mark)))
		_, err = tx.PutAlert(project, ringwall.Alert{ID: th.alert, Org: org, Subject: dev, Time: clock(), Title: "alert " + mark, Severity: ringwall.High}, th.incident)
		must(err)
		must(tx.CreateResponse(respond, api.Response{ID: th.response, Org: org, Incident: th.incident, Target: dev, Status: "doing", Reason: "response " + mark, Made: clock(), Expires: clock()}))
		_, err = tx.PutHold(respond, api.Hold{ID: th.hold, Device: th.device, By: "system:incident", Reason: "hold " + mark, Made: clock()}, th.gateway, false)
		must(err)
		must(tx.PutDesired(policy, th.gateway, 1, "digest "+mark, api.Signed{KeyID: "key " + mark, Payload: []byte("x"), Sig: []byte("y")}))
		must(tx.CreateGroup(groupWrite, api.Group{ID: th.group, Org: org, Name: "group " + mark, Members: []ringwall.DeviceID{th.device}}))
		must(tx.CreateRollout(groupWrite, api.Rollout{ID: th.rollout, Org: org, Name: "rollout " + mark, Status: api.RolloutRunning, Made: clock()}))
		must(tx.PutException(w.person(audit.SIMWrite, org), api.UsageException{ID: th.except, Kind: api.ExceptSwap, SIM: th.sim, Until: clock().Add(time.Hour), Made: clock(), Reason: "of " + mark}, "490154203237518"))
		_, err = tx.PutSIMAlert(w.person(audit.SIMWrite, org), api.SIMAlert{ID: th.alert, SIM: th.sim, Time: clock(), Rule: "separation", Severity: ringwall.High, Title: "of " + mark, Area: "area " + mark})
		must(err)
		must(tx.PutUsageSettings(w.person(audit.SIMWrite, org), api.UsageSettings{Version: 1, Customer: "customer " + mark, Made: clock()}))
		_, err = tx.PutIMEIPool(w.person(audit.SIMWrite, org), api.IMEIPool{Name: "pool " + mark, IMEIs: []string{"490154203237518"}})
		must(err)
		must(tx.PutUsageAreas(w.person(audit.SIMWrite, org), []api.UsageArea{{Area: "area " + mark}}, true, 10))
		must(tx.PutWarningRoute(w.person(audit.WarningWrite, org), api.WarningRoute{ID: th.route, Name: "route " + mark, Party: ringwall.PartOperator}, []byte("a secret of sixteen")))
		must(tx.QueueWarning(w.person(audit.WarningWrite, org), api.Delivery{ID: "wrn_" + tail, Route: th.route, Made: clock(), Next: clock(), State: "waiting"}, "{}"))
		must(tx.PutTemplate(templateWrite, api.Template{ID: th.template, Org: org, Name: "template " + mark, Version: 1}))
		must(tx.PutEnrolLines(enrol, th.enrol, true, []sqlstore.EnrolLine{{Name: "line " + mark, Serial: "AP-01"}}))
		must(tx.PutSIMProfile(simWrite, th.sim, api.SIMProfile{Version: 1, By: "profile " + mark, Made: clock()}))
		_, err = tx.PutNotice(project, th.gateway, api.Notice{Kind: api.NoticeRogue, Device: th.device, Text: "notice " + mark}, clock(), time.Hour)
		must(err, tx.PutMUD(project, api.MUDState{Device: th.device, URL: "https://mud.example/" + tail, Next: clock(), Error: "mud " + mark}, &sqlstore.MUDFile{Body: []byte("file " + mark), Signature: []byte("cms " + mark)}))
		data, _ := json.Marshal(sqlstore.Telling{Key: "k", Text: "event " + mark})
		must(tx.Emit(project, ringwall.Event{V: 1, ID: th.event, Org: org, Kind: ringwall.EventAlert, Time: clock(), Subject: dev, Data: data}))
		return nil
	})
	return th
}

func TestWhatIsWrittenIsReadBackAfterReopening(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	project, policy, sim := w.system(audit.SysProject, th.org), w.system(audit.SysPolicy, th.org), w.person(audit.SIMWrite, th.org)
	w.view(func(tx *sqlstore.Tx) error {
		d, err := tx.Device(project, th.device)
		if err != nil || d.Name != "device of org_a" || d.Version != 1 || len(d.Holds) != 1 || d.Incident != string(th.incident) || d.Presence != ringwall.Online || !d.Seen.Equal(clock()) {
			t.Errorf("device = %+v, %v", d, err)
		}
		if d, err := tx.DeviceByMAC(project, th.gateway, testMAC); err != nil || d.ID != th.device {
			t.Errorf("by MAC = %v, %v", d.ID, err)
		}
		g, err := tx.Gateway(project, th.gateway)
		if err != nil || g.Desired != 1 || g.Devices != 1 {
			t.Errorf("gateway = %+v, %v", g, err)
		}
		s, err := tx.SIMByIMSI(sim, testIMSI)
		if err != nil || s.ID != th.sim || strings.Contains(s.IMSI, "34567") {
			t.Errorf("SIM = %+v, %v", s, err)
		}
		n, err := tx.Numbers(sim, th.sim)
		if err != nil || n.IMSI.Reveal() != testIMSI || n.ICCID.Reveal() != testICCID || n.BoundIMEI.Reveal() != testIMEI || n.SeenIMEI != "" {
			t.Errorf("numbers = %v, %v", n, err)
		}
		in, err := tx.OpenIncident(project, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(th.device)})
		if err != nil || in.ID != th.incident || len(in.Responses) != 1 {
			t.Errorf("incident = %+v, %v", in, err)
		}
		_, generation, digest, err := tx.Desired(policy, th.gateway)
		if err != nil || generation != 1 || digest != "digest of org_a" {
			t.Errorf("desired = %d, %q, %v", generation, digest, err)
		}
		line, err := tx.Timeline(project, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(th.device)}, time.Time{}, 10)
		if err != nil || len(line) != 1 || line[0].Text != "event of org_a" {
			t.Errorf("timeline = %+v, %v", line, err)
		}
		return nil
	})
}

func TestNoNumberStandsInTheFilesInClear(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	w.update(func(tx *sqlstore.Tx) error {
		return tx.SetIMEI(w.person(audit.SIMWrite, th.org), th.sim, "490154203237518", false)
	})
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{testIMSI, testICCID, testIMEI, "490154203237518", "usage of org_a"} {
			if strings.Contains(string(text), n) {
				t.Errorf("%s holds %q in clear", filepath.Base(f), n)
			}
		}
		st, err := os.Stat(f)
		if err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v; want nobody else to read it", filepath.Base(f), st.Mode(), err)
		}
	}
	if err := os.Remove(filepath.Join(w.dir, "data.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Open(t.Context(), w.dir); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("opening without the data key: %v, want unavailable", err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "data.key"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Open(t.Context(), w.dir); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("opening with another data key: %v, want unverified", err)
	}
}

func TestAFailedUpdateLeavesNothing(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	project := w.system(audit.SysProject, th.org)
	boom := ringwall.Errorf(ringwall.Conflict, "boom")
	err := w.store.Update(t.Context(), func(tx *sqlstore.Tx) error {
		if _, err := tx.UpdateDevice(project, th.device, func(d *api.Device) error { d.Name = "changed"; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := tx.Emit(project, ringwall.Event{ID: "evt_x", Org: th.org, Time: clock()}); err != nil {
			t.Fatal(err)
		}
		return boom
	})
	if err != boom {
		t.Fatalf("Update = %v, want boom", err)
	}
	w.view(func(tx *sqlstore.Tx) error {
		if d, err := tx.Device(project, th.device); err != nil || d.Name != "device of org_a" || d.Version != 1 {
			t.Errorf("device = %q version %d, %v; want it untouched", d.Name, d.Version, err)
		}
		return nil
	})
	pending, err := w.store.Pending(t.Context(), w.system(audit.SysOutbox, ""), 10)
	if err != nil || len(pending) != 1 {
		t.Errorf("%d events wait, %v; want the one of before", len(pending), err)
	}
}

func TestAnEnrolTokenIsUsedOnceHoweverManyTry(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	enrol := w.system(audit.SysEnrol, th.org)
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[ringwall.Code]int{}
	for range 16 {
		wg.Go(func() {
			err := w.store.Update(t.Context(), func(tx *sqlstore.Tx) error { return tx.UseEnrolToken(enrol, th.enrol, "gw_x", clock()) })
			mu.Lock()
			defer mu.Unlock()
			codes[ringwall.CodeOf(err)]++
		})
	}
	wg.Wait()
	if codes[""] != 1 || codes[ringwall.Conflict] != 15 {
		t.Errorf("answers = %v, want one success and 15 conflicts", codes)
	}
}

func TestAnExpiredEnrolTokenIsNotUsed(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	err := w.store.Update(t.Context(), func(tx *sqlstore.Tx) error {
		return tx.UseEnrolToken(w.system(audit.SysEnrol, th.org), th.enrol, "gw_x", clock().Add(time.Hour))
	})
	if ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("got %v, want conflict", err)
	}
}

func TestOutboxKeepsOrderUntilPublished(t *testing.T) {
	w := newWorld(t)
	w.emptyOrg("org_a")
	w.emptyOrg("org_b")
	var want []ringwall.EventID
	for i := range 6 {
		org := []ringwall.OrgID{"org_a", "org_b"}[i%2]
		id := ringwall.EventID(ringwall.DeriveID("evt", string(org), string(rune('0'+i))))
		scope := w.system(audit.SysProject, org)
		for range 2 { // emitted again, it is still one
			w.update(func(tx *sqlstore.Tx) error {
				return tx.Emit(scope, ringwall.Event{ID: id, Org: org, Time: clock(), Kind: ringwall.EventAlert})
			})
		}
		if org == "org_a" {
			want = append(want, id)
		}
	}
	out := w.system(audit.SysOutbox, "")
	var got []ringwall.EventID
	for range 10 {
		some, err := w.store.Pending(t.Context(), out, 4)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			break
		}
		for _, s := range some[:2] {
			if s.Event.Org == "org_a" {
				got = append(got, s.Event.ID)
			}
		}
		if err := w.store.Published(t.Context(), out, some[:2]); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("published %v of org_a, want %v", got, want)
	}
	if _, err := w.store.Pending(t.Context(), w.system(audit.SysProject, "org_a"), 1); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("reading the outbox with another scope: %v, want forbidden", err)
	}
}

func TestDevicesArePagedByNameAndFound(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	project := w.system(audit.SysProject, th.org)
	names := []string{"bravo", "alpha 100%", "alpha 100x", "charlie", "charlie", "delta"}
	w.update(func(tx *sqlstore.Tx) error {
		for i, n := range names {
			mark, err := tx.NextMark(project, th.gateway)
			if err != nil {
				return err
			}
			d := api.Device{ID: ringwall.DeviceID(ringwall.DeriveID("dev", n, string(rune(i)))), Name: n, Type: "meter", Vendor: "Acme", Gateway: th.gateway, Grade: ringwall.HighRisk}
			if err := tx.CreateDevice(project, d, mark); err != nil {
				return err
			}
		}
		return nil
	})
	list := func(f sqlstore.DeviceFilter, limit int) (names []string) {
		w.view(func(tx *sqlstore.Tx) error {
			for p := (sqlstore.Paging{Limit: limit}); ; {
				page, err := tx.Devices(project, f, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range page.Items {
					names = append(names, d.Name)
				}
				if p.Cursor = page.Next; p.Cursor == "" {
					return nil
				}
			}
		})
		return names
	}
	high := ringwall.HighRisk
	for _, c := range []struct {
		name string
		f    sqlstore.DeviceFilter
		want []string
	}{
		{"all", sqlstore.DeviceFilter{}, []string{"alpha 100%", "alpha 100x", "bravo", "charlie", "charlie", "delta", "device of org_a"}},
		{"text with a wildcard in it", sqlstore.DeviceFilter{Text: "100%"}, []string{"alpha 100%"}},
		{"text in the vendor", sqlstore.DeviceFilter{Text: "ACME"}, []string{"alpha 100%", "alpha 100x", "bravo", "charlie", "charlie", "delta"}},
		{"address", sqlstore.DeviceFilter{Text: "10.77"}, []string{"device of org_a"}},
		{"type and grade", sqlstore.DeviceFilter{Type: "camera", Grade: &high}, nil},
		{"type", sqlstore.DeviceFilter{Type: "camera"}, []string{"device of org_a"}},
	} {
		for _, limit := range []int{1, 2, 3, 100} {
			if got := list(c.f, limit); !slices.Equal(got, c.want) {
				t.Errorf("%s by %d: %q, want %q", c.name, limit, got, c.want)
			}
		}
	}
	for _, bad := range []string{"x", "!!!!", "YWJj"} {
		w.view(func(tx *sqlstore.Tx) error {
			if _, err := tx.Devices(project, sqlstore.DeviceFilter{}, sqlstore.Paging{Cursor: bad}); ringwall.CodeOf(err) != ringwall.Invalid {
				t.Errorf("cursor %q: %v, want invalid", bad, err)
			}
			return nil
		})
	}
}

func TestGenerationsOnlyGrow(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	policy := w.system(audit.SysPolicy, th.org)
	for _, c := range []struct {
		generation uint64
		want       ringwall.Code
	}{{1, ringwall.Conflict}, {3, ringwall.Conflict}, {2, ""}, {2, ringwall.Conflict}, {3, ""}} {
		err := w.store.Update(t.Context(), func(tx *sqlstore.Tx) error {
			return tx.PutDesired(policy, th.gateway, c.generation, "d", api.Signed{})
		})
		if ringwall.CodeOf(err) != c.want {
			t.Errorf("putting generation %d: %v, want code %q", c.generation, err, c.want)
		}
	}
}

func TestAHoldStandsUntilItIsReleasedAndLifted(t *testing.T) {
	w := newWorld(t)
	th := w.fill("org_a")
	respond, project := w.system(audit.SysIncident, th.org), w.system(audit.SysProject, th.org)
	state := func() (holds, releases int) {
		w.view(func(tx *sqlstore.Tx) error {
			h, r, err := tx.HoldsOf(project, th.gateway, clock())
			if err != nil {
				t.Fatal(err)
			}
			holds, releases = len(h), len(r)
			return nil
		})
		return holds, releases
	}
	if h, r := state(); h != 1 || r != 0 {
		t.Errorf("at first %d holds, %d releases; want 1, 0", h, r)
	}
	w.update(func(tx *sqlstore.Tx) error {
		if ok, err := tx.ReleaseHold(respond, th.hold, "usr_a", clock()); !ok || err != nil {
			t.Errorf("release = %v, %v", ok, err)
		}
		if ok, err := tx.ReleaseHold(respond, th.hold, "usr_a", clock()); ok || err != nil {
			t.Errorf("second release = %v, %v; want false, nil", ok, err)
		}
		return nil
	})
	if h, r := state(); h != 0 || r != 1 {
		t.Errorf("after the release %d holds, %d releases; want 0, 1", h, r)
	}
	w.update(func(tx *sqlstore.Tx) error { return tx.LiftHold(project, th.hold, clock()) })
	if h, r := state(); h != 0 || r != 0 {
		t.Errorf("after it was lifted %d holds, %d releases; want 0, 0", h, r)
	}
	w.update(func(tx *sqlstore.Tx) error {
		if _, err := tx.PutHold(project, api.Hold{ID: "hld_x", Device: th.device}, th.gateway, false); ringwall.CodeOf(err) != ringwall.Forbidden {
			t.Errorf("the projector restricts a device: %v, want forbidden", err)
		}
		if isNew, err := tx.PutHold(project, api.Hold{ID: "hld_x", Device: th.device}, th.gateway, true); !isNew || err != nil {
			t.Errorf("a reported hold: %v, %v; want true, nil", isNew, err)
		}
		if isNew, err := tx.PutHold(project, api.Hold{ID: "hld_x", Device: th.device}, th.gateway, true); isNew || err != nil {
			t.Errorf("the same report again: %v, %v; want false, nil", isNew, err)
		}
		return nil
	})
	if h, _ := state(); h != 0 {
		t.Error("a hold that the gateway made is listed as the platform's")
	}
}
