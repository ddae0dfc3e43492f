package leakage

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
)

// login follows a dialogue that asks for a user and a password.
type login struct {
	prompt string // the end of what the server last said
	asked  bool   // for a password
	line   []byte // what the client types
	user   int    // its length
}

const maxTyped = 256

// telnet reads a login: the server asks, the client types.
func (w *Watch) telnet(c *conn, dir int) {
	h := &c.half[dir]
	text := stripCommands(h.buf)
	h.buf = h.buf[:0]
	l := &c.login
	if dir == 1 {
		l.prompt = tailOf(l.prompt+string(text), 64)
		p := strings.ToLower(strings.TrimRight(l.prompt, " \x00"))
		if strings.HasSuffix(p, "password:") || strings.HasSuffix(p, "passwd:") {
			if !l.asked {
				l.user, l.line = len(bytes.TrimSpace(l.line)), l.line[:0]
			}
			l.asked = true
		}
		return
	}
	for _, b := range text {
		switch {
		case b == '\r' || b == '\n':
			if l.asked && len(l.line) > 0 {
				w.secret(c, "telnet", l.user, len(l.line))
				l.asked, l.prompt = false, ""
			}
			if !l.asked {
				l.user = len(l.line)
			}
			l.line = l.line[:0]
		case (b == 8 || b == 127) && len(l.line) > 0:
			l.line = l.line[:len(l.line)-1]
		case b >= ' ' && len(l.line) < maxTyped:
			l.line = append(l.line, '*') // only its length is of interest
		}
	}
}

// stripCommands leaves telnet's commands out (RFC 854); one that is cut in two
// by a segment loses a character, which no prompt depends on.
func stripCommands(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] != 255 {
			out = append(out, b[i])
			continue
		}
		switch {
		case i+1 < len(b) && b[i+1] == 250: // until IAC SE
			if j := bytes.Index(b[i:], []byte{255, 240}); j >= 0 {
				i += j + 1
			} else {
				return out
			}
		default:
			i += 2
		}
	}
	return out
}

func tailOf(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}

// ftp reads USER and PASS (RFC 959 section 4.1.1).
func (w *Watch) ftp(c *conn, dir int) {
	h := &c.half[dir]
	if dir == 1 {
		h.buf = h.buf[:0]
		return
	}
	for {
		line, rest, ok := bytes.Cut(h.buf, []byte("\n"))
		if !ok {
			if len(h.buf) > maxTyped {
				h.buf = h.buf[:0]
			}
			return
		}
		verb, arg, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch strings.ToUpper(string(verb)) {
		case "USER":
			c.login.user = len(arg)
		case "PASS":
			w.secret(c, "FTP", c.login.user, len(arg))
		}
		h.buf = append(h.buf[:0], rest...)
	}
}

// sip reads a registration or call (RFC 3261 sections 10 and 22) over UDP.
func (w *Watch) sip(b []byte, to netip.AddrPort) {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	if !bytes.HasSuffix(line, []byte(" SIP/2.0")) || !bytes.HasPrefix(line, []byte("REGISTER ")) && !bytes.HasPrefix(line, []byte("INVITE ")) {
		return
	}
	if bytes.Contains(bytes.ToLower(b[:min(len(b), 4<<10)]), []byte("\r\nauthorization: digest")) {
		w.digestedAt(to, "a SIP login by digest")
	}
}

// tls reads the hellos: which host is meant, which version was agreed (RFC 8446
// section 4.1). A hello in pieces is read when it is whole.
func (w *Watch) tls(c *conn, dir int) {
	h := &c.half[dir]
	if len(h.buf) < 5 {
		return
	}
	n := int(binary.BigEndian.Uint16(h.buf[3:]))
	if h.buf[0] != 22 || n > 16<<10 {
		c.proto = other
		return
	}
	if len(h.buf) < 5+n {
		return
	}
	msg := h.buf[5 : 5+n]
	switch {
	case dir == 0:
		if name := sni(msg); name != "" && c.fromDevice {
			w.name(c.server.Addr(), name)
		}
		h.buf = h.buf[:0]
	default:
		if v, ok := agreed(msg); ok && c.fromDevice {
			w.agreed(c, v)
		}
		c.proto = other // the rest is encrypted
		c.half[0].buf, c.half[1].buf = nil, nil
	}
}

// reader walks a TLS message.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) take(n int) []byte {
	if !r.ok || n < 0 || n > len(r.b) {
		r.ok = false
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) number(bytes int) int {
	n := 0
	for _, c := range r.take(bytes) {
		n = n<<8 | int(c)
	}
	return n
}

// sni returns the host name of a ClientHello (RFC 6066 section 3).
func sni(msg []byte) string {
	r := &reader{b: msg, ok: true}
	if r.number(1) != 1 {
		return ""
	}
	r.take(3 + 2 + 32)
	r.take(r.number(1))
	r.take(r.number(2))
	r.take(r.number(1))
	r.take(2)
	for r.ok && len(r.b) > 0 {
		kind := r.number(2)
		body := r.take(r.number(2))
		if kind != 0 {
			continue
		}
		e := &reader{b: body, ok: true}
		e.take(2)
		if e.number(1) != 0 {
			return ""
		}
		return hostOnly(printable(e.take(e.number(2))))
	}
	return ""
}

// agreed returns the version of a ServerHello.
func agreed(msg []byte) (uint16, bool) {
	r := &reader{b: msg, ok: true}
	if r.number(1) != 2 {
		return 0, false
	}
	r.take(3)
	version := uint16(r.number(2))
	r.take(32)
	r.take(r.number(1))
	r.take(2 + 1)
	if !r.ok {
		return 0, false
	}
	r.take(2)
	for r.ok && len(r.b) > 0 {
		kind := r.number(2)
		body := r.take(r.number(2))
		if kind == 43 && len(body) == 2 { // supported_versions
			version = binary.BigEndian.Uint16(body)
		}
	}
	return version, version >= 0x0300 && version <= 0x0304
}

// printable makes a peer's bytes safe to show.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b[:min(len(b), 253)]))
}
