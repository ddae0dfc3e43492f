package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/segment"
)

// TestAgent_platformOfTheProtocolBefore: a platform that reads no batches in binary
// form gets them as JSON of its own protocol, and its documents are asked for in
// that; once it is upgraded, it gets the binary form.
func TestAgent_platformOfTheProtocolBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.older.Store(true)
	p := r.start()
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) { d.Version = api.Version - 1 }))
	r.settled(p, 1)
	if r.json.Load() == 0 || r.binary.Load() != 0 {
		t.Errorf("%d batches as JSON, %d in binary form", r.json.Load(), r.binary.Load())
	}
	r.older.Store(false)
	r.stopPlatform()
	r.startPlatform()
	r.publish(desired(2, ringwall.Enforce))
	r.settled(p, 2)
	if r.binary.Load() == 0 {
		t.Error("an upgraded platform gets JSON still")
	}
	if n := len(find[api.Ack](r, api.RecordAck)); n < 2 {
		t.Errorf("%d acknowledgements are stored", n)
	}
}

// holdings is what a platform has of a gateway's records.
type holdings struct {
	stored map[api.RecordKind]uint64
	gone   uint64          // said to be lost
	firsts map[string]bool // addresses and names of first refusals
	again  int             // further refusals of names
	told   uint64          // lookups that notices say are lost
	health []api.Health
}

// holdings reads what the platform has, checking that each record is there once,
// or said to be lost once.
func (r *rig) holdings() holdings {
	r.Helper()
	h := holdings{stored: map[api.RecordKind]uint64{}, firsts: map[string]bool{}}
	next := uint64(1)
	_, err := r.store.Scan(context.Background(), segment.Cursor{}, func(_ ringwall.GatewayID, _ ringwall.OrgID, rec api.Record) error {
		from := rec.Seq
		h.stored[rec.Kind]++
		switch rec.Kind {
		case api.RecordLost:
			from = decoded[api.LostRange](r, rec).From
			h.gone += rec.Seq - from + 1
		case api.RecordFlow:
			var f flow.Record
			must(r, f.UnmarshalBinary(rec.Bin))
			if f.First {
				h.firsts[f.Remote.Addr().String()] = true
			}
		case api.RecordDNS:
			switch d := decoded[api.DNSReport](r, rec); {
			case d.First:
				h.firsts[d.Name] = true
			case d.Verdict == "refused":
				h.again++
			}
		case api.RecordNotice:
			var k uint64
			if n := decoded[api.Notice](r, rec); n.Kind == api.NoticeLostReports {
				fmt.Sscan(n.Detail[string(api.RecordDNS)], &k)
			}
			h.told += k
		case api.RecordHealth:
			h.health = append(h.health, decoded[api.Health](r, rec))
		}
		if from != next {
			return fmt.Errorf("record %d to %d of kind %s follows %d", from, rec.Seq, rec.Kind, next-1)
		}
		next = rec.Seq + 1
		return nil
	})
	must(r, err)
	return h
}

func decoded[T any](r *rig, rec api.Record) (v T) {
	r.Helper()
	must(r, json.Unmarshal(rec.Data, &v))
	return v
}

