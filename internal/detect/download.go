package detect

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// fetched notes that the opener of a connection gets a program from the other
// side. p travels to the opener.
func (e *Engine) fetched(p *packet.Packet, c *conn, kind, by string, now int64, src, dst uint64) {
	client, server := e.partyBack(p.Dst, dst, c.src), e.partyBack(p.Src, src, c.dst)
	if by == "" {
		by = "tcp"
	}
	e.download(client, server, p, c.dport, c.proto, c.marks&connHostName != 0, kind, by, []uint64{c.num, p.Number}, c.first, now)
}

func (e *Engine) download(client, server party, p *packet.Packet, port uint16, proto uint8, hostName bool, kind, by string, packets []uint64, first, now int64) {
	if client.local && e.names.Known(server.addr, now) || client.dev >= 0 && e.expects(client.dev, false, &server, proto, port) {
		return
	}
	s := statement{
		rule: ruleDownload, nature: ringwall.NatureAttack, severity: ringwall.High, stage: ringwall.Infection, role: roleSource,
		title: "The device fetched a program from a bare address", subject: client, peer: server.addr,
		at: now, first: first, count: 1, packets: packets,
		facts: map[string]string{"peer": server.addr.String(), "port": itoa(port), "kind": kind, "by": by},
	}
	switch {
	case !client.local && !server.local:
	case !client.local:
		// A bot that hands itself on.
		s.subject, s.peer, s.stage = server, client.addr, ringwall.Propagation
		s.facts["peer"] = client.addr.String()
		s.title = "The device serves a program to a host on the Internet"
		if kind == "script" {
			s.nature, s.severity = ringwall.NatureDeviation, ringwall.Medium
		}
	case server.local, hostName:
		// From the house itself, or from a name that was looked up out of our
		// sight: updates travel like that too.
		s.nature, s.severity = ringwall.NatureDeviation, ringwall.Medium
		s.title = "The device fetched a program"
	}
	if e.fresh(ruleDownload, &s.subject, mix(e.hash.addr(s.peer), uint64(port)|1<<32), hour, now) {
		e.tell(s, s.peer.String()+":"+itoa(port), hour)
	}
}

// pushed notes that the opener of a connection sends a program as its first
// bytes. p travels from the opener.
func (e *Engine) pushed(p *packet.Packet, c *conn, kind string, now int64, src, dst uint64) {
	e.written(e.partyBack(p.Src, src, c.src), e.partyBack(p.Dst, dst, c.dst), p, c, kind, "tcp", now)
}

// dropped notes that a telnet session writes a program, or calls for one.
func (e *Engine) dropped(p *packet.Packet, c *conn, now int64, src, dst uint64) {
	e.written(e.partyBack(p.Src, src, c.src), e.partyBack(p.Dst, dst, c.dst), p, c, "commands", "telnet", now)
}

func (e *Engine) written(from, to party, p *packet.Packet, c *conn, kind, by string, now int64) {
	s := statement{
		rule: ruleDownload, nature: ringwall.NatureAttack, at: now, first: c.first, count: 1, packets: []uint64{c.num, p.Number},
		facts: map[string]string{"port": itoa(c.dport), "kind": kind, "by": by},
	}
	if from.local && !(to.local && to.dev >= 0 && from.dev < 0) {
		s.severity, s.stage, s.role, s.subject, s.peer = ringwall.High, ringwall.Propagation, roleSource, from, to.addr
		s.title, s.attack = "The device puts a program on another host", "T1570"
	} else {
		s.severity, s.stage, s.role, s.subject, s.peer = ringwall.Medium, ringwall.Infection, roleTarget, to, from.addr
		s.title = "Somebody puts a program on the device"
	}
	s.facts["peer"] = s.peer.String()
	if from.local && to.local && by == "tcp" {
		s.nature = ringwall.NatureDeviation // printers and tools take programs too
	}
	if e.fresh(ruleDownload, &s.subject, mix(e.hash.addr(s.peer), uint64(c.dport)|1<<33), hour, now) {
		e.tell(s, s.role+s.peer.String()+":"+itoa(c.dport), hour)
	}
}

// tftp looks for the first block of a program that a TFTP server sends from a
// port of its own (RFC 1350 section 4). The question that asked for it, to
// port 69, must have been seen.
func (e *Engine) tftp(p *packet.Packet, a *attempt) {
	b := p.Payload
	if len(b) < 8 || b[0] != 0 || b[1] != 3 || b[2] != 0 || b[3] != 1 {
		return
	}
	kind := program(b[4:])
	if kind == "" || e.endpoints.find(e.hash.ordered(a.dst.key, a.src.key, 69<<8|packet.ProtoUDP)) == nil {
		return
	}
	e.download(a.dst, a.src, p, 69, packet.ProtoUDP, false, kind, "tftp", []uint64{p.Number}, a.now, a.now)
}
