package mqttport

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/segment"
)

// site is a door with a real store behind it, and an authority.
type site struct {
	t     testing.TB
	auth  *identity.Authority
	store *segment.Store
	port  *Port
	org   ringwall.OrgID
	key   ed25519.PrivateKey

	mu      sync.Mutex
	revoked map[ringwall.GatewayID]bool
	desired map[ringwall.GatewayID]api.Desired
}

func newSite(t testing.TB, change func(*Config)) *site {
	t.Helper()
	s := &site{t: t, org: ringwall.OrgID(ringwall.NewID(ringwall.PrefixOrg, time.Now())), revoked: map[ringwall.GatewayID]bool{}, desired: map[ringwall.GatewayID]api.Desired{}}
	var err error
	if s.auth, err = identity.OpenAuthority(t.TempDir(), time.Now); err != nil {
		t.Fatal(err)
	}
	if s.store, err = segment.Open(t.TempDir(), segment.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	if _, s.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	cert, err := s.auth.Server([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Listener: l, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: s.auth.Pool()}, Desk: s}
	if change != nil {
		change(&cfg)
	}
	if s.port, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.port.Close)
	return s
}

func (s *site) Admit(_ context.Context, cert *x509.Certificate) (ringwall.OrgID, ringwall.GatewayID, error) {
	org, gw, err := identity.GatewayOf(cert)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.revoked[gw] {
		err = ringwall.Errorf(ringwall.Unverified, "revoked")
	}
	return org, gw, err
}

func (s *site) Report(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (api.BatchAck, error) {
	return s.store.Ingest(ctx, org, gw, b)
}

func (s *site) doc(gw ringwall.GatewayID) api.Desired {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desired[gw]
}

func (s *site) Desired(_ context.Context, _ ringwall.OrgID, gw ringwall.GatewayID, req api.DesiredRequest) (a api.DesiredAnswer, err error) {
	if d := s.doc(gw); d.Generation > req.Have {
		signed, err := api.Sign(d, "k", s.key)
		return api.DesiredAnswer{Signed: &signed}, err
	}
	return a, nil
}

func (s *site) Terminal(_ context.Context, _ ringwall.OrgID, gw ringwall.GatewayID, have uint64) (*api.SignedTerminal, error) {
	d := s.doc(gw)
	if d.Generation <= have {
		return nil, nil
	}
	t, err := d.Terminal(d.Devices[0].Device, time.Now())
	if err != nil {
		return nil, err
	}
	signed, err := api.SignTerminal(t, "k", s.key)
	return &signed, err
}

// enrol makes a terminal and what it shows.
func (s *site) enrol() (ringwall.GatewayID, *tls.Config) {
	s.t.Helper()
	gw := ringwall.GatewayID(ringwall.NewID(ringwall.PrefixGateway, time.Now()))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := s.auth.SignGateway(s.org, gw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert.PEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		s.t.Fatal(err)
	}
	return gw, &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: s.auth.Pool(), ServerName: "127.0.0.1"}
}

// dial connects a terminal with the reference client and listens to its topics.
func (s *site) dial(gw ringwall.GatewayID, conf *tls.Config) (*paho.Client, <-chan *paho.Publish) {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.port.Addr().String(), conf)
	if err != nil {
		s.t.Fatal(err)
	}
	got := make(chan *paho.Publish, 64)
	c := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn), OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) { got <- p.Packet; return true, nil },
	}})
	ack, err := c.Connect(s.t.Context(), &paho.Connect{ClientID: string(gw), KeepAlive: 30, CleanStart: true})
	if err != nil || ack.ReasonCode != 0 {
		s.t.Fatalf("Connect: %v, %+v", err, ack)
	}
	s.t.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}) })
	for _, leaf := range []string{api.TopicAck, api.TopicDesired, api.TopicPoke} {
		if _, err := c.Subscribe(s.t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: api.Topic(s.org, gw, leaf)}}}); err != nil {
			s.t.Fatalf("Subscribe(%s): %v", leaf, err)
		}
	}
	return c, got
}

