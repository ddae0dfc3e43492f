package agent_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
)

// TestAgent_reflex_withThePlatformStopped: a camera in mode learn scans as
// Mirai does, and is cut off by the gateway alone.
func TestAgent_reflex_withThePlatformStopped(t *testing.T) {
	r := newRig(t)
	cloud, victim := r.count("198.51.100.20:9000"), r.count("198.51.100.66:9999")
	p := r.start()
	r.publish(desired(1, ringwall.Learn))
	s := r.serving(p, 1)
	if !s.Connected || s.Devices != 2 || len(s.Holds) != 0 {
		t.Errorf("status = %+v", s)
	}
	r.stream(r.cam, "198.51.100.66:9999", 2*time.Millisecond)
	phoneSent, _ := r.stream(r.phone, "198.51.100.20:9000", 2*time.Millisecond)
	eventually(t, p, "traffic flows in mode learn", time.Minute, func() bool { return victim.n.Load() > 20 && cloud.n.Load() > 20 })

	r.stopPlatform()
	began := time.Now()
	r.scan(r.cam, 120, 5*time.Millisecond, 1)
	eventually(t, p, "the camera is held", time.Minute, func() bool {
		s, err := r.status()
		return err == nil && len(s.Holds) == 1 && s.Holds[0].Device == cam
	})
	time.Sleep(50 * time.Millisecond)
	last := time.Unix(0, victim.last.Load()).Sub(began)
	n := victim.n.Load()
	phoneN := cloud.n.Load()
	time.Sleep(300 * time.Millisecond)
	if got := victim.n.Load(); got != n {
		t.Errorf("%d datagrams of the held camera pass", got-n)
	}
	if got := cloud.n.Load(); got-phoneN < 50 {
		t.Errorf("the phone's traffic is cut: %d datagrams in 300 ms", got-phoneN)
	}
	t.Logf("the camera's last datagram passed %s after its first scanning packet", last.Round(time.Millisecond))

	// A restart changes nothing: the hold is on disk and in the kernel.
	if err := p.kill(unix.SIGKILL); err == nil {
		t.Error("the agent survived SIGKILL")
	}
	p = r.start()
	if s := r.serving(p, 1); len(s.Holds) != 1 {
		t.Errorf("after a restart there are %d holds", len(s.Holds))
	}
	r.startPlatform()
	var report api.HoldReport
	eventually(t, p, "the platform hears of the hold", time.Minute, func() bool {
		for _, h := range find[api.HoldReport](r, api.RecordHold) {
			if !h.Lifted && h.Declined == "" {
				report = h
				return true
			}
		}
		return false
	})
	if report.Hold.Device != cam || report.Hold.Do != ringwall.Quarantine || report.Took <= 0 || report.Took > 250*time.Millisecond {
		t.Errorf("report = %+v", report)
	}
	for _, a := range find[ringwall.Alert](r, api.RecordAlert) {
		t.Logf("alert %s %s %v", a.Rule, a.Time.Sub(began), a.Evidence)
	}
	t.Logf("alert to quarantine in the kernel: %s, %d flows cut", report.Took, report.Flushed)
	alerts := find[ringwall.Alert](r, api.RecordAlert)
	if !slices.ContainsFunc(alerts, func(a ringwall.Alert) bool {
		return a.ID == report.Hold.Alert && a.Rule == "mirai-scan" && a.Org == org && a.Gateway == gw
	}) {
		t.Errorf("the alert behind the hold is not among %d alerts", len(alerts))
	}

	// A newer document that does not list the hold does not lift it, a release does.
	r.publish(desired(2, ringwall.Learn))
	if s := r.serving(p, 2); len(s.Holds) != 1 || victim.n.Load() != n {
		t.Errorf("generation 2 has lifted the hold: %d holds, %d datagrams", len(s.Holds), victim.n.Load()-n)
	}
	r.publish(desired(3, ringwall.Learn, func(d *api.Desired) {
		d.Releases = []api.Release{{Hold: report.Hold.ID, By: "usr_1", At: time.Now()}}
	}))
	r.serving(p, 3)
	eventually(t, p, "the released camera talks again", time.Minute, func() bool { return victim.n.Load() > n+20 })
	eventually(t, p, "the platform hears of the release", time.Minute, func() bool {
		return slices.ContainsFunc(find[api.HoldReport](r, api.RecordHold), func(h api.HoldReport) bool { return h.Lifted && h.Why == "released by usr_1" })
	})
	if phoneSent.Load() == 0 {
		t.Error("the phone sent nothing")
	}
}

