package agent_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/enforce"
)

// term allows the camera UDP to a port of an address.
func term(id, addr string, port uint16, change ...func(*api.Term)) api.Term {
	t := api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(addr + "/32"), Proto: "udp", Ports: []api.PortRange{{First: port, Last: port}}}
	for _, c := range change {
		c(&t)
	}
	return t
}

func confirmIn(d time.Duration) func(*api.Desired) {
	return func(x *api.Desired) { x.Confirm = api.Duration(d) }
}

// settled waits until a generation is in force and confirmed.
func (r *rig) settled(p *process, generation uint64) agent.Status {
	r.Helper()
	var s agent.Status
	eventually(r, p, "the document is confirmed", time.Minute, func() bool {
		var err error
		s, err = r.status()
		return err == nil && s.Running && s.Generation == generation && s.Phase == enforce.Confirmed
	})
	return s
}

func (r *rig) notices(kind string) (out []api.Notice) {
	r.Helper()
	for _, n := range find[api.Notice](r, api.RecordNotice) {
		if n.Kind == kind {
			out = append(out, n)
		}
	}
	return out
}

// TestAgent_lockOut: a document that locks the gateway out of its own platform is
// rolled back within its time, tried again later each time, and gives way to a
// good one. Negative control: with an hour to confirm it stays locked out.
func TestAgent_lockOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		within time.Duration
		back   bool
	}{{"rolled back", 2 * time.Second, true}, {"control: nobody asks for a confirmation", time.Hour, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// The platform of this site stands behind the gateway's own bridge.
			r := newRig(t, func(r *rig) { r.site, r.spine = r.phone, "10.77.0.30:4222" })
			// Behind a closed gateway the first document cannot come: the installer has
			// brought it.
			first, err := api.Sign(desired(1, ringwall.Enforce), "k1", r.key)
			must(t, err)
			b, err := json.Marshal(first)
			must(t, err)
			must(t, os.MkdirAll(filepath.Join(r.state, "enforce"), 0o700))
			must(t, os.WriteFile(filepath.Join(r.state, "enforce", "desired.json"), b, 0o600))
			p := r.start()
			r.settled(p, 1)
			eventually(t, p, "the gateway is connected", time.Minute, func() bool { s, err := r.status(); return err == nil && s.Connected })
			r.publish(desired(2, ringwall.Enforce, confirmIn(c.within), func(d *api.Desired) {
				d.LocalNets = []netip.Prefix{netip.MustParsePrefix("10.78.0.0/24")} // a slip of the finger
			}))
			eventually(t, p, "the wrong document is in force", time.Minute, func() bool { s, err := r.status(); return err == nil && s.Generation == 2 })
			began := time.Now()
			back := func() bool { s, err := r.status(); return err == nil && s.Generation == 1 }
			if !c.back {
				for time.Since(began) < 4*time.Second {
					if back() || len(r.notices(api.NoticeRolledBack)) > 0 {
						t.Fatal("the control was rolled back: the test proves nothing")
					}
					time.Sleep(50 * time.Millisecond)
				}
				return
			}
			eventually(t, p, "it is rolled back", c.within+time.Second, back)
			t.Logf("rolled back %s after it came into force", time.Since(began).Round(time.Millisecond))
			eventually(t, p, "the platform hears of it", time.Minute, func() bool { return len(r.notices(api.NoticeRolledBack)) > 0 })
			if n := r.notices(api.NoticeRolledBack)[0]; n.Detail["generation"] != "2" || n.Detail["to"] != "1" || n.Text == "" {
				t.Errorf("notice = %+v", n)
			}
			if !slices.ContainsFunc(find[api.Ack](r, api.RecordAck), func(a api.Ack) bool { return a.Generation == 1 && a.Error != "" }) {
				t.Error("no acknowledgement says that generation 1 is in force again, and why")
			}
			eventually(t, p, "it is tried again, and rolled back again", time.Minute, func() bool { return len(r.notices(api.NoticeRolledBack)) > 1 })
			r.publish(desired(3, ringwall.Enforce))
			r.settled(p, 3)
		})
	}
}

