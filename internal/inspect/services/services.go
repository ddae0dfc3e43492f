// Package services finds what a device starts by itself: it follows the start
// of the system from its first program through every script to the programs
// that are left running, and tells which of them wait for somebody on the
// network.
//
// It knows BusyBox's and System V's inittab with their rc folders, OpenWrt's
// rc.common and procd, systemd units and sockets, inetd and xinetd, and
// Android's init language. What it says is what the image says: a program that
// a script starts on a condition that only the running device can answer is
// reported with that condition, a line that is never reached is not reported,
// and a program that is not in the image is not started. Nothing here was seen
// on a wire; the confidence is never more than observed.
//
// Formats: BusyBox init, inittab(5), systemd.unit(5), systemd.service(5),
// systemd.socket(5), inetd.conf of 4.4BSD, xinetd.conf(5), OpenWrt's rc.common.
package services

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Result is what starts, and what came to light on the way.
type Result struct {
	Found    bool     // there is a start that could be followed
	How      []string // what it is, such as "/etc/inittab"
	Commands []shell.Command
	Missing  []shell.Missing
	Notes    []string
	Services []Service
	// Plugged is what is run when a device is plugged in.
	Plugged []shell.Command
}

// Service is one program that waits for others.
type Service struct {
	Proto   string // "tcp" or "udp"
	Port    uint16 // 0 when it is not known
	Name    string // such as "telnet", "http", "rtsp"
	Program string // as it is called
	Path    string // in the image, "" when unknown
	User    string // "" = root
	Risky   string // why it must not run at all, "" when it may
	NoLogin bool   // gives a shell without asking for a password
	Local   bool   // listens to the device itself only
	Stopped string // where it is stopped again
	Absent  bool   // its program is on a partition that is not in the image
	shell.Command
}

// Certain reports whether the service is there whenever the device runs.
func (s Service) Certain() bool { return s.Always() && s.Stopped == "" && !s.Absent }

// host shows a view to the shell.
type host struct{ v *view.View }

func (h host) Text(p string) (string, bool) { return h.v.Text(p) }
func (h host) List(dir string) []string     { return h.v.List(dir) }

func (h host) Exists(p string) shell.Truth {
	if !shell.Sure(p) {
		return shell.Maybe
	}
	if _, ok := h.v.Find(p); ok {
		return shell.True
	}
	if h.v.Writable(h.v.Target(p)) {
		return shell.Maybe
	}
	return shell.False
}

// Executable reports whether a mode lets anybody run a file.
func (h host) Executable(p string) bool {
	f, ok := h.v.Find(p)
	return ok && f.Mode&0o111 != 0
}

func (h host) Kind(p string) string {
	f, ok := h.v.Find(p)
	switch {
	case !ok:
		return ""
	case f.Mode.IsDir():
		return shell.KindDir
	case !f.Mode.IsRegular():
		return shell.KindFile
	}
	if text, ok := h.v.TextOf(f); ok && script(text, f.Path) {
		return shell.KindScript
	}
	return shell.KindFile
}

// script reports whether a shell would run a text: by its first line, or, as
// the kernel leaves it to the shell, because it is a text without one.
func script(text, p string) bool {
	if line, ok := strings.CutPrefix(text, "#!"); ok {
		line, _, _ = strings.Cut(line, "\n")
		f := strings.Fields(line)
		if len(f) == 0 {
			return false
		}
		name := path.Base(f[0])
		if name == "env" && len(f) > 1 {
			name = path.Base(f[1])
		}
		return strings.HasSuffix(name, "sh") || name == "busybox"
	}
	switch path.Ext(p) {
	case ".conf", ".cfg", ".ini", ".json", ".xml", ".txt", ".html", ".lua", ".py", ".pl", ".js":
		return false
	}
	return true
}

// Examine follows the start of a view.
func Examine(v *view.View) *Result {
	r := &Result{}
	if !v.Root {
		r.Notes = append(r.Notes, "no root file system was found, so no start could be followed")
		return r
	}
	b := &boot{v: v, r: r, t: &shell.Tracer{Host: host{v}}}
	b.run()
	r.Commands, r.Missing = b.t.Res.Commands, b.t.Res.Missing
	r.Notes = append(r.Notes, b.t.Res.Notes...)
	b.plugged()
	l := listener{v: v, r: r}
	l.run()
	return r
}

// Programs returns the files in the image that are started or may be, by path.
func (r *Result) Programs(v *view.View) map[string]bool {
	out := map[string]bool{}
	for _, c := range r.Commands {
		if f, ok := v.Find(c.Path); c.Path != "" && ok && !c.Runs {
			out[f.Path] = true
		}
	}
	return out
}

// applets tells whether the BusyBox of the image has a command of this name.
type applets struct {
	v     *view.View
	boxes map[string][]byte
}

func (a *applets) has(box *view.File, name string) bool {
	if a.boxes == nil {
		a.boxes = map[string][]byte{}
	}
	data, ok := a.boxes[box.Path]
	if !ok {
		data = a.v.Data(box)
		a.boxes[box.Path] = data
	}
	// The table of names is NUL-separated; usage texts are not preceded so.
	return data == nil || !bytes.Contains(data, []byte("BusyBox")) || bytes.Contains(data, []byte("\x00"+name+"\x00"))
}

func (a *applets) box() *view.File {
	for _, p := range []string{"/bin/busybox", "/sbin/busybox", "/usr/bin/busybox", "/usr/sbin/busybox"} {
		if f, ok := a.v.Find(p); ok && f.Mode.IsRegular() {
			return f
		}
	}
	return nil
}

// runnable reports whether a command's program is in the image, and whether it
// may be on a partition that is not.
func (a *applets) runnable(c shell.Command) (ok, elsewhere bool) {
	name := path.Base(c.Name)
	if c.Path != "" {
		f, found := a.v.Find(c.Path)
		if !found {
			return false, a.v.Writable(c.Path)
		}
		if strings.HasPrefix(path.Base(f.Path), "busybox") {
			return a.has(f, name), false
		}
		return true, false
	}
	box := a.box()
	if box != nil {
		return a.has(box, name), false
	}
	// A tree without any shell is a part of a system, an overlay: what it
	// calls stands in the other part.
	whole := slices.ContainsFunc([]string{"/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh"}, func(p string) bool {
		_, ok := a.v.Lookup(p)
		return ok
	})
	return !whole, false
}
