package onvif

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	onvifclient "github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func probe(t *testing.T, h http.Handler) assess.Answer {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "http", s.Listener.Addr().String())), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func camera(password string, change func(*device.Config)) http.Handler {
	cfg := device.Config{
		Users: device.NewUsers(onvifclient.User{Username: "admin", Password: password}), Vendor: "Refcam", Model: "RC-1", Firmware: "1.0.3", Serial: "SN00177",
		RTSPPort: 554, RTSPPath: "/live/ch0?x=1", Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	return device.New(cfg)
}

func TestProbe_badCamera(t *testing.T) {
	a := probe(t, camera("12345", nil))
	probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "AP-05", ringwall.Pass, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "CO-07", ringwall.Partial, ringwall.Observed)
	if a.Known.Model != "RC-1" || a.Known.Firmware != "1.0.3" || a.Known.Type != "camera" {
		t.Errorf("identity is %+v", a.Known)
	}
	if !slices.Contains(a.Paths, "live/ch0?x=1") {
		t.Errorf("stream paths are %q", a.Paths)
	}
	if ev := strings.Join(probetest.Find(a.Findings, "AP-01").Evidence, "\n"); !strings.Contains(ev, "GetUsers listed") {
		t.Errorf("evidence is %q", ev)
	}
}

func TestProbe_goodCamera(t *testing.T) {
	a := probe(t, camera("correct horse", nil))
	probetest.Want(t, a.Findings, "AP-01", ringwall.Pass, ringwall.Observed)
	probetest.Want(t, a.Findings, "AP-05", ringwall.Pass, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "DA-07", ringwall.Pass, ringwall.Observed)
}

func TestProbe_openCamera(t *testing.T) {
	a := probe(t, camera("correct horse", func(c *device.Config) { c.PreAuthOpen = true }))
	probetest.Want(t, a.Findings, "AP-05", ringwall.Fail, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "CO-09", ringwall.Fail, ringwall.Confirmed)
	// No login is no default credential.
	probetest.Want(t, a.Findings, "AP-01", ringwall.Unknown, 0)
}

func TestProbe_cameraWithAWrongClock(t *testing.T) {
	a := probe(t, camera("12345", func(c *device.Config) { c.Now = func() time.Time { return time.Unix(0, 0) } }))
	probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
}

func TestProbe_tokens(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*device.Config)
		want   ringwall.Outcome
	}{
		"once, in time":       {nil, ringwall.Pass},
		"again and again":     {func(c *device.Config) { c.Replayable = true }, ringwall.Fail},
		"of any age":          {func(c *device.Config) { c.OldTokens = true }, ringwall.Partial},
		"the password itself": {func(c *device.Config) { c.TextPasswords = true }, ringwall.Partial},
	} {
		// The first pair of the list fits, so that the purse holds enough for the tokens.
		a := probe(t, camera("admin", tt.change))
		probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
		f := probetest.Find(a.Findings, "AP-06")
		if f.Outcome != tt.want || f.Confidence != ringwall.Confirmed {
			t.Errorf("%s: %v (%v) %q %q", name, f.Outcome, f.Confidence, f.Title, f.Evidence)
		}
	}
}

func TestProbe_anonymousUser(t *testing.T) {
	a := probe(t, camera("admin", func(c *device.Config) {
		c.Users.Set(onvifclient.User{Username: "anyone", Level: "Anonymous", Password: "unguessable"})
	}))
	if !slices.ContainsFunc(a.Findings, func(f ringwall.Finding) bool {
		return f.Indicator == "AP-05" && f.Outcome == ringwall.Fail && strings.Contains(f.Title, "anonymous")
	}) {
		t.Errorf("findings are %+v", a.Findings)
	}
}

