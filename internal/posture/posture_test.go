package posture

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

var today = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

// device is the root of a small invented camera.
func device() fstest.MapFS {
	return fstest.MapFS{
		"proc/sys/kernel/osrelease": file("5.10.226\n"),
		"etc/os-release":            file("NAME=LanternOS\nPRETTY_NAME=\"Lantern OS 4.1\"\n"),
		"proc/stat":                 file("cpu 1 2\nbtime 1795000000\n"),
		"proc/cmdline":              file("console=ttyS0,115200 root=/dev/dm-0 ro wifi.psk=hunter2 updateurl=https://u:p@up.example/x token=abc\n"),
		"proc/consoles":             file("ttyS0                -W- (EC  p a)    4:64\n"),
		"etc/inittab":               file("::sysinit:/etc/init.d/rcS\nttyS0::askfirst:-/bin/sh\n::respawn:/usr/sbin/camd\n"),
		"proc/net/tcp": file("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
			"   0: 00000000:022A 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 501 1 0\n" +
			"   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 502 1 0\n" +
			"   2: 0200000A:022A 0300000A:9999 01 00000000:00000000 00:00000000 00000000  1000        0 503 1 0\n"),
		"proc/net/tcp6":  file("  sl\n   0: 00000000000000000000000000000000:0017 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 504 1 0\n"),
		"proc/net/udp":   file("  sl\n   7: 0100A8C0:0E76 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 505 1 0\n"),
		"proc/net/unix":  file("Num       RefCount Protocol Flags    Type St Inode Path\n0000: 00000002 00000000 00010000 0001 01 506 /run/cam.sock\n0000: 00000003 00000000 00000000 0001 03 507 /run/other\n"),
		"proc/41/status": file("Name:\tcamd\nUid:\t0\t1000\t1000\t1000\n"), "proc/41/cmdline": file("camd\x00-x\x00"),
		"proc/41/fd/3":   {Data: []byte("socket:[501]"), Mode: fs.ModeSymlink | 0o777},
		"proc/42/status": file("Name:\ttelnetd\nUid:\t0\t0\t0\t0\n"), "proc/42/cmdline": file("/sbin/syslogd\x00-R\x0010.0.0.9\x00"),
		"proc/42/fd/0": {Data: []byte("socket:[504]"), Mode: fs.ModeSymlink | 0o777},
		"etc/passwd":   file("root:x:0:0::/:/bin/sh\nold:x:1:1::/:/bin/sh\nbin:x:2:2::/:/sbin/nologin\nopen::3:3::/:/bin/sh\n"),
		"etc/shadow":   file("root:$6$salt$verysecret:1:::\nold:$1$a$b:1:::\nbin:*:1:::\n"),
		"proc/1/mountinfo": file("20 1 254:0 / / rw,relatime - ext4 /dev/dm-0 ro\n21 20 0:5 / /proc rw - proc proc rw\n" +
			"22 20 254:1 / /data rw,noexec - ext4 /dev/mapper/data rw\n23 20 179:1 / /mnt/my\\040card rw - vfat /dev/mmcblk0p1 rw\n"),
		"sys/block/dm-0/dm/uuid": file("CRYPT-VERITY-0123-root\n"), "sys/block/dm-0/dev": file("254:0\n"),
		"sys/block/dm-1/dm/uuid": file("LVM-abc\n"), "sys/block/dm-1/dev": file("254:1\n"), "sys/block/dm-1/slaves/dm-2/dev": file("254:2\n"),
		"sys/block/dm-2/dm/uuid": file("CRYPT-LUKS2-abc\n"), "sys/block/dm-2/dev": file("254:2\n"),
		"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": file("\x06\x00\x00\x00\x01"),
		"sys/kernel/security/lockdown":                                             file("none [integrity] confidentiality\n"),
		"sys/kernel/security/ima/runtime_measurements_count":                       file("812\n"),
		"sys/class/tpm/tpm0/tpm_version_major":                                     file("2\n"),
		"etc/wpa_supplicant.conf":                                                  file("network={\n  psk=\"hunter2\"\n}\n"),
		"usr/lib/opkg/status":                                                      file("Package: zz\nVersion: 1\nStatus: install user installed\n\nPackage: dropbear\nVersion: 2022.83-1\nStatus: install user installed\n\nPackage: gone\nVersion: 1\nStatus: deinstall ok not-installed\n"),
	}
}

