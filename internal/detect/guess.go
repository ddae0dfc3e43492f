package detect

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// The thresholds of credential-guessing. A person who has forgotten a password
// tries three or four times and then looks it up; backup and management
// programs open many sessions, but those go on to a session and are taken out
// of the count. Eight short connections in two minutes lie between: guessing
// by hand at one try in six seconds (11 in 66 s) is found at its eighth, after
// 47 seconds, and a tool at its eighth within a second.
const (
	guessWindow  = 2 * time.Minute
	guesses      = 8
	guessesClear = 5 // telnet, and refusals that were read
	// sessionBytes is what a login service has sent when it was more than a
	// refusal: the key exchange, host key and refusals of SSH take less.
	sessionBytes = 5500
)

// login names the login service on a port, "" for none.
func login(port uint16) string {
	switch port {
	case 22, 2222, 22222:
		return "ssh"
	case 23, 2323, 2223, 23231, 26:
		return "telnet"
	case 21:
		return "ftp"
	case 3389:
		return "rdp"
	case 5900, 5901:
		return "vnc"
	case 8291:
		return "winbox"
	}
	return ""
}

// call counts a try to use one service.
func (e *Engine) call(a *attempt) {
	name := ""
	if a.proto == packet.ProtoTCP {
		name = login(a.dport)
	}
	calls := a.c.marks&connBare != 0 && a.outside && a.src.local // may be a beacon
	tftp := a.proto == packet.ProtoUDP && a.dport == 69
	if name == "telnet" {
		a.c.marks |= connTelnet // read in clear, whoever it is
	}
	if name == "" && !calls && !tftp {
		return
	}
	tag := e.hash.ordered(a.src.key, a.dst.key, uint64(a.dport)<<8|uint64(a.proto))
	a.c.endpoint = tag
	x := e.endpoints.get(tag, max(rankOf(&a.src), rankOf(&a.dst)), a.now)
	if x == nil {
		return
	}
	if x.unanswered == 0 {
		x.runAt = a.now
	}
	x.last = a.now
	x.calls++
	x.unanswered++
	x.syns++
	x.weight = min(x.weight+1, 1000)
	x.starts.add(a.now, a.num)
	if calls {
		e.failing(a, x)
		e.regular(a, x)
	}
	if name == "" || a.needed || a.dst.dev >= 0 && e.expects(a.dst.dev, true, &a.src, a.proto, a.dport) {
		return // who is known to log in there may do so often
	}
	a.c.marks |= connLogin
	need := guesses
	if name == "telnet" {
		need = guessesClear
	}
	if x.starts.within(need, a.now, guessWindow) {
		e.guessing(a.src, a.dst, a.dport, name, "connections", need, &x.starts, a.now)
	}
}

// guessEnded takes a connection that was a session out of the count.
func (e *Engine) guessEnded(c *conn) {
	if c.marks&connLogin == 0 || c.down < sessionBytes || c.marks&connTelnet != 0 && c.fails+c.prompts > 1 {
		return
	}
	if x := e.endpoints.find(c.endpoint); x != nil {
		x.starts = trail{}
	}
}

// loginOf returns what is held of the passwords that one source tried at one
// service, nil if there is no place. repeats is for the same name again.
func (e *Engine) loginOf(c *conn, src, dst *party, repeats bool, now int64) *endpoint {
	n := uint64(c.dport)<<8 | uint64(c.proto)
	if repeats {
		n |= 1 << 40
	}
	x := e.logins.get(e.hash.ordered(src.key, dst.key, n), max(rankOf(src), rankOf(dst)), now)
	if x != nil {
		x.last = now
		x.weight = min(x.weight+1, 1000)
	}
	return x
}

// refusedPassword counts a refusal that was read in clear.
func (e *Engine) refusedPassword(p *packet.Packet, c *conn, name string, src, dst party, now int64) {
	x := e.loginOf(c, &src, &dst, false, now)
	if x == nil {
		return
	}
	x.starts.add(now, p.Number)
	if x.starts.within(guessesClear, now, guessWindow) {
		e.guessing(src, dst, c.dport, name, "refusals", guessesClear, &x.starts, now)
	}
}

// digestWindow is the window for refusals of one name with digest, which hides
// whether the password was another: a recorder with an old password tries every
// few seconds, a tool several times a second.
const digestWindow = 5 * time.Second

// refusedWeb counts a refusal of HTTP or RTSP. A program that asks again and
// again with one wrong password is not guessing.
func (e *Engine) refusedWeb(p *packet.Packet, c *conn, name string, src, dst party, now int64) {
	if c.auth == 0 {
		e.refusedPassword(p, c, name, src, dst, now)
		return
	}
	x := e.loginOf(c, &src, &dst, false, now)
	if x == nil {
		return
	}
	if x.lastAuth != c.auth {
		x.lastAuth = c.auth
		e.refusedPassword(p, c, name, src, dst, now)
		return
	}
	if c.auth&1 != 0 {
		return // the same password, by Basic
	}
	if x = e.loginOf(c, &src, &dst, true, now); x == nil {
		return
	}
	x.starts.add(now, p.Number)
	if x.starts.within(guesses, now, digestWindow) {
		e.guessing(src, dst, c.dport, name, "refusals", guesses, &x.starts, now)
	}
}

// guessing makes the statements: about the one who guesses if it is ours, and
// about the device whose passwords are guessed.
func (e *Engine) guessing(src, dst party, port uint16, service, by string, n int, t *trail, now int64) {
	first, _ := t.back(n - 1)
	say := func(subject, peer party, s statement, extra uint64) {
		if !e.fresh(ruleGuess, &subject, mix(peer.key, uint64(port)<<8|extra|1<<32), hour, now) {
			return
		}
		s.rule, s.nature, s.subject, s.peer = ruleGuess, ringwall.NatureAttack, subject, peer.addr
		s.at, s.first, s.count, s.packets = now, first, n, t.packets(n)
		s.facts = map[string]string{"service": service, "port": itoa(port), "by": by, "window": guessWindow.String(), "target": dst.addr.String(), "source": src.addr.String()}
		e.tell(s, s.role+peer.addr.String()+":"+itoa(port), hour)
	}
	if src.local {
		say(src, dst, statement{severity: ringwall.High, stage: ringwall.Propagation, role: roleSource,
			title: "The device guesses passwords of another host"}, 1)
	}
	if dst.dev >= 0 || dst.local && !src.local {
		say(dst, src, statement{severity: ringwall.Medium, stage: ringwall.Infection, role: roleTarget,
			title: "Somebody guesses the passwords of the device"}, 2)
	}
	if !src.local && !dst.local {
		say(src, dst, statement{severity: ringwall.Medium, stage: ringwall.Propagation, role: roleSource,
			title: "A host guesses passwords of another"}, 3)
	}
}
