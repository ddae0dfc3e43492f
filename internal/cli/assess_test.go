package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
)

func TestAssess_badCameraFails(t *testing.T) {
	video := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "12345"})
	var out, talk bytes.Buffer
	env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &talk, Getenv: func(string) string { return "" }, Now: time.Now}
	run := func(args ...string) int {
		out.Reset()
		talk.Reset()
		return Main(context.Background(), env, append([]string{"assess", "--ports", fmt.Sprint(probetest.Port(t, video.Address))}, args...))
	}
	if status := run("--json", "rtsp://127.0.0.1/live"); status != 1 {
		t.Errorf("status %d, want 1: %s", status, talk.String())
	}
	var as []api.Assessment
	if err := json.Unmarshal(out.Bytes(), &as); err != nil || len(as) != 1 {
		t.Fatalf("%v: %s", err, out.String())
	}
	if as[0].Grade != ringwall.HighRisk || as[0].Target != "rtsp://127.0.0.1/live" {
		t.Errorf("assessment is %+v", as[0])
	}
	for _, args := range [][]string{{"127.0.0.1"}, {"-v", "127.0.0.1"}} {
		if status := run(args...); status != 1 {
			t.Errorf("status %d, want 1", status)
		}
		all := out.String() + talk.String()
		if !strings.Contains(all, `lets in "admin" with known default password #`) || !strings.Contains(all, "real-time") {
			t.Errorf("the table is %s", all)
		}
		if strings.Contains(all, "12345") {
			t.Errorf("the password is shown: %s", all)
		}
	}
}

func TestConsent(t *testing.T) {
	for _, tt := range []struct {
		target string
		own    bool
		ok     bool
	}{
		{"10.0.0.1", false, true}, {"192.168.1.0/24", false, true}, {"127.0.0.1", false, true}, {"169.254.3.4", false, true}, {"fd00::1", false, true},
		{"8.8.8.8", false, false}, {"8.8.8.8", true, true}, {"203.0.113.0/28", false, false}, {"0.0.0.0", true, false}, {"ff02::1", true, false},
		{"::ffff:8.8.8.8", false, false}, {"172.32.0.0/24", false, false}, {"10.0.0.0/8", true, false},
	} {
		tg, p, err := parseTarget(t.Context(), tt.target)
		if err != nil {
			t.Fatal(err)
		}
		if err := consent(tt.target, tg, p, tt.own); (err == nil) != tt.ok {
			t.Errorf("consent(%s, own %v) = %v, want ok %v", tt.target, tt.own, err, tt.ok)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct {
		in   string
		addr string
		port uint16
		path string
	}{
		{"10.0.0.1", "10.0.0.1", 0, ""}, {"10.0.0.1:8554", "10.0.0.1", 8554, ""}, {"rtsp://10.0.0.1:554/cam/a?channel=1", "10.0.0.1", 554, "cam/a?channel=1"},
		{"onvif://[fd00::1]", "fd00::1", 0, ""}, {"[fd00::1]:80", "fd00::1", 80, ""}, {"10.0.0.1/32", "10.0.0.1", 0, ""}, {"localhost", "", 0, ""},
	} {
		tg, p, err := parseTarget(t.Context(), tt.in)
		if err != nil || p.IsValid() || tt.addr != "" && tg.Addr != netip.MustParseAddr(tt.addr) || tg.Port != tt.port || tg.Path != tt.path || !tg.Addr.IsValid() {
			t.Errorf("parseTarget(%q) = %+v, %v, %v", tt.in, tg, p, err)
		}
	}
	for _, bad := range []string{"", "a b", "10.0.0.1:0", "http://", "rtsp://u:p@h/", "10.0.0.0/33", "a/b"} {
		if _, _, err := parseTarget(t.Context(), bad); err == nil {
			t.Errorf("parseTarget(%q) found nothing wrong", bad)
		}
	}
}

func TestAssess_terminalIsSafe(t *testing.T) {
	var b bytes.Buffer
	err := printAssessments(&b, assessOptions{verbose: true}, []api.Assessment{{
		Target: "x", Vendor: "Evil\x1b[2J\u202e", Model: "\r\nroot#", Reasons: []string{"\x07bell"},
		Modules:  []api.ModuleScore{{Module: ringwall.Hardware}},
		Findings: []ringwall.Finding{{Indicator: "HW-01", Outcome: ringwall.Fail, Title: "\x1b]0;t\x07", Evidence: []string{"\x9b31m"}, Source: "probe/x"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.ContainsAny(s, "\x1b\x07\r\u202e\u009b") {
		t.Errorf("control characters reach the terminal: %q", s)
	}
}
