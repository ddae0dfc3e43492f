package tlscheck

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	// minRSA is the least RSA modulus that is still called strong (NIST SP
	// 800-131A), minEC the least curve.
	minRSA, minEC = 2048, 224
	// soon is how long before the end of a certificate somebody should act.
	soon = 30 * 24 * time.Hour
)

// certificate answers CO-06 for one port from the chain that it shows, own
// certificate first.
func certificate(port uint16, name string, chain [][]byte, now time.Time) (ringwall.Finding, []api.SecretMark) {
	f := ringwall.Finding{
		Indicator: "CO-06", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
		Title: fmt.Sprintf("the certificate on port %d is valid and its key strong", port),
		Facts: map[string]string{"port": fmt.Sprint(port)},
	}
	worsen := func(o ringwall.Outcome, format string, args ...any) {
		if f.Outcome == ringwall.Pass || o == ringwall.Fail && f.Outcome != ringwall.Fail {
			f.Outcome, f.Title = o, fmt.Sprintf("%s (port %d)", fmt.Sprintf(format, args...), port)
		}
	}
	whole := sha256.Sum256(chain[0])
	f.Facts["certificateSHA256"] = hex.EncodeToString(whole[:])
	marks := []api.SecretMark{{Kind: "certificate", Mark: f.Facts["certificateSHA256"], Path: fmt.Sprintf("tcp/%d", port)}}
	c, err := x509.ParseCertificate(chain[0])
	if err != nil {
		f.Outcome, f.Title = ringwall.Unknown, fmt.Sprintf("the certificate on port %d cannot be read", port)
		f.Evidence = []string{strings.TrimPrefix(err.Error(), "x509: ")}
		return f, marks
	}
	// By this the fleet finds the same key on two devices, or in an image.
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	f.Facts["keySHA256"] = hex.EncodeToString(sum[:])
	f.Facts["subject"] = printable(c.Subject.String())
	f.Evidence = append(f.Evidence, "subject "+printable(c.Subject.String()))
	key(c, &f, worsen)
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1:
		worsen(ringwall.Fail, "its certificate is signed with %v", c.SignatureAlgorithm)
	}
	f.Evidence = append(f.Evidence,
		fmt.Sprintf("valid from %s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly)), fmt.Sprintf("signed with %v", c.SignatureAlgorithm))
	switch {
	case now.After(c.NotAfter):
		worsen(ringwall.Fail, "its certificate has expired")
	case now.Before(c.NotBefore):
		worsen(ringwall.Fail, "its certificate is not valid yet")
	case c.NotAfter.Sub(now) < soon && c.NotAfter.Sub(c.NotBefore) > 2*soon:
		worsen(ringwall.Partial, "its certificate expires within %d days", int(soon.Hours()/24))
	}
	f.Facts["notAfter"] = c.NotAfter.UTC().Format(time.RFC3339)
	if c.Issuer.String() == c.Subject.String() {
		f.Evidence = append(f.Evidence, "it is signed by itself: a peer can only know it by its fingerprint")
		f.Facts["selfSigned"] = "true"
	}
	if _, err := netip.ParseAddr(name); err != nil && name != "" && !strings.Contains(name, "/") {
		if c.VerifyHostname(name) != nil {
			f.Evidence = append(f.Evidence, "it does not name "+printable(name))
		}
	}
	return f, append(marks, api.SecretMark{Kind: "public-key", Mark: f.Facts["keySHA256"], Path: marks[0].Path})
}

// key judges the public key.
func key(c *x509.Certificate, f *ringwall.Finding, worsen func(ringwall.Outcome, string, ...any)) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		f.Evidence = append(f.Evidence, fmt.Sprintf("RSA key of %d bits, exponent %d", k.N.BitLen(), k.E))
		if k.N.BitLen() < minRSA {
			worsen(ringwall.Fail, "its key has only %d bits", k.N.BitLen())
		}
		if k.E < 3 || k.N.Bit(0) == 0 {
			worsen(ringwall.Fail, "its key is no RSA key: anybody can compute its private half")
		}
	case *ecdsa.PublicKey:
		f.Evidence = append(f.Evidence, "ECDSA key on "+k.Params().Name)
		if k.Params().BitSize < minEC {
			worsen(ringwall.Fail, "its key has only %d bits", k.Params().BitSize)
		}
	case ed25519.PublicKey:
		f.Evidence = append(f.Evidence, "Ed25519 key")
	default:
		f.Evidence = append(f.Evidence, "its key is of a kind that cannot be judged: "+c.PublicKeyAlgorithm.String())
		worsen(ringwall.Unknown, "its key is of a kind that cannot be judged")
	}
}

// printable makes a certificate's words safe to show: one line of 120
// characters.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120]) + "…"
	}
	return s
}
