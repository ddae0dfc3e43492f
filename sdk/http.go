package sdk

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/policy"
)

// Transport returns a RoundTripper that judges each request by its host, path
// and method, in clear and inside TLS, and by whom it goes to: before the name is
// looked up, when the connection is opened, and again when a request is about
// to be written on one that is open. Redirects come back to it, and are judged
// like any request. base is copied; of it, the ways to dial and the proxy are
// replaced, and nil is a transport with the usual bounds.
func (c *Client) Transport(base *http.Transport) http.RoundTripper {
	if base == nil {
		base = &http.Transport{MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second}
	}
	base = base.Clone()
	d := &Dialer{c: c, TLS: base.TLSClientConfig}
	base.Proxy = nil // whoever stands behind it could not be judged
	// A request has to be seen on its own: several on one connection at once
	// (HTTP/2) cannot be cut one by one.
	base.ForceAttemptHTTP2, base.TLSNextProto = false, nil
	base.Protocols = new(http.Protocols)
	base.Protocols.SetHTTP1(true)
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return d.dial(ctx, network, address, wants(ctx))
	}
	base.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conf, err := d.tlsConfig(address)
		if err != nil {
			return nil, err
		}
		conf.NextProtos = []string{"http/1.1"}
		return d.dialTLS(ctx, network, address, conf, wants(ctx))
	}
	return &transport{c: c, base: base}
}

type transport struct {
	c    *Client
	base *http.Transport
}

// wanted is the key under which a request's context carries what will stand
// inside the connection that is dialled for it.
type wanted struct{}

func wants(ctx context.Context) *policy.Seen {
	if s, ok := ctx.Value(wanted{}).(*policy.Seen); ok {
		one := *s
		return &one
	}
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	seen := t.seen(req)
	var refused atomic.Pointer[Refusal]
	ctx := context.WithValue(req.Context(), wanted{}, &seen)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		l, ok := judged(got.Conn)
		if !ok {
			_ = got.Conn.Close() // not one of ours: nothing goes over it
			return
		}
		// Here, in the goroutine that writes the request next, it is judged on the
		// connection that it will really use.
		on := seen
		on.Host = policy.ShownName(authority(req), l.remote())
		if err := l.admit(on); err != nil {
			r := err.(*Refusal)
			refused.Store(r)
			l.cut(r)
		}
	}})
	resp, err := t.base.RoundTrip(req.WithContext(ctx))
	if r := refused.Load(); r != nil {
		if err == nil {
			resp.Body.Close()
		}
		return nil, r
	}
	return resp, err
}

// CloseIdleConnections closes connections that wait for a request.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// seen is what stands in a request.
func (t *transport) seen(req *http.Request) policy.Seen {
	s := policy.Seen{Proto: "http", Host: policy.ShownName(authority(req), literal(req)), Method: req.Method, Complete: true}
	if s.Method == "" {
		s.Method = http.MethodGet
	}
	s.Path, _ = policy.CanonicalPath(req.URL.RequestURI())
	if req.URL.Scheme == "https" {
		s.TLS = bestTLS(t.base.TLSClientConfig)
	}
	return s
}

// authority is what the Host header will say.
func authority(req *http.Request) string {
	if req.Host != "" {
		return req.Host
	}
	return req.URL.Host
}

// literal is the address in the URL, if there is one.
func literal(req *http.Request) netip.Addr {
	a, _ := netip.ParseAddr(req.URL.Hostname())
	return a
}

func (l *live) remote() netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flow.Remote.Addr()
}
