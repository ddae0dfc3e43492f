package bruteforce

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

func run(t *testing.T, p Probe, name, address string) (ringwall.Finding, *assess.Env) {
	t.Helper()
	env := probetest.Env(t, probetest.Service(t, name, address))
	a, err := p.Run(t.Context(), env, probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return probetest.Find(a.Findings, "AP-03"), env
}

func TestProbe_rtsp(t *testing.T) {
	for lock, want := range map[int64]ringwall.Outcome{0: ringwall.Fail, 5: ringwall.Pass} {
		g := rtsptest.StartGate(t, &rtsptest.Gate{User: "admin", Password: "unguessable", LockAfter: lock})
		f, env := run(t, Probe{}, "rtsp", g.Address)
		if f.Outcome != want || f.Confidence != ringwall.Observed {
			t.Errorf("lock after %d: %+v", lock, f)
		}
		if n := g.Wrong.Load(); n > tries || lock > 0 && n > lock+1 {
			t.Errorf("lock after %d: %d tries", lock, n)
		}
		if ok, _ := env.Ledger.Spend(assess.CameraAccounts, "rtsp/"+fmt.Sprint(probetest.Port(t, g.Address)), "admin"); ok {
			t.Error("the ledger has not counted the tries")
		}
	}
}

func TestProbe_web(t *testing.T) {
	var n atomic.Int64
	site := func(f func(w http.ResponseWriter, n int64)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tried := n.Load()
			if _, _, ok := r.BasicAuth(); ok {
				tried = n.Add(1)
			}
			f(w, tried)
		})
	}
	refuse := func(w http.ResponseWriter) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	for name, tt := range map[string]struct {
		h    http.Handler
		want ringwall.Outcome
	}{
		"refuses for ever": {site(func(w http.ResponseWriter, _ int64) { refuse(w) }), ringwall.Fail},
		"429 after six": {site(func(w http.ResponseWriter, n int64) {
			if n > 6 {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			refuse(w)
		}), ringwall.Pass},
		"says so in words": {site(func(w http.ResponseWriter, n int64) {
			refuse(w)
			if n > 3 {
				_, _ = io.WriteString(w, "Your account is locked")
			}
		}), ringwall.Pass},
		"ever slower": {site(func(w http.ResponseWriter, n int64) {
			if n > 3 {
				time.Sleep(time.Duration(n-3) * 500 * time.Millisecond)
			}
			refuse(w)
		}), ringwall.Pass},
		"asks nobody": {site(func(w http.ResponseWriter, _ int64) { _, _ = io.WriteString(w, "<html>") }), ringwall.Unknown},
	} {
		n.Store(0)
		s := httptest.NewServer(tt.h)
		f, _ := run(t, Probe{}, "http", s.Listener.Addr().String())
		s.Close()
		if f.Outcome != tt.want || n.Load() > tries {
			t.Errorf("%s: %v after %d tries: %q", name, f.Outcome, n.Load(), f.Evidence)
		}
	}
}

func TestProbe_onvifAndAnOwnAccount(t *testing.T) {
	cfg := device.Config{Users: device.NewUsers(onvif.User{Username: "mine", Password: "unguessable"}), Now: time.Now}
	s := httptest.NewServer(device.New(cfg))
	t.Cleanup(s.Close)
	f, _ := run(t, Probe{User: "mine"}, "onvif", s.Listener.Addr().String())
	if f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed || !strings.Contains(f.Evidence[0], "the account that was named") {
		t.Errorf("%+v", f)
	}
}

func TestProbe_runsOnlyWhenNamed(t *testing.T) {
	d := Probe{}.Def()
	if !d.Optional || d.Intrusion != assess.Strains || d.Tries < tries {
		t.Errorf("%+v", d)
	}
}
