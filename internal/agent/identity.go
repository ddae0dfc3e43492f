package agent

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Identity is who this gateway is, as enrolment has made it.
type Identity struct {
	Org     ringwall.OrgID     `json:"org"`
	Gateway ringwall.GatewayID `json:"gateway"`
	Spine   []string           `json:"spine"`
	// SigningKeys are the Ed25519 keys that may sign a desired state, by id.
	SigningKeys map[string][]byte `json:"signingKeys"`
	Enrolled    time.Time         `json:"enrolled"`
}

// spineName is a DNS name that the platform's certificate always carries: the
// spine's addresses are often bare, and need not be in it.
const spineName = "spine.ringwall.internal"

// loadIdentity reads the identity from the state directory.
func (c Config) loadIdentity() (id Identity, err error) {
	b, err := os.ReadFile(c.path(identityFile))
	if errors.Is(err, os.ErrNotExist) {
		return id, &ringwall.Error{Code: ringwall.NotFound, Text: "this gateway is not enrolled", Hint: `enrol it with "ringwall-agent enrol"`}
	}
	if err != nil {
		return id, fmt.Errorf("reading the gateway's identity: %w", err)
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, ringwall.Errorf(ringwall.Invalid, "reading the gateway's identity: %w", err)
	}
	return id, id.check()
}

func (id Identity) check() error {
	switch {
	case !ringwall.ValidID(ringwall.PrefixOrg, string(id.Org)) || !ringwall.ValidID(ringwall.PrefixGateway, string(id.Gateway)):
		return ringwall.Errorf(ringwall.Invalid, "identity names gateway %.60q of %.60q, which are no ids", id.Gateway, id.Org)
	case len(id.Spine) == 0:
		return ringwall.Errorf(ringwall.Invalid, "identity names no spine")
	case len(id.SigningKeys) == 0:
		return ringwall.Errorf(ringwall.Invalid, "identity names no key that may sign a desired state")
	}
	for kid, k := range id.SigningKeys {
		if len(k) != ed25519.PublicKeySize {
			return ringwall.Errorf(ringwall.Invalid, "signing key %.60q has %d bytes, want %d", kid, len(k), ed25519.PublicKeySize)
		}
	}
	return nil
}

func (id Identity) keys() map[string]ed25519.PublicKey {
	out := map[string]ed25519.PublicKey{}
	for kid, k := range id.SigningKeys {
		out[kid] = k
	}
	return out
}

// adopt checks what the platform certified for key and writes it durably. The
// identity comes last: with it the gateway is enrolled.
func (c Config) adopt(answer api.EnrolAnswer, key *ecdsa.PrivateKey) (Identity, error) {
	id := Identity{Org: answer.Org, Gateway: answer.Gateway, Spine: answer.Spine, SigningKeys: answer.SigningKeys, Enrolled: c.Now().UTC()}
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("reading the platform's answer: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Identity{}, err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if _, err := tls.X509KeyPair([]byte(answer.Certificate), keyPEM); err != nil {
		return Identity{}, ringwall.Errorf(ringwall.Unverified, "the platform's answer certifies another key")
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(answer.CA)) {
		return Identity{}, ringwall.Errorf(ringwall.Invalid, "the platform's answer holds no authority")
	}
	b, err := json.MarshalIndent(id, "", "\t")
	if err != nil {
		return Identity{}, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{caFile, []byte(answer.CA)}, {pairFile, append(keyPEM, answer.Certificate...)}, {identityFile, append(b, '\n')}} {
		if err := c.Disk.WriteFile(siteIdentity, c.path(f.name), f.data, 0o600); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// newKey makes a key and the request to certify it. Names in it would be
// ignored: the platform sets them.
func newKey() (key *ecdsa.PrivateKey, csr string, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, "", err
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// pair reads the gateway's certificate and key.
func (c Config) pair() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(c.path(pairFile), c.path(pairFile))
	if err != nil {
		return cert, fmt.Errorf("reading the gateway's certificate: %w", err)
	}
	return cert, nil
}

// due reports whether two thirds of a certificate's life are over.
func due(cert *x509.Certificate, now time.Time) bool {
	life := cert.NotAfter.Sub(cert.NotBefore)
	return now.After(cert.NotBefore.Add(life / 3 * 2))
}

// tlsConfig returns what the gateway shows to the platform and demands of it.
// A gateway without a battery starts in 1970: certificates are then judged at
// the latest time that the platform has vouched for, given by floor.
func (c Config) tlsConfig(floor func() time.Time) (*tls.Config, error) {
	if _, err := c.pair(); err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(c.path(caFile))
	if err != nil {
		return nil, fmt.Errorf("reading the platform's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s holds no certificate", caFile)
	}
	return &tls.Config{
		// Read for each connection, since it is renewed.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := c.pair()
			return &cert, err
		},
		RootCAs: pool, ServerName: spineName, MinVersion: tls.VersionTLS13,
		Time: func() time.Time {
			now := c.Now()
			if f := floor(); now.Before(f) {
				return f
			}
			return now
		},
	}, nil
}
