package services_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

// base is a small BusyBox system; BusyBox has the applets that the tests name.
func base(more map[string]string) map[string]string {
	files := map[string]string{
		"bin/busybox":       "\x7fELF BusyBox v1.22.1\x00telnetd\x00tcpsvd\x00ftpd\x00inetd\x00httpd\x00udpsvd\x00tftpd\x00nc\x00sh\x00",
		"bin/sh":            "-> busybox",
		"usr/sbin/telnetd":  "-> ../../bin/busybox",
		"usr/sbin/inetd":    "-> ../../bin/busybox",
		"usr/sbin/dropbear": "ELF",
		"etc/passwd":        "root:x:0:0:root:/:/bin/sh\n",
		"etc/inittab":       "::sysinit:/etc/init.d/rcS\n",
	}
	maps.Copy(files, more)
	return files
}

func rcS(body string) map[string]string {
	return base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\n" + body})
}

// risky lists what FS-03 counts, "?" before what is not certain.
func risky(r *services.Result) string {
	var out []string
	for _, s := range r.Services {
		if s.Risky == "" || s.Local {
			continue
		}
		q := "?"
		if s.Certain() {
			q = ""
		}
		n := fmt.Sprintf("%s%s/%d", q, s.Name, s.Port)
		if s.NoLogin {
			n += "!"
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestExamine_startScripts(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
	}{
		{"plain", "telnetd &\n", "telnet/23"},
		{"by path with port", "/usr/sbin/telnetd -p 2323 -l /bin/login\n", "telnet/2323"},
		{"without login", "telnetd -l /bin/sh\n", "telnet/23!"},
		{"through busybox", "busybox telnetd\n", "telnet/23"},
		{"nohup and background", "nohup telnetd >/dev/null 2>&1 &\n", "telnet/23"},
		{"in a subshell", "(sleep 5; telnetd) &\n", "telnet/23"},
		{"by variable", "D=/usr/sbin\nT=telnetd\n$D/$T\n", "telnet/23"},
		{"in a called function", "up() {\n telnetd\n}\nup\n", "telnet/23"},
		{"in a loop over words", "for s in ls telnetd; do $s; done\n", "telnet/23"},
		{"start-stop-daemon", "start-stop-daemon -S -b -x /usr/sbin/telnetd -- -p 24\n", "telnet/24"},
		{"tcpsvd ftpd", "tcpsvd -vE 0.0.0.0 21 ftpd -w / &\n", "ftp/21"},
		{"udpsvd tftpd", "udpsvd -E 0 69 tftpd /tmp\n", "tftp/69"},
		{"netcat with a shell", "nc -l -p 4444 -e /bin/sh\n", "shell/4444!"},
		{"eval", "eval \"telnetd -p 25\"\n", "telnet/25"},
		{"sh -c", "sh -c 'telnetd'\n", "telnet/23"},
		{"CRLF", "echo hi\r\ntelnetd &\r\n", "telnet/23"},
		{"constant true", "DEBUG=1\nif [ \"$DEBUG\" = \"1\" ]; then telnetd; fi\n", "telnet/23"},
		{"file that the image has", "if [ -f /etc/passwd ]; then telnetd; fi\n", "telnet/23"},
		{"default branch", "case \"$1\" in stop) ;; *) telnetd ;; esac\n", "telnet/23"},
		{"after mount succeeds", "mount -t jffs2 /dev/mtdblock4 /system && telnetd\n", "telnet/23"},
		{"syntax error after", "telnetd &\nif then fi )\n", "telnet/23"},

		{"on a file of a card", "if [ -f /mnt/sd/debug ]; then telnetd; fi\n", "?telnet/23"},
		{"on an answer", "cat /proc/cmdline | grep debug && telnetd\n", "?telnet/23"},
		{"on a key in flash", "[ \"`cat /tmp/mode`\" = 1 ] && telnetd\n", "?telnet/23"},
		{"after a line that cannot be read", "if then )\ntelnetd\n", "?telnet/23"},
		{"stopped again", "telnetd &\nsleep 1\nkillall telnetd\n", "?telnet/23"},
		{"exit when a file is there", "[ -f /tmp/quiet ] && exit 0\ntelnetd\n", "?telnet/23"},

		{"comment", "#telnetd &\n# telnetd\necho ok # telnetd\n", ""},
		{"only told", "echo telnetd\necho \"telnetd &\" > /dev/null\n", ""},
		{"here document", "cat <<EOF\ntelnetd &\nEOF\n", ""},
		{"comment by here document", ": <<'END'\ntelnetd\nEND\n", ""},
		{"after exit", "exit 0\ntelnetd &\n", ""},
		{"constant false", "DEBUG=0\nif [ $DEBUG = 1 ]; then\n telnetd\nfi\n", ""},
		{"false", "false && telnetd\nif false; then telnetd; fi\n", ""},
		{"function that nobody calls", "debug() {\n telnetd\n}\n", ""},
		{"file that the image has not", "if [ -f /etc/telnet_on ]; then telnetd; fi\n", ""},
		{"unset variable", "if [ -n \"$DEBUG\" ]; then telnetd; fi\n", ""},
		{"other branch", "case start in stop) telnetd;; start) ;; esac\n", ""},
		{"killed only", "killall telnetd\npidof telnetd\nwhich telnetd\n", ""},
		{"for this device only", "telnetd -b 127.0.0.1\n", ""},
		{"program that is not there", "vsftpd &\n", ""},
		{"netcat as a client", "nc 10.0.0.1 80 < /etc/passwd\n", ""},
		{"ftpd without a port", "ftpd -w /tmp\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := services.Examine(viewtest.Of(t, rcS(c.body)))
			if got := risky(r); got != c.want {
				t.Errorf("%q starts %q, want %q\nnotes: %v", c.body, got, c.want, r.Notes)
			}
		})
	}
}

func TestExamine_systems(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"Buildroot's loop over S scripts", base(map[string]string{
			"etc/init.d/rcS":       "#!/bin/sh\nfor i in /etc/init.d/S??* ;do\n  [ ! -f \"$i\" ] && continue\n  case \"$i\" in\n    *.sh) ( trap - INT; set start; . $i ) ;;\n    *) $i start ;;\n  esac\ndone\n",
			"etc/init.d/S50telnet": "#!/bin/sh\ncase \"$1\" in\n start) telnetd ;;\n stop) killall telnetd ;;\nesac\n",
			"etc/init.d/K01ftp":    "#!/bin/sh\ntcpsvd 0 21 ftpd /\n",
		}), "telnet/23"},
		{"script that is sourced", base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\n. /etc/conf\n[ \"$TELNET\" = yes ] && telnetd\n", "etc/conf": "TELNET=yes\n"}), "telnet/23"},
		{"sourced and off", base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\n. /etc/conf\n[ \"$TELNET\" = yes ] && telnetd\n", "etc/conf": "TELNET=no\n"}), ""},
		{"sourced from a missing partition", base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\n. /mnt/conf\n[ \"$TELNET\" = yes ] && telnetd\n"}), "?telnet/23"},
		{"respawn in inittab", base(map[string]string{"etc/inittab": "::respawn:/usr/sbin/telnetd -F\n"}), "telnet/23"},
		{"commented in inittab", base(map[string]string{"etc/inittab": "#::respawn:/usr/sbin/telnetd\n::sysinit:/bin/true\n"}), ""},
		{"at shutdown only", base(map[string]string{"etc/inittab": "::shutdown:/usr/sbin/telnetd\n"}), ""},
		{"runlevel that is not entered", base(map[string]string{"etc/inittab": "id:3:initdefault:\nt1:5:respawn:/usr/sbin/telnetd\n"}), ""},
		{"a script that may not be run", base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\nfor i in /etc/init.d/S[0-9][0-9]*; do\n if [ -x $i ]; then\n  $i start\n fi\ndone\n", "644 etc/init.d/S10off": "#!/bin/sh\ntelnetd\n", "etc/init.d/S20on": "#!/bin/sh\ntcpsvd 0 21 ftpd\n"}), "ftp/21"},
		{"System V folder", base(map[string]string{
			"etc/inittab": "id:3:initdefault:\nl3:3:wait:/etc/init.d/rc 3\n", "etc/rc3.d/S20t": "-> ../init.d/t",
			"etc/init.d/t": "#!/bin/sh\n[ \"$1\" = start ] && telnetd\n", "etc/rc3.d/K10f": "#!/bin/sh\ntcpsvd 0 21 ftpd\n",
		}), "telnet/23"},
		{"a script that is never linked", base(map[string]string{
			"etc/inittab": "id:3:initdefault:\nl3:3:wait:/etc/init.d/rc 3\n", "etc/rc3.d/S01x": "#!/bin/sh\necho hi\n", "etc/init.d/t": "#!/bin/sh\ntelnetd\n",
		}), ""},
		{"OpenWrt, enabled", base(map[string]string{
			"etc/inittab": "::sysinit:/etc/init.d/rcS S boot\n", "etc/rc.d/S50telnet": "-> ../init.d/telnet",
			"etc/init.d/telnet": "#!/bin/sh /etc/rc.common\nSTART=50\nUSE_PROCD=1\nstart_service() {\n procd_open_instance\n procd_set_param command /usr/sbin/telnetd -F -l /bin/login.sh\n procd_close_instance\n}\n",
		}), "telnet/23!"},
		{"OpenWrt, not enabled", base(map[string]string{
			"etc/inittab": "::sysinit:/etc/init.d/rcS S boot\n", "etc/rc.d/S50x": "-> ../init.d/x", "etc/init.d/x": "#!/bin/sh /etc/rc.common\nstart() { echo x; }\n",
			"etc/init.d/telnet": "#!/bin/sh /etc/rc.common\nstart() { telnetd; }\n",
		}), ""},
		{"rc.local of an overlay", map[string]string{"etc/passwd": "root:x:0:0::/:/bin/ash\n", "etc/rc.local": "telnetd -p 65534 &\nexit 0\n", "etc/config/system": "config system\n"}, "telnet/65534"},
		{"rc.local that nobody runs", base(map[string]string{"etc/rc.local": "telnetd &\n", "etc/inittab": "::sysinit:/bin/true\n"}), ""},
		{"inetd", base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\ninetd\n", "etc/inetd.conf": "telnet stream tcp nowait root /usr/sbin/telnetd telnetd -i\n#ftp stream tcp nowait root ftpd ftpd\n"}), "telnet/23"},
		{"inetd that is not started", base(map[string]string{"etc/init.d/rcS": "#!/bin/sh\n#inetd\n", "etc/inetd.conf": "telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n"}), ""},
		{"xinetd, one of two disabled", base(map[string]string{
			"usr/sbin/xinetd": "ELF", "usr/sbin/in.telnetd": "ELF", "usr/sbin/in.tftpd": "ELF", "etc/init.d/rcS": "#!/bin/sh\nxinetd\n",
			"etc/xinetd.d/telnet": "service telnet\n{\n disable = yes\n server = /usr/sbin/in.telnetd\n socket_type = stream\n}\n",
			"etc/xinetd.d/tftp":   "service tftp\n{\n disable = no\n server = /usr/sbin/in.tftpd\n socket_type = dgram\n}\n",
		}), "tftp/69"},
		{"systemd, wanted and not", systemd(map[string]string{
			"lib/systemd/system/telnetd.service": "[Service]\nExecStart=/usr/sbin/telnetd -F\n", "etc/systemd/system/multi-user.target.wants/telnetd.service": "-> /lib/systemd/system/telnetd.service",
			"lib/systemd/system/vsftpd.service": "[Service]\nExecStart=/usr/sbin/vsftpd\n", "usr/sbin/vsftpd": "ELF",
		}), "telnet/23"},
		{"systemd, masked", systemd(map[string]string{
			"lib/systemd/system/telnetd.service": "[Service]\nExecStart=/usr/sbin/telnetd -F\n", "etc/systemd/system/telnetd.service": "-> /dev/null",
			"etc/systemd/system/multi-user.target.wants/telnetd.service": "-> /lib/systemd/system/telnetd.service",
		}), ""},
		{"systemd socket", systemd(map[string]string{
			"lib/systemd/system/telnet.socket": "[Socket]\nListenStream=23\nAccept=yes\n", "lib/systemd/system/telnet@.service": "[Service]\nExecStart=-/usr/sbin/in.telnetd\n",
			"etc/systemd/system/sockets.target.wants/telnet.socket": "-> /lib/systemd/system/telnet.socket", "lib/systemd/system/basic.target": "[Unit]\nWants=sockets.target\n",
		}), "telnet/23"},
		{"Android's adbd over the network", base(map[string]string{
			"etc/inittab": "-> nowhere", "init.rc": "on boot\n  start adbd\nservice adbd /sbin/adbd --root\n  disabled\nservice ftpd /sbin/vsftpd\n  disabled\n", "sbin/adbd": "ELF", "sbin/vsftpd": "ELF",
			"default.prop": "service.adb.tcp.port=5555\n",
		}), "adb/5555"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := services.Examine(viewtest.Of(t, c.files))
			if got := risky(r); got != c.want {
				t.Errorf("starts %q, want %q\nfound by %v, notes %v, missing %v", got, c.want, r.How, r.Notes, r.Missing)
			}
		})
	}
}

