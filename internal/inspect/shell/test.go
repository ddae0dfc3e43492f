package shell

import (
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// test answers the arguments of "test" and "[".
func (t *Tracer) test(s *scope, args []string) Truth {
	if n := len(args); n > 0 && args[n-1] == "]" {
		args = args[:n-1]
	}
	if len(args) > 64 {
		return Maybe
	}
	e := question{t: t, s: s, args: args}
	truth := e.or()
	if len(e.args) > 0 {
		return Maybe
	}
	return truth
}

type question struct {
	t    *Tracer
	s    *scope
	args []string
}

func (e *question) or() Truth {
	truth := e.and()
	for len(e.args) > 0 && e.args[0] == "-o" {
		e.args = e.args[1:]
		truth = max(truth, e.and())
	}
	return truth
}

func (e *question) and() Truth {
	truth := e.one()
	for len(e.args) > 0 && e.args[0] == "-a" {
		e.args = e.args[1:]
		truth = min(truth, e.one())
	}
	return truth
}

func (e *question) one() Truth {
	a := e.args
	switch {
	case len(a) == 0:
		return False
	case a[0] == "!" && len(a) > 1:
		e.args = a[1:]
		return e.one().not()
	case a[0] == "(" && len(a) > 1:
		e.args = a[1:]
		truth := e.or()
		if len(e.args) > 0 && e.args[0] == ")" {
			e.args = e.args[1:]
		}
		return truth
	case len(a) >= 3 && binaryTest(a[1]):
		e.args = a[3:]
		return compare(a[0], a[1], a[2])
	case len(a) >= 2 && len(a[0]) == 2 && a[0][0] == '-':
		e.args = a[2:]
		return e.t.unary(e.s, a[0], a[1])
	}
	e.args = a[1:]
	return filled(a[0])
}

func filled(v string) Truth {
	switch {
	case !Sure(v):
		return Maybe
	case v == "":
		return False
	}
	return True
}

func binaryTest(op string) bool {
	switch op {
	case "=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func yes(b bool) Truth {
	if b {
		return True
	}
	return False
}

func compare(a, op, b string) Truth {
	if !Sure(a) || !Sure(b) {
		return Maybe
	}
	switch op {
	case "=", "==":
		return yes(a == b)
	case "!=":
		return yes(a != b)
	}
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil {
		return Maybe
	}
	switch op {
	case "-eq":
		return yes(x == y)
	case "-ne":
		return yes(x != y)
	case "-lt":
		return yes(x < y)
	case "-le":
		return yes(x <= y)
	case "-gt":
		return yes(x > y)
	case "-ge":
		return yes(x >= y)
	}
	return Maybe
}

// executor is a Host that knows modes; without it, what is there may be run.
type executor interface{ Executable(path string) bool }

func (t *Tracer) unary(s *scope, op, v string) Truth {
	switch op {
	case "-n":
		return filled(v)
	case "-z":
		return filled(v).not()
	case "-f", "-e", "-d", "-x", "-r", "-s", "-L", "-h":
		if !Sure(v) {
			return Maybe
		}
		if v == "" {
			return False
		}
		p := t.abs(s, v)
		if !Sure(p) {
			return Maybe
		}
		truth := t.Host.Exists(p)
		if h, ok := t.Host.(executor); ok && op == "-x" && truth == True && !h.Executable(p) {
			return False
		}
		if kind := t.Host.Kind(p); truth == True && (op == "-d") != (kind == KindDir) && op != "-e" && op != "-r" && op != "-x" && op != "-s" {
			return False
		}
		return truth
	}
	return Maybe
}

// expr answers the inside of "[[ ]]".
func (t *Tracer) expr(s *scope, x syntax.TestExpr) Truth {
	switch x := x.(type) {
	case *syntax.Word:
		return filled(t.word(s, x))
	case *syntax.ParenTest:
		return t.expr(s, x.X)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			return t.expr(s, x.X).not()
		}
		if w, ok := x.X.(*syntax.Word); ok {
			return t.unary(s, x.Op.String(), t.word(s, w))
		}
	case *syntax.BinaryTest:
		switch x.Op {
		case syntax.AndTest:
			return min(t.expr(s, x.X), t.expr(s, x.Y))
		case syntax.OrTest:
			return max(t.expr(s, x.X), t.expr(s, x.Y))
		}
		a, ok1 := x.X.(*syntax.Word)
		b, ok2 := x.Y.(*syntax.Word)
		if !ok1 || !ok2 {
			return Maybe
		}
		l, r := t.word(s, a), t.pattern(s, b)
		if Sure(l) && Sure(r) {
			switch x.Op {
			case syntax.TsMatch, syntax.TsMatchShort:
				return yes(match(r, l))
			case syntax.TsNoMatch:
				return yes(!match(r, l))
			}
		}
		return compare(l, x.Op.String(), r)
	}
	return Maybe
}
