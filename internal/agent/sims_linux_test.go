package agent_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/radius"
)

// account sends an Accounting-Request from the internet and reports whether it is
// answered.
func (r *rig) account(q radius.Request, secret string) bool {
	r.Helper()
	b, err := radius.Encode(q, []byte(secret))
	must(r, err)
	conn, err := r.inet.DialContext(context.Background(), "udp", "198.51.100.1:1813")
	must(r, err)
	defer conn.Close()
	_, err = conn.Write(b)
	must(r, err)
	conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	return err == nil && radius.Answers(buf[:n], q.ID, [16]byte(b[4:20]), []byte(secret))
}

// TestAgent_apnExit: at the exit of an access point name there are no cables and no
// MACs. Two SIM cards get their addresses by RADIUS accounting, and each may do
// what its own policy says; when an address moves from one card to the other, the
// old right does not follow it, nor over a restart.
func TestAgent_apnExit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const secret, imsiA, imsiB = "a secret of twenty-four", "460001234567890", "460009876543210"
	file := filepath.Join(r.dir, "radius.secret")
	must(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	// The operator's packet gateway is the camera's namespace, with the cards'
	// addresses.
	must(t, r.gw.Addr("p-cam", "10.78.0.1/24"))
	must(t, r.cam.Addr("eth0", "10.78.0.10/24"))
	must(t, r.cam.Addr("eth0", "10.78.0.11/24"))
	must(t, r.cam.Route("198.51.100.0/24", "10.78.0.1"))
	salt := []byte("salt of the site")
	device := func(id ringwall.DeviceID, mark uint32, imsi string, port uint16) api.DevicePolicy {
		return api.DevicePolicy{
			Device: id, Mark: mark, Mode: ringwall.Enforce, Trust: ringwall.T3, Binding: api.Binding{Subscriber: policy.Subscriber(salt, imsi)},
			Terms: []api.Term{term("own", "198.51.100.20", port)},
		}
	}
	a, b := r.count("198.51.100.20:9000"), r.count("198.51.100.20:9001")
	p := r.startAs("run", "-state", r.state, "-lan", "p-cam", "-uplink", "up0", "-drift", "500ms", "-poll", "2s",
		"-radius", "198.51.100.1:1813", "-radius-secret-file", file, "-manage", "udp/1813")
	restart := func() {
		p.kill(unix.SIGKILL)
		p = r.startAs(p.cmd.Args[1:]...)
	}
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.SubscriberSalt, d.LocalNets = salt, []netip.Prefix{netip.MustParsePrefix("10.78.0.0/24")}
		d.Devices = []api.DevicePolicy{device("dev_a", 1, imsiA, 9000), device("dev_b", 2, imsiB, 9001)}
	}))
	r.settled(p, 1)
	send := func(from, to string) {
		pc, err := r.cam.ListenPacket(context.Background(), "udp4", from+":0")
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		go func() {
			defer pc.Close()
			for ctx.Err() == nil {
				pc.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
				time.Sleep(time.Millisecond)
			}
		}()
	}
	send("10.78.0.10", "198.51.100.20:9000")
	send("10.78.0.10", "198.51.100.20:9001")
	send("10.78.0.11", "198.51.100.20:9001")
	time.Sleep(300 * time.Millisecond)
	if a.n.Load()+b.n.Load() != 0 {
		t.Errorf("cards without a session talk: %d, %d", a.n.Load(), b.n.Load())
	}
	now := time.Now()
	start := radius.Request{ID: 1, Status: radius.Start, Session: "s-a", Event: now, NASName: "pgw", IMSI: imsiA, Address: netip.MustParseAddr("10.78.0.10")}
	if r.account(start, "another secret, not ours") {
		t.Error("a request with another secret is answered")
	}
	time.Sleep(100 * time.Millisecond)
	if a.n.Load() != 0 {
		t.Error("a forged start opens")
	}
	if !r.account(start, secret) {
		t.Fatalf("the start is not answered:\n%s", p.out.String())
	}
	eventually(t, p, "card A talks to its own end", time.Minute, func() bool { return a.n.Load() > 50 })
	if b.n.Load() != 0 {
		t.Errorf("%d datagrams to the end of card B", b.n.Load())
	}
	restart()
	r.serving(p, 1)
	at := a.n.Load()
	eventually(t, p, "and after a restart", time.Minute, func() bool { return a.n.Load() > at+50 })

	// The address moves to card B.
	if !r.account(radius.Request{ID: 2, Status: radius.Start, Session: "s-b", Event: now.Add(time.Second), NASName: "pgw", IMSI: imsiB, Address: netip.MustParseAddr("10.78.0.10")}, secret) {
		t.Fatal("the second start is not answered")
	}
	n := a.n.Load() // when it is answered, it is in force
	eventually(t, p, "card B talks to its own end", time.Minute, func() bool { return b.n.Load() > 50 })
	if got := a.n.Load(); got > n {
		t.Errorf("%d datagrams pass by the right of the card that had the address before", got-n)
	}
	// A replay of the first start does not bring it back.
	r.account(start, secret)
	restart()
	r.serving(p, 1)
	time.Sleep(300 * time.Millisecond)
	if got := a.n.Load(); got > n {
		t.Errorf("%d datagrams pass by a replayed start", got-n)
	}
	// The server starts again: nobody has a session.
	if !r.account(radius.Request{ID: 3, Status: radius.On, Event: now.Add(2 * time.Second), NASName: "pgw"}, secret) {
		t.Error("Accounting-On is not answered")
	}
	m := b.n.Load()
	time.Sleep(200 * time.Millisecond)
	if got := b.n.Load(); got > m+1 {
		t.Errorf("%d datagrams pass of a session that its server has forgotten", got-m)
	}
	eventually(t, p, "it is all told", time.Minute, func() bool { return len(r.notices(api.NoticeSubscriber)) >= 4 })
	files, err := filepath.Glob(filepath.Join(r.state, "*"))
	must(t, err)
	for _, f := range append(files, filepath.Join(r.state, "enforce", "desired.json")) {
		text, _ := os.ReadFile(f)
		if strings.Contains(string(text), imsiA) || strings.Contains(string(text), imsiB) {
			t.Errorf("%s holds an IMSI", f)
		}
	}
	if out := p.out.String(); strings.Contains(out, imsiA) || strings.Contains(out, imsiB) || strings.Contains(out, secret) {
		t.Error("the log holds an IMSI, or the secret")
	}
	for _, rec := range r.stored() {
		if strings.Contains(string(rec.Data), imsiA) {
			t.Errorf("a report of kind %s holds an IMSI", rec.Kind)
		}
	}
}

