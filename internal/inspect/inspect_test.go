package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func options() inspect.Options {
	return inspect.Options{Now: func() time.Time { return now }}
}

func open(t testing.TB, rel string) *firmware.Image {
	t.Helper()
	b, err := os.ReadFile(sharedtest.Path(t, rel))
	if err != nil {
		t.Fatal(err)
	}
	im, err := firmware.Open(bytes.NewReader(b), int64(len(b)), firmware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func camera(t testing.TB) []inspect.Named {
	t.Helper()
	var all []inspect.Named
	for _, n := range []string{"uboot", "kernel", "rootfs", "driver", "config"} {
		all = append(all, inspect.Named{Name: n + ".bin", Image: open(t, "firmware/xiaofang_5.6.2.43_"+n+".bin")})
	}
	return all
}

type answer struct {
	outcome    ringwall.Outcome
	confidence ringwall.Confidence
	evidence   string // a part of it
}

func check(t *testing.T, e api.Examination, want map[string]answer) {
	t.Helper()
	for _, f := range e.Findings {
		w, ok := want[f.Indicator]
		if !ok {
			t.Errorf("%s was not adjudicated: %v %q %v", f.Indicator, f.Outcome, f.Title, f.Evidence)
			continue
		}
		all := strings.Join(f.Evidence, "\n")
		if f.Outcome != w.outcome || f.Confidence != w.confidence || !strings.Contains(all, w.evidence) {
			t.Errorf("%s is %v, %v: %q\n%s\nwant %v, %v with %q", f.Indicator, f.Outcome, f.Confidence, f.Title, all, w.outcome, w.confidence, w.evidence)
		}
		if f.Outcome == ringwall.Pass && len(f.Evidence) == 0 {
			t.Errorf("%s passes without a reason", f.Indicator)
		}
		if f.Source != e.Source || !f.Time.Equal(now) || f.Title == "" || !strings.HasPrefix(f.Source, "firmware/") {
			t.Errorf("%s: source %q, time %v, title %q", f.Indicator, f.Source, f.Time, f.Title)
		}
	}
	for id := range want {
		if !slices.ContainsFunc(e.Findings, func(f ringwall.Finding) bool { return f.Indicator == id }) {
			t.Errorf("%s has no finding", id)
		}
	}
}

const (
	unknown = ringwall.Unknown
	pass    = ringwall.Pass
	partial = ringwall.Partial
	fail    = ringwall.Fail
	seen    = ringwall.Observed
)

// The answers for a real camera, each checked by hand against its unpacked
// partitions.
func TestImages_realCamera(t *testing.T) {
	e, err := inspect.Images(context.Background(), camera(t), options())
	if err != nil {
		t.Fatal(err)
	}
	check(t, e, map[string]answer{
		"HW-01": {fail, seen, "legacy uImage"},
		"HW-02": {partial, seen, "getty"}, // and console=ttyS1; the getty asks for the password of FS-01
		"HW-03": {fail, seen, "bootdelay=1"},
		"HW-05": {fail, seen, "sdupdate"},
		"FS-01": {fail, ringwall.Confirmed, "known default password #"},
		"FS-02": {pass, seen, "searched for keys"},
		"FS-03": {fail, seen, "/etc/init.d/rcS line 22: starts telnetd"},
		"FS-04": {partial, seen, "CVE-2016-5195"}, // of the kernel, and only for who runs a program on the camera
		"FS-05": {fail, seen, "CVE-2017-16544: busybox 1.22.1"},
		"FS-06": {fail, seen, "openssl 1.0.2f"},
		"FS-07": {fail, seen, "NX: not provided by the platform"},
		"FS-08": {fail, seen, "telnetd"},
		"FS-09": {unknown, seen, ""},
		"FS-10": {unknown, seen, ""},
		"FS-11": {unknown, seen, ""},
		"FS-12": {fail, seen, "2018"},
		"FS-13": {partial, seen, "squashfs"},
		"FS-14": {partial, seen, ".DS_Store"},
		"AP-08": {unknown, seen, ""},
		"DA-01": {unknown, seen, ""},
		"DA-02": {fail, seen, "hashed with des"},
		"CO-06": {unknown, seen, ""},
		"CO-08": {unknown, seen, ""},
	})
	if !slices.ContainsFunc(e.Services, func(s api.Service) bool { return s.Port == 23 && s.Name == "telnet" && s.Proto == "tcp" }) || len(e.Services) != 1 {
		t.Errorf("services %+v, want telnet alone", e.Services)
	}
	for _, c := range []string{"busybox", "openssl", "uclibc"} {
		if !slices.ContainsFunc(e.Components, func(x api.Component) bool { return x.Name == c && x.Version != "" }) {
			t.Errorf("component %s is missing", c)
		}
	}
	if len(e.Secrets) != 1 || e.Secrets[0].Kind != "password-hash" || e.Secrets[0].Known == "" {
		t.Errorf("secrets %+v", e.Secrets)
	}
	if b, _ := json.Marshal(e); bytes.Contains(b, []byte("ismart")) || bytes.Contains(b, []byte("rJ0FHs")) {
		t.Error("the examination shows the password or its hash")
	}
	again, err := inspect.Images(context.Background(), camera(t), options())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(e)
	b, _ := json.Marshal(again)
	if !bytes.Equal(a, b) {
		t.Error("the same image gives another examination")
	}
}

// A configuration partition alone has no root: nothing about the system may
// pass.
func TestImage_withoutRoot(t *testing.T) {
	e, err := inspect.Image(context.Background(), open(t, "firmware/xiaofang_5.6.2.43_config.bin"), options())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Findings {
		if f.Outcome == pass {
			t.Errorf("%s passes without a root: %q", f.Indicator, f.Title)
		}
	}
	if e.Source != "firmware/"+e.Digest[:12] || e.Kind != api.ExamFirmware {
		t.Errorf("source %q of digest %q", e.Source, e.Digest)
	}
}

// The overlay of a deliberately vulnerable system, in a folder of its archive.
func TestTree_vulnerableOverlay(t *testing.T) {
	b, err := os.ReadFile(sharedtest.Path(t, "firmware/iotgoat_overlay.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	im, err := firmware.Open(bytes.NewReader(b), int64(len(b)), firmware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := inspect.Image(context.Background(), im, options())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]answer{
		"FS-01": {fail, ringwall.Confirmed, `"iotgoatuser"`}, "FS-03": {fail, seen, "telnetd -p 65534"}, "AP-08": {fail, seen, "iotgoat.lua"},
		"DA-02": {fail, seen, "hashed with md5"}, "FS-14": {partial, seen, "e-mail addresses"}, "FS-08": {fail, seen, "telnetd"},
	}
	for _, f := range e.Findings {
		if _, ok := want[f.Indicator]; !ok {
			want[f.Indicator] = answer{f.Outcome, f.Confidence, ""}
			if f.Outcome == fail {
				t.Errorf("%s fails: %q %v", f.Indicator, f.Title, f.Evidence)
			}
		}
	}
	check(t, e, want)
}

// A system as it should be.
func good(t *testing.T) *firmware.Tree {
	return viewtest.Tree(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/:/bin/sh\nwww:x:33:33::/:/bin/false\n", "etc/shadow": "root:*:1:0:99999:7:::\nwww:!:1:0:99999:7:::\n",
		"etc/inittab": "::sysinit:/etc/init.d/rcS\n", "etc/init.d/rcS": "#!/bin/sh\nmount -a\n#telnetd &\nlighttpd -f /etc/lighttpd/lighttpd.conf\n",
		"etc/lighttpd/lighttpd.conf": "server.port = 443\nserver.username = \"www\"\n", "usr/sbin/lighttpd": "ELF", "bin/sh": "ELF",
		"usr/sbin/fwupdate": "#!/bin/sh\n# md5sum is not enough\nopenssl dgst -sha256 -verify /etc/update.pub -signature $1.sig $1 || exit 1\ncurl -fsS https://update.example.org/fw -o /tmp/fw\ndowngrade_check $1 || exit 1\nflashcp $1 /dev/mtd2\n",
	})
}

func TestTree_goodSystem(t *testing.T) {
	e, err := inspect.Tree(context.Background(), good(t), options())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Findings {
		if f.Outcome == fail {
			t.Errorf("%s fails: %q %v", f.Indicator, f.Title, f.Evidence)
		}
		if slices.Contains([]string{"FS-01", "FS-02", "FS-03", "FS-08", "FS-09", "FS-10", "FS-14", "HW-05"}, f.Indicator) && f.Outcome != pass {
			t.Errorf("%s does not pass: %v %q %v", f.Indicator, f.Outcome, f.Title, f.Evidence)
		}
	}
}

func TestTree_contextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := inspect.Tree(ctx, good(t), options()); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("error %v, want unavailable", err)
	}
}

