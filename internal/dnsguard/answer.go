package dnsguard

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// MaxAddrs is the most addresses of one answer that are passed on, and the most
// of one name that are bound to one device at a time. Large delivery networks
// give up to some dozens.
const MaxAddrs = 64

// Life of a binding. A client may use an answer until its TTL is over and
// begins its connection a moment later; shorter TTLs than minLife are bound
// longer, since clients often keep to no TTL below a minute.
const (
	minLife = time.Minute
	maxLife = 24 * time.Hour
	grace   = 30 * time.Second
	// maxChain bounds the aliases that are followed.
	maxChain = 16
)

// answer is what is left of an upstream's answer.
type answer struct {
	rcode    int
	records  []dns.RR
	addrs    []netip.Addr // of the A and AAAA records among them
	chain    []string     // of aliases, lower case, no final dot
	life     time.Duration
	stripped string // why something was left out
}

// clean takes from an upstream's answer to a question what may be passed on:
// the chain of aliases that begins at the name that was asked for, and the
// records of the type that was asked for at its end. inside tells which
// addresses are not to be passed on. The answer has been kept for age already:
// its TTLs are that much shorter.
func clean(q dns.Question, resp *dns.Msg, age time.Duration, inside func(netip.Addr) bool) answer {
	out := answer{rcode: resp.Rcode}
	if resp.Rcode != dns.RcodeSuccess {
		return out
	}
	owner := q.Name
	ttl := uint32(maxLife / time.Second)
	for range maxChain {
		i := slices.IndexFunc(resp.Answer, func(rr dns.RR) bool {
			return rr.Header().Rrtype == dns.TypeCNAME && rr.Header().Class == dns.ClassINET && strings.EqualFold(rr.Header().Name, owner)
		})
		if i < 0 || q.Qtype == dns.TypeCNAME {
			break
		}
		c := dns.Copy(resp.Answer[i]).(*dns.CNAME)
		out.records = append(out.records, c)
		ttl = min(ttl, c.Hdr.Ttl)
		owner = c.Target
		out.chain = append(out.chain, strings.ToLower(strings.TrimSuffix(owner, ".")))
	}
	for _, rr := range resp.Answer {
		h := rr.Header()
		if h.Rrtype != q.Qtype || h.Class != dns.ClassINET || !strings.EqualFold(h.Name, owner) {
			continue
		}
		rr = dns.Copy(rr)
		var addr netip.Addr
		switch v := rr.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(v.A.To4())
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(v.AAAA.To16())
		case *dns.HTTPS:
			if !stripHints(&v.SVCB) {
				continue
			}
		case *dns.SVCB:
			if !stripHints(v) {
				continue
			}
		}
		if h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA {
			switch {
			case !addr.IsValid() || slices.Contains(out.addrs, addr):
				continue
			case inside(addr):
				out.stripped = reasonRebind
				continue
			case len(out.addrs) == MaxAddrs:
				out.stripped = reasonTooMany
				continue
			}
			out.addrs = append(out.addrs, addr)
		}
		out.records = append(out.records, rr)
		ttl = min(ttl, h.Ttl)
	}
	// Whole seconds, rounded up: who keeps an answer must not make it younger.
	ttl -= min(ttl, uint32((age+time.Second-1)/time.Second))
	// The client must forget the answer before the kernel forgets the address.
	for _, rr := range out.records {
		rr.Header().Ttl = min(rr.Header().Ttl, ttl)
	}
	out.life = min(max(time.Duration(ttl)*time.Second, minLife), maxLife) + grace
	return out
}

// stripHints takes out of a service record what leads past the guard:
// addresses that were not asked for, and keys that hide the name from whoever
// looks for it. It reports false when the record means nothing without them.
func stripHints(s *dns.SVCB) bool {
	hidden := func(k dns.SVCBKey) bool {
		return k == dns.SVCB_IPV4HINT || k == dns.SVCB_IPV6HINT || k == dns.SVCB_ECHCONFIG
	}
	for _, kv := range s.Value {
		if m, ok := kv.(*dns.SVCBMandatory); ok && slices.ContainsFunc(m.Code, hidden) {
			return false
		}
	}
	s.Value = slices.DeleteFunc(s.Value, func(kv dns.SVCBKeyValue) bool { return hidden(kv.Key()) })
	return true
}

// private are networks that names of a house may lie in when a term says so:
// RFC 1918, RFC 4193, and RFC 6598 for gateways behind an operator.
var private = [...]netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// bogons are networks that no name lies in, whatever a term says: "this" network
// (RFC 791), loopback, link local (RFC 3927, cloud metadata), protocol
// assignments (RFC 6890), benchmarks (RFC 2544), multicast and reserved.
var bogons = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("224.0.0.0/3"),
}

// global is the one part of IPv6 that is given out to the world (RFC 4291
// section 2.4), and nested what in it carries an IPv4 address, which may be one
// inside: Teredo (RFC 4380) and 6to4 (RFC 3056).
var (
	global = netip.MustParsePrefix("2000::/3")
	nested = [...]netip.Prefix{netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2002::/16")}
)

// nowhere reports whether an address is of no network that may be answered.
func nowhere(a netip.Addr) bool {
	has := func(n netip.Prefix) bool { return n.Contains(a) }
	if a.Is4() {
		return slices.ContainsFunc(bogons[:], has)
	}
	return a.Is4In6() || slices.ContainsFunc(nested[:], has) || !global.Contains(a) && !slices.ContainsFunc(private[:], has)
}

// inside reports whether an address is of this house, or of nowhere.
func (t *table) inside(a netip.Addr) bool {
	has := func(n netip.Prefix) bool { return n.Contains(a) }
	return nowhere(a) || slices.ContainsFunc(private[:], has) || slices.ContainsFunc(t.Local, has)
}
