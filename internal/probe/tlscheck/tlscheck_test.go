package tlscheck

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
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
			probetest.Want(t, a.Findings, "CO-05", tt.co5, ringwall.Observed)
			probetest.Want(t, a.Findings, "CO-06", tt.co6, ringwall.Observed)
		})
	}
}

func TestProbe_notTLS(t *testing.T) {
	addr := probetest.Serve(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400\r\n\r\n")) })
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "tls", addr)), probetest.Target())
	if err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v of a peer without TLS", a.Findings, err)
	}
}
