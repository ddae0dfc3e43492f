package meter

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/packet"
)

// tuple names a flow, its ends in a fixed order.
type tuple struct {
	a, b         netip.Addr
	aPort, bPort uint16
	proto        uint8
}

// tupleOf returns the tuple of a packet and which end of it has sent it. Of
// ICMP, the echo identifier stands for the port of either side.
func tupleOf(p *packet.Packet) (t tuple, fromA, ok bool) {
	sport, dport := p.SrcPort, p.DstPort
	switch {
	case p.Layers&(packet.TCP|packet.UDP) != 0:
	case p.Has(packet.ICMP), p.Has(packet.ICMPv6):
		if !echo(p) {
			return t, false, false // an error or a message between neighbours
		}
		sport, dport = p.ICMPID, p.ICMPID
	default:
		if p.FragOffset != 0 || p.Proto == packet.ProtoTCP || p.Proto == packet.ProtoUDP {
			return t, false, false
		}
		sport, dport = 0, 0
	}
	if c := p.Src.Compare(p.Dst); c < 0 || c == 0 && sport <= dport {
		return tuple{p.Src, p.Dst, sport, dport, p.Proto}, true, true
	}
	return tuple{p.Dst, p.Src, dport, sport, p.Proto}, false, true
}

func echo(p *packet.Packet) bool {
	if p.Has(packet.ICMPv6) {
		return p.ICMPType == 128 || p.ICMPType == 129
	}
	return p.ICMPType == 8 || p.ICMPType == 0
}

// entry is one open flow.
type entry struct {
	rec        flow.Record
	key        tuple
	dev, peer  *device // of Local; of Remote, if it is a device too
	fromA      bool    // the opener is end a
	up         bool    // the opener is the record's device
	answered   bool
	learned    bool // its peer was noted
	spoke      bool // its opener was heard
	done       bool // its end was seen; the last packets of either side may follow
	prev, next *entry
	in         *list
	chain      *entry // the next in its place of the table
}

// list is a ring of entries, the one longest idle first.
type list struct{ head entry }

func (l *list) init() { l.head.prev, l.head.next = &l.head, &l.head }

func (l *list) oldest() *entry { return l.after(&l.head) }

func (l *list) after(e *entry) *entry {
	if e.next == &l.head {
		return nil
	}
	return e.next
}

func (l *list) push(e *entry) {
	e.in = l
	e.prev, e.next = l.head.prev, &l.head
	e.prev.next, l.head.prev = e, e
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next, e.in = nil, nil, nil
}

// begin opens a flow for the packet that is its first.
func (m *Meter) begin(p *packet.Packet, t tuple, fromA bool) *entry {
	m.stats.Flows++
	if m.flows.n >= m.c.Max {
		victim := m.fresh.oldest()
		if victim == nil {
			victim = m.steady.oldest()
		}
		m.stats.Evicted++
		m.close(victim)
	}
	e := m.free
	if e != nil {
		m.free = e.next
		*e = entry{}
	} else {
		e = new(entry)
	}
	src, dst := m.who(p.Src, p.SrcMAC), m.who(p.Dst, p.DstMAC)
	opener := true // the packet's sender opened the flow
	switch {
	case p.Has(packet.TCP):
		opener = p.Flags&(packet.SYN|packet.ACK) != packet.SYN|packet.ACK
		if p.Flags&packet.SYN == 0 && p.SrcPort < p.DstPort && p.SrcPort < 32768 {
			opener = false // seen from its middle; services have the lower port
		}
	case p.Has(packet.UDP):
		opener = p.SrcPort >= 1024 || p.DstPort < 1024 || p.SrcPort == p.DstPort
	case p.Has(packet.ICMP):
		opener = p.ICMPType == 8
	case p.Has(packet.ICMPv6):
		opener = p.ICMPType == 128
	}
	from, to := netip.AddrPortFrom(p.Src, t.port(fromA)), netip.AddrPortFrom(p.Dst, t.port(!fromA))
	if !opener {
		from, to, src, dst, fromA = to, from, dst, src, !fromA
	}
	if !opener && src == nil {
		// A reply that was read before what it answers, since two interfaces are
		// two rings: it bears the router's MAC, and its address says whose it is.
		src = m.byIP[from.Addr()]
	}
	e.key, e.fromA = t, fromA
	e.up = src != nil || dst == nil && (m.local(from.Addr()) || !m.local(to.Addr()))
	e.rec = flow.Record{Start: p.Time, End: p.Time, Proto: p.Proto, Direction: flow.FromDevice, Local: from, Remote: to}
	e.dev, e.peer = src, dst
	if !e.up {
		e.rec.Direction, e.rec.Local, e.rec.Remote = flow.ToDevice, to, from
		e.dev, e.peer = dst, src
	}
	if e.dev == nil {
		e.dev = m.nobody
	}
	e.rec.Device = e.dev.ID
	e.rec.Name = m.names.Names(e.rec.Remote.Addr(), p.Time)[0]
	m.decide(e)
	m.minute(e.dev, p.Time).begun(e, maphash.Comparable(m.seed, e.rec.Remote.Addr()))
	m.flows.put(e)
	m.fresh.push(e)
	return e
}

func (t tuple) port(a bool) uint16 {
	if a {
		return t.aPort
	}
	return t.bPort
}