type data struct{}

func (data) Version() string { return "test data" }
func (data) Match(cs []api.Component) []api.Vulnerability {
	for _, c := range cs {
		if c.Name == "busybox" {
			return []api.Vulnerability{
				{ID: "CVE-1", Component: c.Name, Version: c.Version, Severity: "critical", KEV: true, State: api.VEXAffected},
				{ID: "CVE-2", Component: c.Name, Version: c.Version, Severity: "high", State: api.VEXNotAffected},
			}
		}
	}
	return nil
}
func (data) MatchDevice(api.Identity) []api.Vulnerability { return nil }
func (data) Support(c, v string, _ time.Time) (time.Time, bool) {
	return now.AddDate(-1, 0, 0), c == "openssl"
}

func TestImage_vulnerabilities(t *testing.T) {
	o := options()
	o.Matcher = data{}
	e, err := inspect.Image(context.Background(), open(t, "firmware/xiaofang_5.6.2.43_rootfs.bin"), o)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]ringwall.Finding{}
	for _, f := range e.Findings {
		got[f.Indicator] = f
	}
	if f := got["FS-04"]; f.Outcome != fail || f.Facts["exposed"] != "true" || !strings.Contains(f.Evidence[0], "CVE-1") {
		t.Errorf("FS-04: %+v: BusyBox serves telnet", f)
	}
	if f := got["FS-05"]; f.Outcome != fail || f.Facts["count"] != "1" {
		t.Errorf("FS-05: %+v: one counts, the other does not", f)
	}
	if f := got["FS-06"]; f.Outcome != fail || !strings.Contains(strings.Join(f.Evidence, " "), "openssl") {
		t.Errorf("FS-06: %+v", f)
	}
}