func TestProbe_whatItOffers(t *testing.T) {
	a := probe(t, camera("admin", func(c *device.Config) { c.Media2, c.SnapshotPath = true, "/snap?ch=1" }))
	if f := probetest.Find(a.Findings, "AP-10"); f.Outcome != ringwall.Unknown || !strings.Contains(f.Title, "SetUser") { // half of it is told
		t.Errorf("AP-10 is %v: %q", f.Outcome, f.Title)
	}
	if !slices.Contains(a.Stills, "snap?ch=1") || !slices.Contains(a.Paths, "live/ch0?x=1") {
		t.Errorf("stills %q, paths %q", a.Stills, a.Paths)
	}
	open := probe(t, camera("unguessable", func(c *device.Config) { c.PreAuthOpen = true }))
	probetest.Want(t, open.Findings, "DA-06", ringwall.Pass, ringwall.Declared)
	if ev := strings.Join(probetest.Find(open.Findings, "AP-05").Evidence, "\n"); !strings.Contains(ev, "SetUser for nobody was carried out") {
		t.Errorf("evidence is %q", ev)
	}
}

func TestProbe_insideTLS(t *testing.T) {
	s := httptest.NewTLSServer(camera("admin", nil))
	t.Cleanup(s.Close)
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "https", s.Listener.Addr().String())), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "CO-07", ringwall.Pass, ringwall.Observed)
}

func TestProbe_lowUserIsNoProof(t *testing.T) {
	// guest:guest may look, but GetUsers is refused it: nothing is confirmed by it.
	a := probe(t, camera("correct horse", func(c *device.Config) {
		c.Users.Set(onvifclient.User{Username: "guest", Password: "guest", Level: "User"})
	}))
	probetest.Want(t, a.Findings, "AP-01", ringwall.Pass, ringwall.Observed)
}

func TestProbe_locksNoCamera(t *testing.T) {
	var wrong atomic.Int64
	inner := camera("correct horse", nil)
	probe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(b), "UsernameToken") {
			wrong.Add(1)
		}
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		inner.ServeHTTP(w, r)
	}))
	if n := wrong.Load(); n == 0 || n > 4 {
		t.Errorf("%d credentials were presented, want 1 to 4", n)
	}
}

func TestProbe_decoysGiveNoFinding(t *testing.T) {
	soap := func(body string) string {
		return `<s:Envelope xmlns:s="` + onvifclient.NSSoap + `"><s:Body>` + body + `</s:Body></s:Envelope>`
	}
	reply := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	bomb := `<!DOCTYPE l [<!ENTITY a "` + strings.Repeat("ha", 1000) + `"><!ENTITY b "` + strings.Repeat("&a;", 1000) + `">]>` + soap("<x>&b;</x>")
	// It answers every operation with a list that names whoever asks.
	yes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		m, err := onvifclient.ParseMessage(b)
		if err != nil {
			return
		}
		user := "admin"
		if m.Token != nil {
			user = m.Token.Username
		}
		_, _ = io.WriteString(w, soap(fmt.Sprintf(`<r:%sResponse xmlns:r="%s" xmlns:tt="%s"><r:User><tt:Username>%s</tt:Username></r:User></r:%s>`,
			m.Operation.Local, onvifclient.NSDevice, onvifclient.NSSchema, user, m.Operation.Local+"Response")))
	})
	for name, h := range map[string]http.Handler{
		"a web page":       reply(200, "<html><body>welcome</body></html>"),
		"401 for all":      reply(401, ""),
		"XML bomb":         reply(200, bomb),
		"deep XML":         reply(200, soap(strings.Repeat("<a>", 5000))),
		"endless":          http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("<a/>", 1<<20))) }),
		"empty answers":    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, soap("<x/>")) }),
		"yes to everybody": yes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := probe(t, h)
			if f := probetest.Find(a.Findings, "AP-01"); f.Outcome != ringwall.Unknown {
				t.Errorf("AP-01 is %v: %q", f.Outcome, f.Evidence)
			}
			if f := probetest.Find(a.Findings, "AP-05"); f.Outcome != ringwall.Unknown {
				t.Errorf("AP-05 is %v: %q", f.Outcome, f.Evidence)
			}
		})
	}
}

func TestProbe_tarpitEnds(t *testing.T) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	addr := probetest.Serve(t, func(net.Conn) { <-hold })
	began := time.Now()
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "http", addr)), probetest.Target())
	if err != nil || len(a.Findings) != 0 || time.Since(began) > 15*time.Second {
		t.Errorf("a tarpit gave %+v, %v after %v", a, err, time.Since(began))
	}
}
