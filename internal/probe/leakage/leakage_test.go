package leakage

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

var (
	cam   = netip.MustParseAddr("10.0.0.10")
	phone = netip.MustParseAddr("10.0.0.20")
	cloud = netip.MustParseAddr("203.0.113.9")
)

// tape writes a capture of raw IPv4 packets.
type tape struct {
	t   testing.TB
	buf bytes.Buffer
	w   *capture.Writer
	at  time.Time
}

func newTape(t testing.TB) *tape {
	p := &tape{t: t, at: time.Unix(1_700_000_000, 0)}
	w, err := capture.NewWriter(&p.buf, packet.LinkRaw)
	if err != nil {
		t.Fatal(err)
	}
	p.w = w
	return p
}

func (p *tape) ip(src, dst netip.Addr, proto byte, l4 []byte) {
	b := make([]byte, 20, 20+len(l4))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(l4)))
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	b = append(b, l4...)
	p.at = p.at.Add(time.Millisecond)
	if err := p.w.Write(b, p.at, len(b)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tape) udp(src, dst netip.AddrPort, payload []byte) {
	l4 := make([]byte, 8)
	binary.BigEndian.PutUint16(l4, src.Port())
	binary.BigEndian.PutUint16(l4[2:], dst.Port())
	binary.BigEndian.PutUint16(l4[4:], uint16(8+len(payload)))
	p.ip(src.Addr(), dst.Addr(), 17, append(l4, payload...))
}

// talk is one TCP connection; seq are the next numbers of client and server.
type talk struct {
	p              *tape
	client, server netip.AddrPort
	seq            [2]uint32
}

func (p *tape) talk(client netip.Addr, server netip.Addr, port uint16) *talk {
	c := &talk{p: p, client: netip.AddrPortFrom(client, 40000), server: netip.AddrPortFrom(server, port), seq: [2]uint32{100, 0xfffffff0}}
	c.segment(0, packet.SYN, nil)
	c.segment(1, packet.SYN|packet.ACK, nil)
	return c
}

func (c *talk) segment(dir int, flags packet.Flags, b []byte) {
	src, dst := c.client, c.server
	if dir == 1 {
		src, dst = dst, src
	}
	l4 := make([]byte, 20)
	binary.BigEndian.PutUint16(l4, src.Port())
	binary.BigEndian.PutUint16(l4[2:], dst.Port())
	binary.BigEndian.PutUint32(l4[4:], c.seq[dir])
	l4[12], l4[13] = 0x50, byte(flags)
	c.seq[dir] += uint32(len(b))
	if flags&packet.SYN != 0 {
		c.seq[dir]++
	}
	c.p.ip(src.Addr(), dst.Addr(), 6, append(l4, b...))
}

// says sends text in pieces of size bytes.
func (c *talk) says(dir, size int, text string) {
	for len(text) > 0 {
		n := min(size, len(text))
		c.segment(dir, packet.ACK|packet.PSH, []byte(text[:n]))
		text = text[n:]
	}
}

