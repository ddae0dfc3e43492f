package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Question is what Explain is asked.
type Question struct {
	// To is whom the application would talk to: "https://host/path",
	// "http://host/path", "coap://host/path", "tcp://host:port", "udp://host:port"; or,
	// for flows that others open, "in:tcp://address:port", the port being the
	// application's own.
	To     string
	Method string // of a URI; "" = GET
	// Addrs are the addresses to judge a name with; nil = it is looked up, if that
	// may be.
	Addrs []netip.Addr
}

// Answer is what Explain says of one address.
type Answer struct {
	Addr    netip.Addr
	Pass    bool
	Would   bool   // it passes only because nothing is refused in this mode
	Reason  string // as in Refusal
	Term    string
	Limit   *api.Limit
	Refused *Refusal // nil when it passes
}

// String says it in a sentence.
func (a Answer) String() string {
	switch {
	case a.Refused != nil:
		return a.Refused.Error()
	case a.Would:
		return fmt.Sprintf("passes to %s in this mode, and would be refused in mode enforce (%s)", a.Addr, a.Reason)
	case a.Term != "":
		return fmt.Sprintf("passes to %s by term %q (%s)", a.Addr, a.Term, a.Reason)
	}
	return fmt.Sprintf("passes to %s (%s)", a.Addr, a.Reason)
}

// Explain tells what the policy in force says of a question, address by address.
// Nothing is sent but the lookup, nothing is counted and nothing reported.
func (c *Client) Explain(ctx context.Context, q Question) ([]Answer, error) {
	f := c.force.Load()
	fl := policy.Flow{Direction: api.FromDevice}
	text, in := strings.CutPrefix(q.To, "in:")
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil, ringwall.Errorf(ringwall.Invalid, "%.80q is not of the form https://host/path, tcp://host:port or in:tcp://address:port", q.To)
	}
	port := map[string]string{"https": "443", "http": "80", "coap": "5683"}[u.Scheme]
	if p := u.Port(); p != "" {
		port = p
	}
	ap, err := netip.ParseAddrPort(net.JoinHostPort("0.0.0.0", port))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "%.80q names no port", q.To)
	}
	fl.Proto = map[string]string{"udp": "udp", "coap": "udp", "tcp": "tcp", "http": "tcp", "https": "tcp"}[u.Scheme]
	addr, aerr := netip.ParseAddr(u.Hostname())
	switch u.Scheme {
	case "tcp", "udp":
	case "http", "https", "coap":
		fl.Inside = &policy.Seen{Proto: strings.TrimSuffix(u.Scheme, "s"), Host: policy.ShownName(u.Host, addr), Method: q.Method, Complete: true}
		fl.Inside.Path, _ = policy.CanonicalPath(u.RequestURI())
		if fl.Inside.Method == "" {
			fl.Inside.Method = "GET"
		}
		if u.Scheme == "https" {
			fl.Inside.TLS = bestTLS(nil)
		}
	default:
		return nil, ringwall.Errorf(ringwall.Invalid, "scheme %.20q is none of https, http, coap, tcp, udp", u.Scheme)
	}
	if in {
		if aerr != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "who opens a flow to this device has an address, not the name %.80q", u.Hostname())
		}
		fl.Direction, fl.Local, fl.Remote = api.ToDevice, netip.AddrPortFrom(netip.IPv4Unspecified(), ap.Port()), netip.AddrPortFrom(addr.Unmap(), 0)
		return []Answer{c.answer(f, fl)}, nil
	}
	addrs := q.Addrs
	if aerr == nil {
		addrs = []netip.Addr{addr.Unmap()}
	} else {
		name := canonicalName(u.Hostname())
		fl.Names = []string{name}
		fl.Remote = netip.AddrPortFrom(netip.Addr{}, ap.Port())
		if v := f.mayLookup(name); !v.Pass {
			return []Answer{{Reason: v.Reason, Term: v.Term, Refused: f.refusal(v, &fl)}}, nil
		}
		if addrs == nil {
			if addrs, err = c.cfg.Resolver.LookupNetIP(ctx, "ip", name+"."); err != nil {
				return nil, err
			}
		}
	}
	var out []Answer
	for _, a := range addrs {
		one := fl
		one.Remote = netip.AddrPortFrom(a.Unmap(), ap.Port())
		out = append(out, c.answer(f, one))
	}
	return out, nil
}

func (c *Client) answer(f *inForce, fl policy.Flow) Answer {
	v := c.decide(f, &fl)
	a := Answer{Addr: fl.Remote.Addr(), Pass: v.Pass, Would: v.Would, Reason: v.Reason, Term: v.Term, Limit: v.Limit}
	if !v.Pass {
		a.Refused = f.refusal(v, &fl)
	}
	return a
}

// AsRefusal returns the refusal in err's chain, if there is one.
func AsRefusal(err error) (*Refusal, bool) { return errors.AsType[*Refusal](err) }