func systemd(more map[string]string) map[string]string {
	files := base(map[string]string{
		"etc/inittab": "-> nowhere", "lib/systemd/systemd": "ELF", "sbin/init": "-> /lib/systemd/systemd",
		"lib/systemd/system/default.target": "-> multi-user.target", "lib/systemd/system/multi-user.target": "[Unit]\nRequires=basic.target\n",
	})
	maps.Copy(files, more)
	return files
}

func TestPorts(t *testing.T) {
	files := rcS("dropbear -p 2222\ndropbear -p 127.0.0.1:2223\nboa -c /etc/web\nlighttpd -f /etc/l.conf\nhttpd -p 8080 -h /www\nsnmpd\n")
	maps.Copy(files, map[string]string{"usr/sbin/boa": "ELF", "usr/sbin/lighttpd": "ELF", "usr/sbin/httpd": "-> ../../bin/busybox", "etc/web/boa.conf": "# Port 81\nPort 8081\n", "etc/l.conf": "server.port = 8443\n"})
	r := services.Examine(viewtest.Of(t, files))
	var got []string
	for _, s := range r.Ports() {
		got = append(got, fmt.Sprintf("%s/%d/%s", s.Proto, s.Port, s.Name))
	}
	slices.Sort(got)
	// snmpd is called, but is not in the image.
	want := []string{"tcp/2222/ssh", "tcp/8080/http", "tcp/8081/http", "tcp/8443/http"}
	if !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
}

