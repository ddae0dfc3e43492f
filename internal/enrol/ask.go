package enrol

import (
	"bytes"
	"context"
	"crypto/ecdsa"
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

// Ask is one request to be enrolled.
type Ask struct {
	// Platform is the address of the platform, such as "https://198.51.100.10:8443".
	Platform string
	Token    string // one-time
	Name     string // how people call who asks
	Serial   string // the machine's own number; "" is not sent
	// CA is the path of the platform's authority as PEM, or Pin the SHA-256 of that
	// authority's certificate as hex. One of them is needed.
	CA, Pin string
	Now     func() time.Time
}

const (
	maxAnswer = 1 << 20 // what is read of the platform's answer
	timeout   = 30 * time.Second
)

// Check reports whether the request could be made at all. Codes: Invalid.
func (a Ask) Check() error {
	if _, err := a.address(); err != nil {
		return err
	}
	_, err := a.trust()
	return err
}

// Do makes a key and has it certified. Codes: Invalid for what could never work,
// Unverified where the platform is not who it should be, Unavailable where it
// cannot be reached, and Forbidden, NotFound or Conflict as it answers.
func (a Ask) Do(ctx context.Context) (answer api.EnrolAnswer, key *ecdsa.PrivateKey, err error) {
	u, err := a.address()
	if err != nil {
		return answer, nil, err
	}
	conf, err := a.trust()
	if err != nil {
		return answer, nil, err
	}
	key, csr, err := NewKey()
	if err != nil {
		return answer, nil, err
	}
	answer, err = post(ctx, conf, u.JoinPath("/v1/enrol").String(), api.EnrolRequest{Token: a.Token, Name: a.Name, CSR: csr, Serial: a.Serial})
	return answer, key, err
}

func (a Ask) address() (*url.URL, error) {
	u, err := url.Parse(a.Platform)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the platform's address must be of the form https://host:port")
	}
	return u, nil
}

// trust returns a TLS configuration that knows the platform by its authority.
func (a Ask) trust() (*tls.Config, error) {
	switch {
	case (a.CA == "") == (a.Pin == ""):
		return nil, &ringwall.Error{Code: ringwall.Invalid, Text: "how to know the platform: give either its authority (CA) or the authority's pin", Hint: `the platform prints both when it makes a token`}
	case a.CA != "":
		pool, err := readPool(a.CA)
		return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, err
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(a.Pin, "sha256:"), ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, ringwall.Errorf(ringwall.Invalid, "the pin must be a SHA-256 in hex")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection verifies, against the pinned authority
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyPinned(s, pin, a.Now()) },
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
	ctx, cancel := context.WithTimeout(ctx, timeout)
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

// exchange makes one request over TLS. A redirect is an answer like others.
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
	return ringwall.Errorf(code, "the platform refuses to enrol this machine (%d): %.200s", status, text)
}

// NewKey makes a key and the request to certify it. Names in it would be ignored:
// the platform sets them.
func NewKey() (key *ecdsa.PrivateKey, csr string, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, "", err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, "", err
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}
