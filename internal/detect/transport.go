package detect

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/passivedns"
)

// attempt is one try of a source to reach a target.
type attempt struct {
	now          int64
	num          uint64
	src, dst     party
	proto        uint8
	sport, dport uint16
	syn          bool // an ordinary TCP opening
	needed       bool // the source is known to need the target
	bare         bool // no name led to the target and the source is not known to need it
	outside      bool // the target is a single host of the Internet
	c            *conn
}

// udpIdle is after how long without a packet the next one of a UDP flow is a
// new try.
const udpIdle = int64(time.Minute)

func (e *Engine) tcp(p *packet.Packet, now int64) {
	src, dst := e.hash.addr(p.Src), e.hash.addr(p.Dst)
	ss, ds := e.hash.side(src, p.SrcPort), e.hash.side(dst, p.DstPort)
	tag := e.hash.both(ss, ds, packet.ProtoTCP)
	flags := p.Flags & (packet.SYN | packet.ACK | packet.RST | packet.FIN)
	if flags == packet.SYN {
		e.opening(p, now, src, dst, uint32(ss), tag)
		return
	}
	c := e.conns.find(tag)
	if c == nil {
		e.middle(p, now, src, dst, uint32(ss), uint32(ds), tag, flags)
		return
	}
	quiet := now - c.last
	c.last = now
	up := c.side == uint32(ss)
	switch {
	case flags == packet.SYN|packet.ACK:
		if !up && c.state == connTried {
			c.state, c.risn = connOpen, p.Seq
			e.answered(p, c, now, src, dst)
		}
		return
	case flags&packet.RST != 0:
		if !up && c.state == connTried {
			e.refused(p, c, dst, src)
		}
		e.ended(p, c, now)
		return
	}
	c.count(up, uint32(now/int64(time.Second)))
	if len(p.Payload) > 0 {
		if up {
			c.up += uint32(p.PayloadLen)
		} else {
			c.down += uint32(p.PayloadLen)
			if c.state == connTried {
				// The answer was not seen, as on a tap that drops; data is one.
				c.state, c.risn = connOpen, p.Seq-1
				e.answered(p, c, now, src, dst)
			}
		}
		e.payload(p, c, up, now, src, dst)
		if up && quiet >= beaconFloor && c.marks&connBare != 0 && c.state == connOpen {
			e.pulse(p, c, now, src, dst)
		}
	}
	if up && c.rate >= floodRate {
		e.flooding(p, c, now, src, dst)
	}
	if flags&packet.FIN != 0 {
		e.ended(p, c, now)
	}
}

// count keeps the packets of either side in this second.
func (c *conn) count(up bool, second uint32) {
	if c.second != int32(second) {
		if c.rate < floodRate || int32(second)-c.second > 1 {
			c.flooding = 0
		}
		c.second, c.rate, c.answers = int32(second), 0, 0
	}
	if up {
		c.rate++
	} else if c.answers < 65535 {
		c.answers++
	}
}

// lateCopy is how long after a connection began the same opening is taken for
// a copy of the first.
const lateCopy = int64(time.Second)

// opening handles a SYN.
func (e *Engine) opening(p *packet.Packet, now int64, src, dst uint64, side uint32, tag uint64) {
	a := attempt{now: now, num: p.Number, proto: packet.ProtoTCP, sport: p.SrcPort, dport: p.DstPort, syn: true}
	a.src, a.dst = e.sender(p, src, now), e.receiver(p, dst)
	if p.Dst.Is4() {
		e.mirai(p, &a)
	}
	c := e.conns.find(tag)
	same := c != nil && c.isn == p.Seq && c.side == side && now-c.last < int64(2*time.Minute)
	late := same && c.state == connMiddle && c.marks&connAnswer != 0
	switch {
	case same && c.state == connTried:
		c.last = now
		c.syns++
		if x := e.endpoints.find(c.endpoint); x != nil {
			x.syns++
			e.failing(&a, x)
		}
		return
	case same && c.state == connOpen && now-c.first < lateCopy:
		return // what was answered just now does not begin anew
	case !late:
		c = e.conns.open(tag, now)
	}
	// What was read of a connection whose opening comes late is kept.
	c.num, c.side, c.isn, c.dport, c.proto, c.syns = p.Number, side, p.Seq, p.DstPort, packet.ProtoTCP, 1
	c.src, c.dst = a.src.dev, a.dst.dev
	a.c = c
	e.attempt(&a)
	if late {
		c.state = connOpen
		e.answered(&packet.Packet{Src: p.Dst, Dst: p.Src}, c, now, dst, src)
	}
}

// middle handles a packet of a connection that was not seen to begin.
func (e *Engine) middle(p *packet.Packet, now int64, src, dst uint64, ss, ds uint32, tag uint64, flags packet.Flags) {
	if flags&packet.RST != 0 {
		return
	}
	if flags&packet.ACK == 0 && len(p.Payload) == 0 {
		// Neither SYN nor ACK: a probe that hopes to pass as the rest of
		// something (nmap's FIN, NULL and Xmas scans).
		a := attempt{now: now, num: p.Number, proto: packet.ProtoTCP, sport: p.SrcPort, dport: p.DstPort}
		a.src, a.dst = e.sender(p, src, now), e.receiver(p, dst)
		if !e.special(p.Dst) {
			e.verticalTry(&a)
		}
		return
	}
	c := e.conns.open(tag, now)
	c.num, c.proto, c.state, c.dport, c.side = p.Number, packet.ProtoTCP, connMiddle, p.DstPort, ss
	from, to := e.sender(p, src, now), e.receiver(p, dst)
	if p.SrcPort < p.DstPort && p.SrcPort < 32768 || flags == packet.SYN|packet.ACK { // the service answers
		c.side, c.dport = ds, p.SrcPort
		from, to = to, from
	}
	if flags == packet.SYN|packet.ACK {
		c.isn, c.risn = p.AckNum-1, p.Seq
		c.marks |= connAnswer
	}
	c.src, c.dst = from.dev, to.dev
	if len(p.Payload) > 0 {
		e.payload(p, c, c.side == ss, now, src, dst)
	}
}

