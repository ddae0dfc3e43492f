package policy

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Protocol numbers that terms name.
const (
	ProtoAny  uint8 = 0 // every protocol
	ProtoICMP uint8 = 1
	ProtoTCP  uint8 = 6
	ProtoUDP  uint8 = 17
	// ProtoOther stands for every protocol but ICMP, TCP and UDP; it comes of an
	// allow term for all from which a deny term takes something away.
	ProtoOther uint8 = 255
)

// Box is a block of other ends: a range of addresses of one family, a protocol
// and a range of ports. A protocol that has no ports has the full range.
// ProtoICMP in a box of IPv6 addresses is ICMPv6 (58), and ProtoOther all but
// that, TCP and UDP. The boxes of one list never overlap, which interval sets
// of the kernel demand; those of IPv4 come first.
type Box struct {
	First, Last         netip.Addr // closed range
	Proto               uint8
	PortFirst, PortLast uint16 // closed range
}

// AllPorts reports whether the box does not look at ports.
func (b Box) AllPorts() bool { return b.PortFirst == 0 && b.PortLast == 0xffff }

// maxBoxes bounds the boxes of one list of one device. Terms that need more are
// refused: each one costs an entry in a kernel set whose lookup slows with them.
const maxBoxes = 4096

// u128 is an address as a number; those of IPv4 have no hi.
type u128 struct{ hi, lo uint64 }

func (a u128) less(b u128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a u128) compare(b u128) int { return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo)) }

func (a u128) next() u128 {
	if a.lo++; a.lo == 0 {
		a.hi++
	}
	return a
}

func (a u128) prev() u128 {
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
}

// family is what distinguishes addresses of IPv4 from those of IPv6.
type family uint8

const (
	ipv4 family = iota
	ipv6
)

func (f family) max() u128 {
	if f == ipv4 {
		return u128{0, 1<<32 - 1}
	}
	return u128{1<<64 - 1, 1<<64 - 1}
}

func (f family) addr(v u128) netip.Addr {
	if f == ipv4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(v.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.hi)
	binary.BigEndian.PutUint64(b[8:], v.lo)
	return netip.AddrFrom16(b)
}

