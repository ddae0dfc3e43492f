package fingerprint

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func TestIdentify(t *testing.T) {
	for _, tt := range []struct {
		name  string
		clues []Clue
		want  assess.Identity
	}{
		{"Hikvision by realm", []Clue{{From: Realm, Text: "DS-2CD2032-I"}, {From: Server, Text: "App-webs/"}}, assess.Identity{Vendor: "Hikvision", Model: "DS-2CD2032-I", Type: "camera"}},
		{"Hikvision by its search", []Clue{{From: UDP, Text: "sadp"}, {From: SADP, Text: "model=DS-2CD2143G0-I; firmware=V5.5.82build 190220"}}, assess.Identity{Vendor: "Hikvision", Model: "DS-2CD2143G0-I", Firmware: "V5.5.82build 190220", Type: "camera"}},
		{"Axis by ftp", []Clue{{From: Banner, Text: "220 AXIS 211A Network Camera 4.40 (Apr 16 2007) ready."}}, assess.Identity{Vendor: "Axis", Model: "AXIS 211A", Firmware: "4.40", Type: "camera"}},
		{"D-Link", []Clue{{From: Realm, Text: "DCS-930L"}}, assess.Identity{Vendor: "D-Link", Model: "DCS-930L", Type: "camera"}},
		{"MikroTik", []Clue{{From: Banner, Text: "220 core MikroTik FTP server (MikroTik 6.40.1) ready"}}, assess.Identity{Vendor: "MikroTik", Firmware: "RouterOS 6.40.1", Type: "gateway"}},
		{"a plug", []Clue{{From: Kasa, Text: "model=HS110(EU); firmware=1.2.5 Build 171213"}}, assess.Identity{Vendor: "TP-Link", Model: "HS110(EU)", Firmware: "1.2.5 Build 171213", Type: "appliance"}},
		{"Xiongmai", []Clue{{From: Server, Text: "uc-httpd 1.0.0"}, {From: Title, Text: "NETSurveillance WEB"}}, assess.Identity{Vendor: "Xiongmai", Type: "camera"}},
		{"as the description says", []Clue{{From: Vendor, Text: "HIKVISION Digital"}, {From: Model, Text: "X1"}}, assess.Identity{Vendor: "Hikvision", Model: "X1"}},
		{"a maker of its own", []Clue{{From: Vendor, Text: "Refcam"}, {From: Model, Text: "RC-1"}}, assess.Identity{Vendor: "Refcam", Model: "RC-1"}},
		{"by address alone", []Clue{{From: MAC, Text: "AC-CC-8E-00-00-01"}}, assess.Identity{Vendor: "Axis"}},
		{"its words over its address", []Clue{{From: MAC, Text: "ac:cc:8e:00:00:01"}, {From: Realm, Text: "DS-2CD2032-I"}}, assess.Identity{Vendor: "Hikvision", Model: "DS-2CD2032-I"}},
		{"two makers with one weight", []Clue{{From: Server, Text: "GeoHttpServer"}, {From: Banner, Text: "vivotek ready"}}, assess.Identity{}},
		{"a firmware of nobody", []Clue{{From: SNMP, Text: "V5.5.82 of something"}}, assess.Identity{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Default().Identify(tt.clues)
			if got.Identity != tt.want {
				t.Errorf("%+v, want %+v: %q", got.Identity, tt.want, got.Why)
			}
			for range 5 { // whatever the order
				rand.Shuffle(len(tt.clues), func(i, j int) { tt.clues[i], tt.clues[j] = tt.clues[j], tt.clues[i] })
				if again := Default().Identify(tt.clues); !reflect.DeepEqual(again, got) {
					t.Errorf("in another order: %+v", again)
				}
			}
		})
	}
}

// TestIdentify_namesNobody holds what common software says, from which no maker
// and no kind of device follows.
func TestIdentify_namesNobody(t *testing.T) {
	for _, c := range []Clue{
		{From: Server, Text: "nginx"}, {From: Server, Text: "nginx/1.18.0 (Ubuntu)"}, {From: Server, Text: "Apache/2.4.41 (Ubuntu)"}, {From: Server, Text: "lighttpd/1.4.35"},
		{From: Server, Text: "GoAhead-Webs/2.5.0"}, {From: Server, Text: "Boa/0.94.14rc21"}, {From: Server, Text: "Microsoft-IIS/10.0"}, {From: Server, Text: "Werkzeug/2.0 Python/3.9"},
		{From: Title, Text: "Welcome to nginx!"}, {From: Title, Text: "Index of /"}, {From: Title, Text: "Login"}, {From: Title, Text: "The camera shop of Mr Axis"}, {From: Title, Text: "DS-9 fan page"},
		{From: Title, Text: "My camera blog"}, {From: Title, Text: "IPC explained"}, {From: Realm, Text: "Restricted"}, {From: Realm, Text: "."}, {From: Realm, Text: "Login"},
		{From: Banner, Text: "SSH-2.0-OpenSSH_8.4p1 Debian-5"}, {From: Banner, Text: "220 (vsFTPd 3.0.3)"}, {From: Banner, Text: "cam login:"}, {From: Banner, Text: "220 ProFTPD Server ready."},
		{From: RTSP, Text: "GStreamer RTSP server"}, {From: RTSP, Text: "Rtsp Server/3.0"}, {From: TLS, Text: "CN=localhost,O=Internet Widgits Pty Ltd"}, {From: SNMP, Text: "Linux box 5.10.0 #1 SMP x86_64"},
		{From: MDNS, Text: "_http._tcp _ssh._tcp printer"}, {From: UPnPServer, Text: "Linux/3.4 UPnP/1.0 MiniUPnPd/1.9"}, {From: Favicon, Text: "0"}, {From: MAC, Text: "02:00:00:00:00:01"}, {From: Model, Text: ""}, {From: UDP, Text: "dns"},
	} {
		if got := Default().Identify([]Clue{c}).Identity; got != (assess.Identity{}) {
			t.Errorf("%s %q is %+v", c.From, c.Text, got)
		}
	}
}

