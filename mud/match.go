package mud

import (
	"net/netip"
	"strings"

	"github.com/ringwall/ringwall/internal/strict"
)

// matches reads what an entry matches. Everything in it counts, so that what
// is not understood is an error.
func (p *parser) matches(v strict.Value, e *ACE, fam Family, hasActions bool, inner func(strict.Value)) {
	v.Fields(func(get func(string) strict.Value) {
		v4, v6 := get("ipv4"), get("ipv6")
		if v4.Present() && fam != IPv4 || v6.Present() && fam != IPv6 {
			v.Failf("entry %q matches the other address family than its list", strict.Short(e.Name))
		}
		p.ip(v4, e, "destination-ipv4-network", "source-ipv4-network", fam)
		p.ip(v6, e, "destination-ipv6-network", "source-ipv6-network", fam)
		p.transport(get("tcp"), e, tcp)
		p.transport(get("udp"), e, udp)
		p.icmp(get("icmp"), e, fam)
		p.peer(get("ietf-mud:mud"), e)
		p.profiles(get("ietf-acl-tls:client-profiles"), e, false)
		p.profiles(get("ietf-acl-tls:client-profile"), e, true)
		if in := get("actions"); in.Present() {
			if hasActions {
				in.Failf("entry %q has actions twice", strict.Short(e.Name))
				return
			}
			p.note("actions", "actions stand inside matches, as in the example of RFC 9761")
			inner(in)
		}
	})
}

func (p *parser) ip(v strict.Value, e *ACE, dst, src string, fam Family) {
	v.Fields(func(get func(string) strict.Value) {
		if n := get("protocol"); n.Present() {
			p.protocol(n, e, uint8(n.Int(0, 255)))
		}
		e.Dst, e.Src = p.prefix(get(dst), fam), p.prefix(get(src), fam)
		e.DstName, e.SrcName = p.name(get("ietf-acldns:dst-dnsname")), p.name(get("ietf-acldns:src-dnsname"))
	})
}

func (p *parser) protocol(at strict.Value, e *ACE, n uint8) {
	if e.Protocol != 0 && e.Protocol != n {
		at.Failf("entry %q matches protocols %d and %d at once", strict.Short(e.Name), e.Protocol, n)
	}
	e.Protocol = n
}

func (p *parser) prefix(v strict.Value, fam Family) netip.Prefix {
	s := v.Text()
	if s == "" {
		return netip.Prefix{}
	}
	n, err := netip.ParsePrefix(s)
	if err != nil || n.Addr().Is4() != (fam == IPv4) {
		v.Failf("%q is no network of the list's address family", strict.Short(s))
		return netip.Prefix{}
	}
	return n.Masked()
}

// name reads a DNS name: what a resolver is asked later, so nothing but labels.
func (p *parser) name(v strict.Value) string {
	s := strings.ToLower(strings.TrimSuffix(v.Text(), "."))
	if s == "" {
		return ""
	}
	if len(s) > 253 {
		v.Failf("is longer than a DNS name may be")
		return ""
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			v.Failf("%q is no DNS name", strict.Short(s))
			return ""
		}
	}
	return s
}

func (p *parser) transport(v strict.Value, e *ACE, proto uint8) {
	if !v.Present() {
		return
	}
	p.protocol(v, e, proto)
	v.Fields(func(get func(string) strict.Value) {
		e.SrcPorts, e.DstPorts = p.ports(get("source-port")), p.ports(get("destination-port"))
		if proto == tcp {
			e.Direction = Direction(get("ietf-mud:direction-initiated").OneOf(string(FromDevice), string(ToDevice)))
		}
	})
}

// ports reads an operator with a port, or two ends (RFC 8519 section 4.2). "neq"
// would need two ranges and is refused: no manufacturer means it.
func (p *parser) ports(v strict.Value) Ports {
	var out Ports
	v.Fields(func(get func(string) strict.Value) {
		if port := get("port"); port.Present() {
			n := uint16(port.Int(0, 65535))
			switch op := get("operator").OneOf("eq", "lte", "gte"); op {
			case "eq", "":
				out = Ports{n, n}
			case "lte":
				out = Ports{0, n}
			case "gte":
				out = Ports{n, 65535}
			}
			return
		}
		low, high := get("lower-port"), get("upper-port")
		if !low.Present() {
			v.Failf("neither a port nor a range of ports")
			return
		}
		out.Low = uint16(low.Int(0, 65535))
		out.High = out.Low
		if high.Present() {
			out.High = uint16(high.Int(int(out.Low), 65535))
		}
	})
	if v.Present() && out == (Ports{}) {
		v.Failf("port 0 is no port")
	}
	return out
}

func (p *parser) icmp(v strict.Value, e *ACE, fam Family) {
	if !v.Present() {
		return
	}
	proto := uint8(1)
	if fam == IPv6 {
		proto = 58
	}
	p.protocol(v, e, proto)
	e.ICMP = &ICMP{Type: -1, Code: -1}
	v.Fields(func(get func(string) strict.Value) {
		if t := get("type"); t.Present() {
			e.ICMP.Type = t.Int(0, 255)
		}
		if c := get("code"); c.Present() {
			e.ICMP.Code = c.Int(0, 255)
		}
	})
}

// peer reads the abstractions of RFC 8520 section 8.1. Leaves of type empty are
// written [null] (RFC 7951 section 6.9).
func (p *parser) peer(v strict.Value, e *ACE) {
	kinds := 0
	v.Fields(func(get func(string) strict.Value) {
		empty := func(name string) bool {
			w := get(name)
			if !w.Given() {
				return false
			}
			n := w.Node()
			if n.Kind != strict.Null && (n.Kind != strict.List || len(n.Items) != 1 || n.Items[0].Kind != strict.Null) {
				w.Failf("is written [null] or not at all")
			}
			kinds++
			return true
		}
		word := func(name string) string {
			s := p.text(get(name))
			if s != "" {
				kinds++
			}
			return s
		}
		e.Peer = Peer{
			SameManufacturer: empty("same-manufacturer"), LocalNetworks: empty("local-networks"), MyController: empty("my-controller"),
			Manufacturer: p.authority(get("manufacturer"), &kinds), Model: word("model"), Controller: word("controller"),
		}
	})
	if kinds > 1 {
		v.Failf("entry %q asks for %d kinds of peer at once", strict.Short(e.Name), kinds)
	}
}

func (p *parser) authority(v strict.Value, kinds *int) string {
	s := p.name(v)
	if s != "" {
		*kinds++
	}
	return s
}
