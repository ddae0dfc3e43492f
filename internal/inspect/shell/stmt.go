package shell

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// flow is how a statement ends.
type flow uint8

const (
	next  flow = iota
	leave      // return from a function or sourced file, break, continue
	stop       // exit
)

type function struct {
	body   *syntax.Stmt
	script string
	base   int
}

// scope is the state of one shell.
type scope struct {
	vars   map[string]string
	funcs  map[string]function
	args   []string
	dir    string
	script string
	base   int // lines before the text at hand
	when   []string
	user   string
	calls  int
	// open tells that something unknown was sourced: a variable never set may
	// have been set there.
	open   bool
	config []Section // what config_load read last
}

func (s *scope) fork() *scope {
	c := *s
	c.vars = maps.Clone(s.vars)
	c.funcs = maps.Clone(s.funcs)
	c.args = slices.Clone(s.args)
	c.when = slices.Clone(s.when)
	return &c
}

// under runs act with one more condition, in a state that is then joined with
// the state in which it was not run. When act leaves, what follows is only
// reached when the condition does not hold.
func (t *Tracer) under(s *scope, cond string, act func(*scope) flow) {
	c := s.fork()
	c.when = append(c.when, cond)
	if act(c) != next {
		s.when = append(s.when, "not: "+cond)
		return
	}
	s.join(c)
}

// join keeps of the variables what is the same either way.
func (s *scope) join(c *scope) {
	for k, v := range c.vars {
		if old, ok := s.vars[k]; !ok || old != v {
			s.vars[k] = Unsure
		}
	}
	for k, f := range c.funcs {
		if _, ok := s.funcs[k]; !ok {
			s.funcs[k] = f
		}
	}
	s.open = s.open || c.open
	if s.dir != c.dir {
		s.dir = Unsure
	}
}

func show(n syntax.Node) string {
	if n == nil {
		return ""
	}
	var b bytes.Buffer
	if err := syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n); err != nil {
		return "…"
	}
	return clip(b.String())
}

func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, Unsure, "?")), " ")
	if r := []rune(s); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return s
}

func (t *Tracer) stmts(s *scope, list []*syntax.Stmt) (Truth, flow) {
	last := True
	for _, st := range list {
		var f flow
		if last, f = t.stmt(s, st); f != next {
			return last, f
		}
	}
	return last, next
}

func (t *Tracer) stmt(s *scope, st *syntax.Stmt) (Truth, flow) {
	if t.steps++; t.steps > maxSteps {
		if t.steps == maxSteps+1 {
			t.note("%s: too many steps; the rest was not followed", s.script)
		}
		return Maybe, stop
	}
	truth, f := t.command(s, st)
	if st.Negated {
		truth = truth.not()
	}
	if st.Background {
		return True, next
	}
	return truth, f
}

func (t *Tracer) command(s *scope, st *syntax.Stmt) (Truth, flow) {
	switch c := st.Cmd.(type) {
	case nil:
		return True, next
	case *syntax.CallExpr:
		return t.call(s, st, c)
	case *syntax.BinaryCmd:
		return t.binary(s, c)
	case *syntax.IfClause:
		return t.branch(s, c)
	case *syntax.WhileClause:
		return t.loop(s, c)
	case *syntax.ForClause:
		return t.each(s, c)
	case *syntax.CaseClause:
		return t.choose(s, c)
	case *syntax.Block:
		return t.stmts(s, c.Stmts)
	case *syntax.Subshell:
		truth, _ := t.stmts(s.fork(), c.Stmts)
		return truth, next
	case *syntax.FuncDecl:
		s.funcs[c.Name.Value] = function{c.Body, s.script, s.base}
		return True, next
	case *syntax.DeclClause:
		for _, a := range c.Args {
			if a.Name != nil && !a.Naked {
				s.assign(t, a)
			}
		}
		return True, next
	case *syntax.TestClause:
		return t.expr(s, c.X), next
	case *syntax.TimeClause:
		if c.Stmt != nil {
			return t.stmt(s, c.Stmt)
		}
	}
	return Maybe, next
}

