package packet_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

// unhex reads hex with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	ether4  = "020000000002 020000000001 0800 "
	ip4tcp  = "4500 0028 0001 4000 40 06 0000 0a4d000a c6336442 "
	tcpSYN  = "a123 0017 c6336442 00000000 50 02 7210 0000 0000 "
	ip6head = "6000 0000 0018 "
	addrs6  = "20010db8000000000000000000000001 20010db8000000000000000000000002 "
)

func TestDecode_layers(t *testing.T) {
	tests := []struct {
		name   string
		link   packet.LinkType
		data   string
		layers packet.Layer
		check  func(p *packet.Packet) bool
	}{
		{"TCP SYN in Ethernet, padded", packet.LinkEthernet, ether4 + ip4tcp + tcpSYN + "ffff ffff ffff", packet.Link | packet.IPv4 | packet.TCP,
			func(p *packet.Packet) bool {
				return p.SrcPort == 0xa123 && p.DstPort == 23 && p.Seq == 0xc6336442 && p.Flags == packet.SYN && len(p.Payload) == 0 &&
					p.Dst == netip.MustParseAddr("198.51.100.66") && p.SrcMAC.String() == "02:00:00:00:00:01" && p.TTL == 64 && p.IPLen == 40
			}},
		{"QinQ", packet.LinkEthernet, "020000000002 020000000001 88a8 0064 8100 00c8 0800 " + ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP,
			func(p *packet.Packet) bool {
				return p.VLANs == 2 && p.VLAN == [2]uint16{100, 200} && p.EtherType == 0x800
			}},
		{"SNAP", packet.LinkEthernet, "020000000002 020000000001 0030 aaaa03000000 0800 " + ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP, nil},
		{"PPPoE", packet.LinkEthernet, "020000000002 020000000001 8864 1100 0001 002a 0021 " + ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP, nil},
		{"cooked v1", packet.LinkSLL, "0004 0001 0006 020000000001 0000 0800 " + ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP,
			func(p *packet.Packet) bool { return p.Outgoing && p.SrcMAC[0] == 2 }},
		{"cooked v2", packet.LinkSLL2, "0800 0000 00000003 0001 00 06 020000000001 0000 " + ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP,
			func(p *packet.Packet) bool { return !p.Outgoing && p.SrcMAC[5] == 1 }},
		{"raw", packet.LinkRaw, ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP, nil},
		{"loopback", packet.LinkNull, "02000000 " + ip4tcp + tcpSYN, packet.Link | packet.IPv4 | packet.TCP, nil},
		{"ARP request", packet.LinkEthernet, "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a4d000a 000000000000 0a4d0001", packet.Link | packet.ARP,
			func(p *packet.Packet) bool {
				return p.ARPOp == 1 && p.ARPTarget == netip.MustParseAddr("10.77.0.1") && p.ARPSender == netip.MustParseAddr("10.77.0.10")
			}},
		{"IPv4 options before UDP", packet.LinkRaw, "4600 0022 0001 0000 40 11 0000 0a4d000a c6336435 94040000 0035 0035 000a 0000 6869", packet.Link | packet.IPv4 | packet.UDP,
			func(p *packet.Packet) bool { return string(p.Payload) == "hi" && p.SrcPort == 53 }},
		{"later fragment has no ports", packet.LinkRaw, "4500 0018 0001 0001 40 11 0000 0a4d000a c6336435 01020304", packet.Link | packet.IPv4,
			func(p *packet.Packet) bool { return p.FragOffset == 8 && p.Proto == 17 && len(p.Payload) == 4 }},
		{"first fragment of UDP has ports", packet.LinkRaw, "4500 0020 0001 2000 40 11 0000 0a4d000a c6336435 0035 0035 0100 0000 01020304", packet.Link | packet.IPv4 | packet.UDP,
			func(p *packet.Packet) bool { return p.MoreFrags && p.DstPort == 53 && len(p.Payload) == 4 }},
		{"IPv6 hop-by-hop, destination, fragment, TCP", packet.LinkRaw,
			"6000 0000 002c 00 40 " + addrs6 + "3c00 000000000000 2c00 000000000000 0600 0001 00000007 " + tcpSYN, packet.Link | packet.IPv6 | packet.TCP,
			func(p *packet.Packet) bool { return p.MoreFrags && p.FragOffset == 0 && p.DstPort == 23 }},
		{"IPv6 authentication header", packet.LinkRaw, "6000 0000 002c 33 40 " + addrs6 + "0604 0000 00000001 00000001 000000000000000000000000 " + tcpSYN,
			packet.Link | packet.IPv6 | packet.TCP, nil},
		{"ICMP echo", packet.LinkRaw, "4500 001c 0001 0000 40 01 0000 0a4d000a c6336435 0800 0000 1234 0007", packet.Link | packet.IPv4 | packet.ICMP,
			func(p *packet.Packet) bool { return p.ICMPType == 8 && p.ICMPID == 0x1234 && p.ICMPSeq == 7 }},
		{"ICMP port unreachable names its flow", packet.LinkRaw,
			"4500 0038 0001 0000 40 01 0000 c6336435 0a4d000a 0303 0000 0000 0000 4500 0028 0001 0000 40 11 0000 0a4d000a c6336435 1f90 0035 0014 0000", packet.Link | packet.IPv4 | packet.ICMP,
			func(p *packet.Packet) bool {
				return p.Inner.Proto == 17 && p.Inner.SrcPort == 8080 && p.Inner.DstPort == 53 && p.Inner.Dst == netip.MustParseAddr("198.51.100.53")
			}},
		{"neighbour solicitation", packet.LinkRaw, "6000 0000 0020 3a ff " + addrs6 + "8700 0000 00000000 20010db8000000000000000000000002 0101 020000000001", packet.Link | packet.IPv6 | packet.ICMPv6,
			func(p *packet.Packet) bool {
				return p.NDTarget == netip.MustParseAddr("2001:db8::2") && p.NDMAC.String() == "02:00:00:00:00:01"
			}},
		{"length 0 of a segment still to be cut", packet.LinkRaw, "4500 0000 0001 4000 40 06 0000 0a4d000a c6336442 " + tcpSYN + "616263", packet.Link | packet.IPv4 | packet.TCP,
			func(p *packet.Packet) bool { return string(p.Payload) == "abc" }},
		{"other EtherType", packet.LinkEthernet, "020000000002 020000000001 88cc 0102", packet.Link,
			func(p *packet.Packet) bool { return p.EtherType == 0x88cc && len(p.Payload) == 2 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet.Packet
			if err := packet.Decode(tt.link, unhex(t, tt.data), &p); err != nil {
				t.Fatal(err)
			}
			if p.Layers != tt.layers {
				t.Errorf("layers = %b, want %b", p.Layers, tt.layers)
			}
			if tt.check != nil && !tt.check(&p) {
				t.Errorf("decoded as %+v", p)
			}
		})
	}
}

