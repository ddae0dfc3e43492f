package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// invocation is one command while its wrappers are taken off.
type invocation struct {
	words []string
	st    *syntax.Stmt
	text  string
	out   string
	user  string
	back  bool
}

func (t *Tracer) call(s *scope, st *syntax.Stmt, c *syntax.CallExpr) (Truth, flow) {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			s.assign(t, a)
		}
		return True, next
	}
	words := t.fields(s, c.Args)
	if len(words) == 0 {
		return True, next
	}
	in := invocation{words: words, st: st, text: show(st), user: s.user, back: st.Background}
	for _, r := range st.Redirs {
		if r.Word != nil && (r.Op == syntax.RdrOut || r.Op == syntax.AppOut || r.Op == syntax.RdrAll || r.Op == syntax.AppAll || r.Op == syntax.ClbOut) && (r.N == nil || r.N.Value == "1") {
			in.out = t.abs(s, t.word(s, r.Word))
		}
	}
	return t.invoke(s, in, 0)
}

// invoke runs built-in commands, functions, scripts and wrappers, and notes
// what is left as a command.
func (t *Tracer) invoke(s *scope, in invocation, depth int) (Truth, flow) {
	if depth > 8 || len(in.words) == 0 {
		return Maybe, next
	}
	name, args := in.words[0], in.words[1:]
	if f, ok := s.funcs[name]; ok {
		return t.function(s, f, args)
	}
	if f, ok := s.funcs["start_service"]; ok && name == "start" {
		return t.function(s, f, args) // rc.common of OpenWrt starts it so
	}
	if truth, f, done := t.builtin(s, in, name, args, depth); done {
		return truth, f
	}
	if inner, done := t.unwrap(s, in, path.Base(name), args); done {
		if inner == nil {
			return Maybe, next
		}
		return t.invoke(s, *inner, depth+1)
	}
	return t.start(s, in, name, args)
}

func (t *Tracer) function(s *scope, f function, args []string) (Truth, flow) {
	if s.calls++; s.calls > 40 {
		s.calls--
		return Maybe, next
	}
	old, script, base, when := s.args, s.script, s.base, s.when
	s.args, s.script, s.base = args, f.script, f.base
	truth, fl := t.stmt(s, f.body)
	s.args, s.script, s.base, s.when = old, script, base, when
	s.calls--
	if fl == leave {
		fl = next
	}
	return truth, fl
}

func (t *Tracer) builtin(s *scope, in invocation, name string, args []string, depth int) (Truth, flow, bool) {
	switch name {
	case ":", "true", "export", "readonly", "local", "unset", "trap", "umask", "ulimit", "wait", "alias", "set", "shift", "hash":
		t.state(s, name, args)
		return True, next, true
	case "false":
		return False, next, true
	case "exit":
		return True, stop, true
	case "return", "break", "continue":
		return True, leave, true
	case "cd":
		dir := "/"
		if len(args) > 0 {
			dir = t.abs(s, args[0])
		}
		s.dir = dir
		return Likely, next, true
	case "read":
		for _, v := range args {
			s.vars[v] = Unsure
		}
		return Maybe, next, true
	case "[", "test":
		return t.test(s, args), next, true
	case "eval":
		text := strings.Join(args, " ")
		if !Sure(text) || depth > 4 {
			return Maybe, next, true
		}
		base := s.base
		s.base += int(in.st.Pos().Line()) - 1
		f := t.text(s, text)
		s.base = base
		return Maybe, f, true
	case ".", "source":
		if len(args) > 0 {
			return t.source(s, args[0])
		}
		return Maybe, next, true
	case "exec":
		if len(args) == 0 {
			return True, next, true
		}
		in.words = args
		truth, _ := t.invoke(s, in, depth+1)
		return truth, stop, true
	case "procd_set_param", "procd_append_param":
		// OpenWrt's service manager starts what these lines collect.
		if len(args) > 1 && args[0] == "command" && name == "procd_set_param" {
			in.words, in.back = args[1:], true
			t.invoke(s, in, depth+1)
		}
		return True, next, true
	case "service_start", "procd_run":
		in.words, in.back = args, true
		truth, f := t.invoke(s, in, depth+1)
		return truth, f, true
	case "config_load", "config_foreach", "config_get", "config_get_bool":
		return t.uci(s, name, args)
	case "echo", "printf":
		if in.out != "" && Sure(in.out) {
			t.emit(t.commandOf(s, in, name, args))
		}
		return True, next, true
	}
	return Maybe, next, false
}

