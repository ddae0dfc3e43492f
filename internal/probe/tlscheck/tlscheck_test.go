package tlscheck

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func certFor(t *testing.T, key crypto.Signer, until time.Time) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cam"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func probe(t *testing.T, c *tls.Config) assess.Answer {
	t.Helper()
	addr := probetest.Serve(t, func(conn net.Conn) { _ = tls.Server(conn, c).Handshake() })
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "https", addr)), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestProbe(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fresh, expired := certFor(t, key, time.Now().Add(time.Hour)), certFor(t, key, time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		name     string
		min, max uint16
		cert     tls.Certificate
		co5, co6 ringwall.Outcome
	}{
		{"modern", tls.VersionTLS12, tls.VersionTLS13, fresh, ringwall.Pass, ringwall.Pass},
		{"old beside new", tls.VersionTLS10, tls.VersionTLS12, fresh, ringwall.Partial, ringwall.Pass},
		{"old only", tls.VersionTLS10, tls.VersionTLS11, fresh, ringwall.Fail, ringwall.Pass},
		{"expired", tls.VersionTLS12, tls.VersionTLS13, expired, ringwall.Pass, ringwall.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := probe(t, &tls.Config{MinVersion: tt.min, MaxVersion: tt.max, Certificates: []tls.Certificate{tt.cert}})
			probetest.Want(t, a.Findings, "CO-05", tt.co5, ringwall.Confirmed)
			probetest.Want(t, a.Findings, "CO-06", tt.co6, ringwall.Observed)
		})
	}
}

// old answers hellos as servers of another age do: it picks the first suite that
// choose takes at the highest version up to newest, and ends its answer.
func old(newest uint16, choose func(uint16) bool, dh int) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil || n < 50 || b[0] != 22 {
			return
		}
		version := min(uint16(b[9])<<8|uint16(b[10]), newest)
		session := int(b[43])
		at := 44 + session
		suites := b[at+2 : at+2+int(b[at])<<8+int(b[at+1])]
		for ; len(suites) >= 2; suites = suites[2:] {
			suite := uint16(suites[0])<<8 | uint16(suites[1])
			if suite == 0x00ff || !choose(suite) || version == ssl3 && newest != ssl3 {
				continue
			}
			msg := func(kind byte, body []byte) []byte {
				return append([]byte{kind, 0, byte(len(body) >> 8), byte(len(body))}, body...)
			}
			hello := append([]byte{byte(version >> 8), byte(version)}, make([]byte, 32)...)
			hello = append(hello, 0, byte(suite>>8), byte(suite), 0)
			out := msg(2, hello)
			if dh > 0 {
				prime := append([]byte{0x80}, make([]byte, dh/8-1)...)
				out = append(out, msg(12, append([]byte{byte(len(prime) >> 8), byte(len(prime))}, prime...))...)
			}
			out = append(out, msg(14, nil)...)
			_, _ = c.Write(append([]byte{22, 3, 1, byte(len(out) >> 8), byte(len(out))}, out...))
			return
		}
		_, _ = c.Write([]byte{21, 3, 1, 0, 2, 2, 40})
	}
}

func TestProbe_oldServers(t *testing.T) {
	one := func(want ...uint16) func(uint16) bool {
		return func(s uint16) bool { return slices.Contains(want, s) }
	}
	for _, tt := range []struct {
		name, says string
		serve      func(net.Conn)
		want       ringwall.Outcome
	}{
		{"SSL 3 only", "takes nothing newer than SSL 3", old(ssl3, one(0x002f), 0), ringwall.Fail},
		{"export", "export ciphers of 40 bits", old(tls12, one(0x0003, 0xc02f), 0), ringwall.Fail},
		{"NULL", "no encryption (NULL)", old(tls12, one(0x0002, 0xc02f), 0), ringwall.Fail},
		{"anonymous", "no authentication", old(tls12, one(0x0034, 0xc02f), 0), ringwall.Fail},
		{"RC4", "RC4", old(tls12, one(0x0005, 0xc02f), 0), ringwall.Fail},
		{"no forward secrecy", "TLS 1.0 or 1.1", old(tls12, one(0x002f), 0), ringwall.Partial},
		{"a small prime", "prime of 512 bits", old(tls12, one(0x009e, 0x0033), 512), ringwall.Fail},
		{"yes to everything", "takes anything", old(tls12, func(uint16) bool { return true }, 0), ringwall.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := probetest.Serve(t, tt.serve)
			a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "tls", addr)), probetest.Target())
			if err != nil {
				t.Fatal(err)
			}
			probetest.Want(t, a.Findings, "CO-05", tt.want, ringwall.Confirmed)
			f := probetest.Find(a.Findings, "CO-05")
			if story := f.Title + strings.Join(f.Evidence, "\n"); !strings.Contains(story, tt.says) {
				t.Errorf("does not tell of %q: %s", tt.says, story)
			}
		})
	}
}