// TestAgent_outageWeakensNothing: the platform goes away right after a document
// has taken something from the camera. The document is rolled back, the gateway
// restarts, and what was taken stays taken; when the platform is heard again, the
// document is in force.
func TestAgent_outageWeakensNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	taken, kept, given := r.count("198.51.100.66:9999"), r.count("198.51.100.20:9000"), r.count("198.51.100.20:9001")
	p := r.start()
	with := func(gen uint64, change ...func(*api.Desired)) api.Desired {
		return desired(gen, ringwall.Enforce, append(change, confirmIn(time.Second))...)
	}
	r.publish(with(1, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, term("bad", "198.51.100.66", 9999))
	}))
	r.settled(p, 1)
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	r.stream(r.cam, "198.51.100.20:9000", time.Millisecond)
	r.stream(r.cam, "198.51.100.20:9001", time.Millisecond)
	eventually(t, p, "the first document lets the camera talk", time.Minute, func() bool { return taken.n.Load() > 50 && kept.n.Load() > 50 })
	if given.n.Load() != 0 {
		t.Error("what no document allows passes")
	}
	r.muteAt.Store(2)
	r.publish(with(2, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, term("new", "198.51.100.20", 9001))
	}))
	eventually(t, p, "the second is in force", time.Minute, func() bool { s, err := r.status(); return err == nil && s.Newest == 2 })
	time.Sleep(50 * time.Millisecond)
	before := taken.n.Load()
	rolled := func() bool { s, err := r.status(); return err == nil && s.Running && s.Phase == enforce.RolledBack }
	eventually(t, p, "it is rolled back", 5*time.Second, rolled)
	if s, err := r.status(); err != nil || s.Generation != 1 {
		t.Errorf("in force is %+v, %v", s, err)
	}
	p.kill(unix.SIGKILL)
	p = r.start()
	eventually(t, p, "it is rolled back still after a restart", time.Minute, rolled)
	atKept, atGiven := kept.n.Load(), given.n.Load()
	eventually(t, p, "what both allow passes", time.Minute, func() bool { return kept.n.Load() > atKept+100 })
	if n := taken.n.Load(); n != before {
		t.Errorf("cutting the uplink gave the camera back what was taken: %d datagrams", n-before)
	}
	if n := given.n.Load(); n > atGiven {
		t.Errorf("%d datagrams pass by what was rolled back", n-atGiven)
	}
	r.muteAt.Store(0)
	r.mute.Store(false)
	eventually(t, p, "the document is tried again and confirmed", time.Minute, func() bool {
		s, err := r.status()
		return err == nil && s.Generation == 2 && s.Phase == enforce.Confirmed
	})
	eventually(t, p, "what it gives passes", time.Minute, func() bool { return given.n.Load() > atGiven+50 })
	if n := taken.n.Load(); n != before {
		t.Errorf("%d datagrams passed meanwhile", n-before)
	}
}

// TestAgent_resolverLockOut: a document whose resolver does not answer, while the
// one before does, is rolled back although the platform is heard.
func TestAgent_resolverLockOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.resolver("198.51.100.20:53")
	p := r.start("-dns", "10.77.0.1:53")
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	r.publish(desired(2, ringwall.Enforce, confirmIn(2*time.Second), func(d *api.Desired) { d.Resolver = netip.MustParseAddrPort("198.51.100.66:53") }))
	eventually(t, p, "it is rolled back", time.Minute, func() bool { return len(r.notices(api.NoticeRolledBack)) > 0 })
	if n := r.notices(api.NoticeRolledBack)[0]; n.Text != "the resolver 198.51.100.66:53 does not answer, and the one before does" {
		t.Errorf("notice = %+v", n)
	}
	r.resolver("198.51.100.66:53")
	r.publish(desired(3, ringwall.Enforce, func(d *api.Desired) { d.Resolver = netip.MustParseAddrPort("198.51.100.66:53") }))
	r.settled(p, 3)
}

