package platform

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// crossed is a wireless with more cards, some of them the binding of a device,
// whose records and reports are held against each other.
type crossed struct {
	*wireless
	scope audit.Scope
	cards int
}

func newCrossed(t *testing.T) *crossed {
	t.Helper()
	c := &crossed{wireless: newWireless(t, t.TempDir(), nil)}
	var err error
	if c.scope, err = c.auditor.Authorise(t.Context(), audit.System(audit.SysUsage, c.org), audit.SystemUsage, audit.Target{Kind: "test", Org: c.org}); err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is a card and, where there is one, the device that is bound by it.
type pair struct {
	imsi string
	sim  ringwall.SIMID
	dev  ringwall.DeviceID
	addr netip.Addr
}

// pair registers a card; with a device, one that its gateway hears now.
func (c *crossed) pair(device bool) pair {
	c.Helper()
	c.cards++
	p := pair{imsi: fmt.Sprintf("46000777777%04d", c.cards), addr: netip.AddrFrom4([4]byte{10, 78, 0, byte(c.cards)})}
	s, err := c.Service().CreateSIM(c.Context(), c.owner(), api.SIMCreate{ICCID: fmt.Sprintf("898600777777777%04d", c.cards), IMSI: p.imsi, Services: []string{"data"}})
	if err != nil {
		c.Fatal(err)
	}
	if p.sim = s.ID; !device {
		return p
	}
	d, err := c.Service().CreateDevice(c.Context(), c.owner(), api.DeviceCreate{Name: fmt.Sprintf("Meter %d", c.cards), Type: "meter", SIM: s.ID, Gateway: c.b.answer.Gateway})
	if err != nil {
		c.Fatal(err)
	}
	p.dev = d.ID
	c.report(c.b, record(api.RecordNotice, api.Notice{Kind: api.NoticeSubscriber, Device: d.ID, Addr: netip.AddrPortFrom(p.addr, 0), Text: "got"}))
	c.wait("the device's address", func() bool {
		d, err := c.Service().Device(c.Context(), c.owner(), p.dev)
		return err == nil && d.Binding.IP == p.addr && d.Presence == ringwall.Online
	})
	return p
}

// used writes records of cards, all at once, and waits until they are known. The
// file is what an operator's mediation sends: oldest first.
func (c *crossed) used(uses ...use) {
	c.Helper()

	slices.SortStableFunc(uses, func(a, b use) int { return a.at.Compare(b.at) })
	f, err := os.OpenFile(c.file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		c.Fatal(err)
	}
	want := map[ringwall.SIMID]time.Time{}
	for _, u := range uses {
		c.n++
		if _, err := fmt.Fprintf(f, "%s,%s,data,,,%d,%d,9001,c1,x%d,mo\n", u.card.imsi, u.at.UTC().Format(time.RFC3339), u.bytes/4, u.bytes-u.bytes/4, c.n); err != nil {
			c.Fatal(err)
		}
		want[u.card.sim] = u.at.Truncate(time.Second)
	}
	if err := f.Close(); err != nil {
		c.Fatal(err)
	}
	c.wait("the records", func() bool {
		for id, at := range want {
			if s, err := c.Service().SIM(c.Context(), c.owner(), id); err != nil || s.LastUsage.Before(at) {
				return false
			}
		}
		return true
	})
}

type use struct {
	card  pair
	at    time.Time
	bytes uint64
}

// gateway puts the gateway on line or away.
func (c *crossed) gateway(online bool) {
	c.Helper()
	c.change(func(t *turn, scope audit.Scope) error {
		_, err := t.tx.UpdateGateway(scope, c.b.answer.Gateway, func(g *api.Gateway) error { g.Online, g.Seen = online, time.Now(); return nil })
		return err
	})
}

func (c *crossed) change(f func(t *turn, scope audit.Scope) error) {
	c.Helper()
	if err := c.core.turn(c.Context(), c.org, func(t *turn) error {
		scope, err := t.projector()
		if err != nil {
			return err
		}
		return f(t, scope)
	}); err != nil {
		c.Fatal(err)
	}
}

// told returns what joint rules said of a card.
func (c *crossed) told(p pair) (all []api.SIMAlert) {
	c.Helper()
	got, err := c.Service().SIMCard(c.Context(), c.owner(), p.sim)
	if err != nil {
		c.Fatal(err)
	}
	for _, a := range got.Alerts {
		if strings.HasPrefix(a.Rule, "card-") {
			all = append(all, a)
		}
	}
	return all
}

// quiet fails when anything was said of a card.
func (c *crossed) quiet(why string, all ...pair) {
	c.Helper()
	for _, p := range all {
		for _, a := range c.told(p) {
			c.Errorf("%s: %s says %q", why, a.Rule, a.Title)
		}
	}
}

// joined fails unless a rule has spoken once of a card, and what it said is part
// of the device's incident. A deviation alone is watched, and shown to nobody: the
// alert names no incident until what the gateway saw opens it.
func (c *crossed) joined(p pair, rule string, severity ringwall.Severity) api.SIMAlert {
	c.Helper()
	all := c.told(p)
	if len(all) != 1 || all[0].Rule != rule || all[0].Severity != severity || all[0].Muted != "" {
		c.Fatalf("alerts of the card are %+v, want one of %s", all, rule)
	}
	incidents := func() []api.Incident {
		c.Helper()
		page, err := c.Service().Incidents(c.Context(), c.owner(), httpapi.IncidentFilter{}, httpapi.Paging{})
		if err != nil {
			c.Fatal(err)
		}
		return page.Items
	}
	if is := incidents(); len(is) != 0 || all[0].Incident != "" {
		c.Errorf("one deviation alone: incidents %+v; the alert names %q", is, all[0].Incident)
	}
	c.report(c.b, record(api.RecordAlert, ringwall.Alert{
		ID: "alt_seen", Time: time.Now().UTC(), Rule: "mirai-scan", Nature: ringwall.NatureAttack, Severity: ringwall.Critical, Stage: ringwall.Propagation, Subject: deviceSubject(p.dev), Title: "scan",
	}))
	c.wait("the device's incident", func() bool { return len(incidents()) > 0 })
	is := incidents()
	if len(is) != 1 || is[0].Subject != deviceSubject(p.dev) {
		c.Fatalf("incidents are %+v, want one of device %s", is, p.dev)
	}
	in, err := c.Service().Incident(c.Context(), c.owner(), is[0].ID)
	if err != nil {
		c.Fatal(err)
	}
	if !slices.ContainsFunc(in.Alerts, func(a ringwall.Alert) bool { return a.Rule == rule && a.Subject == simSubject(p.sim) }) {
		c.Errorf("what %s said is not among the incident's alerts: %+v", rule, in.Alerts)
	}
	if all = c.told(p); all[0].Incident != in.ID {
		c.Errorf("the alert names incident %q, want %s", all[0].Incident, in.ID)
	}
	return all[0]
}

// TestCross_card_offline_camera_online: the operator has no record of a card for
// two days, and its device is heard. Nothing is said where records do not come at
// all, while the gateway is away, of a device that has other ways than its card,
// of a card that is in use, and of one that was suspended.
func TestCross_card_offline_camera_online(t *testing.T) {
	t.Parallel()
	c := newCrossed(t)
	silent, busy, suspended, feed := c.pair(true), c.pair(true), c.pair(true), c.pair(false)
	wired := pair{imsi: tIMSI, sim: c.sim.ID, dev: c.dev.ID} // bound by port, MAC and address
	check := func() {
		t.Helper()
		if err := c.core.crossCheck(t.Context(), c.scope); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	old := now.Add(-72 * time.Hour)
	c.used(use{silent, old, 100}, use{busy, old, 100}, use{suspended, old, 100}, use{wired, old, 100})
	check()
	c.quiet("while no records come at all", silent, busy, suspended, wired)

	c.change(func(t *turn, _ audit.Scope) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		_, err = t.tx.UpdateSIM(scope, suspended.sim, func(s *api.SIM) error { s.State = "suspended"; return nil })
		return err
	})
	c.used(use{feed, now, 100}, use{busy, now.Add(-47 * time.Hour), 100})
	c.gateway(false)
	check()
	c.quiet("behind a gateway that is away", silent, busy, suspended, wired, feed)

	c.gateway(true)
	check()
	check() // it speaks once a day
	a := c.joined(silent, ruleCardSilent, ringwall.Medium)
	if a.Facts["used"] != old.UTC().Format(time.RFC3339) {
		t.Errorf("facts %v, want the last use at %s", a.Facts, old.UTC().Format(time.RFC3339))
	}
	c.quiet("of cards that are used, suspended, or not the binding", busy, suspended, wired, feed)
}

// TestCross_volumes: for a day the operator counted more than three times what
// the gateway saw. Nothing is said where both agree, of little, of traffic outside
// the day that is compared, of a device that was made in it, of one that is not
// bound by its card, and while the gateway is away.
func TestCross_volumes(t *testing.T) {
	t.Parallel()
	c := newCrossed(t)
	const mib = 1 << 20
	theft, agree, little, recent, young := c.pair(true), c.pair(true), c.pair(true), c.pair(true), c.pair(true)
	wired := pair{imsi: tIMSI, sim: c.sim.ID, dev: c.dev.ID, addr: c.dev.Binding.IP}
	all := []pair{theft, agree, little, recent, young, wired}
	now := time.Now()
	noon := now.Add(-15 * time.Hour) // amid the day that is compared
	for _, p := range all {
		if p == young {
			continue
		}
		c.change(func(t *turn, scope audit.Scope) error {
			_, err := t.tx.UpdateDevice(scope, p.dev, func(d *api.Device) error { d.Created = now.Add(-90 * 24 * time.Hour); return nil })
			return err
		})
	}
	seen := func(p pair, at time.Time, up, down uint64) api.Record {
		t.Helper()
		row := flow.Record{
			Start: at, End: at, Device: p.dev, Direction: flow.FromDevice, Proto: 6, Local: netip.AddrPortFrom(p.addr, 40000), Remote: netip.MustParseAddrPort("198.51.100.20:8883"),
			Verdict: flow.Allowed, PacketsUp: 5, BytesUp: up, PacketsDown: 5, BytesDown: down,
		}
		b, err := row.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return api.Record{Time: now.UTC(), Kind: api.RecordFlow, Bin: b}
	}
	c.report(c.b,
		seen(theft, noon, 2*mib, 8*mib), seen(theft, now.Add(-time.Hour), 500*mib, 0), // what came later does not count
		seen(agree, noon, 2*mib, 9*mib),
		seen(little, noon, 100, 100),
	)
	c.used(
		use{theft, noon, 20 * mib}, use{theft, noon.Add(time.Hour), 13 * mib},
		use{agree, noon, 33 * mib}, // three times as much is not more than three times
		use{little, noon, 9 * mib},
		use{recent, now.Add(-2 * time.Hour), 100 * mib}, use{recent, now.Add(-40 * time.Hour), 100 * mib},
		use{young, noon, 100 * mib},
		use{wired, noon, 100 * mib},
	)
	compare := func() {
		t.Helper()
		if err := c.core.compareVolumes(t.Context(), c.scope, c.segments); err != nil {
			t.Fatal(err)
		}
	}
	c.gateway(false)
	compare()
	c.quiet("behind a gateway that is away", all...)
	c.gateway(true)
	compare()
	compare() // it speaks once a day
	a := c.joined(theft, ruleCardVolume, ringwall.High)
	if a.Facts["card"] != fmt.Sprint(33*mib) || a.Facts["gateway"] != fmt.Sprint(10*mib) {
		t.Errorf("facts %v, want 33 MiB against 10", a.Facts)
	}
	c.quiet("of what agrees, is little, outside the day, young or not the binding", all[1:]...)
}
