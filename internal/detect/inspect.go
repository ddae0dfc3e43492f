package detect

import (
	"bytes"
	"encoding/binary"

	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// maxHeader bounds the header of a response that is followed over several
	// packets, maxLook how much of one packet is searched.
	maxHeader = 8192
	maxLook   = 2048
)

// payload looks at the beginning of messages. Only what comes in order is
// looked at: a message whose first packet was lost goes by.
func (e *Engine) payload(p *packet.Packet, c *conn, up bool, now int64, src, dst uint64) {
	b := p.Payload
	if up {
		if c.marks&connFirstUp == 0 && c.begun() && p.Seq == c.isn+1 {
			c.marks |= connFirstUp
			if kind := program(b); kind != "" {
				e.pushed(p, c, kind, now, src, dst)
			}
			e.mining(p, c, now, src, dst)
		}
	} else {
		if c.marks&connFirstDn == 0 && c.begun() && p.Seq == c.risn+1 {
			c.marks |= connFirstDn
			if kind := program(b); kind != "" {
				e.fetched(p, c, kind, "", now, src, dst)
			}
		}
		switch {
		case c.marks&connHeader != 0 && p.Seq == c.next && (c.header > 0 || len(b) < 12):
			e.header(p, c, b, now, src, dst)
			return
		case c.marks&connBody != 0 && p.Seq == c.next:
			e.bodyBytes(p, c, b, now, src, dst)
			return
		}
	}
	if c.marks&connTelnet != 0 {
		e.telnet(p, c, up, now, src, dst)
		return
	}
	if len(b) < 12 {
		return
	}
	if !up && c.marks&connVideo == 0 && video(c.dport) && interleaved(b) {
		e.videoOpened(p, c, e.partyBack(p.Dst, dst, c.src), e.partyBack(p.Src, src, c.dst), "under way", now)
		return
	}
	switch binary.BigEndian.Uint32(b) {
	case 'H'<<24 | 'T'<<16 | 'T'<<8 | 'P', 'R'<<24 | 'T'<<16 | 'S'<<8 | 'P':
		if !up {
			e.response(p, c, now, src, dst)
		}
	case 'G'<<24 | 'E'<<16 | 'T'<<8 | ' ', 'P'<<24 | 'O'<<16 | 'S'<<8 | 'T', 'H'<<24 | 'E'<<16 | 'A'<<8 | 'D', 'P'<<24 | 'U'<<16 | 'T'<<8 | ' ',
		'P'<<24 | 'L'<<16 | 'A'<<8 | 'Y', 'D'<<24 | 'E'<<16 | 'S'<<8 | 'C', 'S'<<24 | 'E'<<16 | 'T'<<8 | 'U', 'O'<<24 | 'P'<<16 | 'T'<<8 | 'I':
		if up {
			e.request(p, c, now, src, dst)
		}
	case '5'<<24 | '3'<<16 | '0'<<8 | ' ':
		if !up && c.dport == 21 {
			e.refusedPassword(p, c, "ftp", e.partyBack(p.Dst, dst, c.src), e.partyBack(p.Src, src, c.dst), now)
		}
	}
}

// field returns the value of a header field, nil if it is absent. name is
// lower case, with its colon.
func field(head []byte, name string) []byte {
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 {
			return nil
		}
		head = head[i+1:]
		if len(head) < len(name) || head[0] == '\r' {
			return nil
		}
		match := true
		for j := range len(name) {
			if c := head[j]; c|0x20 != name[j]|0x20 {
				match = false
				break
			}
		}
		if !match {
			continue
		}
		v := head[len(name):]
		if j := bytes.IndexByte(v, '\r'); j >= 0 {
			v = v[:j]
		} else if j := bytes.IndexByte(v, '\n'); j >= 0 {
			v = v[:j]
		}
		return bytes.TrimSpace(v)
	}
}

