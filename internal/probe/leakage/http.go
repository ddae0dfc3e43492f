package leakage

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// request is what an answer is read with.
type request struct {
	host, path string // of a firmware, "" for another
}

const (
	maxRequests = 16
	maxForm     = 16 << 10 // of a body that is looked at
)

// http reads requests and the heads of answers.
func (w *Watch) http(c *conn, dir int) {
	h := &c.half[dir]
	for {
		if dir == 0 && !method(h.buf) || dir == 1 && !bytes.HasPrefix(h.buf, []byte("HTTP/1.")) {
			h.buf = resync(h.buf, dir)
			if len(h.buf) < len("OPTIONS ") {
				return
			}
		}
		lines, rest, ok := head(h.buf)
		if !ok {
			return
		}
		n, _ := strconv.ParseInt(field(lines, "content-length"), 10, 64)
		n = max(n, 0)
		if dir == 1 {
			w.response(c, lines, rest)
			h.drop(len(h.buf)-len(rest), n)
			continue
		}
		look := min(n, maxForm)
		if int64(len(rest)) < look {
			return // the body is to come
		}
		w.request(c, lines, rest[:look])
		h.drop(len(h.buf)-len(rest), n)
	}
}

// drop takes a head of this length and a body of n bytes off the buffer; what
// of the body is to come is skipped.
func (h *half) drop(headLen int, n int64) {
	rest := h.buf[headLen:]
	if int64(len(rest)) >= n {
		rest = rest[n:]
	} else {
		h.skip = n - int64(len(rest))
		rest = nil
	}
	h.buf = append(h.buf[:0], rest...)
}

// resync finds the next beginning of a message behind a gap; without one,
// nothing is kept but what may be the beginning of one.
func resync(b []byte, dir int) []byte {
	at := 0
	for {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
		if dir == 0 && method(b[at:]) || dir == 1 && bytes.HasPrefix(b[at:], []byte("HTTP/1.")) {
			return append(b[:0], b[at:]...)
		}
	}
	if len(b)-at < len("OPTIONS ") {
		return append(b[:0], b[at:]...)
	}
	return b[:0]
}

// request judges one request and its body.
func (w *Watch) request(c *conn, lines [][]byte, body []byte) {
	f := bytes.Fields(lines[0])
	if len(f) < 2 {
		return
	}
	target, err := url.Parse(string(f[1]))
	if err != nil {
		return
	}
	host := field(lines, "host")
	if host == "" {
		host = c.server.Addr().String()
	}
	if c.fromDevice {
		w.name(c.server.Addr(), hostOnly(host))
	}
	if scheme, value, ok := strings.Cut(field(lines, "authorization"), " "); ok && strings.EqualFold(scheme, "basic") {
		if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil {
			user, password, _ := strings.Cut(string(b), ":")
			w.secret(c, "HTTP Basic", len(user), len(password))
		}
	}
	if n, ok := passwordIn(target.RawQuery); ok {
		w.secret(c, "an address of HTTP", 0, n)
	}
	kind := strings.ToLower(field(lines, "content-type"))
	switch {
	case strings.Contains(kind, "x-www-form-urlencoded"):
		if n, ok := passwordIn(string(body)); ok {
			w.secret(c, "a form of HTTP", 0, n)
		}
	case strings.Contains(kind, "json"):
		if m := regexp.MustCompile(`(?i)"(?:password|passwd|pwd|pass)"\s*:\s*"((?:[^"\\]|\\.){1,256})"`).FindSubmatch(body); m != nil {
			w.secret(c, "JSON over HTTP", 0, len(m[1]))
		}
	case strings.Contains(kind, "xml"):
		w.token(c, body)
	}
	r := request{}
	if c.fromDevice && firmwarePath(target.Path) {
		r.host, r.path = host, target.Path
	}
	if len(c.requests) < maxRequests {
		c.requests = append(c.requests, r)
	}
}

// passwordIn returns the length of a password in a query or form.
func passwordIn(form string) (int, bool) {
	for pair := range strings.SplitSeq(form, "&") {
		k, v, ok := strings.Cut(pair, "=")
		k = strings.ToLower(k)
		if !ok || v == "" || !(strings.Contains(k, "passw") || k == "pwd" || k == "pass" || k == "psw" || k == "loginpas" || strings.HasSuffix(k, "_pwd")) {
			continue
		}
		if u, err := url.QueryUnescape(v); err == nil {
			v = u
		}
		return len(v), true
	}
	return 0, false
}

// token looks for the credential of a SOAP message.
func (w *Watch) token(c *conn, body []byte) {
	i := bytes.Index(body, []byte("UsernameToken"))
	if i < 0 {
		return
	}
	m := regexp.MustCompile(`(?s)Password[^>]{0,300}#Password(Text|Digest)"?[^>]{0,100}>([^<]{0,256})<`).FindSubmatch(body[i:])
	switch {
	case m == nil:
	case string(m[1]) == "Text":
		w.secret(c, "an ONVIF token with the password as text", 0, len(m[2]))
	default:
		w.digested(c, "an ONVIF token with a digest")
	}
}

// firmwarePath reports whether a path is that of a firmware: an image's ending,
// and a word that says so.
func firmwarePath(p string) bool {
	p = strings.ToLower(p)
	word := false
	for _, s := range []string{"firmware", "upgrade", "update", "fota", "/ota", "_ota", "rom", "fw", "sysimage", "kernel", "rootfs"} {
		word = word || strings.Contains(p, s)
	}
	for _, s := range []string{".bin", ".img", ".rom", ".pkg", ".fw", ".upd", ".dav", ".trx", ".ubi", ".squashfs", ".tar.gz", ".tgz", ".zip", ".swu", ".pak", ".hex"} {
		if strings.HasSuffix(p, s) {
			return word
		}
	}
	return false
}

// response judges the answer to the oldest request.
func (w *Watch) response(c *conn, lines [][]byte, rest []byte) {
	if len(c.requests) == 0 {
		return
	}
	r := c.requests[0]
	f := bytes.Fields(lines[0])
	if len(f) > 1 && len(f[1]) == 3 && f[1][0] == '1' {
		return // an answer before the answer
	}
	c.requests = c.requests[1:]
	if r.path == "" || len(f) < 2 || f[1][0] != '2' {
		return
	}
	w.firmware(c, r, imageOf(rest))
}

// imageOf names the kind of image that a body begins as.
func imageOf(b []byte) string {
	for _, m := range []struct{ magic, name string }{
		{"\x27\x05\x19\x56", "uImage"}, {"hsqs", "SquashFS"}, {"UBI#", "UBI"}, {"HDR0", "TRX"}, {"\x1f\x8b\x08", "gzip"}, {"PK\x03\x04", "zip"},
		{"\x85\x19", "JFFS2"}, {"\xfd7zXZ", "xz"}, {"\xd0\x0d\xfe\xed", "FIT"}, {"ANDROID!", "boot image"}, {"070701", "cpio"},
	} {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return m.name
		}
	}
	return ""
}

func hostOnly(h string) string {
	if i := strings.LastIndexByte(h, ':'); i > 0 && !strings.Contains(h[i:], "]") {
		h = h[:i]
	}
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if len(h) > 253 {
		return ""
	}
	return h
}
