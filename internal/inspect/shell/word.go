package shell

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// assign sets a variable.
func (s *scope) assign(t *Tracer, a *syntax.Assign) {
	v := ""
	switch {
	case a.Array != nil || a.Index != nil:
		v = Unsure
	case a.Value != nil:
		v = t.word(s, a.Value)
	}
	if a.Append {
		v = s.vars[a.Name.Value] + v
	}
	if len(v) > maxValue {
		v = Unsure
	}
	if _, ok := s.vars[a.Name.Value]; !ok && len(s.vars) >= maxVars {
		s.open = true // too many to keep: any may be set
		return
	}
	s.vars[a.Name.Value] = v
}

// get returns the value of a variable or parameter, and whether it was set.
func (s *scope) get(name string) (string, bool) {
	switch name {
	case "0":
		return s.script, true
	case "#":
		return itoa(len(s.args)), true
	case "@", "*":
		return strings.Join(s.args, " "), len(s.args) > 0
	case "?", "$", "!", "-", "RANDOM", "PPID", "SECONDS", "LINENO":
		return Unsure, true
	case "PWD":
		return s.dir, true
	}
	if name >= "1" && name <= "9" && len(name) == 1 {
		if i := int(name[0] - '1'); i < len(s.args) {
			return s.args[i], true
		}
		return "", false
	}
	v, ok := s.vars[name]
	if !ok && s.open {
		return Unsure, true
	}
	return v, ok
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// word expands a word to one string, without splitting it.
func (t *Tracer) word(s *scope, w *syntax.Word) string {
	if w == nil {
		return ""
	}
	var b strings.Builder
	for _, p := range w.Parts {
		b.WriteString(t.part(s, p, false))
		if b.Len() > maxValue {
			return Unsure
		}
	}
	return b.String()
}

// pattern expands a word that a case or test matches with: quoted parts stand
// for themselves.
func (t *Tracer) pattern(s *scope, w *syntax.Word) string {
	var b strings.Builder
	for _, p := range w.Parts {
		v := t.part(s, p, false)
		switch p.(type) {
		case *syntax.SglQuoted, *syntax.DblQuoted:
			v = quoteMeta.Replace(v)
		}
		b.WriteString(v)
	}
	return b.String()
}

var quoteMeta = strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`)

// part expands one part of a word.
func (t *Tracer) part(s *scope, p syntax.WordPart, quoted bool) string {
	switch p := p.(type) {
	case *syntax.Lit:
		return unescape(p.Value, quoted)
	case *syntax.SglQuoted:
		return p.Value
	case *syntax.DblQuoted:
		var b strings.Builder
		for _, q := range p.Parts {
			b.WriteString(t.part(s, q, true))
		}
		return b.String()
	case *syntax.ParamExp:
		return t.param(s, p)
	case *syntax.CmdSubst:
		return t.output(s, p)
	}
	return Unsure
}

func unescape(v string, quoted bool) string {
	if !strings.Contains(v, `\`) {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' || i+1 == len(v) {
			b.WriteByte(v[i])
			continue
		}
		i++
		switch {
		case v[i] == '\n':
		case quoted && !strings.ContainsRune("$`\"\\", rune(v[i])):
			b.WriteByte('\\')
			b.WriteByte(v[i])
		default:
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

func (t *Tracer) param(s *scope, p *syntax.ParamExp) string {
	if p.Param == nil || p.Excl || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Names != 0 {
		return Unsure
	}
	v, set := s.get(p.Param.Value)
	if p.Length {
		if !Sure(v) {
			return Unsure
		}
		return itoa(len(v))
	}
	if p.Exp == nil {
		return v
	}
	if !Sure(v) {
		return Unsure
	}
	arg := ""
	if p.Exp.Word != nil {
		arg = t.word(s, p.Exp.Word)
	}
	switch p.Exp.Op {
	case syntax.DefaultUnset:
		if !set {
			return arg
		}
	case syntax.DefaultUnsetOrNull:
		if v == "" {
			return arg
		}
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if !set || v == "" && p.Exp.Op == syntax.AssignUnsetOrNull {
			s.vars[p.Param.Value] = arg
			return arg
		}
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if set && (v != "" || p.Exp.Op == syntax.AlternateUnset) {
			return arg
		}
		return ""
	case syntax.RemSmallSuffix, syntax.RemLargeSuffix, syntax.RemSmallPrefix, syntax.RemLargePrefix:
		return trim(v, arg, p.Exp.Op)
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
	default:
		return Unsure
	}
	return v
}

