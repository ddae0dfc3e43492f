package detect

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// floodRate in packets a second, for floodSeconds in a row.
	floodRate    = 2000
	floodSeconds = 2
	// floodAnswers: one answer to this many packets makes it a conversation.
	floodAnswers = 100
)

// flooding judges one connection that has reached the rate in this second.
func (e *Engine) flooding(p *packet.Packet, c *conn, now int64, src, dst uint64) {
	if c.rate != floodRate {
		return
	}
	if int(c.answers)*floodAnswers > floodRate {
		c.flooding = 0
		return
	}
	if c.flooding++; c.flooding < floodSeconds {
		return
	}
	from, to := e.partyBack(p.Src, src, c.src), e.partyBack(p.Dst, dst, c.dst)
	e.flooded(from, to, c.dport, c.proto, c.first, now, []uint64{c.num, p.Number})
}

// floodTry counts tries of one source with one target: a flood that changes
// its ports, or the addresses that it forges, with every packet.
func (e *Engine) floodTry(a *attempt) {
	if !a.src.local || !a.outside || !a.bare {
		return
	}
	x := e.pairs.get(e.hash.ordered(a.src.key, a.dst.key, 3), rankOf(&a.src), a.now)
	if x == nil {
		return
	}
	second := a.now / int64(time.Second)
	if second != x.rateAt {
		if x.rate < floodRate || second-x.rateAt > 1 {
			x.hot = 0
		}
		x.rateAt, x.rate = second, 0
	}
	x.last = a.now
	if x.rate++; x.rate != floodRate {
		return
	}
	if x.hot++; x.hot >= floodSeconds {
		e.flooded(a.src, a.dst, a.dport, a.proto, a.now-int64(floodSeconds*time.Second), a.now, []uint64{a.num})
	}
}

func (e *Engine) flooded(from, to party, port uint16, proto uint8, first, now int64, packets []uint64) {
	if !from.local || to.local || from.dev >= 0 && e.expects(from.dev, false, &to, proto, port) || e.names.Known(to.addr, now) {
		return
	}
	if !e.fresh(ruleFlood, &from, to.key, hour, now) {
		return
	}
	protocol := "tcp"
	if proto == packet.ProtoUDP {
		protocol = "udp"
	}
	e.tell(statement{
		rule: ruleFlood, nature: ringwall.NatureAttack, severity: ringwall.Critical, stage: ringwall.Action, role: roleSource,
		title: "The device floods a host", subject: from, peer: to.addr, at: now, first: first, count: floodRate * floodSeconds, packets: packets,
		facts: map[string]string{"target": to.addr.String(), "port": itoa(port), "protocol": protocol, "rate": itoa(floodRate) + "/s or more"},
	}, to.addr.String(), hour)
}
