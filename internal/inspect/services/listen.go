package services

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// daemon is a program known to wait for others.
type daemon struct {
	name  string // of the service
	proto string
	port  uint16 // where it waits unless told otherwise; 0 = must be told
	flag  string // the option that names a port or an address with one
	conf  string // its configuration, and the key of the port there
	key   string
	risky string
}

const (
	plain  = "its logins and data cross the network in the clear"
	noAuth = "it asks for no login"
	debugs = "it is a door for debugging"
)

// daemons are facts from the manuals of the programs.
func daemons() map[string]daemon {
	web := func(flag, conf, key string) daemon {
		return daemon{name: "http", proto: "tcp", port: 80, flag: flag, conf: conf, key: key}
	}
	return map[string]daemon{
		"telnetd":            {name: "telnet", proto: "tcp", port: 23, flag: "-p", risky: plain},
		"utelnetd":           {name: "telnet", proto: "tcp", port: 23, flag: "-p", risky: plain},
		"in.telnetd":         {name: "telnet", proto: "tcp", port: 23, risky: plain},
		"vsftpd":             {name: "ftp", proto: "tcp", port: 21, conf: "/etc/vsftpd.conf", key: "listen_port", risky: plain},
		"proftpd":            {name: "ftp", proto: "tcp", port: 21, conf: "/etc/proftpd.conf", key: "Port", risky: plain},
		"pure-ftpd":          {name: "ftp", proto: "tcp", port: 21, flag: "-S", risky: plain},
		"bftpd":              {name: "ftp", proto: "tcp", port: 21, conf: "/etc/bftpd.conf", key: "PORT", risky: plain},
		"stupid-ftpd":        {name: "ftp", proto: "tcp", port: 21, risky: plain},
		"uftpd":              {name: "ftp", proto: "tcp", port: 21, risky: plain},
		"atftpd":             {name: "tftp", proto: "udp", port: 69, flag: "--port", risky: noAuth},
		"utftpd":             {name: "tftp", proto: "udp", port: 69, risky: noAuth},
		"in.rshd":            {name: "rsh", proto: "tcp", port: 514, risky: plain},
		"rshd":               {name: "rsh", proto: "tcp", port: 514, risky: plain},
		"in.rlogind":         {name: "rlogin", proto: "tcp", port: 513, risky: plain},
		"rlogind":            {name: "rlogin", proto: "tcp", port: 513, risky: plain},
		"in.rexecd":          {name: "rexec", proto: "tcp", port: 512, risky: plain},
		"adbd":               {name: "adb", proto: "tcp", port: 5555, risky: debugs},
		"gdbserver":          {name: "gdb", proto: "tcp", risky: debugs},
		"dropbear":           {name: "ssh", proto: "tcp", port: 22, flag: "-p"},
		"sshd":               {name: "ssh", proto: "tcp", port: 22, flag: "-p", conf: "/etc/ssh/sshd_config", key: "Port"},
		"httpd":              web("-p", "", ""),
		"mini_httpd":         web("-p", "/etc/mini_httpd.conf", "port"),
		"thttpd":             web("-p", "/etc/thttpd.conf", "port"),
		"uhttpd":             web("-p", "", ""),
		"boa":                web("-p", "/etc/boa/boa.conf", "Port"),
		"lighttpd":           web("", "/etc/lighttpd/lighttpd.conf", "server.port"),
		"nginx":              web("", "/etc/nginx/nginx.conf", "listen"),
		"goahead":            web("", "", ""),
		"webs":               web("", "", ""),
		"appweb":             web("", "", ""),
		"shttpd":             web("-ports", "", ""),
		"snmpd":              {name: "snmp", proto: "udp", port: 161},
		"miniupnpd":          {name: "upnp", proto: "udp", port: 1900},
		"upnpd":              {name: "upnp", proto: "udp", port: 1900},
		"minidlnad":          {name: "dlna", proto: "tcp", port: 8200, flag: "-p"},
		"mosquitto":          {name: "mqtt", proto: "tcp", port: 1883, flag: "-p", conf: "/etc/mosquitto/mosquitto.conf", key: "listener"},
		"smbd":               {name: "smb", proto: "tcp", port: 445, flag: "-p"},
		"nmbd":               {name: "netbios", proto: "udp", port: 137},
		"avahi-daemon":       {name: "mdns", proto: "udp", port: 5353},
		"mdnsd":              {name: "mdns", proto: "udp", port: 5353},
		"dnsmasq":            {name: "dns", proto: "udp", port: 53, flag: "-p"},
		"dnsd":               {name: "dns", proto: "udp", port: 53, flag: "-p"},
		"udhcpd":             {name: "dhcp", proto: "udp", port: 67},
		"rpcbind":            {name: "rpcbind", proto: "tcp", port: 111},
		"portmap":            {name: "rpcbind", proto: "tcp", port: 111},
		"rsyncd":             {name: "rsync", proto: "tcp", port: 873},
		"x11vnc":             {name: "vnc", proto: "tcp", port: 5900, flag: "-rfbport"},
		"wsdd":               {name: "ws-discovery", proto: "udp", port: 3702},
		"wsdd2":              {name: "ws-discovery", proto: "udp", port: 3702},
		"live555MediaServer": {name: "rtsp", proto: "tcp", port: 8554},
		"v4l2rtspserver":     {name: "rtsp", proto: "tcp", port: 8554, flag: "-P"},
		"mediamtx":           {name: "rtsp", proto: "tcp", port: 8554},
		"rtspd":              {name: "rtsp", proto: "tcp", port: 554, flag: "-p"},
		"rtsp-server":        {name: "rtsp", proto: "tcp", port: 554, flag: "-p"},
		"rtspserver":         {name: "rtsp", proto: "tcp", port: 554, flag: "-p"},
		"onvif_srvd":         {name: "onvif", proto: "tcp", port: 1000, flag: "--port"},
		"fakeidentd":         {name: "ident", proto: "tcp", port: 113},
	}
}

