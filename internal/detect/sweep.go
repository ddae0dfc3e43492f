package detect

import (
	"net/netip"

	"github.com/ringwall/ringwall/internal/packet"
)

// routers remembers which MACs send on packets of others: a gateway asks for
// every address that somebody outside looks for, and sweeps in their name.
type routers struct {
	macs [8]packet.MAC
	seen [8]uint8
	next int
}

// routerAfter is how many packets with addresses from outside make a gateway;
// one is easily forged.
const routerAfter = 16

func (r *routers) note(m packet.MAC) {
	for i := range r.macs {
		if r.macs[i] == m {
			r.seen[i] = min(r.seen[i]+1, routerAfter)
			return
		}
	}
	if r.seen[r.next] > 0 {
		r.seen[r.next]--
		r.next = (r.next + 1) % len(r.macs)
		return
	}
	r.macs[r.next], r.seen[r.next] = m, 1
}

func (r *routers) is(m packet.MAC) bool {
	for i := range r.macs {
		if r.macs[i] == m {
			return r.seen[i] >= routerAfter
		}
	}
	return false
}

// arp handles address resolution of IPv4.
func (e *Engine) arp(p *packet.Packet, now int64) {
	if p.ARPSender.IsValid() && !p.ARPSender.IsUnspecified() {
		e.arpSpoof(p, now)
	}
	if p.ARPOp != 1 || p.ARPTarget == p.ARPSender || p.ARPTarget.IsUnspecified() {
		return // an answer, or a host that announces itself
	}
	e.resolution(p, p.ARPSender, p.ARPSenderMAC, p.ARPTarget, now)
}

// arpSpoof checks who claims an address.
func (e *Engine) arpSpoof(p *packet.Packet, now int64) {
	if len(e.devices) == 0 || e.routed {
		return
	}
	if i, ok := e.byIP[e.hash.addr(p.ARPSender)]; ok && e.devices[i].hasMAC && e.devices[i].mac != p.ARPSenderMAC {
		e.spoofed(i, p, p.ARPSender, p.ARPSenderMAC, now)
		return
	}
	if i, ok := e.byMAC[macKey(p.ARPSenderMAC)]; ok && e.devices[i].IP.Is4() && e.devices[i].IP != p.ARPSender && !p.ARPSender.IsLinkLocalUnicast() {
		e.spoofed(i, p, p.ARPSender, p.ARPSenderMAC, now)
	}
}

// resolution counts whom one host looks for on the local network.
func (e *Engine) resolution(p *packet.Packet, sender netip.Addr, mac packet.MAC, target netip.Addr, now int64) {
	who := party{addr: sender, key: e.hash.addr(sender), dev: -1, local: true}
	if i, ok := e.byMAC[macKey(mac)]; ok {
		who.dev, who.key = i, e.devices[i].key
	}
	h := e.hostOf(&who, now)
	if h == nil {
		return
	}
	arps := made(&h.arps)
	if !distinct(arps.set[:], &arps.n, uint32(e.hash.addr(target)), 0, p.Number, now, scanWindow) {
		return
	}
	if who.dev < 0 && e.routers.is(mac) {
		// A gateway gets six times as much: its set must fill anew six times.
		arps.n = 0
		h.sweeps++
		if h.sweeps%6 != 0 {
			return
		}
	}
	if !e.fresh(ruleARP, &who, 0, hour, now) {
		return
	}
	packets, _, first := evidence(arps.set[:])
	e.tellScan(ruleARP, who, now, first, len(arps.set), packets, nil, "", hour, "The device looks for every host of its network",
		map[string]string{"window": scanWindow.String(), "by": "address resolution"})
}

func (e *Engine) icmp(p *packet.Packet, now int64) {
	switch p.ICMPType {
	case 8:
		e.ping(p, now)
	case 3:
		e.unreachable(p, now)
	}
}

func (e *Engine) icmp6(p *packet.Packet, now int64) {
	switch p.ICMPType {
	case 128:
		e.ping(p, now)
	case 135:
		if !p.Src.IsUnspecified() { // otherwise a host that looks whether its own address is free
			e.resolution(p, p.Src, p.SrcMAC, p.NDTarget, now)
		}
	case 1:
		e.unreachable(p, now)
	}
}

// ping counts whom one source sends echo requests to.
func (e *Engine) ping(p *packet.Packet, now int64) {
	src := e.sender(p, e.hash.addr(p.Src), now)
	dst := e.receiver(p, e.hash.addr(p.Dst))
	if src.dev >= 0 && e.expects(src.dev, false, &dst, p.Proto, 0) || p.Dst.IsMulticast() {
		return
	}
	h := e.hostOf(&src, now)
	if h == nil {
		return
	}
	if !distinct(h.pings.set[:], &h.pings.n, uint32(dst.key), 0, p.Number, now, scanWindow) || !e.fresh(ruleICMP, &src, 0, hour, now) {
		return
	}
	packets, _, first := evidence(h.pings.set[:])
	s := map[string]string{"window": scanWindow.String(), "by": "echo requests"}
	e.tellScan(ruleICMP, src, now, first, len(h.pings.set), packets, nil, "", hour, "The device pings many hosts", s)
}

// unreachable handles the news that a try was in vain.
func (e *Engine) unreachable(p *packet.Packet, now int64) {
	in := &p.Inner
	if in.SrcPort == 0 && in.DstPort == 0 {
		return
	}
	src, dst := e.hash.addr(in.Src), e.hash.addr(in.Dst)
	ss := e.hash.side(src, in.SrcPort)
	c := e.conns.find(e.hash.both(ss, e.hash.side(dst, in.DstPort), in.Proto))
	if c == nil || c.state != connTried || c.side != uint32(ss) {
		return
	}
	if code := p.ICMPCode; p.Has(packet.ICMP) && code != 2 && code != 3 || p.Has(packet.ICMPv6) && code != 4 {
		// A router knows no way: that is no failing of the target.
		if x := e.endpoints.find(c.endpoint); x != nil && c.endpoint != 0 && x.unanswered > 0 {
			x.unanswered--
			x.syns -= min(x.syns, uint32(c.syns))
			c.endpoint = 0
		}
	}
	opener := e.partyBack(in.Src, src, c.src)
	target := e.partyBack(in.Dst, dst, c.dst)
	if h := e.seen(&opener); h != nil {
		(*h.of(c.proto)).settle(c.slot, uint32(target.key), contactRefused)
		e.fanoutLate(h, now)
	}
	portUnreachable := p.Has(packet.ICMP) && p.ICMPCode == 3 || p.Has(packet.ICMPv6) && p.ICMPCode == 4
	if c.proto == packet.ProtoUDP && portUnreachable && (in.DstPort < 33434 || in.DstPort > 33534) { // those are traceroute's
		e.verticalTry(&attempt{now: now, num: p.Number, src: opener, dst: target, proto: packet.ProtoUDP, sport: in.SrcPort, dport: in.DstPort})
	}
}
