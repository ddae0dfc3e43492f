package actor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// lookupTimeout is how long a device waits for one resolver, as small devices do.
const lookupTimeout = 1500 * time.Millisecond

// lookup asks the resolvers in order for the IPv4 addresses of a name, as the
// resolver library of a small device does: the next one only when the one
// before is out of reach.
func (e *Env) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	var errs []error
	for _, r := range e.Resolvers {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(name), dns.TypeA)
		c := dns.Client{Timeout: lookupTimeout}
		in, _, err := c.ExchangeContext(ctx, q, r.String())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if in.Rcode != dns.RcodeSuccess {
			return nil, fmt.Errorf("looking up %q: %s", name, dns.RcodeToString[in.Rcode])
		}
		var out []netip.Addr
		for _, rr := range in.Answer {
			if a, ok := rr.(*dns.A); ok {
				if ip, ok := netip.AddrFromSlice(a.A.To4()); ok {
					out = append(out, ip)
				}
			}
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("looking up %q: no address", name)
		}
		return out, nil
	}
	return nil, fmt.Errorf("looking up %q: %w", name, errors.Join(errs...))
}

// dial connects to host, a name or an address, at port.
func (e *Env) dial(ctx context.Context, host, port string) (net.Conn, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		addrs, err := e.lookup(ctx, host)
		if err != nil {
			return nil, err
		}
		addr = addrs[0]
	}
	d := net.Dialer{Timeout: 3 * time.Second}
	return d.DialContext(ctx, "tcp4", net.JoinHostPort(addr.String(), port))
}

// web returns an HTTP client that looks names up as the device does, trusts
// the vendor's authority alone and keeps no connection between requests.
func (e *Env) web() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(e.VendorCA)
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool},
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return e.dial(ctx, host, port)
			},
		},
	}
}

// every calls f at once and then each period until ctx ends, not at all when
// period is 0.
func every(ctx context.Context, period time.Duration, f func()) {
	if period <= 0 {
		return
	}
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
