package platform

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// usageMachines is a machine that judges usage records, with a log on a broker, and
// the way of a platform to it.
type usageMachines struct {
	*testing.T
	broker *broker.Broker
	log    *usagelog.Cluster
	keys   *cdr.Keys
	n      uint64
}

const machineShards = 3

func newUsageMachines(t *testing.T) *usageMachines {
	t.Helper()
	b, err := broker.Start(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	m := &usageMachines{T: t, broker: b}
	key := []byte("what the usage machines share...")
	m.keys = usage.KeysOf(key)
	m.log = m.open()
	node, err := shard.NewNode(shard.Config{
		Name: "a", Shards: machineShards, Log: m.log, Leases: m.log, Store: m.log, Sink: m.log, Renew: 200 * time.Millisecond,
		Machine: func(n int) shard.Machine {
			return shard.NewEngine(shard.EngineConfig{Usage: usage.Config{Key: key, Keys: m.keys, NoTotals: true, Duplicates: 1 << 12}, Shard: n, Shards: machineShards})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *usageMachines) open() *usagelog.Cluster {
	m.Helper()
	c, err := usagelog.Open(m.Context(), usagelog.Config{InProcess: m.broker.InProcess, Token: m.broker.Token(), Shards: machineShards, LogBytes: 8 << 20, TTL: time.Second})
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(c.Close)
	return c
}

// way is a platform's way to the machines.
func (m *usageMachines) way() *UsageCluster {
	return &UsageCluster{Shards: machineShards, Run: func(ctx context.Context, ready func(UsageLog), tell func(ringwall.Alert) error) error {
		c := m.open()
		defer c.Close()
		ready(c)
		return c.Consume(ctx, "platform", tell)
	}}
}

// bring puts a record of the n-th card into the log.
func (m *usageMachines) bring(n int, at time.Time, s cdr.Service, imei string) {
	m.Helper()
	m.n++
	recs := []cdr.Record{{ID: fmt.Sprint("m", m.n), IMSI: ringwall.IMSI(testIMSI(n)), Time: at, Service: s, Direction: cdr.Originated, IMEI: ringwall.IMEI(imei), Peer: "13800138000", Area: "9001"}}
	cut, err := shard.NewCut(m.Context(), m.n, machineShards, nil, func(from []byte) (cdr.Source, error) { return cdr.NewRecords(m.keys, recs, from, nil) })
	if err != nil {
		m.Fatal(err)
	}
	defer cut.Close()
	g := shard.Ingest{Log: m.log, Shards: machineShards, Save: func(context.Context, uint64, []byte) error { return nil }}
	if err := g.Run(m.Context(), cut); err != nil {
		m.Fatal(err)
	}
}

// TestUsageCluster: cards and settings of the console reach the machines that
// judge, and their alerts are incidents of the console.
func TestUsageCluster(t *testing.T) {
	t.Parallel()
	m := newUsageMachines(t)
	dir := t.TempDir()
	begin := func() *running {
		cfg := testConfig(dir, nopTerminal{})
		cfg.UsageCluster = m.way()
		p, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return runPlatform(t, p)
	}
	r := begin()
	svc, who := r.Service(), r.owner()
	var ids []ringwall.SIMID
	for n, services := range [][]string{{"data"}, nil} {
		s, err := svc.CreateSIM(t.Context(), who, api.SIMCreate{ICCID: fmt.Sprintf("89860012345678%04d", n), IMSI: testIMSI(n), IMEI: tIMEI, Services: services, Customer: "Water works"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	said := func(rule string, sim ringwall.SIMID) (all []api.SIMAlert) {
		t.Helper()
		page, err := svc.SIMAlerts(t.Context(), who, httpapi.SIMAlertFilter{Rule: rule}, httpapi.Paging{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Items {
			if a.SIM == sim {
				all = append(all, a)
			}
		}
		return all
	}
	// Records come again and again: the machines know a card some moment after the console.
	at, day, polls := time.Now().AddDate(-2, 0, 0), 0, 0
	again := func(n int, imei string) {
		if polls++; polls%10 == 1 {
			m.bring(n, at.AddDate(0, 0, day), cdr.SMS, imei)
			day++
		}
	}
	r.wait("an alert of the machines", func() bool { again(0, tIMEI); return len(said("sim-service", ids[0])) > 0 })
	a := said("sim-service", ids[0])[0]
	if in, err := svc.Incident(t.Context(), who, a.Incident); err != nil || len(in.Alerts) == 0 {
		t.Fatalf("alert %+v: %+v, %v", a, in, err)
	}
	// A swap that was planned is known by what the alert tells of the equipment.
	if _, err := svc.CreateException(t.Context(), who, api.ExceptionCreate{Kind: api.ExceptSwap, SIM: ids[1], IMEI: oIMEI, From: at, Until: time.Now().Add(time.Hour), Reason: "repair"}); err != nil {
		t.Fatal(err)
	}
	r.wait("a muted separation", func() bool {
		again(1, oIMEI)
		s := said("separation", ids[1])
		return len(s) > 0 && s[0].Muted == mutedSwap
	})
	// Settings, after a restart: they have the numbers that they had.
	if len(said("sim-service", ids[1])) != 0 {
		t.Error("nobody has said what the second card is for")
	}
	r.stop()
	r = begin()
	svc, who = r.Service(), r.owner()
	if _, err := svc.PutUsageSettings(t.Context(), who, api.UsageSettings{Customer: "Water works", Services: []string{"data"}}); err != nil {
		t.Fatal(err)
	}
	r.wait("an alert by the new settings", func() bool { again(1, tIMEI); return len(said("sim-service", ids[1])) > 0 })
	// What is another organisation's is not taken, whatever it names.
	before := len(said("sim-box", ids[0]))
	stranger := ringwall.Alert{ID: "alr_stranger", Org: "org_other", Time: time.Now(), Rule: "sim-box", Nature: ringwall.NatureAttack, Severity: ringwall.High, Subject: simSubject(ids[0])}
	nobody := stranger
	nobody.ID, nobody.Org, nobody.Subject = "alr_nobody", r.org, simSubject("sim_nobody")
	ours := stranger
	ours.ID, ours.Org = "alr_ours", r.org
	if err := m.log.Alerts(t.Context(), 0, []ringwall.Alert{stranger, nobody, ours, ours}); err != nil {
		t.Fatal(err)
	}
	r.wait("our own", func() bool { return len(said("sim-box", ids[0])) > before })
	if all := said("sim-box", ids[0]); len(all) != before+1 || all[0].ID != ours.ID {
		t.Errorf("alerts %+v", all)
	}
}

// TestUsageCluster_orgs: the machines are told of all organisations' cards, of such
// that came later too, and each organisation is told of its own alone. A number that
// goes to another takes nothing along.
func TestUsageCluster_orgs(t *testing.T) {
	t.Parallel()
	m := newUsageMachines(t)
	dir := t.TempDir()
	cfg := testConfig(dir, nopTerminal{})
	cfg.UsageCluster = m.way()
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	a := r.home()
	mine := a.card(0, "data")
	b := r.tenant("b")
	theirs := b.card(1, "data")
	// The same words of another organisation mean none of our cards.
	if _, err := r.Service().CreateException(t.Context(), b.who, api.ExceptionCreate{
		Kind: api.ExceptRule, Customer: "Water works", Rules: []string{"sim-service"}, From: time.Now().AddDate(-3, 0, 0), Until: time.Now().Add(time.Hour), Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	at, day, polls := time.Now().AddDate(-2, 0, 0), 0, 0
	again := func(imei string, of ...int) {
		if polls++; polls%10 == 1 {
			for _, n := range of {
				m.bring(n, at.AddDate(0, 0, day), cdr.SMS, imei)
			}
			day++
		}
	}
	r.wait("alerts of the machines", func() bool {
		again(tIMEI, 0, 1)
		return len(a.said("sim-service")) > 0 && len(b.said("sim-service")) > 0
	})
	for o, own := range map[*tenant]ringwall.SIMID{a: mine, b: theirs} {
		for _, x := range o.said("sim-service") {
			if x.SIM != own || (x.Muted == mutedException) != (o == b) {
				t.Errorf("%s is told %+v", o.name, x)
			}
		}
	}

	// An alert is of the organisation that it names, and of its cards alone.
	alert := func(id string, org ringwall.OrgID, about ringwall.SIMID, sims string) ringwall.Alert {
		return ringwall.Alert{ID: ringwall.AlertID(id), Org: org, Time: time.Now(), Rule: "sim-box", Nature: ringwall.NatureAttack, Severity: ringwall.High, Subject: simSubject(about),
			Evidence: ringwall.Evidence{Facts: map[string]string{factSIMs: sims}}}
	}
	before := len(a.said("sim-box")) + len(b.said("sim-box"))
	if err := m.log.Alerts(t.Context(), 0, []ringwall.Alert{
		alert("alr_wrong", b.id, mine, ""), alert("alr_nowhere", "org_nowhere", mine, ""), alert("alr_none", "", mine, ""),
		alert("alr_b", b.id, theirs, string(mine)+" "+string(theirs)),
	}); err != nil {
		t.Fatal(err)
	}
	r.wait("b's crowd", func() bool { return len(a.said("sim-box"))+len(b.said("sim-box")) > before })
	for _, x := range b.said("sim-box") {
		if x.SIM != theirs || slices.Contains(x.With, mine) {
			t.Errorf("b is told %+v", x)
		}
		if in, err := r.Service().Incident(t.Context(), b.who, x.Incident); err != nil || strings.Contains(fmt.Sprintf("%+v", in), string(mine)) {
			t.Errorf("b's incident is %+v, %v", in, err)
		}
	}
	if all := a.said("sim-box"); len(all) != 0 {
		t.Errorf("a is told %+v", all)
	}

	// Another has the number then: what it was bound to is forgotten. Of a card that
	// stays it is not.
	dropOrg(t, filepath.Join(dir, stateDir), b.id)
	r.wait("that it is gone", func() bool {
		_, err := r.Service().CreateSIM(t.Context(), a.who, api.SIMCreate{ICCID: "898600123456780001", IMSI: testIMSI(1), Services: []string{"data"}})
		return err == nil
	})
	loud := len(a.said("sim-service"))
	r.wait("alerts about both", func() bool {
		again(oIMEI, 0, 1)
		told := map[ringwall.SIMID]bool{}
		for _, x := range a.said("sim-service")[:len(a.said("sim-service"))-loud] {
			told[x.SIM] = true
		}
		return len(told) == 2
	})
	r.wait("a separation", func() bool { return len(a.said("separation")) > 0 })
	for _, x := range a.said("separation") {
		if x.SIM != mine {
			t.Errorf("separated is %+v: it was bound as another's", x)
		}
	}
}