// TestAgent_window: what a window lets pass is cut within a second of its end,
// and a clock that is set back does not open it again; one that is set forward,
// to the window of the next day, does.
func TestAgent_window(t *testing.T) {
	r := newRig(t)
	open := r.count("198.51.100.66:9999")
	// The agent's clock stands at four seconds before noon of a day to come.
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)
	off := time.Until(noon.Add(-4 * time.Second))
	r.clocks(off, 0)
	p := r.start()
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, term("morning", "198.51.100.66", 9999, func(t *api.Term) {
			t.Window = &api.Window{From: "08:00", To: "12:00"}
		}))
	}))
	r.settled(p, 1)
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	eventually(t, p, "the window is open", 3*time.Second, func() bool { return open.n.Load() > 50 })
	end := noon.Add(-off)
	time.Sleep(time.Until(end) + 1100*time.Millisecond)
	n := open.n.Load()
	late := time.Unix(0, open.last.Load()).Sub(end)
	t.Logf("the last datagram passed %s after the end of the window", late.Round(time.Millisecond))
	if late > time.Second {
		t.Errorf("the last datagram passed %s after the end of the window", late)
	}
	r.clocks(off-time.Hour, 0) // eleven o'clock again
	time.Sleep(1500 * time.Millisecond)
	if got := open.n.Load(); got != n {
		t.Errorf("a clock that was set back has opened the window again: %d datagrams", got-n)
	}
	p.kill(unix.SIGKILL)
	p = r.start() // and so after a restart, with a clock of before the document was
	r.clocks(-3*365*24*time.Hour, 0)
	r.serving(p, 1)
	time.Sleep(1200 * time.Millisecond)
	if got := open.n.Load(); got != n {
		t.Errorf("a restart with a wrong clock has opened the window again: %d datagrams", got-n)
	}
	r.clocks(off+21*time.Hour, 0) // nine o'clock of the next day
	eventually(t, p, "the window of the next day is open", 5*time.Second, func() bool { return open.n.Load() > n+50 })
}

// TestAgent_dayWithoutPlatform: for a day the gateway enforces as before; when
// the document is older than it may be, devices fail as it says, and come back
// when the platform is heard.
func TestAgent_dayWithoutPlatform(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	closed, open, refused := r.count("198.51.100.20:9000"), r.count("198.51.100.20:9002"), r.count("198.51.100.66:9999")
	r.clocks(0, 0)
	p := r.start()
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.MaxAge = api.Duration(48 * time.Hour)
		d.Devices[0].Fail, d.Devices[1].Fail = "closed", "open"
		d.Devices[1].Terms = []api.Term{term("one", "198.51.100.20", 9003)}
	}))
	r.settled(p, 1)
	r.stream(r.cam, "198.51.100.20:9000", time.Millisecond)
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	r.stream(r.phone, "198.51.100.20:9002", time.Millisecond)
	eventually(t, p, "the camera talks", time.Minute, func() bool { return closed.n.Load() > 20 })
	r.mute.Store(true)
	r.clocks(24*time.Hour, 24*time.Hour)
	time.Sleep(1200 * time.Millisecond)
	at := closed.n.Load()
	eventually(t, p, "the camera talks after a day without the platform", time.Minute, func() bool { return closed.n.Load() > at+50 })
	if open.n.Load() != 0 || refused.n.Load() != 0 {
		t.Errorf("a day without the platform opens: %d, %d", open.n.Load(), refused.n.Load())
	}
	// Two days after the platform was heard last, which on a slow machine may have been
	// after the clock was set.
	r.clocks(73*time.Hour, 73*time.Hour)
	eventually(t, p, "the document is too old, and said to be", time.Minute, func() bool {
		s, err := r.status()
		return err == nil && s.FailClosed == 1 && s.FailOpen == 1 && len(s.Faults) > 0
	})
	eventually(t, p, "the phone, which fails open, talks", time.Minute, func() bool { return open.n.Load() > 50 })
	at = closed.n.Load()
	time.Sleep(200 * time.Millisecond)
	if n := closed.n.Load(); n != at {
		t.Errorf("%d datagrams of the camera, which fails closed, pass", n-at)
	}
	r.mute.Store(false)
	eventually(t, p, "the platform is heard, and both are as before", time.Minute, func() bool {
		s, err := r.status()
		return err == nil && s.FailClosed == 0 && s.FailOpen == 0
	})
	eventually(t, p, "the camera talks again", time.Minute, func() bool { return closed.n.Load() > at+50 })
	was := open.n.Load()
	time.Sleep(200 * time.Millisecond)
	if n := open.n.Load(); n != was {
		t.Errorf("%d datagrams of the phone pass still", n-was)
	}
	eventually(t, p, "both ends of it are told", time.Minute, func() bool { return len(r.notices(api.NoticeExpired)) >= 2 })
	if refused.n.Load() != 0 {
		t.Errorf("%d datagrams passed that were never allowed", refused.n.Load())
	}
}
