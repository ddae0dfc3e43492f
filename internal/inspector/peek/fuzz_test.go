package peek_test

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/ringwall/ringwall/internal/inspector/peek"
)

// FuzzHello: the same bytes give the same hello in whatever pieces they come.
func FuzzHello(f *testing.F) {
	f.Add(hello(f, &tls.Config{ServerName: "cloud.vendor.example"}), 3)
	f.Add(hello(f, &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12}), 100)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		var whole, parts peek.HelloReader
		h, err := whole.Feed(b)
		step = max(step, 1)
		var h2 peek.Hello
		err2 := peek.ErrShort
		for at := 0; at < len(b) && err2 == peek.ErrShort; at += step {
			h2, err2 = parts.Feed(b[at:min(at+step, len(b))])
		}
		if err == nil && (err2 != nil || h.Name != h2.Name || h.ECH != h2.ECH || h.Version != h2.Version) {
			t.Fatalf("whole %+v %v, in parts %+v %v", h, err, h2, err2)
		}
		if err == nil && h.Name != "" {
			if n, ok := peek.Name([]byte(h.Name)); !ok || n != h.Name {
				t.Fatalf("name %q", h.Name)
			}
		}
	})
}

// FuzzHead: a head that is taken is taken as the same however much follows, and
// none is taken that another ends within.
func FuzzHead(f *testing.F) {
	f.Add([]byte("GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"))
	f.Add([]byte("SETUP rtsp://a.example/x RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		peek.Sniff(b)
		peek.Frame(b)
		for _, parse := range []func([]byte) (peek.Request, error){peek.ParseHTTP, peek.ParseRTSP} {
			r, err := parse(b)
			if err != nil {
				continue
			}
			if r.Head > len(b) || r.Length < -1 || bytes.Count(b[:r.Head], []byte("\n")) != bytes.Count(b[:r.Head], []byte("\r\n")) {
				t.Fatalf("%+v of %q", r, b)
			}
			if again, err := parse(b[:r.Head]); err != nil || again != r {
				t.Fatalf("%+v, then %+v, %v", r, again, err)
			}
		}
		var c peek.Chunks
		if n, done, err := c.Skip(b); err == nil && done && n > len(b) {
			t.Fatal("more is skipped than there is")
		}
	})
}

func FuzzMQTT(f *testing.F) {
	f.Add(append(connect5(), mqttPacket(0x30, mqttText("a")+"\x03\x23\x00\x01x")...))
	f.Add(append(connect4(), mqttPacket(0x82, "\x00\x01"+mqttText("a/#")+"\x00")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r peek.MQTTReader
		for len(b) > 0 {
			p, err := r.Next(b)
			if err != nil {
				return
			}
			if p.Head <= 0 || p.Head > len(b) || p.Rest < 0 {
				t.Fatalf("%+v of %d bytes", p, len(b))
			}
			b = b[min(int64(len(b)), int64(p.Head)+p.Rest):]
		}
	})
}

func FuzzCoAP(f *testing.F) {
	f.Add([]byte{0x40, 1, 0, 1, 0xb1, 'a'})
	f.Add([]byte{0x44, 0x45, 0, 1, 1, 2, 3, 4, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := peek.ParseCoAP(b)
		if err != nil {
			return
		}
		if m.Request() != (m.Method != "") || m.Request() && (m.Path == "" || m.Path[0] != '/') {
			t.Fatalf("%+v", m)
		}
		if _, err := peek.ParseCoAP(m.Forbid()); err != nil && m.Request() {
			t.Fatalf("the answer to %x cannot be read: %v", b, err)
		}
	})
}

func BenchmarkHello(b *testing.B) {
	raw := hello(b, &tls.Config{ServerName: "cloud.vendor.example", NextProtos: []string{"h2", "http/1.1"}})
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		var r peek.HelloReader
		if _, err := r.Feed(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHelloSegments(b *testing.B) {
	raw := hello(b, &tls.Config{ServerName: "cloud.vendor.example", NextProtos: []string{"h2", "http/1.1"}})
	b.ReportAllocs()
	for b.Loop() {
		var r peek.HelloReader
		if _, err := r.Feed(raw[:1000]); err != peek.ErrShort {
			b.Fatal(err)
		}
		if _, err := r.Feed(raw[1000:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHTTP(b *testing.B) {
	raw := []byte("GET /api/v1/state HTTP/1.1\r\nHost: cloud.vendor.example\r\nUser-Agent: camera/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 20\r\nConnection: keep-alive\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := peek.ParseHTTP(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRTSP(b *testing.B) {
	raw := []byte("SETUP rtsp://cam.example/stream1/track1 RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP;unicast;client_port=5000-5001\r\nUser-Agent: nvr\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := peek.ParseRTSP(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMQTT(b *testing.B) {
	var r peek.MQTTReader
	r.SetVersion(5)
	raw := mqttPacket(0x30, mqttText("site/cam/state")+"\x00hello")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCoAP(b *testing.B) {
	raw := []byte{0x44, 0x01, 0x12, 0x34, 1, 2, 3, 4, 0xb6, 's', 'e', 'n', 's', 'o', 'r', 0x04, 't', 'e', 'm', 'p'}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := peek.ParseCoAP(raw); err != nil {
			b.Fatal(err)
		}
	}
}