func TestProbe_ssl2(t *testing.T) {
	addr := probetest.Serve(t, func(c net.Conn) {
		b := make([]byte, 512)
		n, err := c.Read(b)
		if err != nil || n < 5 || b[0] != 0x80 {
			old(tls12, func(s uint16) bool { return s == 0xc02f }, 0)(replay{c, b[:n]})
			return
		}
		body := []byte{4, 0, 1, 0, 2, 0, 4, 0, 3, 0, 16}
		body = append(append(body, make([]byte, 4)...), 7, 0, 0xc0)
		_, _ = c.Write(append([]byte{0x80, byte(len(body))}, body...))
	})
	if !takes2(t.Context(), probetest.Host{}, addr) {
		t.Error("SSL 2 was not seen")
	}
}

// replay is a connection whose first bytes were read already.
type replay struct {
	net.Conn
	first []byte
}

func (r replay) Read(b []byte) (int, error) { return copy(b, r.first), nil }

// TestProbe_hostile answers with records that claim to be huge, never end, or
// come a byte a second.
func TestProbe_hostile(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"a giant record":  func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 3, 0xff, 0xff, 2, 0xff, 0xff, 0xff}) },
		"a giant message": func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 3, 0, 4, 2, 0xff, 0xff, 0xff}) },
		"endless warnings": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte{21, 3, 3, 0, 2, 1, 112}); err != nil {
					return
				}
			}
		},
	} {
		addr := probetest.Serve(t, serve)
		a, err := shake(t.Context(), probetest.Host{}, addr, hello{version: tls12, suites: classic()})
		if err == nil {
			t.Errorf("%s was taken as %+v", name, a)
		}
	}
}

func TestCertificate_marksItsKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	one, m1 := certificate(443, "cam.example", certFor(t, key, now.Add(400*24*time.Hour)).Certificate, now)
	_, m2 := certificate(8443, "10.0.0.1", certFor(t, key, now.Add(time.Hour)).Certificate, now)
	if len(m1) != 2 || len(m2) != 2 || m1[1].Mark != m2[1].Mark || m1[0].Mark == m2[0].Mark || m1[0].Path != "tcp/443" {
		t.Errorf("one key has marks %+v and %+v", m1, m2)
	}
	if one.Outcome != ringwall.Pass || !strings.Contains(strings.Join(one.Evidence, "\n"), "does not name cam.example") {
		t.Errorf("%v %q", one.Outcome, one.Evidence)
	}
	if f, _ := certificate(443, "", certFor(t, weak, now.Add(time.Hour)).Certificate, now); f.Outcome != ringwall.Fail {
		t.Errorf("a key of 1024 bits is %v", f.Outcome)
	}
	if f, m := certificate(443, "", [][]byte{{0x30, 0x03, 1, 2, 3}}, now); f.Outcome != ringwall.Unknown || len(m) != 1 {
		t.Errorf("garbage is %v", f.Outcome)
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 4, 14, 0, 0, 0})
	f.Add([]byte{21, 3, 1, 0, 2, 2, 40})
	f.Add(append([]byte{22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3}, make([]byte, 36)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b))
		if err == nil && len(a.certificates) > maxChain {
			t.Fatal(len(a.certificates))
		}
		IsTLS(b)
		isHello2(b)
	})
}

func TestProbe_notTLS(t *testing.T) {
	addr := probetest.Serve(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400\r\n\r\n")) })
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "tls", addr)), probetest.Target())
	if err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v of a peer without TLS", a.Findings, err)
	}
}
