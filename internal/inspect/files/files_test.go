package files

import (
	"maps"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

func system(more map[string]string) map[string]string {
	files := map[string]string{"etc/passwd": "root:*:0:0::/:/bin/sh\n", "etc/inittab": "::sysinit:/etc/init.d/rcS\n", "etc/init.d/rcS": "#!/bin/sh\necho hi\n", "bin/sh": "-> busybox", "bin/busybox": "\x7fELF BusyBox\x00sh\x00telnetd\x00httpd\x00"}
	maps.Copy(files, more)
	return files
}

func TestPrivileges(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  ringwall.Outcome
	}{
		{"web server as root", map[string]string{"usr/sbin/goahead": "ELF", "etc/init.d/rcS": "#!/bin/sh\ngoahead &\n"}, ringwall.Fail},
		{"boa told to be root", map[string]string{"usr/sbin/boa": "ELF", "etc/boa/boa.conf": "Port 80\nUser 0\n", "etc/init.d/rcS": "#!/bin/sh\nboa\n"}, ringwall.Fail},
		{"boa as nobody", map[string]string{"usr/sbin/boa": "ELF", "etc/boa/boa.conf": "Port 80\nUser nobody\n", "etc/init.d/rcS": "#!/bin/sh\nboa\n"}, ringwall.Pass},
		{"started as a user", map[string]string{"usr/sbin/goahead": "ELF", "etc/init.d/rcS": "#!/bin/sh\nstart-stop-daemon -S -c www -x /usr/sbin/goahead\n"}, ringwall.Pass},
		{"ssh needs to be root", map[string]string{"usr/sbin/dropbear": "ELF", "etc/init.d/rcS": "#!/bin/sh\ndropbear\n"}, ringwall.Pass},
		{"for the device itself", map[string]string{"usr/sbin/dropbear": "ELF", "usr/sbin/snmpd": "ELF", "etc/init.d/rcS": "#!/bin/sh\ndropbear -p 127.0.0.1:22\n"}, ringwall.Pass},
		{"stray set-user-ID", map[string]string{"4755 usr/bin/helper": "#!x"}, ringwall.Partial},
		{"needed set-user-ID", map[string]string{"4755 bin/su": "#!x", "4755 bin/busybox": "\x7fELF BusyBox\x00"}, ringwall.Unknown},
		{"anybody may write it", map[string]string{"666 etc/app.conf": "a=b\n"}, ringwall.Partial},
		{"scratch", map[string]string{"666 tmp/x": "a\n", "666 var/log/x": "a\n"}, ringwall.Unknown},
	} {
		v := viewtest.Of(t, system(c.files))
		if f := Privileges(v, services.Examine(v)); f.Outcome != c.want {
			t.Errorf("%s: %v %q %v, want %v", c.name, f.Outcome, f.Title, f.Evidence, c.want)
		}
	}
}

func TestMinimal(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  ringwall.Outcome
		line  string
	}{
		{"debugger", map[string]string{"usr/bin/gdbserver": "ELF"}, ringwall.Fail, "debugger"},
		{"sniffer", map[string]string{"usr/sbin/tcpdump": "ELF"}, ringwall.Fail, "sniffer"},
		{"applets", map[string]string{"usr/bin/telnet": "-> ../../bin/busybox"}, ringwall.Partial, "telnet client of BusyBox"},
		{"leftover", map[string]string{"usr/share/.DS_Store": "x"}, ringwall.Partial, ".DS_Store"},
		{"history", map[string]string{"root/.ash_history": "ls\n"}, ringwall.Partial, ".ash_history"},
		{"people", map[string]string{"usr/lib/data.db": "SQLite format 3\x00 a.person@mail.example1.com bob@other.org"}, ringwall.Partial, "2 different e-mail"},

		{"nothing", nil, ringwall.Pass, "looked at by name"},
		{"a link that leads nowhere", map[string]string{"usr/bin/gdbserver": "-> /mnt/gdbserver"}, ringwall.Pass, ""},
		{"a page about it", map[string]string{"usr/share/doc/tcpdump": "text", "etc/gdb.conf": "x"}, ringwall.Pass, ""},
	} {
		v := viewtest.Of(t, system(c.files))
		var l Leftovers
		for f := range v.Regular {
			l.File(f, v.Data(f))
		}
		f := Minimal(v, &l)
		if all := strings.Join(f.Evidence, "\n"); f.Outcome != c.want || !strings.Contains(all, c.line) || strings.Contains(all, "a.person") {
			t.Errorf("%s: %v %q %v, want %v with %q", c.name, f.Outcome, f.Title, f.Evidence, c.want, c.line)
		}
	}
}