func collect(t testing.TB, root fs.FS) api.Posture {
	t.Helper()
	p, err := Collect(t.Context(), Config{Root: root, Device: "dev_1", Nonce: "n", Now: func() time.Time { return today }, Facts: map[string]string{"identity-key": "tpm", "tpm": "invented"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCollect(t *testing.T) {
	p := collect(t, device())
	if p.Kernel != "5.10.226" || p.OS != "Lantern OS 4.1" || p.Booted.Unix() != 1795000000 || p.Nonce != "n" || !p.Made.Equal(today) {
		t.Errorf("%+v", p)
	}
	for name, want := range map[string]string{
		"secure-boot": "on", "lockdown": "integrity", "ima": "measuring", "tpm": "2", "serial-consoles": "ttyS0", "console-shell": "ttyS0",
		"log": "remote", "secrets-open": "etc/wpa_supplicant.conf", "secrets-plain": "etc/wpa_supplicant.conf", "secrets-checked": "1", "identity-key": "tpm",
	} {
		if got := p.Facts[name]; got != want {
			t.Errorf("fact %s is %q, want %q", name, got, want)
		}
	}
	want := []api.Listener{
		{Proto: "tcp", Addr: netip.MustParseAddrPort("[::]:23"), Program: "telnetd", UID: 0},
		{Proto: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:554"), Program: "camd", UID: 1000},
		{Proto: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:8080"), UID: 0},
		{Proto: "udp", Addr: netip.MustParseAddrPort("192.168.0.1:3702"), UID: 0},
		{Proto: "unix", Path: "/run/cam.sock", UID: -1},
	}
	if !slices.Equal(p.Listening, want) {
		t.Errorf("listening %+v", p.Listening)
	}
	schemes := map[string]string{}
	for _, a := range p.Accounts {
		schemes[a.Name] = a.Scheme
	}
	if schemes["root"] != "sha512" || schemes["old"] != "md5" || schemes["bin"] != "locked" || schemes["open"] != "empty" {
		t.Errorf("accounts %v", schemes)
	}
	if len(p.Mounts) != 3 || !p.Mounts[0].Verified || !p.Mounts[0].ReadOnly || p.Mounts[0].Encrypted || !p.Mounts[1].Encrypted || !p.Mounts[1].NoExec || p.Mounts[2].Path != "/mnt/my card" || p.Mounts[2].Encrypted {
		t.Errorf("mounts %+v", p.Mounts)
	}
	if len(p.Versions) != 2 || p.Versions[0].Name != "dropbear" || p.Versions[0].Version != "2022.83-1" {
		t.Errorf("versions %+v", p.Versions)
	}
}

// TestCollect_holds_no_secret looks for every secret of the fixture in what is sent.
func TestCollect_holds_no_secret(t *testing.T) {
	b, err := json.Marshal(collect(t, device()))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "verysecret", "$6$", "u:p@", "abc"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("%q is in the posture: %s", secret, b)
		}
	}
	if !strings.Contains(string(b), "https://***@up.example/x") || !strings.Contains(string(b), "wifi.psk=***") {
		t.Errorf("the command line is not there: %s", b)
	}
}

// denied refuses to open some files.
type denied struct {
	fs.FS
	names []string
}

func (d denied) Open(name string) (fs.File, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.FS.Open(name)
}

func (d denied) ReadLink(name string) (string, error) { return fs.ReadLink(d.FS, name) }
func (d denied) Lstat(name string) (fs.FileInfo, error) {
	return fs.Lstat(d.FS, name)
}

func TestCollect_tells_what_it_could_not_read(t *testing.T) {
	p := collect(t, denied{device(), []string{"etc/shadow", "proc/41/fd"}})
	for _, a := range p.Accounts {
		if a.Name == "root" && a.Scheme != "unreadable" {
			t.Errorf("root is %q though shadow cannot be read", a.Scheme)
		}
	}
	unread := strings.Join(p.Unread, "; ")
	for _, want := range []string{"etc/shadow: not permitted", "proc/PID/fd: the programs behind 4 sockets are not known; not permitted for 1 processes"} {
		if !strings.Contains(unread, want) {
			t.Errorf("unread %q, want %q", unread, want)
		}
	}
	if p.Listening[1].Program != "" || p.Listening[1].UID != 1000 {
		t.Errorf("without the process's files the maker of the socket is known: %+v", p.Listening[1])
	}
	// A container's root without proc: nothing is claimed.
	p = collect(t, fstest.MapFS{"etc/passwd": file("root:x:0:0::/:/bin/sh\n")})
	for _, want := range []string{"proc/net/tcp: not there", "proc/consoles: not there", "proc/self/mountinfo: not there", "sys/firmware/efi: not there"} {
		if !slices.Contains(p.Unread, want) {
			t.Errorf("unread %q, want %q", p.Unread, want)
		}
	}
	if _, known := p.Facts["log"]; known {
		t.Error("a log is spoken of though no process can be seen")
	}
}

// A service manager shows the agent a read-only root where the device has none.
func TestCollect_mounts_of_a_sandbox(t *testing.T) {
	for _, c := range []struct {
		line string
		want bool
	}{
		{"20 1 254:0 / / ro,relatime - ext4 /dev/sda1 rw,errors=remount-ro\n", false},
		{"20 1 254:0 / / ro,relatime - ext4 /dev/sda1 ro\n", true},
		{"20 1 254:0 / / rw,relatime - squashfs /dev/mtdblock2 rw\n", true},
	} {
		root := device()
		root["proc/self/mountinfo"] = file(c.line)
		p := collect(t, denied{root, []string{"proc/1/mountinfo"}})
		if len(p.Mounts) != 1 || p.Mounts[0].ReadOnly != c.want {
			t.Errorf("%s is read as %+v", c.line, p.Mounts)
		}
		root["proc/1/mountinfo"] = file(c.line)
		if p := collect(t, root); !p.Mounts[0].ReadOnly {
			t.Errorf("as the first process sees it %s is not read-only", c.line)
		}
	}
}

func TestCollect_is_bounded(t *testing.T) {
	root := device()
	var tcp, passwd strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&tcp, "   0: 00000000:%04X 00000000:0000 0A 0:0 0:0 0  1000        0 %d 1 0\n", i+1, 10000+i)
		fmt.Fprintf(&passwd, "u%d::%d:0::/:/bin/sh\n", i, i)
	}
	root["proc/net/tcp"], root["etc/passwd"] = file(tcp.String()), file(passwd.String())
	p := collect(t, root)
	if len(p.Listening) != 256 || len(p.Accounts) != 256 {
		t.Errorf("%d sockets, %d accounts", len(p.Listening), len(p.Accounts))
	}
	if !slices.Contains(p.Unread, "accounts: more than 256, the rest was left out") {
		t.Errorf("unread %q", p.Unread)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Collect(ctx, Config{Root: root}); err == nil {
		t.Error("a cancelled collection gave a posture")
	}
}

// TestCollect_real reads this very machine and finds the socket that the test opens.
func TestCollect_real(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, NOT TESTED: /proc is Linux")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := Collect(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := l.Addr().(*net.TCPAddr).AddrPort()
	i := slices.IndexFunc(p.Listening, func(x api.Listener) bool { return x.Addr == want })
	if i < 0 {
		t.Fatalf("the test's own socket %v is not among %+v", want, p.Listening)
	}
	if got := p.Listening[i]; got.UID != os.Geteuid() || got.Program == "" {
		t.Errorf("%+v", got)
	}
	if p.Kernel == "" || len(p.Accounts) == 0 || len(p.Mounts) == 0 {
		t.Errorf("kernel %q, %d accounts, %d mounts, unread %q", p.Kernel, len(p.Accounts), len(p.Mounts), p.Unread)
	}
}

func TestSign(t *testing.T) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	p := collect(t, device())
	for name, key := range map[string]crypto.Signer{"ed25519": ed, "ecdsa": ec, "rsa": rs} {
		s, err := Sign(key, p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ok := Expect{Key: key.Public(), Device: "dev_1", Nonce: "n", MaxAge: time.Hour, Now: today.Add(time.Minute)}
		got, err := Verify(s, ok)
		if err != nil || got.Kernel != p.Kernel {
			t.Errorf("%s: %v", name, err)
		}
		for what, change := range map[string]func(s *api.SignedPosture, e *Expect){
			"body":      func(s *api.SignedPosture, _ *Expect) { s.Body = slices.Concat(s.Body, []byte(" ")) },
			"signature": func(s *api.SignedPosture, _ *Expect) { s.Signature = slices.Clone(s.Signature); s.Signature[3] ^= 1 },
			"algorithm": func(s *api.SignedPosture, _ *Expect) { s.Algorithm = "none" },
			"no sig":    func(s *api.SignedPosture, _ *Expect) { s.Signature = nil },
			"key":       func(_ *api.SignedPosture, e *Expect) { e.Key = other.Public() },
			"nonce":     func(_ *api.SignedPosture, e *Expect) { e.Nonce = "m" },
			"device":    func(_ *api.SignedPosture, e *Expect) { e.Device = "dev_2" },
			"old":       func(_ *api.SignedPosture, e *Expect) { e.Now = today.Add(2 * time.Hour) },
			"future":    func(_ *api.SignedPosture, e *Expect) { e.Now = today.Add(-time.Hour) },
		} {
			s2, e2 := s, ok
			change(&s2, &e2)
			if _, err := Verify(s2, e2); ringwall.CodeOf(err) != ringwall.Unverified {
				t.Errorf("%s, %s changed: %v", name, what, err)
			}
		}
	}
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	if small != nil {
		if _, err := Sign(small, p); err == nil {
			t.Error("an RSA key of 1,024 bits signed")
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"console=ttyS0 quiet":              "console=ttyS0 quiet",
		"A_PASSWORD=x api.key=y rootpw=z":  "A_PASSWORD=*** api.key=*** rootpw=z",
		"url=http://a:b@c/d x=ftp://h/p@q": "url=http://***@c/d x=ftp://***@q",
		"ip=1.2.3.4 wifi_psk=\"a":          "ip=1.2.3.4 wifi_psk=***",
		"nul=\x00\x01here":                 "nul= here",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzCollect(f *testing.F) {
	for name, m := range device() {
		f.Add(name, m.Data)
	}
	names := []string{"proc/net/tcp", "proc/net/unix", "etc/passwd", "etc/shadow", "proc/1/mountinfo", "etc/inittab", "proc/cmdline", "usr/lib/opkg/status", "proc/consoles"}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		if !slices.Contains(names, name) {
			name = names[len(b)%len(names)]
		}
		root := device()
		root[name] = &fstest.MapFile{Data: b, Mode: 0o644}
		p := collect(t, root)
		out, err := json.Marshal(p)
		if err != nil || len(out) > maxSigned {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		var again api.Posture
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatal(err)
		}
	})
}

func TestListening(t *testing.T) {
	head := "  sl  local_address rem_address   st\n"
	root := fstest.MapFS{
		"proc/net/tcp": file(head + "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 11 1 0\n" +
			"   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000    33        0 12 1 0\n"),
		"proc/net/udp6": file(head + "   0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13 2 0\n"),
	}
	if got, want := Listening(root), []string{"tcp 127.0.0.1:8080 33", "udp [::]:53 0"}; !slices.Equal(got, want) {
		t.Errorf("listening: %q, want %q", got, want)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mine := "tcp " + l.Addr().String() + " " + strconv.Itoa(os.Getuid())
	if got := Listening(nil); !slices.Contains(got, mine) {
		t.Errorf("the machine's: %q lacks %q", got, mine)
	}
	l.Close()
	if got := Listening(nil); slices.Contains(got, mine) {
		t.Errorf("closed, and still listed: %q", mine)
	}
}
