package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

const (
	caLife      = 10 * 365 * 24 * time.Hour
	GatewayLife = 30 * 24 * time.Hour // of a gateway's certificate; it renews at two thirds
	serverLife  = 90 * 24 * time.Hour // made anew at every start, and by Server when it is asked past two thirds
	// backdate lets a peer whose clock runs a little behind take a fresh
	// certificate.
	backdate = 10 * time.Minute

	maxCSR = 16 << 10
)

// SpineName is a DNS name that every server certificate carries, for clients
// that dial an address which the certificate does not name.
const SpineName = "spine.ringwall.internal"

// Authority is the embedded certification authority: one ECDSA P-256 root that
// signs gateways and this platform's own servers, nothing else.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	now  func() time.Time
}

// OpenAuthority reads ca.key and ca.crt in dir, or makes them.
func OpenAuthority(dir string, now func() time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of keys: %w", err)
	}
	key, err := loadKey(filepath.Join(dir, "ca.key"), func() (*ecdsa.PrivateKey, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	})
	if err != nil {
		return nil, err
	}
	a := &Authority{key: key, now: now}
	path := filepath.Join(dir, "ca.crt")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a, a.selfSign(path)
	case err != nil:
		return nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q holds no certificate", path)
	}
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q holds no certificate: %w", path, err)
	}
	if pub, ok := a.cert.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(&key.PublicKey) {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q belongs to another key than ca.key", path)
	}
	return a, nil
}

func (a *Authority) selfSign(path string) error {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Ringwall authority"},
		NotBefore: a.now().Add(-backdate), NotAfter: a.now().Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("signing the authority's certificate: %w", err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("reading the authority's certificate: %w", err)
	}
	if err := createFile(path, pemCert(der)); err != nil {
		return fmt.Errorf("keeping the authority's certificate: %w", err)
	}
	return nil
}

// Certificate returns the authority's certificate as PEM.
func (a *Authority) Certificate() []byte { return pemCert(a.cert.Raw) }

// Pin returns the SHA-256 of the certificate, in hex: what a gateway that does
// not know the authority yet is told to expect.
func (a *Authority) Pin() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Pool returns the pool that holds the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Server returns a fresh server certificate with a fresh key for these names,
// which may be IP addresses. Loopback and SpineName are always in it.
func (a *Authority) Server(names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a server key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Ringwall platform"},
		NotBefore: a.now().Add(-backdate), NotAfter: a.now().Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, n := range append([]string{"localhost", "127.0.0.1", "::1", SpineName}, names...) {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if n != "" {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("signing a server certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

// Gateway is a certificate that was issued to a gateway.
type Gateway struct {
	PEM     []byte // chain, leaf first
	Serial  string
	Expires time.Time
}

// SignGateway signs the key in csr (PEM, PKCS #10 of RFC 2986) for a gateway.
// The request proves that its sender holds the key; all names in it are
// ignored. Codes: Invalid for what is no request or holds a key of another
// kind than ECDSA P-256, P-384 or Ed25519; Unverified when its signature does
// not hold.
func (a *Authority) SignGateway(org ringwall.OrgID, gw ringwall.GatewayID, csr []byte) (Gateway, error) {
	if !ringwall.ValidID(ringwall.PrefixOrg, string(org)) || !ringwall.ValidID(ringwall.PrefixGateway, string(gw)) {
		return Gateway{}, ringwall.Errorf(ringwall.Invalid, "gateway %.40q of organisation %.40q is no name for a certificate", gw, org)
	}
	req, err := parseCSR(csr)
	if err != nil {
		return Gateway{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: string(gw), Organization: []string{string(org)}},
		URIs:      []*url.URL{gatewayURI(org, gw)},
		NotBefore: a.now().Add(-backdate), NotAfter: a.now().Add(GatewayLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, req.PublicKey, a.key)
	if err != nil {
		return Gateway{}, fmt.Errorf("signing the certificate of gateway %q: %w", gw, err)
	}
	return Gateway{
		PEM: append(pemCert(der), a.Certificate()...), Serial: template.SerialNumber.Text(16), Expires: template.NotAfter.UTC(),
	}, nil
}

func parseCSR(text []byte) (*x509.CertificateRequest, error) {
	if len(text) > maxCSR {
		return nil, ringwall.Errorf(ringwall.Invalid, "certificate request of %d bytes is over the limit of %d", len(text), maxCSR)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "certificate request is not one PEM block CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "certificate request cannot be read: %w", err)
	}
	switch key := req.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, ringwall.Errorf(ringwall.Invalid, "certificate request is for curve %s, want P-256 or P-384", key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, ringwall.Errorf(ringwall.Invalid, "certificate request is for a key of type %T, want ECDSA or Ed25519", req.PublicKey)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, ringwall.Errorf(ringwall.Unverified, "signature of the certificate request does not hold: %w", err)
	}
	return req, nil
}

func gatewayURI(org ringwall.OrgID, gw ringwall.GatewayID) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: "ringwall", Path: "/" + string(org) + "/gateway/" + string(gw)}
}

// GatewayOf returns the gateway that a certificate names. It does not verify
// the certificate: TLS has. Codes: Unverified for one that names no gateway.
func GatewayOf(cert *x509.Certificate) (ringwall.OrgID, ringwall.GatewayID, error) {
	refuse := ringwall.Errorf(ringwall.Unverified, "certificate names no gateway")
	if cert == nil || len(cert.URIs) != 1 {
		return "", "", refuse
	}
	u := cert.URIs[0]
	part := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Scheme != "spiffe" || u.Host != "ringwall" || len(part) != 3 || part[1] != "gateway" {
		return "", "", refuse
	}
	org, gw := ringwall.OrgID(part[0]), ringwall.GatewayID(part[2])
	if !ringwall.ValidID(ringwall.PrefixOrg, part[0]) || !ringwall.ValidID(ringwall.PrefixGateway, part[2]) || *u != *gatewayURI(org, gw) {
		return "", "", refuse
	}
	return org, gw, nil
}

// serial returns 127 random bits: positive, never zero in practice (RFC 5280
// section 4.1.2.2).
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("identity: the system's random source failed: " + err.Error())
	}
	return n.Add(n, big.NewInt(1))
}

func pemCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
