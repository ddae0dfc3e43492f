package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Dialer opens connections that the policy allows. It may be copied and changed
// before it is used; its methods may be called concurrently.
type Dialer struct {
	c *Client
	// Timeout bounds one attempt at one address; 0 = 30 seconds.
	Timeout time.Duration
	// TLS is what DialTLSContext demands of servers; nil = the usual. A name in it
	// is shown, and judged, in place of the one that is dialled.
	TLS *tls.Config
}

const dialTimeout = 30 * time.Second

// Dialer returns a Dialer of this client.
func (c *Client) Dialer() *Dialer { return &Dialer{c: c} }

// DialContext is as that of net.Dialer, for the networks tcp, tcp4, tcp6, udp,
// udp4 and udp6. A host that is a name is looked up by the client, and each
// address that it gives is judged with it. The error of a refusal is a *Refusal.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dial(ctx, network, address, nil)
}

// DialTLSContext dials, judges the name that it shows (SNI), and makes the
// handshake.
func (d *Dialer) DialTLSContext(ctx context.Context, network, address string) (net.Conn, error) {
	conf, err := d.tlsConfig(address)
	if err != nil {
		return nil, err
	}
	return d.dialTLS(ctx, network, address, conf, &policy.Seen{Proto: "tls", Host: shown(conf.ServerName), TLS: bestTLS(conf), Complete: true})
}

func (d *Dialer) tlsConfig(address string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "address %.80q is not host:port", address)
	}
	conf := d.TLS.Clone()
	if conf == nil {
		conf = &tls.Config{}
	}
	if conf.ServerName == "" {
		conf.ServerName = strings.TrimSuffix(host, ".")
	}
	return conf, nil
}

// shown is the name in a ClientHello: of an address there is none.
func shown(serverName string) string {
	if _, err := netip.ParseAddr(serverName); err == nil {
		return ""
	}
	return canonicalName(serverName)
}

func bestTLS(conf *tls.Config) uint16 {
	if conf != nil && conf.MaxVersion != 0 {
		return conf.MaxVersion
	}
	return tls.VersionTLS13
}

func (d *Dialer) dialTLS(ctx context.Context, network, address string, conf *tls.Config, seen *policy.Seen) (net.Conn, error) {
	if len(conf.EncryptedClientHelloConfigList) > 0 {
		seen.ECH = true // what the hello shows is not whom it means
	}
	under, err := d.dial(ctx, network, address, seen)
	if err != nil {
		return nil, err
	}
	plain := under.(*conn)
	// The policy counts what is on the wire, and looks at what is inside: the
	// judged connection is below TLS, and its flow goes with the one above.
	t := tls.Client(plain, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, plain.live.err(err)
	}
	return &tlsConn{Conn: t, plain: plain}, nil
}

// tlsConn is TLS over a judged connection.
type tlsConn struct {
	*tls.Conn
	plain *conn
}

// Write fails with the refusal once the flow was cut.
func (t *tlsConn) Write(b []byte) (int, error) {
	if err := t.plain.refused(); err != nil {
		return 0, err
	}
	n, err := t.Conn.Write(b)
	return n, t.plain.live.err(err)
}

func (t *tlsConn) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	return n, t.plain.live.err(err)
}

// judged returns the flow below a connection that this package made.
func judged(c net.Conn) (*live, bool) {
	switch c := c.(type) {
	case *conn:
		return c.live, true
	case *tlsConn:
		return c.plain.live, true
	}
	return nil, false
}

// target is whom a dial is for.
type target struct {
	proto string // "tcp", "udp"
	name  string // "" = an address was given
	addrs []netip.Addr
	port  uint16
}

// resolve reads network and address and looks the name up, if that may be.
func (c *Client) resolve(ctx context.Context, network, address string) (target, error) {
	var t target
	family := ""
	switch network {
	case "tcp", "udp":
		t.proto = network
	case "tcp4", "tcp6", "udp4", "udp6":
		t.proto, family = network[:3], network[3:]
	default:
		return t, ringwall.Errorf(ringwall.Invalid, "network %.20q is none of tcp and udp", network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return t, ringwall.Errorf(ringwall.Invalid, "address %.80q is not host:port", address)
	}
	n, err := net.DefaultResolver.LookupPort(ctx, t.proto, port)
	if err != nil {
		return t, ringwall.Errorf(ringwall.Invalid, "address %.80q has no such port", address)
	}
	t.port = uint16(n)
	if a, err := netip.ParseAddr(host); err == nil {
		t.addrs = []netip.Addr{a.Unmap()}
		return t, nil
	}
	t.name = canonicalName(host)
	if err := policy.CheckName(t.name); err != nil {
		return t, err
	}
	f := c.force.Load()
	fl := policy.Flow{Direction: api.FromDevice, Proto: t.proto, Names: []string{t.name}, Remote: netip.AddrPortFrom(netip.Addr{}, t.port)}
	v := f.mayLookup(t.name)
	if !v.Pass {
		return t, c.refuse(f, v, &fl)
	}
	// The final dot keeps search domains out: what is asked is what was judged.
	found, err := c.cfg.Resolver.LookupNetIP(ctx, "ip"+family, t.name+".")
	if err != nil {
		return t, err
	}
	for _, a := range found {
		t.addrs = append(t.addrs, a.Unmap())
	}
	if len(t.addrs) == 0 {
		return t, &net.DNSError{Err: "no address", Name: t.name, IsNotFound: true}
	}
	return t, nil
}

// dial tries the addresses that may be, in the order of the answer. seen is what
// will stand inside, nil where nobody can tell.
func (d *Dialer) dial(ctx context.Context, network, address string, seen *policy.Seen) (net.Conn, error) {
	t, err := d.c.resolve(ctx, network, address)
	if err != nil {
		return nil, err
	}
	var refused *Refusal
	var failed error
	for _, a := range t.addrs {
		one, err := d.dialOne(ctx, t, a, seen)
		if err == nil {
			return one, nil
		}
		if r, ok := errors.AsType[*Refusal](err); ok {
			if refused == nil {
				refused = r
			}
			continue
		}
		if failed = err; ctx.Err() != nil {
			break
		}
	}
	if failed != nil { // what is allowed could not be reached: that is the news
		return nil, failed
	}
	return nil, refused
}

func (d *Dialer) dialOne(ctx context.Context, t target, a netip.Addr, seen *policy.Seen) (net.Conn, error) {
	fl := policy.Flow{Direction: api.FromDevice, Proto: t.proto, Remote: netip.AddrPortFrom(a, t.port), Inside: seen}
	if t.name != "" {
		fl.Names = []string{t.name}
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = dialTimeout
	}
	// Registered before the first packet, so that a hold that comes meanwhile cuts
	// the attempt too.
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var holder rawHolder
	l, err := d.c.open(fl, func() { cancel(); holder.close() })
	if err != nil {
		return nil, err
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, t.proto, fl.Remote.String())
	if err != nil {
		l.close()
		return nil, l.err(err)
	}
	if !holder.set(raw) {
		l.close()
		return nil, l.err(net.ErrClosed)
	}
	if local, err := netip.ParseAddrPort(raw.LocalAddr().String()); err == nil {
		l.mu.Lock()
		l.flow.Local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
		l.mu.Unlock()
	}
	return newConn(raw, l), nil
}