func (e *Engine) udp(p *packet.Packet, now int64) {
	src, dst := e.hash.addr(p.Src), e.hash.addr(p.Dst)
	ss, ds := e.hash.side(src, p.SrcPort), e.hash.side(dst, p.DstPort)
	tag := e.hash.both(ss, ds, packet.ProtoUDP)
	c := e.conns.find(tag)
	if c == nil || now-c.last > udpIdle {
		c = e.udpOpening(p, now, src, dst, ss, ds, tag)
	}
	c.last = now
	up := c.side == uint32(ss)
	c.count(up, uint32(now/int64(time.Second)))
	if up {
		c.up += uint32(p.PayloadLen)
		if c.rate >= floodRate {
			e.flooding(p, c, now, src, dst)
		}
		return
	}
	c.down += uint32(p.PayloadLen)
	if c.state == connTried {
		c.state = connOpen
		e.answered(p, c, now, src, dst)
	}
	if c.marks&connAsked != 0 {
		e.learnNames(p)
	}
}

func (e *Engine) udpOpening(p *packet.Packet, now int64, src, dst uint64, ss, ds, tag uint64) *conn {
	c := e.conns.open(tag, now)
	c.num, c.proto, c.side, c.dport, c.syns = p.Number, packet.ProtoUDP, uint32(ss), p.DstPort, 1
	a := attempt{now: now, num: p.Number, proto: packet.ProtoUDP, sport: p.SrcPort, dport: p.DstPort, c: c}
	a.src, a.dst = e.sender(p, src, now), e.receiver(p, dst)
	if p.SrcPort < 1024 && p.DstPort >= 1024 { // the answer of a service whose question was not seen
		c.side, c.dport, c.state = uint32(ds), p.SrcPort, connMiddle
		c.src, c.dst = a.dst.dev, a.src.dev
		return c
	}
	c.src, c.dst = a.src.dev, a.dst.dev
	if p.DstPort == 53 {
		c.marks |= connAsked
	}
	if !a.dst.local || !e.special(p.Dst) {
		e.tftp(p, &a)
		e.portMapUDP(p, &a)
	}
	e.attempt(&a)
	return c
}

// attempt tells the rules of one try.
func (e *Engine) attempt(a *attempt) {
	if e.special(a.dst.addr) {
		return
	}
	a.outside = !a.dst.local
	a.needed = a.src.dev >= 0 && e.expects(a.src.dev, false, &a.dst, a.proto, a.dport)
	a.bare = !a.needed && !e.names.Known(a.dst.addr, a.now)
	if a.bare {
		a.c.marks |= connBare
	}
	e.fanout(a)
	e.newPeer(a)
	e.call(a)
	e.videoTry(a)
	if a.syn {
		e.verticalTry(a)
	}
	e.floodTry(a)
	e.requestTry(a)
}

// answered tells the rules that the other side has answered. p is its answer,
// so its destination is the opener.
func (e *Engine) answered(p *packet.Packet, c *conn, now int64, src, dst uint64) {
	opener, target := e.partyBack(p.Dst, dst, c.src), e.partyBack(p.Src, src, c.dst)
	if !target.local {
		e.upAt = now
		if p.SrcMAC != (packet.MAC{}) {
			e.routers.note(p.SrcMAC)
		}
	}
	if h := e.seen(&opener); h != nil {
		(*h.of(c.proto)).settle(c.slot, uint32(target.key), contactAnswered)
	}
	if x := e.endpoints.find(c.endpoint); x != nil {
		x.unanswered, x.syns = 0, 0
	}
	e.verticalOpen(c, opener.key, target.key)
}

// refused notes that the target turned the opener away.
func (e *Engine) refused(p *packet.Packet, c *conn, opener, target uint64) {
	who := e.partyBack(p.Dst, opener, c.src)
	if h := e.seen(&who); h != nil {
		(*h.of(c.proto)).settle(c.slot, uint32(e.partyBack(p.Src, target, c.dst).key), contactRefused)
		e.fanoutLate(h, e.now)
	}
}

// ended notes the end of a connection.
func (e *Engine) ended(p *packet.Packet, c *conn, now int64) {
	if c.state == connOpen {
		e.guessEnded(c)
	}
	if p.Flags&packet.RST != 0 || c.state == connTried {
		c.state = connClosed
	}
}

// partyBack makes the party of an end whose device is on record.
func (e *Engine) partyBack(addr netip.Addr, hash uint64, dev int32) party {
	if dev >= 0 && int(dev) < len(e.devices) && e.devices[dev] != nil {
		return party{addr: addr, key: e.devices[dev].key, dev: dev, local: true}
	}
	return party{addr: addr, key: hash, dev: -1, local: e.isLocal(addr)}
}

// of returns where the contacts of a host are kept, nil while there are none.
func (h *host) of(proto uint8) **contacts {
	if proto == packet.ProtoTCP {
		return &h.tcp
	}
	return &h.udp
}

// learnNames notes the names in a DNS answer. A broken answer names what it
// named before it broke.
func (e *Engine) learnNames(p *packet.Packet) {
	_ = passivedns.Parse(p.Payload, func(name []byte, a netip.Addr) { e.names.Note(name, a, p.Time) })
}
