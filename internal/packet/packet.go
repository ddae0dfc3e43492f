// Package packet decodes packets as they come from a tap or a capture: one
// call, one struct, no allocation.
//
// Decode reads the link layer (Ethernet with VLAN tags and QinQ, LLC/SNAP and
// PPPoE sessions; Linux cooked v1 and v2; BSD loopback; raw IP), then ARP, or
// IPv4 with options and fragments, or IPv6 with its extension headers, then
// TCP, UDP, ICMP or ICMPv6 with neighbour discovery. ICMP errors also give the
// flow they complain about.
//
// A packet that was cut short, by a snapshot length or by malice, is decoded
// as far as it goes: what Layers names is filled in and true, and the error
// says in which layer and at which byte the rest was missing. Decode never
// panics, never reads outside data and takes time bounded by the length of
// the headers.
//
// It refuses to guess: checksums are not verified (a tap sees packets before
// the network card fills them in), fragments are not put together (only the
// first shows ports), tunnels (GRE, IP in IP, VXLAN) and ESP are not entered.
//
// Decode is a pure function; different Packets may be used concurrently. A
// Packet's Payload and the error of its last Decode alias memory that the
// caller owns and are good until the next Decode.
//
// Standards: IEEE 802.3 and 802.1Q; RFC 791 section 3.1; RFC 8200 sections 3
// and 4; RFC 9293 section 3.1; RFC 768; RFC 792; RFC 4443; RFC 4861 section 4;
// RFC 826; RFC 2516 section 4; the link types are those of
// tcpdump.org/linktypes.html.
package packet

import (
	"net/netip"
	"time"
)

// LinkType says what the first bytes of a packet are; the values are those of
// a capture file.
type LinkType uint32

const (
	LinkNull     LinkType = 0 // BSD loopback, family in host order
	LinkEthernet LinkType = 1
	LinkRawBSD   LinkType = 12  // raw IP, as some systems number it
	LinkRawOpen  LinkType = 14  // raw IP, as OpenBSD numbers it
	LinkRaw      LinkType = 101 // raw IP
	LinkLoop     LinkType = 108 // OpenBSD loopback, family in network order
	LinkSLL      LinkType = 113 // Linux cooked capture v1
	LinkIPv4     LinkType = 228
	LinkIPv6     LinkType = 229
	LinkSLL2     LinkType = 276 // Linux cooked capture v2
)

// Known reports whether Decode can read packets of this link type.
func (l LinkType) Known() bool {
	switch l {
	case LinkNull, LinkEthernet, LinkRawBSD, LinkRawOpen, LinkRaw, LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2:
		return true
	}
	return false
}

// Layer is one layer of a packet; Packet.Layers is a set of them.
type Layer uint16

const (
	Link Layer = 1 << iota
	ARP
	IPv4
	IPv6
	TCP
	UDP
	ICMP
	ICMPv6
)

func (l Layer) String() string {
	switch l {
	case Link:
		return "link"
	case ARP:
		return "ARP"
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case ICMP:
		return "ICMP"
	case ICMPv6:
		return "ICMPv6"
	}
	return "layers"
}

// MAC is a hardware address.
type MAC [6]byte

// Multicast reports whether the address is of a group, broadcast included.
func (m MAC) Multicast() bool { return m[0]&1 != 0 }

func (m MAC) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, c := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return string(b)
}

// ParseMAC reads the form that String writes; upper case and dashes are taken too.
func ParseMAC(s string) (m MAC, ok bool) {
	if len(s) != 17 {
		return m, false
	}
	for i := range m {
		hi, ok1 := unhex(s[3*i])
		lo, ok2 := unhex(s[3*i+1])
		if !ok1 || !ok2 || i > 0 && s[3*i-1] != ':' && s[3*i-1] != '-' {
			return MAC{}, false
		}
		m[i] = hi<<4 | lo
	}
	return m, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Flags of TCP.
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Numbers of IP protocols.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Packet is one decoded packet. Time, Number and OrigLen are the caller's to
// set; Decode leaves them alone and overwrites all the rest. A field is valid
// only when Layers holds its layer.
type Packet struct {
	Time    time.Time
	Number  uint64 // in the capture or on the tap, from 1
	OrigLen int    // on the wire; 0 = as long as what was captured

	Layers Layer

	// Link. SrcMAC is zero where the link type has none.
	SrcMAC, DstMAC MAC
	EtherType      uint16 // of what follows all tags
	VLANs          uint8  // how many tags there were
	VLAN           [2]uint16
	Outgoing       bool // cooked captures: sent by the capturing host

	// ARP
	ARPOp                uint16
	ARPSender, ARPTarget netip.Addr
	ARPSenderMAC         MAC

	// IPv4 and IPv6
	Src, Dst   netip.Addr
	Proto      uint8 // the upper-layer protocol, behind extension headers
	TTL        uint8
	IPLen      int    // whole IP packet, by its header
	FragOffset uint16 // in bytes; not 0 = no upper layer in here
	MoreFrags  bool

	// TCP, UDP
	SrcPort, DstPort uint16
	Seq, AckNum      uint32
	Flags            Flags
	Window           uint16

	// ICMP, ICMPv6
	ICMPType, ICMPCode uint8
	ICMPID, ICMPSeq    uint16     // echo
	NDTarget           netip.Addr // neighbour solicitation and advertisement
	NDMAC              MAC        // their link-layer option, zero if absent
	// Inner is the flow that an ICMP error complains about, as it was sent.
	Inner Inner

	// Payload is what follows the last header that was decoded, without link
	// padding; it aliases data. PayloadLen is its length on the wire, larger
	// when the capture cut it.
	Payload    []byte
	PayloadLen int

	fault Error
}

// Inner is the head of the packet inside an ICMP error. Proto is 0 when there
// is none.
type Inner struct {
	Src, Dst         netip.Addr
	Proto            uint8
	SrcPort, DstPort uint16
}

// Has reports whether all layers of l were decoded.
func (p *Packet) Has(l Layer) bool { return p.Layers&l == l }

// IP reports whether there is an IP header, of either version.
func (p *Packet) IP() bool { return p.Layers&(IPv4|IPv6) != 0 }

// Error says where a packet could not be decoded any further.
type Error struct {
	Layer  Layer
	Offset int    // byte of the packet at which the layer begins
	What   string // what is wrong
}

func (e *Error) Error() string {
	return "packet: " + e.Layer.String() + " at byte " + itoa(e.Offset) + ": " + e.What
}

func itoa(n int) string {
	if n == 0 {
		return "0"
	}
	var b [20]byte
	i := len(b)
	for ; n > 0; n /= 10 {
		i--
		b[i] = byte('0' + n%10)
	}
	return string(b[i:])
}
