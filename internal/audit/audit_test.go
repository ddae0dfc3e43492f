package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func newAuditor(t *testing.T) (*audit.Auditor, *audit.Log) {
	t.Helper()
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	a, err := audit.New(audit.Config{Recorder: log, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func person(parts ...ringwall.Part) audit.Actor {
	return audit.Actor{Kind: audit.KindUser, ID: "usr_a", Org: "org_a", Parts: parts}
}

// allowed is the table that the policies must amount to: which acts each part
// gives a person inside its own organisation.
var allowed = map[ringwall.Part][]audit.Act{
	ringwall.PartOwner: {
		audit.DeviceRead, audit.DeviceWrite, audit.DeviceRespond, audit.PolicyRead, audit.PolicyWrite, audit.AssessRun, audit.SIMRead, audit.SIMWrite,
		audit.SIMRespond, audit.SIMReveal, audit.GatewayRead, audit.GatewayWrite, audit.GatewayEnrol, audit.IncidentRead, audit.IncidentWrite, audit.OrgRead,
		audit.TokenAdmin, audit.DemoRun, audit.PolicyRollout, audit.GroupWrite, audit.TemplateWrite,
		audit.TunnelAsk, audit.TunnelApprove, audit.TunnelUse, audit.TunnelReview, audit.WarningWrite,
	},
	ringwall.PartEnterprise: {
		audit.DeviceRead, audit.DeviceWrite, audit.DeviceRespond, audit.PolicyRead, audit.PolicyWrite, audit.AssessRun, audit.SIMRead, audit.SIMWrite,
		audit.SIMRespond, audit.SIMReveal, audit.GatewayRead, audit.GatewayWrite, audit.GatewayEnrol, audit.IncidentRead, audit.IncidentWrite, audit.OrgRead,
		audit.TokenAdmin, audit.DemoRun, audit.PolicyRollout, audit.GroupWrite, audit.TemplateWrite,
		audit.TunnelAsk, audit.TunnelApprove, audit.TunnelUse, audit.TunnelReview, audit.WarningWrite,
	},
	ringwall.PartIntegrator: {
		audit.DeviceRead, audit.DeviceWrite, audit.PolicyRead, audit.PolicyWrite, audit.AssessRun, audit.SIMRead, audit.GatewayRead,
		audit.GatewayWrite, audit.GatewayEnrol, audit.IncidentRead, audit.OrgRead, audit.PolicyRollout, audit.GroupWrite, audit.TemplateWrite,
		audit.TunnelAsk, audit.TunnelUse,
	},
	ringwall.PartProvider:     {audit.TunnelAsk, audit.TunnelUse, audit.DeviceRead, audit.PolicyRead, audit.SIMRead, audit.GatewayRead, audit.IncidentRead, audit.IncidentWrite, audit.OrgRead},
	ringwall.PartApplication:  {audit.DeviceRead, audit.PolicyRead, audit.SIMRead, audit.GatewayRead, audit.IncidentRead, audit.OrgRead},
	ringwall.PartOperator:     {audit.SIMRead, audit.SIMWrite, audit.SIMRespond, audit.SIMReveal, audit.IncidentRead, audit.OrgRead, audit.TokenAdmin},
	ringwall.PartManufacturer: {audit.DeviceRead, audit.OrgRead},
	ringwall.PartIntermediary: {audit.SIMRead, audit.OrgRead},
	ringwall.PartPointOfSale:  {audit.SIMRead, audit.OrgRead},
	ringwall.PartConsumer:     {audit.SIMRead, audit.OrgRead},
	ringwall.PartAuditor: {
		audit.DeviceRead, audit.PolicyRead, audit.SIMRead, audit.GatewayRead, audit.IncidentRead, audit.OrgRead, audit.AuditRead,
	},
	ringwall.PartPlatform: {
		audit.OrgRead, audit.OrgAdmin, audit.UserAdmin, audit.TokenAdmin, audit.AuditRead, audit.GatewayRead, audit.GatewayEnrol,
	},
}

func TestEveryPartMayDoWhatTheTableSaysAndNothingElse(t *testing.T) {
	a, _ := newAuditor(t)
	for _, part := range ringwall.Parts {
		for _, act := range audit.Acts() {
			scope, err := a.Authorise(t.Context(), person(part), act, audit.Target{Kind: "device", ID: "dev_a", Org: "org_a"})
			want := slices.Contains(allowed[part], act)
			if got := err == nil; got != want {
				t.Errorf("%s doing %s: allowed = %v, want %v (%v)", part, act, got, want, err)
			}
			if err == nil && (!scope.Permits(act) || scope.Org() != "org_a") {
				t.Errorf("%s doing %s: the scope does not cover it", part, act)
			}
			if err != nil && (ringwall.CodeOf(err) != ringwall.Forbidden || scope.Permits(act) || scope.Org() != "") {
				t.Errorf("%s doing %s: refused with %v and a scope for %q", part, act, err, scope.Org())
			}
		}
	}
}

func TestNobodyReachesAnotherOrganisation(t *testing.T) {
	a, _ := newAuditor(t)
	for _, part := range ringwall.Parts {
		for _, act := range audit.Acts() {
			_, err := a.Authorise(t.Context(), person(part), act, audit.Target{Kind: "device", ID: "dev_b", Org: "org_b"})
			// The platform's administrators make organisations; that is the one way.
			want := part == ringwall.PartPlatform && act == audit.OrgAdmin
			if got := err == nil; got != want {
				t.Errorf("%s doing %s in another organisation: allowed = %v, want %v", part, act, got, want)
			}
		}
	}
}

func TestAnAuditorWhoAlsoOwnsMayNotAct(t *testing.T) {
	a, _ := newAuditor(t)
	both := person(ringwall.PartOwner, ringwall.PartAuditor, ringwall.PartPlatform)
	for _, act := range audit.Acts() {
		_, err := a.Authorise(t.Context(), both, act, audit.Target{Kind: "device", ID: "dev_a", Org: "org_a"})
		if want := strings.HasSuffix(string(act), ".read"); (err == nil) != want {
			t.Errorf("an owner who audits, doing %s: allowed = %v, want %v", act, err == nil, want)
		}
	}
}

func TestAGatewaySpeaksOnlyForItself(t *testing.T) {
	a, _ := newAuditor(t)
	gw := audit.Actor{Kind: audit.KindGateway, ID: "gw_a", Org: "org_a", Parts: []ringwall.Part{ringwall.PartOwner, ringwall.PartPlatform}}
	own := []audit.Act{audit.GatewayReport, audit.GatewayDesired, audit.GatewayRenew}
	for _, act := range audit.Acts() {
		for _, target := range []audit.Target{
			{Kind: "gateway", ID: "gw_a", Org: "org_a"}, {Kind: "gateway", ID: "gw_b", Org: "org_a"},
			{Kind: "gateway", ID: "gw_a", Org: "org_b"}, {Kind: "device", ID: "gw_a", Org: "org_a"},
		} {
			_, err := a.Authorise(t.Context(), gw, act, target)
			want := slices.Contains(own, act) && target == audit.Target{Kind: "gateway", ID: "gw_a", Org: "org_a"}
			if (err == nil) != want {
				t.Errorf("gateway gw_a of org_a doing %s on %s of %s: allowed = %v, want %v", act, target, target.Org, err == nil, want)
			}
		}
	}
}

func TestASystemActorCannotBeSpelledOut(t *testing.T) {
	a, _ := newAuditor(t)
	target := audit.Target{Kind: "fleet", Org: "org_a"}
	if _, err := a.Authorise(t.Context(), audit.Actor{Kind: audit.KindSystem, ID: "project", Org: "org_a"}, audit.SystemProject, target); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("a system actor that System did not make: got %v, want forbidden", err)
	}
	s, err := a.Authorise(t.Context(), audit.System(audit.SysProject, "org_a"), audit.SystemProject, target)
	if err != nil || !s.Permits(audit.IncidentWrite) || s.Permits(audit.DeviceRespond) {
		t.Errorf("the projector: %v, writes incidents %v, responds %v; want nil, true, false", err, s.Permits(audit.IncidentWrite), s.Permits(audit.DeviceRespond))
	}
	if _, err := a.Authorise(t.Context(), audit.System(audit.SysProject, "org_a"), audit.SystemBootstrap, target); err == nil {
		t.Error("the projector may bootstrap")
	}
	disguised := audit.System(audit.SysProject, "org_a")
	disguised.Kind = audit.KindUser
	if _, err := a.Authorise(t.Context(), disguised, audit.SystemProject, target); err == nil {
		t.Error("a system actor relabelled as a person is let through")
	}
}

func TestTheZeroScopePermitsNothing(t *testing.T) {
	var s audit.Scope
	for _, act := range append(audit.Acts(), "") {
		if s.Permits(act) {
			t.Errorf("the zero scope permits %q", act)
		}
	}
	if s.Org() != "" || s.Actor().ID != "" {
		t.Error("the zero scope names somebody")
	}
}

type brokenRecorder struct{}

func (brokenRecorder) Record(context.Context, audit.Entry, bool) error {
	return errors.New("disk full")
}

func TestNoRecordNoScope(t *testing.T) {
	a, err := audit.New(audit.Config{Recorder: brokenRecorder{}, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Authorise(t.Context(), person(ringwall.PartOwner), audit.DeviceRead, audit.Target{Kind: "device", Org: "org_a"})
	if ringwall.CodeOf(err) != ringwall.Unavailable || s.Permits(audit.DeviceRead) {
		t.Errorf("got %v and a scope that permits %v, want unavailable and false", err, s.Permits(audit.DeviceRead))
	}
}

type spy struct {
	entries []audit.Entry
	durable []bool
}

func (s *spy) Record(_ context.Context, e audit.Entry, durable bool) error {
	s.entries, s.durable = append(s.entries, e), append(s.durable, durable)
	return nil
}

func TestActsWithEffectsAndRefusalsAreDurable(t *testing.T) {
	rec := &spy{}
	a, err := audit.New(audit.Config{Recorder: rec, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	target := audit.Target{Kind: "device", ID: strings.Repeat("x", 1000), Org: "org_a"}
	a.Authorise(t.Context(), person(ringwall.PartOwner), audit.DeviceRead, target)
	a.Authorise(t.Context(), person(ringwall.PartOwner), audit.DeviceRespond, target)
	a.Authorise(t.Context(), person(ringwall.PartAuditor), audit.DeviceRespond, target)
	a.Authorise(t.Context(), person(ringwall.PartOwner), audit.DeviceRead, audit.Target{Kind: "device", ID: "dev_b", Org: "org_b"})
	if want := []bool{false, true, true, true}; !slices.Equal(rec.durable, want) {
		t.Errorf("durable = %v, want %v", rec.durable, want)
	}
	if n := len(rec.entries[0].Target); n > 200 {
		t.Errorf("an id of 1000 bytes makes a target of %d bytes in the record", n)
	}
	if e := rec.entries[3]; e.Org != "org_a" || e.Allowed || e.Why != "another organisation" {
		t.Errorf("the refusal is %+v; want it filed with the one who tried, with its reason", e)
	}
}

func TestLog_SurvivesReopenAndShowsOnlyOnesOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		org := ringwall.OrgID([]string{"org_a", "org_b"}[i%2])
		if err := log.Record(t.Context(), audit.Entry{Time: clock(), Org: org, Actor: "usr_" + string(org), Act: audit.DeviceWrite, Target: "device:x", Allowed: true}, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if log, err = audit.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if n, err := log.Verify(); n != 10 || err != nil {
		t.Fatalf("Verify() = %d, %v; want 10, nil", n, err)
	}
	a, err := audit.New(audit.Config{Recorder: log, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Entries(t.Context(), audit.Scope{}, "", 10); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("reading without a scope: got %v, want forbidden", err)
	}
	s, err := a.Authorise(t.Context(), person(ringwall.PartAuditor), audit.AuditRead, audit.Target{Kind: "audit", Org: "org_a"})
	if err != nil {
		t.Fatal(err)
	}
	var seen int
	for cursor, pages := "", 0; ; pages++ {
		page, err := log.Entries(t.Context(), s, cursor, 2)
		if err != nil || pages > 10 {
			t.Fatal(err, pages)
		}
		for _, e := range page.Items {
			seen++
			if strings.Contains(e.Actor, "org_b") {
				t.Errorf("org_a reads %+v", e)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if seen != 6 { // five written, and the reading itself
		t.Errorf("paged through %d entries, want 6", seen)
	}
	if _, err := log.Entries(t.Context(), s, "nonsense", 2); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a cursor that is none: got %v, want invalid", err)
	}
}

func TestLog_DamageIsFoundAndATornEndIsNot(t *testing.T) {
	write := func(t *testing.T, durable bool) (string, string) {
		dir := filepath.Join(t.TempDir(), "audit")
		log, err := audit.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := log.Record(t.Context(), audit.Entry{Time: clock(), Org: "org_a", Actor: "usr_a", Act: audit.DeviceWrite, Target: "device:x", Allowed: true}, durable); err != nil {
				t.Fatal(err)
			}
		}
		log.Close()
		return dir, filepath.Join(dir, "0000000000000001.log")
	}
	cases := []struct {
		name    string
		durable bool
		damage  func([]byte) []byte
		left    uint64 // entries after opening; 0 = must be refused
	}{
		{"untouched", true, func(b []byte) []byte { return b }, 5},
		{"cut in the last entry", true, func(b []byte) []byte { return b[:len(b)-7] }, 4},
		{"zeroes where the last was", false, func(b []byte) []byte { return append(b, make([]byte, 512)...) }, 5},
		{"an actor changed", true, func(b []byte) []byte { return []byte(strings.Replace(string(b), "usr_a", "usr_z", 1)) }, 0},
		{"an entry removed", true, func(b []byte) []byte { return b[strings.IndexByte(string(b), '\n')+1:] }, 0},
		{"damage among entries that were never synced", false, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, file := write(t, c.durable)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, c.damage(text), 0o600); err != nil {
				t.Fatal(err)
			}
			log, err := audit.Open(dir)
			if c.left == 0 {
				if ringwall.CodeOf(err) != ringwall.Unverified {
					t.Fatalf("Open = %v, want unverified", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if err := log.Record(t.Context(), audit.Entry{Time: clock(), Actor: "x", Act: audit.DeviceWrite}, true); err != nil {
				t.Fatal(err)
			}
			if n, err := log.Verify(); n != c.left+1 || err != nil {
				t.Errorf("Verify() = %d, %v; want %d, nil", n, err, c.left+1)
			}
		})
	}
}
