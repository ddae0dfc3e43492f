package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/spine"
)

const org = ringwall.OrgID("org_a")

// net is a broker with its authority.
type network struct {
	*testing.T
	dir string
	ca  *identity.Authority
	b   *broker.Broker
	// refused holds the gateways that are not let in any more.
	refused sync.Map
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{T: t, dir: t.TempDir()}
	var err error
	if n.ca, err = identity.OpenAuthority(filepath.Join(n.dir, "keys"), time.Now); err != nil {
		t.Fatal(err)
	}
	n.start()
	return n
}

func (n *network) start() {
	n.Helper()
	cert, err := n.ca.Server(nil)
	if err != nil {
		n.Fatal(err)
	}
	n.b, err = broker.Start(broker.Config{
		Dir: filepath.Join(n.dir, "spine"), Listen: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: n.ca.Pool()},
		Verify: func(c *x509.Certificate) (broker.Grant, error) {
			org, gw, err := identity.GatewayOf(c)
			if err != nil {
				return broker.Grant{}, err
			}
			if _, no := n.refused.Load(gw); no {
				return broker.Grant{}, ringwall.Errorf(ringwall.Forbidden, "revoked")
			}
			return broker.GatewayGrant(org, gw), nil
		},
	})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(n.b.Close)
}

func (n *network) platform() *spine.Conn {
	n.Helper()
	c, err := spine.Dial(n.Context(), spine.Config{InProcess: n.b.InProcess, Token: n.b.Token(), Name: "platform"})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	return c
}

func (n *network) certificate(gw ringwall.GatewayID) tls.Certificate {
	n.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		n.Fatal(err)
	}
	signed, err := n.ca.SignGateway(org, gw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err != nil {
		n.Fatal(err)
	}
	var cert tls.Certificate
	for rest := signed.PEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	cert.PrivateKey = key
	return cert
}

func (n *network) config(gw ringwall.GatewayID) spine.Config {
	return spine.Config{
		Servers: []string{"tls://" + n.b.Addr().String()}, Name: string(gw), Inbox: spine.Inbox(string(gw)),
		TLS: &tls.Config{Certificates: []tls.Certificate{n.certificate(gw)}, RootCAs: n.ca.Pool()},
	}
}

func (n *network) gateway(gw ringwall.GatewayID) *spine.Conn {
	n.Helper()
	c, err := spine.Dial(n.Context(), n.config(gw))
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	n.wait("connection of "+string(gw), c.Connected)
	return c
}

