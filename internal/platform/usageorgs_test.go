package platform

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// tenant is an organisation of a platform, and somebody there who may do all.
type tenant struct {
	*running
	name string
	id   ringwall.OrgID
	who  audit.Actor
}

// tenant makes an organisation, as AddOrg does.
func (r *running) tenant(name string) *tenant {
	r.Helper()
	org := api.Org{ID: ringwall.OrgID(ringwall.NewID(ringwall.PrefixOrg, time.Now())), Name: name}
	scope, err := r.bootScope(r.Context(), org.ID)
	if err != nil {
		r.Fatal(err)
	}
	if err := r.store.Update(r.Context(), func(tx *sqlstore.Tx) error { return tx.CreateOrg(scope, org) }); err != nil {
		r.Fatal(err)
	}
	return r.of(name, org.ID)
}

// of is an organisation that there is.
func (r *running) of(name string, id ringwall.OrgID) *tenant {
	return &tenant{running: r, name: name, id: id, who: audit.Actor{Kind: audit.KindUser, ID: "usr_" + name, Org: id, Parts: everyPart}}
}

// home is the first organisation.
func (r *running) home() *tenant {
	return &tenant{running: r, name: "home", id: r.org, who: r.owner()}
}

// card registers the n-th card. Every tenant's is of the same customer, by its words.
func (o *tenant) card(n int, services ...string) ringwall.SIMID {
	o.Helper()
	s, err := o.Service().CreateSIM(o.Context(), o.who, api.SIMCreate{ICCID: fmt.Sprintf("89860012345678%04d", n), IMSI: testIMSI(n), Services: services, Customer: "Water works"})
	if err != nil {
		o.Fatal(err)
	}
	return s.ID
}

// said is what a rule said to the tenant of its cards.
func (o *tenant) said(rule string) []api.SIMAlert {
	o.Helper()
	page, err := o.Service().SIMAlerts(o.Context(), o.who, httpapi.SIMAlertFilter{Rule: rule}, httpapi.Paging{})
	if err != nil {
		o.Fatal(err)
	}
	return page.Items
}

// muted is why, of each alert of a rule at a moment; "loud" when it is not.
func (o *tenant) mutedAt(rule string, at time.Time) (why []string) {
	o.Helper()
	for _, a := range o.said(rule) {
		if a.Time.Equal(at.UTC().Truncate(time.Second)) {
			if a.Muted == "" {
				a.Muted = "loud"
			}
			why = append(why, a.Muted)
		}
	}
	return why
}

// records is how many records the curve of a card has.
func (o *tenant) records(id ringwall.SIMID) (n uint64) {
	o.Helper()
	c, err := o.Service().SIMCard(o.Context(), o.who, id)
	if err != nil {
		o.Fatal(err)
	}
	for _, p := range c.Days.Points {
		n += p.Records
	}
	return n
}

// usageFeed writes into a followed file. Each time it begins with a stranger's
// record, so that cards and settings are looked at before what follows is judged.
type usageFeed struct {
	t    *testing.T
	file string
	n    int
}

func (f *usageFeed) say(rows ...string) {
	f.t.Helper()
	text := ""
	if f.n == 0 {
		text = usageHeader
	}
	f.n++
	appendUsage(f.t, f.file, text+usageRow(8000+f.n, time.Now().Add(-time.Hour), "data", "", fmt.Sprint("stranger", f.n))+strings.Join(rows, ""))
}

