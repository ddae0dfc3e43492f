package nft

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// put takes one element of a set. The key and the end are good only until it
// returns.
type put func(set string, fam family, e element)

// Small boxes become single entries of a hash set; an interval set costs three
// and a half times as much to look into.
const (
	maxExactAddrs = 16
	maxExactPorts = 16
	maxExact      = 64
)

// famOf is the family whose tables judge an address.
func famOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return ipv4
	}
	return ipv6
}

// protoIn is the number that a protocol of the plan has in a family: that of
// control messages differs.
func protoIn(f family, proto uint8) uint8 {
	if f == ipv6 && proto == policy.ProtoICMP {
		return icmp6
	}
	return proto
}

// icmp6 is the number of ICMPv6 (RFC 4443 section 1).
const icmp6 = 58

// protoRanges returns the protocol numbers that a box means.
func protoRanges(f family, proto uint8) [][2]uint8 {
	switch proto {
	case policy.ProtoAny:
		return [][2]uint8{{0, 255}}
	case policy.ProtoOther:
		if f == ipv6 {
			return [][2]uint8{{0, 5}, {7, 16}, {18, 57}, {59, 255}}
		}
		return [][2]uint8{{0, 0}, {2, 5}, {7, 16}, {18, 255}}
	}
	p := protoIn(f, proto)
	return [][2]uint8{{p, p}}
}

// key builds the key of an element of fields that each begin at a word.
type key struct {
	b [64]byte
	n int
}

func (k *key) add(field ...byte) {
	copy(k.b[k.n:], field)
	k.n += (len(field) + 3) &^ 3
}

func (k *key) addr(a netip.Addr) {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		k.add(b[:]...)
		return
	}
	b := a.As16()
	k.add(b[:]...)
}

func (k *key) port(p uint16) { k.add(byte(p>>8), byte(p)) }

func (k *key) bytes() []byte { return k.b[:k.n] }

// boxes puts a list of boxes: small ones into a hash set, if one is named, the
// rest into an interval set.
func (p put) boxes(exact, ranges string, prefix []byte, boxes []policy.Box, val []byte) {
	for i := range boxes {
		p.box(exact, ranges, prefix, &boxes[i], val)
	}
}

func (p put) box(exact, ranges string, prefix []byte, b *policy.Box, val []byte) {
	f := famOf(b.First)
	ports := int(b.PortLast) - int(b.PortFirst) + 1
	first, last := b.PortFirst, b.PortLast
	if b.AllPorts() {
		ports, first, last = 1, 0, 0 // one entry with port 0
	}
	// An entry with port 0 stands for all ports, so that port 0 alone must be a range.
	if exact != "" && b.Proto != policy.ProtoOther && ports <= maxExactPorts && (b.AllPorts() || first > 0) {
		if n := addrsIn(b.First, b.Last); n <= maxExactAddrs && n*ports <= maxExact {
			proto := protoIn(f, b.Proto)
			for a, i := b.First.Unmap(), 0; i < n; a, i = a.Next(), i+1 {
				for port := int(first); port <= int(last); port++ {
					var k key
					k.add(prefix...)
					k.addr(a)
					k.add(proto)
					k.port(uint16(port))
					p(exact, f, element{key: k.bytes(), val: val})
				}
			}
			return
		}
	}
	for _, r := range protoRanges(f, b.Proto) {
		var lo, hi key
		lo.add(prefix...)
		lo.addr(b.First)
		lo.add(r[0])
		lo.port(b.PortFirst)
		hi.add(prefix...)
		hi.addr(b.Last)
		hi.add(r[1])
		hi.port(b.PortLast)
		p(ranges, f, element{key: lo.bytes(), end: hi.bytes(), val: val})
	}
}

// addrsIn counts the addresses of a range, as far as it matters.
func addrsIn(first, last netip.Addr) int {
	n := 1
	for a := first.Unmap(); a != last.Unmap() && n <= maxExactAddrs; a = a.Next() {
		n++
	}
	return n
}

// standing is what a device has in the kernel beside its policy.
type standing struct {
	state policy.State
	token uint32 // without flowPending
	names string // see namesID
}