func TestDecode_cutShort(t *testing.T) {
	whole := unhex(t, ether4+ip4tcp+tcpSYN)
	for n := range len(whole) {
		var p packet.Packet
		err := packet.Decode(packet.LinkEthernet, whole[:n], &p)
		e, ok := errors.AsType[*packet.Error](err)
		if !ok {
			t.Fatalf("%d of %d bytes: error %v", n, len(whole), err)
		}
		wantLayers, wantLayer, wantAt := packet.Layer(0), packet.Link, 0
		switch {
		case n >= 34:
			wantLayers, wantLayer, wantAt = packet.Link|packet.IPv4, packet.TCP, 34
		case n >= 14:
			wantLayers, wantLayer, wantAt = packet.Link, packet.IPv4, 14
		}
		if p.Layers != wantLayers || e.Layer != wantLayer || e.Offset != wantAt {
			t.Errorf("%d bytes: layers %b, %v; want %b and an error about %s at byte %d", n, p.Layers, err, wantLayers, wantLayer, wantAt)
		}
	}
}

func TestDecode_refuses(t *testing.T) {
	for name, tt := range map[string]struct {
		link packet.LinkType
		data string
		want string
	}{
		"link type":            {147, "00", "packet: link at byte 0: unknown link type"},
		"endless VLAN tags":    {packet.LinkEthernet, "020000000002 020000000001 " + strings.Repeat("8100 0001 ", 40), "packet: link at byte 30: too many VLAN tags"},
		"endless extensions":   {packet.LinkRaw, "6000 0000 0000 00 40 " + addrs6 + strings.Repeat("0000 000000000000 ", 40), "packet: IPv6 at byte 120: too many extension headers"},
		"header length":        {packet.LinkRaw, "4400 0028 0001 4000 40 06 0000 0a4d000a c6336442 " + tcpSYN, "packet: IPv4 at byte 0: header length is under 20 bytes"},
		"total under header":   {packet.LinkRaw, "4500 0010 0001 4000 40 06 0000 0a4d000a c6336442 " + tcpSYN, "packet: IPv4 at byte 0: total length is shorter than the header"},
		"TCP data offset":      {packet.LinkRaw, ip4tcp + "a123 0017 c6336442 00000000 f0 02 7210 0000 0000", "packet: TCP at byte 20: header length does not fit"},
		"UDP length":           {packet.LinkRaw, "4500 001c 0001 0000 40 11 0000 0a4d000a c6336435 0035 0035 0fff 0000", "packet: UDP at byte 20: length does not fit"},
		"ND option of no size": {packet.LinkRaw, "6000 0000 0020 3a ff " + addrs6 + "8700 0000 00000000 20010db8000000000000000000000002 0100 020000000001", "packet: ICMPv6 at byte 40: option of neighbour discovery does not fit"},
		"neither version":      {packet.LinkRaw, "50", "packet: link at byte 0: neither IPv4 nor IPv6"},
	} {
		var p packet.Packet
		if err := packet.Decode(tt.link, unhex(t, tt.data), &p); err == nil || err.Error() != tt.want {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

func TestDecode_leavesCallersFieldsAlone(t *testing.T) {
	p := packet.Packet{Time: time.Unix(5, 0), Number: 7, OrigLen: 99, SrcPort: 1, NDTarget: netip.IPv6Unspecified()}
	if err := packet.Decode(packet.LinkEthernet, unhex(t, "020000000002 020000000001 88cc 00"), &p); err != nil {
		t.Fatal(err)
	}
	if p.Time.Unix() != 5 || p.Number != 7 || p.OrigLen != 99 {
		t.Errorf("the caller's fields changed: %+v", p)
	}
	if p.SrcPort != 0 || p.NDTarget.IsValid() {
		t.Errorf("fields of the packet before are left: %+v", p)
	}
}

func TestDecode_allocatesNothing(t *testing.T) {
	good, bad := unhex(t, ether4+ip4tcp+tcpSYN), unhex(t, ether4+ip4tcp)
	var p packet.Packet
	var err error
	if n := testing.AllocsPerRun(100, func() {
		err = packet.Decode(packet.LinkEthernet, good, &p)
		err = packet.Decode(packet.LinkEthernet, bad, &p)
	}); n != 0 {
		t.Errorf("Decode allocates %v times", n)
	}
	if err == nil {
		t.Error("no error for a packet without TCP header")
	}
}

func TestParseMAC(t *testing.T) {
	for s, want := range map[string]bool{"02:00:00:00:00:0a": true, "02-00-00-00-00-0A": true, "02:00:00:00:00:0": false, "02.00.00.00.00.0a": false, "0g:00:00:00:00:0a": false, "": false} {
		m, ok := packet.ParseMAC(s)
		if ok != want || ok && m.String() != "02:00:00:00:00:0a" {
			t.Errorf("ParseMAC(%q) = %v, %v; want ok %v", s, m, ok, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{ether4 + ip4tcp + tcpSYN, "020000000002 020000000001 86dd 6000 0000 0020 3a ff " + addrs6 + "8700 0000 00000000 20010db8000000000000000000000002 0101 020000000001"} {
		f.Add(uint32(packet.LinkEthernet), unhex(f, s))
	}
	f.Add(uint32(packet.LinkSLL2), make([]byte, 40))
	f.Add(uint32(packet.LinkRaw), unhex(f, "6000 0000 002c 00 40 "+addrs6+"3c00 000000000000 2c00 000000000000 0600 0001 00000007 "+tcpSYN))
	f.Fuzz(func(t *testing.T, link uint32, data []byte) {
		var p packet.Packet
		err := packet.Decode(packet.LinkType(link), data, &p)
		if p.PayloadLen < len(p.Payload) {
			t.Fatalf("payload of %d bytes has length %d on the wire", len(p.Payload), p.PayloadLen)
		}
		if len(p.Payload) > len(data) {
			t.Fatal("payload is longer than the packet")
		}
		if e, ok := errors.AsType[*packet.Error](err); ok && (e.Offset < 0 || e.Offset > len(data) || e.What == "") {
			t.Fatalf("error %+v of %d bytes", e, len(data))
		}
		if p.IP() && (!p.Src.IsValid() || !p.Dst.IsValid()) {
			t.Fatal("IP without addresses")
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := unhex(b, ether4+ip4tcp+tcpSYN)
	var p packet.Packet
	b.ReportAllocs()
	var i uint32
	for b.Loop() {
		i++
		binary.BigEndian.PutUint32(data[30:], i)
		if err := packet.Decode(packet.LinkEthernet, data, &p); err != nil {
			b.Fatal(err)
		}
	}
}