func (p *tape) examine(cfg Config) api.Examination {
	p.t.Helper()
	e, err := File(p.t.Context(), &p.buf, cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

func find(e api.Examination, id string) ringwall.Finding {
	for _, f := range e.Findings {
		if f.Indicator == id {
			return f
		}
	}
	return ringwall.Finding{}
}

const secret = "Tr0ub4dor-of-the-owner"

func camOnly() Config { return Config{Device: []netip.Addr{cam}} }

func TestWatch_passwordsInTheClear(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("admin:" + secret))
	form := "user=admin&password=" + secret
	soap := func(kind, value string) string {
		return `<s:Envelope><s:Header><wsse:Security><wsse:UsernameToken><wsse:Username>admin</wsse:Username><wsse:Password Type="http://docs.oasis-open.org/x#Password` +
			kind + `">` + value + `</wsse:Password></wsse:UsernameToken></wsse:Security></s:Header></s:Envelope>`
	}
	post := func(kind, body string) string {
		return fmt.Sprintf("POST /x HTTP/1.1\r\nHost: cam\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body)
	}
	for _, tt := range []struct {
		name string
		port uint16
		run  func(*talk, int)
		want ringwall.Outcome
		says string
	}{
		{"HTTP Basic", 80, func(c *talk, n int) {
			c.says(0, n, "GET / HTTP/1.1\r\nHost: cam\r\nAuthorization: Basic "+basic+"\r\n\r\n")
		}, ringwall.Fail, "HTTP Basic to the device"},
		{"a second request of one connection", 80, func(c *talk, n int) {
			c.says(0, n, "GET / HTTP/1.1\r\nHost: cam\r\n\r\n"+"GET /a HTTP/1.1\r\nAuthorization: basic "+basic+"\r\n\r\n")
		}, ringwall.Fail, "HTTP Basic"},
		{"a form", 8080, func(c *talk, n int) { c.says(0, n, post("application/x-www-form-urlencoded", form)) }, ringwall.Fail, "a form"},
		{"JSON", 80, func(c *talk, n int) {
			c.says(0, n, post("application/json", `{"userName":"a","password": "`+secret+`"}`))
		}, ringwall.Fail, "JSON"},
		{"an address", 80, func(c *talk, n int) { c.says(0, n, "GET /cgi?usr=admin&pwd="+secret+" HTTP/1.1\r\n\r\n") }, ringwall.Fail, "an address"},
		{"ONVIF, text", 80, func(c *talk, n int) { c.says(0, n, post("application/soap+xml", soap("Text", secret))) }, ringwall.Fail, "password as text"},
		{"ONVIF, digest", 80, func(c *talk, n int) { c.says(0, n, post("application/soap+xml", soap("Digest", "abc="))) }, ringwall.Partial, "with a digest"},
		{"telnet", 23, func(c *talk, n int) {
			c.says(1, n, "\xff\xfd\x01cam login: ")
			c.says(0, n, "root\r\n")
			c.says(1, n, "root\r\nPassword: ")
			c.says(0, n, secret+"\r\n")
		}, ringwall.Fail, "telnet"},
		{"FTP", 21, func(c *talk, n int) {
			c.says(1, n, "220 hello\r\n")
			c.says(0, n, "USER cam\r\nPASS "+secret+"\r\n")
		}, ringwall.Fail, "FTP"},
		{"RTSP Basic", 554, func(c *talk, n int) {
			c.says(0, n, "DESCRIBE rtsp://cam/ RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic "+basic+"\r\n\r\n")
		}, ringwall.Fail, "RTSP Basic"},
		{"a page without a login", 80, func(c *talk, n int) { c.says(0, n, "GET /index.html?page=1 HTTP/1.1\r\nHost: cam\r\n\r\n") }, ringwall.Unknown, ""},
		{"a login prompt alone", 23, func(c *talk, n int) { c.says(1, n, "login: ") }, ringwall.Unknown, ""},
	} {
		for _, size := range []int{1400, 7, 1} {
			p := newTape(t)
			tt.run(p.talk(phone, cam, tt.port), size)
			e := p.examine(camOnly())
			f := find(e, "CO-07")
			if f.Outcome != tt.want || !strings.Contains(strings.Join(f.Evidence, "\n"), tt.says) {
				t.Errorf("%s, %d bytes a segment: %v %q, want %v with %q", tt.name, size, f.Outcome, f.Evidence, tt.want, tt.says)
			}
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(secret)) || bytes.Contains(b, []byte(basic)) {
				t.Errorf("%s: the password stands in the examination: %s", tt.name, b)
			}
			if tt.want == ringwall.Fail && !strings.Contains(fmt.Sprint(f.Evidence), fmt.Sprintf("a password of %d characters", len(secret))) {
				t.Errorf("%s, %d bytes a segment: length not told: %q", tt.name, size, f.Evidence)
			}
		}
	}
}

func TestWatch_repeatedAndMissingSegments(t *testing.T) {
	p := newTape(t)
	c := p.talk(phone, cam, 80)
	req := "GET / HTTP/1.1\r\nHost: cam\r\n\r\n"
	c.says(0, 9, req)
	c.seq[0] -= 5 // comes again
	c.says(0, 9, req[len(req)-5:])
	c.seq[0] += 4000 // is missing
	c.says(0, 9, "k: v\r\n\r\nGET /b HTTP/1.1\r\nAuthorization: Basic "+base64.StdEncoding.EncodeToString([]byte("a:"+secret))+"\r\n\r\n")
	if f := find(p.examine(camOnly()), "CO-07"); f.Outcome != ringwall.Fail || !strings.Contains(f.Evidence[0], "1 times") {
		t.Errorf("%v %q", f.Outcome, f.Evidence)
	}
}

// rtp makes one packet whose payload begins with b.
func rtp(seq int, b ...byte) []byte {
	out := make([]byte, 12, 400)
	out[0], out[1] = 0x80, 96
	binary.BigEndian.PutUint16(out[2:], uint16(seq))
	out = append(out, b...)
	return append(out, bytes.Repeat([]byte{0x5a}, 300)...)
}

func TestWatch_video(t *testing.T) {
	const sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
	open := func(p *tape, transport string) *talk {
		c := p.talk(phone, cam, 554)
		c.says(0, 50, "DESCRIBE rtsp://cam/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")
		c.says(1, 50, fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: %d\r\n\r\n%s", len(sdp), sdp))
		c.says(0, 50, "SETUP rtsp://cam/1 RTSP/1.0\r\nCSeq: 2\r\nTransport: "+transport+"\r\n\r\n")
		c.says(1, 50, "RTSP/1.0 200 OK\r\nCSeq: 2\r\nTransport: "+transport+"\r\n\r\n")
		c.says(0, 50, "PLAY rtsp://cam/ RTSP/1.0\r\nCSeq: 3\r\n\r\n")
		c.says(1, 50, "RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n")
		return c
	}
	unit := func(i int) []byte { return rtp(i, 28, map[bool]byte{true: 0x85, false: 0x01}[i%30 == 0]) }
	cipher := func(i int) []byte { return rtp(i, byte(i*37), byte(i*101)) }
	frame := func(b []byte) string { return string([]byte{'$', 0, byte(len(b) >> 8), byte(len(b))}) + string(b) }
	for _, tt := range []struct {
		name string
		run  func(*tape)
		want ringwall.Outcome
		conf ringwall.Confidence
	}{
		{"interleaved", func(p *tape) {
			c := open(p, "RTP/AVP/TCP;unicast;interleaved=0-1")
			for i := range 60 {
				c.says(1, 100, frame(unit(i)))
			}
		}, ringwall.Fail, ringwall.Confirmed},
		{"over UDP", func(p *tape) {
			open(p, "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001")
			for i := range 60 {
				p.udp(netip.AddrPortFrom(cam, 6000), netip.AddrPortFrom(phone, 5000), unit(i))
			}
		}, ringwall.Fail, ringwall.Confirmed},
		{"encrypted packets", func(p *tape) {
			open(p, "RTP/AVP;unicast;client_port=5000-5001")
			for i := range 60 {
				p.udp(netip.AddrPortFrom(cam, 6000), netip.AddrPortFrom(phone, 5000), cipher(i))
			}
		}, ringwall.Partial, ringwall.Observed},
		{"only asked for", func(p *tape) { open(p, "RTP/AVP;unicast;client_port=5000-5001") }, ringwall.Partial, ringwall.Observed},
	} {
		p := newTape(t)
		tt.run(p)
		if f := find(p.examine(camOnly()), "DA-03"); f.Outcome != tt.want || f.Confidence != tt.conf {
			t.Errorf("%s: %v (%v) %q", tt.name, f.Outcome, f.Confidence, f.Evidence)
		}
	}
}

func TestWatch_firmwareOverHTTP(t *testing.T) {
	get := func(path, body string, from, to netip.Addr) ringwall.Finding {
		p := newTape(t)
		c := p.talk(from, to, 80)
		c.says(0, 60, "GET "+path+" HTTP/1.1\r\nHost: update.example\r\n\r\n")
		c.says(1, 60, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		return find(p.examine(camOnly()), "FS-10")
	}
	image := "\x27\x05\x19\x56" + strings.Repeat("x", 5000)
	if f := get("/firmware/cam_v2.bin?token=abc", image, cam, cloud); f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed || strings.Contains(fmt.Sprint(f.Evidence), "token") {
		t.Errorf("an image: %+v", f)
	}
	if f := get("/firmware/cam_v2.bin", "<html>", cam, cloud); f.Outcome != ringwall.Fail || f.Confidence != ringwall.Observed {
		t.Errorf("a body that is none: %+v", f)
	}
	for _, f := range []ringwall.Finding{get("/picture.bin", image, cam, cloud), get("/firmware/cam_v2.bin", image, phone, cam)} {
		if f.Outcome != ringwall.Unknown {
			t.Errorf("no update of the device: %+v", f)
		}
	}
}

// TestWatch_tls reads a handshake that crypto/tls really made.
func TestWatch_tls(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	for version, want := range map[uint16]ringwall.Outcome{tls.VersionTLS10: ringwall.Fail, tls.VersionTLS12: ringwall.Pass, tls.VersionTLS13: ringwall.Pass} {
		p := newTape(t)
		c := p.talk(cam, cloud, 443)
		a, b := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s := tls.Server(recorded{b, func(x []byte) { c.says(1, 500, string(x)) }}, &tls.Config{Certificates: cert.TLS.Certificates, MinVersion: tls.VersionTLS10, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}})
			_ = s.Handshake()
			_, _ = io.WriteString(s, "x")
		}()
		cl := tls.Client(recorded{a, func(x []byte) { c.says(0, 500, string(x)) }}, &tls.Config{InsecureSkipVerify: true, ServerName: "p2p.vendor.example", MinVersion: version, MaxVersion: version})
		if err := cl.Handshake(); err != nil {
			t.Fatal(err)
		}
		_, _ = cl.Read(make([]byte, 1))
		<-done
		cfg := camOnly()
		cfg.Declared = []string{"*.vendor.example"}
		e := p.examine(cfg)
		if f := find(e, "CO-05"); f.Outcome != want || !strings.Contains(fmt.Sprint(f.Evidence), "p2p.vendor.example") {
			t.Errorf("%x: %v %q", version, f.Outcome, f.Evidence)
		}
		if f := find(e, "CO-11"); f.Outcome != ringwall.Pass {
			t.Errorf("%x: destinations are %v %q", version, f.Outcome, f.Evidence)
		}
	}
}

// recorded hands on what is written. The pipe makes both sides take turns, so
// that the tape needs no lock.
type recorded struct {
	net.Conn
	said func([]byte)
}

func (r recorded) Write(b []byte) (int, error) {
	r.said(b)
	return r.Conn.Write(b)
}

func TestWatch_destinations(t *testing.T) {
	for _, tt := range []struct {
		declared []string
		want     ringwall.Outcome
	}{
		{nil, ringwall.Unknown}, {[]string{}, ringwall.Fail}, {[]string{"203.0.113.0/24"}, ringwall.Pass}, {[]string{"203.0.113.9"}, ringwall.Pass},
		{[]string{"vendor.example"}, ringwall.Fail}, {[]string{"cloud.vendor.example"}, ringwall.Pass}, {[]string{"*.cloud.vendor.example"}, ringwall.Fail},
	} {
		p := newTape(t)
		// A DNS answer: cloud.vendor.example is 203.0.113.9.
		msg := []byte("\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x05cloud\x06vendor\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x09")
		p.udp(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 53), netip.AddrPortFrom(cam, 5353), msg)
		p.talk(cam, cloud, 443)
		p.talk(phone, netip.MustParseAddr("198.51.100.1"), 443) // another's
		p.talk(cam, phone, 80)                                  // at home
		cfg := camOnly()
		cfg.Declared = tt.declared
		if f := find(p.examine(cfg), "CO-11"); f.Outcome != tt.want {
			t.Errorf("declared %q: %v %q", tt.declared, f.Outcome, f.Evidence)
		}
	}
}

