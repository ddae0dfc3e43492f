package judge

import (
	"slices"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// shells are programs and ports by which a stranger gets a command line or
// files in the clear.
var shells = map[string]bool{
	"telnetd": true, "utelnetd": true, "in.telnetd": true, "ftpd": true, "vsftpd": true, "proftpd": true, "pure-ftpd": true, "tftpd": true, "in.tftpd": true,
	"atftpd": true, "rshd": true, "in.rshd": true, "rlogind": true, "adbd": true, "inetutils-inetd": true,
}

var shellPorts = map[string]string{
	"tcp/21": "ftp", "tcp/23": "telnet", "tcp/2323": "telnet", "udp/69": "tftp", "tcp/512": "rexec", "tcp/513": "rlogin", "tcp/514": "rsh", "tcp/5555": "adb",
}

// outside reports whether somebody else than the device itself can reach it.
func outside(l api.Listener) bool { return l.Proto != "unix" && !l.Addr.Addr().IsLoopback() }

func port(l api.Listener) string { return l.Proto + "/" + strconv.Itoa(int(l.Addr.Port())) }

func describe(l api.Listener) string {
	s := port(l) + " on " + l.Addr.Addr().String()
	if l.Program != "" {
		s += " by " + l.Program
	}
	return s
}

func (j *judge) services() {
	const fs = ringwall.Firmware
	if hidden := j.unread("proc/net/"); len(hidden) > 0 && len(j.p.Listening) == 0 {
		j.say("FS-03", fs, ringwall.Unknown, ringwall.Observed, "The sockets could not be read", "", hidden...)
		j.say("FS-08", fs, ringwall.Unknown, ringwall.Observed, "The sockets could not be read", "", hidden...)
		j.say("CO-01", ringwall.Communication, ringwall.Unknown, ringwall.Observed, "The sockets could not be read", "", hidden...)
		return
	}
	var shell, root, other, unknown []string
	for _, l := range j.p.Listening {
		if name := shellPorts[port(l)]; l.Proto != "unix" && (shells[l.Program] || name != "" && (l.Program == "" || outside(l))) {
			shell = append(shell, describe(l))
		}
		if !outside(l) {
			continue
		}
		switch {
		case l.UID == 0:
			root = append(root, describe(l)+" as root")
		case l.UID > 0:
			other = append(other, describe(l)+" as user "+strconv.Itoa(l.UID))
		default:
			unknown = append(unknown, describe(l))
		}
	}
	if len(shell) > 0 {
		j.say("FS-03", fs, ringwall.Fail, ringwall.Confirmed, "A service runs that gives a command line or files in the clear", "Remove the service from the start scripts and from the image", first(shell)...)
	} else {
		j.say("FS-03", fs, ringwall.Pass, ringwall.Confirmed, "No telnet, ftp, tftp, rsh or adb runs", "", strconv.Itoa(len(j.p.Listening))+" listening sockets looked at")
	}
	const drop = "Let network services run as users of their own"
	switch {
	case len(root) > 0 && len(other)+len(unknown) == 0:
		j.say("FS-08", fs, ringwall.Fail, ringwall.Confirmed, "Every network service runs as root", drop, first(root)...)
	case len(root) > 0:
		j.say("FS-08", fs, ringwall.Partial, ringwall.Confirmed, "Some network services run as root", drop, first(slices.Concat(root, other))...)
	case len(unknown) > 0:
		j.say("FS-08", fs, ringwall.Unknown, ringwall.Observed, "As whom network services run could not be read", "", first(unknown)...)
	default:
		j.say("FS-08", fs, ringwall.Pass, ringwall.Confirmed, "No network service runs as root", "", first(other)...)
	}
	j.declaredServices()
}

func (j *judge) declaredServices() {
	const co = ringwall.Communication
	if j.declared == nil {
		j.say("CO-01", co, ringwall.Unknown, ringwall.Observed, "Nobody declared which services the device needs", "", strconv.Itoa(len(j.p.Listening))+" listening sockets")
		return
	}
	var extra []string
	for _, l := range j.p.Listening {
		if outside(l) && !slices.ContainsFunc(j.declared, func(s api.Service) bool { return s.Proto == l.Proto && s.Port == l.Addr.Port() }) {
			extra = append(extra, "listens and is not declared: "+describe(l))
		}
	}
	if len(extra) > 0 {
		j.say("CO-01", co, ringwall.Fail, ringwall.Confirmed, "A service listens that is not declared", "Stop the service, or declare why it is needed", first(extra)...)
		return
	}
	j.say("CO-01", co, ringwall.Pass, ringwall.Confirmed, "Only declared services listen", "", strconv.Itoa(len(j.declared))+" services are declared")
}
