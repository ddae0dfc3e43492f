package agent

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
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

// save writes the identity and its key durably. identity.json comes last: with
// it the gateway is enrolled.
func (id Identity) save(c Config, key, cert, ca []byte) error {
	b, err := json.MarshalIndent(id, "", "\t")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{keyFile, key}, {certFile, cert}, {caFile, ca}, {identityFile, append(b, '\n')}} {
		if err := durable.WriteFile(c.path(f.name), f.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tlsConfig returns what the gateway shows to the platform and demands of it.
// A gateway without a battery starts in 1970: certificates are then judged at
// the latest time that the platform has vouched for, given by floor.
func (c Config) tlsConfig(floor func() time.Time) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.path(certFile), c.path(keyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's certificate: %w", err)
	}
	pem, err := os.ReadFile(c.path(caFile))
	if err != nil {
		return nil, fmt.Errorf("reading the platform's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s holds no certificate", caFile)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: spineName, MinVersion: tls.VersionTLS13,
		Time: func() time.Time {
			now := c.Now()
			if f := floor(); now.Before(f) {
				return f
			}
			return now
		},
	}, nil
}
