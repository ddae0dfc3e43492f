package services

import (
	"path"
	"slices"
	"strings"
)

var unitDirs = []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// maxUnits bounds how many units are followed.
const maxUnits = 2000

// unit is one file of systemd: values by section and key, in order.
type unit struct {
	name, file string
	values     map[string][]value
}

type value struct {
	line int
	text string
}

func (u *unit) all(key string) []string {
	var out []string
	for _, v := range u.values[key] {
		out = append(out, strings.Fields(v.text)...)
	}
	return out
}

func (u *unit) last(key string) string {
	vs := u.values[key]
	if len(vs) == 0 {
		return ""
	}
	return vs[len(vs)-1].text
}

// parseUnit reads a unit file: "Section/Key" to values; a line that ends in a
// backslash goes on, an empty value takes back those before it.
func parseUnit(text string) map[string][]value {
	out := map[string][]value{}
	section, pending, first := "", "", 0
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if pending == "" {
			if line == "" || line[0] == '#' || line[0] == ';' {
				continue
			}
			if line[0] == '[' {
				section = strings.Trim(line, "[]")
				continue
			}
			first = n
		}
		if cut, ok := strings.CutSuffix(line, `\`); ok && len(pending) < 64<<10 {
			pending += cut + " "
			continue
		}
		k, v, ok := strings.Cut(pending+line, "=")
		pending = ""
		if !ok || len(out) > 1000 {
			continue
		}
		key := section + "/" + strings.TrimSpace(k)
		if v = strings.TrimSpace(v); v == "" {
			delete(out, key)
			continue
		}
		out[key] = append(out[key], value{first, v})
	}
	return out
}

func (b *boot) unit(name string) *unit {
	for _, dir := range unitDirs {
		p := path.Join(dir, name)
		f, ok := b.v.Find(p)
		if !ok {
			// A template stands for all its instances.
			if base, inst, at := strings.Cut(name, "@"); at && !strings.HasPrefix(inst, ".") {
				p = path.Join(dir, base+"@"+path.Ext(name))
				f, ok = b.v.Find(p)
			}
			if !ok {
				if link, there := b.v.Lookup(p); there && link.Link == "/dev/null" {
					return nil // masked
				}
				continue
			}
		}
		if b.v.Target(p) == "/dev/null" {
			return nil
		}
		text, _ := b.v.TextOf(f)
		return &unit{name: name, file: p, values: parseUnit(text)}
	}
	return nil
}

// systemd follows the default target.
func (b *boot) systemd() bool {
	program := slices.ContainsFunc([]string{"/lib/systemd/systemd", "/usr/lib/systemd/systemd"}, func(p string) bool {
		_, ok := b.v.Find(p)
		return ok
	})
	units := slices.ContainsFunc(unitDirs[1:], func(p string) bool { return len(b.v.List(p)) > 0 })
	if f, ok := b.v.Find("/sbin/init"); !program && (!units || ok && !strings.Contains(f.Path, "systemd")) {
		return false
	}
	b.found("systemd")
	queue := []string{"sysinit.target", "basic.target", "default.target"}
	for _, dir := range unitDirs {
		if f, ok := b.v.Lookup(path.Join(dir, "default.target")); ok && f.Link != "" {
			queue = append(queue, path.Base(f.Link))
			break
		}
	}
	if len(queue) == 3 {
		queue = append(queue, "multi-user.target")
	}
	seen := map[string]bool{}
	for len(queue) > 0 && len(seen) < maxUnits {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, dir := range unitDirs {
			for _, suffix := range []string{".wants", ".requires"} {
				for _, n := range b.v.List(path.Join(dir, name+suffix)) {
					if l, ok := b.v.Lookup(path.Join(dir, name+suffix, n)); ok && l.Link != "/dev/null" {
						queue = append(queue, n)
					}
				}
			}
		}
		u := b.unit(name)
		if u == nil {
			continue
		}
		for _, k := range []string{"Wants", "Requires", "BindsTo", "Requisite"} {
			queue = append(queue, u.all("Unit/"+k)...)
		}
		b.activate(u)
	}
	b.folder("/etc/rc3.d") // for scripts without a unit; a script with one starts the same program
	return true
}

func (b *boot) activate(u *unit) {
	var when []string
	for _, k := range []string{"ConditionPathExists", "ConditionKernelCommandLine", "ConditionFileIsExecutable", "ConditionPathIsDirectory"} {
		for _, c := range u.all("Unit/" + k) {
			if strings.HasPrefix(c, "!") || strings.HasPrefix(c, "|") || k != "ConditionKernelCommandLine" && b.exists(c) {
				continue
			}
			when = append(when, k+" "+c)
		}
	}
	switch path.Ext(u.name) {
	case ".service":
		user := u.last("Service/User")
		for _, k := range []string{"Service/ExecStartPre", "Service/ExecStart", "Service/ExecStartPost"} {
			for _, v := range u.values[k] {
				b.t.LineAs(u.file, v.line, unitCommand(v.text), user, when...)
			}
		}
	case ".socket":
		b.socket(u, when)
	}
}

func (b *boot) exists(p string) bool {
	_, ok := b.v.Find(p)
	return ok
}

// unitCommand takes the prefixes off a command of a unit; its language is no
// shell's, so what a shell would read otherwise is quoted.
func unitCommand(s string) string {
	s = strings.TrimLeft(s, "-@:+!")
	return strings.NewReplacer(";", `\;`, "&", `\&`, "|", `\|`, "(", `\(`, ")", `\)`, "<", `\<`, ">", `\>`, "`", "\\`", "*", `\*`).Replace(s)
}

// socket notes a port that systemd itself opens for a service.
func (b *boot) socket(u *unit, when []string) {
	service := u.last("Socket/Service")
	if service == "" {
		base := strings.TrimSuffix(u.name, ".socket")
		service = base + ".service"
		if a := u.last("Socket/Accept"); a == "yes" || a == "true" || a == "1" {
			service = base + "@.service"
		}
	}
	program, user, file := "", "", u.file
	if s := b.unit(service); s != nil {
		program, user = strings.TrimLeft(s.last("Service/ExecStart"), "-@:+!"), s.last("Service/User")
	}
	for _, k := range []string{"Socket/ListenStream", "Socket/ListenDatagram"} {
		for _, v := range u.values[k] {
			proto := "tcp"
			if strings.HasSuffix(k, "Datagram") {
				proto = "udp"
			}
			if port, local, ok := endpoint(v.text); ok {
				b.r.Services = append(b.r.Services, inetService(proto, port, local, program, user, file, v.line, when))
			}
		}
	}
}
