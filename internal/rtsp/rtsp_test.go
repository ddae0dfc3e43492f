package rtsp

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func describe(t *testing.T, address, path string, cred *Credential) Reply {
	t.Helper()
	c, err := Connect(t.Context(), dial, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Describe(t.Context(), path, cred)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDescribe_seesTheScheme(t *testing.T) {
	open := rtsptest.Start(t, rtsptest.Config{})
	if r := describe(t, open.Address, "live", nil); !r.Described() {
		t.Errorf("open camera: status %d, want a description", r.Status)
	}
	digest := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "pw"})
	r := describe(t, digest.Address, "live", nil)
	if r.Status != 401 || len(r.Challenges) != 2 || r.Challenges[0].Scheme != "digest" {
		t.Errorf("digest camera: status %d, challenges %+v", r.Status, r.Challenges)
	}
	basic := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "pw", Basic: true})
	if r := describe(t, basic.Address, "live", nil); r.Status != 401 || r.Challenges[0].Scheme != "basic" {
		t.Errorf("basic camera: status %d, challenges %+v", r.Status, r.Challenges)
	}
}

func TestDescribe_presentsOneTryPerCall(t *testing.T) {
	s := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "pw"})
	c, err := Connect(t.Context(), dial, s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, pw := range []string{"a", "b", "c"} {
		r, err := c.Describe(t.Context(), "live", &Credential{"admin", pw})
		if err != nil || r.Status != 401 {
			t.Fatalf("wrong password: status %d, %v", r.Status, err)
		}
		if got := s.Wrong.Load(); got != int64(i+1) {
			t.Fatalf("after %d calls the camera saw %d wrong passwords", i+1, got)
		}
	}
	if r, err := c.Describe(t.Context(), "live", &Credential{"admin", "pw"}); err != nil || !r.Described() {
		t.Errorf("right password: status %d, %v", r.Status, err)
	}
}

func TestWatch_provesAPicture(t *testing.T) {
	s := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "pw"})
	p, err := Watch(t.Context(), dial, s.Address, "live", &Credential{"admin", "pw"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Codec != "H264" || p.Width != rtsptest.Width || p.Height != rtsptest.Height || p.Slices != 1 || p.Bytes < 4000 {
		t.Errorf("picture = %+v", p)
	}
	if _, err := Watch(t.Context(), dial, s.Address, "live", nil); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("without a login: error is %v, want code forbidden", err)
	}
	_, err = Watch(t.Context(), dial, s.Address, "live", &Credential{"admin", "wr0ng-secret"})
	if err == nil || strings.Contains(err.Error(), "wr0ng-secret") {
		t.Errorf("wrong password: error is %v", err)
	}
}

func TestWatch_silenceIsNoProof(t *testing.T) {
	s := rtsptest.Start(t, rtsptest.Config{Silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if p, err := Watch(ctx, dial, s.Address, "live", nil); err == nil {
		t.Errorf("a camera that sends nothing proved %+v", p)
	}
}

// server answers every connection with f.
func server(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestDescribe_survivesHostilePeers(t *testing.T) {
	for _, tt := range []struct{ name, answer string }{
		{"garbage", "\x00\x01\x02 not rtsp\r\n\r\n"},
		{"http", "HTTP/1.1 200 OK\r\n\r\n"},
		{"endless line", "RTSP/1.0 200 " + strings.Repeat("a", 2*MaxLine)},
		{"endless headers", "RTSP/1.0 200 OK\r\n" + strings.Repeat("A: b\r\n", MaxHeaders+2) + "\r\n"},
		{"giant body", "RTSP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n"},
		{"negative body", "RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"},
		{"endless frames", strings.Repeat("$\x00\x00\x01x", MaxInterleaved+1)},
		{"truncated", "RTSP/1.0 200 OK\r\nContent-Le"},
		{"bad challenge", "RTSP/1.0 401 No\r\nWWW-Authenticate: Digest realm=\"open\r\n\r\n"},
	} {
		addr := server(t, func(c net.Conn) {
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, tt.answer)
		})
		c, err := Connect(t.Context(), dial, addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Describe(t.Context(), "live", nil); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		c.Close()
	}
}

func TestDescribe_endsWithItsContext(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	addr := server(t, func(net.Conn) { <-hold })
	c, err := Connect(t.Context(), dial, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Describe(ctx, "live", nil); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("a tarpit held us %v, error %v", time.Since(began), err)
	}
	if _, err := c.Describe(t.Context(), "a b\r\nX: y", nil); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a path with line breaks gives %v", err)
	}
}

func TestPicture_mustAgreeWithItself(t *testing.T) {
	sps, pps, idr := rtsptest.Picture()
	good := &h264Picture{sps: sps, pps: pps}
	if _, err := good.look([][]byte{idr}); err != nil {
		t.Fatalf("the test picture is refused: %v", err)
	}
	p := append([]byte{0x41}, idr[1:]...) // the same bytes as a non-IDR slice
	for name, au := range map[string][][]byte{
		"not a random access": {p}, "nothing": {}, "empty slice": {idr[:2]}, "noise": {{0x65, 0xff, 0x00, 0x13}}, "second slice first": {idr, idr},
	} {
		if _, err := (&h264Picture{sps: sps, pps: pps}).look(au); err == nil {
			t.Errorf("%s: taken for a picture", name)
		}
	}
	if _, err := (&h264Picture{}).look([][]byte{idr}); err == nil {
		t.Error("a picture without parameter sets is taken")
	}
	if _, err := (&h264Picture{}).look([][]byte{sps, pps, idr}); err != nil {
		t.Errorf("in-band parameter sets are not used: %v", err)
	}
}

func FuzzReadResponse(f *testing.F) {
	f.Add([]byte("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nab"))
	f.Add([]byte("$\x00\x00\x02abRTSP/1.0 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadResponse(bufio.NewReader(strings.NewReader(string(b))))
		if err == nil && (r.Status < 100 || len(r.Body) > MaxBody) {
			t.Fatalf("response out of bounds: %+v", r)
		}
	})
}

func FuzzPicture(f *testing.F) {
	sps, pps, idr := rtsptest.Picture()
	annexB, err := h264.AnnexB{sps, pps, idr[:64]}.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(annexB)
	f.Fuzz(func(t *testing.T, b []byte) {
		var au h264.AnnexB
		if au.Unmarshal(b) != nil {
			return
		}
		if p, err := new(h264Picture).look(au); err == nil && (p.Width <= 0 || p.Width > maxSide) {
			t.Fatalf("picture out of bounds: %+v", p)
		}
		_, _ = new(h265Picture).look(au)
	})
}

func BenchmarkDescribe_digest(b *testing.B) {
	s := rtsptest.Start(b, rtsptest.Config{User: "admin", Password: "pw"})
	c, err := Connect(b.Context(), dial, s.Address)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if _, err := c.Describe(b.Context(), "live", &Credential{"admin", "wrong"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tries/s")
}