// addresses of a device, by which its flows are known. With any of IPv6 it has
// the one of its link that is made of its MAC; others of the link only if they
// are named.
func addresses(d *policy.Device) []netip.Addr {
	var out []netip.Addr
	if d.IP.IsValid() {
		out = append(out, d.IP)
	}
	if len(d.IP6) == 0 {
		return out
	}
	out = append(out, d.IP6...)
	if l := linkLocal(d.MAC); !d.Subscribed && !slices.Contains(d.IP6, l) {
		out = append(out, l)
	}
	return out
}

// linkLocal is the address of RFC 4291 appendix A.
func linkLocal(m policy.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// families of the addresses of a device.
func familiesOf(d *policy.Device) []family {
	switch {
	case len(d.IP6) == 0:
		return []family{ipv4}
	case !d.IP.IsValid():
		return []family{ipv6}
	}
	return []family{ipv4, ipv6}
}

// at is the site at a moment: the periods of quotas depend on it.
func (c *site) at(t time.Time) *site {
	out := *c
	out.Now = func() time.Time { return t }
	return &out
}

// device puts what the sets hold for a device, but for its MAC and its tokens.
func (c *site) device(p put, d *policy.Device) {
	m := num(d.Mark)
	c.binding(p, d)
	for _, a := range addresses(d) {
		f := famOf(a)
		var k key
		k.addr(a)
		p(setOwner, f, element{key: k.bytes(), val: m})
		p(setUp, f, element{key: k.bytes()})
		p(setDown, f, element{key: k.bytes()})
		if f == ipv6 {
			p(setLocal, f, element{key: k.bytes()})
		}
	}
	for _, f := range familiesOf(d) {
		p(setRefused, f, element{key: m})
		p(setWould, f, element{key: m})
	}
	p.boxes(setAllow, setAllowI, m, d.Allow, nil)
	p.boxes("", setDenyI, m, d.Deny, nil)
	p.boxes(setInAllow, setInAllowI, m, d.InAllow, nil)
	p.boxes("", setInDenyI, m, d.InDeny, nil)
	p.boxes("", setInspectNamed, m, d.InspectNamed, nil)
	if c.Inspect != 0 {
		p.boxes(setInspect, setInspectI, m, d.Inspect, nil)
		p.boxes(setInInspect, setInInspectI, m, d.InInspect, nil)
	}
	for _, f := range familiesOf(d) {
		p.services(setGwAllow, setGwAllowI, f, m, d.GatewayAllow)
		p.services(setGwDeny, setGwDenyI, f, m, d.GatewayDeny)
	}
	c.limits(p, d)
	if c.Host {
		c.programs(p, d)
	}
}

// binding puts what ties packets to the device.
func (c *site) binding(p put, d *policy.Device) {
	m := num(d.Mark)
	for _, b := range c.binders() {
		for _, a := range addresses(d) {
			if famOf(a) != b.ip {
				continue
			}
			var ip, k key
			ip.addr(a)
			p(setIPs+b.suffix, b.table, element{key: ip.bytes()})
			set := setBind
			switch {
			case d.Subscribed && d.Port != "":
				set = setBindSub
				k.add(ifname(d.Port)...)
			case d.Subscribed:
				set = setBindIP
			case d.Port != "":
				k.add(ifname(d.Port)...)
				k.add(b.frame(d.MAC)...)
			default:
				set = setBindAny
				k.add(d.MAC[:]...)
			}
			k.addr(a)
			p(set+b.suffix, b.table, element{key: k.bytes(), val: m})
		}
	}
}

// macKey is a MAC that some devices have, and whether IPv6 is open to them. Several
// may share one.
type macKey struct {
	mac policy.MAC
	v6  bool
}

// macsOf lists those of a device.
func macsOf(d *policy.Device) []macKey {
	switch {
	case d.Subscribed:
		return nil
	case len(d.IP6) > 0:
		return []macKey{{d.MAC, false}, {d.MAC, true}}
	}
	return []macKey{{d.MAC, false}}
}

// mac puts what the sets hold for a MAC.
func (c *site) mac(p put, k macKey) {
	for _, b := range c.binders() {
		switch {
		case k.v6 && b.ip == ipv6:
			p(setMACs6, b.table, element{key: k.mac[:]})
		case !k.v6 && b.first():
			p(setMACs, b.table, element{key: k.mac[:]})
			p(setForged, b.table, element{key: k.mac[:]})
		}
	}
}

// stand puts the state and the tokens of a device.
func (c *site) stand(p put, d *policy.Device, s standing) {
	m := num(d.Mark)
	for _, f := range familiesOf(d) {
		p(setState, f, element{key: m, val: num(uint32(s.state))})
		p(setToken, f, element{key: m, val: num(s.token | flowPending), comment: s.names})
		p(setLive, f, element{key: cat(m, num(s.token))})
		p(setLive, f, element{key: cat(m, num(s.token|flowBoth))})
		if s.fast(d) {
			p(setFastUp, f, element{key: cat(m, num(s.token))})
			p(setFastDown, f, element{key: num(s.token)})
		}
	}
}

// fast reports whether packets of flows to the outside pass by their token alone.
func (s standing) fast(d *policy.Device) bool {
	return s.state == policy.StateEnforce && len(d.Limits) == 0
}

// common puts what the sets hold whatever devices there are.
func (c *site) common(p put, plan *policy.Plan) {
	for _, b := range c.binders() {
		if !b.first() {
			continue
		}
		for _, port := range plan.ClosedPorts {
			p(setClosed, b.table, element{key: ifname(port)})
		}
	}
	locals := []family{ipv4}
	if c.Bridge != "" {
		locals = append(locals, bridge)
	}
	for _, f := range locals {
		for _, n := range joined(plan.Local) {
			p(setLocal, f, element{key: be4(n.first)})
			if n.last != 0xffffffff {
				p(setLocal, f, element{key: be4(n.last + 1), stop: true})
			}
		}
	}
	stranger := num(policy.Stranger)
	for _, f := range routed() {
		p(setState, f, element{key: stranger, val: num(uint32(plan.Arrival))})
		p(setRefused, f, element{key: stranger})
		p(setWould, f, element{key: stranger})
	}
	p.boxes(setRem, setRemI, nil, plan.Remediation, nil)
	p.boxes("", setRemNoI, nil, plan.RemediationDeny, nil)
	if c.Host && len(plan.Devices) > 0 {
		// The machine itself is looked up by no address: it may have many.
		for _, f := range routed() {
			var k key
			k.addr(unspecified(f))
			p(setOwner, f, element{key: k.bytes(), val: num(plan.Devices[0].Mark)})
			p(setUp, f, element{key: k.bytes()})
			p(setDown, f, element{key: k.bytes()})
		}
	}
}

func unspecified(f family) netip.Addr {
	if f == ipv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// services puts services of the gateway.
func (p put) services(exact, ranges string, f family, m []byte, list []policy.Service) {
	for _, s := range list {
		if s.Proto == policy.ProtoOther {
			for _, r := range protoRanges(f, s.Proto) {
				var lo, hi key
				lo.add(m...)
				lo.add(r[0])
				lo.port(0)
				hi.add(m...)
				hi.add(r[1])
				hi.port(0xffff)
				p(ranges, f, element{key: lo.bytes(), end: hi.bytes()})
			}
			continue
		}
		protos := []uint8{s.Proto}
		if s.Proto == policy.ProtoAny && s.Ports != nil {
			protos = []uint8{policy.ProtoTCP, policy.ProtoUDP}
		}
		ports := s.Ports
		if ports == nil {
			ports = []api.PortRange{{First: 0, Last: 0xffff}}
		}
		for _, proto := range protos {
			for _, r := range ports {
				all := r == api.PortRange{First: 0, Last: 0xffff}
				if n := int(r.Last) - int(r.First); all || n < maxExactPorts && r.First > 0 {
					first, last := r.First, r.Last
					if all {
						first, last = 0, 0
					}
					for port := int(first); port <= int(last); port++ {
						var k key
						k.add(m...)
						k.add(protoIn(f, proto))
						k.port(uint16(port))
						p(exact, f, element{key: k.bytes()})
					}
					continue
				}
				var lo, hi key
				lo.add(m...)
				lo.add(protoIn(f, proto))
				lo.port(r.First)
				hi.add(m...)
				hi.add(protoIn(f, proto))
				hi.port(r.Last)
				p(ranges, f, element{key: lo.bytes(), end: hi.bytes()})
			}
		}
	}
}

type interval struct{ first, last uint32 }

// joined returns disjoint sorted networks as intervals, those that touch made
// one: the end of one and the beginning of the next would be the same key.
func joined(nets []netip.Prefix) []interval {
	var out []interval
	for _, n := range nets {
		if !n.Addr().Is4() {
			continue
		}
		first := be32(n.Addr())
		last := first | uint32(1<<(32-n.Bits())-1)
		if k := len(out); k > 0 && uint64(first) == uint64(out[k-1].last)+1 {
			out[k-1].last = last
			continue
		}
		out = append(out, interval{first, last})
	}
	return out
}

func be32(a netip.Addr) uint32 { return binary.BigEndian.Uint32(ip4(a)) }
func be4(v uint32) []byte      { return binary.BigEndian.AppendUint32(nil, v) }

// serviceKeys returns the protocol and port fields that services open: port 0
// stands for all ports, protocol 0 for all protocols.
func serviceKeys(f family, services []policy.Service) [][]byte {
	var out [][]byte
	add := func(proto uint8, port uint16) { out = append(out, cat([]byte{protoIn(f, proto)}, be16(port))) }
	for _, s := range services {
		if s.Ports == nil {
			add(s.Proto, 0)
			continue
		}
		protos := []uint8{s.Proto}
		if s.Proto == policy.ProtoAny {
			protos = []uint8{policy.ProtoTCP, policy.ProtoUDP}
		}
		for _, proto := range protos {
			for _, r := range s.Ports {
				if r == (api.PortRange{First: 0, Last: 0xffff}) {
					add(proto, 0)
					continue
				}
				for p := max(1, int(r.First)); p <= int(r.Last); p++ {
					add(proto, uint16(p))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b []byte) int { return slices.Compare(a, b) })
	return slices.CompactFunc(out, func(a, b []byte) bool { return slices.Equal(a, b) })
}

// item is one element in a form that can be compared and kept.
type item struct {
	set      *setDef
	key, end string
	stop     bool
}

// value is what an element holds beside its key.
type value struct {
	val, comment, bound string
	expr                expr.Any // what bound tells of
}

func (v value) same(w value) bool {
	return v.val == w.val && v.comment == w.comment && v.bound == w.bound
}

// items is what sets hold, or should hold.
type items map[item]value

// take returns the function that fills m.
func (f *Firewall) take(m items) put {
	return func(set string, fam family, e element) {
		m[item{f.sets[setID{fam, set}], string(e.key), string(e.end), e.stop}] = valueOf(&e)
	}
}

func valueOf(e *element) value {
	return value{string(e.val), e.comment, boundOf(e.expr), e.expr}
}

func (k item) element(v value) element {
	e := element{key: []byte(k.key), stop: k.stop, comment: v.comment, expr: v.expr}
	if k.end != "" {
		e.end = []byte(k.end)
	}
	if v.val != "" {
		e.val = []byte(v.val)
	}
	return e
}

// boundOf describes a bound as the kernel tells of it.
func boundOf(x expr.Any) string {
	switch x := x.(type) {
	case *expr.Limit:
		return fmt.Sprintf("limit %d %d %d %d", x.Type, x.Rate, x.Unit, x.Burst)
	case *expr.Quota:
		return fmt.Sprintf("quota %d", x.Bytes)
	case *expr.Connlimit:
		return fmt.Sprintf("flows %d", x.Count)
	}
	return ""
}

// sorted returns the keys in a settled order.
func (m items) sorted() []item {
	out := make([]item, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.set.family, b.set.family), cmp.Compare(a.set.name, b.set.name),
			cmp.Compare(a.key, b.key), cmp.Compare(a.end, b.end))
	})
	return out
}

func u32(s string) uint32 {
	if len(s) < 4 {
		return 0
	}
	return binaryutil.NativeEndian.Uint32([]byte(s[:4]))
}
