package shell

import (
	"path"
	"slices"
	"strings"
)

// unwrap takes one wrapper off a command. A nil invocation with done means that
// it was followed here, or that nothing is started.
func (t *Tracer) unwrap(s *scope, in invocation, name string, args []string) (inner *invocation, done bool) {
	in.words = nil
	switch name {
	case "nohup", "setsid", "command", "builtin", "time", "stdbuf", "unbuffer", "respawn", "busybox", "env", "nice", "ionice", "timeout", "taskset", "chrt", "softlimit", "start_daemon", "logwrapper":
		in.words = bare(name, args)
		in.back = in.back || name == "setsid"
	case "sudo", "su", "setuidgid", "chpst", "runuser", "su-exec", "gosu", "doas":
		return t.switchUser(s, in, name, args)
	case "start-stop-daemon":
		return daemon(in, args)
	case "sh", "ash", "bash", "dash", "hush", "ksh":
		return t.subshell(s, in, args)
	case "run-parts":
		for _, a := range args {
			if strings.HasPrefix(a, "/") {
				for _, n := range t.Host.List(a) {
					t.invoke(s, invocation{words: []string{path.Join(a, n)}, st: in.st, text: in.text, user: in.user}, 4)
				}
			}
		}
		return nil, true
	case "service", "invoke-rc.d":
		if len(args) >= 2 && Sure(args[0]) && !strings.HasPrefix(args[0], "-") {
			in.words = append([]string{"/etc/init.d/" + args[0]}, args[1:]...)
		}
	}
	if len(in.words) == 0 {
		return nil, false
	}
	return &in, true
}

// bare drops the options of a wrapper and what belongs to them.
func bare(name string, args []string) []string {
	takes := map[string]string{"nice": "n", "ionice": "cnp", "timeout": "tks", "stdbuf": "ioe", "chrt": "p", "softlimit": "mdsfor", "env": "u"}[name]
	for len(args) > 0 {
		a := args[0]
		switch {
		case strings.HasPrefix(a, "-") && len(a) == 2 && strings.Contains(takes, a[1:]) && len(args) > 1:
			args = args[2:]
		case strings.HasPrefix(a, "-") && len(a) > 1:
			args = args[1:]
		case name == "env" && strings.Contains(a, "="):
			args = args[1:]
		default:
			if name == "timeout" || name == "taskset" || name == "chrt" {
				args = args[1:] // the duration, mask or priority
			}
			return args
		}
	}
	return nil
}

func (t *Tracer) switchUser(s *scope, in invocation, name string, args []string) (*invocation, bool) {
	user := "root"
	var rest []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case name == "su" && a == "-c" && i+1 < len(args), name == "runuser" && a == "-c" && i+1 < len(args):
			rest = append(rest, "sh", "-c", args[i+1])
			i++
		case (name == "sudo" || name == "chpst" || name == "runuser") && a == "-u" && i+1 < len(args):
			user = args[i+1]
			i++
		case strings.HasPrefix(a, "-"):
		case (name == "su" || name == "setuidgid" || name == "su-exec" || name == "gosu" || name == "doas") && user == "root" && len(rest) == 0 && (name != "doas"):
			user = a
		case name == "su" && len(rest) > 0 && user == "root":
			user = a
		default:
			rest = append(rest, a)
		}
	}
	if len(rest) == 0 {
		return nil, true
	}
	in.user, in.words = user, rest
	return &in, true
}

// daemon reads start-stop-daemon.
func daemon(in invocation, args []string) (*invocation, bool) {
	var starts bool
	var program, user string
	var rest []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		val := func() string {
			if _, v, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "--") {
				return v
			}
			if i+1 < len(args) {
				i++
				return args[i]
			}
			return ""
		}
		flag, _, _ := strings.Cut(a, "=")
		switch flag {
		case "--":
			rest = args[i+1:]
			i = len(args)
		case "-S", "--start":
			starts = true
		case "-x", "--exec", "-a", "--startas":
			program = val()
		case "-c", "--chuid", "-u", "--user":
			user, _, _ = strings.Cut(val(), ":")
		case "-p", "--pidfile", "-n", "--name", "-N", "--nicelevel", "-d", "--chdir", "-g", "--group", "-k", "--umask", "-r", "--chroot", "-s", "--signal", "-R", "--retry":
			val()
		default:
			if strings.HasPrefix(a, "-S") {
				starts = true // -Sbmq and the like; x, a, p, c take the next word
				if strings.HasSuffix(a, "x") || strings.HasSuffix(a, "a") {
					program = val()
				}
			}
		}
	}
	if !starts || program == "" {
		return nil, true
	}
	in.back = true
	if user != "" {
		in.user = user
	}
	in.words = append([]string{program}, rest...)
	return &in, true
}

// subshell follows "sh -c TEXT" and "sh FILE".
func (t *Tracer) subshell(s *scope, in invocation, args []string) (*invocation, bool) {
	for i, a := range args {
		switch {
		case strings.HasPrefix(a, "-") && strings.HasSuffix(a, "c") && i+1 < len(args):
			if text := args[i+1]; Sure(text) && s.calls < 20 {
				sub := s.fork()
				sub.calls += 5
				sub.user = in.user
				sub.base = s.base + int(in.st.Pos().Line()) - 1
				t.text(sub, text)
			}
			return nil, true
		case strings.HasPrefix(a, "-"):
			continue
		case !Sure(a):
			t.emit(t.commandOf(s, in, a, args[i+1:]))
			return nil, true
		default:
			p := t.abs(s, a)
			if t.Host.Kind(p) == "" {
				c := t.commandOf(s, in, p, args[i+1:])
				c.Path = p
				t.emit(c)
				t.missing(s, p)
				return nil, true
			}
			sub := t.scope(p, slices.Clone(args[i+1:]))
			for k, v := range s.vars {
				sub.vars[k] = v
			}
			sub.dir, sub.when, sub.user, sub.open = s.dir, slices.Clone(s.when), in.user, s.open
			c := t.commandOf(s, in, p, args[i+1:])
			c.Path, c.Runs = p, true
			t.emit(c)
			t.script(sub, p)
			return nil, true
		}
	}
	return nil, false // an interactive shell: a command like any other
}
