// Package files judges the files of an image by what they are and who may
// change or run them: privileges (FS-08), and what does not belong into a
// product (FS-14).
//
// A set-user-ID file is stray when it is not one of the few that need to be; a
// world-writable file counts when it is not in a place for scratch. Owners in
// an image are often those of the machine that built it, so they are not held
// against anybody. Tools count by what they are for: a debugger, a sniffer or a
// compiler has no place in a product, while a small client that comes with
// BusyBox is named and counts little.
package files

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// needed are programs that are set-user-ID on every system that has users.
var needed = []string{
	"su", "sudo", "passwd", "chsh", "chfn", "newgrp", "gpasswd", "mount", "umount", "ping", "ping6", "traceroute", "traceroute6", "login", "crontab",
	"ssh-keysign", "ssh-agent", "dbus-daemon-launch-helper", "pkexec", "polkit-agent-helper-1", "unix_chkpwd", "expiry", "chage", "wall", "write", "bsd-write", "busybox", "busybox.suid",
	"fusermount", "fusermount3", "at", "pppd", "vlock", "locate", "mlocate", "plocate", "dotlockfile", "utempter", "Xorg.wrap", "chrome-sandbox", "exim4", "sendmail", "procmail", "screen", "ntfs-3g", "mount.nfs", "mount.cifs", "bwrap", "pam_extrausers_chkpwd", "newuidmap", "newgidmap",
}

// mustBeRoot are services that cannot do their work as anybody else; whether
// they should run at all is asked elsewhere.
var mustBeRoot = []string{"ssh", "dhcp"}

// scratch are places where anybody may write, or that are not of the image.
func scratch(p string) bool {
	for _, d := range []string{"/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/run", "/var/lock", "/var/run", "/var/crash", "/mnt", "/media", "/var/log", "/var/spool", "/var/cache"} {
		if p == d || strings.HasPrefix(p, d+"/") {
			return true
		}
	}
	return false
}

// Privileges answers FS-08.
func Privileges(v *view.View, s *services.Result) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-08", Confidence: ringwall.Observed}
	if !v.Root {
		f.Title = "no root file system was found"
		return f
	}
	var suid, open, root, others []string
	for _, e := range v.Files() {
		if strings.HasPrefix(e.Path, "/.part/") {
			continue
		}
		m := e.Mode
		if m.IsRegular() && m&fs.ModeSetuid != 0 && m&0o111 != 0 && !slices.Contains(needed, path.Base(e.Path)) {
			suid = append(suid, fmt.Sprintf("%s: set-user-ID of user %d", e.At(), e.UID))
		}
		if m.IsRegular() && m&0o002 != 0 && !scratch(e.Path) {
			open = append(open, fmt.Sprintf("%s: anybody may write it (%#o)", e.At(), m.Perm()))
		}
	}
	for _, sv := range s.Services {
		if sv.Local || sv.Absent {
			continue
		}
		user := sv.User
		if user == "" {
			user = configuredUser(v, sv)
		}
		switch {
		case user == "" || user == "root" || user == "0":
			line := fmt.Sprintf("%s: %s (%s) runs as root", sv.At(), sv.Program, sv.Name)
			if slices.Contains(mustBeRoot, sv.Name) {
				others = append(others, line+", which it needs to do its work")
			} else {
				root = append(root, line)
			}
		default:
			others = append(others, fmt.Sprintf("%s: %s runs as %s", sv.At(), sv.Program, view.Clip(user, 32)))
		}
	}
	f.Evidence = slices.Concat(bound(root, 12), bound(suid, 12), bound(open, 12), bound(others, 6))
	switch {
	case len(root) > 0:
		f.Outcome, f.Title = ringwall.Fail, "programs that face the network run as root"
	case len(suid) > 0 || len(open) > 0:
		f.Outcome, f.Title = ringwall.Partial, "files of the image give more privileges than needed"
	case len(s.Services) > 0:
		f.Outcome, f.Title = ringwall.Pass, "no network service runs as root without need; no stray privileges"
	case s.Found:
		f.Title = "no network service was seen to start, so whom they run as is not known; no stray privileges in the files"
	default:
		f.Title = "no start was found, so whom network services run as is not known"
	}
	return f
}

// configuredUser reads whom a web server switches to.
func configuredUser(v *view.View, sv services.Service) string {
	var conf []string
	for i, a := range sv.Args {
		if (a == "-f" || a == "-c") && i+1 < len(sv.Args) {
			conf = append(conf, sv.Args[i+1], path.Join(sv.Args[i+1], "boa.conf"))
		}
	}
	key := ""
	switch path.Base(sv.Program) {
	case "boa":
		conf, key = append(conf, "/etc/boa/boa.conf", path.Join(path.Dir(sv.Path), "boa.conf")), "User"
	case "lighttpd":
		conf, key = append(conf, "/etc/lighttpd/lighttpd.conf"), "server.username"
	case "nginx":
		conf, key = append(conf, "/etc/nginx/nginx.conf"), "user"
	case "vsftpd":
		return "ftp" // drops privileges by itself
	case "sshd", "avahi-daemon", "dnsmasq", "mosquitto":
		return map[string]string{"avahi-daemon": "avahi", "dnsmasq": "dnsmasq", "mosquitto": "mosquitto"}[path.Base(sv.Program)]
	default:
		return ""
	}
	for _, c := range conf {
		text, ok := v.Text(c)
		if !ok {
			continue
		}
		for line := range strings.Lines(text) {
			w := strings.Fields(strings.NewReplacer("=", " ", ";", " ", `"`, "").Replace(line))
			if len(w) >= 2 && w[0] == key {
				return w[1]
			}
		}
	}
	return ""
}