func TestWatch_isBounded(t *testing.T) {
	p := newTape(t)
	w := New(Config{})
	for i := range 3 * maxConns {
		c := &talk{p: p, client: netip.AddrPortFrom(phone, uint16(i)), server: netip.AddrPortFrom(cam, 9999)}
		c.segment(0, packet.SYN, nil)
		c.says(0, 1400, strings.Repeat("GET ", 400))
	}
	r, err := capture.NewReader(&p.buf)
	if err != nil {
		t.Fatal(err)
	}
	var d packet.Packet
	for {
		f, err := r.Next()
		if err != nil {
			break
		}
		_ = packet.Decode(f.Link, f.Data, &d)
		w.Packet(&d)
	}
	kept := 0
	for _, c := range w.conns {
		kept += len(c.half[0].buf) + len(c.half[1].buf)
	}
	if len(w.conns) > maxConns || len(w.age) > 5*maxConns || kept > maxConns*maxBuffer || w.dropped == 0 {
		t.Errorf("%d connections, %d ages, %d bytes, %d dropped", len(w.conns), len(w.age), kept, w.dropped)
	}
}

func TestFile_realCaptures(t *testing.T) {
	for _, tt := range []struct{ path, id string }{{"pcap/protocol/ndpi_telnet.pcap", "CO-07"}, {"pcap/protocol/ndpi_rtsp.pcap", "DA-03"}} {
		f, err := os.Open(sharedtest.Path(t, tt.path))
		if err != nil {
			t.Fatal(err)
		}
		e, err := File(t.Context(), f, Config{})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		got := find(e, tt.id)
		t.Logf("%s: %v (%v) %q; %q", tt.path, got.Outcome, got.Confidence, got.Evidence, e.Notes)
		if got.Outcome != ringwall.Fail && got.Outcome != ringwall.Partial {
			t.Errorf("%s: %s is %v", tt.path, tt.id, got.Outcome)
		}
	}
	for _, path := range sharedtest.Glob(t, "pcap/benign/*Cam*/Setup-*-1-STA.pcap") {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		e, err := File(t.Context(), f, Config{Declared: []string{}})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range e.Findings {
			t.Logf("%s: %s %v %q %q", path[len(path)-30:], x.Indicator, x.Outcome, x.Title, x.Evidence[:min(2, len(x.Evidence))])
		}
	}
}

