package platform

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/identity"
)

// renewAfter is when a server's certificate is made anew: well before two
// thirds of its life, however rarely somebody connects.
const renewAfter = 30 * 24 * time.Hour

// certificates makes the platform's server certificates, and makes them anew
// in time.
type certificates struct {
	authority *identity.Authority
	names     []string
	now       func() time.Time

	mu   sync.Mutex
	cert *tls.Certificate
	made time.Time
}

func newCertificates(a *identity.Authority, names []string, now func() time.Time) *certificates {
	return &certificates{authority: a, names: names, now: now}
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := c.now().Sub(c.made); c.cert != nil && age >= 0 && age < renewAfter {
		return c.cert, nil
	}
	cert, err := c.authority.Server(c.names)
	if err != nil {
		return nil, err
	}
	c.cert, c.made = &cert, c.now()
	return c.cert, nil
}

// server returns the configuration of a server; clients is the authority of
// its clients, nil where they need no certificate.
func (c *certificates) server(clients *x509.CertPool) *tls.Config {
	return &tls.Config{GetCertificate: c.get, ClientCAs: clients, MinVersion: tls.VersionTLS12}
}

// certNames lists what certificates name: what the configuration says, and
// what the platform listens on.
func certNames(cfg Config) []string {
	names := append([]string{}, cfg.Names...)
	for _, addr := range []string{cfg.Listen, cfg.EnrolListen, cfg.SpineListen} {
		names = append(names, hosts(addr)...)
	}
	if cfg.Demo != nil {
		names = append(names, hosts(demoEnrol)...)
	}
	return names
}

// hosts returns the host of an address, or all of this machine's when it means
// all.
func hosts(addr string) []string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{host}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var all []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			all = append(all, n.IP.String())
		}
	}
	return all
}

// enrolAddress returns where gateways enrol, as people are told: by the first
// name that the platform goes by, else by the address it listens on; "" when it
// listens on all of them and the one that a browser came by is as good.
func enrolAddress(names []string, addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	switch ip := net.ParseIP(host); {
	case len(names) > 0:
		host = names[0]
	case ip != nil && ip.IsUnspecified():
		if port == usualDoor {
			return ""
		}
		all := hosts(addr.String())
		if len(all) == 0 {
			return ""
		}
		host = all[0]
	}
	return "https://" + net.JoinHostPort(host, port)
}

// usualDoor is the port that the console names by itself.
const usualDoor = "8443"

// advertised lists the addresses of the spine that gateways are given.
func advertised(cfg Config, addr net.Addr) []string {
	if cfg.Demo != nil {
		return []string{"tls://" + demoSpine}
	}
	if len(cfg.Advertise) > 0 {
		return cfg.Advertise
	}
	if addr == nil {
		return nil
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil
	}
	var all []string
	for _, h := range hosts(addr.String()) {
		all = append(all, "tls://"+net.JoinHostPort(h, port))
	}
	return all
}

// loopback reports whether only this machine reaches an address.
func loopback(addr net.Addr) bool {
	t, ok := addr.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}