func number(a netip.Addr) u128 {
	if a.Is4() {
		b := a.As4()
		return u128{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return u128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// span returns the first and last address of a prefix.
func span(p netip.Prefix) (first, last u128) {
	first = number(p.Masked().Addr())
	last = first
	host := p.Addr().BitLen() - p.Bits()
	if host >= 64 {
		last.lo = 1<<64 - 1
		last.hi |= uint64(1)<<(host-64) - 1 // 1<<64 is 0 in Go, and less one all ones
	} else {
		last.lo |= uint64(1)<<host - 1
	}
	return first, last
}

// area is what one term covers before areas are made disjoint.
type area struct {
	first, last u128
	proto       uint8
	ports       []api.PortRange // nil = all
}

// areas are those of one list, by family.
type areas [2][]area

// segment collects what is covered on one range of addresses. Other stands for
// every protocol but the three that terms can name.
type segment struct {
	other, icmp bool
	tcp, udp    []api.PortRange
}

// boxes returns what rule makes of what the lists cover at each address, as
// disjoint boxes in canonical order: areas that cover the same give the same
// boxes, however they were written down. Where the lists cover nothing, rule
// has to make nothing.
func boxes(rule func(at []segment) segment, lists ...*areas) ([]Box, error) {
	var out []Box
	for _, f := range []family{ipv4, ipv6} {
		var err error
		if out, err = f.boxes(out, rule, lists); err != nil {
			return nil, err
		}
	}
	return slices.Clone(out), nil // plans stay: without the room that out has grown into
}

func (f family) boxes(out []Box, rule func([]segment) segment, lists []*areas) ([]Box, error) {
	// Every address where some area begins, or the one after where one ends,
	// starts a segment on which the same areas cover all addresses.
	var cuts []u128
	sweeps := make([]sweep, len(lists))
	for i, list := range lists {
		for _, a := range list[f] {
			cuts = append(cuts, a.first)
			if a.last != f.max() {
				cuts = append(cuts, a.last.next())
			}
		}
		sweeps[i] = sweep{todo: byFirst(list[f])}
	}
	slices.SortFunc(cuts, u128.compare)
	cuts = slices.Compact(cuts)

	var open []Box // those that end just before the next cut
	at := make([]segment, len(lists))
	for i, lo := range cuts {
		hi := f.max()
		if i+1 < len(cuts) {
			hi = cuts[i+1].prev()
		}
		for j := range sweeps {
			at[j] = cover(sweeps[j].at(lo))
		}
		here := rule(at).boxes(f.addr(lo), f.addr(hi))
		if len(open) > 0 && slices.EqualFunc(open, here, sameButAddrs) {
			for j := range open { // the segment before was covered alike: one box over both
				open[j].Last = here[j].Last
			}
			continue
		}
		out, open = append(out, open...), here
		if len(out)+len(open) > maxBoxes {
			return nil, ringwall.Errorf(ringwall.Invalid, "the terms need more than %d entries", maxBoxes)
		}
	}
	return append(out, open...), nil
}

func byFirst(list []area) []area {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b area) int { return a.first.compare(b.first) })
	return list
}

// sweep goes over areas by rising address.
type sweep struct{ todo, active []area }

// at returns the areas that cover the segment that begins at lo.
func (s *sweep) at(lo u128) []area {
	for len(s.todo) > 0 && !lo.less(s.todo[0].first) {
		s.active = append(s.active, s.todo[0])
		s.todo = s.todo[1:]
	}
	s.active = slices.DeleteFunc(s.active, func(a area) bool { return a.last.less(lo) })
	return s.active
}

func sameButAddrs(a, b Box) bool {
	return a.Proto == b.Proto && a.PortFirst == b.PortFirst && a.PortLast == b.PortLast
}

// cover merges what areas cover on one range of addresses.
func cover(active []area) segment {
	full := api.PortRange{First: 0, Last: 0xffff}
	var s segment
	if len(active) == 0 {
		return s
	}
	for _, a := range active {
		ports := a.ports
		if ports == nil {
			ports = []api.PortRange{full}
		}
		switch a.proto {
		case ProtoAny:
			s.tcp, s.udp = append(s.tcp, ports...), append(s.udp, ports...)
			if a.ports == nil {
				s.other, s.icmp = true, true
			}
		case ProtoTCP:
			s.tcp = append(s.tcp, ports...)
		case ProtoUDP:
			s.udp = append(s.udp, ports...)
		case ProtoICMP:
			s.icmp = true
		}
	}
	s.tcp, s.udp = MergePorts(s.tcp), MergePorts(s.udp)
	return s
}

// without returns what of s is not in t.
func (s segment) without(t segment) segment {
	return segment{
		other: s.other && !t.other, icmp: s.icmp && !t.icmp,
		tcp: subtractPorts(s.tcp, t.tcp), udp: subtractPorts(s.udp, t.udp),
	}
}

// and returns what is in both.
func (s segment) and(t segment) segment { return s.without(s.without(t)) }

// or returns what is in either.
func (s segment) or(t segment) segment {
	return segment{
		other: s.other || t.other, icmp: s.icmp || t.icmp,
		tcp: MergePorts(append(slices.Clone(s.tcp), t.tcp...)), udp: MergePorts(append(slices.Clone(s.udp), t.udp...)),
	}
}

// subtractPorts returns what of merged ranges is not in other merged ranges.
func subtractPorts(from, take []api.PortRange) []api.PortRange {
	var out []api.PortRange
	for _, r := range from {
		first := uint32(r.First)
		for _, t := range take {
			if t.Last < r.First || t.First > r.Last {
				continue
			}
			if uint32(t.First) > first {
				out = append(out, api.PortRange{First: uint16(first), Last: t.First - 1})
			}
			first = max(first, uint32(t.Last)+1)
		}
		if first <= uint32(r.Last) {
			out = append(out, api.PortRange{First: uint16(first), Last: r.Last})
		}
	}
	return out
}

func isFull(ports []api.PortRange) bool {
	return len(ports) == 1 && ports[0] == api.PortRange{First: 0, Last: 0xffff}
}

func (s segment) boxes(first, last netip.Addr) []Box {
	if s.other && s.icmp && isFull(s.tcp) && isFull(s.udp) {
		return []Box{{first, last, ProtoAny, 0, 0xffff}}
	}
	var out []Box
	if s.icmp {
		out = append(out, Box{first, last, ProtoICMP, 0, 0xffff})
	}
	for _, r := range s.tcp {
		out = append(out, Box{first, last, ProtoTCP, r.First, r.Last})
	}
	for _, r := range s.udp {
		out = append(out, Box{first, last, ProtoUDP, r.First, r.Last})
	}
	if s.other {
		out = append(out, Box{first, last, ProtoOther, 0, 0xffff})
	}
	return out
}

// MergePorts returns the ranges sorted, with those that touch or overlap
// joined, in a slice of its own.
func MergePorts(ports []api.PortRange) []api.PortRange {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b api.PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	out := ports[:0]
	for _, r := range ports {
		if n := len(out); n > 0 && uint32(r.First) <= uint32(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
