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
	asked := func(greeting, answer string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, greeting)
			buf := make([]byte, 64)
			if n, err := c.Read(buf); err == nil && n > 0 {
				_, _ = io.WriteString(c, answer)
			}
		}
	}
	at(probetest.Serve(t, asked("220 ready\r\n", "530 log in first\r\n")), "ftp")
	at(probetest.Serve(t, asked("220 ready\r\n", "502 what\r\n")), "smtp")
	at(probetest.Serve(t, say("RFB 003.008\n")), "vnc")
	at(probetest.Serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) }), "")
	at(probetest.Serve(t, only(0x10, "\x20\x02\x00\x05")), "mqtt")
	at(probetest.Serve(t, only('C', string(adbMessage("CNXN", 0x01000000, 4096, []byte("device::camera"))))), "adb")
	at(probetest.Serve(t, only('C', string(adbMessage("AUTH", 1, 0, make([]byte, 20))))), "adb-locked")
	at(probetest.Serve(t, only(22, "\x15\x03\x00\x00\x02\x02\x28")), "tls")
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

// only answers a first byte of one kind, and hangs up on the rest.
func only(first byte, answer string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 2048)
		if n, err := c.Read(buf); err == nil && n > 0 && buf[0] == first {
			_, _ = io.WriteString(c, answer)
		}
	}
}

// TestLook_tarpit lets a service speak one byte a second, and another never end.
func TestLook_tarpit(t *testing.T) {
	drip := probetest.Serve(t, func(c net.Conn) {
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	})
	began := time.Now()
	s := look(t.Context(), probetest.Host{}, drip, probetest.Port(t, drip))
	if s.Name != "" {
		t.Errorf("a tarpit is called %q", s.Name)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("a tarpit held us for %v", took)
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

// TestProbe_yesToEverything opens more ports than any device has.
func TestProbe_yesToEverything(t *testing.T) {
	env := probetest.Env(t)
	for range maxOpen + 20 {
		env.Ports = append(env.Ports, probetest.Port(t, probetest.Serve(t, func(c net.Conn) { _, _ = c.Write(probetest.Negotiation()); _, _ = io.Copy(io.Discard, c) })))
	}
	a, err := Probe{}.Run(t.Context(), env, probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	if !a.Alive || len(a.Services) > 40 {
		t.Errorf("%d services of a host that says yes to everything", len(a.Services))
	}
	probetest.Want(t, a.Findings, "CO-02", ringwall.Unknown, 0)
}

// TestRemoteShell_decoy has a telnet on one usual port among hundreds that are
// open: only what the unusual ones say tells whose it is.
func TestRemoteShell_decoy(t *testing.T) {
	one := []api.Service{{Proto: "tcp", Port: 34599, Name: "telnet"}}
	r := Result{Open: make([]uint16, maxOpen+20)}
	for _, tt := range []struct {
		yes, decoy bool
		want       ringwall.Outcome
	}{{true, true, ringwall.Unknown}, {true, false, ringwall.Fail}, {false, false, ringwall.Fail}} {
		if f := remoteShell(one, r, 65535, tt.yes, tt.decoy); f.Outcome != tt.want {
			t.Errorf("yes %v, decoy %v: %v, want %v", tt.yes, tt.decoy, f.Outcome, tt.want)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte("\xff\xfd\x01\xff\xfb\x03login: "))
	f.Add([]byte("RTSP/1.0 200 OK\r\nServer: x\r\n\r\n"))
	f.Add([]byte("220-ftp\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, info := identify(b)
		if len([]rune(info)) > 81 || strings.ContainsAny(info, "\x1b\r\n") || len(name) > 10 && name != mailOrFiles {
			t.Fatalf("%q, %q", name, info)
		}
	})
}
