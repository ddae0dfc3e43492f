package judge

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

var today = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// good is the posture of a well-built device.
func good() api.Posture {
	return api.Posture{
		Device: "dev_1", Made: today, Kernel: "6.6.1",
		Listening: []api.Listener{
			{Proto: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:554"), Program: "camd", UID: 1000},
			{Proto: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:9000"), Program: "helper", UID: 0},
			{Proto: "unix", Path: "/run/x", UID: -1},
		},
		Accounts: []api.Account{{Name: "root", Shell: "/bin/sh", Scheme: "locked"}, {Name: "ftp", Shell: "/bin/false", Scheme: "empty"}},
		Mounts:   []api.Mount{{Path: "/", Type: "ext4", ReadOnly: true, Verified: true}, {Path: "/mnt/rec", Type: "ext4", Encrypted: true}},
		Facts: map[string]string{
			"secure-boot": "on", "serial-consoles": "", "consoles": "tty0", "console-shell": "none", "tpm": "2", "identity-key": "tpm",
			"secrets-checked": "2", "log": "remote",
		},
	}
}

func outcomes(p api.Posture, declared []api.Service) map[string]ringwall.Outcome {
	out := map[string]ringwall.Outcome{}
	for _, f := range Judge(p, declared, today) {
		out[f.Indicator] = f.Outcome
	}
	return out
}

var rtsp = []api.Service{{Proto: "tcp", Port: 554}}

func TestJudge_a_good_device_passes(t *testing.T) {
	for id, o := range outcomes(good(), rtsp) {
		want := ringwall.Pass
		if id == "DA-02" {
			want = ringwall.NotApplicable
		}
		if o != want {
			t.Errorf("%s is %v, want %v", id, o, want)
		}
	}
}

// TestJudge_one_thing_wrong changes one thing and expects one other answer.
func TestJudge_one_thing_wrong(t *testing.T) {
	base := outcomes(good(), rtsp)
	for _, c := range []struct {
		name      string
		indicator string
		want      ringwall.Outcome
		change    func(p *api.Posture)
		also      []string
	}{
		{"secure boot off", "HW-01", ringwall.Fail, func(p *api.Posture) { p.Facts["secure-boot"] = "off" }, nil},
		{"secure boot unread", "HW-01", ringwall.Unknown, func(p *api.Posture) { delete(p.Facts, "secure-boot") }, nil},
		{"root not verified", "HW-01", ringwall.Partial, func(p *api.Posture) { p.Mounts[0].Verified = false }, nil},
		{"console", "HW-02", ringwall.Partial, func(p *api.Posture) { p.Facts["serial-consoles"] = "ttyS0" }, nil},
		{"console shell", "HW-02", ringwall.Fail, func(p *api.Posture) { p.Facts["console-shell"] = "ttyS0" }, nil},
		{"consoles unread", "HW-02", ringwall.Unknown, func(p *api.Posture) { delete(p.Facts, "serial-consoles") }, nil},
		{"key in a file", "HW-04", ringwall.Partial, func(p *api.Posture) { p.Facts["identity-key"] = "file" }, nil},
		{"no TPM", "HW-04", ringwall.Fail, func(p *api.Posture) { p.Facts["identity-key"], p.Facts["tpm"] = "file", "none" }, nil},
		{"empty password", "FS-01", ringwall.Fail, func(p *api.Posture) { p.Accounts[0].Scheme = "empty" }, nil},
		{"known password", "FS-01", ringwall.Fail, func(p *api.Posture) { p.Accounts[0].Known, p.Accounts[0].Scheme = "7", "sha512" }, []string{"DA-02"}},
		{"some password", "FS-01", ringwall.Unknown, func(p *api.Posture) { p.Accounts[0].Scheme = "sha512" }, []string{"DA-02"}},
		{"old hash", "DA-02", ringwall.Fail, func(p *api.Posture) { p.Accounts[0].Scheme = "md5" }, []string{"FS-01"}},
		{"hash unread", "DA-02", ringwall.Unknown, func(p *api.Posture) { p.Accounts[0].Scheme = "unreadable" }, []string{"FS-01"}},
		{"accounts unread", "FS-01", ringwall.Unknown, func(p *api.Posture) { p.Accounts = nil }, []string{"DA-02"}},
		{"telnet", "FS-03", ringwall.Fail, func(p *api.Posture) {
			p.Listening = append(p.Listening, api.Listener{Proto: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:65534"), Program: "telnetd", UID: 99})
		}, []string{"CO-01"}},
		{"root service", "FS-08", ringwall.Fail, func(p *api.Posture) { p.Listening[0].UID = 0 }, nil},
		{"one root service", "FS-08", ringwall.Partial, func(p *api.Posture) {
			p.Listening = append(p.Listening, api.Listener{Proto: "tcp", Addr: netip.MustParseAddrPort("[::]:554"), UID: 0})
		}, nil},
		{"user unread", "FS-08", ringwall.Unknown, func(p *api.Posture) { p.Listening[0].UID = -1 }, nil},
		{"undeclared", "CO-01", ringwall.Fail, func(p *api.Posture) {
			p.Listening = append(p.Listening, api.Listener{Proto: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:554"), UID: 9})
		}, nil},
		{"sockets unread", "CO-01", ringwall.Unknown, func(p *api.Posture) { p.Listening, p.Unread = nil, []string{"proc/net/tcp: not there"} }, []string{"FS-03", "FS-08"}},
		{"writable root", "FS-13", ringwall.Fail, func(p *api.Posture) { p.Mounts[0].Verified, p.Mounts[0].ReadOnly = false, false }, []string{"HW-01"}},
		{"overlay", "FS-13", ringwall.Partial, func(p *api.Posture) { p.Mounts = append(p.Mounts, api.Mount{Path: "/", Type: "overlay"}) }, []string{"HW-01"}},
		{"mounts unread", "FS-13", ringwall.Unknown, func(p *api.Posture) { p.Mounts = nil }, []string{"HW-01", "DA-05"}},
		{"open secrets", "DA-01", ringwall.Fail, func(p *api.Posture) { p.Facts["secrets-open"] = "etc/x" }, nil},
		{"plain secrets", "DA-01", ringwall.Partial, func(p *api.Posture) { p.Facts["secrets-plain"] = "etc/x" }, nil},
		{"no secrets", "DA-01", ringwall.Unknown, func(p *api.Posture) { p.Facts["secrets-checked"] = "0" }, nil},
		{"bare card", "DA-05", ringwall.Fail, func(p *api.Posture) { p.Mounts[1].Encrypted = false }, nil},
		{"local log", "DA-07", ringwall.Partial, func(p *api.Posture) { p.Facts["log"] = "local" }, nil},
		{"no log", "DA-07", ringwall.Fail, func(p *api.Posture) { p.Facts["log"] = "none" }, nil},
		{"log unread", "DA-07", ringwall.Unknown, func(p *api.Posture) { delete(p.Facts, "log") }, nil},
	} {
		p := good()
		c.change(&p)
		got := outcomes(p, rtsp)
		if got[c.indicator] != c.want {
			t.Errorf("%s: %s is %v, want %v", c.name, c.indicator, got[c.indicator], c.want)
		}
		for id, o := range got {
			if o != base[id] && id != c.indicator && !slices.Contains(c.also, id) {
				t.Errorf("%s: %s became %v too", c.name, id, o)
			}
		}
	}
}

func TestJudge_findings_are_whole(t *testing.T) {
	rubric := assess.Default()
	p := good()
	p.Facts["log"], p.Mounts[0].Verified = "none", false
	for _, f := range Judge(p, nil, today) {
		in, ok := rubric.Indicator(f.Indicator)
		if !ok || in.Module != f.Module {
			t.Errorf("%s is not in the rubric, or not in %v", f.Indicator, f.Module)
		}
		bad := f.Outcome == ringwall.Fail || f.Outcome == ringwall.Partial
		if f.Title == "" || f.Source != "agent/dev_1" || !f.Time.Equal(today) || !f.Until.Equal(today.Add(Lifetime)) || bad != (f.Remedy != "") {
			t.Errorf("%+v", f)
		}
		if f.Indicator == "CO-01" && f.Outcome != ringwall.Unknown {
			t.Errorf("nobody declared services, yet CO-01 is %v", f.Outcome)
		}
	}
}

func TestJudge_a_posture_of_tomorrow_answers_nothing(t *testing.T) {
	p := good()
	p.Made = today.Add(time.Hour)
	for _, f := range Judge(p, rtsp, today) {
		if f.Outcome != ringwall.Unknown || f.Time.After(today) {
			t.Errorf("%+v", f)
		}
	}
}
