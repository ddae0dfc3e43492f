package rtsp

import (
	"context"
	"crypto/tls"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/credential"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

func certificate(t *testing.T) *tls.Config {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	return &tls.Config{Certificates: s.TLS.Certificates}
}

func TestProbe_insideTLS(t *testing.T) {
	for _, tt := range []struct {
		name     string
		password string
		plain    bool
		ap01, da ringwall.Outcome
	}{
		{"TLS only, an owner's password", "correct horse", false, ringwall.Pass, ringwall.Pass},
		{"TLS only, a default", "12345", false, ringwall.Fail, ringwall.Pass},
		{"both, an owner's password", "correct horse", true, ringwall.Pass, ringwall.Partial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inside := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: tt.password, TLS: certificate(t)})
			services := []api.Service{probetest.Service(t, "rtsps", inside.Address)}
			if tt.plain {
				services = append(services, probetest.Service(t, "rtsp", rtsptest.Start(t, rtsptest.Config{User: "admin", Password: tt.password}).Address))
			}
			a, err := Probe{}.Run(t.Context(), probetest.Env(t, services...), probetest.Target())
			if err != nil {
				t.Fatal(err)
			}
			conf := map[ringwall.Outcome]ringwall.Confidence{ringwall.Fail: ringwall.Confirmed, ringwall.Pass: ringwall.Observed}
			probetest.Want(t, a.Findings, "AP-01", tt.ap01, conf[tt.ap01])
			probetest.Want(t, a.Findings, "DA-03", tt.da, ringwall.Observed)
			probetest.Want(t, a.Findings, "AP-06", ringwall.Pass, ringwall.Observed)
			if n := inside.Wrong.Load(); n > 4 {
				t.Errorf("%d wrong passwords", n)
			}
		})
	}
}

func TestProbe_signedVideo(t *testing.T) {
	sei := append([]byte{6, 5, 32}, append([]byte{0x00, 0x5b, 0xc9, 0x3f, 0x2d, 0x71, 0x5e, 0x95, 0xad, 0xa4, 0x79, 0x6f, 0x90, 0x87, 0x7a, 0x6f}, make([]byte, 17)...)...)
	for _, tt := range []struct {
		cfg  rtsptest.Config
		want ringwall.Outcome
	}{
		{rtsptest.Config{SEI: sei}, ringwall.Pass},
		{rtsptest.Config{}, ringwall.Fail},
		{rtsptest.Config{User: "admin", Password: "correct horse", SEI: sei}, ringwall.Unknown}, // nobody saw it
	} {
		a := probe(t, rtsptest.Start(t, tt.cfg).Address)
		probetest.Want(t, a.Findings, "DA-04", tt.want, ringwall.Observed)
	}
}

func TestProbe_aSecondStreamLeftOpen(t *testing.T) {
	a := probe(t, rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "correct horse", OpenPath: "/live/sub"}).Address)
	probetest.Want(t, a.Findings, "AP-04", ringwall.Fail, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "AP-01", ringwall.Pass, ringwall.Observed)
	if f := probetest.Find(a.Findings, "AP-04"); f.Facts["path"] != "/live/sub" {
		t.Errorf("facts are %v", f.Facts)
	}
}

func TestRoutes_vendorNarrows(t *testing.T) {
	all, hik := Routes(""), Routes("HIKVISION Digital Technology")
	if all[0] != "" || hik[0] != "" || len(all) != maxRoutes {
		t.Errorf("%d paths, %q first", len(all), all[0])
	}
	if i := slices.Index(hik, "Streaming/Channels/102"); i < 1 || i > 10 || slices.Contains(hik, "mobotix.mjpeg") {
		t.Errorf("for Hikvision: %q", hik[:12])
	}
	for _, r := range parseRoutes(routesText) {
		if strings.ContainsAny(r.path, " \r\n\"") {
			t.Errorf("path %q cannot stand in a request", r.path)
		}
	}
}

// TestProbe_muchWhenAllowed tries the whole list at once where the owner has
// raised the budget, and still believes only a picture.
func TestProbe_muchWhenAllowed(t *testing.T) {
	for password, want := range map[string]ringwall.Outcome{"camera": ringwall.Fail, "correct horse": ringwall.Pass} {
		s := rtsptest.Start(t, rtsptest.Config{User: "root", Password: password})
		env := probetest.Env(t, probetest.Service(t, "rtsp", s.Address))
		env.Ledger = assess.NewLedger(assess.Budget{PerAccount: 1000, PerService: 1000}, time.Now)
		a, err := Probe{}.Run(t.Context(), env, probetest.Target())
		if err != nil {
			t.Fatal(err)
		}
		f := probetest.Find(a.Findings, "AP-01")
		if n := len(credential.Known(assess.CameraAccounts, "")); f.Outcome != want || want == ringwall.Pass && s.Wrong.Load() < int64(n) {
			t.Errorf("%v after %d wrong passwords of %d known pairs: %q", f.Outcome, s.Wrong.Load(), n, f.Evidence)
		}
	}
}

func TestProbe_moreDecoys(t *testing.T) {
	coin := &atomic.Int64{}
	for name, f := range map[string]func(n int, r string) string{
		"flips at random": func(int, string) string {
			if coin.Add(1)*2654435761%7 < 3 {
				return ok(sdp)
			}
			return challenge
		},
		"only the first try is let in": func() func(int, string) string {
			var n atomic.Int64
			return func(_ int, r string) string {
				if strings.Contains(r, "Authorization:") && n.Add(1) == 1 {
					return ok(sdp)
				}
				return challenge
			}
		}(),
		"locked after two": func() func(int, string) string {
			var n atomic.Int64
			return func(_ int, r string) string {
				if strings.Contains(r, "Authorization:") && n.Add(1) > 2 {
					return "RTSP/1.0 403 account locked\r\nCSeq: 1\r\n\r\n"
				}
				return challenge
			}
		}(),
		"404 behind any login": func(_ int, r string) string {
			if strings.Contains(r, "Authorization:") {
				return "RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n"
			}
			return challenge
		},
		"a redirect elsewhere": func(int, string) string {
			return "RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://192.0.2.1/\r\n\r\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			env := probetest.Env(t, probetest.Service(t, "rtsp", probetest.Serve(t, answerer(f))))
			a, _ := Probe{}.Run(ctx, env, probetest.Target())
			for _, f := range a.Findings {
				if f.Confidence == ringwall.Confirmed && f.Outcome == ringwall.Fail {
					t.Errorf("a decoy gave %+v", f)
				}
			}
			if f := probetest.Find(a.Findings, "AP-01"); f.Outcome == ringwall.Pass || f.Outcome == ringwall.Fail {
				t.Errorf("AP-01 is %v of a decoy: %q", f.Outcome, f.Evidence)
			}
		})
	}
}
