// Package mudfetch gets manufacturers' usage descriptions and their signatures
// from where a device says they are (RFC 8520 sections 1.6 and 13).
//
// The URL comes from a device that nobody trusts yet, and the answer from a
// server that it chose. So a Client speaks https only and checks certificates,
// follows redirects on the same host only, reads no more than the bounds of
// package mud, takes no longer than its timeout, sends no cookies, no
// credentials and no referrer, uses no proxy, and connects to public addresses
// only: names that lead to loopback, to private, link-local, shared, multicast
// or documentation addresses are refused after they were resolved, so that no
// device can make the platform ask its own neighbours. What came is kept as it
// came, since the signature is over the bytes.
//
// Errors have code Invalid (the URL, or what was answered), Unavailable (no
// answer, or not now: keep what is there and ask again), NotFound (404, 410). A
// Client may be used by several goroutines and starts none that outlive a call.
package mudfetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/mud"
)

// Config makes a Client. The zero value is good.
type Config struct {
	Roots   *x509.CertPool // of servers; nil = those of the system
	Timeout time.Duration  // of one call, redirects included; 0 = 20 s
	// Reachable says which addresses may be connected to; nil = public ones.
	Reachable func(netip.Addr) bool
	Now       func() time.Time
}

// Client gets descriptions.
type Client struct {
	http      *http.Client
	timeout   time.Duration
	reachable func(netip.Addr) bool
	now       func() time.Time
}

// Fetched is a description as it came.
type Fetched struct {
	URL  string
	At   time.Time
	Body []byte
	File *mud.File
	// Signature is the detached CMS structure; nil when the file names none, or when
	// it could not be got, which SignatureErr then says.
	Signature    []byte
	SignatureErr error
}

// Check is mud.CheckSignature of what was fetched.
func (f *Fetched) Check(t mud.Trust) mud.Signature {
	return mud.CheckSignature(f.File, f.Body, f.Signature, f.SignatureErr, t)
}

const (
	maxRedirects   = 3
	defaultTimeout = 20 * time.Second
)

// New returns a Client.
func New(c Config) *Client {
	out := &Client{timeout: c.Timeout, reachable: c.Reachable, now: c.Now}
	if out.timeout <= 0 {
		out.timeout = defaultTimeout
	}
	if out.reachable == nil {
		out.reachable = Public
	}
	if out.now == nil {
		out.now = time.Now
	}
	// Control sees the address that is connected to, whatever a name resolved to
	// when it was asked before.
	dial := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil || !out.reachable(a.Addr().Unmap().WithZone("")) {
			return errNotReachable
		}
		return nil
	}}
	out.http = &http.Client{
		Transport: &http.Transport{
			DialContext: dial.DialContext, TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 10 * time.Second, MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives: true, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch first := via[0].URL; {
			case len(via) > maxRedirects:
				return ringwall.Errorf(ringwall.Invalid, "it is redirected more than %d times", maxRedirects)
			case r.URL.Scheme != "https" || !strings.EqualFold(r.URL.Host, first.Host):
				return ringwall.Errorf(ringwall.Invalid, "it is redirected to another host or scheme")
			}
			r.Header.Del("Referer")
			return nil
		},
	}
	return out
}

var errNotReachable = errors.New("its address is not a public one")

// Fetch gets the description at url, and its signature if it names one. That the
// signature could not be got is no error of Fetch: see Fetched.
func (c *Client) Fetch(ctx context.Context, at string) (*Fetched, error) {
	ctx, stop := context.WithTimeout(ctx, c.timeout)
	defer stop()
	body, err := c.get(ctx, at, "application/mud+json", mud.MaxSize)
	if err != nil {
		return nil, err
	}
	f, err := mud.Parse(body)
	if err != nil {
		return nil, err
	}
	if f.URL != at {
		// RFC 8520 section 3.2: it names itself, so that none can stand for another.
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: the description at %s says that it is another", shown(at))
	}
	out := &Fetched{URL: at, At: c.now(), Body: body, File: f}
	if f.Signed() {
		out.Signature, out.SignatureErr = c.get(ctx, f.Signature, "application/pkcs7-signature", mud.MaxSignature)
	}
	return out, nil
}

// CheckURL tells what is wrong with the URL of a description, or nil.
func CheckURL(at string) error {
	u, err := url.Parse(at)
	switch {
	case err != nil || len(at) > 255:
		return ringwall.Errorf(ringwall.Invalid, "mud: that is no URL of a description")
	case u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return ringwall.Errorf(ringwall.Invalid, "mud: the URL of a description has scheme https and a host")
	case u.User != nil || u.Fragment != "":
		return ringwall.Errorf(ringwall.Invalid, "mud: the URL of a description has no user and no fragment")
	}
	return nil
}

func (c *Client) get(ctx context.Context, at, accept string, most int64) ([]byte, error) {
	if err := CheckURL(at); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: asking for %s: %w", shown(at), err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "ringwall")
	res, err := c.http.Do(req)
	if err != nil {
		code := ringwall.Unavailable
		if errors.Is(err, errNotReachable) || ringwall.CodeOf(err) == ringwall.Invalid {
			code = ringwall.Invalid
		}
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // its own text repeats the URL, with its query
		}
		return nil, ringwall.Errorf(code, "mud: asking for %s: %w", shown(at), err)
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
		return nil, ringwall.Errorf(ringwall.NotFound, "mud: there is nothing at %s (status %d)", shown(at), res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return nil, ringwall.Errorf(ringwall.Unavailable, "mud: %s answers with status %d", shown(at), res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "mud: reading %s: %w", shown(at), err)
	}
	if int64(len(b)) > most {
		return nil, ringwall.Errorf(ringwall.Invalid, "mud: %s has more than %d bytes", shown(at), most)
	}
	return b, nil
}

// shown is a URL without its query, which may hold what is nobody's business.
func shown(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return "a URL"
	}
	return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.EscapedPath())
}

// Public reports whether an address is one of the public internet: none of the
// special purposes of RFC 6890 and its registries.
func Public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is4In6() {
		return false
	}
	for _, n := range [...]string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		if netip.MustParsePrefix(n).Contains(a) {
			return false
		}
	}
	return true
}
