package sdk_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/sdk"
)

// echo answers what it is sent, on TCP.
func echo(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); _, _ = io.Copy(c, c) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return l
}

var loopback = allowNet("loop", api.FromDevice, "127.0.0.0/8", "any")

// roundTrip sends a byte and waits for it.
func roundTrip(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestQuarantine_cutsWhatIsOpen_andLastsUntilReleased(t *testing.T) {
	l := echo(t)
	repair := echo(t)
	s := newSite(t, loopback)
	_, port, _ := net.SplitHostPort(repair.Addr().String())
	n, _ := strconv.Atoi(port)
	fix := allowNet("fix", api.FromDevice, "127.0.0.1/32", "tcp")
	fix.Ports = []api.PortRange{{First: uint16(n), Last: uint16(n)}}
	s.doc.Remediation = []api.Term{fix}
	dir := t.TempDir()
	c := s.open(dir, nil)
	conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	keep, err := c.Dialer().DialContext(t.Context(), "tcp", repair.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := errors.Join(roundTrip(conn), roundTrip(keep)); err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 1)
	go func() {
		_ = conn.SetDeadline(time.Time{})
		_, err := conn.Read(make([]byte, 1)) // blocked in a read, as a stream is
		cut <- err
	}()
	start := time.Now()
	id := s.hold(ringwall.Quarantine)
	var why error
	select {
	case why = <-cut:
	case <-time.After(30 * time.Second):
		t.Fatal("the connection lives on in quarantine")
	}
	if took := time.Since(start); took > 5*time.Second { // measured in the benchmark; this is the alarm
		t.Errorf("quarantine took %s from the platform's act to the cut", took)
	}
	if r, ok := sdk.AsRefusal(why); !ok || r.Reason != "quarantine" {
		t.Errorf("the reader was told %v", why)
	}
	if err := roundTrip(keep); err != nil {
		t.Errorf("the way to the repair server was cut: %v", err)
	}
	dial := func(c *sdk.Client) error {
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err
	}
	if r, ok := sdk.AsRefusal(dial(c)); !ok || r.Reason != "quarantine" {
		t.Errorf("dialling in quarantine: %v", r)
	}
	// A document that only forgets the hold lifts nothing, also over a restart.
	s.change(func(d *api.Desired) { d.Holds = nil })
	s.inForce(c)
	c.Close()
	c = s.open(dir, nil)
	if r, ok := sdk.AsRefusal(dial(c)); !ok || r.Reason != "quarantine" {
		t.Errorf("after a restart, with a document that lists no hold: %v", r)
	}
	s.change(func(d *api.Desired) { d.Releases = []api.Release{{Hold: id, By: "usr_test", At: time.Now()}} })
	s.inForce(c)
	if err := dial(c); err != nil {
		t.Errorf("after the release: %v", err)
	}
	s.sent(c)
	var told bool
	for _, r := range s.records(api.RecordHold) {
		var h api.HoldReport
		told = told || json.Unmarshal(r.Data, &h) == nil && h.Hold.ID == id && h.Lifted
	}
	if !told {
		t.Error("that the hold was lifted is not reported")
	}
}

// A download through Transport and a flow of datagrams end with the hold, too.
func TestQuarantine_cutsDownloadsAndDatagrams(t *testing.T) {
	stop := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write([]byte("frame")); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-stop:
				return
			case <-r.Context().Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}))
	defer web.Close()
	defer close(stop)
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	s := newSite(t, loopback)
	c := s.open(t.TempDir(), nil)
	resp, err := (&http.Client{Transport: c.Transport(nil)}).Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	raw, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc := c.PacketConn(raw)
	defer pc.Close()
	if _, err := pc.WriteTo([]byte("x"), peer.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	s.hold(ringwall.Quarantine)
	_, err = io.Copy(io.Discard, resp.Body)
	if r, ok := sdk.AsRefusal(err); !ok || r.Reason != "quarantine" {
		t.Errorf("the download ended with %v", err)
	}
	s.inForce(c)
	_, err = pc.WriteTo([]byte("x"), peer.LocalAddr())
	if r, ok := sdk.AsRefusal(err); !ok || r.Reason != "quarantine" {
		t.Errorf("the datagram: %v", err)
	}
}