// request reads the head of a request of HTTP or RTSP.
func (e *Engine) request(p *packet.Packet, c *conn, now int64, src, dst uint64) {
	head := p.Payload[:min(len(p.Payload), maxLook)]
	line := head
	if i := bytes.IndexByte(head, '\r'); i >= 0 {
		line = head[:i]
	}
	c.marks &^= connPassword | connHostAddr | connHostName | connHeader | connBody | connAsked | connRTSP
	c.auth = 0
	// The answer begins where the request acknowledges, however small the
	// pieces are in which it comes.
	c.marks |= connHeader
	c.next, c.header, c.match = p.AckNum, 0, 0
	if bytes.HasSuffix(line, []byte("RTSP/1.0")) {
		c.marks |= connRTSP
		if bytes.HasPrefix(line, []byte("PLAY ")) {
			c.marks |= connAsked
		}
	}
	e.exploit(p, c, line, head, now, src, dst)
	if head[0] == 'P' {
		e.portMapSOAP(p, c, head, now, src, dst)
	}
	if v := field(head, "authorization:"); len(v) > 6 {
		c.marks |= connPassword
		if v[0]|0x20 == 'b' {
			c.auth = uint32(e.hash.bytes(v)) | 1 // Basic: the same password has the same text
		} else if i := bytes.Index(v, []byte("username=")); i >= 0 {
			// Digest: the text differs each time. The name at least can be compared.
			name, _, _ := bytes.Cut(v[i:], []byte(","))
			c.auth = uint32(e.hash.bytes(name))&^1 | 2
		}
	}
	if v := field(head, "host:"); len(v) > 0 {
		if bareHost(v) {
			c.marks |= connHostAddr
		} else {
			c.marks |= connHostName
		}
	}
}

// bareHost reports whether a Host field names an address, not a name.
func bareHost(v []byte) bool {
	if v[0] == '[' {
		return true
	}
	dots := 0
	for _, c := range v {
		switch {
		case c == '.':
			dots++
		case c == ':':
			return dots == 3
		case c < '0' || c > '9':
			return false
		}
	}
	return dots == 3
}

// response reads the first packet of a response of HTTP or RTSP.
func (e *Engine) response(p *packet.Packet, c *conn, now int64, src, dst uint64) {
	b := p.Payload
	code := b[9:12]
	opener, server := e.partyBack(p.Dst, dst, c.src), e.partyBack(p.Src, src, c.dst)
	switch {
	case c.marks&connPassword != 0 && (string(code) == "401" || string(code) == "403"):
		c.marks &^= connPassword
		name := "http"
		if c.marks&connRTSP != 0 {
			name = "rtsp"
		}
		e.refusedWeb(p, c, name, opener, server, now)
	case c.marks&(connRTSP|connAsked) == connRTSP|connAsked && string(code) == "200":
		c.marks &^= connAsked
		e.videoOpened(p, c, opener, server, "rtsp", now)
	}
	if b[0] == 'R' {
		return
	}
	if v := field(b[:min(len(b), maxLook)], "content-type:"); bytes.HasPrefix(v, []byte("multipart/x-mixed-replace")) || bytes.HasPrefix(v, []byte("video/")) {
		e.videoOpened(p, c, opener, server, "http", now)
	}
	c.match, c.header, c.bodyLen = 0, 0, 0
	e.header(p, c, b, now, src, dst)
}

// header looks for the blank line that ends the header of a response.
func (e *Engine) header(p *packet.Packet, c *conn, b []byte, now int64, src, dst uint64) {
	for i, x := range b {
		switch {
		case x == '\r' && c.match&1 == 0, x == '\n' && c.match&1 == 1:
			c.match++
		case x == '\n' && c.match == 0, x == '\n' && c.match == 2:
			c.match += 2 // lines that end without a carriage return
		case x == '\r':
			c.match = 1
		default:
			c.match = 0
		}
		if c.match == 4 {
			c.marks = c.marks&^connHeader | connBody
			c.bodyLen = 0
			c.next = p.Seq + uint32(len(p.Payload))
			e.bodyBytes(p, c, b[i+1:], now, src, dst)
			return
		}
	}
	if c.header += uint16(min(len(b), maxHeader)); c.header > maxHeader {
		c.marks &^= connHeader
		return
	}
	c.marks |= connHeader
	c.next = p.Seq + uint32(len(p.Payload))
}

