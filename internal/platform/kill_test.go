package platform

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// killDir tells the test binary that it is a platform that is going to be
// killed, and where its data is.
const killDir = "RINGWALL_TEST_KILL_DIR"

// TestKilledPlatform is the platform that TestKilledAtRandomMoments kills.
func TestKilledPlatform(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("run by TestKilledAtRandomMoments")
	}
	p, err := New(t.Context(), testConfig(dir, io.Discard))
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
	err = p.Run(t.Context(), func() { fmt.Println("READY", p.SpineAddr()) })
	fmt.Println("ENDED", err)
	os.Exit(1)
}

// victim is a platform in a process of its own.
type victim struct {
	cmd   *exec.Cmd
	spine string
}

func runVictim(t *testing.T, dir string) (*victim, error) {
	t.Helper()
	v := &victim{cmd: exec.Command(os.Args[0], "-test.run=^TestKilledPlatform$")}
	v.cmd.Env = append(os.Environ(), killDir+"="+dir)
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "READY "); ok {
			v.spine = addr
			go io.Copy(io.Discard, out)
			return v, nil
		}
		if strings.HasPrefix(lines.Text(), "FAILED") {
			v.kill()
			return nil, fmt.Errorf("the platform does not start again: %s", lines.Text())
		}
	}
	v.kill()
	return nil, errors.New("the platform ended before it was ready")
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill() // it may be dead already
	_ = v.cmd.Wait()
}

// kills returns how often the platform is killed.
func kills() int {
	if testing.Short() {
		return 5
	}
	return 50
}

// TestKilledAtRandomMoments sends reports to a platform that is killed again
// and again. Whatever was acknowledged must be stored once, be state once, and
// be told once.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	first := start(t, dir)
	b := first.enrol()
	b.conn.Close()
	first.stop()

	sender := newSender(b)
	for range kills() {
		if err := sender.feed(t, dir, time.Duration(5+dice.IntN(250))*time.Millisecond, func(v *victim) { _ = v.cmd.Process.Kill() }); err != nil {
			t.Fatal(err)
		}
	}
	acked := sender.acked
	t.Logf("%d records acknowledged over %d kills", acked, kills())
	if acked < uint64(kills()) {
		t.Fatalf("only %d records were acknowledged: the test proves little", acked)
	}
	for _, p := range verifyAfterKills(t, dir, b, acked) {
		t.Error(p)
	}
}

// sender is a gateway that sends what has not been acknowledged again.
type sender struct {
	*box
	acked uint64
	sent  int
	batch []byte
}

func newSender(b *box) *sender {
	s := &sender{box: b}
	s.batch = nextBatch(&s.sent, 1)
	return s
}

// feed runs a platform on dir, sends it reports, and after a time calls end,
// which must end it. An error is what the platform did wrong.
func (s *sender) feed(t *testing.T, dir string, after time.Duration, end func(*victim)) error {
	t.Helper()
	v, err := runVictim(t, dir)
	if err != nil {
		return err
	}
	conn := dialBox(t, s.box, v.spine)
	life, dead := context.WithCancel(t.Context())
	timer := time.AfterFunc(after, func() {
		end(v)
		dead()
	})
	var wrong error
	for {
		out, err := conn.Request(life, api.ReportSubject(s.answer.Org, s.answer.Gateway), s.batch)
		if life.Err() != nil {
			break // what may have been acknowledged was not heard, and is sent again
		}
		if err != nil {
			continue // not subscribed yet, or just ended
		}
		var ack api.BatchAck
		if err := json.Unmarshal(out, &ack); err != nil {
			wrong = fmt.Errorf("answer %s: %w", out, err)
			break
		}
		if ack.Error != "" {
			continue // its disk is gone: this is no acknowledgement
		}
		if ack.Seq < s.acked {
			wrong = fmt.Errorf("acknowledged up to %d, and before up to %d", ack.Seq, s.acked)
			break
		}
		time.Sleep(3 * time.Millisecond) // the projector has to catch up in the end
		s.acked = ack.Seq
		s.batch = nextBatch(&s.sent, s.acked+1)
	}
	timer.Stop()
	dead()
	v.kill()
	conn.Close()
	return wrong
}

