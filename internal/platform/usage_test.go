package platform

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage/spool"
)

const usageHeader = "imsi,time,service,imei,peer,up,down,area,cell,id,direction\n"

// spoolOf is a spool directory as an input; files are complete when they are there.
func spoolOf(dir string) func(UsageWorld) (UsageInputs, error) {
	return func(w UsageWorld) (UsageInputs, error) {
		return UsageInputs{Sources: []UsageSource{{Name: "spool", Open: func(from []byte) (cdr.Source, error) {
			return spool.NewDir(spool.DirConfig{
				Dir: dir, State: filepath.Join(w.Dir, "spool"), Done: filepath.Join(dir, "done"), Settle: -1, Poll: 10 * time.Millisecond, From: from,
				File: cdrfile.Config{Keys: w.Keys, Bad: func(b cdr.Bad) { w.Bad("", "", b) }},
			})
		}}}}, nil
	}
}

// usageConfig is a platform with a followed file and a spool directory in dir.
func usageConfig(t *testing.T, dir string) Config {
	t.Helper()
	cfg := testConfig(filepath.Join(dir, "data"), io.Discard)
	cfg.Usage, cfg.UsageSources = []UsageFile{{Path: filepath.Join(dir, "usage.csv")}}, spoolOf(filepath.Join(dir, "spool"))
	if err := os.MkdirAll(filepath.Join(dir, "spool", "done"), 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// usageRow is a record of the n-th card.
func usageRow(n int, at time.Time, service, imei string, id string) string {
	return fmt.Sprintf("%s,%s,%s,%s,,%d,0,9001,c1,%s,mo\n", testIMSI(n), at.UTC().Format(time.RFC3339), service, imei, 100, id)
}

func testIMSI(n int) string { return fmt.Sprintf("46000123456%04d", n) }

// putUsage puts a file into a spool directory, at once.
func putUsage(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "."+name), []byte(text), 0o600), os.Rename(filepath.Join(dir, "."+name), filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
}

// appendUsage writes into a followed file.
func appendUsage(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// issue registers cards 0 to n-1.
func (r *running) issue(n int) (ids []ringwall.SIMID) {
	r.Helper()
	for i := range n {
		s, err := r.Service().CreateSIM(r.Context(), r.owner(), api.SIMCreate{ICCID: fmt.Sprintf("89860012345678%04d", i), IMSI: testIMSI(i), Services: []string{"data"}, Customer: "Water works"})
		if err != nil {
			r.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	return ids
}

// counted is how many records the curves of cards have, and what was used.
func (r *running) counted(ids []ringwall.SIMID) (records, up uint64) {
	r.Helper()
	return r.home().counted(ids)
}

// counted does the same for cards of a tenant.
func (o *tenant) counted(ids []ringwall.SIMID) (records, up uint64) {
	o.Helper()
	for _, id := range ids {
		c, err := o.Service().SIMCard(o.Context(), o.who, id)
		if err != nil {
			o.Fatal(err)
		}
		var own uint64
		for _, p := range c.Days.Points {
			own, up = own+p.Records, up+p.Up
		}
		if records += own; own != c.SIM.Records {
			o.Errorf("the card has %d records, its curve %d", c.SIM.Records, own)
		}
	}
	return records, up
}

// TestUsage_crowd: cards that take turns in one piece of equipment are told of as
// one, with the cards, once, and in a pool they may.
func TestUsage_crowd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := New(t.Context(), usageConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	svc, who := r.Service(), r.owner()
	ids := r.issue(6)
	other := "Nord"
	if _, err := svc.PatchSIM(t.Context(), who, ids[2], api.SIMPatch{Customer: &other}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	box := func(imei, tag string) (text string) {
		for n := range ids {
			text += usageRow(n, now.Add(-time.Duration(60-n)*time.Minute), "data", imei, fmt.Sprint(tag, n))
		}
		return text
	}
	file := filepath.Join(dir, "usage.csv")
	appendUsage(t, file, usageHeader+box(oIMEI, "x"))
	said := func() (all []api.SIMAlert) {
		t.Helper()
		page, err := svc.SIMAlerts(t.Context(), who, httpapi.SIMAlertFilter{Rule: "sim-box"}, httpapi.Paging{})
		if err != nil {
			t.Fatal(err)
		}
		return page.Items
	}
	r.wait("a crowd, with each of its cards", func() bool { return len(said()) >= 3 })
	all := said()
	in, err := svc.Incident(t.Context(), who, all[0].Incident)
	if err != nil || len(in.Alerts) == 0 || in.Alerts[0].Rule != "sim-box" {
		t.Fatalf("incident %q: %+v, %v", all[0].Incident, in.Alerts, err)
	}
	named := map[ringwall.SIMID]bool{}
	for _, a := range all {
		named[a.SIM] = true
		if a.Incident != in.ID || a.Facts["kind"] == "" || len(a.With) != len(all)-1 || slices.Contains(a.With, a.SIM) || strings.Contains(fmt.Sprint(a), oIMEI) {
			t.Errorf("alert %+v", a)
		}
		if c, err := svc.SIMCard(t.Context(), who, a.SIM); err != nil || len(c.Alerts) == 0 || c.Alerts[0].Rule != "sim-box" {
			t.Errorf("the page of %s has %+v, %v", a.SIM, c.Alerts, err)
		}
	}
	if len(named) != len(all) || len(named) < 3 || !named[ids[2]] {
		t.Errorf("%d entries for %d cards", len(all), len(named))
	}
	// The incident goes to the party of its card: it names no other's.
	if sims := in.Alerts[0].Evidence.Facts[factSIMs]; sims == "" || strings.Contains(fmt.Sprint(in), string(ids[2])) {
		t.Errorf("the incident names %q; %s is another customer's", sims, ids[2])
	}
	// Killed or not, the same is said once.
	appendUsage(t, file, box(oIMEI, "y"))
	r.wait("the second time", func() bool { n, _ := r.counted(ids); return n == 12 })
	r.stop()
	if p, err = New(t.Context(), usageConfig(t, dir)); err != nil {
		t.Fatal(err)
	}
	r = runPlatform(t, p)
	svc, who = r.Service(), r.owner()
	// In equipment of a pool they take turns.
	if _, err := svc.PutIMEIPool(t.Context(), who, api.IMEIPool{Name: "spares", TACs: []string{"86012345"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PutUsageSettings(t.Context(), who, api.UsageSettings{Pools: []string{"spares"}}); err != nil {
		t.Fatal(err)
	}
	appendUsage(t, file, box("860123450000011", "z"))
	r.wait("the pool", func() bool { n, _ := r.counted(ids); return n == 18 })
	loud := 0
	for _, a := range said() {
		if a.Muted == "" {
			loud++
		} else if a.Muted != mutedPool {
			t.Errorf("muted: %+v", a)
		}
	}
	if loud != len(all) || len(said()) == loud {
		t.Errorf("%d alerts are loud, want %d; %d in all", loud, len(all), len(said()))
	}
}

// TestUsage_spool: files are picked up once, whatever their names, from the
// followed file's records too; what is covered by a snapshot is moved away.
func TestUsage_spool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begin := func() *running {
		p, err := New(t.Context(), usageConfig(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		p.usage.every = 50 * time.Millisecond
		return runPlatform(t, p)
	}
	r := begin()
	ids := r.issue(2)
	now := time.Now()
	text := func(first, n int) (s string) {
		s = usageHeader
		for i := first; i < first+n; i++ {
			s += usageRow(i%2, now.Add(-time.Duration(i)*time.Minute), "data", "", fmt.Sprint("r", i))
		}
		return s
	}
	in := filepath.Join(dir, "spool")
	putUsage(t, in, "a.csv", text(0, 30))
	putUsage(t, in, "b.csv", text(0, 30))                                       // the same bytes
	putUsage(t, in, "c.csv", text(20, 20))                                      // ten of them came before
	appendUsage(t, filepath.Join(dir, "usage.csv"), text(30, 20))               // ten too, by another way
	putUsage(t, in, "d.csv", "imsi,time,service\n"+testIMSI(0)+",yesterday,\n") // wrong
	r.wait("fifty records", func() bool { n, _ := r.counted(ids); return n >= 50 })
	r.wait("files that are not needed any more", func() bool {
		done, err := filepath.Glob(filepath.Join(in, "done", "*"))
		return err == nil && len(done) >= 3
	})
	r.stop()
	r = begin()
	putUsage(t, in, "e.csv", text(60, 5))
	r.wait("five more", func() bool { n, _ := r.counted(ids); return n >= 55 })
	r.stop()
	r = begin()
	if n, up := r.counted(ids); n != 55 || up != 5500 {
		t.Errorf("%d records are counted, %d bytes; want 55, 5500", n, up)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "data", usageDir, "quarantine.jsonl")); err != nil || !strings.Contains(string(b), "d.csv") {
		t.Errorf("the wrong record is not in the quarantine: %q, %v", b, err)
	}
}

// TestUsage_strangers: records of cards that nobody knows come without end, and a
// card that is registered in between loses none.
func TestUsage_strangers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := New(t.Context(), usageConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	file, now := filepath.Join(dir, "usage.csv"), time.Now()
	appendUsage(t, file, usageHeader)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			text := ""
			for n := range 40 {
				text += usageRow(1000+(i*40+n)%5000, now, "data", "", "")
			}
			putUsage(t, filepath.Join(dir, "spool"), fmt.Sprintf("%06d.csv", i), usageHeader+text)
		}
	}()
	var ids []ringwall.SIMID
	for n := range 8 {
		s, err := r.Service().CreateSIM(t.Context(), r.owner(), api.SIMCreate{ICCID: fmt.Sprintf("89860012345678%04d", n), IMSI: testIMSI(n), Services: []string{"data"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
		appendUsage(t, file, usageRow(n, now, "data", "", fmt.Sprint("first", n))) // at once
	}
	r.wait("the first record of each", func() bool { n, _ := r.counted(ids); return n == 8 })
	close(stop)
	<-stopped
}

// TestUsage_areas: a table of areas that is put counts at once, and nothing that
// was known is forgotten.
func TestUsage_areas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := New(t.Context(), usageConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	ids := r.issue(1)
	now := time.Now()
	file := filepath.Join(dir, "usage.csv")
	row := func(at time.Time, area, id string) string {
		return fmt.Sprintf("%s,%s,data,%s,,1,0,%s,,%s,mo\n", testIMSI(0), at.UTC().Format(time.RFC3339), tIMEI, area, id)
	}
	travels := func() (n int) {
		page, err := r.Service().SIMAlerts(t.Context(), r.owner(), httpapi.SIMAlertFilter{Rule: "sim-travel"}, httpapi.Paging{})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Items)
	}
	appendUsage(t, file, usageHeader+row(now.Add(-50*time.Hour), "9001", "a")+row(now.Add(-50*time.Hour+10*time.Minute), "9002", "b"))
	r.wait("two records", func() bool { n, _ := r.counted(ids); return n == 2 })
	if travels() != 0 {
		t.Fatal("without a table of areas nothing is known of distance")
	}
	if _, err := r.Service().PutUsageAreas(t.Context(), r.owner(), []api.UsageArea{{Area: "9001", Lat: 40, Lon: 116}, {Area: "9002", Lat: 23, Lon: 113}}, false); err != nil {
		t.Fatal(err)
	}
	appendUsage(t, file, row(now.Add(-time.Hour), "9001", "c")+row(now.Add(-50*time.Minute), "9002", "d")+row(now.Add(-50*time.Minute), "9002", "d"))
	r.wait("a travel", func() bool { return travels() == 1 })
	r.wait("four records", func() bool { n, _ := r.counted(ids); return n == 4 })
	// What it is bound to was learned before.
	appendUsage(t, file, fmt.Sprintf("%s,%s,data,%s,,1,0,9002,,e,mo\n", testIMSI(0), now.UTC().Format(time.RFC3339), oIMEI))
	r.wait("a separation from the equipment of before", func() bool {
		page, err := r.Service().SIMAlerts(t.Context(), r.owner(), httpapi.SIMAlertFilter{Rule: "separation"}, httpapi.Paging{})
		return err == nil && len(page.Items) == 1
	})
}

const usageKillDir = "RINGWALL_TEST_USAGE_KILL_DIR"

// TestKilledUsagePlatform is the platform that TestUsage_killed kills.
func TestKilledUsagePlatform(t *testing.T) {
	dir := os.Getenv(usageKillDir)
	if dir == "" {
		t.Skip("run by TestUsage_killed")
	}
	p, err := New(t.Context(), usageConfig(t, dir))
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
	p.usage.every = 20 * time.Millisecond
	err = p.Run(t.Context(), func() { fmt.Println("READY") })
	fmt.Println("ENDED", err)
	os.Exit(1)
}

// TestUsage_killed: a platform is killed again and again while records of two
// organisations' cards come by two ways. At the end every record is counted once, in
// curves and archive, and every alert was told once, to whose card it is.
func TestUsage_killed(t *testing.T) {
	t.Parallel()
	kills := 6
	if testing.Short() {
		kills = 3
	}
	if n, err := strconv.Atoi(os.Getenv("RINGWALL_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	p, err := New(t.Context(), usageConfig(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	first := runPlatform(t, p)
	const cards, own = 6, 3 // the others are another's
	ids := first.issue(own)
	b, theirs := first.tenant("b"), []ringwall.SIMID(nil)
	for n := own; n < cards; n++ {
		theirs = append(theirs, b.card(n, "data"))
	}
	first.stop()

	file, in := filepath.Join(dir, "usage.csv"), filepath.Join(dir, "spool")
	appendUsage(t, file, usageHeader)
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	records, of, alerts := 0, [2]int{}, [2]map[string]bool{{}, {}}
	row := func() string {
		n, day := dice.IntN(cards), dice.IntN(30)
		service := "data"
		if dice.IntN(4) == 0 {
			service = "sms" // is not meant for it: one alert a day
			alerts[n/own][fmt.Sprint(n, day)] = true
		}
		records++
		of[n/own]++
		return usageRow(n, noon.AddDate(0, 0, -day).Add(time.Duration(records)*time.Millisecond), service, "", fmt.Sprint("k", records))
	}
	for k := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledUsagePlatform$")
		cmd.Env = append(os.Environ(), usageKillDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "READY" {
			if strings.HasPrefix(lines.Text(), "FAILED") {
				t.Fatalf("it does not start again: %s", lines.Text())
			}
		}
		go io.Copy(io.Discard, out)
		until := time.Now().Add(time.Duration(50+dice.IntN(300)) * time.Millisecond)
		for i := 0; time.Now().Before(until); i++ {
			if dice.IntN(2) == 0 {
				appendUsage(t, file, row()+row())
			} else {
				putUsage(t, in, fmt.Sprintf("%03d-%04d.csv", k, i), usageHeader+row()+row()+row())
			}
			time.Sleep(time.Duration(dice.IntN(8)) * time.Millisecond)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	if p, err = New(t.Context(), usageConfig(t, dir)); err != nil {
		t.Fatal(err)
	}
	r := runPlatform(t, p)
	both := []*tenant{r.home(), r.of("b", b.id)}
	cardsOf := [][]ringwall.SIMID{ids, theirs}
	counted := func(i int) uint64 { n, _ := both[i].counted(cardsOf[i]); return n }
	r.wait("all records", func() bool { return counted(0) >= uint64(of[0]) && counted(1) >= uint64(of[1]) })
	if err := r.usage.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, o := range both {
		if n := counted(i); n != uint64(of[i]) {
			t.Errorf("%d records of %s are counted, %d came", n, o.name, of[i])
		}
		// What a trial judges is what is in the archive.
		trial, err := r.Service().TryUsageSettings(t.Context(), o.who, api.UsageTry{Days: 60, Settings: api.UsageSettings{Customer: "Water works", Rules: map[string]api.UsageRuleSetting{"sim-service": {Off: true}}}})
		if err != nil || trial.Looked != of[i] || trial.GoneAll != len(alerts[i]) {
			t.Errorf("the trial of %s looked at %d records of %d, and misses %d alerts of %d, %v", o.name, trial.Looked, of[i], trial.GoneAll, len(alerts[i]), err)
		}
		if told := o.told("sim-service"); told != len(alerts[i]) {
			t.Errorf("%d alerts were told to %s, want %d", told, o.name, len(alerts[i]))
		}
	}
	t.Logf("%d records, %d and %d alerts over %d kills", records, len(alerts[0]), len(alerts[1]), kills)
}

// told is how often a rule is in the tenant's timeline.
func (o *tenant) told(rule string) (n int) {
	o.Helper()
	scope, err := o.auditor.Authorise(o.Context(), audit.System(audit.SysProject, o.id), audit.SystemProject, audit.Target{Kind: "test", Org: o.id})
	if err != nil {
		o.Fatal(err)
	}
	if err := o.store.View(o.Context(), func(tx *sqlstore.Tx) error {
		for before := (time.Time{}); ; {
			page, err := tx.Timeline(scope, ringwall.Subject{}, before, 500)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, e := range page {
				if e.Kind == ringwall.EventAlert && e.Params["rule"] == rule {
					n++
				}
			}
			before = page[len(page)-1].Time
		}
	}); err != nil {
		o.Fatal(err)
	}
	return n
}