func batch(epoch, first uint64, n int) api.Batch {
	b := api.Batch{Version: api.Version, Epoch: epoch}
	for i := range n {
		b.Records = append(b.Records, api.Record{Seq: first + uint64(i), Time: time.Now(), Kind: api.RecordHealth, Data: json.RawMessage(`{"version":"t"}`)})
	}
	return b
}

func (s *site) stored() (n int) {
	if _, err := s.store.Scan(s.t.Context(), segment.Cursor{}, func(ringwall.GatewayID, ringwall.OrgID, api.Record) error { n++; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func next(t testing.TB, got <-chan *paho.Publish) *paho.Publish {
	t.Helper()
	select {
	case p := <-got:
		return p
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		return nil
	}
}

func TestReport_isAcknowledgedWhenStored_once(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	c, got := s.dial(gw, conf)
	send := func(payload []byte, response string) *paho.PublishResponse {
		p := &paho.Publish{QoS: 1, Topic: api.Topic(s.org, gw, api.TopicReport), Payload: payload}
		if response != "" {
			p.Properties = &paho.PublishProperties{ResponseTopic: response, CorrelationData: []byte("c1")}
		}
		r, err := c.Publish(t.Context(), p)
		if err != nil && r == nil {
			t.Fatal(err)
		}
		return r
	}
	if r := send(marshal(batch(7, 1, 10)), ""); r.ReasonCode != 0 {
		t.Fatalf("a good batch got reason code %#x", r.ReasonCode)
	}
	var ack api.BatchAck
	p := next(t, got)
	if err := json.Unmarshal(p.Payload, &ack); err != nil || ack.Seq != 10 || ack.Epoch != 7 || p.Topic != api.Topic(s.org, gw, api.TopicAck) {
		t.Fatalf("acknowledgement on %s: %+v, %v", p.Topic, ack, err)
	}
	// The same again, as after a lost acknowledgement, and in the other form.
	compact, err := api.AppendTerminalBatch(nil, batch(7, 6, 10))
	if err != nil {
		t.Fatal(err)
	}
	send(compact, api.Topic(s.org, gw, api.TopicAck))
	p = next(t, got)
	if ack, err := api.ReadTerminalAck(p.Payload); err != nil || ack.Seq != 15 || p.Properties == nil || string(p.Properties.CorrelationData) != "c1" {
		t.Fatalf("acknowledgement: %+v, %v, %+v", ack, err, p.Properties)
	}
	if n := s.stored(); n != 15 {
		t.Errorf("%d records are stored, want 15", n)
	}
	// A gap is not taken, and the answer says from where to send.
	if r := send(marshal(batch(7, 20, 1)), ""); r.ReasonCode < 0x80 {
		t.Errorf("a batch with a gap got reason code %#x", r.ReasonCode)
	}
	if err := json.Unmarshal(next(t, got).Payload, &ack); err != nil || ack.Seq != 15 || ack.Error == "" {
		t.Errorf("answer to a gap: %+v, %v", ack, err)
	}
	if st := s.port.Stats(); st.Reports != 2 || st.Rejected != 1 || st.Terminals != 1 {
		t.Errorf("Stats() = %+v", st)
	}
}

// sick fails as a store does whose disk is full.
type sick struct{ *site }

func (sick) Report(context.Context, ringwall.OrgID, ringwall.GatewayID, api.Batch) (api.BatchAck, error) {
	return api.BatchAck{}, ringwall.Errorf(ringwall.Unavailable, "the store has stopped")
}

func TestReport_isNotAcknowledged_whenNotStored(t *testing.T) {
	s := newSite(t, nil)
	s.port.cfg.Desk = sick{s}
	gw, conf := s.enrol()
	c, _ := s.dial(gw, conf)
	r, _ := c.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: api.Topic(s.org, gw, api.TopicReport), Payload: marshal(batch(1, 1, 1))})
	if r == nil || r.ReasonCode < 0x80 || r.Properties == nil || !strings.Contains(r.Properties.ReasonString, "stopped") {
		t.Fatalf("a batch that was not stored got %+v", r)
	}
	// MQTT 3.1.1 cannot say no: nothing is acknowledged, the connection ends.
	gw, conf = s.enrol()
	old := dialOld(t, s, gw, conf)
	old.publish(t, 1, api.Topic(s.org, gw, api.TopicReport), marshal(batch(1, 1, 1)))
	if kind, _, err := old.read(); err == nil {
		t.Fatalf("MQTT 3.1.1: packet of type %d for a batch that was not stored", kind)
	}
}

// fragile panics as a defect would.
type fragile struct{ *site }

func (fragile) Report(context.Context, ringwall.OrgID, ringwall.GatewayID, api.Batch) (api.BatchAck, error) {
	panic("a defect")
}

func TestPanic_endsOneConnection(t *testing.T) {
	s := newSite(t, nil)
	witness, witnessConf := s.enrol()
	w, got := s.dial(witness, witnessConf)
	s.port.cfg.Desk = fragile{s}
	gw, conf := s.enrol()
	o := dialOld(t, s, gw, conf)
	o.publish(t, 1, api.Topic(s.org, gw, api.TopicReport), marshal(batch(1, 1, 1)))
	if kind, _, err := o.read(); err == nil {
		t.Errorf("packet of type %d after a panic", kind)
	}
	for until := time.Now().Add(20 * time.Second); s.port.Stats().Panics != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d panics are counted", s.port.Stats().Panics)
		}
	}
	s.port.Poke(s.org, witness, 7)
	if p := next(t, got); string(p.Payload) != "7" {
		t.Errorf("the witness hears %q", p.Payload)
	}
	_ = w
}

