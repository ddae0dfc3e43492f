package detect

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// vertical is how many closed ports of one host make a scan.
	vertical       = 12
	verticalWindow = time.Minute
)

func rankOf(p *party) uint8 {
	switch {
	case p.dev >= 0:
		return 2
	case p.local:
		return 1
	}
	return 0
}

// verticalTry counts one more port of one target.
func (e *Engine) verticalTry(a *attempt) {
	x := e.pairs.get(e.hash.ordered(a.src.key, a.dst.key, 3), rankOf(&a.src), a.now)
	if x == nil {
		return
	}
	x.last = a.now
	if !recent(x.since, a.now, verticalWindow) {
		x.since, x.n, x.open = a.now, 0, 0
	}
	for _, p := range x.ports[:x.n] {
		if p == a.dport {
			return
		}
	}
	if int(x.n) == len(x.ports) {
		return
	}
	x.ports[x.n], x.nums[x.n] = a.dport, a.num
	x.n++
	if int(x.n) == len(x.ports) {
		e.verticalFound(a, x)
	}
}

// verticalOpen takes a port that answered out of the count.
func (e *Engine) verticalOpen(c *conn, opener, target uint64) {
	if c.proto != packet.ProtoTCP {
		return
	}
	x := e.pairs.find(e.hash.ordered(opener, target, 3))
	if x == nil || int(x.n) == len(x.ports) {
		return
	}
	for i, p := range x.ports[:x.n] {
		if p == c.dport {
			x.n--
			x.ports[i], x.nums[i] = x.ports[x.n], x.nums[x.n]
			return
		}
	}
}

func (e *Engine) verticalFound(a *attempt, x *pair) {
	var ports []uint16
	for _, p := range x.ports {
		ports = addPort(ports, p)
	}
	s := statement{
		rule: ruleVertical, nature: ringwall.NatureAttack, severity: ringwall.High, stage: ringwall.Propagation, role: roleSource,
		title: "The device scans the ports of another host", subject: a.src, peer: a.dst.addr, at: a.now, first: x.since,
		count: vertical, packets: append([]uint64(nil), x.nums[:]...), facts: map[string]string{"target": a.dst.addr.String(), "ports": joinPorts(ports)},
	}
	if !a.src.local {
		s.role, s.subject, s.peer = roleTarget, a.dst, a.src.addr
		s.severity, s.stage, s.attack = ringwall.Low, ringwall.Infection, "T1595.001"
		s.title = "A host on the Internet scans the ports of the device"
	}
	other := a.dst.key
	if s.role == roleTarget {
		other = a.src.key
	}
	if e.fresh(ruleVertical, &s.subject, other, hour, a.now) {
		e.tell(s, s.role+s.peer.String(), hour)
	}
}
