package dnsguard

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	// maxIdle bounds the connections to one resolver that wait for the next question,
	// idleLife how long they do (RFC 7766 section 6.2.3 leaves it to us).
	maxIdle  = 4
	idleLife = 20 * time.Second
	// maxTLSResolvers bounds for how many connections wait.
	maxTLSResolvers = 16
)

// lines keeps connections to resolvers over TLS (RFC 7858 section 3.4).
type lines struct {
	mu   sync.Mutex
	idle map[netip.AddrPort][]line
}

type line struct {
	c  net.Conn
	at time.Duration
}

func (l *lines) get(a netip.AddrPort, now time.Duration) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for list := l.idle[a]; len(list) > 0; list = l.idle[a] {
		x := list[len(list)-1]
		l.idle[a] = list[:len(list)-1]
		if now-x.at < idleLife {
			return x.c
		}
		x.c.Close()
	}
	delete(l.idle, a)
	return nil
}

func (l *lines) put(a netip.AddrPort, c net.Conn, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idle == nil {
		l.idle = map[netip.AddrPort][]line{}
	}
	if len(l.idle[a]) >= maxIdle || l.idle[a] == nil && len(l.idle) >= maxTLSResolvers {
		c.Close()
		return
	}
	l.idle[a] = append(l.idle[a], line{c, now})
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range l.idle {
		for _, x := range list {
			x.c.Close()
		}
	}
	l.idle = nil
}

// askTLS asks over TLS. A connection that had waited may be gone: then once
// more, by a new one.
func (g *Guard) askTLS(ctx context.Context, r api.Resolver, q dns.Question) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*upstreamWait)
	defer cancel()
	m := ourQuestion(q, true)
	if c := g.lines.get(r.Addr, g.cfg.Uptime()); c != nil {
		if resp, err := converse(ctx, c, true, m); err == nil {
			g.lines.put(r.Addr, c, g.cfg.Uptime())
			return resp, nil
		}
		c.Close()
	}
	raw, err := g.cfg.Dial(ctx, "tcp", r.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", r.Addr, err)
	}
	c := tls.Client(raw, g.tlsConfig(r))
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("asking %s over TLS: %w", r.Addr, err)
	}
	resp, err := converse(ctx, c, true, m)
	if err != nil {
		c.Close()
		return nil, err
	}
	g.lines.put(r.Addr, c, g.cfg.Uptime())
	return resp, nil
}

// tlsConfig says whom to believe. Pins go before certificate authorities: with
// them, and only then, the chain is not verified, since a pinned resolver may
// sign for itself (RFC 8310 section 8.1).
func (g *Guard) tlsConfig(r api.Resolver) *tls.Config {
	c := &tls.Config{ServerName: r.Name, MinVersion: tls.VersionTLS12, NextProtos: []string{"dot"}, RootCAs: g.cfg.Roots, Time: g.cfg.Now}
	if len(r.Pins) == 0 {
		return c
	}
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		// The first is whose key the handshake has proven; the others anybody can show.
		if len(s.PeerCertificates) > 0 && slices.Contains(r.Pins, pinOf(s.PeerCertificates[0])) {
			return nil
		}
		return ringwall.Errorf(ringwall.Unverified, "resolver %s has none of the keys that are pinned", r.Addr)
	}
	return c
}

func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
