package dnsguard_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// secure is a resolver over TLS.
type secure struct {
	addr    netip.AddrPort
	pin     string
	roots   *x509.CertPool
	opened  atomic.Int64
	padding atomic.Int64
}

func newSecure(t *testing.T) *secure {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"resolver.example"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	s := &secure{pin: base64.StdEncoding.EncodeToString(sum[:]), roots: x509.NewCertPool()}
	s.roots.AddCert(cert)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	s.addr = l.Addr().(*net.TCPAddr).AddrPort()
	srv := &dns.Server{Listener: tls.NewListener(&counting{l, &s.opened}, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}),
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
			s.padding.Store(int64(req.Len() % 128))
			m := new(dns.Msg)
			m.SetReply(req)
			m.Answer = []dns.RR{rr(t, strings.ToLower(req.Question[0].Name)+" 0 IN A 198.51.100.20")}
			w.WriteMsg(m)
		})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { srv.Shutdown() })
	return s
}

type counting struct {
	net.Listener
	n *atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func TestGuard_resolversOverTLS(t *testing.T) {
	s, clear := newSecure(t), newUpstream(t, zoneOf(t, "cloud.example. 0 IN A 198.51.100.66"))
	wrong := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		name      string
		resolvers []api.Resolver
		roots     *x509.CertPool
		want      string
	}{
		{"pinned", []api.Resolver{{Addr: s.addr, Pins: []string{wrong, s.pin}}}, nil, "198.51.100.20"},
		{"pinned to another key", []api.Resolver{{Addr: s.addr, Pins: []string{wrong}}}, s.roots, ""},
		{"by name", []api.Resolver{{Addr: s.addr, Name: "resolver.example"}}, s.roots, "198.51.100.20"},
		{"by another name", []api.Resolver{{Addr: s.addr, Name: "other.example"}}, s.roots, ""},
		{"by an authority that is not ours", []api.Resolver{{Addr: s.addr, Name: "resolver.example"}}, x509.NewCertPool(), ""},
		{"one that speaks no TLS", []api.Resolver{{Addr: clear.addr, Name: "resolver.example"}}, s.roots, ""},
		{"the second of two", []api.Resolver{{Addr: s.addr, Pins: []string{wrong}}, {Addr: s.addr, Pins: []string{s.pin}}}, nil, "198.51.100.20"},
		{"in clear, when that is what is wanted", []api.Resolver{{Addr: clear.addr}}, nil, "198.51.100.66"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dns.json")
			p := testPolicy(clear.addr)
			p.Resolvers = c.resolvers
			must(t, rulefile.Put(path, p, nil))
			binder := &memBinder{}
			g, err := dnsguard.New(dnsguard.Config{PolicyFile: path, Listen: "127.0.0.1:0", Firewall: binder, Roots: c.roots})
			must(t, err)
			opened := s.opened.Load()
			tries := 5
			if c.want == "" {
				tries = 1 // it waits
			}
			for range tries {
				m := g.Answer(t.Context(), cam, query("cloud.example", dns.TypeA))
				switch {
				case c.want == "" && (m.Rcode != dns.RcodeServerFailure || len(binder.list) > 0):
					t.Fatalf("answered %v", m)
				case c.want != "" && (len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != c.want):
					t.Fatalf("answered %v, want %s", m, c.want)
				}
			}
			if n := s.opened.Load() - opened; c.name == "pinned" && n != 1 {
				t.Errorf("%d connections for 5 questions, want 1", n)
			}
		})
	}
	if s.padding.Load() != 0 {
		t.Errorf("a question over TLS is not padded: %d octets above a block", s.padding.Load())
	}
}