// decide asks for the verdict on a flow.
func (m *Meter) decide(e *entry) {
	k := Key{Device: e.rec.Device, Direction: e.rec.Direction, Proto: e.rec.Proto, Local: e.rec.Local, Remote: e.rec.Remote, Name: e.rec.Name}
	if e.peer != nil {
		k.Peer = e.peer.ID
	}
	e.rec.Verdict, e.rec.Reason, e.rec.Term = m.c.Verdict(&k)
	if m.c.Generation != nil {
		e.rec.Generation = m.c.Generation()
	}
}

// count adds a packet to its flow.
func (m *Meter) count(p *packet.Packet, t tuple, e *entry, fromA bool) {
	if p.Time.After(e.rec.End) {
		e.rec.End = p.Time
	}
	size := uint64(p.IPLen)
	min := &m.minute(e.dev, p.Time).min
	byOpener := fromA == e.fromA
	if byOpener == e.up {
		e.rec.PacketsUp++
		e.rec.BytesUp += size
		min.PktsUp++
		min.BytesUp += size
	} else {
		e.rec.PacketsDown++
		e.rec.BytesDown += size
		min.PktsDn++
		min.BytesDn += size
	}
	if e.rec.Verdict == flow.Refused {
		min.Refused++
	}
	if !byOpener && !e.answered && p.Flags&packet.RST == 0 {
		e.answered = true
		e.unlink()
		m.steady.push(e)
	} else if e.in.head.prev != e {
		l := e.in
		e.unlink()
		l.push(e)
	}
	if byOpener && p.Flags&packet.RST == 0 && !e.spoke {
		e.spoke = true
		if e.answered && e.rec.Name == "" { // the reply was read first, perhaps before the name was
			if e.rec.Name = m.names.Names(e.rec.Remote.Addr(), p.Time)[0]; e.rec.Name != "" {
				m.decide(e)
			}
		}
	}
	// Whoever sends a device what looks like an answer is not what it needs: the
	// opener itself must have been heard.
	if !e.learned && e.spoke && (e.answered || p.Has(packet.UDP) && e.rec.PacketsUp+e.rec.PacketsDown >= oneWay) {
		e.learned = true
		m.learn(e)
	}
	if p.Flags&(packet.RST|packet.FIN) != 0 {
		e.done = true
	}
}

// close reports a flow and forgets it.
func (m *Meter) close(e *entry) {
	m.flows.drop(e)
	e.unlink()
	if !e.answered && e.up && e.rec.Proto == packet.ProtoTCP && e.dev != m.nobody {
		m.minute(e.dev, m.now).min.Unanswered++
	}
	m.report(e)
	e.next, m.free = m.free, e
}

// split reports a long flow and lets it go on with a record of its own.
func (m *Meter) split(e *entry) {
	m.report(e)
	r := &e.rec
	r.Start, r.PacketsUp, r.PacketsDown, r.BytesUp, r.BytesDown = r.End, 0, 0, 0, 0
	m.decide(e)
}

func (m *Meter) report(e *entry) {
	if e.rec.PacketsUp+e.rec.PacketsDown == 0 {
		return
	}
	if e.dev.reported(m.now) <= m.foldAfter() || e.answered && m.share < pressed {
		m.c.Emit(e.rec)
		return
	}
	m.fold(&e.rec)
}

// foldKey is what folded flows have in common.
type foldKey struct {
	device  string
	dir     flow.Direction
	proto   uint8
	port    uint16
	verdict flow.Verdict
	reason  string
	term    string
}

// maxFolds bounds the records that flows are folded into; what does not fit is
// folded into one for all ports.
const maxFolds = 1024

func (m *Meter) fold(r *flow.Record) {
	m.stats.Folded++
	port := r.Remote.Port()
	if r.Direction == flow.ToDevice {
		port = r.Local.Port()
	}
	k := foldKey{string(r.Device), r.Direction, r.Proto, port, r.Verdict, r.Reason, r.Term}
	f := m.folds[k]
	if f == nil && len(m.folds) >= maxFolds {
		k = foldKey{device: string(r.Device), dir: r.Direction, proto: r.Proto, verdict: r.Verdict, reason: r.Reason, term: r.Term}
		port = 0
		f = m.folds[k]
	}
	if f == nil {
		if len(m.folds) >= 2*maxFolds {
			m.emitFolds(true)
		}
		c := *r
		c.Name = ""
		zero := netip.IPv4Unspecified()
		if r.Direction == flow.ToDevice {
			c.Remote = netip.AddrPortFrom(zero, 0)
			c.Local = netip.AddrPortFrom(c.Local.Addr(), port)
		} else {
			c.Remote = netip.AddrPortFrom(zero, port)
			c.Local = netip.AddrPortFrom(c.Local.Addr(), 0)
		}
		if r.Device == "" {
			c.Local = netip.AddrPortFrom(zero, c.Local.Port())
		}
		m.folds[k] = &c
		return
	}
	if r.Start.Before(f.Start) {
		f.Start = r.Start
	}
	if r.End.After(f.End) {
		f.End = r.End
	}
	f.More += 1 + r.More
	f.PacketsUp += r.PacketsUp
	f.PacketsDown += r.PacketsDown
	f.BytesUp += r.BytesUp
	f.BytesDown += r.BytesDown
}

// emitFolds reports folded records that began a minute ago, or all.
func (m *Meter) emitFolds(all bool) {
	for k, f := range m.folds {
		if all || m.now.Sub(f.Start) >= time.Minute {
			m.c.Emit(*f)
			delete(m.folds, k)
		}
	}
}