func (n *network) wait(what string, f func() bool) {
	n.Helper()
	for range 500 {
		if f() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	n.Fatalf("no %s within 5 s", what)
}

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestAGatewayIsAnsweredOnItsOwnSubjects(t *testing.T) {
	n := newNetwork(t)
	p, a := n.platform(), n.gateway("gw_a")
	stop, err := p.Serve("rw.*.gw.*.report", func(_ context.Context, subject string, data []byte) []byte {
		return fmt.Appendf(nil, "%s got %s", subject, data)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := a.Request(t.Context(), api.ReportSubject(org, "gw_a"), []byte("batch"))
	if want := "rw.org_a.gw.gw_a.report got batch"; err != nil || string(got) != want {
		t.Errorf("Request = %q, %v; want %q", got, err, want)
	}
	heard := make(chan string, 1)
	if _, err := a.Subscribe(api.PokeSubject(org, "gw_a"), func(d []byte) { heard <- string(d) }); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(api.PokeSubject(org, "gw_a"), []byte("7")); err != nil {
		t.Fatal(err)
	}
	select {
	case g := <-heard:
		if g != "7" {
			t.Errorf("poke = %q, want 7", g)
		}
	case <-time.After(5 * time.Second):
		t.Error("the poke did not come")
	}
}

func TestAGatewayNeitherSpeaksNorHearsForAnother(t *testing.T) {
	n := newNetwork(t)
	p, a, b := n.platform(), n.gateway("gw_a"), n.gateway("gw_b")
	if err := p.Stream(t.Context()); err != nil {
		t.Fatal(err)
	}
	var foreign atomic.Int64
	for _, subject := range []string{"rw.*.gw.gw_b.>", "rw.*.*.*", "_INBOX_gw_b.>", "other.>"} {
		if _, err := p.Subscribe(subject, func([]byte) { foreign.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Serve("rw.*.gw.*.report", func(context.Context, string, []byte) []byte { return []byte("taken") }); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What A says in B's name, as an event, or to JetStream reaches nobody.
	for _, subject := range []string{
		api.ReportSubject(org, "gw_b"), api.DesiredSubject(org, "gw_b"), api.PokeSubject(org, "gw_b"), api.PokeSubject(org, "gw_a"),
		"rw.org_a.alert.dev_x", "_INBOX_gw_b.x", "other.x", "$JS.API.STREAM.DELETE.EVENTS",
	} {
		if answer, err := a.Request(short(t), subject, []byte("forged")); err == nil {
			t.Errorf("gw_a asks on %q and is answered %q", subject, answer)
		}
	}
	if _, err := a.Request(t.Context(), api.ReportSubject(org, "gw_a"), nil); err != nil {
		t.Errorf("after that, gw_a is not heard on its own subject: %v", err)
	}
	if foreign.Load() != 0 {
		t.Errorf("%d of gw_a's messages came through on subjects that are not its own", foreign.Load())
	}
	// What A listens to of others stays silent.
	var overheard atomic.Int64
	for _, subject := range []string{">", "rw.>", "_INBOX_gw_b.>", api.PokeSubject(org, "gw_b"), api.ReportSubject(org, "gw_b"), "rw.*.*.*", "_INBOX.>"} {
		if _, err := a.Subscribe(subject, func([]byte) { overheard.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Request(t.Context(), api.ReportSubject(org, "gw_b"), []byte("secret of b")); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{api.PokeSubject(org, "gw_b"), "other.x"} {
		if err := p.Publish(subject, []byte("not for a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.Flush(t.Context()), a.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if overheard.Load() != 0 {
		t.Errorf("gw_a overheard %d messages", overheard.Load())
	}
}

func TestStrangersStayOutside(t *testing.T) {
	n := newNetwork(t)
	other, err := identity.OpenAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &network{T: t, ca: other, b: n.b}
	foreignCA := stranger.config("gw_a")
	foreignCA.TLS.RootCAs = n.ca.Pool()
	noCert := n.config("gw_a")
	noCert.TLS.Certificates = nil
	server, err := n.ca.Server(nil)
	if err != nil {
		t.Fatal(err)
	}
	serverCert := n.config("gw_a")
	serverCert.TLS.Certificates = []tls.Certificate{server}
	revoked := n.config("gw_revoked")
	n.refused.Store(ringwall.GatewayID("gw_revoked"), true)
	for name, cfg := range map[string]spine.Config{
		"certificate of another authority": foreignCA, "no certificate": noCert, "a server's certificate": serverCert, "revoked": revoked,
		"the wrong secret inside the process": {InProcess: n.b.InProcess, Token: "guess"},
	} {
		c, err := spine.Dial(t.Context(), cfg)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Unavailable {
				t.Errorf("%s: %v, want unavailable", name, err)
			}
			continue
		}
		time.Sleep(200 * time.Millisecond)
		if c.Connected() {
			t.Errorf("%s is let in", name)
		}
		c.Close()
	}
	n.gateway("gw_a") // and a proper one still is
}

func TestEventsSurviveARestartAndComeOnce(t *testing.T) {
	n := newNetwork(t)
	p := n.platform()
	if err := p.Stream(t.Context()); err != nil {
		t.Fatal(err)
	}
	event := func(i int) ringwall.Event {
		return ringwall.Event{V: 1, ID: ringwall.EventID(fmt.Sprintf("evt_%d", i)), Org: org, Kind: ringwall.EventDeviceTrust,
			Subject: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: "dev_x"}}
	}
	for i := range 10 {
		if err := p.PublishEvent(t.Context(), event(i)); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	n.b.Close()
	n.start()
	p = n.platform()
	if err := p.Stream(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As after a crash between publishing and noting it: all again, then more.
	for i := range 15 {
		if err := p.PublishEvent(t.Context(), event(i)); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var got []ringwall.EventID
	failed := map[ringwall.EventID]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- p.Consume(ctx, "test", "", func(e ringwall.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if e.ID == "evt_3" && !failed[e.ID] {
				failed[e.ID] = true
				return errors.New("not now")
			}
			got = append(got, e.ID)
			return nil
		})
	}()
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(got) }
	n.wait("15 events", func() bool { return count() >= 15 })
	time.Sleep(200 * time.Millisecond)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Consume = %v, want nil", err)
	}
	times := map[ringwall.EventID]int{}
	for _, id := range got {
		times[id]++
	}
	for i := range 15 {
		if id := event(i).ID; times[id] != 1 {
			t.Errorf("event %s was handled %d times, want once", id, times[id])
		}
	}
}

func TestAClientThatLosesItsServerFindsItAgain(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config("gw_a")
	addr := n.b.Addr().String()
	c, err := spine.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	n.wait("connection", c.Connected)
	n.b.Close()
	n.wait("loss", func() bool { return !c.Connected() })
	if _, err := c.Request(t.Context(), "x", nil); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("asking without a server: %v, want unavailable", err)
	}
	cert, err := n.ca.Server(nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: addr, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: n.ca.Pool()},
		Verify: func(*x509.Certificate) (broker.Grant, error) { return broker.GatewayGrant(org, "gw_a"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	n.wait("reconnection", c.Connected)
}

func TestABigMessageIsRefusedClearly(t *testing.T) {
	n := newNetwork(t)
	a := n.gateway("gw_a")
	if _, err := a.Request(t.Context(), api.ReportSubject(org, "gw_a"), make([]byte, broker.MaxPayload+1)); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a message over the limit: %v, want invalid", err)
	}
	if !a.Connected() {
		t.Error("it cost the connection")
	}
}

// A gateway that is refused more than once, because the platform has too much to
// do or does not know it yet, comes back when it is let in again.
func TestAGatewayThatIsRefusedTriesAgain(t *testing.T) {
	n := newNetwork(t)
	addr := n.b.Addr().String()
	c := n.gateway("gw_late")
	n.b.Close()
	var refusals atomic.Int64
	enough := make(chan struct{})
	cert, err := n.ca.Server(nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: addr, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: n.ca.Pool()},
		Verify: func(*x509.Certificate) (broker.Grant, error) {
			if k := refusals.Add(1); k < 3 {
				return broker.Grant{}, ringwall.Errorf(ringwall.Unavailable, "too much to do")
			} else if k == 3 {
				close(enough)
			}
			return broker.GatewayGrant(org, "gw_late"), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Fatalf("the gateway gave up after %d refusals", refusals.Load())
	}
	n.wait("reconnection", c.Connected)
}

// Strangers who begin handshakes and leave them hanging keep nobody out.
func TestHangingHandshakesKeepNobodyOut(t *testing.T) {
	n := newNetwork(t)
	hello := clientHello(t)
	for range 600 {
		c, err := net.Dial("tcp", n.b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
	}
	up := make(chan bool, 10)
	cfg := n.config("gw_honest")
	cfg.Changed = func(there bool) { up <- there }
	c, err := spine.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case <-up:
	case <-time.After(30 * time.Second):
		t.Fatal("the gateway did not come in")
	}
}

// clientHello returns the first words of a TLS client.
func clientHello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, &tls.Config{InsecureSkipVerify: true}).Handshake() // it ends when the pipe is closed
	}()
	defer ours.Close()
	b := make([]byte, 64<<10)
	k, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:k]
}