func TestOffline_theLastPolicyHolds_andReportsWait(t *testing.T) {
	l, other := echo(t), echo(t)
	allow := loopback
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	allow.Ports = []api.PortRange{{First: uint16(n), Last: uint16(n)}}
	s := newSite(t, allow)
	dir := t.TempDir()
	c := s.open(dir, nil)
	c.Close()
	s.port.Close() // the platform is away
	c = s.open(dir, func(cfg *sdk.Config) { cfg.Token = "" })
	if st := c.Status(); st.Generation != 1 || st.Connected {
		t.Fatalf("Status() = %+v", st)
	}
	for range 3 {
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("what is allowed fails offline: %v", err)
		}
		if err := roundTrip(conn); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if _, ok := sdk.AsRefusal(func() error { _, err := c.Dialer().DialContext(t.Context(), "tcp", other.Addr().String()); return err }()); !ok {
		t.Error("what is not allowed passes offline")
	}
	before := len(s.flows())
	s.openDoor() // it is back
	await(t, "reports arrive", func() bool { return len(s.flows()) >= before+4 })
	allowed, refused := 0, 0
	for _, f := range s.flows() {
		switch {
		case f.Verdict == flow.Allowed && f.BytesUp == 1 && f.BytesDown == 1 && f.Term == "loop":
			allowed++
		case f.Verdict == flow.Refused && f.Reason == "default" && f.First:
			refused++
		}
	}
	if allowed != 3 || refused != 1 {
		t.Errorf("%d allowed and %d refused flows are stored, want 3 and 1", allowed, refused)
	}
}

func TestPolicy_forgedOldOrAnothers_isRefused(t *testing.T) {
	l := echo(t)
	s := newSite(t, loopback)
	c := s.open(t.TempDir(), nil)
	s.change(func(*api.Desired) {})
	s.inForce(c) // generation 2
	_, forger, _ := ed25519.GenerateKey(rand.Reader)
	open := s.doc
	open.Devices = append([]api.DevicePolicy{}, open.Devices...)
	open.Devices[0].Mode = ringwall.Learn
	for name, f := range map[string]func() (api.Signed, error){
		"forged":            func() (api.Signed, error) { d := open; d.Generation = 9; return api.Sign(d, "k", forger) },
		"of an unknown key": func() (api.Signed, error) { d := open; d.Generation = 9; return api.Sign(d, "other", forger) },
		"old":               func() (api.Signed, error) { d := open; d.Generation = 1; return api.Sign(d, "k", s.key) },
		"the same number":   func() (api.Signed, error) { d := open; d.Generation = 2; return api.Sign(d, "k", s.key) },
		"of another": func() (api.Signed, error) {
			d := open
			d.Generation, d.Gateway = 9, ringwall.GatewayID(ringwall.NewID(ringwall.PrefixGateway, time.Now()))
			return api.Sign(d, "k", s.key)
		},
	} {
		signed, err := f()
		if err != nil {
			t.Fatal(err)
		}
		s.sent(c)
		before := len(s.records(api.RecordAck))
		s.mu.Lock()
		s.signed = &signed
		s.mu.Unlock()
		s.port.Poke(s.org, s.doc.Gateway, 9)
		var ack api.Ack
		await(t, name+": it is refused, and that is reported", func() bool {
			acks := s.records(api.RecordAck)
			return len(acks) > before && json.Unmarshal(acks[len(acks)-1].Data, &ack) == nil && ack.Error != ""
		})
		if ack.Generation != 2 {
			t.Errorf("%s: acknowledgement %+v", name, ack)
		}
		if st := c.Status(); st.Generation != 2 || st.Mode != ringwall.Enforce {
			t.Errorf("%s: in force is %+v", name, st)
		}
	}
	s.mu.Lock()
	s.signed = nil
	s.mu.Unlock()
	s.terms() // the control: a good document is taken
	s.inForce(c)
	if _, ok := sdk.AsRefusal(func() error { _, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String()); return err }()); !ok {
		t.Error("the control is not in force")
	}
}

func TestOpen_withoutPolicy_refusesAll(t *testing.T) {
	l := echo(t)
	s := newSite(t, loopback)
	gone := s.doc
	s.mu.Lock()
	s.signed = &api.Signed{KeyID: "k", Payload: []byte("{}"), Sig: []byte("no")}
	s.mu.Unlock()
	c := s.open(t.TempDir(), func(cfg *sdk.Config) { cfg.Wait = 50 * time.Millisecond })
	_, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
	if r, ok := sdk.AsRefusal(err); !ok || r.Reason != "no-policy" {
		t.Fatalf("before any policy: %v", err)
	}
	_ = gone
}

