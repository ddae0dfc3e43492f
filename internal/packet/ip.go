package packet

import "net/netip"

func (p *Packet) ipv4(data []byte, at int) error {
	b := data[at:]
	if len(b) < 20 {
		p.rest(data, at)
		return p.fail(IPv4, at, "header is cut short")
	}
	if b[0]>>4 != 4 {
		p.rest(data, at)
		return p.fail(IPv4, at, "version is not 4")
	}
	head, total := int(b[0]&15)*4, int(be16(b[2:]))
	if head < 20 {
		p.rest(data, at)
		return p.fail(IPv4, at, "header length is under 20 bytes")
	}
	if total == 0 {
		total = len(b) // a segment that the network card has still to cut (TSO)
	}
	if total < head {
		p.rest(data, at)
		return p.fail(IPv4, at, "total length is shorter than the header")
	}
	p.Layers |= IPv4
	p.Src = netip.AddrFrom4([4]byte(b[12:16]))
	p.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	p.Proto, p.TTL, p.IPLen = b[9], b[8], total
	frag := be16(b[6:])
	p.FragOffset, p.MoreFrags = (frag&0x1fff)*8, frag&0x2000 != 0
	if len(b) > total {
		b = b[:total] // link padding
	}
	if len(b) < head {
		p.rest(data, at+20)
		return p.fail(IPv4, at, "options are cut short")
	}
	return p.upper(b[head:], total-head, at+head)
}

func (p *Packet) ipv6(data []byte, at int) error {
	b := data[at:]
	if len(b) < 40 {
		p.rest(data, at)
		return p.fail(IPv6, at, "header is cut short")
	}
	if b[0]>>4 != 6 {
		p.rest(data, at)
		return p.fail(IPv6, at, "version is not 6")
	}
	// Unmap would fold ::ffff:1.2.3.4 into IPv4; on the wire they differ.
	p.Src = netip.AddrFrom16([16]byte(b[8:24]))
	p.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	length := int(be16(b[4:]))
	p.TTL, p.Proto = b[7], b[6]
	p.Layers |= IPv6
	b = b[40:]
	if length == 0 {
		length = len(b) // jumbogram, or not cut yet
	}
	p.IPLen = 40 + length
	if len(b) > length {
		b = b[:length]
	}
	return p.extensions(b, length, at+40)
}

// extensions steps over the extension headers (RFC 8200 section 4). length is
// what is left of the packet on the wire, b what is left of it here.
func (p *Packet) extensions(b []byte, length, at int) error {
	for range maxExt {
		var n int
		switch p.Proto {
		case 0, 43, 60, 135, 139, 140: // hop-by-hop, routing, destination, mobility, HIP, shim6
			if len(b) < 8 {
				return p.cutExt(b, length, at)
			}
			n = 8 + int(b[1])*8
		case 51: // authentication: its length counts four bytes (RFC 4302 section 2.2)
			if len(b) < 8 {
				return p.cutExt(b, length, at)
			}
			n = 8 + int(b[1])*4
		case 44: // fragment
			if len(b) < 8 {
				return p.cutExt(b, length, at)
			}
			n = 8
			frag := be16(b[2:])
			p.FragOffset, p.MoreFrags = frag&^7, frag&1 != 0
		default:
			return p.upper(b, length, at)
		}
		if len(b) < n {
			return p.cutExt(b, length, at)
		}
		next := b[0]
		b, length, at = b[n:], length-n, at+n
		p.Proto = next
		if p.FragOffset != 0 {
			return p.upper(b, length, at) // what follows belongs to the middle of a packet
		}
	}
	p.Payload, p.PayloadLen = b, length
	return p.fail(IPv6, at, "too many extension headers")
}

func (p *Packet) cutExt(b []byte, length, at int) error {
	p.Payload, p.PayloadLen = b, length
	return p.fail(IPv6, at, "extension header is cut short")
}

// upper decodes the upper layer: b is what was captured of it, length how long
// it was on the wire.
func (p *Packet) upper(b []byte, length, at int) error {
	p.Payload, p.PayloadLen = b, length
	if p.FragOffset != 0 {
		return nil
	}
	switch p.Proto {
	case ProtoTCP:
		return p.tcp(b, length, at)
	case ProtoUDP:
		return p.udp(b, length, at)
	case ProtoICMP:
		if p.Layers&IPv4 != 0 {
			return p.icmp(b, length, at)
		}
	case ProtoICMPv6:
		if p.Layers&IPv6 != 0 {
			return p.icmp6(b, length, at)
		}
	}
	return nil
}