// TestAgent_fullDisk: when the log's disk is full, the gateway enforces as before;
// what could not be written down is counted, by kind, and told when there is room
// again.
func TestAgent_fullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wal := filepath.Join(r.state, "wal")
	must(t, os.MkdirAll(wal, 0o700))
	if err := unix.Mount("tmpfs", wal, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no tmpfs can be mounted: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(wal, unix.MNT_DETACH) })
	victim, cloud := r.count("198.51.100.66:9999"), r.count("198.51.100.20:9000")
	r.clocks(0, 0)
	p := r.start("-log-bytes", "1048576")
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	r.stream(r.cam, "198.51.100.20:9000", time.Millisecond)
	eventually(t, p, "allowed traffic passes", time.Minute, func() bool { return cloud.n.Load() > 20 })
	filler, err := os.Create(filepath.Join(wal, "filler"))
	must(t, err)
	for block := make([]byte, 4096); ; {
		if _, err := filler.Write(block); err != nil {
			break
		}
	}
	filler.Close()
	for gen := range uint64(3) {
		r.publish(desired(2+gen, ringwall.Enforce, func(d *api.Desired) { d.Confirm = api.Duration(time.Hour) }))
		r.serving(p, 2+gen)
	}
	eventually(t, p, "it is said that the log cannot be written", time.Minute, func() bool {
		s, err := r.status()
		return err == nil && s.Lost > 0 && len(s.Faults) > 0
	})
	at := cloud.n.Load()
	eventually(t, p, "allowed traffic passes with a full disk", time.Minute, func() bool { return cloud.n.Load() > at+50 })
	if n := victim.n.Load(); n != 0 {
		t.Errorf("%d refused datagrams pass with a full disk", n)
	}
	must(t, os.Remove(filepath.Join(wal, "filler")))
	r.clocks(2*time.Minute, 0) // the log is tried again each minute
	eventually(t, p, "the log is written again", time.Minute, func() bool {
		s, err := r.status()
		return err == nil && len(s.Faults) == 0
	})
	p.kill(unix.SIGTERM) // the minute ends
	p = r.start("-log-bytes", "1048576")
	var told api.Notice
	eventually(t, p, "what was lost is told", time.Minute, func() bool {
		for _, n := range r.notices(api.NoticeLostReports) {
			told = n
			return true
		}
		return false
	})
	if told.Count == 0 || told.Detail["ack"] == "" {
		t.Errorf("notice = %+v", told)
	}
}
