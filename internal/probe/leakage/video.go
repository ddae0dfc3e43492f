package leakage

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	rtspclient "github.com/ringwall/ringwall/internal/rtsp"
)

// video counts what looks like video on one way.
type video struct {
	codec   string
	packets int // RTP packets of size
	plain   int // whose payload begins as the codec's does
}

// packet counts one RTP packet (RFC 3550 section 5.1). Whether it is encrypted
// does not stand in it; but what is encrypted begins by chance as a unit of the
// codec, and does so in one packet of four, not in all.
func (v *video) packet(b []byte) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return
	}
	at := 12 + 4*int(b[0]&15)
	if b[0]&0x10 != 0 {
		if len(b) < at+4 {
			return
		}
		at += 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	}
	if len(b) < at+16 {
		return
	}
	v.packets++
	if begins(v.codec, b[at:]) {
		v.plain++
	}
}

// begins reports whether a payload begins as a codec's does: the head of a unit
// (RFC 6184 section 5, RFC 7798 section 4), or of a JPEG scan (RFC 2435).
func begins(codec string, b []byte) bool {
	switch codec {
	case "H264":
		t := b[0] & 31
		if t == 28 { // a fragment of a picture
			t = b[1] & 31
			return b[0]&0x80 == 0 && (t == 1 || t == 5) && b[1]&0x20 == 0
		}
		return b[0]&0x80 == 0 && (t == 1 || t >= 5 && t <= 9 || t == 24)
	case "H265":
		t := b[0] >> 1 & 63
		if t == 49 {
			t = b[2] & 63
		}
		return b[0]&0x80 == 0 && b[1]&7 != 0 && (t <= 9 || t >= 16 && t <= 21 || t >= 32 && t <= 40 || t == 48)
	case "JPEG":
		return b[4]&0x3f <= 1 && b[6] > 0 && b[7] > 0
	}
	return false
}

// enoughVideo is how many packets prove a stream.
const enoughVideo = 20

// isPlain reports whether so many packets were seen that only unencrypted video
// can have sent them.
func (v *video) isPlain() bool { return v.packets >= enoughVideo && v.plain*100 >= v.packets*95 }

// rtsp reads requests for the credential, and answers for what is described, where
// it is sent, and what comes between them.
func (w *Watch) rtsp(c *conn, dir int) {
	h := &c.half[dir]
	for len(h.buf) > 0 {
		if h.buf[0] == '$' {
			if len(h.buf) < 4 {
				return
			}
			n := int(binary.BigEndian.Uint16(h.buf[2:]))
			if len(h.buf) < 4+n {
				if n > maxBuffer-4 {
					h.skip = int64(4 + n - len(h.buf))
					h.buf = h.buf[:0]
				}
				return
			}
			if dir == 1 && h.buf[1]%2 == 0 {
				w.interleaved(c, h.buf[4:4+n])
			}
			h.buf = append(h.buf[:0], h.buf[4+n:]...)
			continue
		}
		lines, rest, ok := head(h.buf)
		if !ok {
			if len(h.buf) > 8<<10 || !texty(h.buf[0]) {
				h.buf = nextFrame(h.buf)
				if len(h.buf) > 0 {
					continue
				}
			}
			return
		}
		n, _ := strconv.Atoi(field(lines, "content-length"))
		if n < 0 || n > maxBuffer/2 {
			n = 0
		}
		if len(rest) < n {
			return
		}
		if dir == 0 {
			w.asksVideo(c, lines)
		} else {
			w.givesVideo(c, lines, rest[:n])
		}
		h.buf = append(h.buf[:0], rest[n:]...)
	}
}

func texty(b byte) bool { return b >= 'A' && b <= 'Z' || b == '\r' || b == '\n' }

// nextFrame finds the next frame or message behind what cannot be read.
func nextFrame(b []byte) []byte {
	if i := bytes.Index(b[1:], []byte("RTSP/1.0 ")); i >= 0 {
		return append(b[:0], b[1+i:]...)
	}
	for i := 1; i+4 < len(b); i++ {
		if b[i] == '$' && b[i+1] < 4 && b[i+4]>>6 == 2 {
			return append(b[:0], b[i:]...)
		}
	}
	return b[:0]
}

func (w *Watch) asksVideo(c *conn, lines [][]byte) {
	scheme, value, ok := strings.Cut(field(lines, "authorization"), " ")
	if ok && strings.EqualFold(scheme, "basic") {
		if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil {
			user, password, _ := strings.Cut(string(b), ":")
			w.secret(c, "RTSP Basic", len(user), len(password))
		}
	}
	if bytes.HasPrefix(lines[0], []byte("PLAY ")) || bytes.HasPrefix(lines[0], []byte("RECORD ")) {
		w.played(c)
	}
}

func (w *Watch) givesVideo(c *conn, lines [][]byte, body []byte) {
	for _, t := range rtspclient.ReadOffer(body).Tracks {
		if t.Kind == "video" && !t.Encrypted() {
			c.codecs = append(c.codecs[:0], t.Codecs...)
		}
	}
	// Where RTP will come over UDP (RFC 2326 section 12.39).
	for p := range strings.SplitSeq(field(lines, "transport"), ";") {
		v, ok := strings.CutPrefix(strings.TrimSpace(p), "client_port=")
		if !ok {
			continue
		}
		low, _, _ := strings.Cut(v, "-")
		port, err := strconv.ParseUint(low, 10, 16)
		if at := netip.AddrPortFrom(c.client.Addr(), uint16(port)); err == nil && len(w.video) < maxVideo && w.video[at] == nil {
			w.video[at] = w.stream(c)
		}
	}
}

// stream returns a counter of video for the codec that the connection described.
func (w *Watch) stream(c *conn) *video {
	v := &video{codec: "H264"} // what most send whose description was not seen
	for _, codec := range c.codecs {
		if codec == "H264" || codec == "H265" || codec == "JPEG" {
			v.codec = codec
		}
	}
	if m := w.mark(c, kindVideo); m != nil {
		m.streams = append(m.streams, v)
	}
	return v
}

func (w *Watch) interleaved(c *conn, b []byte) {
	if c.video == nil {
		c.video = w.stream(c)
	}
	c.video.packet(b)
}
