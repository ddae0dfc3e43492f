package posture

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// accounts lists the accounts that can have a password or a shell.
func (c *collector) accounts() {
	passwd, ok := c.read("etc/passwd", 256<<10)
	if !ok {
		c.note("etc/passwd: not there")
		return
	}
	shadow, readable := c.read("etc/shadow", 256<<10)
	_, err := fs.Stat(c.root, "etc/shadow")
	hidden := !errors.Is(err, fs.ErrNotExist) && !readable
	schemes := map[string]string{}
	for l := range strings.Lines(shadow) {
		if f := strings.Split(strings.TrimRight(l, "\r\n"), ":"); len(f) >= 2 {
			schemes[f[0]] = Scheme(f[1])
		}
	}
	for l := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimRight(l, "\r\n"), ":")
		if len(f) < 7 || f[0] == "" || strings.HasPrefix(f[0], "#") {
			continue
		}
		uid, err := strconv.Atoi(f[2])
		if err != nil {
			uid = -1
		}
		a := api.Account{Name: clean(f[0], 64), UID: uid, Shell: clean(f[6], 64)}
		switch s, inShadow := schemes[f[0]]; {
		case f[1] != "x":
			a.Scheme = Scheme(f[1])
		case inShadow:
			a.Scheme = s
		case hidden:
			a.Scheme = "unreadable"
		default: // "x" without a line in shadow: no password fits
			a.Scheme = "locked"
		}
		if !list(c, &c.p.Accounts, "accounts", a) {
			return
		}
	}
}

// Scheme names how a password is stored, by the form of what is stored (crypt(5)).
func Scheme(stored string) string {
	switch {
	case stored == "":
		return "empty"
	case strings.HasPrefix(stored, "!"), strings.HasPrefix(stored, "*"), stored == "x":
		return "locked"
	case strings.HasPrefix(stored, "$1$"):
		return "md5"
	case strings.HasPrefix(stored, "$5$"):
		return "sha256"
	case strings.HasPrefix(stored, "$6$"):
		return "sha512"
	case strings.HasPrefix(stored, "$y$"), strings.HasPrefix(stored, "$gy$"), strings.HasPrefix(stored, "$7$"):
		return "yescrypt"
	case strings.HasPrefix(stored, "$2"):
		return "bcrypt"
	case strings.HasPrefix(stored, "_"), len(stored) == 13:
		return "des"
	}
	return "locked" // nothing that crypt(3) makes: no password fits
}

// pseudo are file systems that hold no data of the device.
var pseudo = [...]string{
	"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "ramfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "pstore", "bpf", "mqueue",
	"hugetlbfs", "configfs", "fusectl", "efivarfs", "binfmt_misc", "autofs", "rpc_pipefs", "nsfs", "selinuxfs",
}

// mounts lists file systems that hold data, from mountinfo: as the first process
// sees them. Our own view may be one that a service manager has made read-only
// for us alone (systemd's ProtectSystem), so of it only the file systems' own
// options count.
func (c *collector) mounts() {
	text, ok := c.read("proc/1/mountinfo", 1<<20)
	own := !ok
	if own {
		if text, ok = c.read("proc/self/mountinfo", 1<<20); !ok {
			c.note("proc/self/mountinfo: not there")
			return
		}
	}
	maps := c.deviceMapper()
	for l := range strings.Lines(text) {
		f := strings.Fields(l)
		sep := slices.Index(f, "-")
		if sep < 6 || len(f) < sep+3 || slices.Contains(pseudo[:], f[sep+1]) {
			continue
		}
		// The options of the mount; those of the file system stand behind "-".
		options := strings.Split(f[5], ",")
		super := ""
		if len(f) > sep+3 {
			super = f[sep+3]
		}
		dm := maps[f[2]]
		m := api.Mount{
			Path: clean(unescape(f[4]), 200), Type: clean(f[sep+1], 40),
			ReadOnly: !own && slices.Contains(options, "ro") || slices.Contains(strings.Split(super, ","), "ro"), NoExec: slices.Contains(options, "noexec"),
			Encrypted: dm.crypt || f[sep+1] == "ecryptfs" || f[sep+1] == "fuse.gocryptfs", Verified: dm.verity,
		}
		switch m.Type {
		case "squashfs", "erofs", "cramfs", "romfs", "iso9660":
			m.ReadOnly = true
		}
		if !list(c, &c.p.Mounts, "mounts", m) {
			return
		}
	}
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	for _, p := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, p[0], p[1])
	}
	return s
}

type mapping struct{ crypt, verity bool }