func (p *Packet) tcp(b []byte, length, at int) error {
	if len(b) < 20 {
		return p.fail(TCP, at, "header is cut short")
	}
	head := int(b[12]>>4) * 4
	if head < 20 || head > length {
		return p.fail(TCP, at, "header length does not fit")
	}
	p.SrcPort, p.DstPort = be16(b), be16(b[2:])
	p.Seq, p.AckNum = be32(b[4:]), be32(b[8:])
	p.Flags, p.Window = Flags(b[13]), be16(b[14:])
	p.Layers |= TCP
	if len(b) < head {
		p.Payload, p.PayloadLen = nil, length-head
		return p.fail(TCP, at, "options are cut short")
	}
	p.Payload, p.PayloadLen = b[head:], length-head
	return nil
}

func (p *Packet) udp(b []byte, length, at int) error {
	if len(b) < 8 {
		return p.fail(UDP, at, "header is cut short")
	}
	n := int(be16(b[4:]))
	if n == 0 && (p.Layers&IPv6 != 0 || length > 65535) {
		n = length // RFC 2675 section 4
	}
	if n < 8 || n > length && !p.MoreFrags {
		return p.fail(UDP, at, "length does not fit")
	}
	p.SrcPort, p.DstPort = be16(b), be16(b[2:])
	p.Layers |= UDP
	p.PayloadLen = min(n, length) - 8
	p.Payload = b[8:]
	if len(p.Payload) > p.PayloadLen {
		p.Payload = p.Payload[:p.PayloadLen]
	}
	return nil
}

func (p *Packet) icmp(b []byte, length, at int) error {
	if len(b) < 8 {
		return p.fail(ICMP, at, "header is cut short")
	}
	p.ICMPType, p.ICMPCode = b[0], b[1]
	p.ICMPID, p.ICMPSeq = be16(b[4:]), be16(b[6:])
	p.Layers |= ICMP
	p.Payload, p.PayloadLen = b[8:], length-8
	switch p.ICMPType {
	case 3, 4, 11, 12: // unreachable, quench, time exceeded, parameter problem
		p.inner4(b[8:])
	}
	return nil
}

func (p *Packet) icmp6(b []byte, length, at int) error {
	if len(b) < 8 {
		return p.fail(ICMPv6, at, "header is cut short")
	}
	p.ICMPType, p.ICMPCode = b[0], b[1]
	p.Layers |= ICMPv6
	p.Payload, p.PayloadLen = b[8:], length-8
	switch p.ICMPType {
	case 1, 2, 3, 4:
		p.inner6(b[8:])
	case 128, 129: // echo
		p.ICMPID, p.ICMPSeq = be16(b[4:]), be16(b[6:])
	case 135, 136: // neighbour solicitation, advertisement
		return p.neighbour(b, at)
	}
	return nil
}

// neighbour decodes the target and the link-layer address option of neighbour
// discovery (RFC 4861 sections 4.3, 4.4 and 4.6.1).
func (p *Packet) neighbour(b []byte, at int) error {
	if len(b) < 24 {
		return p.fail(ICMPv6, at, "neighbour discovery is cut short")
	}
	p.NDTarget = netip.AddrFrom16([16]byte(b[8:24]))
	for opt := b[24:]; len(opt) >= 8; {
		n := int(opt[1]) * 8
		if n == 0 || n > len(opt) {
			return p.fail(ICMPv6, at, "option of neighbour discovery does not fit")
		}
		if opt[0] == 1 || opt[0] == 2 {
			p.NDMAC = MAC(opt[2:8])
		}
		opt = opt[n:]
	}
	return nil
}

func (p *Packet) inner4(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	head := int(b[0]&15) * 4
	p.Inner.Src = netip.AddrFrom4([4]byte(b[12:16]))
	p.Inner.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	p.Inner.Proto = b[9]
	if head >= 20 && len(b) >= head+4 && be16(b[6:])&0x1fff == 0 {
		p.innerPorts(b[head:])
	}
}

func (p *Packet) inner6(b []byte) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return
	}
	p.Inner.Src = netip.AddrFrom16([16]byte(b[8:24]))
	p.Inner.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	p.Inner.Proto = b[6] // an extension header here hides the ports, which then stay 0
	if len(b) >= 44 {
		p.innerPorts(b[40:])
	}
}

func (p *Packet) innerPorts(b []byte) {
	if p.Inner.Proto == ProtoTCP || p.Inner.Proto == ProtoUDP {
		p.Inner.SrcPort, p.Inner.DstPort = be16(b), be16(b[2:])
	}
}