// TestAgent_killed60Times: whatever moment the agent dies at, nothing passes
// that should not, and what it has written down arrives once.
func TestAgent_killed60Times(t *testing.T) {
	r := newRig(t)
	cloud, victim := r.count("198.51.100.20:9000"), r.count("198.51.100.66:9999")
	p := r.start("-dns", "10.77.0.1:53")
	r.publish(desired(1, ringwall.Enforce))
	r.serving(p, 1)
	p.kill(unix.SIGKILL)
	began := time.Now()
	p = r.start("-dns", "10.77.0.1:53")
	first := r.serving(p, 1)
	spread := 2*time.Since(began) + 100*time.Millisecond // as fast as this machine is now
	var guard int
	eventually(t, p, "the DNS guard runs", time.Minute, func() bool {
		s, err := r.status()
		guard = s.DNS
		return err == nil && guard != 0
	})
	// The attack goes on all the time, beside traffic that is allowed.
	attack, _ := r.stream(r.cam, "198.51.100.66:9999", 300*time.Microsecond)
	r.stream(r.cam, "198.51.100.20:9000", 2*time.Millisecond)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	const kills = 60
	lastSeq, generation, served := first.LastSeq, uint64(1), 0
	for i := range kills {
		switch i % 6 {
		case 2: // a new document is under way
			generation++
			r.publish(desired(generation, ringwall.Enforce))
		case 4: // an alert is
			go r.scan(r.phone, 40, time.Millisecond, byte(i))
		}
		time.Sleep(time.Duration(rng.Int64N(int64(spread))))
		if s, err := r.status(); err == nil && s.Running {
			served++
			if s.LastSeq < lastSeq && s.LastSeq != 0 {
				t.Errorf("kill %d: the log ends at %d, and %d was durable", i, s.LastSeq, lastSeq)
			}
			if s.Epoch != first.Epoch {
				t.Errorf("kill %d: the log has begun a new epoch", i)
			}
			lastSeq = max(lastSeq, s.LastSeq)
			if s.DNS != 0 && s.DNS != guard {
				t.Errorf("kill %d: the DNS guard is process %d, was %d", i, s.DNS, guard)
			}
		}
		p.kill(unix.SIGKILL)
		p = r.start("-dns", "10.77.0.1:53")
	}
	if served < kills/4 {
		t.Errorf("the agent was serving at %d of %d kills only: the moments are not spread", served, kills)
	}
	if n := victim.n.Load(); n != 0 {
		t.Errorf("%d of %d refused datagrams passed", n, attack.Load())
	}
	if attack.Load() < 1000 {
		t.Errorf("the attack sent only %d datagrams", attack.Load())
	}
	before := cloud.n.Load()
	eventually(t, p, "allowed traffic passes", time.Minute, func() bool { return cloud.n.Load() > before+10 })
	r.serving(p, generation)
	var s agent.Status
	eventually(t, p, fmt.Sprintf("the DNS guard is process %d still", guard), time.Minute, func() bool {
		var err error
		s, err = r.status()
		return err == nil && s.DNS == guard
	})
	target := max(s.LastSeq, lastSeq)
	eventually(t, p, "everything is uploaded", time.Minute, func() bool {
		epoch, seq := r.store.Watermark(org, gw)
		return epoch == first.Epoch && seq >= target
	})
	eventually(t, p, fmt.Sprintf("generation %d is acknowledged", generation), time.Minute, func() bool {
		return slices.ContainsFunc(find[api.Ack](r, api.RecordAck), func(a api.Ack) bool { return a.Generation == generation })
	})
	records := r.stored() // checks that none is missing or doubled
	t.Logf("%d kills (%d while it served): %d records stored, %d attack datagrams refused", kills, served, len(records), attack.Load())
}

// TestAgent_tellsWhatIsInForce when it starts: it may have been killed after it
// took a document and before it could acknowledge it.
func TestAgent_tellsWhatIsInForce(t *testing.T) {
	r := newRig(t)
	p := r.start()
	r.publish(desired(3, ringwall.Enforce))
	want := r.serving(p, 3).Hash
	acks := func() []api.Ack { return find[api.Ack](r, api.RecordAck) }
	eventually(t, p, "the document is acknowledged", time.Minute, func() bool { return len(acks()) > 0 })
	p.kill(unix.SIGKILL)
	before := len(acks())
	p = r.start()
	eventually(t, p, "it is acknowledged again", time.Minute, func() bool { return len(acks()) > before })
	if got := acks()[before]; got.Generation != 3 || got.Hash != want || got.Error != "" {
		t.Errorf("acknowledged %+v, want generation 3 with hash %s", got, want)
	}
}

