package cve

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// simulator is a device with one flaw, or with it fixed.
type simulator struct {
	open   map[string]bool // sessions of Dahua
	logins int
}

func (d *simulator) device(cve string, fixed bool) http.HandlerFunc {
	d.open = map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request) {
		refuse := func() { w.WriteHeader(http.StatusUnauthorized) }
		q := r.URL.RawQuery
		switch cve + " " + r.URL.Path {
		case "CVE-2017-7921 /Security/users":
			if fixed || q != "auth=YWRtaW46MTEK" {
				refuse()
				return
			}
			_, _ = io.WriteString(w, `<?xml version="1.0"?><UserList version="1.0" xmlns="http://x"><User><id>1</id><userName>admin</userName></User></UserList>`)
		case "CVE-2018-9995 /device.rsp":
			if c, err := r.Cookie("uid"); fixed || err != nil || c.Value != "admin" {
				_, _ = io.WriteString(w, `{"result":-10001}`)
				return
			}
			_, _ = io.WriteString(w, `{"result":0,"list":[{"uid":"admin","pwd":"owners-secret","role":2}]}`)
		case "CVE-2020-25078 /config/getuser":
			if fixed {
				refuse()
				return
			}
			_, _ = io.WriteString(w, "name=admin\npass=owners-secret\npriv=1\n")
		case "CVE-2021-33044 /RPC2_Login", "CVE-2021-33045 /RPC2_Login":
			var req struct {
				Params struct{ UserName, ClientType, LoginType string }
			}
			if json.NewDecoder(r.Body).Decode(&req) != nil {
				refuse()
				return
			}
			flaw := cve == "CVE-2021-33044" && req.Params.ClientType == "NetKeyboard" || cve == "CVE-2021-33045" && req.Params.LoginType == "Loopback"
			if fixed || !flaw || req.Params.UserName != "admin" {
				_, _ = io.WriteString(w, `{"error":{"code":268632079},"result":false,"session":1}`)
				return
			}
			d.logins++
			id := fmt.Sprintf("s%d", d.logins)
			d.open[id] = true
			_, _ = fmt.Fprintf(w, `{"result":true,"session":%q}`, id)
		case "CVE-2021-33044 /RPC2", "CVE-2021-33045 /RPC2":
			var req struct{ Method, Session string }
			if json.NewDecoder(r.Body).Decode(&req) == nil && req.Method == "global.logout" {
				delete(d.open, req.Session)
			}
		case "CVE-2016-20016 /shell":
			var a, b int64
			if n, _ := fmt.Sscanf(strings.ReplaceAll(strings.ReplaceAll(q, "%20", " "), "%2A", "*"), "expr %d * %d", &a, &b); fixed || n != 2 {
				http.NotFound(w, r)
				return
			}
			_, _ = fmt.Fprintln(w, a*b)
		case "CVE-2017-8225 /system.ini":
			if fixed || q != "loginuse&loginpas" {
				refuse()
				return
			}
			_, _ = w.Write(append([]byte("\x00\x01admin\x00owners-secret\x00"), make([]byte, 200)...))
		default:
			http.NotFound(w, r)
		}
	}
}

func check(t *testing.T, h http.Handler) assess.Answer {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	a, err := Checks{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "http", s.Listener.Addr().String())), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestChecks_flawAndFix(t *testing.T) {
	for _, f := range flaws() {
		var sim simulator
		a := check(t, sim.device(f.id, false))
		probetest.Want(t, a.Findings, "AP-07", ringwall.Fail, ringwall.Confirmed)
		got := probetest.Find(a.Findings, "AP-07")
		if got.Facts["cve"] != f.id {
			t.Errorf("%s: found %q", f.id, got.Facts["cve"])
		}
		if s := fmt.Sprint(a.Findings); strings.Contains(s, "owners-secret") {
			t.Errorf("%s: a password is shown: %s", f.id, s)
		}
		if len(sim.open) != 0 {
			t.Errorf("%s: %d sessions were left open", f.id, len(sim.open))
		}
		if want := map[bool]ringwall.Outcome{true: ringwall.Fail}[f.kev]; probetest.Find(a.Findings, "FS-04").Outcome != want {
			t.Errorf("%s: FS-04 is %v", f.id, probetest.Find(a.Findings, "FS-04").Outcome)
		}
		probetest.Want(t, check(t, new(simulator).device(f.id, true)).Findings, "AP-07", ringwall.Pass, ringwall.Observed)
	}
}