func TestFinding_neverPassesUnseen(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  ringwall.Outcome
	}{
		{"nothing starts", rcS("echo hello\n"), ringwall.Pass},
		{"telnetd", rcS("telnetd\n"), ringwall.Fail},
		{"maybe telnetd", rcS("[ -f /tmp/x ] && telnetd\n"), ringwall.Partial},
		{"a script on a partition that is missing", rcS("mount -t jffs2 /dev/mtdblock4 /system\n/system/init.sh &\n"), ringwall.Unknown},
		{"no root", map[string]string{"user.conf": "a=b\n"}, ringwall.Unknown},
		{"no start", map[string]string{"etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n", "bin/sh": "ELF"}, ringwall.Unknown},
	} {
		v := viewtest.Of(t, c.files)
		f := services.Examine(v).Finding(v)
		if f.Outcome != c.want || f.Confidence != ringwall.Observed || f.Title == "" {
			t.Errorf("%s: %v (%v) %q, want %v, observed", c.name, f.Outcome, f.Confidence, f.Title, c.want)
		}
		if f.Outcome == ringwall.Pass && len(f.Evidence) == 0 {
			t.Errorf("%s: a pass without a reason", c.name)
		}
	}
}

func TestExamine_plugged(t *testing.T) {
	files := rcS("echo /sbin/mdev > /proc/sys/kernel/hotplug\n")
	files["etc/mdev.conf"] = "# comment\nsd[a-z][0-9] 0:0 660 @/etc/automount.sh\n"
	files["etc/automount.sh"] = "#!/bin/sh\nmount -t vfat /dev/$MDEV /mnt/usb\n/mnt/usb/autorun.sh\n"
	r := services.Examine(viewtest.Of(t, files))
	if !slices.ContainsFunc(r.Plugged, func(c shell.Command) bool { return c.Path == "/mnt/usb/autorun.sh" && len(c.When) == 1 }) {
		t.Errorf("what is run when something is plugged in: %+v", r.Plugged)
	}
}

