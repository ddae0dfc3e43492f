// Package webhook sends signed HTTP requests to systems of other parties, and
// checks such requests.
//
// A message is a POST of JSON with three headers, as the Standard Webhooks
// specification (version 1) says: webhook-id, the same however often a message
// is sent, so that a receiver can drop what it has; webhook-timestamp, seconds
// since 1970 of this try; and webhook-signature, "v1," and the base64 of
// HMAC-SHA-256 over "id.timestamp.body" under the shared secret. Secrets are
// written "whsec_" and base64.
//
// A message counts as delivered when the receiver answers 2xx within Timeout.
// Redirects are not followed: what was signed for one address goes to no other.
// Addresses are checked after the name was resolved and before anything is sent:
// link-local ones, where clouds keep secrets, and this machine itself are
// refused, whatever a name says (the second but for Config.Plain). An answer's
// body is not read but for draining a little. Secrets and URLs stand in no error.
//
// A Sender may be used by several goroutines and starts none.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
)

// Headers of a message.
const (
	HeaderID        = "webhook-id"
	HeaderTime      = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	// MaxBody bounds a message.
	MaxBody = 1 << 20
	// maxURL bounds an address.
	maxURL = 500
	// Skew is how far a message's time may lie from a receiver's clock.
	Skew = 5 * time.Minute
)

// Config configures a Sender.
type Config struct {
	// Timeout of one try; 0 = 10 s.
	Timeout time.Duration
	// Plain allows addresses without TLS and on this machine: for a test bench.
	Plain bool
	// Now gives the time; nil = time.Now.
	Now func() time.Time
}

// Sender sends messages.
type Sender struct {
	c    Config
	http *http.Client
}

// New returns a sender.
func New(c Config) *Sender {
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	dial := &net.Dialer{Timeout: c.Timeout, Control: func(_, address string, _ syscall.RawConn) error { return allowed(address, c.Plain) }}
	return &Sender{c: c, http: &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dial.DialContext, TLSHandshakeTimeout: c.Timeout, MaxIdleConns: 20, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
	}}
}

var errAddress = errors.New("the address is one of this machine or of the link")

func allowed(address string, plain bool) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return errAddress
	}
	ip := a.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.IsLoopback() && !plain {
		return errAddress
	}
	return nil
}

// CheckURL returns an Invalid error for an address that nothing is sent to. It
// does not resolve names.
func (s *Sender) CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Host == "" || u.User != nil || u.Fragment != "":
		// It is not repeated: it may hold a password.
		return ringwall.Errorf(ringwall.Invalid, "the address is not a URL of at most %d bytes without user and fragment", maxURL)
	case u.Scheme != "https" && !(s.c.Plain && u.Scheme == "http"):
		return ringwall.Errorf(ringwall.Invalid, "the address has scheme %.20q, want https", u.Scheme)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && allowed(netip.AddrPortFrom(ip, 1).String(), s.c.Plain) != nil {
		return ringwall.Errorf(ringwall.Invalid, "%v", errAddress)
	}
	return nil
}

// NewSecret returns a fresh secret, and its written form.
func NewSecret() ([]byte, string) {
	b := make([]byte, secretBytes)
	if _, err := rand.Read(b); err != nil {
		panic("webhook: the system's random source failed: " + err.Error())
	}
	return b, secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// ParseSecret reads the written form.
func ParseSecret(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	b, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(b) < 16 || len(b) > 64 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the secret is not %q and base64 of 16 to 64 bytes", secretPrefix)
	}
	return b, nil
}

func sign(secret []byte, id, seconds string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(id + "." + seconds + "."))
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// Send makes one try. Codes: Unavailable when it may be tried again; Forbidden
// when the receiver says that it never will take such (410, RFC 9110 section
// 15.5.11); Invalid for what cannot be sent at all.
func (s *Sender) Send(ctx context.Context, to, id string, secret, body []byte) error {
	if err := s.CheckURL(to); err != nil {
		return err
	}
	if len(body) > MaxBody {
		return ringwall.Errorf(ringwall.Invalid, "a message of %d bytes is over %d", len(body), MaxBody)
	}
	if id == "" || strings.ContainsAny(id, ".\r\n ") {
		return ringwall.Errorf(ringwall.Invalid, "%.40q is no id of a message", id)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "the address cannot be asked")
	}
	at := strconv.FormatInt(s.c.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ringwall")
	req.Header.Set(HeaderID, id)
	req.Header.Set(HeaderTime, at)
	req.Header.Set(HeaderSignature, sign(secret, id, at, body))
	res, err := s.http.Do(req)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "the receiver does not answer: %v", reason(err))
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // so that the connection can be kept; what it says does not matter
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusGone:
		return ringwall.Errorf(ringwall.Forbidden, "the receiver has gone (status 410)")
	}
	return ringwall.Errorf(ringwall.Unavailable, "the receiver answered with status %d", res.StatusCode)
}

// reason is what of a failure names no address with its path.
func reason(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// Verify reads a message that came, at the time now, and returns its id and
// body. Codes: Unverified for one that was not signed with the secret, or that
// is too old or too new; Invalid for one that is too large.
func Verify(r *http.Request, secret []byte, now time.Time) (id string, body []byte, err error) {
	body, err = io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil || len(body) > MaxBody {
		return "", nil, ringwall.Errorf(ringwall.Invalid, "the message broke off or is over %d bytes", MaxBody)
	}
	id, at := r.Header.Get(HeaderID), r.Header.Get(HeaderTime)
	want := sign(secret, id, at, body)
	ok := false
	for one := range strings.FieldsSeq(r.Header.Get(HeaderSignature)) {
		if subtle.ConstantTimeCompare([]byte(one), []byte(want)) == 1 {
			ok = true
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || id == "" {
		return "", nil, ringwall.Errorf(ringwall.Unverified, "the message is not signed with this secret")
	}
	if d := now.Sub(time.Unix(seconds, 0)).Abs(); d > Skew {
		return "", nil, ringwall.Errorf(ringwall.Unverified, "the message is %v away from now", d.Round(time.Second))
	}
	return id, body, nil
}
