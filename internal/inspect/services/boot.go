package services

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// boot follows the start of one view.
type boot struct {
	v *view.View
	r *Result
	t *shell.Tracer
}

func (b *boot) found(how string) {
	b.r.Found = true
	if !slices.Contains(b.r.How, how) {
		b.r.How = append(b.r.How, how)
	}
}

func (b *boot) run() {
	switch {
	case b.systemd():
	case b.inittab():
	case b.android():
	default:
		b.plain()
	}
	b.rcLocal()
}

// Entry is one line of an inittab.
type Entry struct {
	Line                        int
	ID, Levels, Action, Process string
}

// ParseInittab reads an inittab; lines without the four fields are passed over.
func ParseInittab(text string) []Entry {
	var out []Entry
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || len(out) >= 1000 {
			continue
		}
		f := strings.SplitN(line, ":", 4)
		if len(f) == 4 {
			out = append(out, Entry{n, f[0], f[1], f[2], f[3]})
		}
	}
	return out
}

func (b *boot) inittab() bool {
	text, ok := b.v.Text("/etc/inittab")
	if !ok {
		return false
	}
	b.found("/etc/inittab")
	entries := ParseInittab(text)
	level := ""
	for _, e := range entries {
		if e.Action == "initdefault" {
			level = e.Levels
		}
	}
	// init runs sysinit first, then what it waits for, then the rest.
	for _, wave := range [][]string{{"sysinit", "boot", "bootwait"}, {"wait"}, {"once", "respawn", "askfirst", "respawnlate", "askconsole", "askconsolelate"}} {
		for _, e := range entries {
			if !slices.Contains(wave, e.Action) || level != "" && e.Levels != "" && wave[0] != "sysinit" && !strings.Contains(e.Levels, level) {
				continue
			}
			b.process(e)
		}
	}
	return true
}

func (b *boot) process(e Entry) {
	f := strings.Fields(strings.TrimPrefix(e.Process, "-"))
	if len(f) == 0 {
		return
	}
	name := path.Base(f[0])
	switch {
	case name == "rc" && len(f) == 2 && len(f[1]) == 1:
		b.folder("/etc/rc"+f[1]+".d", "/etc/rc.d/rc"+f[1]+".d")
		return
	case name == "rcS" && len(f) >= 2 && len(b.v.List("/etc/rc.d")) > 0:
		b.openwrt()
		return
	}
	var when []string
	if strings.HasPrefix(e.Action, "ask") {
		when = []string{"somebody presses Enter on the console"}
	}
	before := len(b.t.Res.Commands)
	b.t.Line("/etc/inittab", e.Line, strings.TrimPrefix(e.Process, "-"), when...)
	if name == "rcS" && len(b.t.Res.Commands) <= before+1 {
		// A start script that could not be followed: its folder tells.
		b.folder("/etc/rcS.d")
	}
}

// folder starts the scripts of a System V folder in order.
func (b *boot) folder(dirs ...string) {
	for _, dir := range dirs {
		for _, n := range b.v.List(dir) {
			if strings.HasPrefix(n, "S") {
				b.t.Run(path.Join(dir, n), []string{"start"})
				b.found(dir)
			}
		}
	}
}