func FuzzInittab(f *testing.F) {
	f.Add("::sysinit:/etc/init.d/rcS\nid:3:initdefault:\n# x\n:::\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range services.ParseInittab(text) {
			if e.Line < 1 || e.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("line %d of %d", e.Line, strings.Count(text, "\n")+1)
			}
		}
	})
}

// FuzzExamine follows whatever text as start script, inittab, unit and inetd.conf.
func FuzzExamine(f *testing.F) {
	f.Add("telnetd &\n")
	f.Add("while true; do a=$a$a; $0; done\n")
	f.Add("f() { f; f; }; f\n. /etc/init.d/rcS\n")
	f.Add("telnet stream tcp nowait root /usr/sbin/telnetd x\n")
	if b, err := os.ReadFile("services_test.go"); err == nil {
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64<<10 {
			return
		}
		files := rcS(text)
		files["etc/inetd.conf"], files["etc/mdev.conf"], files["etc/xinetd.d/x"] = text, text, text
		files["lib/systemd/system/x.service"] = text
		v := viewtest.Of(t, files)
		r := services.Examine(v)
		if len(r.Commands) > 20_000 || len(r.Services) > 300 {
			t.Fatalf("%d commands, %d services", len(r.Commands), len(r.Services))
		}
		r.Finding(v)
	})
}
