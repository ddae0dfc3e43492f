package packet

import (
	"encoding/binary"
	"net/netip"
)

// Types of Ethernet frames.
const (
	etherIPv4   = 0x0800
	etherARP    = 0x0806
	etherVLAN   = 0x8100
	etherIPv6   = 0x86dd
	etherPPPoE  = 0x8864
	etherQinQ   = 0x88a8
	etherQinQ91 = 0x9100
)

// maxTags bounds the VLAN tags that are stepped over, maxExt the IPv6
// extension headers. Real packets have two and four at most; a longer chain is
// somebody hiding.
const (
	maxTags = 4
	maxExt  = 10
)

// Decode decodes data, which begins with a link of type link, into p. The
// error, if any, is an *Error that belongs to p.
func Decode(link LinkType, data []byte, p *Packet) error {
	reset(p)
	switch link {
	case LinkEthernet:
		return p.ethernet(data)
	case LinkRaw, LinkRawBSD, LinkRawOpen, LinkIPv4, LinkIPv6:
		p.Layers = Link
		return p.rawIP(data, 0)
	case LinkSLL:
		return p.cooked(data)
	case LinkSLL2:
		return p.cooked2(data)
	case LinkNull, LinkLoop:
		return p.loopback(data)
	}
	return p.fail(Link, 0, "unknown link type")
}

// reset clears what Decode owns and the caller does not set. Fields of layers
// that are absent keep nothing of the packet before.
func reset(p *Packet) {
	t, n, o := p.Time, p.Number, p.OrigLen
	*p = Packet{Time: t, Number: n, OrigLen: o}
}

func (p *Packet) fail(l Layer, at int, what string) error {
	p.fault = Error{Layer: l, Offset: at, What: what}
	return &p.fault
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func (p *Packet) ethernet(data []byte) error {
	if len(data) < 14 {
		p.rest(data, 0)
		return p.fail(Link, 0, "header is cut short")
	}
	p.DstMAC = MAC(data[0:6])
	p.SrcMAC = MAC(data[6:12])
	p.Layers = Link
	return p.etherType(data, be16(data[12:]), 14)
}

// etherType goes on with a frame of this type whose contents begin at byte at.
func (p *Packet) etherType(data []byte, t uint16, at int) error {
	for {
		switch t {
		case etherVLAN, etherQinQ, etherQinQ91:
			if len(data) < at+4 {
				p.rest(data, at)
				return p.fail(Link, at, "VLAN tag is cut short")
			}
			if p.VLANs == maxTags {
				p.rest(data, at)
				return p.fail(Link, at, "too many VLAN tags")
			}
			if p.VLANs < 2 {
				p.VLAN[p.VLANs] = be16(data[at:]) & 0xfff
			}
			p.VLANs++
			t, at = be16(data[at+2:]), at+4
			continue
		case etherPPPoE:
			return p.pppoe(data, at)
		}
		break
	}
	if t < 0x600 { // IEEE 802.3: a length; SNAP carries a type behind it
		return p.snap(data, int(t), at)
	}
	return p.network(data, t, at)
}

// network decodes the network layer of EtherType t.
func (p *Packet) network(data []byte, t uint16, at int) error {
	p.EtherType = t
	switch t {
	case etherIPv4:
		return p.ipv4(data, at)
	case etherIPv6:
		return p.ipv6(data, at)
	case etherARP:
		return p.arp(data, at)
	}
	p.rest(data, at)
	return nil
}

func (p *Packet) snap(data []byte, length, at int) error {
	if end := at + length; end < len(data) {
		data = data[:end]
	}
	if len(data) >= at+8 && data[at] == 0xaa && data[at+1] == 0xaa && data[at+2] == 3 &&
		data[at+3] == 0 && data[at+4] == 0 && data[at+5] == 0 {
		return p.network(data, be16(data[at+6:]), at+8)
	}
	p.rest(data, at)
	return nil
}

func (p *Packet) pppoe(data []byte, at int) error {
	if len(data) < at+8 {
		p.rest(data, at)
		return p.fail(Link, at, "PPPoE header is cut short")
	}
	switch proto := be16(data[at+6:]); proto {
	case 0x0021:
		return p.network(data, etherIPv4, at+8)
	case 0x0057:
		return p.network(data, etherIPv6, at+8)
	}
	p.EtherType = etherPPPoE
	p.rest(data, at+8)
	return nil
}

func (p *Packet) cooked(data []byte) error {
	if len(data) < 16 {
		p.rest(data, 0)
		return p.fail(Link, 0, "cooked header is cut short")
	}
	p.Outgoing = be16(data) == 4
	if be16(data[4:]) == 6 {
		p.SrcMAC = MAC(data[6:12])
	}
	p.Layers = Link
	return p.etherType(data, be16(data[14:]), 16)
}

func (p *Packet) cooked2(data []byte) error {
	if len(data) < 20 {
		p.rest(data, 0)
		return p.fail(Link, 0, "cooked header is cut short")
	}
	p.Outgoing = data[10] == 4
	if data[11] == 6 {
		p.SrcMAC = MAC(data[12:18])
	}
	p.Layers = Link
	return p.etherType(data, be16(data), 20)
}

// loopback decodes BSD loopback: four bytes of address family, of either byte
// order, whose numbers differ by system. The IP version decides instead.
func (p *Packet) loopback(data []byte) error {
	if len(data) < 4 {
		p.rest(data, 0)
		return p.fail(Link, 0, "loopback header is cut short")
	}
	p.Layers = Link
	return p.rawIP(data, 4)
}

func (p *Packet) rawIP(data []byte, at int) error {
	if len(data) <= at {
		return p.fail(Link, at, "no IP header")
	}
	switch data[at] >> 4 {
	case 4:
		return p.network(data, etherIPv4, at)
	case 6:
		return p.network(data, etherIPv6, at)
	}
	p.rest(data, at)
	return p.fail(Link, at, "neither IPv4 nor IPv6")
}

func (p *Packet) arp(data []byte, at int) error {
	b := data[at:]
	if len(b) < 28 {
		p.rest(data, at)
		return p.fail(ARP, at, "cut short")
	}
	if be16(b) != 1 || be16(b[2:]) != etherIPv4 || b[4] != 6 || b[5] != 4 {
		p.rest(data, at)
		return p.fail(ARP, at, "not IPv4 over Ethernet")
	}
	p.ARPOp = be16(b[6:])
	p.ARPSenderMAC = MAC(b[8:14])
	p.ARPSender = netip.AddrFrom4([4]byte(b[14:18]))
	p.ARPTarget = netip.AddrFrom4([4]byte(b[24:28]))
	p.Layers |= ARP
	return nil
}

// rest makes what begins at byte at the payload.
func (p *Packet) rest(data []byte, at int) {
	if at > len(data) {
		at = len(data)
	}
	p.Payload = data[at:]
	p.PayloadLen = len(p.Payload)
}