// openwrt starts the enabled scripts of rc.common and procd.
func (b *boot) openwrt() {
	for _, n := range b.v.List("/etc/rc.d") {
		if !strings.HasPrefix(n, "S") {
			continue
		}
		b.found("/etc/rc.d")
		p := path.Join("/etc/rc.d", n)
		if text, ok := b.v.Text(p); ok && strings.Contains(firstLine(text), "rc.common") {
			b.t.Call(p, "boot", "start", "start_service")
		} else if ok {
			b.t.Run(p, []string{"boot"})
		}
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// plain is what BusyBox's init does without an inittab, and what a kernel does
// with a script as its first program.
func (b *boot) plain() {
	for _, p := range []string{"/init", "/linuxrc", "/sbin/init", "/etc/preinit"} {
		if text, ok := b.v.Text(p); ok && script(text, p) && text != "" {
			b.found(p)
			b.t.Run(p, nil)
			if p != "/etc/preinit" {
				return
			}
		}
	}
	if _, ok := b.v.Text("/etc/init.d/rcS"); ok {
		b.found("/etc/init.d/rcS")
		b.t.Run("/etc/init.d/rcS", nil)
	}
	if len(b.v.List("/etc/rc.d")) > 0 && !slices.Contains(b.r.How, "/etc/rc.d") {
		b.openwrt()
	}
	for _, d := range []string{"/etc/rcS.d", "/etc/rc3.d", "/etc/rc2.d"} {
		if len(b.v.List(d)) > 0 {
			b.folder(d)
		}
	}
}

// rcLocal follows /etc/rc.local where the system would run it: OpenWrt always,
// others when it may be executed.
func (b *boot) rcLocal() {
	f, ok := b.v.Find("/etc/rc.local")
	if !ok || slices.ContainsFunc(b.t.Res.Commands, func(c shell.Command) bool { return c.Path == "/etc/rc.local" || c.File == "/etc/rc.local" }) {
		return
	}
	_, uci := b.v.Find("/etc/config")
	if !uci && f.Mode&0o111 == 0 {
		return
	}
	if _, ok := b.v.Text("/etc/rc.local"); ok {
		b.found("/etc/rc.local")
		b.t.Run("/etc/rc.local", nil)
	}
}

var (
	runRule  = regexp.MustCompile(`RUN\+?="([^"]+)"`)
	toHelper = "/proc/sys/kernel/hotplug"
)

// plugged follows what is run when something is plugged in.
func (b *boot) plugged() {
	// What the kernel and mdev or procd tell a helper (mdev.txt of BusyBox).
	t := &shell.Tracer{Host: host{b.v}, Env: map[string]string{
		"ACTION": "add", "MDEV": shell.Unsure, "DEVNAME": shell.Unsure, "DEVPATH": shell.Unsure, "SUBSYSTEM": "block", "DEVTYPE": "partition", "ID_FS_TYPE": shell.Unsure,
	}}
	const when = "a device is plugged in"
	if text, ok := b.v.Text("/etc/mdev.conf"); ok {
		n := 0
		for line := range strings.Lines(text) {
			n++
			f := strings.Fields(line)
			if len(f) < 4 || strings.HasPrefix(f[0], "#") {
				continue
			}
			for i, w := range f[3:] {
				if c := strings.TrimLeft(w, "@$*"); c != w {
					cmd := strings.Join(append([]string{c}, f[4+i:]...), " ")
					t.Line("/etc/mdev.conf", n, cmd, when)
					break
				}
			}
		}
	}
	for _, c := range b.t.Res.Commands {
		if c.Out == toHelper && len(c.Args) == 1 && shell.Sure(c.Args[0]) && path.Base(c.Args[0]) != "mdev" {
			t.Run(c.Args[0], nil, when)
		}
	}
	for _, sub := range b.v.List("/etc/hotplug.d") {
		for _, n := range b.v.List("/etc/hotplug.d/" + sub) {
			t.Run(path.Join("/etc/hotplug.d", sub, n), nil, when)
		}
	}
	for _, dir := range []string{"/etc/udev/rules.d", "/lib/udev/rules.d", "/usr/lib/udev/rules.d"} {
		for _, n := range b.v.List(dir) {
			text, _ := b.v.Text(path.Join(dir, n))
			k := 0
			for line := range strings.Lines(text) {
				k++
				if m := runRule.FindStringSubmatch(line); m != nil && !strings.HasPrefix(strings.TrimSpace(line), "#") {
					t.Line(path.Join(dir, n), k, m[1], when)
				}
			}
		}
	}
	b.r.Plugged = t.Res.Commands
}

// android reads the init language of Android.
func (b *boot) android() bool {
	var files []string
	for _, dir := range []string{"/", "/system/etc/init", "/vendor/etc/init", "/etc/init"} {
		for _, n := range b.v.List(dir) {
			if strings.HasSuffix(n, ".rc") {
				files = append(files, path.Join(dir, n))
			}
		}
	}
	if len(files) == 0 {
		return false
	}
	type service struct {
		file, text, user string
		line             int
		disabled         bool
	}
	var all []service
	names := map[string]int{}
	started := map[string]bool{}
	for _, file := range files {
		text, _ := b.v.Text(file)
		n, at := 0, -1
		for line := range strings.Lines(text) {
			n++
			f := strings.Fields(line)
			if len(f) == 0 || f[0][0] == '#' || len(all) > 1000 {
				continue
			}
			switch {
			case f[0] == "service" && len(f) >= 3:
				all = append(all, service{file: file, line: n, text: strings.Join(f[2:], " ")})
				at = len(all) - 1
				names[f[1]] = at
			case f[0] == "on":
				at = -1
			case at >= 0 && f[0] == "disabled":
				all[at].disabled = true
			case at >= 0 && f[0] == "user" && len(f) > 1:
				all[at].user = f[1]
			case at < 0 && f[0] == "start" && len(f) > 1:
				started[f[1]] = true
			}
		}
	}
	for name, i := range names {
		if started[name] {
			all[i].disabled = false
		}
	}
	for _, s := range all {
		if !s.disabled {
			b.t.LineAs(s.file, s.line, s.text, s.user)
		}
	}
	if len(all) > 0 {
		b.found(files[0])
	}
	return len(all) > 0
}
