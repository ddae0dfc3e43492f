package detect

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	failingCalls = 6
	// failingSpan keeps apart a bot that tries again for ever from a program
	// that tries six ways at once and gives up.
	failingSpan = 15 * time.Second
	// failingSYNs of at least failingLong calls are as good: each call was
	// repeated by the system until it gave up.
	failingSYNs = 12
	failingLong = 3
	// failingPause ends a run: a try each hour is no retry.
	failingPause = 30 * time.Minute

	// uplinkLife is for how long an answer from the Internet shows that the line
	// works.
	uplinkLife = 10 * time.Minute

	// beaconCeil: what calls more seldom than this is a schedule.
	beaconCeil = int64(time.Hour)
	// beaconFloor keeps out bursts: closer calls are one act of a program.
	beaconFloor = int64(time.Second)
)

// failing looks for calls in vain to one bare address of the Internet.
func (e *Engine) failing(a *attempt, x *endpoint) {
	if a.proto != packet.ProtoTCP || !a.src.local || a.dst.local {
		return
	}
	if x.starts.len > 1 {
		if at, _ := x.starts.back(1); !recent(at, a.now, failingPause) {
			x.runAt, x.unanswered, x.syns = a.now, 1, 1
			return
		}
	}
	if a.now-x.runAt < int64(failingSpan) || x.unanswered < failingCalls && (x.syns < failingSYNs || x.unanswered < failingLong) {
		return
	}
	// When nobody on the Internet answers anybody, the line is down, and it is
	// no wonder that this call is in vain.
	up := e.upAt != 0 && recent(e.upAt, a.now, uplinkLife)
	sure := uint64(2)
	if up {
		sure = 1
	}
	if !e.fresh(ruleFailing, &a.src, mix(a.dst.key, uint64(a.dport)|sure<<32), day, a.now) {
		return
	}
	s := statement{
		rule: ruleFailing, nature: ringwall.NatureAttack, severity: ringwall.Medium, stage: ringwall.Command, role: roleSource,
		title:   "The device keeps calling a bare address that does not answer",
		subject: a.src, peer: a.dst.addr, at: a.now, first: x.runAt, count: int(x.syns), packets: x.starts.packets(failingCalls),
		facts: map[string]string{"peer": a.dst.addr.String(), "port": itoa(a.dport), "calls": itoa(x.unanswered), "packets": itoa(x.syns)},
	}
	extra := a.dst.addr.String() + ":" + itoa(a.dport)
	if !up {
		s.nature, s.severity, extra = ringwall.NatureDeviation, ringwall.Low, extra+" offline"
		s.facts["uplink"] = "nobody outside answers"
	}
	e.tell(s, extra, day)
}

// maxPulse is the most that a sign of life holds: a word, not a report.
const maxPulse = 128

// pulse counts what a connection that was silent says, as if it were a call:
// bots keep one connection to their command server and knock on it.
func (e *Engine) pulse(p *packet.Packet, c *conn, now int64, src, dst uint64) {
	if p.PayloadLen > maxPulse || login(c.dport) != "" || c.endpoint == 0 {
		return
	}
	x := e.endpoints.find(c.endpoint)
	if x == nil {
		return
	}
	a := attempt{now: now, num: p.Number, src: e.partyBack(p.Src, src, c.src), dst: e.partyBack(p.Dst, dst, c.dst), proto: c.proto, sport: p.SrcPort, dport: c.dport, c: c}
	if !a.src.local || a.dst.local {
		return
	}
	x.last = now
	x.calls++
	x.starts.add(now, p.Number)
	e.regular(&a, x)
}

// regular looks for calls at even intervals.
func (e *Engine) regular(a *attempt, x *endpoint) {
	if x.starts.len < tries || a.proto == packet.ProtoUDP && (a.dport == 123 || a.dport == 53) {
		return
	}
	var gaps [tries - 1]int64
	for i := range gaps {
		later, _ := x.starts.back(i)
		before, _ := x.starts.back(i + 1)
		if gaps[i] = later - before; gaps[i] < beaconFloor {
			return
		}
	}
	slices.Sort(gaps[:])
	mid := gaps[len(gaps)/2]
	if mid > beaconCeil {
		return
	}
	off := 0
	for _, g := range gaps {
		if d := g - mid; d > mid/6 || d < -mid/6 {
			off++
		}
	}
	if off > 1 || !e.fresh(ruleBeacon, &a.src, mix(a.dst.key, uint64(a.dport)|1<<32), day, a.now) {
		return
	}
	first, _ := x.starts.back(tries - 1)
	e.tell(statement{
		rule: ruleBeacon, nature: ringwall.NatureDeviation, severity: ringwall.Medium, stage: ringwall.Command, role: roleSource,
		title:   "The device calls a bare address at regular intervals",
		subject: a.src, peer: a.dst.addr, at: a.now, first: first, count: int(x.calls), packets: x.starts.packets(tries),
		facts: map[string]string{"peer": a.dst.addr.String(), "port": itoa(a.dport), "period": time.Duration(mid).Round(100 * time.Millisecond).String()},
	}, a.dst.addr.String()+":"+itoa(a.dport), day)
}
