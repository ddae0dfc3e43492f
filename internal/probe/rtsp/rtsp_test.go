package rtsp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

func probe(t *testing.T, address string) assess.Answer {
	t.Helper()
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "rtsp", address)), probetest.Target())
	if err != nil {
		t.Logf("error: %v", err)
	}
	return a
}

func TestProbe_cameras(t *testing.T) {
	const (
		pass, fail, partial, unknown = ringwall.Pass, ringwall.Fail, ringwall.Partial, ringwall.Unknown
		confirmed, observed          = ringwall.Confirmed, ringwall.Observed
	)
	type want struct {
		id string
		o  ringwall.Outcome
		c  ringwall.Confidence
	}
	for _, tt := range []struct {
		name string
		cfg  rtsptest.Config
		want []want
	}{
		{"open", rtsptest.Config{}, []want{{"AP-04", fail, confirmed}, {"DA-03", fail, confirmed}, {"AP-01", unknown, 0}}},
		{"open, but no picture comes", rtsptest.Config{Silent: true}, []want{{"AP-04", unknown, 0}, {"DA-03", fail, observed}}},
		{"open on a known path", rtsptest.Config{Path: "/cam/realmonitor"}, []want{{"AP-04", fail, confirmed}}},
		{"default password", rtsptest.Config{User: "admin", Password: "12345"}, []want{{"AP-01", fail, confirmed}, {"AP-02", fail, observed}, {"AP-04", pass, observed}, {"DA-03", fail, confirmed}, {"AP-06", partial, observed}}},
		{"default password, Basic", rtsptest.Config{User: "admin", Password: "admin", Basic: true}, []want{{"AP-01", fail, confirmed}, {"AP-06", fail, observed}}},
		{"default password behind a path", rtsptest.Config{User: "admin", Password: "12345", Path: "/live"}, []want{{"AP-01", fail, confirmed}}},
		{"an owner's password", rtsptest.Config{User: "admin", Password: "correct horse"}, []want{{"AP-01", pass, observed}, {"AP-04", pass, observed}, {"DA-03", fail, observed}}},
		{"default password, but no picture", rtsptest.Config{User: "admin", Password: "admin", Silent: true}, []want{{"AP-01", unknown, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.cfg.Silent && testing.Short() {
				t.Skip("SKIPPED, NOT TESTED: silence takes its time")
			}
			s := rtsptest.Start(t, tt.cfg)
			a := probe(t, s.Address)
			for _, w := range tt.want {
				probetest.Want(t, a.Findings, w.id, w.o, w.c)
			}
			if n := s.Wrong.Load(); n > 4 {
				t.Errorf("the camera saw %d wrong passwords", n)
			}
		})
	}
}

func TestProbe_locksNoCamera(t *testing.T) {
	s := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "correct horse", LockAfter: 5})
	probe(t, s.Address)
	if n := s.Wrong.Load(); n >= 5 {
		t.Errorf("%d wrong passwords: the camera is locked", n)
	}
}

// answerer reads requests and answers each with f's text.
func answerer(f func(n int, request string) string) func(net.Conn) {
	var count atomic.Int64
	return func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			var req strings.Builder
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				req.WriteString(line)
				if line == "\r\n" {
					break
				}
			}
			text := f(int(count.Add(1)), req.String())
			if text == "" {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

const sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"

func ok(body string) string {
	return fmt.Sprintf("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

const challenge = "RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"abc\"\r\n\r\n"

func TestProbe_decoysGiveNoFinding(t *testing.T) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	for name, f := range map[string]func(net.Conn){
		"yes to everything": answerer(func(int, string) string { return ok(sdp) }),
		"yes to any login": answerer(func(_ int, r string) string {
			if strings.Contains(r, "Authorization:") {
				return ok(sdp)
			}
			return challenge
		}),
		"no to everything": answerer(func(int, string) string { return challenge }),
		"yes to admin only, without pictures": answerer(func(_ int, r string) string {
			if strings.Contains(r, `username="admin"`) {
				return ok(sdp)
			}
			return challenge
		}),
		"hangs up after three tries": answerer(func(n int, _ string) string {
			if n > 8 {
				return ""
			}
			return challenge
		}),
		"404 to everything": answerer(func(int, string) string { return "RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n" }),
		"an HTML page":      answerer(func(int, string) string { return ok("<html>login</html>") }),
		"garbage":           func(c net.Conn) { _, _ = io.WriteString(c, "\x16\x03\x01\x00\x00garbage\r\n\r\n") },
		"endless banner": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("hello ", 1000)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := probe(t, probetest.Serve(t, f))
			for _, f := range a.Findings {
				if f.Confidence == ringwall.Confirmed && f.Outcome == ringwall.Fail {
					t.Errorf("a decoy gave %+v", f)
				}
			}
			if f := probetest.Find(a.Findings, "AP-01"); name != "no to everything" && f.Outcome != ringwall.Unknown {
				t.Errorf("AP-01 is %v of a decoy: %q", f.Outcome, f.Evidence)
			}
		})
	}
}