func TestTerminal_reachesOnlyItsOwnTopics(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	other, otherConf := s.enrol()
	c, got := s.dial(gw, conf)
	victim, victimGot := s.dial(other, otherConf)
	for _, topic := range []string{
		api.Topic(s.org, other, api.TopicReport), api.Topic(s.org, other, api.TopicDesired), api.Topic(s.org, other, api.TopicPoke),
		api.Topic(s.org, gw, api.TopicDesired), "anything",
	} {
		r, _ := c.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: topic, Payload: marshal(batch(1, 1, 1))})
		if r == nil || r.ReasonCode < 0x80 {
			t.Errorf("publishing on %q got %+v", topic, r)
		}
	}
	for _, topic := range []string{
		api.Topic(s.org, other, api.TopicDesired), api.Topic(s.org, other, api.TopicReport), "#", "rw/#", "rw/" + string(s.org) + "/+/desired",
		"$SYS/#", "$share/g/" + api.Topic(s.org, gw, api.TopicDesired),
	} {
		a, err := c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic}}})
		if err == nil && a.Reasons[0] < 0x80 {
			t.Errorf("subscribing to %q was granted", topic)
		}
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d records of another terminal are stored", n)
	}
	// The control: each hears its own poke, and the victim was not disturbed.
	s.port.Poke(s.org, gw, 5)
	if p := next(t, got); string(p.Payload) != "5" {
		t.Errorf("poke: %q", p.Payload)
	}
	s.port.Poke(s.org, other, 6)
	if p := next(t, victimGot); string(p.Payload) != "6" {
		t.Errorf("poke of the other: %q", p.Payload)
	}
	if r, err := victim.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: api.Topic(s.org, other, api.TopicReport), Payload: marshal(batch(1, 1, 1))}); err != nil || r.ReasonCode != 0 {
		t.Errorf("the other's own report: %+v, %v", r, err)
	}
}