// deviceMapper tells, by device number, what stands under a mapped device, all
// the way down.
func (c *collector) deviceMapper() map[string]mapping {
	kinds, numbers := map[string]mapping{}, map[string]string{}
	for _, e := range c.entries("sys/block") {
		if !strings.HasPrefix(e.Name(), "dm-") {
			continue
		}
		uuid := c.line("sys/block/" + e.Name() + "/dm/uuid")
		kinds[e.Name()] = mapping{
			crypt:  strings.HasPrefix(uuid, "CRYPT-") && !strings.HasPrefix(uuid, "CRYPT-VERITY"),
			verity: strings.HasPrefix(uuid, "CRYPT-VERITY") || strings.HasPrefix(uuid, "VERITY"),
		}
		numbers[e.Name()] = c.line("sys/block/" + e.Name() + "/dev")
	}
	var under func(name string, depth int) mapping
	under = func(name string, depth int) mapping {
		m := kinds[name]
		if depth < 4 {
			for _, e := range c.entries("sys/block/" + name + "/slaves") {
				if lower, ok := kinds[e.Name()]; ok && e.Name() != name {
					below := under(e.Name(), depth+1)
					m.crypt, m.verity = m.crypt || lower.crypt || below.crypt, m.verity || lower.verity || below.verity
				}
			}
		}
		return m
	}
	out := map[string]mapping{}
	for name, number := range numbers {
		out[number] = under(name, 0)
	}
	return out
}

// secretFiles are places where devices keep secrets.
var secretFiles = [...]string{
	"etc/wpa_supplicant.conf", "etc/wpa_supplicant/*.conf", "etc/config/wireless", "etc/hostapd.conf", "etc/hostapd/*.conf", "etc/ppp/*-secrets",
	"etc/ssh/ssh_host_*_key", "etc/dropbear/*_host_key", "etc/ssl/private/*", "etc/openvpn/*.key", "etc/wireguard/*.conf", "etc/stunnel/*.pem",
	"etc/NetworkManager/system-connections/*", "data/*/*.key", "etc/config/*.key",
}

// plainMarks are what a configuration with a readable secret holds.
var plainMarks = [...]string{"psk=\"", "wpa_passphrase=", "option key ", "option password ", "psk=", "password="}

// secrets tells which files of secrets others may read, and which hold one in
// the clear. No content leaves this function.
func (c *collector) secrets() {
	open, plain, checked := map[string]bool{}, map[string]bool{}, 0
	for _, pattern := range secretFiles {
		names, err := fs.Glob(c.root, pattern)
		if err != nil {
			continue
		}
		for _, name := range names[:min(len(names), 32)] {
			info, err := fs.Stat(c.root, name)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			checked++
			if info.Mode().Perm()&0o004 != 0 {
				open[name] = true
			}
			if text, ok := c.read(name, 64<<10); ok && path.Ext(name) != ".key" && holdsPlain(text) {
				plain[name] = true
			}
		}
	}
	c.fact("secrets-checked", strconv.Itoa(checked))
	c.fact("secrets-open", join(open))
	c.fact("secrets-plain", join(plain))
}

func holdsPlain(text string) bool {
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		for _, mark := range plainMarks {
			if v, ok := strings.CutPrefix(l, mark); ok && v != "" && !isHex64(v) {
				return true
			}
		}
	}
	return false
}

// isHex64 reports whether v is a derived Wi-Fi key: 64 hex digits.
func isHex64(v string) bool {
	return len(v) == 64 && strings.Trim(v, "0123456789abcdefABCDEF") == ""
}

// logging tells whether a log is kept, and whether it leaves the device.
func (c *collector) logging() {
	state, seen := "none", false
	c.processes(func(dir string) bool {
		seen = true
		cmd, _ := c.read(dir+"/cmdline", 4096)
		args := strings.Split(strings.TrimRight(cmd, "\x00"), "\x00")
		switch name := path.Base(args[0]); {
		case name == "syslogd" || len(args) > 1 && name == "busybox" && args[1] == "syslogd":
			state = "local"
			if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-R") }) {
				state = "remote"
			}
		case name == "rsyslogd" || name == "syslog-ng" || name == "logd" || name == "systemd-journald":
			if state == "none" {
				state = "local"
			}
		}
		return state != "remote"
	})
	if !seen {
		c.note("proc: no process can be seen")
		return
	}
	if text, ok := c.read("etc/rsyslog.conf", 64<<10); ok && state == "local" {
		for l := range strings.Lines(text) {
			if f := strings.Fields(l); len(f) == 2 && !strings.HasPrefix(f[0], "#") && strings.HasPrefix(f[1], "@") {
				state = "remote"
			}
		}
	}
	c.fact("log", state)
}
