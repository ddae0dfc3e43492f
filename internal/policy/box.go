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

// segment collects what is covered on one range of addresses.
type segment struct {
	any, icmp bool
	tcp, udp  []api.PortRange
}

// boxes returns areas as disjoint boxes in canonical order: areas that cover
// the same give the same boxes, however they were written down.
func boxes(areas []area) ([]Box, error) {
	if len(areas) == 0 {
		return nil, nil
	}
	// Every address where some area begins, or the one after where one ends,
	// starts a segment on which the same areas cover all addresses.
	var cuts []uint64
	for _, a := range areas {
		cuts = append(cuts, uint64(a.first), uint64(a.last)+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	slices.SortFunc(areas, func(a, b area) int { return cmp.Compare(a.first, b.first) })

	var out, open []Box // open are the boxes that end just before the next cut
	active, next := []area(nil), 0
	for i := range len(cuts) - 1 {
		lo, hi := uint32(cuts[i]), uint32(cuts[i+1]-1)
		for next < len(areas) && areas[next].first == lo {
			active = append(active, areas[next])
			next++
		}
		active = slices.DeleteFunc(active, func(a area) bool { return a.last < lo })
		if len(active) == 0 {
			out, open = append(out, open...), nil
			continue
		}
		here := cover(active).boxes(lo, hi)
		if len(open) == len(here) && slices.EqualFunc(open, here, sameButAddrs) {
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

func sameButAddrs(a, b Box) bool {
	return a.Proto == b.Proto && a.PortFirst == b.PortFirst && a.PortLast == b.PortLast
}

// cover merges what areas cover on one range of addresses.
func cover(active []area) segment {
	var s segment
	for _, a := range active {
		full := []api.PortRange{{First: 0, Last: 0xffff}}
		ports := a.ports
		if ports == nil {
			ports = full
		}
		switch {
		case a.proto == ProtoAny && a.ports == nil:
			return segment{any: true}
		case a.proto == ProtoAny:
			s.tcp, s.udp = append(s.tcp, ports...), append(s.udp, ports...)
		case a.proto == ProtoTCP:
			s.tcp = append(s.tcp, ports...)
		case a.proto == ProtoUDP:
			s.udp = append(s.udp, ports...)
		case a.proto == ProtoICMP:
			s.icmp = true
		}
	}
	s.tcp, s.udp = MergePorts(s.tcp), MergePorts(s.udp)
	return s
}

func (s segment) boxes(lo, hi uint32) []Box {
	first, last := addr4(lo), addr4(hi)
	if s.any {
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