// TestAgent_logIsTooSmall: while the platform is away, more is reported than the log
// may hold. What is lost is known exactly and by kind, here and there; each first
// refusal and whatever is rare survives; of what is many, some does not.
func TestAgent_logIsTooSmall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	small := []string{"-log-bytes", "1048576", "-dns", "10.77.0.1:53"}
	p := r.start(small...)
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	r.stopPlatform()
	const scanned, lookups = 100, 15_000
	r.scan(r.cam, scanned, 200*time.Microsecond, 3)
	eventually(t, p, "the scanner is held", time.Minute, func() bool { s, err := r.status(); return err == nil && len(s.Holds) == 1 })
	time.Sleep(100 * time.Millisecond) // what is in the rings still is read within 5 ms
	p.kill(unix.SIGTERM)               // open flows are reported
	p = r.start(small...)
	r.serving(p, 1)

	// What the DNS guard would tell of devices that ask, and ask.
	var c net.Conn
	eventually(t, p, "reports are taken", time.Minute, func() (ok bool) {
		var err error
		c, err = net.Dial("unixgram", filepath.Join(r.state, "report.sock"))
		return err == nil
	})
	defer c.Close()
	kinds := []api.DNSReport{
		{Device: cam, Name: "evil.example", Type: "A", Verdict: "refused", Reason: "no term", Count: 1},
		{Device: phone, Name: "cloud.example", Type: "A", Verdict: "bound", Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.20")}, Count: 1},
		{Device: cam, Name: "worse.example", Type: "A", Verdict: "refused", Reason: "no term", Count: 1},
	}
	for i := range lookups {
		b, err := json.Marshal(map[string]any{"dns": kinds[i%len(kinds)], "from": 1})
		must(t, err)
		_, err = c.Write(b)
		must(t, err)
	}
	eventually(t, p, "all is taken", time.Minute, func() bool { s, err := r.status(); return err == nil && s.LastSeq >= lookups })
	if s, err := r.status(); err != nil || s.Lost == 0 || s.Losses[api.RecordDNS] == 0 || s.LogShare < 0.5 {
		t.Fatalf("nothing was lost: the test tests nothing: %+v, %v", s, err)
	}
	p.kill(unix.SIGTERM)  // what was lost is told
	p = r.start(small...) // and the log knows it still
	s := r.serving(p, 1)
	r.startPlatform()
	eventually(t, p, "the platform has all there is", time.Minute, func() bool { return r.acked.Load() >= s.LastSeq })
	// Records that were still being read when the last run ended may have cost others
	// after that run had told of all: this one tells of them.
	eventually(t, p, "what was lost is told", time.Minute, func() bool { return r.holdings().told >= s.Losses[api.RecordDNS] })

	got := r.holdings()
	t.Logf("of %d records %d were lost, by kind %v; first refusals that are there: %d, further ones of names: %d", s.LastSeq, got.gone, s.Losses, len(got.firsts), got.again)
	sum := uint64(0)
	for _, n := range s.Losses {
		sum += n
	}
	if got.gone != s.Lost || sum != s.Lost || got.stored[api.RecordDNS]+s.Losses[api.RecordDNS] != lookups {
		t.Errorf("%d records are missing, %d are said to be lost, by kind %v; %d lookups are stored of %d", got.gone, s.Lost, s.Losses, got.stored[api.RecordDNS], lookups)
	}
	for _, kind := range []api.RecordKind{api.RecordHold, api.RecordAck, api.RecordAlert, api.RecordNotice} {
		if s.Losses[kind] > 0 || got.stored[kind] == 0 {
			t.Errorf("of what is rare, %s: %d lost, %d stored", kind, s.Losses[kind], got.stored[kind])
		}
	}
	for i := range scanned {
		if addr := fmt.Sprintf("198.18.3.%d", i+1); !got.firsts[addr] {
			t.Errorf("the first refusal of %s is lost", addr)
		}
	}
	if !got.firsts["evil.example"] || !got.firsts["worse.example"] {
		t.Error("the first refusals of names are lost")
	}
	if got.again >= lookups*2/3-2 { // the control: what is no first does not survive
		t.Errorf("all %d further refusals of names are there", got.again)
	}
	if got.told != s.Losses[api.RecordDNS] {
		t.Errorf("notices tell of %d lookups that were lost, want %d", got.told, s.Losses[api.RecordDNS])
	}
	last := got.health[len(got.health)-1]
	if last.Losses[api.RecordDNS] != s.Losses[api.RecordDNS] || last.LogShare < 0.5 {
		t.Errorf("the gateway's health shows losses %v and a log that is full to %v", last.Losses, last.LogShare)
	}
}