func TestIdentify_components(t *testing.T) {
	for text, want := range map[Clue]string{
		{From: Server, Text: "lighttpd/1.4.35"}:                            "lighttpd 1.4.35",
		{From: Server, Text: "Apache/2.4.41 (Ubuntu) OpenSSL/1.1.1f"}:      "openssl 1.1.1f",
		{From: Server, Text: "GoAhead-Webs/2.5.0"}:                         "goahead 2.5.0",
		{From: Server, Text: "Boa/0.94.14rc21"}:                            "boa 0.94.14rc21",
		{From: Banner, Text: "SSH-2.0-dropbear_2012.55"}:                   "dropbear 2012.55",
		{From: Banner, Text: "SSH-2.0-OpenSSH_8.4p1 Debian-5"}:             "openssh 8.4p1",
		{From: UPnPServer, Text: "Linux/3.4.35 UPnP/1.1 MiniUPnPd/1.9.20"}: "miniupnpd 1.9.20",
		{From: Banner, Text: "BusyBox v1.19.4 (2013) built-in shell"}:      "busybox 1.19.4",
	} {
		var got []string
		for _, c := range Default().Identify([]Clue{text}).Components {
			got = append(got, c.Name+" "+c.Version)
		}
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%q names %q, want %q", text.Text, got, want)
		}
	}
	if got := Default().Identify([]Clue{{From: Server, Text: "notnginx/1.2.3 nginx"}}).Components; len(got) != 0 {
		t.Errorf("names %+v", got)
	}
}

func TestHash(t *testing.T) {
	if got := murmur3([]byte("hello")); got != 613153351 { // a published value
		t.Errorf("murmur3 = %d", got)
	}
	if murmur3(nil) != 0 || Hash(nil) != "0" {
		t.Error("nothing has a hash")
	}
}

func TestParse_refuses(t *testing.T) {
	for _, bad := range []string{
		`{`, `{"rules":[{"id":"a","from":["server"],"match":"(","vendor":"","type":"camera","weight":1}]}`,
		`{"rules":[{"id":"a","from":["somewhere"],"match":"x","type":"camera","weight":1}]}`, `{"rules":[{"id":"a","from":["server"],"match":"x","weight":1}]}`,
		`{"rules":[{"id":"a","from":["server"],"match":"x","vendor":"Nobody","weight":1}]}`, `{"components":[{"name":"a","from":["server"],"match":"x"}]}`, `{"surprise":1}`,
	} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("Parse(%s) went through", bad)
		}
	}
}

type ends map[string]time.Time

func (e ends) Support(c, v string, _ time.Time) (time.Time, bool) {
	t, ok := e[c+" "+v]
	return t, ok
}

func TestProbe(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "lighttpd/1.4.35")
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, "/login.htm", http.StatusFound)
		case "/login.htm":
			_, _ = io.WriteString(w, `<html><head><TITLE>AXIS P1347</TITLE><link rel="shortcut icon" href="http://127.0.0.9/x.ico"></head>`)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	}))
	defer web.Close()
	env := probetest.Env(t, probetest.Service(t, "http", web.Listener.Addr().String()), api.Service{Proto: "tcp", Port: 22, Name: "ssh", Info: "SSH-2.0-dropbear_2012.55"})
	gone := time.Now().Add(-time.Hour)
	a, err := Probe{Support: ends{"lighttpd 1.4.35": gone, "dropbear 2012.55": gone, "Axis/AXIS P1347 ": time.Now().Add(time.Hour)}}.Run(t.Context(), env, probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	if a.Known.Vendor != "Axis" || a.Known.Model != "AXIS P1347" || a.Known.Type != "camera" || len(a.Components) != 2 {
		t.Errorf("%+v, %+v", a.Known, a.Components)
	}
	probetest.Want(t, a.Findings, "FS-06", ringwall.Fail, ringwall.Observed)
	probetest.Want(t, a.Findings, "FS-12", ringwall.Partial, ringwall.Observed)
	if a, err := (Probe{}).Run(t.Context(), env, probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("without support data: %+v, %v", a.Findings, err)
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte("<title>x</title><link rel=icon href=/a.ico>"), `Basic realm="x"`)
	f.Fuzz(func(t *testing.T, b []byte, h string) {
		titleOf(b)
		iconOf(b)
		quoted(h, "realm")
		m := Default().Identify([]Clue{{From: Server, Text: h}, {From: Title, Text: string(b)}, {From: SNMP, Text: h}, {From: MAC, Text: h}, {From: Vendor, Text: h}})
		if strings.ContainsAny(m.Identity.Vendor+m.Identity.Model, "\x00\x1b\n") {
			t.Fatal(m)
		}
	})
}
