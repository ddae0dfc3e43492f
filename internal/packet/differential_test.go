package packet_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

// TestDecode_agreesWithGopacket decodes every packet of the shared captures
// with both decoders and compares what they say.
func TestDecode_agreesWithGopacket(t *testing.T) {
	files := append(sharedtest.Glob(t, "pcap/benign/*/*.pcap"), sharedtest.Glob(t, "pcap/attack/*.pcap")...)
	files = append(files, sharedtest.Glob(t, "pcap/protocol/*.pcap")...)
	packets, transports := 0, 0
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := capture.NewReader(f)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for {
			frame, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			packets++
			var p packet.Packet
			derr := packet.Decode(frame.Link, frame.Data, &p)
			transports += compare(t, file, frame, &p, derr)
			if t.Failed() {
				return
			}
		}
		f.Close()
	}
	if packets < 10000 || transports < packets/2 {
		t.Errorf("only %d packets and %d transport layers compared", packets, transports)
	}
	t.Logf("%d packets, %d transport layers agree", packets, transports)
}

func compare(t *testing.T, file string, frame capture.Frame, p *packet.Packet, derr error) (transports int) {
	t.Helper()
	other := gopacket.NewPacket(frame.Data, layers.LinkType(frame.Link), gopacket.NoCopy)
	differ := func(what string, ours, theirs any) {
		t.Errorf("%s packet %d: %s = %v, gopacket says %v (our error: %v)\n%v", file, frame.Number, what, ours, theirs, derr, other)
	}
	addr := func(b []byte) netip.Addr { a, _ := netip.AddrFromSlice(b); return a }
	if a, ok := other.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		if !p.Has(packet.ARP) || p.ARPOp != a.Operation || p.ARPSender != addr(a.SourceProtAddress) || p.ARPTarget != addr(a.DstProtAddress) {
			differ("ARP", p.ARPTarget, a)
		}
	}
	if v, ok := other.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		if !p.Has(packet.IPv4) || p.Src != addr(v.SrcIP) || p.Dst != addr(v.DstIP) || p.TTL != v.TTL || int(p.FragOffset) != int(v.FragOffset)*8 || p.Proto != uint8(v.Protocol) {
			differ("IPv4", p.Src, v)
		}
	}
	if v, ok := other.Layer(layers.LayerTypeIPv6).(*layers.IPv6); ok {
		if !p.Has(packet.IPv6) || p.Src != addr(v.SrcIP) || p.Dst != addr(v.DstIP) {
			differ("IPv6", p.Src, v)
		}
	}
	if other.ErrorLayer() != nil {
		return 0 // an error of the transport may be of a layer above that we do not have
	}
	// An ICMP error carries a header of its own flow, which gopacket leaves in
	// the payload; so the first transport layer is the packet's.
	if v, ok := other.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		transports++
		if !p.Has(packet.TCP) || p.SrcPort != uint16(v.SrcPort) || p.DstPort != uint16(v.DstPort) || p.Seq != v.Seq || p.AckNum != v.Ack ||
			(p.Flags&packet.SYN != 0) != v.SYN || (p.Flags&packet.ACK != 0) != v.ACK || (p.Flags&packet.RST != 0) != v.RST || (p.Flags&packet.FIN != 0) != v.FIN ||
			!bytes.Equal(p.Payload, v.Payload) {
			differ("TCP", p.Payload, v.Payload)
		}
	}
	if v, ok := other.Layer(layers.LayerTypeUDP).(*layers.UDP); ok {
		transports++
		if !p.Has(packet.UDP) || p.SrcPort != uint16(v.SrcPort) || p.DstPort != uint16(v.DstPort) || !bytes.Equal(p.Payload, v.Payload) {
			differ("UDP", p.Payload, v.Payload)
		}
	}
	if v, ok := other.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		if !p.Has(packet.ICMP) || p.ICMPType != v.TypeCode.Type() || p.ICMPCode != v.TypeCode.Code() || p.ICMPID != v.Id {
			differ("ICMP", p.ICMPType, v)
		}
	}
	if v, ok := other.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		if !p.Has(packet.ICMPv6) || p.ICMPType != v.TypeCode.Type() {
			differ("ICMPv6", p.ICMPType, v)
		}
	}
	if v, ok := other.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation); ok && p.NDTarget != addr(v.TargetAddress) {
		differ("neighbour solicitation", p.NDTarget, v.TargetAddress)
	}
	return transports
}