// TestAgent_refusesWhatIsNotForIt: documents that are forged, foreign, old or
// nonsense change nothing, and the platform is told why.
func TestAgent_refusesWhatIsNotForIt(t *testing.T) {
	r := newRig(t)
	p := r.start()
	r.publish(desired(5, ringwall.Enforce))
	want := r.serving(p, 5).Hash
	forged, err := api.Sign(desired(6, ringwall.Learn), "k1", r.key)
	must(t, err)
	forged.Sig[3] ^= 1
	foreign, err := api.Sign(desired(6, ringwall.Learn, func(d *api.Desired) { d.Gateway = "gw_b" }), "k1", r.key)
	must(t, err)
	old, err := api.Sign(desired(4, ringwall.Learn), "k1", r.key)
	must(t, err)
	nonsense, err := api.Sign(desired(6, ringwall.Learn, func(d *api.Desired) { d.Devices[0].Terms[0].Proto = "carrier-pigeon" }), "k1", r.key)
	must(t, err)
	for i, s := range []api.Signed{forged, foreign, old, nonsense, {KeyID: "k9", Payload: []byte("x")}} {
		r.publishSigned(s)
		eventually(t, p, "the refusal is reported", time.Minute, func() bool {
			n := 0
			for _, a := range find[api.Ack](r, api.RecordAck) {
				if a.Error != "" && a.Generation == 5 {
					n++
				}
			}
			return n == i+1
		})
		if s, err := r.status(); err != nil || s.Generation != 5 || s.Hash != want {
			t.Errorf("document %d has changed what is in force: %+v, %v", i, s, err)
		}
	}
}

// TestAgent_drift: what others take out of the kernel is put back and told,
// and a hold is not lost over it.
func TestAgent_drift(t *testing.T) {
	r := newRig(t)
	victim := r.count("198.51.100.66:9999")
	p := r.start()
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Holds = []api.Hold{{ID: "hld_1", Device: phone, Do: ringwall.Quarantine, By: "usr_1", Made: time.Now()}}
	}))
	want := r.serving(p, 1).Hash
	r.stream(r.phone, "198.51.100.66:9999", time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	if n := victim.n.Load(); n != 0 {
		t.Fatalf("%d datagrams of a held device pass", n)
	}
	for range 3 {
		acks := len(find[api.Ack](r, api.RecordAck))
		must(t, r.gw.Do(tamper))
		eventually(t, p, "the drift is repaired and told", time.Minute, func() bool {
			all := find[api.Ack](r, api.RecordAck)
			return len(all) > acks && all[len(all)-1].Drift && all[len(all)-1].Error == ""
		})
		if s, err := r.status(); err != nil || s.Hash != want {
			t.Errorf("after the repair the hash is %q, want %q (%v)", s.Hash, want, err)
		}
		before := victim.n.Load()
		time.Sleep(100 * time.Millisecond)
		if n := victim.n.Load(); n != before {
			t.Errorf("%d datagrams of a held device pass after the repair", n-before)
		}
	}
}

// TestAgent_ends: SIGTERM ends it well, and everything stays in force.
func TestAgent_ends(t *testing.T) {
	r := newRig(t)
	cloud, victim := r.count("198.51.100.20:9000"), r.count("198.51.100.66:9999")
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.serving(p, 1)
	if err := p.kill(unix.SIGTERM); err != nil {
		t.Errorf("the agent ended with %v:\n%s", err, p.out.String())
	}
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	r.stream(r.cam, "198.51.100.20:9000", time.Millisecond)
	eventually(t, p, "allowed traffic passes without an agent", time.Minute, func() bool { return cloud.n.Load() > 50 })
	if n := victim.n.Load(); n != 0 {
		t.Errorf("%d refused datagrams pass without an agent", n)
	}
	s, err := r.status()
	if err != nil || s.Running || s.Generation != 1 || s.Devices != 2 {
		t.Errorf("status without an agent = %+v, %v", s, err)
	}
}
