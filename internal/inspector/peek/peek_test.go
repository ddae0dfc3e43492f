package peek_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/inspector/peek"
)

// hello is what a real client sends first.
func hello(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		tls.Client(a, c).Handshake()
		a.Close()
	}()
	defer b.Close()
	buf := make([]byte, peek.MaxHello)
	n := 0
	for {
		k, err := b.Read(buf[n:])
		if err != nil {
			t.Fatal(err)
		}
		if n += k; n > 5 && n >= 5+int(buf[3])<<8+int(buf[4]) {
			return buf[:n]
		}
	}
}

// echConfig is one whose public name is innocent (RFC 9849 section 4).
func echConfig(t testing.TB, public string) []byte {
	t.Helper()
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{1, 0, 0x20, 0, 32}
	body = append(body, k.PublicKey().Bytes()...)
	body = append(body, 0, 4, 0, 1, 0, 1, 32, byte(len(public)))
	body = append(body, public...)
	body = append(body, 0, 0)
	one := append([]byte{0xfe, 0x0d, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{byte(len(one) >> 8), byte(len(one))}, one...)
}

func TestHelloReader_real(t *testing.T) {
	for _, c := range []struct {
		name    string
		config  *tls.Config
		sni     string
		version uint16
		ech     bool
	}{
		{"post-quantum, TLS 1.3", &tls.Config{ServerName: "Cloud.Vendor.Example", NextProtos: []string{"h2", "http/1.1"}}, "cloud.vendor.example", peek.TLS13, false},
		{"TLS 1.2", &tls.Config{ServerName: "old.example", MaxVersion: tls.VersionTLS12}, "old.example", peek.TLS12, false},
		{"TLS 1.0", &tls.Config{ServerName: "older.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, "older.example", peek.TLS10, false},
		{"no SNI", &tls.Config{InsecureSkipVerify: true}, "", peek.TLS13, false},
		{"ECH", &tls.Config{ServerName: "c2.evil.example", EncryptedClientHelloConfigList: echConfig(t, "cloud.vendor.example"), MinVersion: tls.VersionTLS13}, "cloud.vendor.example", peek.TLS13, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := hello(t, c.config)
			if c.config.NextProtos != nil && len(raw) < 1461 {
				t.Errorf("the hello has %d bytes; it was to need more than one segment", len(raw))
			}
			for _, step := range []int{len(raw), 1, 7, 1460} {
				var r peek.HelloReader
				for at := 0; ; at += step {
					end := min(at+step, len(raw))
					h, err := r.Feed(raw[at:end])
					if end < len(raw) && err != peek.ErrShort {
						t.Fatalf("in steps of %d, %d of %d bytes: %v", step, end, len(raw), err)
					}
					if end < len(raw) {
						continue
					}
					if err != nil || h.Name != c.sni || h.Version != c.version || h.ECH != c.ech {
						t.Fatalf("in steps of %d: %+v, %v", step, h, err)
					}
					var protos []string
					h.Protocols(func(p string) bool { protos = append(protos, p); return true })
					if len(protos) != len(c.config.NextProtos) {
						t.Errorf("protocols %q, want %q", protos, c.config.NextProtos)
					}
					break
				}
			}
			// The same in records of one byte each.
			var cut []byte
			for _, b := range raw[5:] {
				cut = append(cut, 22, 3, 1, 0, 1, b)
			}
			var r peek.HelloReader
			h, err := r.Feed(cut)
			if len(cut) > peek.MaxHello {
				return
			}
			if err != nil || h.Name != c.sni {
				t.Errorf("in records of one byte: %+v, %v", h, err)
			}
		})
	}
}

func TestHelloReader_malformed(t *testing.T) {
	raw := hello(t, &tls.Config{ServerName: "cloud.vendor.example"})
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(raw)) }
	at := bytes.Index(raw, []byte("cloud.vendor.example"))
	for name, b := range map[string][]byte{
		"another record":       change(func(b []byte) []byte { b[0] = 23; return b }),
		"a record of nothing":  append([]byte{22, 3, 1, 0, 0}, raw...),
		"a large record":       change(func(b []byte) []byte { b[3] = 0xff; return b }),
		"another message":      change(func(b []byte) []byte { b[5] = 2; return b }),
		"a huge hello":         change(func(b []byte) []byte { b[6] = 0xff; return b }),
		"an address as name":   change(func(b []byte) []byte { copy(b[at:], "127.0.0.1.2.3.4.5.67"); return b }),
		"a space in a name":    change(func(b []byte) []byte { b[at+3] = ' '; return b }),
		"a final dot":          change(func(b []byte) []byte { b[at+19] = '.'; return b }),
		"two names":            change(func(b []byte) []byte { b[at-3] = 1; return b }),
		"a long extension":     change(func(b []byte) []byte { b[at-7] = 0xff; return b }),
		"extensions cut short": change(func(b []byte) []byte { b[7], b[8] = 0, 80; return b }),
	} {
		var r peek.HelloReader
		h, err := r.Feed(b)
		var m *peek.Malformed
		if !errors.As(err, &m) {
			t.Errorf("%s: %+v, %v, want it to be malformed", name, h, err)
		}
	}
	var r peek.HelloReader
	for i := 0; ; i++ {
		_, err := r.Feed([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xff})
		if err != peek.ErrShort {
			break
		}
		if i > peek.MaxHello {
			t.Fatal("a hello without end is read without end")
		}
	}
}