// listener reads from the commands who waits where.
type listener struct {
	v   *view.View
	r   *Result
	box applets
}

func (l *listener) run() {
	l.box.v = l.v
	known := daemons()
	for i, c := range l.r.Commands {
		if c.Runs || !c.Sure {
			continue
		}
		for _, s := range l.services(known, c) {
			s.Command = c
			s.Path, s.Program, s.User = c.Path, c.Name, c.User
			ok, elsewhere := l.box.runnable(c)
			if !ok && !elsewhere {
				l.r.Notes = append(l.r.Notes, fmt.Sprintf("%s calls %s, which is not in the image", c.At(), view.Clip(c.Name, 60)))
				continue
			}
			s.Absent = !ok
			s.Stopped = l.stopped(c, i)
			l.add(s)
		}
	}
	l.inetd()
}

// add keeps one service of a kind and port; the more certain one.
func (l *listener) add(s Service) {
	for i, old := range l.r.Services {
		if old.Name == s.Name && old.Port == s.Port && old.Proto == s.Proto {
			if s.Certain() && !old.Certain() {
				l.r.Services[i] = s
			}
			return
		}
	}
	if len(l.r.Services) < 256 {
		l.r.Services = append(l.r.Services, s)
	}
}

// stopped tells where a later command, reached for certain, ends a program.
func (l *listener) stopped(c shell.Command, i int) string {
	name := path.Base(c.Name)
	for _, k := range l.r.Commands[i+1:] {
		if n := path.Base(k.Name); (n == "killall" || n == "pkill") && k.Always() && slices.Contains(k.Args, name) {
			// Started again afterwards?
			again := slices.ContainsFunc(l.r.Commands[i+1:], func(o shell.Command) bool { return path.Base(o.Name) == name })
			if !again {
				return k.At()
			}
		}
	}
	return ""
}

