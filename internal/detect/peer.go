package detect

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// manyPeers new ones within a minute weigh more than one.
	manyPeers = 5
	// maxPeerAlerts bounds what is said of single peers, per device and hour.
	maxPeerAlerts = 12
)

// newPeer looks for contacts that a device was never seen to need.
func (e *Engine) newPeer(a *attempt) {
	if a.src.dev >= 0 && !a.needed {
		e.newPeerOf(a, a.src, a.dst, false)
	}
	if a.dst.dev >= 0 && !e.expects(a.dst.dev, true, &a.src, a.proto, a.dport) {
		e.newPeerOf(a, a.dst, a.src, true)
	}
}

func (e *Engine) newPeerOf(a *attempt, device, other party, to bool) {
	k := e.devices[device.dev]
	if !k.measured() {
		return
	}
	if !to && other.local && a.proto == packet.ProtoUDP && (a.dport == 53 || a.dport == 67 || a.dport == 123) {
		return // the network's own services
	}
	// While the device is learned, what it needs is new by nature. What is worth
	// a word then is contact with a bare address of the Internet (what honest
	// devices need they call by name), and whatever comes after an attack on it.
	attacked := k.host != nil && k.host.attacked != 0 && recent(k.host.attacked, a.now, day)
	if k.Mode == ringwall.Learn && !attacked && (to || !a.bare || !a.outside || len(k.Learned) == 0) {
		return
	}
	role, direction := roleSource, "from"
	if to {
		role, direction = roleTarget, "to"
	}
	facts := func() map[string]string {
		names := e.names.Names(other.addr, timeOf(a.now))
		m := map[string]string{"peer": other.addr.String(), "port": itoa(a.dport), "direction": direction, "protocol": "tcp"}
		if a.proto == packet.ProtoUDP {
			m["protocol"] = "udp"
		}
		if names[0] != "" {
			m["name"] = names[0]
		}
		return m
	}
	h := k.state()
	if !to && distinct(h.peers.set[:], &h.peers.n, uint32(other.key), a.dport, a.num, a.now, scanWindow) && e.fresh(rulePeer, &device, 1, hour, a.now) {
		packets, ports, first := evidence(h.peers.set[:])
		m := facts()
		delete(m, "peer")
		m["peers"], m["ports"], m["window"] = itoa(manyPeers), joinPorts(ports), scanWindow.String()
		e.tell(statement{
			rule: rulePeer, nature: ringwall.NatureDeviation, severity: ringwall.High, stage: ringwall.Command, role: role,
			title: "The device contacts many peers that it never needed", subject: device, peer: other.addr,
			at: a.now, first: first, count: manyPeers, packets: packets, facts: m,
		}, "many", hour)
	}
	if current := a.now / int64(time.Hour); h.peerHour != current {
		h.peerHour, h.peerAlerts = current, 0
	}
	if h.peerAlerts >= maxPeerAlerts || !e.fresh(rulePeer, &device, mix(other.key, uint64(a.dport)<<8|uint64(a.proto)|1<<40), hour, a.now) {
		return
	}
	h.peerAlerts++
	s := statement{
		rule: rulePeer, nature: ringwall.NatureDeviation, severity: ringwall.Low, stage: ringwall.Command, role: role,
		title: "The device contacts a peer that it never needed", subject: device, peer: other.addr,
		at: a.now, first: a.now, count: 1, packets: []uint64{a.num}, facts: facts(),
	}
	if a.bare && !to && a.outside {
		s.severity = ringwall.Medium
	}
	if to {
		s.title, s.stage = "A peer that the device never served contacts it", ringwall.Infection
	}
	e.tell(s, direction+other.addr.String()+":"+itoa(a.dport), hour)
}
