package detect

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

// Flow is one connection as a flow recorder (Zeek, NetFlow) tells of it after
// the fact.
type Flow struct {
	Number   uint64 // of the record in its input, from 1
	Start    time.Time
	Src, Dst netip.AddrPort // Src opened it; of ICMP, the port of Dst is the code and that of Src the type
	Proto    uint8
	Answered bool // the other side took part
	Refused  bool // the other side turned it away
	Openings int  // packets that opened it, of TCP; 0 = 1
	BytesUp  uint64
	BytesDn  uint64
	PktsUp   uint64
	PktsDn   uint64
	Duration time.Duration
}

// Flow judges one flow record, in the place of packets. What can be told from
// it is told: fan-out, scans, sweeps by echo requests, beacons, guessing,
// floods, new peers; not what stands in sequence numbers or payloads. Records should
// come in the order of their start. An engine is fed packets or flows, not
// both; the evidence of alerts then numbers records.
func (e *Engine) Flow(f *Flow) {
	e.adopt()
	e.records = true
	e.stats.Packets++
	now := e.clock(f.Start)
	src, dst := f.Src.Addr().Unmap(), f.Dst.Addr().Unmap()
	if !src.IsValid() || !dst.IsValid() {
		return
	}
	p := packet.Packet{Time: f.Start, Number: f.Number, Src: src, Dst: dst, Proto: f.Proto, SrcPort: f.Src.Port(), DstPort: f.Dst.Port()}
	sh, dh := e.hash.addr(src), e.hash.addr(dst)
	switch f.Proto {
	case packet.ProtoICMP, packet.ProtoICMPv6:
		if t := f.Src.Port(); t == 8 || t == 128 {
			e.ping(&p, now)
		}
		return
	case packet.ProtoTCP, packet.ProtoUDP:
	default:
		return
	}
	ss, ds := e.hash.side(sh, p.SrcPort), e.hash.side(dh, p.DstPort)
	tag := e.hash.both(ss, ds, f.Proto)
	n := uint32(max(f.Openings, 1))
	if c := e.conns.find(tag); c != nil && c.state == connTried && !f.Answered && now-c.last < int64(2*time.Minute) {
		// Recorders cut a call that is repeated without answer into several
		// records: it is one call.
		c.last = now
		if x := e.endpoints.find(c.endpoint); x != nil {
			x.syns += n
			a := attempt{now: now, num: f.Number, src: e.sender(&p, sh, now), dst: e.receiver(&p, dh), proto: f.Proto, sport: p.SrcPort, dport: p.DstPort, c: c}
			e.failing(&a, x)
		}
		return
	}
	c := e.conns.open(tag, now)
	c.num, c.proto, c.side, c.dport = f.Number, f.Proto, uint32(ss), p.DstPort
	a := attempt{now: now, num: f.Number, proto: f.Proto, sport: p.SrcPort, dport: p.DstPort, syn: f.Proto == packet.ProtoTCP, c: c}
	a.src, a.dst = e.sender(&p, sh, now), e.receiver(&p, dh)
	c.src, c.dst = a.src.dev, a.dst.dev
	e.attempt(&a)
	if x := e.endpoints.find(c.endpoint); x != nil && c.endpoint != 0 {
		x.syns += n - 1
	}
	if sec := max(f.Duration.Seconds(), floodSeconds); float64(f.PktsUp)/sec >= floodRate && f.PktsDn*floodAnswers < f.PktsUp && a.bare {
		e.flooded(a.src, a.dst, a.dport, a.proto, now, now+int64(f.Duration), []uint64{f.Number})
	}
	back := packet.Packet{Time: f.Start, Number: f.Number, Src: dst, Dst: src, SrcPort: p.DstPort, DstPort: p.SrcPort, Proto: f.Proto}
	switch {
	case f.Answered:
		c.state = connOpen
		e.answered(&back, c, now, dh, sh)
		c.down = uint32(min(f.BytesDn, 1<<31))
		e.guessEnded(c)
		c.state = connClosed
	default:
		// That nobody answered is known already, without waiting.
		e.refused(&back, c, sh, dh)
		if f.Refused {
			c.state = connClosed
		}
	}
}