func FuzzPacket(f *testing.F) {
	p := newTape(f)
	c := p.talk(phone, cam, 80)
	c.says(0, 50, "POST /x HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\npassword=abc")
	c = p.talk(phone, cam, 554)
	c.says(1, 50, "RTSP/1.0 200 OK\r\nTransport: RTP/AVP;client_port=5-6\r\n\r\n$\x00\x00\x02ab")
	c = p.talk(cam, cloud, 443)
	c.says(1, 50, "\x16\x03\x03\x00\x04\x02\x00\x00\x00")
	f.Add(p.buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := File(t.Context(), bytes.NewReader(b), Config{})
		if err == nil && len(e.Findings) > 8 {
			t.Fatalf("%d findings", len(e.Findings))
		}
	})
}

func FuzzStreams(f *testing.F) {
	f.Add(uint8(80), []byte("GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Add(uint8(23), []byte("root\r\nx\r\n"), []byte("\xff\xfb\x01login: Password: "))
	f.Add(uint8(0), []byte("PLAY x RTSP/1.0\r\n\r\n"), []byte("$\x00\xff\xffRTSP/1.0 200\r\nContent-Length: -5\r\n\r\n"))
	f.Fuzz(func(t *testing.T, port uint8, client, server []byte) {
		w := New(Config{})
		c := &conn{client: netip.AddrPortFrom(phone, 40000), server: netip.AddrPortFrom(cam, uint16(port)), fromDevice: true, toDevice: true}
		for i := range max(len(client), len(server)) {
			if i < len(client) {
				w.feed(c, 0, uint32(i), client[i:i+1], 1)
			}
			if i < len(server) {
				w.feed(c, 1, uint32(i), server[i:i+1], 1)
			}
			if len(c.half[0].buf) > maxBuffer || len(c.half[1].buf) > maxBuffer {
				t.Fatal("a buffer is over its bound")
			}
		}
		w.Examination()
	})
}
