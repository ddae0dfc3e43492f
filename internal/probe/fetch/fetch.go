// Package fetch makes one HTTP request to a device through a Network, for probes
// that need one answer and no session.
//
// It follows no redirect, keeps no connection and no cookie, reads at most Max
// bytes, lasts at most Timeout, and trusts no certificate: what it reads is a
// device's word. Addresses in a URL must be IP literals, so that an answer cannot
// send us elsewhere by a name. Standards: RFC 9110.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
)

// Bounds of one request.
const (
	Max     = 256 << 10
	Timeout = 4 * time.Second

	maxHeader = 32 << 10
)

// Response is what a device answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get asks for one page.
func Get(ctx context.Context, n assess.Network, at string) (Response, error) {
	return Do(ctx, n, http.MethodGet, at, nil, nil)
}

// Do sends one request.
func Do(ctx context.Context, n assess.Network, method, at string, header map[string]string, body io.Reader) (Response, error) {
	u, err := url.Parse(at)
	if err != nil {
		return Response{}, fmt.Errorf("reading an address: %w", err)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return Response{}, fmt.Errorf("reading an address: %.60q is not http or https to an IP address", at)
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	tr := &http.Transport{
		DialContext: n.DialContext, TLSClientConfig: tlscheck.Client(), DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader, Proxy: nil,
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return Response{}, err
	}
	req.Header.Set("User-Agent", "ringwall-assess")
	for k, v := range header {
		req.Header[k] = []string{v} // SOAP servers of old want their own spelling
	}
	res, err := (&http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return Response{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, Max))
	if err != nil && len(b) == 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Response{}, err
	}
	return Response{res.StatusCode, res.Header, b}, nil
}

// Clean makes a device's words safe to keep and show: one line of at most n
// characters, without control characters.
func Clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		s = string(r[:n])
	}
	return s
}
