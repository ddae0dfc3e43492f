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

// Box is a block of other ends: a range of IPv4 addresses, a protocol and a
// range of ports. A protocol that has no ports has the full range. The boxes
// of one list never overlap, which interval sets of the kernel demand.
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

// area is what one term covers before areas are made disjoint.
type area struct {
	first, last uint32
	proto       uint8
	ports       []api.PortRange // nil = all
}

// segment collects what is covered on one range of addresses. Other stands for
// every protocol but the three that terms can name.
type segment struct {
	other, icmp bool
	tcp, udp    []api.PortRange
}

// boxes returns allow without deny as disjoint boxes in canonical order: areas
// that cover the same give the same boxes, however they were written down.
func boxes(allow, deny []area) ([]Box, error) {
	if len(allow) == 0 {
		return nil, nil
	}
	// Every address where some area begins, or the one after where one ends,
	// starts a segment on which the same areas cover all addresses.
	var cuts []uint64
	for _, list := range [][]area{allow, deny} {
		for _, a := range list {
			cuts = append(cuts, uint64(a.first), uint64(a.last)+1)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)

	var out, open []Box // open are the boxes that end just before the next cut
	yes, no := sweep{todo: byFirst(allow)}, sweep{todo: byFirst(deny)}
	for i := range len(cuts) - 1 {
		lo, hi := uint32(cuts[i]), uint32(cuts[i+1]-1)
		here := cover(yes.at(lo)).without(cover(no.at(lo))).boxes(lo, hi)
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

func byFirst(areas []area) []area {
	areas = slices.Clone(areas)
	slices.SortFunc(areas, func(a, b area) int { return cmp.Compare(a.first, b.first) })
	return areas
}

// sweep goes over areas by rising address.
type sweep struct{ todo, active []area }

// at returns the areas that cover the segment that begins at lo.
func (s *sweep) at(lo uint32) []area {
	for len(s.todo) > 0 && s.todo[0].first <= lo {
		s.active = append(s.active, s.todo[0])
		s.todo = s.todo[1:]
	}
	s.active = slices.DeleteFunc(s.active, func(a area) bool { return a.last < lo })
	return s.active
}

func sameButAddrs(a, b Box) bool {
	return a.Proto == b.Proto && a.PortFirst == b.PortFirst && a.PortLast == b.PortLast
}

// cover merges what areas cover on one range of addresses.
func cover(active []area) segment {
	full := api.PortRange{First: 0, Last: 0xffff}
	var s segment
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

func (s segment) boxes(lo, hi uint32) []Box {
	first, last := addr4(lo), addr4(hi)
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

func addr4(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

func num4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// span returns the first and last address of an IPv4 prefix.
func span(p netip.Prefix) (first, last uint32) {
	first = num4(p.Masked().Addr())
	return first, first | uint32(1<<(32-p.Bits())-1)
}