func TestParseHTTP(t *testing.T) {
	for _, c := range []struct{ raw, method, host, path string }{
		{"GET /api/v1?token=secret HTTP/1.1\r\nHost: Cloud.Example:80\r\n\r\n", "GET", "cloud.example", "/api/v1"},
		{"POST / HTTP/1.1\r\nhost:cloud.example\r\nContent-Length: 5\r\n\r\nhello", "POST", "cloud.example", "/"},
		{"GET http://cloud.example/a HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "GET", "cloud.example", "/a"},
		{"GET HTTP://cloud.example HTTP/1.1\r\nHost: cloud.example\r\n\r\n", "GET", "cloud.example", "/"},
		{"GET /x HTTP/1.0\r\n\r\n", "GET", "", "/x"},
		{"GET /x HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n", "GET", "", "/x"},
		{"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "OPTIONS", "a.example", "*"},
	} {
		r, err := peek.ParseHTTP([]byte(c.raw))
		if err != nil || r.Method != c.method || r.Host != c.host || r.Path != c.path {
			t.Errorf("%q: %+v, %v", c.raw, r, err)
		}
		for i := range strings.Index(c.raw, "\r\n\r\n") + 3 {
			if _, err := peek.ParseHTTP([]byte(c.raw[:i])); err != peek.ErrShort {
				t.Errorf("%q: %v, want short", c.raw[:i], err)
			}
		}
	}
	const ok = "Host: a.example\r\n"
	for name, raw := range map[string]string{
		"both lengths":               "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"two lengths":                "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"a list of lengths":          "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5, 5\r\n\r\n",
		"a signed length":            "POST / HTTP/1.1\r\n" + ok + "Content-Length: +5\r\n\r\n",
		"an obscure coding":          "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: xchunked\r\n\r\n",
		"two codings":                "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunks in HTTP/1.0":         "POST / HTTP/1.0\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n",
		"a space before the colon":   "POST / HTTP/1.1\r\n" + ok + "Content-Length : 5\r\n\r\n",
		"a folded field":             "GET / HTTP/1.1\r\n" + ok + "X: a\r\n b\r\n\r\n",
		"a line feed alone":          "GET / HTTP/1.1\n" + ok + "\r\n",
		"a line feed alone later":    "GET / HTTP/1.1\r\nX: a\nHost: a.example\r\n\r\n",
		"a carriage return alone":    "GET / HTTP/1.1\r\nX: a\rHost: b.example\r\n" + ok + "\r\n",
		"NUL":                        "GET / HTTP/1.1\r\nX: a\x00b\r\n" + ok + "\r\n",
		"no host":                    "GET / HTTP/1.1\r\nX: a\r\n\r\n",
		"two hosts":                  "GET / HTTP/1.1\r\n" + ok + "Host: b.example\r\n\r\n",
		"another host in the target": "GET http://b.example/ HTTP/1.1\r\n" + ok + "\r\n",
		"a user in the host":         "GET / HTTP/1.1\r\nHost: a.example@b.example\r\n\r\n",
		"CONNECT":                    "CONNECT a.example:443 HTTP/1.1\r\n" + ok + "\r\n",
		"h2c":                        "GET / HTTP/1.1\r\n" + ok + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"HTTP/0.9":                   "GET /\r\n\r\n",
		"HTTP/2":                     "GET / HTTP/2.0\r\n" + ok + "\r\n",
		"two spaces":                 "GET  / HTTP/1.1\r\n" + ok + "\r\n",
		"a target of two slashes":    "GET //b.example/ HTTP/1.1\r\n" + ok + "\r\n",
		"RTSP in a tunnel":           "POST / HTTP/1.1\r\n" + ok + "Content-Type: application/x-rtsp-tunnelled\r\nContent-Length: 32767\r\n\r\n",
		"a head without end":         "GET / HTTP/1.1\r\n" + strings.Repeat("X: a\r\n", peek.MaxHead),
		"many fields":                "GET / HTTP/1.1\r\n" + ok + strings.Repeat("X: a\r\n", 200) + "\r\n",
	} {
		_, err := peek.ParseHTTP([]byte(raw))
		var m *peek.Malformed
		if !errors.As(err, &m) {
			t.Errorf("%s: %v, want it to be malformed", name, err)
		}
	}
}

func TestChunks(t *testing.T) {
	const body = "4;x=\"y\"\r\nWiki\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: a\r\n\r\n"
	const next = "GET / HTTP/1.1\r\n"
	for step := 1; step < len(body)+len(next); step++ {
		var c peek.Chunks
		rest, used, done := []byte(body+next), 0, false
		for !done && len(rest) > 0 {
			n, end, err := c.Skip(rest[:min(step, len(rest))])
			if err != nil {
				t.Fatal(err)
			}
			used, done, rest = used+n, end, rest[n:]
		}
		if !done || used != len(body) {
			t.Fatalf("in steps of %d: %d bytes, done %v, want %d", step, used, done, len(body))
		}
	}
	for _, bad := range []string{"\r\n", "x\r\n", "4\n", "4\r\nWikiX\r\n", "4\r\nWiki\n", "ffffffffffffffff\r\n", "0\r\n\n", "0\r\nX: a\n\r\n", "1;" + strings.Repeat("a", 300), "0x4\r\n", "-1\r\n", " 4\r\n"} {
		var c peek.Chunks
		if _, done, err := c.Skip([]byte(bad)); err == nil || done {
			t.Errorf("chunks %q are taken", bad)
		}
	}
}

func TestParseRTSP(t *testing.T) {
	for _, c := range []struct{ raw, method, host, path, seq string }{
		{"DESCRIBE rtsp://admin:secret@cam.example:554/stream1?x=1 RTSP/1.0\r\nCSeq: 2\r\n\r\n", "DESCRIBE", "cam.example", "/stream1", "2"},
		{"SETUP rtsp://10.0.0.9/h264/track1 RTSP/1.0\r\nCSeq: 3\r\n\r\n", "SETUP", "", "/h264/track1", "3"},
		{"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", "OPTIONS", "", "*", "1"},
		{"PLAY rtsp://cam.example RTSP/2.0\r\nCSeq: 4\r\n\r\n", "PLAY", "cam.example", "/", "4"},
	} {
		r, err := peek.ParseRTSP([]byte(c.raw))
		if err != nil || r.Method != c.method || r.Host != c.host || r.Path != c.path || r.Seq != c.seq {
			t.Errorf("%q: %+v, %v", c.raw, r, err)
		}
	}
	if r, err := peek.ParseRTSP([]byte("RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 3\r\n\r\n")); err != nil || !r.Reply || r.Length != 3 {
		t.Errorf("an answer: %+v, %v", r, err)
	}
	for _, raw := range []string{
		"PLAY /stream RTSP/1.0\r\nCSeq: 1\r\n\r\n", "PLAY rtsp://a.example/ HTTP/1.1\r\n\r\n",
		"PLAY rtsp://a.example/ RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "PLAY rtsp://a.example/ RTSP/1.0\nCSeq: 1\n\n",
	} {
		if _, err := peek.ParseRTSP([]byte(raw)); err == nil || err == peek.ErrShort {
			t.Errorf("%q is taken", raw)
		}
	}
	if n, err := peek.Frame([]byte{'$', 0, 1, 2, 3}); n != 4+0x102 || err != nil {
		t.Errorf("a frame: %d, %v", n, err)
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want peek.Kind
		err  error
	}{
		{"", peek.Unknown, peek.ErrShort},
		{"\x16", peek.Unknown, peek.ErrShort},
		{"\x16\x03\x01", peek.TLS, nil},
		{"GET", peek.Unknown, peek.ErrShort},
		{"GET / HTTP/1.1\r\n", peek.HTTP, nil},
		{"OPTIONS * RTSP/1.0\r\n", peek.RTSP, nil},
		{"PRI * HTTP/2.0\r\n", peek.H2, nil},
		{"\x10\x0c\x00\x04MQTT", peek.MQTT, nil},
		{"\x10\x80\x01\x00\x04M", peek.MQTT, nil},
		{"\x10\x0c\x00", peek.Unknown, peek.ErrShort},
		{"\x10\x0c\x01\x04MQTT", peek.Unknown, nil},
		{"\x80\x2e\x01\x03\x01", peek.Unknown, nil}, // SSLv2
		{"SSH-2.0-OpenSSH_9\r\n", peek.Unknown, nil},
		{"GET\x00/", peek.Unknown, nil},
		{strings.Repeat("A", 40), peek.Unknown, nil},
	} {
		if k, err := peek.Sniff([]byte(c.raw)); k != c.want || err != c.err {
			t.Errorf("Sniff(%q) = %v, %v, want %v, %v", c.raw, k, err, c.want, c.err)
		}
	}
}
