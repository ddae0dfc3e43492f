// Package tlscheck looks at how a device speaks TLS: which versions it takes
// (CO-05) and what its certificate and key are worth (CO-06).
//
// It offers what Go's TLS has: versions 1.0 to 1.3. What only older clients
// could find out (SSL 3, export ciphers) stays unknown, and the findings say
// so. Nothing is sent inside the connection. Standards: RFC 8996 (TLS 1.0 and
// 1.1 are not to be used), RFC 5280 section 4.1.2.5 (validity).
package tlscheck

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the TLS probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "tls", Title: "TLS versions, certificate and key", Sends: "one handshake per version on each TLS port",
		Indicators: []string{"CO-05", "CO-06"}, Needs: []string{"https", "rtsps", "tls"}, Intrusion: assess.Asks,
	}
}

const (
	maxServices = 4
	handshakeIn = 5 * time.Second
	// minRSA is the least RSA modulus that is still called strong
	// (NIST SP 800-131A).
	minRSA = 2048
)

// Run looks at the TLS services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("https", "rtsps", "tls")
	for _, s := range services[:min(len(services), maxServices)] {
		takes := map[uint16]bool{}
		var cert *x509.Certificate
		for _, v := range []uint16{tls.VersionTLS13, tls.VersionTLS12, tls.VersionTLS11, tls.VersionTLS10} {
			if c, ok := shake(ctx, env.Net, t.AddrPort(s.Port), v); ok {
				takes[v] = true
				if cert == nil {
					cert = c
				}
			}
		}
		if len(takes) == 0 {
			continue
		}
		a.Findings = append(a.Findings, versions(s.Port, takes))
		if cert != nil {
			a.Findings = append(a.Findings, certificate(s.Port, cert, env.Now()))
		}
	}
	return a, nil
}

// shake makes one handshake with exactly this version.
func shake(ctx context.Context, n assess.Network, address string, version uint16) (*x509.Certificate, bool) {
	ctx, cancel := context.WithTimeout(ctx, handshakeIn)
	defer cancel()
	raw, err := n.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, false
	}
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}) // it is judged here, not trusted
	if c.HandshakeContext(ctx) != nil {
		return nil, false
	}
	if cs := c.ConnectionState().PeerCertificates; len(cs) > 0 {
		return cs[0], true
	}
	return nil, true
}

func versions(port uint16, takes map[uint16]bool) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-05", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: fmt.Sprintf("TLS on port %d takes current versions only", port)}
	for _, v := range []uint16{tls.VersionTLS13, tls.VersionTLS12, tls.VersionTLS11, tls.VersionTLS10} {
		if takes[v] {
			f.Evidence = append(f.Evidence, "takes "+tls.VersionName(v))
		}
	}
	f.Evidence = append(f.Evidence, "SSL 3 and export ciphers were not offered")
	old := takes[tls.VersionTLS10] || takes[tls.VersionTLS11]
	switch {
	case old && !takes[tls.VersionTLS12] && !takes[tls.VersionTLS13]:
		f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("TLS on port %d takes nothing newer than TLS 1.1", port)
	case old:
		f.Outcome, f.Title = ringwall.Partial, fmt.Sprintf("TLS on port %d still takes TLS 1.0 or 1.1", port)
	}
	return f
}

func certificate(port uint16, c *x509.Certificate, now time.Time) ringwall.Finding {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	f := ringwall.Finding{
		Indicator: "CO-06", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
		Title: fmt.Sprintf("the certificate on port %d is valid and its key strong", port),
		// The fleet finds the same key on two devices by this.
		Facts: map[string]string{"keySHA256": hex.EncodeToString(sum[:]), "port": fmt.Sprint(port)},
	}
	fail := func(title string) {
		f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("%s (port %d)", title, port)
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		f.Evidence = append(f.Evidence, fmt.Sprintf("RSA key of %d bits", k.N.BitLen()))
		if k.N.BitLen() < minRSA {
			fail(fmt.Sprintf("its key has only %d bits", k.N.BitLen()))
		}
	case *ecdsa.PublicKey:
		f.Evidence = append(f.Evidence, "ECDSA key on "+k.Params().Name)
	case ed25519.PublicKey:
		f.Evidence = append(f.Evidence, "Ed25519 key")
	default:
		fail("its key is of a kind we cannot judge")
		f.Outcome = ringwall.Unknown
	}
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		fail("its certificate is signed with " + c.SignatureAlgorithm.String())
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("valid from %s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly)))
	switch {
	case now.After(c.NotAfter):
		fail("its certificate has expired")
	case now.Before(c.NotBefore):
		fail("its certificate is not valid yet")
	}
	return f
}