func TestTerminal_withoutCertificate_orWithAnotherName_isRefused(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	other, otherConf := s.enrol()
	connect := func(conf *tls.Config, id string, will bool) error {
		conn, err := tls.Dial("tcp", s.port.Addr().String(), conf)
		if err != nil {
			return err
		}
		defer conn.Close()
		c := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn)})
		cp := &paho.Connect{ClientID: id, KeepAlive: 30, CleanStart: true}
		if will {
			cp.WillMessage = &paho.WillMessage{Topic: api.Topic(s.org, gw, api.TopicReport), Payload: []byte("x")}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		ack, err := c.Connect(ctx, cp)
		if err == nil && ack.ReasonCode >= 0x80 {
			err = errors.New("refused")
		}
		return err
	}
	if err := connect(conf, string(gw), false); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	if err := connect(conf, "", false); err != nil {
		t.Errorf("a terminal without a client identifier is refused: %v", err)
	}
	naked := conf.Clone()
	naked.Certificates = nil
	if connect(naked, string(gw), false) == nil {
		t.Error("a terminal without a certificate came in")
	}
	foreign := newSite(t, nil)
	_, foreignConf := foreign.enrol()
	foreignConf.RootCAs = s.auth.Pool()
	if connect(foreignConf, string(gw), false) == nil {
		t.Error("a certificate of another authority came in")
	}
	if connect(otherConf, string(gw), false) == nil {
		t.Error("a terminal came in under another's name")
	}
	if connect(conf, string(gw), true) == nil {
		t.Error("a will was taken")
	}
	s.mu.Lock()
	s.revoked[other] = true
	s.mu.Unlock()
	if connect(otherConf, string(other), false) == nil {
		t.Error("a revoked terminal came in")
	}
}

func TestPort_Cut_endsARevokedTerminal(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	c, _ := s.dial(gw, conf)
	s.port.Cut(gw)
	select {
	case <-c.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the connection lives on")
	}
}

func TestStatus_bringsTheDocument_inBothForms(t *testing.T) {
	s := newSite(t, nil)
	gw, conf := s.enrol()
	dev := ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, time.Now()))
	s.mu.Lock()
	s.desired[gw] = api.Desired{
		Version: api.Version, Org: s.org, Gateway: gw, Generation: 3, Issued: time.Now(),
		Devices: []api.DevicePolicy{{
			Device: dev, Mark: 1, Binding: api.Binding{MAC: api.OwnMAC(gw), IP: netip.MustParseAddr("192.0.2.7")}, Mode: ringwall.Enforce, Trust: ringwall.T3,
			Terms: []api.Term{{ID: "t1", Action: api.Allow, Direction: api.FromDevice, Domain: "api.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}}},
		}},
	}
	s.mu.Unlock()
	keys := map[string]ed25519.PublicKey{"k": s.key.Public().(ed25519.PublicKey)}
	c, got := s.dial(gw, conf)
	ask := func(payload []byte) []byte {
		if _, err := c.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: api.Topic(s.org, gw, api.TopicStatus), Payload: payload}); err != nil {
			t.Fatal(err)
		}
		return next(t, got).Payload
	}
	var a api.DesiredAnswer
	if err := json.Unmarshal(ask([]byte(`{"version":2,"have":2}`)), &a); err != nil || a.Signed == nil {
		t.Fatalf("answer %+v, %v", a, err)
	}
	if d, err := a.Signed.Open(keys); err != nil || d.Generation != 3 {
		t.Errorf("document %+v, %v", d, err)
	}
	small, err := api.ReadTerminalAnswer(ask(api.TerminalStatus{Have: 2}.Append(nil)))
	if err != nil || small.Signed == nil {
		t.Fatalf("answer %+v, %v", small, err)
	}
	if p, err := small.Signed.Open(keys); err != nil || p.Generation != 3 || p.Device != dev || len(p.Terms) != 1 || p.Terms[0].Name != "api.example" {
		t.Errorf("terminal policy %+v, %v", p, err)
	}
	if a, err := api.ReadTerminalAnswer(ask(api.TerminalStatus{Have: 3}.Append(nil))); err != nil || a.Signed != nil || a.Error != "" {
		t.Errorf("answer to who has the newest: %+v, %v", a, err)
	}
}

func TestBatch_overTheLimits_isRefused(t *testing.T) {
	for name, payload := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "cut": []byte(`{"version":2,`), "long": slices.Repeat([]byte{' '}, api.MaxBatchBytes+1), "bare head": {1, 2},
		"records that are not there": append([]byte{1, 2}, make([]byte, 26)...)[:28:28],
	} {
		if name == "records that are not there" {
			payload[27] = 9
		}
		if _, _, err := readBatch(payload); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
