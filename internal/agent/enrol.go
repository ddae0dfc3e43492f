package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpone"
)

// EnrolConfig says where to enrol.
type EnrolConfig struct {
	Config
	// Platform is the address of the platform, such as "https://198.51.100.10:8443".
	Platform string
	Token    string // one-time
	Name     string // how people call this gateway
	// CA is the path of the platform's authority as PEM, or Pin the SHA-256 of
	// that authority's certificate as hex. One of them is needed: trust on first
	// use would let whoever is in between enrol the gateway to himself.
	CA, Pin string
	// Again replaces an identity that there is already.
	Again bool
}

// maxAnswer bounds what is read of the platform's answer.
const maxAnswer = 1 << 20

// enrolTimeout bounds the whole exchange.
const enrolTimeout = 30 * time.Second

// Enrol makes a key, has it certified, and keeps both in the state directory.
// The token and the key are in no error and no log.
func Enrol(ctx context.Context, c EnrolConfig) (Identity, error) {
	if c.State == "" {
		c.State = DefaultState
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if _, err := c.loadIdentity(); err == nil && !c.Again {
		return Identity{}, &ringwall.Error{Code: ringwall.Conflict, Text: "this gateway is enrolled already", Hint: "-again replaces its identity"}
	}
	u, err := url.Parse(c.Platform)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return Identity{}, ringwall.Errorf(ringwall.Invalid, "the platform's address must be of the form https://host:port")
	}
	conf, err := c.trust()
	if err != nil {
		return Identity{}, err
	}
	if err := c.Disk.MkdirAll(siteState, c.State, 0o700); err != nil {
		return Identity{}, fmt.Errorf("making the state directory: %w", err)
	}
	key, csr, err := newKey()
	if err != nil {
		return Identity{}, err
	}
	answer, err := post(ctx, conf, u.JoinPath("/v1/enrol").String(), api.EnrolRequest{Token: c.Token, Name: c.Name, CSR: csr})
	if err != nil {
		return Identity{}, err
	}
	return c.adopt(answer, key)
}

// trust returns a TLS configuration that knows the platform by its authority.
func (c EnrolConfig) trust() (*tls.Config, error) {
	switch {
	case (c.CA == "") == (c.Pin == ""):
		return nil, &ringwall.Error{Code: ringwall.Invalid, Text: "how to know the platform: give either -ca or -pin", Hint: `the platform prints both when it makes a token`}
	case c.CA != "":
		b, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(b) {
			return nil, ringwall.Errorf(ringwall.Invalid, "%q holds no certificate", c.CA)
		}
		return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(c.Pin, "sha256:"), ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, ringwall.Errorf(ringwall.Invalid, "the pin must be a SHA-256 in hex")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection verifies, against the pinned authority
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyPinned(s, pin, c.Now()) },
	}, nil
}

// verifyPinned verifies the chain that the server sent against the one
// certificate in it whose SHA-256 is pin.
func verifyPinned(s tls.ConnectionState, pin []byte, now time.Time) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, cert := range s.PeerCertificates {
		sum := sha256.Sum256(cert.Raw)
		if subtle.ConstantTimeCompare(sum[:], pin) == 1 {
			roots.AddCert(cert)
			found = true
		} else {
			others.AddCert(cert)
		}
	}
	if !found {
		return ringwall.Errorf(ringwall.Unverified, "the platform does not show the pinned authority")
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: s.ServerName, CurrentTime: now})
	return err
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
	b, status, err := exchange(ctx, conf, req)
	if err != nil {
		if e, ok := errors.AsType[*ringwall.Error](err); ok {
			return out, e
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return out, ringwall.Errorf(ringwall.Unverified, "the platform's certificate does not hold: %w", err)
		}
		return out, ringwall.Errorf(ringwall.Unavailable, "enrolling: %w", err)
	}
	if status >= 300 && status < 400 {
		return out, ringwall.Errorf(ringwall.Unavailable, "enrolling: the platform redirects, and a token follows nobody")
	}
	if status != http.StatusOK && status != http.StatusCreated {
		return out, refusal(status, b)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, ringwall.Errorf(ringwall.Invalid, "reading the platform's answer: %w", err)
	}
	return out, nil
}

// exchange makes one request over TLS. A redirect is an answer like others: a token
// follows nobody.
func exchange(ctx context.Context, conf *tls.Config, req *http.Request) (body []byte, status int, err error) {
	port := req.URL.Port()
	if port == "" {
		port = "443"
	}
	d := tls.Dialer{Config: conf}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(req.URL.Hostname(), port))
	if err != nil {
		return nil, 0, err
	}
	return httpone.Do(ctx, conn, req, maxAnswer)
}

// refusal turns a problem (RFC 9457) into an error.
func refusal(status int, body []byte) error {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(body, &p) // whatever it is, the status says enough
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	code := ringwall.Invalid
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		code = ringwall.Forbidden
	case status == http.StatusNotFound:
		code = ringwall.NotFound
	case status == http.StatusConflict:
		code = ringwall.Conflict
	case status == http.StatusTooManyRequests || status >= 500:
		code = ringwall.Unavailable
	}
	return ringwall.Errorf(code, "the platform refuses to enrol this gateway (%d): %.200s", status, text)
}