func (l *listener) services(known map[string]daemon, c shell.Command) []Service {
	name := path.Base(c.Name)
	switch name {
	case "inetd", "in.inetd":
		return nil
	case "tcpsvd", "udpsvd":
		return l.svd(c, name)
	case "nc", "netcat", "ncat", "socat":
		return l.netcat(c, name)
	case "iperf", "iperf3":
		if slices.Contains(c.Args, "-s") {
			return []Service{{Proto: "tcp", Port: map[string]uint16{"iperf": 5001, "iperf3": 5201}[name], Name: "iperf"}}
		}
		return nil
	case "ntpd":
		if !slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "-") && strings.Contains(a, "l") }) {
			return nil
		}
		return []Service{{Proto: "udp", Port: 123, Name: "ntp"}}
	case "in.tftpd", "tftpd":
		if slices.Contains(c.Args, "-l") || slices.Contains(c.Args, "-L") || slices.Contains(c.Args, "--listen") {
			return []Service{{Proto: "udp", Port: 69, Name: "tftp", Risky: noAuth}}
		}
		return nil
	}
	d, ok := known[name]
	if !ok {
		return nil
	}
	if name == "gdbserver" {
		for _, a := range c.Args {
			if port, local, ok := endpoint(a); ok {
				return []Service{{Proto: "tcp", Port: port, Local: local, Name: d.name, Risky: d.risky, NoLogin: true}}
			}
		}
		return nil
	}
	s := Service{Proto: d.proto, Port: d.port, Name: d.name, Risky: d.risky}
	var out []Service
	for _, at := range l.ports(c, d) {
		s.Port, s.Local = at.port, at.local
		out = append(out, l.shape(s, c, name))
	}
	if len(out) == 0 {
		out = []Service{l.shape(s, c, name)}
	}
	return out
}

// shape adds what the arguments say beside the port.
func (l *listener) shape(s Service, c shell.Command, name string) Service {
	if strings.HasSuffix(name, "telnetd") {
		if prog := after(c.Args, "-l"); prog != "" && path.Base(prog) != "login" && strings.HasSuffix(path.Base(prog), "sh") {
			s.NoLogin = true
		}
		if b := after(c.Args, "-b"); b != "" {
			if port, local, ok := endpoint(b); ok {
				s.Port, s.Local = port, local
			} else if a, err := netip.ParseAddr(b); err == nil {
				s.Local = a.IsLoopback()
			}
		}
	}
	if s.Name == "adb" && s.Port == 5555 && !l.adbOverTCP() {
		s.Port = 0 // over USB
	}
	return s
}

// adbOverTCP reports whether a property makes adbd listen on the network.
func (l *listener) adbOverTCP() bool {
	for _, p := range []string{"/default.prop", "/build.prop", "/system/build.prop", "/prop.default", "/vendor/build.prop"} {
		text, _ := l.v.Text(p)
		for line := range strings.Lines(text) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasSuffix(k, "adb.tcp.port") && v != "" && v != "-1" && v != "0" {
				return true
			}
		}
	}
	return false
}

type bind struct {
	port  uint16
	local bool
}

// ports reads where a program is told to wait: its arguments, then its
// configuration.
func (l *listener) ports(c shell.Command, d daemon) []bind {
	var out []bind
	for i, a := range c.Args {
		v := ""
		switch {
		case d.flag == "" || !strings.HasPrefix(a, d.flag):
			continue
		case a == d.flag && i+1 < len(c.Args):
			v = c.Args[i+1]
		case len(d.flag) == 2 && len(a) > 2:
			v = a[2:]
		case strings.HasPrefix(a, d.flag+"="):
			v = a[len(d.flag)+1:]
		}
		if port, local, ok := endpoint(v); ok {
			out = append(out, bind{port, local})
		}
	}
	if len(out) > 0 || d.key == "" {
		return out
	}
	return l.configured(c, d)
}

func (l *listener) configured(c shell.Command, d daemon) []bind {
	conf := d.conf
	for i, a := range c.Args[:max(len(c.Args)-1, 0)] {
		switch v := c.Args[i+1]; a {
		case "-f", "-C":
			conf = v
		case "-c":
			// The folder of boa, the file of others.
			if conf = v; path.Base(c.Name) == "boa" {
				conf = path.Join(v, "boa.conf")
			}
		}
	}
	if conf == d.conf {
		// The program's own folder is where vendors put it.
		for _, p := range []string{d.conf, path.Join(path.Dir(c.Path), path.Base(d.conf))} {
			if _, ok := l.v.Text(p); ok {
				conf = p
				break
			}
		}
	}
	text, _ := l.v.Text(conf)
	var out []bind
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		rest, ok := strings.CutPrefix(line, d.key)
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], " \t=") || len(out) > 16 {
			continue
		}
		v := strings.Trim(strings.TrimSpace(strings.TrimLeft(rest, " \t=")), `";`)
		v, _, _ = strings.Cut(v, " ")
		if port, local, ok := endpoint(strings.TrimRight(v, ";")); ok {
			out = append(out, bind{port, local})
		}
	}
	return out
}

