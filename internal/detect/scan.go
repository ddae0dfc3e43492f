package detect

import (
	"encoding/binary"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// scanWindow is the window of the rules that count targets.
const scanWindow = time.Minute

// Thresholds of any-fanout; the reasons stand in rules.go. UDP takes twice as
// many, since honest programs that look for a way through a NAT try several.
const (
	failingFast = 12
	failingSlow = 24
)

// mirai looks for Mirai's fingerprint.
func (e *Engine) mirai(p *packet.Packet, a *attempt) {
	d := p.Dst.As4()
	if p.Seq != binary.BigEndian.Uint32(d[:]) {
		return
	}
	if !e.fresh(ruleMirai, &a.src, 0, hour, a.now) {
		return
	}
	s := statement{
		rule: ruleMirai, nature: ringwall.NatureAttack, severity: ringwall.Critical, stage: ringwall.Propagation, role: roleSource,
		title:   "The device scans for victims as Mirai does",
		subject: a.src, peer: a.dst.addr, at: a.now, first: a.now, count: 1, packets: []uint64{a.num},
		facts: map[string]string{"target": a.dst.addr.String(), "ports": itoa(a.dport), "sequence": "equals the target's address"},
	}
	if !a.src.local {
		s.severity, s.title = ringwall.Low, "A host on the Internet scans here as Mirai does"
	}
	e.tell(s, "", hour)
}

// admin reports whether a port serves the administration of devices: what bots
// look for, and what devices do not call by themselves. Web ports are not
// among them, and neither are those by which recorders call their cameras.
func admin(port uint16) bool {
	switch port {
	case 22, 23, 26, 2222, 2323, 2223, 23231, 22222, // SSH, telnet and where they are hidden
		5555,                           // Android debug bridge
		7547, 5358, 37215, 52869, 8291, // TR-069, UPnP services and routers that were broken by many
		9527, 3389, 5900, 5901, 2375, 6379, // camera debug shell, remote desktops, Docker, Redis
		9034, 60001, 4321, 6789, 19058, 31337: // what bots of this kind were seen to try
		return true
	}
	return false
}

// fanout counts the targets of one source.
func (e *Engine) fanout(a *attempt) {
	if !a.bare || a.proto == packet.ProtoTCP && !a.syn {
		return
	}
	h := e.hostOf(&a.src, a.now)
	if h == nil {
		return
	}
	key := uint32(a.dst.key)
	if a.proto == packet.ProtoTCP && admin(a.dport) {
		e.adminFanout(a, h, key)
	}
	c := made(h.of(a.proto))
	if c.told(a.now) {
		return
	}
	slot, fresh := c.add(key, a.dport, a.num, a.now)
	a.c.slot = slot
	if fresh && c.n >= failingFast {
		e.judge(h, a.src, c, a.proto, a.now)
	}
}

func (e *Engine) adminFanout(a *attempt, h *host, key uint32) {
	if distinct(h.admin.set[:], &h.admin.n, key, a.dport, a.num, a.now, scanWindow) && e.fresh(ruleAdmin, &a.src, 0, hour, a.now) {
		h.adminAt = a.now
		packets, ports, first := evidence(h.admin.set[:])
		e.tellScan(ruleAdmin, a.src, a.now, first, len(h.admin.set), packets, ports, "", hour,
			"The device tries the administration ports of many hosts", map[string]string{"window": scanWindow.String()})
	}
	// What was told of as fast is not told of again as slow.
	fast := h.adminAt != 0 && recent(h.adminAt, a.now, hour)
	if made(&h.daily).add(key, a.num, a.now) && !fast && e.fresh(ruleAdmin, &a.src, 1, day, a.now) {
		e.tellScan(ruleAdmin, a.src, a.now, h.daily.from, slowTargets, append([]uint64(nil), h.daily.nums[:maxEvidence]...), nil, "slow", day,
			"The device tries the administration ports of many hosts, slowly", map[string]string{"window": "24h0m0s"})
	}
}

// tellScan makes the alert of a scan; one from outside is the weather of the
// Internet and weighs little.
func (e *Engine) tellScan(rule ruleID, src party, now, first int64, count int, packets []uint64, ports []uint16, extra string, window time.Duration, title string, facts map[string]string) {
	facts["targets"] = itoa(count)
	if len(ports) > 0 {
		facts["ports"] = joinPorts(ports)
	}
	s := statement{
		rule: rule, nature: ringwall.NatureAttack, severity: ringwall.High, stage: ringwall.Propagation, role: roleSource, title: title,
		subject: src, at: now, first: first, count: count, packets: packets, facts: facts,
	}
	if !src.local {
		s.severity, s.attack = ringwall.Low, "T1595.001"
	}
	e.tell(s, extra, window)
}

// fanoutLate judges contacts whose time to answer has run out.
func (e *Engine) fanoutLate(h *host, now int64) {
	for i, c := range [2]*contacts{h.tcp, h.udp} {
		if c.count() < failingFast || !c.judge || !recent(h.last, now, 15*time.Second) {
			continue
		}
		last := c.at[(c.head+ring-1)%ring]
		proto := uint8(packet.ProtoTCP)
		if i == 1 {
			proto = packet.ProtoUDP
		}
		e.judge(h, e.partyOf(h), c, proto, now)
		if now-last > int64(grace) {
			c.judge = false // all that there is to judge was judged
		}
	}
}

func (e *Engine) partyOf(h *host) party {
	who := party{addr: h.addr, key: h.tag, dev: -1, local: h.local}
	for i, d := range e.devices {
		if d != nil && d.host == h {
			who.dev = int32(i)
		}
	}
	return who
}

// judge decides whether the contacts of a source are a scan.
func (e *Engine) judge(h *host, src party, c *contacts, proto uint8, now int64) {
	if c.told(now) {
		return
	}
	fast, slow := failingFast, failingSlow
	if proto == packet.ProtoUDP {
		fast, slow = 2*failingFast, 2*failingSlow
	}
	t := c.tally(now)
	var how string
	switch {
	case t.failing10 >= fast && t.ports*2 <= t.failing10:
		how = "unanswered within 10s"
	case t.failing60 >= slow:
		how = "unanswered within 1m0s"
	case t.bare60 >= ring:
		how = "within 1m0s"
	default:
		return
	}
	// Programs that speak to their peers at random ports (file sharing, calls)
	// also try many bare addresses; scanners look for few ports.
	peerish := t.ports*2 > t.bare60
	extra, extraKey := "", uint64(0)
	if proto == packet.ProtoUDP {
		extra, extraKey = "udp", 1
	}
	if peerish {
		extra, extraKey = extra+"peers", extraKey+2
	}
	if !peerish {
		c.hour = now / int64(hour)
	}
	if !e.fresh(ruleAny, &src, extraKey, hour, now) {
		return
	}
	packets, ports := c.evidence(now)
	facts := map[string]string{"targets": itoa(t.bare60), "unanswered": itoa(t.failing60), "ports": joinPorts(ports), "protocol": "tcp", "how": how}
	if proto == packet.ProtoUDP {
		facts["protocol"] = "udp"
	}
	s := statement{
		rule: ruleAny, nature: ringwall.NatureAttack, severity: ringwall.High, stage: ringwall.Propagation, role: roleSource,
		title: "The device tries many hosts that have no name", subject: src, at: now, first: t.first, count: t.bare60, packets: packets, facts: facts,
	}
	if peerish {
		s.nature, s.severity, s.title = ringwall.NatureDeviation, ringwall.Medium, "The device speaks with many hosts at random ports"
	}
	if !src.local {
		s.severity, s.attack = ringwall.Low, "T1595.001"
	}
	e.tell(s, extra, hour)
}