func TestEnrol_isOnce_andForOneAtATime(t *testing.T) {
	s := newSite(t, loopback)
	dir := t.TempDir()
	c := s.open(dir, func(cfg *sdk.Config) { cfg.CA, cfg.Pin = "", s.auth.Pin() })
	if _, err := sdk.Open(t.Context(), sdk.Config{State: dir}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a second client in the same directory: %v", err)
	}
	c.Close()
	if _, err := sdk.Open(t.Context(), sdk.Config{State: t.TempDir(), Platform: s.enrol.URL, Token: "once", CA: s.ca}); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("a token that was used: %v", err)
	}
	if _, err := sdk.Open(t.Context(), sdk.Config{State: t.TempDir()}); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("no token: %v", err)
	}
	s.tokens["new"] = true
	wrong := strings.Repeat("00", 32)
	_, err := sdk.Open(t.Context(), sdk.Config{State: t.TempDir(), Platform: s.enrol.URL, Token: "new", Pin: wrong})
	if ringwall.CodeOf(err) != ringwall.Unverified || !s.tokens["new"] {
		t.Errorf("another platform: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "new") && strings.Contains(err.Error(), "token \"new\"") {
		t.Error("the token is in the error")
	}
	// Identity and key are its owner's alone.
	for _, f := range []string{"identity.json", "client.pem"} {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
}

func TestWindow_thatEnds_cutsAndShuts(t *testing.T) {
	l := echo(t)
	now := time.Now().UTC()
	w := loopback
	w.Window = &api.Window{From: now.Add(-time.Hour).Format("15:04"), To: now.Add(2 * time.Minute).Format("15:04")}
	s := newSite(t, w)
	var mu sync.Mutex
	c := s.open(t.TempDir(), func(cfg *sdk.Config) {
		cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	conn, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	now = now.Add(3 * time.Minute)
	mu.Unlock()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlives its window")
	} else if _, ok := sdk.AsRefusal(err); !ok {
		t.Errorf("the reader was told %v", err)
	}
	if _, ok := sdk.AsRefusal(func() error { _, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String()); return err }()); !ok {
		t.Error("the window is still open")
	}
}

func TestMaxAge_failsClosed(t *testing.T) {
	l := echo(t)
	s := newSite(t, loopback)
	s.doc.MaxAge, s.doc.Devices[0].Fail = api.Duration(300*time.Millisecond), "closed"
	c := s.open(t.TempDir(), nil)
	s.port.Close()
	await(t, "the policy is too old", func() bool { return c.Status().Stale })
	if r, ok := sdk.AsRefusal(func() error { _, err := c.Dialer().DialContext(t.Context(), "tcp", l.Addr().String()); return err }()); !ok || r.Reason != "quarantine" {
		t.Errorf("a policy past its age: %v", r)
	}
}

func TestCertificate_isRenewedInTime(t *testing.T) {
	s := newSite(t, loopback)
	dir := t.TempDir()
	s.open(dir, nil).Close()
	before, err := os.ReadFile(filepath.Join(dir, "client.pem"))
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(identity.GatewayLife/3*2 + time.Hour)
	c := s.open(dir, func(cfg *sdk.Config) { cfg.Now = func() time.Time { return later } })
	await(t, "another certificate is kept", func() bool {
		now, err := os.ReadFile(filepath.Join(dir, "client.pem"))
		return err == nil && !bytes.Equal(now, before)
	})
	c.Close()
	c = s.open(dir, nil) // and it is good
	await(t, "the renewed certificate is let in", func() bool { return c.Status().Connected })
}

func TestLearn_passesAndReportsWhatWasNeeded(t *testing.T) {
	l := echo(t)
	s := newSite(t)
	s.doc.Devices[0].Mode = ringwall.Learn
	dir := t.TempDir()
	c := s.open(dir, nil)
	for range 2 {
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", "cam.example:"+strings.Split(l.Addr().String(), ":")[1])
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	c.Close()
	s.open(dir, nil)
	await(t, "the need is reported", func() bool {
		for _, r := range s.records(api.RecordPeers) {
			var p api.PeersSeen
			if json.Unmarshal(r.Data, &p) == nil && len(p.Peers) == 1 && p.Peers[0].Domain == "cam.example" && p.Peers[0].Count == 2 && p.Device == s.doc.Devices[0].Device {
				return true
			}
		}
		return false
	})
}
