package services

import (
	"path"
	"strings"

	"github.com/ringwall/ringwall/internal/inspect/shell"
)

// wellKnown are the ports behind the names that inetd.conf uses.
var wellKnown = map[string]uint16{
	"telnet": 23, "ftp": 21, "tftp": 69, "shell": 514, "login": 513, "exec": 512, "ssh": 22, "finger": 79, "http": 80,
	"echo": 7, "discard": 9, "daytime": 13, "chargen": 19, "time": 37, "netbios-ssn": 139, "swat": 901, "rsync": 873,
}

// inetd adds what a started inetd or xinetd waits for.
func (l *listener) inetd() {
	for _, c := range l.r.Commands {
		switch path.Base(c.Name) {
		case "inetd", "in.inetd":
			if ok, _ := l.box.runnable(c); !ok {
				continue
			}
			conf := "/etc/inetd.conf"
			for _, a := range c.Args {
				if strings.HasPrefix(a, "/") {
					conf = a
				}
			}
			l.inetdConf(conf, c)
		case "xinetd":
			if ok, _ := l.box.runnable(c); !ok {
				continue
			}
			l.xinetdConf("/etc/xinetd.conf", c)
			for _, n := range l.v.List("/etc/xinetd.d") {
				l.xinetdConf("/etc/xinetd.d/"+n, c)
			}
		}
	}
}

func (l *listener) inetdConf(conf string, c shell.Command) {
	text, _ := l.v.Text(conf)
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Fields(line)
		if len(f) < 6 || strings.HasPrefix(f[0], "#") {
			continue
		}
		name := f[0]
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name = name[i+1:]
		}
		port, ok := wellKnown[name]
		if !ok {
			port, _, ok = endpoint(name)
		}
		proto := strings.TrimRight(f[2], "46")
		if !ok || proto != "tcp" && proto != "udp" {
			continue
		}
		program := strings.Join(f[5:], " ")
		if f[5] != "internal" && len(f) > 6 {
			program = f[5] + " " + strings.Join(f[7:], " ")
		}
		user, _, _ := strings.Cut(f[4], ".")
		l.handed(inetService(proto, port, strings.HasPrefix(f[0], "127."), program, user, conf, n, c.When), name)
	}
}

func (l *listener) xinetdConf(file string, c shell.Command) {
	text, _ := l.v.Text(file)
	name, at, n := "", 0, 0
	set := map[string]string{}
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line == "{":
		case strings.HasPrefix(line, "service "):
			name, at, set = strings.TrimSpace(strings.TrimSuffix(line[8:], "{")), n, map[string]string{}
		case line == "}":
			if name != "" && set["disable"] != "yes" && set["server"] != "" {
				port, ok := wellKnown[name]
				if p, _, given := endpoint(set["port"]); given {
					port, ok = p, true
				}
				proto := set["protocol"]
				if proto == "" {
					proto = map[bool]string{true: "udp", false: "tcp"}[set["socket_type"] == "dgram"]
				}
				if ok {
					bound := set["bind"] + set["interface"]
					l.handed(inetService(proto, port, strings.HasPrefix(bound, "127.") || bound == "localhost", set["server"]+" "+set["server_args"], set["user"], file, at, c.When), name)
				}
			}
			name = ""
		default:
			if k, v, ok := strings.Cut(line, "="); ok && len(set) < 64 {
				set[strings.TrimSpace(strings.TrimRight(k, "+- "))] = strings.TrimSpace(v)
			}
		}
	}
}

// handed adds a service whose program is started for each caller, if the
// program is there.
func (l *listener) handed(s Service, name string) {
	if s.Name == "internal" {
		s.Name = name
	} else if ok, elsewhere := l.box.runnable(s.Command); !ok && !elsewhere {
		return
	}
	l.add(s)
}
