package sdk_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/mqttport"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/sdk"
)

// site is what of a platform a client needs, made of the real parts: authority,
// enrolment over TLS, the MQTT door and the store of reports.
type site struct {
	t     testing.TB
	org   ringwall.OrgID
	auth  *identity.Authority
	key   ed25519.PrivateKey
	store *segment.Store
	port  *mqttport.Port
	addr  string // of the MQTT door; stays the same when it is closed and opened
	enrol *httptest.Server
	ca    string

	mu      sync.Mutex
	tokens  map[string]bool
	doc     api.Desired
	signed  *api.Signed // instead of doc
	refuses bool        // to take reports
}

func newSite(t testing.TB, terms ...api.Term) *site {
	t.Helper()
	s := &site{t: t, org: ringwall.OrgID(ringwall.NewID(ringwall.PrefixOrg, time.Now())), tokens: map[string]bool{"once": true}}
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
	s.ca = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(s.ca, s.auth.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.addr = "127.0.0.1:0"
	s.openDoor()
	t.Cleanup(func() { s.port.Close() })
	s.enrol = httptest.NewUnstartedServer(http.HandlerFunc(s.serveEnrol))
	s.enrol.TLS = s.serverTLS()
	s.enrol.StartTLS()
	t.Cleanup(s.enrol.Close)
	s.doc = api.Desired{
		Version: api.Version, Org: s.org, Issued: time.Now().UTC(), Arrival: ringwall.Enforce, LocalNets: []netip.Prefix{},
		Remediation: []api.Term{}, Devices: []api.DevicePolicy{{Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: terms}},
	}
	return s
}

func (s *site) serverTLS() *tls.Config {
	cert, err := s.auth.Server([]string{"127.0.0.1"})
	if err != nil {
		s.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: s.auth.Pool()}
}

func (s *site) openDoor() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if s.port, err = mqttport.New(mqttport.Config{Listener: l, TLS: s.serverTLS(), Desk: s}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) serveEnrol(w http.ResponseWriter, r *http.Request) {
	var req api.EnrolRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens[req.Token] {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	delete(s.tokens, req.Token)
	gw := ringwall.GatewayID(ringwall.NewID(ringwall.PrefixGateway, time.Now()))
	cert, err := s.auth.SignGateway(s.org, gw, []byte(req.CSR))
	if err != nil {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	d := &s.doc
	d.Gateway, d.Generation = gw, 1
	if d.Devices[0].Device == "" {
		d.Devices[0].Device = ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, time.Now()))
	}
	d.Devices[0].Binding = api.Binding{MAC: api.OwnMAC(gw), IP: netip.MustParseAddr("192.0.2.77")}
	_ = json.NewEncoder(w).Encode(api.EnrolAnswer{
		Org: s.org, Gateway: gw, Certificate: string(cert.PEM), CA: string(s.auth.Certificate()), MQTT: []string{"mqtts://" + s.addr},
		SigningKeys: map[string][]byte{"k": s.key.Public().(ed25519.PublicKey)},
	})
}

func (s *site) Admit(_ context.Context, cert *x509.Certificate) (ringwall.OrgID, ringwall.GatewayID, error) {
	return identity.GatewayOf(cert)
}

func (s *site) Report(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (api.BatchAck, error) {
	s.mu.Lock()
	refuses := s.refuses
	s.mu.Unlock()
	if refuses {
		return api.BatchAck{}, ringwall.Errorf(ringwall.Unavailable, "not now")
	}
	return s.store.Ingest(ctx, org, gw, b)
}

func (s *site) Desired(_ context.Context, _ ringwall.OrgID, _ ringwall.GatewayID, req api.DesiredRequest) (api.DesiredAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signed != nil {
		return api.DesiredAnswer{Signed: s.signed}, nil
	}
	var out api.DesiredAnswer
	if req.CSR != "" {
		cert, err := s.auth.SignGateway(s.org, s.doc.Gateway, []byte(req.CSR))
		if err != nil {
			return out, err
		}
		out.Renewed = &api.EnrolAnswer{
			Org: s.org, Gateway: s.doc.Gateway, Certificate: string(cert.PEM), CA: string(s.auth.Certificate()), MQTT: []string{"mqtts://" + s.addr},
			SigningKeys: map[string][]byte{"k": s.key.Public().(ed25519.PublicKey)},
		}
	}
	if s.doc.Generation == 0 || s.doc.Generation == req.Have {
		return out, nil
	}
	signed, err := api.Sign(s.doc, "k", s.key)
	out.Signed = &signed
	return out, err
}

func (s *site) Terminal(context.Context, ringwall.OrgID, ringwall.GatewayID, uint64) (*api.SignedTerminal, error) {
	return nil, ringwall.Errorf(ringwall.NotFound, "no terminals here")
}

// change makes the next generation and pokes.
func (s *site) change(f func(*api.Desired)) {
	s.mu.Lock()
	s.doc.Generation++
	s.doc.Issued = time.Now().UTC()
	s.doc.Devices = append([]api.DevicePolicy{}, s.doc.Devices...)
	f(&s.doc)
	gw, gen := s.doc.Gateway, s.doc.Generation
	s.mu.Unlock()
	s.port.Poke(s.org, gw, gen)
}

func (s *site) terms(terms ...api.Term) {
	s.change(func(d *api.Desired) { d.Devices[0].Terms = terms })
}

// hold restricts the device, and returns the id of the hold.
func (s *site) hold(r ringwall.Restriction) ringwall.HoldID {
	id := ringwall.HoldID(ringwall.NewID(ringwall.PrefixHold, time.Now()))
	s.change(func(d *api.Desired) {
		d.Holds = append(d.Holds, api.Hold{ID: id, Device: d.Devices[0].Device, Do: r, By: "usr_test", Reason: "test", Made: time.Now()})
	})
	return id
}

// open enrols a client, or opens it again.
func (s *site) open(dir string, change func(*sdk.Config)) *sdk.Client {
	s.t.Helper()
	cfg := sdk.Config{State: dir, Platform: s.enrol.URL, Token: "once", CA: s.ca, Name: "test", Address: netip.MustParseAddr("192.0.2.77"), Resolver: fixed{}}
	if change != nil {
		change(&cfg)
	}
	c, err := sdk.Open(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// await waits until f holds.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 seconds", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// inForce waits until the client has the site's newest generation.
func (s *site) inForce(c *sdk.Client) {
	s.t.Helper()
	await(s.t, "the newest policy is in force", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return c.Status().Generation == s.doc.Generation
	})
}

// records returns the stored records of a kind.
func (s *site) records(kind api.RecordKind) (out []api.Record) {
	s.t.Helper()
	if _, err := s.store.Scan(s.t.Context(), segment.Cursor{}, func(_ ringwall.GatewayID, _ ringwall.OrgID, r api.Record) error {
		if r.Kind == kind {
			r.Data, r.Bin = append([]byte(nil), r.Data...), append([]byte(nil), r.Bin...)
			out = append(out, r)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) flows() (out []flow.Record) {
	s.t.Helper()
	for _, r := range s.records(api.RecordFlow) {
		var f flow.Record
		if err := f.UnmarshalBinary(r.Bin); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// sent waits until the platform has all reports.
func (s *site) sent(c *sdk.Client) {
	s.t.Helper()
	if err := c.SyncReports(); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, "all reports are stored", func() bool { return c.Status().Waiting == 0 })
}

// fixed resolves the names of the tests, all to this machine.
type fixed map[string][]netip.Addr

func (f fixed) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := f[host]; ok {
		return a, nil
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// Terms of the tests. Names resolve to this machine, which a term has to want.
func allowName(id, domain string, in *api.Inside) api.Term {
	return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, Domain: domain, Proto: "tcp", Inside: in, Private: true}
}

func allowNet(id string, d api.Direction, cidr, proto string) api.Term {
	return api.Term{ID: id, Action: api.Allow, Direction: d, CIDR: netip.MustParsePrefix(cidr), Proto: proto}
}