// trim removes the part at one end that matches a pattern.
func trim(v, pat string, op syntax.ParExpOperator) string {
	if !Sure(pat) || len(v) > 1024 {
		return Unsure
	}
	n := len(v)
	for k := 0; k <= n; k++ {
		switch op {
		case syntax.RemSmallSuffix:
			if match(pat, v[n-k:]) {
				return v[:n-k]
			}
		case syntax.RemLargeSuffix:
			if match(pat, v[k:]) {
				return v[:k]
			}
		case syntax.RemSmallPrefix:
			if match(pat, v[:k]) {
				return v[k:]
			}
		case syntax.RemLargePrefix:
			if match(pat, v[:n-k]) {
				return v[n-k:]
			}
		}
	}
	return v
}

// output is what a command substitution gives, where that is plain.
func (t *Tracer) output(s *scope, c *syntax.CmdSubst) string {
	if len(c.Stmts) != 1 {
		return Unsure
	}
	call, ok := c.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 || len(c.Stmts[0].Redirs) > 0 {
		return Unsure
	}
	words := t.fields(s, call.Args)
	for _, w := range words {
		if !Sure(w) {
			return Unsure
		}
	}
	if len(words) == 0 {
		return ""
	}
	switch name := path.Base(words[0]); {
	case name == "echo":
		return strings.TrimPrefix(strings.Join(words[1:], " "), "-n ")
	case name == "pwd" && len(words) == 1:
		return s.dir
	case name == "basename" && len(words) == 2:
		return path.Base(words[1])
	case name == "basename" && len(words) == 3:
		return strings.TrimSuffix(path.Base(words[1]), words[2])
	case name == "dirname" && len(words) == 2:
		return path.Dir(words[1])
	case name == "cat" && len(words) == 2 && t.Host.Exists(t.abs(s, words[1])) == True:
		if text, ok := t.Host.Text(t.abs(s, words[1])); ok && len(text) < maxValue {
			return strings.TrimRight(text, "\n")
		}
	}
	return Unsure
}

// fields expands words, splits what is not quoted, and matches file names.
func (t *Tracer) fields(s *scope, words []*syntax.Word) []string {
	var out []string
	for _, w := range words {
		if len(out) > maxWords {
			break
		}
		out = append(out, t.field(s, w)...)
	}
	return out
}

func (t *Tracer) field(s *scope, w *syntax.Word) []string {
	quoted, split := false, false
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.SglQuoted, *syntax.DblQuoted:
			quoted = true
			if d, ok := p.(*syntax.DblQuoted); ok && len(w.Parts) == 1 && len(d.Parts) == 1 {
				if e, ok := d.Parts[0].(*syntax.ParamExp); ok && e.Param != nil && e.Param.Value == "@" && e.Exp == nil {
					return s.args
				}
			}
		case *syntax.ParamExp, *syntax.CmdSubst:
			split = true
		}
	}
	v := t.word(s, w)
	if quoted {
		return []string{v}
	}
	if !Sure(v) {
		return []string{v}
	}
	vs := []string{v}
	if split {
		vs = strings.Fields(v)
	}
	var out []string
	for _, v := range vs {
		if !strings.ContainsAny(v, "*?[") {
			out = append(out, v)
			continue
		}
		if hits := t.glob(t.abs(s, v)); len(hits) > 0 {
			out = append(out, hits...)
		} else {
			out = append(out, v)
		}
	}
	return out
}

// glob returns the paths that match an absolute pattern.
func (t *Tracer) glob(pat string) []string {
	at := []string{"/"}
	for _, part := range strings.Split(strings.Trim(pat, "/"), "/") {
		var up []string
		for _, dir := range at {
			if !strings.ContainsAny(part, "*?[") {
				up = append(up, path.Join(dir, part))
				continue
			}
			for _, name := range t.Host.List(dir) {
				if ok, err := path.Match(part, name); ok && err == nil && (part[0] == '.' || name[0] != '.') {
					up = append(up, path.Join(dir, name))
				}
				if len(up) > maxWords {
					return nil
				}
			}
		}
		at = up
	}
	var out []string
	for _, p := range at {
		if t.Host.Kind(p) != "" {
			out = append(out, p)
		}
	}
	return out
}

// abs makes a path absolute.
func (t *Tracer) abs(s *scope, p string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	if !Sure(s.dir) || !Sure(p) {
		return Unsure + "/" + p
	}
	return path.Join(s.dir, p)
}
