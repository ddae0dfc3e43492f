package enrol

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
)

// platformName is a DNS name that the platform's certificate always carries: its
// addresses are often bare, and need not be in it.
const platformName = "spine.ringwall.internal"

// Store is where an identity is kept.
type Store struct {
	Dir                       string
	Identity, Pair, Authority string // names of the files
	Disk                      *durable.Disk
	Site                      durable.Site
	Now                       func() time.Time
}

func (s Store) path(name string) string { return filepath.Join(s.Dir, name) }

// CheckIdentity checks what every identity has. Codes: Invalid.
func CheckIdentity(org ringwall.OrgID, gw ringwall.GatewayID, keys map[string][]byte) error {
	if !ringwall.ValidID(ringwall.PrefixOrg, string(org)) || !ringwall.ValidID(ringwall.PrefixGateway, string(gw)) {
		return ringwall.Errorf(ringwall.Invalid, "identity names gateway %.60q of %.60q, which are no ids", gw, org)
	}
	if len(keys) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "identity names no key that may sign a desired state")
	}
	for id, k := range keys {
		if len(k) != ed25519.PublicKeySize {
			return ringwall.Errorf(ringwall.Invalid, "signing key %.60q has %d bytes, want %d", id, len(k), ed25519.PublicKeySize)
		}
	}
	return nil
}

// Keys returns the keys of an identity that was checked, as keys.
func Keys(keys map[string][]byte) map[string]ed25519.PublicKey {
	out := make(map[string]ed25519.PublicKey, len(keys))
	for id, k := range keys {
		out[id] = k
	}
	return out
}

// Adopt checks what the platform certified for key and writes it durably, with
// what of it makes the identity. That comes last: with it the machine is enrolled.
func (s Store) Adopt(answer api.EnrolAnswer, key *ecdsa.PrivateKey, identity any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if _, err := tls.X509KeyPair([]byte(answer.Certificate), keyPEM); err != nil {
		return ringwall.Errorf(ringwall.Unverified, "the platform's answer certifies another key")
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(answer.CA)) {
		return ringwall.Errorf(ringwall.Invalid, "the platform's answer holds no authority")
	}
	b, err := json.MarshalIndent(identity, "", "\t")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{s.Authority, []byte(answer.CA)}, {s.Pair, append(keyPEM, answer.Certificate...)}, {s.Identity, append(b, '\n')}} {
		if err := s.Disk.WriteFile(s.Site, s.path(f.name), f.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// KeyPair reads the certificate and its key.
func (s Store) KeyPair() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(s.path(s.Pair), s.path(s.Pair))
	if err != nil {
		return cert, fmt.Errorf("reading the certificate of this machine: %w", err)
	}
	return cert, nil
}

// Due reports whether two thirds of a certificate's life are over.
func Due(cert *x509.Certificate, now time.Time) bool {
	life := cert.NotAfter.Sub(cert.NotBefore)
	return now.After(cert.NotBefore.Add(life / 3 * 2))
}

// TLS returns what is shown to the platform and demanded of it. Floor returns the
// latest time that is known to have been.
func (s Store) TLS(least uint16, floor func() time.Time) (*tls.Config, error) {
	if _, err := s.KeyPair(); err != nil {
		return nil, err
	}
	pool, err := readPool(s.path(s.Authority))
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := s.KeyPair()
			return &cert, err
		},
		RootCAs: pool, ServerName: platformName, MinVersion: least,
		Time: func() time.Time {
			now := s.Now()
			if f := floor(); now.Before(f) {
				return f
			}
			return now
		},
	}, nil
}
