// Package shell tells what a start script would do, without doing it.
//
// Trace follows a script as a shell would: variables, functions, sourced files
// and the scripts that it starts, up to bounds. Where the outcome of a test
// follows from the image, only the branch that is taken is followed: code after
// "exit 0", a function nobody calls, a branch on a constant, the text of a here
// document and a comment start nothing. Where it does not follow (a file on a
// partition that can be written, an answer of the hardware), both branches are
// followed and every command in them carries the condition in words. So the
// answer to "is it started?" is yes, on this condition, or no.
//
// The grammar is read by mvdan.cc/sh (POSIX shell with the extensions of Bash,
// a superset of what BusyBox's ash reads). After a line that cannot be read the
// rest is followed as conditional, for the shell of the device may be more
// lenient or may stop there.
//
// Trace runs nothing, writes nothing and reads only through its Host. It starts
// no goroutine. The language is that of POSIX.1-2017, Shell and Utilities,
// section 2.
package shell

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Truth is what is known of the outcome of a command.
type Truth uint8

// The outcomes. Likely is a command that is there to succeed, such as mount.
const (
	False Truth = iota
	Maybe
	Likely
	True
)

func (t Truth) not() Truth {
	switch t {
	case False:
		return True
	case True:
		return False
	}
	return Maybe
}

// Host is the file system that a script sees.
type Host interface {
	// Text returns the content of a text file.
	Text(path string) (string, bool)
	// Exists answers a test for a file: True or False when the image decides
	// it, Maybe when it may be made or changed while the device runs.
	Exists(path string) Truth
	// Kind tells a folder from a file; "" when nothing is there.
	Kind(path string) (kind string)
	// List returns the names in a folder.
	List(dir string) []string
}

// The kinds of files.
const (
	KindDir    = "dir"
	KindScript = "script" // a text that a shell would run
	KindFile   = "file"
)

// Command is one command that a script gives.
type Command struct {
	Name string   // as it was called, without wrappers such as nohup
	Path string   // of the program, "" when nothing in the image has that name
	Args []string // without the name; unknown parts are replaced by Unsure
	File string   // the script
	Line int
	Text string   // as it is written, shortened
	When []string // the conditions, outermost first; none = always
	User string   // whom a wrapper made it run as, "" for whoever runs the script
	Out  string   // where its output is written, "" for nowhere known
	// Runs tells that Path is a script and that it was followed.
	Runs       bool
	Background bool
	// Sure tells that Name is known whole.
	Sure bool
}

// Unsure stands in arguments for what is not known before the device runs.
const Unsure = "\x00"

// Sure reports whether a word is known whole.
func Sure(word string) bool { return !strings.Contains(word, Unsure) }

// Always reports whether nothing stands between the start and the command.
func (c Command) Always() bool { return len(c.When) == 0 }

// At names the place of the command.
func (c Command) At() string { return fmt.Sprintf("%s line %d", c.File, c.Line) }

// Missing is a script or program that is called but is not in the image.
type Missing struct {
	Path string
	By   string // who calls it
	When []string
}

// Result is what following a script gave.
type Result struct {
	Commands []Command
	Missing  []Missing
	Notes    []string // what could not be followed
}

// The bounds: far above what real start scripts need.
const (
	maxScript   = 256 << 10
	maxDepth    = 24
	maxCommands = 10_000
	maxRuns     = 600
	maxNesting  = 200
	maxValue    = 16 << 10
	maxWords    = 512
	maxVars     = 512
	maxSteps    = 60_000
)

// Tracer follows scripts one after the other and remembers what was started,
// so that what an earlier script set up is known to none of the later ones but
// the bounds hold for all together. The zero value with a Host is ready.
type Tracer struct {
	Host Host
	Env  map[string]string // what every script finds set, values may be Unsure
	Res  Result

	runs    int
	steps   int
	running []string // scripts now being followed, against circles
	full    bool
}

// Run follows a script with its arguments. when are conditions of the start.
func (t *Tracer) Run(script string, args []string, when ...string) {
	s := t.scope(script, args)
	s.when = slices.Clone(when)
	t.script(s, script)
}

// Call follows a script that defines functions, and then calls the first of
// them that it has, as rc.common of OpenWrt does.
func (t *Tracer) Call(script string, functions ...string) {
	s := t.scope(script, nil)
	if f := t.script(s, script); f == stop {
		return
	}
	for _, name := range functions {
		if f, ok := s.funcs[name]; ok {
			t.function(s, f, nil)
			return
		}
	}
}

// LineAs is Line for a program that runs as a user, in a folder.
func (t *Tracer) LineAs(file string, line int, text, user string, when ...string) {
	s := t.scope(file, nil)
	s.when, s.user = slices.Clone(when), user
	s.base = line - 1
	t.text(s, text)
}

// Line follows one line, such as the process field of an inittab.
func (t *Tracer) Line(file string, line int, text string, when ...string) {
	s := t.scope(file, nil)
	s.when = slices.Clone(when)
	s.base = line - 1
	t.text(s, text)
}

func (t *Tracer) scope(script string, args []string) *scope {
	vars := map[string]string{"PATH": DefaultPath}
	maps.Copy(vars, t.Env)
	return &scope{
		vars:  vars,
		funcs: map[string]function{}, args: args, dir: "/", script: script,
	}
}

// DefaultPath is what BusyBox's init sets, with the folders that vendors add.
const DefaultPath = "/sbin:/usr/sbin:/bin:/usr/bin:/usr/local/bin:/usr/local/sbin"

func (t *Tracer) note(format string, args ...any) {
	if len(t.Res.Notes) < 64 {
		n := fmt.Sprintf(format, args...)
		if !slices.Contains(t.Res.Notes, n) {
			t.Res.Notes = append(t.Res.Notes, n)
		}
	}
}

// script follows a file in a scope of its own.
func (t *Tracer) script(s *scope, path string) flow {
	text, ok := t.Host.Text(path)
	if !ok {
		t.missing(s, path)
		return next
	}
	if slices.Contains(t.running, path) && count(t.running, path) > 1 {
		return next // calls itself: once more shows all there is
	}
	if t.runs++; t.runs > maxRuns || len(t.running) >= maxDepth {
		t.note("%s was not followed: too many scripts start each other", path)
		return next
	}
	t.running = append(t.running, path)
	defer func() { t.running = t.running[:len(t.running)-1] }()
	return t.text(s, text)
}

func count(list []string, s string) (n int) {
	for _, x := range list {
		if x == s {
			n++
		}
	}
	return n
}

func (t *Tracer) missing(s *scope, path string) {
	if len(t.Res.Missing) < 256 {
		t.Res.Missing = append(t.Res.Missing, Missing{Path: path, By: s.script, When: slices.Clone(s.when)})
	}
}

func (t *Tracer) emit(c Command) {
	if len(t.Res.Commands) >= maxCommands {
		if !t.full {
			t.full = true
			t.note("more than %d commands: the rest was not followed", maxCommands)
		}
		return
	}
	t.Res.Commands = append(t.Res.Commands, c)
}
