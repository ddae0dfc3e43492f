package probe

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

// page is a camera's web server: its settings behind Basic, ONVIF beside them.
func page(users *device.Users, services http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		if want, known := users.Password(u); !ok || !known || p != want {
			w.Header().Set("WWW-Authenticate", `Basic realm="cam"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "<title>Settings</title><h1>Settings</h1>")
	})
	if services != nil {
		mux.Handle("/onvif/", services)
	}
	return mux
}

// camera starts a whole camera and returns its ports.
func camera(t *testing.T, password, telnet string, good bool) []uint16 {
	t.Helper()
	users := device.NewUsers(onvif.User{Username: "admin", Password: password})
	video := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: password})
	cfg := device.Config{
		Users: users, Vendor: "Refcam", Model: "RC-1", Firmware: "1.0.3", Serial: "SN1", RTSPPort: probetest.Port(t, video.Address), RTSPPath: "/live", Now: time.Now,
	}
	ports := []uint16{probetest.Port(t, video.Address)}
	web := httptest.NewUnstartedServer(page(users, device.New(cfg)))
	if good {
		web.Config.Handler = page(users, nil)
		web.StartTLS()
		inTLS := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: password, TLS: &tls.Config{Certificates: web.TLS.Certificates}})
		ports = append(ports, probetest.Port(t, inTLS.Address))
		services := httptest.NewServer(device.New(cfg))
		t.Cleanup(services.Close)
		ports = append(ports, probetest.Port(t, services.Listener.Addr().String()))
	} else {
		web.Start()
	}
	t.Cleanup(web.Close)
	ports = append(ports, probetest.Port(t, web.Listener.Addr().String()))
	if telnet != "" {
		door := &probetest.Telnet{User: "root", Password: telnet}
		ports = append(ports, probetest.Port(t, probetest.Serve(t, door.Serve)))
	}
	return ports
}

func assessOne(t *testing.T, r *assess.Runner) api.Assessment {
	t.Helper()
	as, err := r.Run(t.Context(), []assess.Target{probetest.Target()})
	if err != nil || len(as) != 1 {
		t.Fatalf("%d assessments, %v", len(as), err)
	}
	return as[0]
}

func runner(t *testing.T, ports []uint16) *assess.Runner {
	return &assess.Runner{
		Network: probetest.Host{}, Probes: All(), Now: time.Now, Ports: ports,
		Progress: func(e assess.Event) {
			if e.Kind == assess.EventNote {
				t.Logf("%s: %s", e.Target, e.Text)
			}
		},
	}
}

func TestAll_badCameraIsHigh(t *testing.T) {
	ports := camera(t, "12345", "xc3511", false)
	began := time.Now()
	a := assessOne(t, runner(t, ports))
	t.Logf("assessed in %v: coverage %.2f, risk %.1f", time.Since(began), a.Coverage, a.Risk)
	if a.Grade != ringwall.HighRisk || a.Class != ringwall.WatchInRealTime || a.Best != ringwall.HighRisk {
		t.Errorf("grade %v (best %v), class %v: %q", a.Grade, a.Best, a.Class, a.Reasons)
	}
	if a.Vendor != "Refcam" || a.Model != "RC-1" || a.Firmware != "1.0.3" || a.Type != "camera" {
		t.Errorf("identity is %q %q %q %q", a.Vendor, a.Model, a.Firmware, a.Type)
	}
	f := probetest.Find(a.Findings, "AP-01")
	story := f.Title + "\n" + strings.Join(f.Evidence, "\n")
	for _, want := range []string{"the web page on port", "ONVIF on port", "RTSP on port", "telnet on port", "picture of 64 by 48", "GetUsers listed", "a shell ran echo"} {
		if f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed || !strings.Contains(story, want) {
			t.Errorf("AP-01 is %v (%v) and does not tell of %q: %s", f.Outcome, f.Confidence, want, story)
		}
	}
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"12345", "xc3511"} {
		if strings.Contains(string(b), `"`+secret) || strings.Contains(string(b), ":"+secret) {
			t.Errorf("a working password stands in the assessment")
		}
	}
	if len(a.Findings) != 49 {
		t.Errorf("%d findings, want one answer per indicator", len(a.Findings))
	}
	for id, want := range map[string]ringwall.Outcome{"CO-02": ringwall.Fail, "CO-07": ringwall.Fail, "DA-03": ringwall.Fail, "AP-05": ringwall.Pass, "HW-01": ringwall.Unknown} {
		if f := probetest.Find(a.Findings, id); f.Outcome != want {
			t.Errorf("%s is %v, want %v: %q", id, f.Outcome, want, f.Title)
		}
	}
}

func TestAll_goodCameraIsMedium(t *testing.T) {
	a := assessOne(t, runner(t, camera(t, "a long and unique one", "", true)))
	if a.Grade != ringwall.MediumRisk || a.Best != ringwall.LowRisk || a.Coverage >= 0.8 {
		t.Errorf("grade %v, best %v, coverage %v: %q", a.Grade, a.Best, a.Coverage, a.Reasons)
	}
	for _, f := range a.Findings {
		if f.Outcome == ringwall.Fail {
			t.Errorf("a good camera fails %s: %q %q", f.Indicator, f.Title, f.Evidence)
		}
	}
	if !strings.Contains(strings.Join(a.Reasons, "\n"), "of the rubric's weight was measured") {
		t.Errorf("reasons do not say that too little is known: %q", a.Reasons)
	}
}

func TestAll_sameCameraSameGrade(t *testing.T) {
	ports := camera(t, "12345", "", false)
	var first string
	for i := range 3 {
		// A fresh Runner each time: the ledger must not change the evidence.
		a := assessOne(t, runner(t, ports))
		got := fmt.Sprint(a.Grade, a.Best, a.Worst, a.Risk, a.Coverage, a.Modules, a.Reasons)
		if i == 0 {
			first = got
		} else if got != first {
			t.Fatalf("assessment %d differs:\n%s\n%s", i, first, got)
		}
	}
}

func TestAll_definitionsAgreeWithTheRubric(t *testing.T) {
	r := assess.Default()
	seen := map[string]bool{}
	for _, p := range All() {
		d := p.Def()
		if d.ID == "" || d.Title == "" || d.Sends == "" || seen[d.ID] {
			t.Errorf("definition is incomplete or not unique: %+v", d)
		}
		seen[d.ID] = true
		for _, id := range d.Indicators {
			if _, ok := r.Indicator(id); !ok {
				t.Errorf("probe %q answers %q, which the rubric does not know", d.ID, id)
			}
		}
	}
}
