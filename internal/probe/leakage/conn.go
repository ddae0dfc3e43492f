package leakage

import (
	"bytes"
	"net/netip"

	"github.com/ringwall/ringwall/internal/packet"
)

// connKey names a connection by its ends, the smaller first.
type connKey struct{ a, b netip.AddrPort }

// protocol is what a connection speaks.
type protocol uint8

const (
	unknown protocol = iota
	speaksHTTP
	speaksRTSP
	speaksTelnet
	speaksFTP
	speaksTLS
	other // nothing that is read here
)

// conn is one TCP connection. Side 0 is the client's.
type conn struct {
	client, server netip.AddrPort
	fromDevice     bool // the device opened it
	toDevice       bool // the device serves it
	proto          protocol
	half           [2]half

	requests []request // HTTP, not yet answered
	login    login     // telnet, FTP
	video    *video    // RTSP, interleaved
	codecs   []string
}

// half is one direction.
type half struct {
	next  uint32
	known bool
	buf   []byte
	skip  int64 // bytes of a body that are not looked at
	seen  int   // bytes so far, at most a few: for the first words
}

func (w *Watch) segment(p *packet.Packet, s side) {
	src, dst := netip.AddrPortFrom(p.Src, p.SrcPort), netip.AddrPortFrom(p.Dst, p.DstPort)
	key := connKey{src, dst}
	if dst.Compare(src) < 0 {
		key = connKey{dst, src}
	}
	c := w.conns[key]
	opening := p.Flags&(packet.SYN|packet.ACK) == packet.SYN
	if c == nil || opening && c.half[0].seen+c.half[1].seen > 0 {
		c = w.open(key, src, dst, p, s, opening)
	}
	dir := 0
	if src == c.server {
		dir = 1
	}
	if p.Flags&packet.SYN != 0 {
		c.half[dir].next, c.half[dir].known = p.Seq+1, true
		if opening && s != receiver {
			w.went(p.Dst, p.DstPort, "tcp")
		}
		return
	}
	if p.Flags&packet.RST != 0 {
		delete(w.conns, key)
		return
	}
	if len(p.Payload) > 0 {
		w.feed(c, dir, p.Seq, p.Payload, p.PayloadLen)
	}
}

// open starts to follow a connection. Who did not see its beginning takes the
// lower port for the server's.
func (w *Watch) open(key connKey, src, dst netip.AddrPort, p *packet.Packet, s side, opening bool) *conn {
	c := &conn{client: src, server: dst}
	answer := p.Flags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK
	if answer || !opening && src.Port() < dst.Port() {
		c.client, c.server = dst, src
	}
	fromClient := c.client == src
	c.fromDevice = s == either || (s == sender) == fromClient
	c.toDevice = s == either || (s == sender) != fromClient
	for len(w.age) > 0 && len(w.conns) >= maxConns {
		if _, there := w.conns[w.age[0]]; there {
			delete(w.conns, w.age[0])
			w.dropped++
		}
		w.age = w.age[1:]
	}
	w.conns[key] = c
	w.age = append(w.age, key)
	if len(w.age) > 4*maxConns { // of connections long gone
		keep := w.age[:0]
		for _, k := range w.age {
			if w.conns[k] != nil {
				keep = append(keep, k)
			}
		}
		w.age = keep
	}
	return c
}

// feed takes a segment in order. What comes twice is left out; what is missing
// ends what was half read.
func (w *Watch) feed(c *conn, dir int, seq uint32, b []byte, wire int) {
	h := &c.half[dir]
	if !h.known {
		h.next, h.known = seq, true
	}
	switch ahead := int32(seq - h.next); {
	case ahead < 0:
		if -int64(ahead) >= int64(len(b)) {
			return
		}
		b, wire = b[-ahead:], wire+int(ahead)
	case ahead > 0:
		h.buf = h.buf[:0]
		h.skip = max(0, h.skip-int64(ahead))
	}
	cut := wire > len(b) // by the capture: what follows is not what it seems
	if ahead := int32(seq - h.next); ahead > 0 {
		h.next = seq
	}
	h.next += uint32(max(wire, len(b)))
	h.seen = min(h.seen+len(b), 1<<20)
	if h.skip > 0 {
		n := min(h.skip, int64(len(b)))
		h.skip -= n
		b = b[n:]
	}
	if len(b) == 0 || c.proto == other {
		return
	}
	h.buf = append(h.buf, b...)
	if c.proto == unknown {
		c.proto = w.protocolOf(c, dir)
	}
	w.parse(c, dir)
	if cut && h.skip == 0 {
		h.buf = h.buf[:0]
	}
	if len(h.buf) > maxBuffer {
		h.buf = append([]byte(nil), h.buf[len(h.buf)-maxBuffer/2:]...)
	}
}

// protocolOf tells the protocol by the first words of either side.
func (w *Watch) protocolOf(c *conn, dir int) protocol {
	b := c.half[dir].buf
	if dir == 0 {
		line, _, _ := bytes.Cut(b[:min(len(b), 512)], []byte("\n"))
		switch {
		case bytes.Contains(line, []byte(" RTSP/1.")):
			return speaksRTSP
		case method(line) && (bytes.Contains(line, []byte(" HTTP/1.")) || len(b) >= 512):
			return speaksHTTP
		case len(b) >= 3 && b[0] == 22 && b[1] == 3:
			return speaksTLS
		}
	} else {
		switch {
		case bytes.HasPrefix(b, []byte("RTSP/1.")):
			return speaksRTSP
		case bytes.HasPrefix(b, []byte("HTTP/1.")):
			return speaksHTTP
		case len(b) >= 3 && b[0] == 22 && b[1] == 3:
			return speaksTLS
		case bytes.HasPrefix(b, []byte("220")) && c.server.Port() == 21:
			return speaksFTP
		case bytes.HasPrefix(b, []byte("SSH-")):
			return other
		}
	}
	switch {
	case len(b) >= 3 && b[0] == 255 && b[1] >= 250 && b[1] <= 254, c.server.Port() == 23 || c.server.Port() == 2323:
		return speaksTelnet
	case c.half[0].seen+c.half[1].seen > 4<<10:
		return other
	}
	return unknown
}

func (w *Watch) parse(c *conn, dir int) {
	switch c.proto {
	case speaksHTTP:
		w.http(c, dir)
	case speaksRTSP:
		w.rtsp(c, dir)
	case speaksTelnet:
		w.telnet(c, dir)
	case speaksFTP:
		w.ftp(c, dir)
	case speaksTLS:
		w.tls(c, dir)
	}
}

// method reports whether a line begins as an HTTP request does.
func method(line []byte) bool {
	for _, m := range []string{"GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH "} {
		if bytes.HasPrefix(line, []byte(m)) {
			return true
		}
	}
	return false
}

// head returns the head of a message at the beginning of buf, and what follows
// it; ok is false while it is not whole.
func head(buf []byte) (lines [][]byte, rest []byte, ok bool) {
	i := bytes.Index(buf, []byte("\r\n\r\n"))
	if i < 0 {
		return nil, buf, false
	}
	return bytes.Split(buf[:i], []byte("\r\n")), buf[i+4:], true
}

// field returns a header of a head.
func field(lines [][]byte, name string) string {
	for _, l := range lines[1:] {
		k, v, ok := bytes.Cut(l, []byte(":"))
		if ok && bytes.EqualFold(bytes.TrimSpace(k), []byte(name)) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}