func usageTenants(t *testing.T, dir string) (*running, *usageFeed) {
	t.Helper()
	p, err := New(t.Context(), usageConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	p.usage.every = 50 * time.Millisecond
	return runPlatform(t, p), &usageFeed{t: t, file: filepath.Join(dir, "usage.csv")}
}

// TestUsageOrgs_apart: records of two organisations' cards come by one stream. Each
// card is judged by what its own said, and only its own is told.
func TestUsageOrgs_apart(t *testing.T) {
	t.Parallel()
	r, feed := usageTenants(t, t.TempDir())
	a, b := r.home(), r.tenant("b")
	svc := r.Service()
	cards := map[*tenant]ringwall.SIMID{a: a.card(0, "data"), b: b.card(1, "data")}
	day := func(n int) time.Time {
		return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, n-20).Add(12 * time.Hour)
	}
	both := func(n int, service, imei string) (rows []string) {
		for i := range 2 {
			rows = append(rows, usageRow(i, day(n), service, imei, fmt.Sprint("r", n, service, i)))
		}
		return rows
	}
	sent := uint64(0)
	say := func(rows ...string) {
		t.Helper()
		feed.say(rows...)
		sent += uint64(len(rows) / 2)
		r.wait("the records of both", func() bool { return a.records(cards[a]) >= sent && b.records(cards[b]) >= sent })
	}

	// Alerts.
	say(both(0, "sms", tIMEI)...)
	for _, o := range []*tenant{a, b} {
		r.wait("an alert", func() bool { return len(o.said("sim-service")) == 1 })
		x := o.said("sim-service")[0]
		if x.SIM != cards[o] || x.Muted != "" {
			t.Errorf("%s is told %+v", o.name, x)
		}
		if in, err := svc.Incident(t.Context(), o.who, x.Incident); err != nil || in.Subject != simSubject(cards[o]) {
			t.Errorf("the incident of %s is %+v, %v", o.name, in, err)
		}
		page, err := svc.Incidents(t.Context(), o.who, httpapi.IncidentFilter{}, httpapi.Paging{})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("%s has %d incidents, %v", o.name, len(page.Items), err)
		}
	}
	for o, other := range map[*tenant]*tenant{a: b, b: a} {
		if _, err := svc.SIMCard(t.Context(), o.who, cards[other]); ringwall.CodeOf(err) != ringwall.NotFound {
			t.Errorf("%s asks for the card of %s: %v", o.name, other.name, err)
		}
		if _, err := svc.Incident(t.Context(), o.who, other.said("sim-service")[0].Incident); ringwall.CodeOf(err) != ringwall.NotFound {
			t.Errorf("%s asks for the incident of %s: %v", o.name, other.name, err)
		}
		if _, err := svc.RevealSIM(t.Context(), o.who, cards[other], api.SIMReveal{Reason: "hotline, ticket 4711"}); ringwall.CodeOf(err) != ringwall.NotFound {
			t.Errorf("%s asks for the numbers of %s: %v", o.name, other.name, err)
		}
	}

	// Rules that are off.
	if _, err := svc.PutUsageSettings(t.Context(), b.who, api.UsageSettings{Customer: "Water works", Rules: map[string]api.UsageRuleSetting{"sim-service": {Off: true}}}); err != nil {
		t.Fatal(err)
	}
	say(both(3, "sms", tIMEI)...)
	r.wait("both alerts", func() bool { return len(a.mutedAt("sim-service", day(3)))+len(b.mutedAt("sim-service", day(3))) == 2 })
	if x, y := a.mutedAt("sim-service", day(3)), b.mutedAt("sim-service", day(3)); !slices.Equal(x, []string{"loud"}) || !slices.Equal(y, []string{mutedOff}) {
		t.Errorf("a rule that b put off is %q for a, %q for b", x, y)
	}

	// Settings: what everybody's cards may reach, by each organisation's words.
	if _, err := svc.PutUsageSettings(t.Context(), b.who, api.UsageSettings{Customer: "Water works", Peers: []string{"10086"}}); err != nil {
		t.Fatal(err)
	}
	peer := func(n int, who int, number string) string {
		return fmt.Sprintf("%s,%s,sms,%s,%s,0,0,9001,c1,p%d-%d-%s,mo\n", testIMSI(who), day(n).Format(time.RFC3339), tIMEI, number, n, who, number)
	}
	say(peer(4, 0, "13800138000"), peer(4, 1, "13800138000"))
	r.wait("b's alert", func() bool { return len(b.said("sim-peer")) == 1 })
	if _, err := svc.PutUsageSettings(t.Context(), a.who, api.UsageSettings{Peers: []string{"13800138000"}}); err != nil {
		t.Fatal(err)
	}
	say(peer(5, 0, "10086"), peer(5, 1, "10086"))
	r.wait("a's alert", func() bool { return len(a.said("sim-peer")) == 1 })
	if len(a.said("sim-peer")) != 1 || len(b.said("sim-peer")) != 1 {
		t.Errorf("of peers a is told %+v, b %+v", a.said("sim-peer"), b.said("sim-peer"))
	}

	// Pools.
	if _, err := svc.PutIMEIPool(t.Context(), a.who, api.IMEIPool{Name: "spares", TACs: []string{oIMEI[:8]}}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PutUsageSettings(t.Context(), a.who, api.UsageSettings{Pools: []string{"spares"}}); err != nil {
		t.Fatal(err)
	}
	say(both(6, "data", oIMEI)...)
	r.wait("both separations", func() bool { return len(a.mutedAt("separation", day(6)))+len(b.mutedAt("separation", day(6))) == 2 })
	if x, y := a.mutedAt("separation", day(6)), b.mutedAt("separation", day(6)); !slices.Equal(x, []string{mutedPool}) || !slices.Equal(y, []string{"loud"}) {
		t.Errorf("in equipment of a's pool a's card is %q, b's %q", x, y)
	}

	// Areas are the network's: what the first organisation says where they are. What
	// another says is for its maps.
	there, far := api.UsageArea{Area: "9001", Lat: 40, Lon: 116}, api.UsageArea{Area: "9002", Lat: 23, Lon: 113}
	travel := func(n int) (rows []string) {
		for i, area := range []string{"9001", "9002"} {
			for who := range 2 {
				rows = append(rows, fmt.Sprintf("%s,%s,data,%s,,1,0,%s,,t%d-%d-%d,mo\n", testIMSI(who), day(n).Add(time.Duration(10*i)*time.Minute).Format(time.RFC3339), tIMEI, area, n, i, who))
			}
		}
		return rows
	}
	if _, err := svc.PutUsageAreas(t.Context(), b.who, []api.UsageArea{there, far}, false); err != nil {
		t.Fatal(err)
	}
	say(travel(7)...)
	if len(a.said("sim-travel"))+len(b.said("sim-travel")) != 0 {
		t.Errorf("b's table of areas counts: %+v, %+v", a.said("sim-travel"), b.said("sim-travel"))
	}
	if _, err := svc.PutUsageAreas(t.Context(), a.who, []api.UsageArea{there, far}, false); err != nil {
		t.Fatal(err)
	}
	say(travel(9)...)
	r.wait("a travel of each", func() bool { return len(a.said("sim-travel")) == 1 && len(b.said("sim-travel")) == 1 })

	// What mutes: said by one in words that mean the other's card too. It holds for all
	// that is later, so the later comes first.
	until := time.Now().Add(time.Hour)
	for _, c := range []struct {
		n          int
		why        string
		one, other *tenant
		except     api.ExceptionCreate
	}{
		{17, mutedException, a, b, api.ExceptionCreate{Kind: api.ExceptRule, Customer: "Water works", Rules: []string{"sim-service"}}},
		{16, mutedWindow, b, a, api.ExceptionCreate{Kind: api.ExceptWindow}},
	} {
		n, one, other := c.n, c.one, c.other
		c.except.From, c.except.Until, c.except.Reason = day(n), until, "test"
		e, err := svc.CreateException(t.Context(), one.who, c.except)
		if err != nil {
			t.Fatal(err)
		}
		say(both(n, "sms", tIMEI)...)
		r.wait("both alerts", func() bool {
			return len(one.mutedAt("sim-service", day(n)))+len(other.mutedAt("sim-service", day(n))) == 2
		})
		if why := one.mutedAt("sim-service", day(n)); !slices.Equal(why, []string{c.why}) {
			t.Errorf("by %s of %s: %q", c.except.Kind, one.name, why)
		}
		if why := other.mutedAt("sim-service", day(n)); !slices.Equal(why, []string{"loud"}) {
			t.Errorf("%s of %s, to %s: %q", c.except.Kind, one.name, other.name, why)
		}
		if _, err := svc.EndException(t.Context(), one.who, e.ID); err != nil {
			t.Fatal(err)
		}
	}

	// Curves, the archive, and what is nobody's.
	if n, m := a.records(cards[a]), b.records(cards[b]); n != sent || m != sent {
		t.Errorf("curves have %d and %d records, want %d", n, m, sent)
	}
	for _, o := range []*tenant{a, b} {
		trial, err := svc.TryUsageSettings(t.Context(), o.who, api.UsageTry{Days: 30, Settings: api.UsageSettings{Customer: "Water works", Services: []string{"sms"}}})
		if err != nil || !trial.Records || trial.Looked != int(sent) {
			t.Errorf("a trial of %s looks at %d records of its %d, %v", o.name, trial.Looked, sent, err)
		}
		for _, x := range append(trial.Gone, trial.Fresh...) {
			if x.SIM != cards[o] {
				t.Errorf("a trial of %s tells of %s", o.name, x.SIM)
			}
		}
	}
	if st := r.usage.now.Load().set.Stats(); st.Unknown != uint64(feed.n) || st.Records != 2*sent+uint64(feed.n) {
		t.Errorf("%d records of %d are of unknown cards, want %d", st.Unknown, st.Records, feed.n)
	}
}