var (
	// heavy have no place in a product at all.
	heavy = map[string]string{
		"gdbserver": "debugger", "gdb": "debugger", "strace": "debugger", "ltrace": "debugger", "tcpdump": "sniffer", "tshark": "sniffer", "dumpcap": "sniffer", "nmap": "scanner",
		"masscan": "scanner", "hydra": "password guesser", "gcc": "compiler", "cc": "compiler", "g++": "compiler", "tcc": "compiler", "clang": "compiler", "make": "build tool",
		"aircrack-ng": "attack tool", "ettercap": "attack tool", "socat": "relay", "ncat": "relay",
	}
	light = map[string]string{
		"telnet": "telnet client", "tftp": "tftp client", "ftpget": "ftp client", "ftpput": "ftp client", "nc": "netcat", "netcat": "netcat", "iperf": "speed test", "iperf3": "speed test",
		"devmem": "raw memory access", "i2cset": "raw bus access", "telnetd": "telnet server", "tftpd": "tftp server", "ftpd": "ftp server", "pscan": "port scanner", "rsh": "rsh client", "arping": "",
	}
	leftover = regexp.MustCompile(`(?i)^(?:\.DS_Store|Thumbs\.db|\.git|\.gitignore|\.gitmodules|\.svn|\.bash_history|\.ash_history|\.viminfo|core|core\.[0-9]+|.*\.(?:swp|orig|rej|o|obj|pdb|gdbinit))$`)
	mail     = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._+-]{1,40}@[A-Za-z0-9][A-Za-z0-9-]{1,40}(?:\.[A-Za-z0-9-]{1,40})*\.(?:com|net|org|cn|de|fr|uk|us|io|edu|gov|co|jp|kr|tw|ru|eu|info)\b`)
)

// Leftovers gathers what was left inside while files are read once.
type Leftovers struct {
	private []string
}

// File looks at a small database or log for people's addresses.
func (l *Leftovers) File(f *view.File, data []byte) {
	if len(l.private) >= 24 || len(data) > 4<<20 {
		return
	}
	db := bytes.HasPrefix(data, []byte("SQLite format 3\x00"))
	base := path.Base(f.Path)
	logs := strings.HasSuffix(base, ".log") || strings.HasSuffix(base, "_history")
	if !db && !logs {
		return
	}
	people := map[string]bool{}
	for _, m := range mail.FindAll(data, 500) {
		if !bytes.Contains(m, []byte("example.")) {
			people[string(m)] = true
		}
	}
	if len(people) > 0 {
		l.private = append(l.private, fmt.Sprintf("%s: holds %d different e-mail addresses", f.At(), len(people)))
	}
}

// Minimal answers FS-14.
func Minimal(v *view.View, l *Leftovers) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-14", Confidence: ringwall.Observed}
	if !v.Root {
		f.Title = "no root file system was found"
		return f
	}
	var big, small, left []string
	programs := 0
	for _, e := range v.Files() {
		base := path.Base(e.Path)
		dir := path.Base(path.Dir(e.Path))
		if e.Mode.IsRegular() && e.Mode&0o111 != 0 {
			programs++
		}
		if leftover.MatchString(base) && (base != "core" || e.Mode.IsRegular() && e.Size > 64<<10) && !strings.HasPrefix(e.Path, "/dev/") && !strings.HasPrefix(e.Path, "/proc/") {
			left = append(left, e.At()+": left over from a build or a session")
		}
		if dir != "bin" && dir != "sbin" || e.Mode.IsDir() {
			continue
		}
		target, ok := v.Find(e.Path)
		applet := ok && strings.HasPrefix(path.Base(target.Path), "busybox")
		switch {
		case !ok:
		case heavy[base] != "" && !applet:
			big = append(big, e.At()+": "+heavy[base])
		case heavy[base] != "" || light[base] != "":
			what := heavy[base] + light[base]
			if applet {
				what += " of BusyBox"
			}
			small = append(small, e.Path+": "+what)
		}
	}
	f.Evidence = slices.Concat(bound(big, 12), bound(left, 12), bound(l.private, 12), bound(small, 12))
	switch {
	case len(big) > 0:
		f.Outcome, f.Title = ringwall.Fail, "tools for debugging, building or attacking were left in the image"
	case len(small)+len(left)+len(l.private) > 0:
		f.Outcome, f.Title = ringwall.Partial, "the image holds clients, servers or leftovers that a product does not need"
	case programs == 0:
		f.Title = "the image holds no programs to judge"
	default:
		f.Outcome, f.Title = ringwall.Pass, "no tool for debugging, building or attacking was found in the image"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d programs were looked at by name", programs))
	}
	return f
}

func bound(lines []string, n int) []string {
	if len(lines) > n {
		return append(lines[:n:n], fmt.Sprintf("and %d more of this kind", len(lines)-n))
	}
	return lines
}