func dialBox(t *testing.T, b *box, addr string) interface {
	Request(context.Context, string, []byte) ([]byte, error)
	Connected() bool
	Close()
} {
	t.Helper()
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn := dialSpine(t, b, tcp)
	for range 300 {
		if conn.Connected() {
			return conn
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the platform that is ready takes no connection")
	return nil
}

// nextBatch returns three records from seq on: a device that is new, one that
// is known, and an alert.
func nextBatch(sent *int, seq uint64) []byte {
	n := *sent
	*sent++
	subject := ringwall.Subject{Kind: ringwall.SubjectAddress, ID: "198.51.100.67"}
	records := []api.Record{
		record(api.RecordPresence, sighting(n%400)), record(api.RecordHealth, api.Health{Version: "t"}),
		record(api.RecordAlert, ringwall.Alert{
			ID: alertID(seq), Time: time.Now().UTC(), Rule: "beacon", Nature: ringwall.NatureNotice, Severity: ringwall.Info, Subject: subject, Title: "test",
		}),
	}
	for i := range records {
		records[i].Seq = seq + uint64(i)
	}
	data, err := json.Marshal(api.Batch{Version: api.Version, Epoch: 7, Records: records})
	if err != nil {
		panic(err)
	}
	return data
}

// alertID follows from the sequence number, as that of a resent record does.
func alertID(seq uint64) ringwall.AlertID {
	return ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, fmt.Sprint(seq)))
}

// verifyAfterKills returns what is wrong with what is left.
func verifyAfterKills(t *testing.T, dir string, b *box, acked uint64) (problems []string) {
	t.Helper()
	wrong := func(format string, args ...any) {
		if len(problems) < 20 {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	p, err := New(t.Context(), testConfig(dir, io.Discard))
	if err != nil {
		wrong("the platform does not open: %v", err)
		return problems
	}
	r := runPlatform(t, p)
	stored := map[uint64]int{}
	macs := map[string]bool{}
	alerts := 0
	var last segment.Cursor
	last, err = r.segments.Scan(t.Context(), segment.Cursor{}, func(gw ringwall.GatewayID, org ringwall.OrgID, rec api.Record) error {
		if gw != b.answer.Gateway || org != b.answer.Org {
			wrong("record of %q of %q", gw, org)
		}
		stored[rec.Seq]++
		switch rec.Kind {
		case api.RecordPresence:
			var s api.Sighting
			if err := json.Unmarshal(rec.Data, &s); err != nil {
				return err
			}
			macs[s.MAC] = true
		case api.RecordAlert:
			alerts++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= acked; seq++ {
		if stored[seq] != 1 {
			wrong("record %d was acknowledged and is stored %d times", seq, stored[seq])
		}
	}
	began := time.Now()
	for done := false; !done; {
		at, err := r.proj.cursor(t.Context())
		done = err == nil && !at.Less(last)
		if time.Since(began) > 3*time.Minute {
			wrong("the projector stands at %s of %s after three minutes", at, last)
			return problems
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("the projector caught up in %v", time.Since(began).Round(time.Millisecond))
	devices := r.devices()
	if len(devices) != len(macs) {
		wrong("%d devices, and %d were seen", len(devices), len(macs))
	}
	scope, err := r.auditor.Authorise(t.Context(), audit.System(audit.SysProject, r.org), audit.SystemProject, audit.Target{Kind: "test", Org: r.org})
	if err != nil {
		t.Fatal(err)
	}
	told := map[ringwall.EventID]bool{}
	seen := map[string]int{}
	kept := 0
	err = r.store.View(t.Context(), func(tx *sqlstore.Tx) error {
		for before := (time.Time{}); ; {
			page, err := tx.Timeline(scope, ringwall.Subject{}, before, 500)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, e := range page {
				told[e.Event] = true
				switch e.Kind {
				case ringwall.EventDeviceSeen:
					seen[e.Params["mac"]]++
				case ringwall.EventAlert:
					kept++
				}
			}
			before = page[len(page)-1].Time
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for mac := range macs {
		if seen[mac] != 1 {
			wrong("device %s was told of %d times as new, want once", mac, seen[mac])
		}
	}
	if kept != alerts {
		wrong("%d alerts were told of, and %d are stored", kept, alerts)
	}
	r.wait("empty outbox", func() bool {
		left, err := r.store.Pending(t.Context(), r.pub.scope, 1)
		return err == nil && len(left) == 0
	})
	published := r.allEvents()
	for id, n := range published {
		if n != 1 {
			wrong("event %s is %d times in the stream", id, n)
		}
	}
	for id := range published {
		if !told[id] {
			wrong("event %s was published and the database knows nothing of it", id)
		}
	}
	for id := range told {
		if published[id] == 0 {
			wrong("event %s was told and never published", id)
		}
	}
	page, err := r.Service().Gateways(t.Context(), r.owner(), httpapi.Paging{})
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	text := ""
	files, err := filepath.Glob(filepath.Join(dir, auditDir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		part, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text += string(part)
	}
	// Each generation was composed in a turn that was authorised first.
	if acts, generation := strings.Count(text, `"act":"system.policy"`), page.Items[0].Desired; uint64(acts) < generation {
		wrong("generation %d was made, and %d such acts are on record", generation, acts)
	}
	log, err := audit.Open(filepath.Join(dir, auditDir))
	if err != nil {
		wrong("the record of acts does not open: %v", err)
		return problems
	}
	defer log.Close()
	if n, err := log.Verify(); err != nil {
		wrong("the record of acts: %d entries, %v", n, err)
	}
	return problems
}
