package sdk

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Identity is who a Client is, as enrolment has made it.
type Identity struct {
	Org ringwall.OrgID `json:"org"`
	// Gateway is its id among those that enrol: the application is a gateway before
	// itself.
	Gateway     ringwall.GatewayID `json:"gateway"`
	Uplink      []string           `json:"uplink"`
	SigningKeys map[string][]byte  `json:"signingKeys"`
	Enrolled    time.Time          `json:"enrolled"`
}

// platformName is a DNS name that the platform's certificate always carries.
const platformName = "spine.ringwall.internal"

// enrolTimeout bounds the exchange, maxAnswer what is read of the answer.
const (
	enrolTimeout = 30 * time.Second
	maxAnswer    = 1 << 20
)

func (c Config) loadIdentity() (id Identity, err error) {
	b, err := os.ReadFile(c.path(identityFile))
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, ringwall.Errorf(ringwall.Invalid, "reading the client's identity: %w", err)
	}
	return id, id.check()
}

func (id Identity) check() error {
	if !ringwall.ValidID(ringwall.PrefixOrg, string(id.Org)) || !ringwall.ValidID(ringwall.PrefixGateway, string(id.Gateway)) {
		return ringwall.Errorf(ringwall.Invalid, "identity names client %.60q of %.60q, which are no ids", id.Gateway, id.Org)
	}
	if len(id.Uplink) == 0 || len(id.SigningKeys) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "identity names no way to the platform, or no key that may sign a desired state")
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

// identity returns who the client is; it enrols when that is not known yet.
func (c Config) identity(ctx context.Context) (Identity, error) {
	id, err := c.loadIdentity()
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return id, err
	}
	if c.Token == "" {
		return id, &ringwall.Error{Code: ringwall.NotFound, Text: "this client is not enrolled", Hint: `give a one-time token: "ringwall gateway token" makes one`}
	}
	return c.enrol(ctx)
}

// enrol makes a key, has it certified and keeps both. Neither token nor key is in
// any error or log.
func (c Config) enrol(ctx context.Context) (Identity, error) {
	u, err := url.Parse(c.Platform)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return Identity{}, ringwall.Errorf(ringwall.Invalid, "the platform's address must be of the form https://host:port")
	}
	conf, err := c.trust()
	if err != nil {
		return Identity{}, err
	}
	key, csr, err := newKey()
	if err != nil {
		return Identity{}, err
	}
	name := c.Name
	if name == "" {
		name = filepath.Base(os.Args[0])
	}
	answer, err := post(ctx, conf, u.JoinPath("/v1/enrol").String(), api.EnrolRequest{Token: c.Token, CSR: csr, Name: name})
	if err != nil {
		return Identity{}, err
	}
	return c.adopt(answer, key)
}

// trust returns a TLS configuration that knows the platform by its authority.
// Trust on first use would let whoever is in between enrol the client to himself.
func (c Config) trust() (*tls.Config, error) {
	if (c.CA == "") == (c.Pin == "") {
		return nil, ringwall.Errorf(ringwall.Invalid, "to enrol, either the platform's authority (CA) or its pin (Pin) has to be known")
	}
	if c.CA != "" {
		pool, err := readPool(c.CA)
		return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, err
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(c.Pin, "sha256:"), ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, ringwall.Errorf(ringwall.Invalid, "the pin must be a SHA-256 in hex")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection verifies, against the pinned authority
		VerifyConnection: func(s tls.ConnectionState) error {
			roots, others, found := x509.NewCertPool(), x509.NewCertPool(), false
			for _, cert := range s.PeerCertificates {
				if sum := sha256.Sum256(cert.Raw); subtle.ConstantTimeCompare(sum[:], pin) == 1 {
					roots.AddCert(cert)
					found = true
				} else {
					others.AddCert(cert)
				}
			}
			if !found {
				return ringwall.Errorf(ringwall.Unverified, "the platform does not show the pinned authority")
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: s.ServerName, CurrentTime: c.Now()})
			return err
		},
	}, nil
}

func readPool(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the platform's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q holds no certificate", path)
	}
	return pool, nil
}

func post(ctx context.Context, conf *tls.Config, address string, in api.EnrolRequest) (out api.EnrolAnswer, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	tr := &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error {
		return ringwall.Errorf(ringwall.Unverified, "the platform redirects, and a token follows nobody")
	}}
	resp, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*ringwall.Error](err); ok {
			return out, e
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return out, ringwall.Errorf(ringwall.Unverified, "the platform's certificate does not hold: %w", err)
		}
		return out, ringwall.Errorf(ringwall.Unavailable, "enrolling: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return out, ringwall.Errorf(ringwall.Unavailable, "reading the platform's answer: %w", err)
	case len(b) > maxAnswer:
		return out, ringwall.Errorf(ringwall.Invalid, "the platform's answer is over %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated:
		code := ringwall.Invalid
		switch {
		case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
			code = ringwall.Forbidden
		case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
			code = ringwall.Unavailable
		}
		var p api.Problem
		_ = json.Unmarshal(b, &p) // whatever it is, the status says enough
		return out, ringwall.Errorf(code, "the platform refuses to enrol this client (%d): %.200s", resp.StatusCode, p.Detail)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, ringwall.Errorf(ringwall.Invalid, "reading the platform's answer: %w", err)
	}
	return out, nil
}

// newKey makes a key and the request to certify it.
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

// adopt checks what the platform certified for key and writes it durably, the
// identity last: with it the client is enrolled.
func (c Config) adopt(answer api.EnrolAnswer, key *ecdsa.PrivateKey) (Identity, error) {
	id := Identity{
		Org: answer.Org, Gateway: answer.Gateway, Uplink: append(append([]string{}, answer.MQTT...), answer.Spine...), SigningKeys: answer.SigningKeys, Enrolled: c.Now().UTC(),
	}
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

func (c Config) pair() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(c.path(pairFile), c.path(pairFile))
	if err != nil {
		return cert, fmt.Errorf("reading the client's certificate: %w", err)
	}
	return cert, nil
}

// uplinkTLS returns what the client shows to the platform and demands of it.
// Without a battery a clock starts in 1970: certificates are then judged at the
// latest time that is known to have been, given by floor.
func (c Config) uplinkTLS(floor func() time.Time) (*tls.Config, error) {
	if _, err := c.pair(); err != nil {
		return nil, err
	}
	pool, err := readPool(c.path(caFile))
	return &tls.Config{
		// Read for each connection, since it is renewed.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := c.pair()
			return &cert, err
		},
		RootCAs: pool, ServerName: platformName, MinVersion: tls.VersionTLS12,
		Time: func() time.Time {
			now := c.Now()
			if f := floor(); now.Before(f) {
				return f
			}
			return now
		},
	}, err
}

// due reports whether two thirds of a certificate's life are over.
func due(cert *x509.Certificate, now time.Time) bool {
	return now.After(cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2))
}