func (t *Tracer) binary(s *scope, c *syntax.BinaryCmd) (Truth, flow) {
	x, f := t.stmt(s, c.X)
	if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
		y, _ := t.stmt(s.fork(), c.Y)
		return min(y, Maybe), next
	}
	if f != next {
		return x, f
	}
	if c.Op == syntax.OrStmt {
		switch x {
		case True:
			return True, next
		case False:
			return t.stmt(s, c.Y)
		}
		t.under(s, "not: "+show(c.X), func(s *scope) flow { _, f := t.stmt(s, c.Y); return f })
		return Maybe, next
	}
	switch x {
	case False:
		return False, next
	case True, Likely:
		return t.stmt(s, c.Y)
	}
	t.under(s, show(c.X), func(s *scope) flow { _, f := t.stmt(s, c.Y); return f })
	return Maybe, next
}

func (t *Tracer) branch(s *scope, c *syntax.IfClause) (Truth, flow) {
	if len(c.Cond) == 0 { // else
		return t.stmts(s, c.Then)
	}
	truth, f := t.stmts(s, c.Cond)
	switch {
	case f != next:
		return truth, f
	case truth == True:
		return t.stmts(s, c.Then)
	case truth == False:
		if c.Else != nil {
			return t.branch(s, c.Else)
		}
		return True, next
	}
	cond := show(c.Cond[len(c.Cond)-1])
	before := s.fork()
	t.under(s, cond, func(s *scope) flow { _, f := t.stmts(s, c.Then); return f })
	if c.Else != nil {
		before.when = append(before.when, "not: "+cond)
		if _, f := t.branch(before, c.Else); f != next {
			s.when = append(s.when, cond)
		} else {
			s.join(before)
		}
	}
	return Maybe, next
}

func (t *Tracer) loop(s *scope, c *syntax.WhileClause) (Truth, flow) {
	truth, f := t.stmts(s, c.Cond)
	if f != next {
		return truth, f
	}
	if c.Until {
		truth = truth.not()
	}
	switch truth {
	case False:
	case True:
		_, f := t.stmts(s, c.Do)
		if f == stop {
			return True, stop
		}
		t.forget(s, c.Do)
	default:
		t.under(s, show(c.Cond[len(c.Cond)-1]), func(s *scope) flow { t.stmts(s, c.Do); return next })
	}
	return Maybe, next
}

// forget makes unsure what a loop changes each time round.
func (t *Tracer) forget(s *scope, body []*syntax.Stmt) {
	for _, st := range body {
		syntax.Walk(st, func(n syntax.Node) bool {
			if a, ok := n.(*syntax.Assign); ok && a.Name != nil {
				s.vars[a.Name.Value] = Unsure
			}
			return true
		})
	}
}

func (t *Tracer) each(s *scope, c *syntax.ForClause) (Truth, flow) {
	it, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		t.under(s, "in a loop", func(s *scope) flow { t.stmts(s, c.Do); return next })
		return Maybe, next
	}
	items := s.args
	if it.InPos.IsValid() {
		items = t.fields(s, it.Items)
	}
	const turns = 128
	when := s.when
	defer func() { s.when = when }()
	for i, v := range items {
		if i >= turns {
			t.note("%s: a loop over more than %d words was cut", s.script, turns)
			break
		}
		s.vars[it.Name.Value] = v
		s.when = slices.Clip(when)
		if !Sure(v) {
			t.under(s, "in a loop over "+clip(v), func(s *scope) flow { t.stmts(s, c.Do); return next })
			continue
		}
		if _, f := t.stmts(s, c.Do); f == stop {
			return Maybe, stop
		}
	}
	return Maybe, next
}

func (t *Tracer) choose(s *scope, c *syntax.CaseClause) (Truth, flow) {
	word := t.word(s, c.Word)
	unsure := !Sure(word)
	for _, item := range c.Items {
		hit := False
		var pats []string
		for _, p := range item.Patterns {
			pat := t.pattern(s, p)
			pats = append(pats, pat)
			switch {
			case pat == "*" && !unsure:
				hit = True
			case unsure || !Sure(pat):
				hit = max(hit, Maybe)
			case match(pat, word):
				hit = True
			}
		}
		switch hit {
		case True:
			return t.stmts(s, item.Stmts)
		case Maybe:
			t.under(s, clip(show(c.Word)+" is "+strings.Join(pats, " or ")), func(s *scope) flow { _, f := t.stmts(s, item.Stmts); return f })
		}
	}
	return Maybe, next
}

// match compares as a shell does; a slash is nothing special to it.
func match(pat, s string) bool {
	if pat == s {
		return true
	}
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "\x01") }
	ok, err := path.Match(flat(pat), flat(s))
	return ok && err == nil
}