// This machine's own system files: no secret, no back door, no default may be
// seen in them.
func TestTree_noFalseAlarm(t *testing.T) {
	root := t.TempDir()
	n := 0
	for _, dir := range []string{"/etc/init.d", "/etc/default", "/etc/pam.d", "/etc/systemd", "/usr/lib/systemd/system", "/etc/ssh", "/etc/security", "/etc/cron.daily", "/etc/network", "/etc/profile.d", "/etc/udev", "/etc/rc3.d", "/usr/sbin"} {
		_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err != nil || n > 3000 {
				return nil
			}
			to := filepath.Join(root, p)
			switch info, err := d.Info(); {
			case err != nil:
			case d.IsDir():
				_ = os.MkdirAll(to, 0o755)
			case d.Type()&os.ModeSymlink != 0:
				if l, err := os.Readlink(p); err == nil {
					_ = os.Symlink(l, to)
				}
			case info.Size() < 256<<10 && d.Type().IsRegular() && !strings.Contains(p, "ssh_host"):
				if b, err := os.ReadFile(p); err == nil {
					n++
					_ = os.WriteFile(to, b, info.Mode().Perm())
				}
			}
			return nil
		})
	}
	for _, f := range []string{"/etc/passwd", "/etc/group", "/etc/login.defs", "/etc/nsswitch.conf", "/etc/services", "/etc/bash.bashrc"} {
		if b, err := os.ReadFile(f); err == nil {
			_ = os.WriteFile(filepath.Join(root, f), b, 0o644)
		}
	}
	if n < 50 {
		t.Skipf("SKIPPED, NOT TESTED: this machine has %d system files that can be read", n)
	}
	tree, err := firmware.FromDir(root)
	if err != nil {
		t.Fatal(err)
	}
	e, err := inspect.Tree(context.Background(), tree, options())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Findings {
		switch f.Indicator {
		case "FS-01", "FS-02", "FS-03", "FS-09", "FS-10", "AP-08", "DA-01", "CO-06", "CO-08", "HW-02", "HW-05":
			if f.Outcome == fail || f.Outcome == partial {
				t.Errorf("%s: %v %q %v", f.Indicator, f.Outcome, f.Title, f.Evidence)
			}
		}
	}
}

// BenchmarkImage is the whole analysis of a camera's root, unpacking included.
func BenchmarkImage(b *testing.B) {
	raw, err := os.ReadFile(sharedtest.Path(b, "firmware/xiaofang_5.6.2.43_rootfs.bin"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		im, err := firmware.Open(bytes.NewReader(raw), int64(len(raw)), firmware.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := inspect.Image(context.Background(), im, options()); err != nil {
			b.Fatal(err)
		}
	}
}