func (t *Tracer) state(s *scope, name string, args []string) {
	switch {
	case name == "set" && len(args) > 0 && args[0] == "--":
		s.args = args[1:]
	case name == "shift" && len(s.args) > 0:
		s.args = s.args[1:]
	case name == "export" || name == "local" || name == "readonly":
		for _, a := range args {
			if k, v, ok := strings.Cut(a, "="); ok {
				s.vars[k] = v
			}
		}
	case name == "unset":
		for _, a := range args {
			delete(s.vars, a)
		}
	}
}

func (t *Tracer) source(s *scope, p string) (Truth, flow, bool) {
	if !Sure(p) {
		s.open = true
		return Maybe, next, true
	}
	p = t.abs(s, p)
	if _, ok := t.Host.Text(p); !ok {
		s.open = true
		t.missing(s, p)
		return Maybe, next, true
	}
	script, base, when := s.script, s.base, s.when
	s.script, s.base = p, 0
	f := t.script(s, p)
	s.script, s.base, s.when = script, base, when
	if f == leave {
		f = next
	}
	return Likely, f, true
}

// resolve finds the program that a name means.
func (t *Tracer) resolve(s *scope, name string) (string, bool) {
	if strings.Contains(name, "/") {
		p := t.abs(s, name)
		return p, Sure(p) && t.Host.Kind(p) != "" && t.Host.Kind(p) != KindDir
	}
	dirs, _ := s.get("PATH")
	for _, d := range append(strings.Split(strings.ReplaceAll(dirs, Unsure, ""), ":"), strings.Split(DefaultPath, ":")...) {
		if !strings.HasPrefix(d, "/") {
			continue
		}
		p := path.Join(d, name)
		if k := t.Host.Kind(p); k != "" && k != KindDir {
			return p, true
		}
	}
	return "", false
}

func (t *Tracer) commandOf(s *scope, in invocation, name string, args []string) Command {
	return Command{
		Name: name, Args: slices.Clone(args), File: s.script, Line: s.base + int(in.st.Pos().Line()), Text: in.text,
		When: slices.Clone(s.when), User: in.user, Out: in.out, Background: in.back, Sure: Sure(name),
	}
}

// start notes a program, and follows it when it is a script.
func (t *Tracer) start(s *scope, in invocation, name string, args []string) (Truth, flow) {
	c := t.commandOf(s, in, name, args)
	if !c.Sure {
		t.emit(c)
		return Maybe, next
	}
	p, found := t.resolve(s, name)
	c.Path = p
	if !found {
		if strings.Contains(name, "/") && Sure(p) {
			t.missing(s, p)
		} else {
			c.Path = ""
		}
		t.emit(c)
		return outcome(name), next
	}
	c.Runs = t.Host.Kind(p) == KindScript
	t.emit(c)
	if c.Runs {
		sub := t.scope(p, args)
		for k, v := range s.vars {
			sub.vars[k] = v
		}
		sub.dir, sub.when, sub.user, sub.open = s.dir, slices.Clone(s.when), in.user, s.open
		t.script(sub, p)
	}
	return outcome(name), next
}

// outcome tells commands that ask something from those that are there to
// succeed.
func outcome(name string) Truth {
	switch path.Base(name) {
	case "mount", "mkdir", "insmod", "modprobe", "cp", "mv", "ln", "rm", "chmod", "chown", "ifconfig", "ip", "route", "mdev", "touch", "sync",
		"cat", "sleep", "usleep", "mknod", "hostname", "sysctl", "umount", "tar", "sed", "killall", "kill", "date", "hwclock":
		return Likely
	}
	return Maybe
}