func TestChecks_decoysHaveNoFlaw(t *testing.T) {
	always := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	users := `<?xml version="1.0"?><UserList><User><userName>admin</userName></User></UserList>`
	for name, h := range map[string]http.HandlerFunc{
		"200 and a page":          always(200, "<html><title>login</title>"),
		"200 and nothing":         always(200, ""),
		"a list of users for all": always(200, users),
		"JSON for all":            always(200, `{"result":true,"session":1,"list":[{"uid":"a","pwd":"b"}]}`),
		"name and pass for all":   always(200, "name=admin\npass=x\n"),
		"long text for all":       always(200, strings.Repeat("name=x\npass=y\n", 100)),
		"401 for all":             always(401, users),
		"500 for all":             always(500, ""),
		"it repeats what it is asked": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.String())
			_, _ = io.Copy(w, r.Body)
		},
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
		"it says yes and no by chance": func() http.HandlerFunc {
			r := rand.New(rand.NewPCG(1, 2))
			return func(w http.ResponseWriter, _ *http.Request) {
				if r.IntN(2) == 0 {
					w.WriteHeader(401)
					return
				}
				_, _ = io.WriteString(w, `{"result":true,"session":1,"list":[{"uid":"a","pwd":"b"}]}`)
			}
		}(),
		"every answer is another": func() http.HandlerFunc {
			n := 0
			return func(w http.ResponseWriter, r *http.Request) {
				n++
				_, _ = io.WriteString(w, []string{users, "name=a\npass=b\n", `{"result":true,"session":1}`, "<html>"}[n%4])
			}
		}(),
	} {
		if f := probetest.Find(check(t, h).Findings, "AP-07"); f.Outcome == ringwall.Fail {
			t.Errorf("%s: %q %q", name, f.Title, f.Evidence)
		}
	}
}

func TestChecks_tarpitEnds(t *testing.T) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	addr := probetest.Serve(t, func(net.Conn) { <-hold })
	began := time.Now()
	a, err := Checks{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "http", addr)), probetest.Target())
	if err != nil || len(a.Findings) != 0 || time.Since(began) > 20*time.Second {
		t.Errorf("%+v, %v after %v", a, err, time.Since(began))
	}
}

type matcher []api.Vulnerability

func (m matcher) MatchDevice(api.Identity) []api.Vulnerability { return m }

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		known    assess.Identity
		services []api.Service
		data     Matcher
		ap, fs   ringwall.Outcome
		cve      string
	}{
		{"an old Hikvision", assess.Identity{Vendor: "HIKVISION", Model: "DS-2CD2032-I", Firmware: "V5.3.0 build 150513"}, nil, nil, ringwall.Fail, ringwall.Fail, "CVE-2017-7921 CVE-2021-36260"},
		{"a mended one", assess.Identity{Vendor: "Hikvision", Model: "DS-2CD2", Firmware: "V5.7.0 build 220112"}, nil, nil, 0, 0, ""},
		{"no build date", assess.Identity{Vendor: "Hikvision", Firmware: "V5.3.0"}, nil, nil, 0, 0, ""},
		{"another vendor's build", assess.Identity{Vendor: "Refcam", Firmware: "1 build 150513"}, nil, nil, 0, 0, ""},
		{"D-Link before", assess.Identity{Vendor: "D-Link", Model: "DCS-2530L", Firmware: "1.05.05"}, nil, nil, ringwall.Fail, ringwall.Fail, "CVE-2020-25078"},
		{"D-Link after", assess.Identity{Vendor: "D-Link", Model: "DCS-2530L", Firmware: "1.07.00"}, nil, nil, 0, 0, ""},
		{"a greeting", assess.Identity{}, []api.Service{{Proto: "tcp", Port: 80, Name: "http", Info: "uc-httpd 1.0.0"}}, nil, ringwall.Fail, 0, "CVE-2018-10088"},
		{"the data knows", assess.Identity{Vendor: "X", Model: "Y"}, nil, matcher{{ID: "CVE-2030-1", State: api.VEXAffected, KEV: true}, {ID: "CVE-2030-2", State: api.VEXFixed, KEV: true}}, ringwall.Fail, ringwall.Fail, "CVE-2030-1"},
		{"nobody knows", assess.Identity{Vendor: "X"}, nil, matcher{}, 0, 0, ""},
	} {
		env := probetest.Env(t, tt.services...)
		env.Known = tt.known
		a, err := Versions{Data: tt.data}.Run(t.Context(), env, probetest.Target())
		if err != nil {
			t.Fatal(err)
		}
		ap, fs := probetest.Find(a.Findings, "AP-07"), probetest.Find(a.Findings, "FS-04")
		if ap.Outcome != tt.ap || fs.Outcome != tt.fs || ap.Facts["cve"] != tt.cve || ap.Confidence == ringwall.Confirmed {
			t.Errorf("%s: AP-07 %v %q, FS-04 %v", tt.name, ap.Outcome, ap.Facts, fs.Outcome)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add("hikvision", "DS", "V5.3.0 build 150513")
	f.Add("d-link", "DCS-2530L", "1.05")
	f.Fuzz(func(t *testing.T, vendor, model, firmware string) {
		for _, v := range byTable(api.Identity{Vendor: vendor, Model: model, Firmware: firmware}, nil) {
			if v.ID == "" || v.State != api.VEXAffected {
				t.Fatalf("%+v", v)
			}
		}
	})
}
