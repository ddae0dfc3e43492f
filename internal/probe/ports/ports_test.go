package ports

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

func TestProbe_namesByWhatAnswers(t *testing.T) {
	say := func(s string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, s); _, _ = io.Copy(io.Discard, c) }
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "GoAhead-Webs/2.5.0") })
	web, secure := httptest.NewServer(page), httptest.NewTLSServer(page)
	t.Cleanup(web.Close)
	t.Cleanup(secure.Close)
	rtspInTLS := probetest.Serve(t, func(c net.Conn) {
		tc := tls.Server(c, secure.TLS)
		buf := make([]byte, 512)
		if n, err := tc.Read(buf); err == nil && strings.Contains(string(buf[:n]), "RTSP/1.0") {
			_, _ = io.WriteString(tc, "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
		}
	})
	want := map[uint16]string{}
	at := func(address, name string) { want[probetest.Port(t, address)] = name }
	at(web.Listener.Addr().String(), "http")
	at(secure.Listener.Addr().String(), "https")
	at(rtspInTLS, "rtsps")
	at(rtsptest.Start(t, rtsptest.Config{User: "a", Password: "b"}).Address, "rtsp")
	at(probetest.Serve(t, say("\xff\xfd\x01\xff\xfb\x03login: ")), "telnet")
	at(probetest.Serve(t, say("\r\nBusyBox v1.19\r\ncam login: ")), "telnet")
	at(probetest.Serve(t, say("220 ProFTPD ready\r\n")), "ftp")
	at(probetest.Serve(t, say("220 mail ESMTP Postfix\r\n")), "smtp")
	at(probetest.Serve(t, say("SSH-2.0-dropbear_2012.55\r\n")), "ssh")
	at(probetest.Serve(t, say("\x00\x01\x02garbage")), "")
	at(probetest.Serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), "")
	at(probetest.Serve(t, func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, strings.Repeat("endless ", 512)); err != nil {
				return
			}
		}
	}), "")
	env := probetest.Env(t)
	for p := range want {
		env.Ports = append(env.Ports, p)
	}
	a, err := Probe{}.Run(t.Context(), env, probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Services) != len(want) {
		t.Errorf("%d open ports, want %d", len(a.Services), len(want))
	}
	for _, s := range a.Services {
		if s.Name != want[s.Port] {
			t.Errorf("port %d is %q (%q), want %q", s.Port, s.Name, s.Info, want[s.Port])
		}
	}
	probetest.Want(t, a.Findings, "CO-02", ringwall.Fail, ringwall.Confirmed)
	if i := slices.IndexFunc(a.Services, func(s api.Service) bool { return s.Name == "http" }); i < 0 || a.Services[i].Info != "GoAhead-Webs/2.5.0" {
		t.Errorf("the web server's name is lost: %+v", a.Services)
	}
}

func TestProbe_noTelnet(t *testing.T) {
	env := probetest.Env(t)
	env.Ports = []uint16{1}
	a, err := Probe{}.Run(t.Context(), env, probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	probetest.Want(t, a.Findings, "CO-02", ringwall.Pass, ringwall.Observed)
}

// TestScan_isComplete opens 20 ports among all 65,535 and finds them ten times.
func TestScan_isComplete(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: ten scans of all ports take a while")
	}
	var want []uint16
	for range 20 {
		want = append(want, probetest.Port(t, probetest.Serve(t, func(net.Conn) {})))
	}
	slices.Sort(want)
	all := make([]uint16, 0, 65535)
	for p := 1; p <= 65535; p++ {
		all = append(all, uint16(p))
	}
	for run := range 3 {
		began := time.Now()
		open, answered := Scan(t.Context(), probetest.Host{}, probetest.Target(), all)
		for _, w := range want {
			if !slices.Contains(open, w) {
				t.Errorf("run %d: port %d is not found", run, w)
			}
		}
		if !answered {
			t.Error("loopback did not answer")
		}
		t.Logf("run %d: 65,535 ports in %v", run, time.Since(began))
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte("\xff\xfd\x01\xff\xfb\x03login: "))
	f.Add([]byte("RTSP/1.0 200 OK\r\nServer: x\r\n\r\n"))
	f.Add([]byte("220-ftp\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, info := identify(b)
		if len([]rune(info)) > 81 || strings.ContainsAny(info, "\x1b\r\n") || len(name) > 10 {
			t.Fatalf("%q, %q", name, info)
		}
	})
}