// endpoint reads "port", "address:port" and "[address]:port".
func endpoint(v string) (port uint16, local, ok bool) {
	if !shell.Sure(v) || v == "" {
		return 0, false, false
	}
	host := ""
	if i := strings.LastIndexByte(v, ':'); i >= 0 {
		host, v = strings.Trim(v[:i], "[]"), v[i+1:]
	}
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n == 0 {
		return 0, false, false
	}
	a, err := netip.ParseAddr(host)
	return uint16(n), host == "localhost" || err == nil && a.IsLoopback(), true
}

func after(args []string, flag string) string {
	for i, a := range args {
		if a == flag && i+1 < len(args) {
			return args[i+1]
		}
		if v, ok := strings.CutPrefix(a, flag); ok && v != "" && len(flag) == 2 {
			return v
		}
	}
	return ""
}

// svd reads tcpsvd and udpsvd: options, address, port, program.
func (l *listener) svd(c shell.Command, name string) []Service {
	s := Service{Proto: "tcp"}
	if name == "udpsvd" {
		s.Proto = "udp"
	}
	for i, a := range c.Args {
		n, err := strconv.ParseUint(a, 10, 16)
		if err != nil || n == 0 || i == 0 || i+1 >= len(c.Args) || strings.HasPrefix(c.Args[i-1], "-") && len(c.Args[i-1]) == 2 && strings.Contains("cCbuliht", c.Args[i-1][1:]) {
			continue
		}
		s.Port = uint16(n)
		if ip, err := netip.ParseAddr(c.Args[i-1]); err == nil {
			s.Local = ip.IsLoopback()
		}
		prog := path.Base(c.Args[i+1])
		s.Name = strings.TrimSuffix(prog, "d")
		switch prog {
		case "ftpd":
			s.Risky = plain
		case "tftpd":
			s.Risky = noAuth
		case "sh", "ash", "bash":
			s.Name, s.Risky, s.NoLogin = "shell", noAuth, true
		case "telnetd", "in.telnetd":
			s.Name, s.Risky = "telnet", plain
		}
		return []Service{s}
	}
	return nil
}

// netcat tells a listening one, and one that hands out a shell.
func (l *listener) netcat(c shell.Command, name string) []Service {
	s := Service{Proto: "tcp", Name: "netcat"}
	joined := strings.Join(c.Args, " ")
	gives := strings.Contains(joined, "/bin/sh") || strings.Contains(joined, "/bin/ash") || strings.Contains(joined, "/bin/bash") || strings.Contains(joined, "/bin/busybox")
	if name == "socat" {
		_, rest, ok := strings.Cut(strings.ToUpper(joined), "TCP")
		_, rest, listens := strings.Cut(rest, "LISTEN:")
		if !ok || !listens {
			return nil
		}
		num := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if len(num) > 0 {
			s.Port, s.Local, _ = endpoint(num[0])
		}
	} else {
		if !slices.ContainsFunc(c.Args, func(a string) bool {
			return strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.ContainsAny(a, "lL") || a == "--listen"
		}) {
			return nil
		}
		for _, a := range c.Args {
			if port, _, ok := endpoint(strings.TrimLeft(a, "-lp")); ok {
				s.Port = port
			}
		}
	}
	if gives {
		s.Name, s.Risky, s.NoLogin = "shell", noAuth, true
	}
	return []Service{s}
}

func inetService(proto string, port uint16, local bool, program, user, file string, line int, when []string) Service {
	f := strings.Fields(program)
	name := ""
	if len(f) > 0 {
		name = path.Base(f[0])
	}
	s := Service{Proto: proto, Port: port, Local: local, Program: name, User: user, Name: strings.TrimSuffix(strings.TrimPrefix(name, "in."), "d")}
	if d, ok := daemons()[name]; ok {
		s.Name, s.Risky = d.name, d.risky
	}
	switch name {
	case "ftpd", "in.ftpd":
		s.Name, s.Risky = "ftp", plain
	case "tftpd", "in.tftpd":
		s.Name, s.Risky = "tftp", noAuth
	case "sh", "bash", "ash":
		s.Name, s.Risky, s.NoLogin = "shell", noAuth, true
	}
	s.Command = shell.Command{Name: name, Args: f[min(1, len(f)):], File: file, Line: line, Text: view.Clip(program, 120), When: when, Sure: true}
	if len(f) > 0 && strings.HasPrefix(f[0], "/") {
		s.Path = f[0]
		s.Command.Path = f[0]
	}
	return s
}