// TestUsageOrgs_crowd: a crowd of cards of two organisations is told to each, with
// its own cards alone, and to nobody else.
func TestUsageOrgs_crowd(t *testing.T) {
	t.Parallel()
	r, feed := usageTenants(t, t.TempDir())
	a, b, c := r.home(), r.tenant("b"), r.tenant("c")
	own := map[*tenant][]ringwall.SIMID{}
	for n, o := range []*tenant{a, b, a, b, a, b, c} {
		own[o] = append(own[o], o.card(n, "data"))
	}
	at := time.Now().Add(-3 * time.Hour)
	box := func(imei, tag string) (rows []string) {
		for n := range 6 {
			rows = append(rows, usageRow(n, at.Add(time.Duration(n)*time.Minute), "data", imei, fmt.Sprint(tag, n)))
		}
		return append(rows, usageRow(6, at, "data", tIMEI, fmt.Sprint(tag, 6)))
	}
	feed.say(box(oIMEI, "x")...)
	r.wait("a crowd, told to both", func() bool { return len(a.said("sim-box")) > 0 && len(b.said("sim-box")) > 0 })
	r.wait("the other's record", func() bool { return c.records(own[c][0]) == 1 })
	for _, o := range []*tenant{a, b} {
		var incident ringwall.IncidentID
		for _, x := range o.said("sim-box") {
			incident = x.Incident
			if !slices.Contains(own[o], x.SIM) || x.Muted != "" || x.Facts["cards"] != "4" {
				t.Errorf("%s is told %+v", o.name, x)
			}
			for _, other := range x.With {
				if !slices.Contains(own[o], other) {
					t.Errorf("%s is told of %s", o.name, other)
				}
			}
		}
		in, err := r.Service().Incident(t.Context(), o.who, incident)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []*tenant{a, b} {
			for _, id := range own[other] {
				if other != o && strings.Contains(fmt.Sprintf("%+v", in), string(id)) {
					t.Errorf("the incident of %s names %s", o.name, id)
				}
			}
		}
	}
	if all := c.said("sim-box"); len(all) != 0 {
		t.Errorf("who has no card in it is told %+v", all)
	}
	// In equipment of a pool of one organisation its own cards take turns, and no other's.
	if _, err := r.Service().PutIMEIPool(t.Context(), a.who, api.IMEIPool{Name: "spares", TACs: []string{"86012345"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Service().PutUsageSettings(t.Context(), a.who, api.UsageSettings{Pools: []string{"spares"}}); err != nil {
		t.Fatal(err)
	}
	before := map[*tenant]int{a: len(a.said("sim-box")), b: len(b.said("sim-box"))}
	feed.say(box("860123450000011", "y")...)
	r.wait("a second crowd", func() bool { return len(a.said("sim-box")) > before[a] && len(b.said("sim-box")) > before[b] })
	loud := func(o *tenant) (n int) {
		for _, x := range o.said("sim-box") {
			if x.Muted == "" {
				n++
			}
		}
		return n
	}
	if loud(a) != before[a] || loud(b) != len(b.said("sim-box")) {
		t.Errorf("loud are %d of a's %d, and %d of b's %d", loud(a), len(a.said("sim-box")), loud(b), len(b.said("sim-box")))
	}
}

// dropOrg takes an organisation out of the database, with all that it has.
func dropOrg(t *testing.T, data string, org ringwall.OrgID) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "ringwall.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'org' WHERE m.type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		if _, err := tx.Exec(`DELETE FROM `+name+` WHERE org = $1`, string(org)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(`DELETE FROM orgs WHERE id = $1`, string(org)); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// TestUsageOrgs_come_and_go: organisations come and go while records come, and a
// number that goes to another takes nothing along. What is known of cards outlives
// the process.
func TestUsageOrgs_come_and_go(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, feed := usageTenants(t, dir)
	home := r.home()
	mine := home.card(0, "data")
	now := time.Now()
	row := func(n, minutes int, imei string) string {
		return usageRow(n, now.Add(time.Duration(minutes)*time.Minute), "data", imei, fmt.Sprint("r", n, minutes))
	}
	feed.say(row(0, -300, tIMEI), row(1, -300, tIMEI), row(2, -300, tIMEI))
	r.wait("the record of who is there", func() bool { return home.records(mine) == 1 })

	b, c := r.tenant("b"), r.tenant("c")
	gone, kept := b.card(1, "data"), c.card(2, "data")
	const box = "860123450000011" // four cards in it are a crowd
	others := []ringwall.SIMID{b.card(11, "data"), b.card(12, "data")}
	feed.say(row(0, -200, tIMEI), row(1, -200, tIMEI), row(2, -200, tIMEI), row(11, -200, box), row(12, -200, box))
	r.wait("cards in the box", func() bool { return b.records(others[0]) == 1 && b.records(others[1]) == 1 })
	r.wait("records of who came", func() bool { return b.records(gone) == 1 && c.records(kept) == 1 && home.records(mine) == 2 })

	// The same number again: whose it is, nobody learns.
	_, err := r.Service().CreateSIM(t.Context(), c.who, api.SIMCreate{ICCID: "898600123456785001", IMSI: testIMSI(1)})
	_, own := r.Service().CreateSIM(t.Context(), c.who, api.SIMCreate{ICCID: "898600123456785002", IMSI: testIMSI(2)})
	if ringwall.CodeOf(err) != ringwall.Conflict || ringwall.CodeOf(own) != ringwall.Conflict || err.Error() != own.Error() || strings.Contains(err.Error(), string(b.id)) {
		t.Errorf("another's number: %v; an own one: %v", err, own)
	}
	batch, err := r.Service().CreateSIMs(t.Context(), c.who, api.SIMBatch{Cards: []api.SIMCreate{{ICCID: "898600123456785001", IMSI: testIMSI(1)}, {ICCID: "898600123456780009", IMSI: testIMSI(9)}}})
	if err != nil || batch.Made != 1 || len(batch.Wrong) != 1 || batch.Wrong[0].Index != 0 {
		t.Errorf("a list with another's number: %+v, %v", batch, err)
	}

	// An organisation goes: its card is nobody's, and the next one that has the number
	// begins with nothing: it is bound to what it is seen in first.
	dropOrg(t, filepath.Join(dir, "data", stateDir), b.id)
	unknown := func() uint64 { return r.usage.now.Load().set.Stats().Unknown }
	before := unknown()
	feed.say(row(1, -150, tIMEI), row(0, -150, tIMEI))
	r.wait("a record of nobody", func() bool { return home.records(mine) == 3 })
	if n := unknown() - before; n != 2 {
		t.Errorf("%d more records are of unknown cards, want the stranger's and that of the card that was b's", n)
	}
	mates := []ringwall.SIMID{home.card(13, "data"), home.card(14, "data")}
	feed.say(row(13, -140, box), row(14, -140, box))
	r.wait("a crowd, told to who is there", func() bool { return len(home.said("sim-box")) > 0 })
	for _, x := range home.said("sim-box") {
		if !slices.Contains(mates, x.SIM) || slices.ContainsFunc(others, func(o ringwall.SIMID) bool { return strings.Contains(fmt.Sprint(x), string(o)) }) {
			t.Errorf("of the crowd it is told %+v", x)
		}
	}
	next := c.card(1, "data")
	feed.say(row(1, -100, oIMEI), row(2, -100, oIMEI))
	r.wait("both are used", func() bool { return c.records(next) == 1 && c.records(kept) == 2 })
	r.wait("a separation", func() bool { return len(c.said("separation")) > 0 })
	if all := c.said("separation"); len(all) != 1 || all[0].SIM != kept {
		t.Errorf("separated are %+v, want the card alone that is as it was", all)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", usageDir, "archive")); err != nil {
		t.Error(err)
	}

	// After a restart from a snapshot all is known that was.
	settings := r.usage.cards.specs.list
	r.stop()
	r, _ = usageTenants(t, dir)
	home, c = r.home(), r.of("c", c.id)
	feed.say(row(1, -50, tIMEI), row(0, -50, oIMEI))
	r.wait("separations of both", func() bool { return len(home.said("separation")) == 1 && len(c.said("separation")) == 2 })
	r.wait("both are used", func() bool { return c.records(next) == 2 && home.records(mine) == 4 })
	if now := r.usage.cards.specs.list; len(now) < len(settings) || fmt.Sprint(now[:len(settings)]) != fmt.Sprint(settings) {
		t.Errorf("settings had the numbers %+v and have %+v", settings, now)
	}
}

// TestUsageOrgs_damage: a card whose numbers cannot be read keeps nobody else's from
// being judged.
func TestUsageOrgs_damage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, feed := usageTenants(t, dir)
	a, b := r.home(), r.tenant("b")
	broken, whole := b.card(1, "data"), b.card(2, "data")
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "data", stateDir, "ringwall.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE sims SET imsi = x'00112233445566778899aabbccddeeff' WHERE id = $1`, string(broken)); err != nil {
		t.Fatal(err)
	}
	mine := a.card(0, "data")
	row := func(n int) string {
		return usageRow(n, time.Now().Add(-time.Hour), "data", tIMEI, fmt.Sprint("r", n))
	}
	feed.say(row(0), row(1), row(2))
	r.wait("the records of cards that are whole", func() bool { return a.records(mine) == 1 && b.records(whole) == 1 })
	if st := r.usage.now.Load().set.Stats(); st.Unknown != 2 {
		t.Errorf("%d records are of unknown cards, want the stranger's and that of the broken card", st.Unknown)
	}
}

// TestUsageOrgs_numbers: organisations that say the same have settings of their own,
// and one whose cards differ in too many ways keeps no other from being judged.
func TestUsageOrgs_numbers(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	c := newUsageCards(r.core, "org_a", nil)
	c.specs.most = 6
	number := func(org ringwall.OrgID, s rules.Spec) uint32 {
		t.Helper()
		n, err := c.number(org, s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	data := rules.Spec{Services: []string{"data"}}
	a0, b0, a1, b1 := number("org_a", rules.Spec{}), number("org_b", rules.Spec{}), number("org_a", data), number("org_b", data)
	if a0 != 0 || b0 == a0 || a1 == b1 || a1 == a0 || b1 == b0 {
		t.Errorf("the same settings have the numbers %d and %d, %d and %d", a0, b0, a1, b1)
	}
	for _, s := range []string{"sms", "voice"} {
		number("org_a", rules.Spec{Services: []string{s}})
	}
	if c.full {
		t.Fatal("there is room")
	}
	if n := number("org_b", rules.Spec{Services: []string{"voice"}}); !c.full || n != b0 {
		t.Errorf("settings without a number have %d, want those of b that say nothing, %d", n, b0)
	}
	if n := number("org_c", data); n != 0 {
		t.Errorf("settings of who came last have %d", n)
	}
	if n := number("org_b", data); n != b1 {
		t.Errorf("settings that had a number have %d, want %d", n, b1)
	}
}
