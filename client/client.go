// Package client speaks the HTTP API of a Ringwall platform.
//
// It takes and gives the types of package api. Every failure that the platform
// tells of comes back as a *ringwall.Error with the platform's code, text and
// hint, so that ringwall.CodeOf works on both sides; a platform that cannot be
// reached is ringwall.Unavailable.
//
// A Client refuses to send its token in clear over a network: plain HTTP is for
// the same machine only, unless the configuration says otherwise.
//
// A Client may be used from several goroutines and starts none. Each POST
// carries a fresh Idempotency-Key, so that the one repeat that net/http makes
// on a connection that died under it does nothing twice.
//
// The package stands on the vocabulary and the wire types alone.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Config says which platform, and as whom.
type Config struct {
	// Server is the platform's address, such as "https://ringwall.example" or
	// "127.0.0.1:8443"; without a scheme it is https, on loopback http.
	Server string
	// Token is an API token, "rwt_…"; "" for what needs none (Enrol).
	Token string
	// HTTP is used for all requests; nil is a client with a timeout of a minute.
	// It must not follow redirects to other hosts with our token; the default
	// follows none.
	HTTP *http.Client
	// AllowPlain lets the token travel in clear over a network. It is for a
	// closed range or a tunnel that encrypts.
	AllowPlain bool
}

// Client speaks to one platform as one actor.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// New returns a client. The error has code Invalid when the server cannot be
// named so, or the token would travel in clear.
func New(cfg Config) (*Client, error) {
	base, err := parseServer(cfg.Server)
	if err != nil {
		return nil, err
	}
	if cfg.Token != "" && base.Scheme == "http" && !loopback(base.Hostname()) && !cfg.AllowPlain {
		return nil, &ringwall.Error{
			Code: ringwall.Invalid, Text: fmt.Sprintf("the token would travel in clear to %s", base.Host),
			Hint: "use https, or allow plain HTTP where the way there is closed",
		}
	}
	if strings.ContainsAny(cfg.Token, " \r\n\t") {
		return nil, ringwall.Errorf(ringwall.Invalid, "the token holds blanks or line ends")
	}
	h := cfg.HTTP
	if h == nil {
		h = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &Client{base: base, token: cfg.Token, http: h}, nil
}

func parseServer(s string) (*url.URL, error) {
	raw := s
	if !strings.Contains(s, "://") {
		host := s
		if h, _, err := net.SplitHostPort(s); err == nil {
			host = h
		}
		if loopback(host) {
			s = "http://" + s
		} else {
			s = "https://" + s
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, &ringwall.Error{Code: ringwall.Invalid, Text: fmt.Sprintf("%q is no address of a platform", raw), Hint: `such as "https://ringwall.example" or "127.0.0.1:8443"`}
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// path joins segments, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// call is one request.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	in     any // JSON body, or nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	u := c.base.String() + k.path
	if q := k.query.Encode(); q != "" {
		u += "?" + q
	}
	var body io.Reader
	if k.in != nil {
		b, err := json.Marshal(k.in)
		if err != nil {
			return nil, fmt.Errorf("writing the body of %s %s: %w", k.method, k.path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u, body)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "making the request %s %s: %w", k.method, k.path, err)
	}
	for name, v := range k.header {
		req.Header[name] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.method == http.MethodPost {
		req.Header.Set("Idempotency-Key", rand.Text())
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// send does k and decodes its answer into out, unless that is nil.
func (c *Client) send(ctx context.Context, k call, out any) error {
	req, err := c.request(ctx, k)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return problem(resp)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "reading the answer to %s %s: %w", k.method, k.path, err)
	}
	return nil
}

// unreachable tells of a platform that did not answer. The URL is left out of
// the text: *url.Error would repeat it with its query.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return &ringwall.Error{
		Code: ringwall.Unavailable, Text: "no platform answers at " + c.base.Host, Err: err,
		Hint: `start it with "ringwall up", or name another with --server`,
	}
}

// problem turns an answer that is no success into an error.
func problem(resp *http.Response) error {
	var p api.Problem
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(b, &p) == nil && p.Code != "" {
		text := p.Detail
		for i, f := range p.Fields {
			sep := "; "
			if i == 0 {
				sep = ": "
			}
			text += sep + f.At + ": " + f.Message
		}
		return &ringwall.Error{Code: p.Code, Text: text, Hint: p.Hint}
	}
	// Not our platform, or something before it.
	code := ringwall.Unavailable
	switch resp.StatusCode {
	case http.StatusNotFound:
		code = ringwall.NotFound
	case http.StatusUnauthorized:
		code = ringwall.Unverified
	case http.StatusForbidden:
		code = ringwall.Forbidden
	}
	return &ringwall.Error{Code: code, Text: fmt.Sprintf("the answer was %q and not a platform's", resp.Status), Hint: "is this the address of a Ringwall platform?"}
}

func get[T any](ctx context.Context, c *Client, p string, q url.Values) (T, error) {
	var out T
	err := c.send(ctx, call{method: http.MethodGet, path: p, query: q}, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, p string, in any) (T, error) {
	var out T
	err := c.send(ctx, call{method: http.MethodPost, path: p, in: in}, &out)
	return out, err
}

func patch[T any](ctx context.Context, c *Client, p string, in any) (T, error) {
	var out T
	err := c.send(ctx, call{method: http.MethodPatch, path: p, in: in}, &out)
	return out, err
}

// Paging says which page of a list is wanted; the zero value is the first.
type Paging struct {
	Cursor string
	Limit  int // 0 = the platform's choice
}

func (p Paging) into(q url.Values) url.Values {
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	return limited(q, p.Limit)
}

func limited(q url.Values, limit int) url.Values {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

func set(q url.Values, name, v string) {
	if v != "" {
		q.Set(name, v)
	}
}

func setTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}