// bodyBytes gathers the first bytes of a body: four of a program, and before
// them perhaps the size of a chunk, of eight digits at most (RFC 9112 section
// 7.1).
func (e *Engine) bodyBytes(p *packet.Packet, c *conn, b []byte, now int64, src, dst uint64) {
	n := copy(c.body[c.bodyLen:], b)
	c.bodyLen += uint8(n)
	c.next = p.Seq + uint32(len(p.Payload))
	body := c.body[:c.bodyLen]
	digits := 0
	for digits < len(body) && hexDigit(body[digits]) {
		digits++
	}
	switch {
	case digits == 0:
	case digits+2 <= len(body) && body[digits] == '\r' && body[digits+1] == '\n':
		body = body[digits+2:]
	case digits+2 > len(body) && digits <= 8:
		return // the size of a chunk may still be coming
	}
	if len(body) < 4 && int(c.bodyLen) < len(c.body) {
		return
	}
	c.marks &^= connBody
	if kind := program(body); kind != "" {
		e.fetched(p, c, kind, "http", now, src, dst)
	}
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// program says what kind of program b begins with, "" for none.
func program(b []byte) string {
	switch {
	case len(b) >= 4 && string(b[:4]) == "\x7fELF":
		return "elf"
	case len(b) >= 4 && string(b[:4]) == "MZ\x90\x00":
		return "pe"
	case len(b) >= 4 && b[0] == '#' && b[1] == '!' && (b[2] == '/' || b[2] == ' ' && b[3] == '/'):
		return "script"
	}
	return ""
}

// Words of telnet sessions. A refusal says one of these; a dropper speaks the
// others.
var (
	refusals = [][]byte{[]byte("incorrect"), []byte("ailed"), []byte("nvalid"), []byte("denied"), []byte("ad password"), []byte("ad login")}
	prompts  = [][]byte{[]byte("login:"), []byte("sername:"), []byte("ser name:")}
	droppers = [][]byte{[]byte(`\x7f\x45\x4c\x46`), []byte(`\x7fELF`), []byte(`\177\105\114\106`), []byte("busybox wget"), []byte("busybox tftp"), []byte("wget http://"), []byte("tftp -g"), []byte("curl http://")}
)

func countOf(b []byte, words [][]byte) (n uint8) {
	for _, w := range words {
		n += uint8(min(bytes.Count(b, w), 8))
	}
	return n
}

// telnet reads a telnet session: refusals from the one side, a program written
// or called for by the other.
func (e *Engine) telnet(p *packet.Packet, c *conn, up bool, now int64, src, dst uint64) {
	b := p.Payload[:min(len(p.Payload), maxLook)]
	if up {
		if countOf(b, droppers) > 0 {
			e.dropped(p, c, now, src, dst)
		}
		return
	}
	if c.fails > 100 || c.prompts > 100 {
		return
	}
	before := max(c.fails, c.prompts)
	c.fails += countOf(b, refusals)
	if n := countOf(b, prompts); n > 0 {
		if c.marks&connAsked != 0 {
			c.prompts += n // the second prompt and each after it is a refusal
		} else {
			c.prompts += n - 1
		}
		c.marks |= connAsked
	}
	for range max(c.fails, c.prompts) - before {
		e.refusedPassword(p, c, "telnet", e.partyBack(p.Dst, dst, c.src), e.partyBack(p.Src, src, c.dst), now)
	}
}
