package shell

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxMended is after how many unreadable lines the rest of a script is left.
const maxMended = 8

// text follows the text of a script.
func (t *Tracer) text(s *scope, text string) flow {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if len(text) > maxScript {
		t.note("%s is longer than %d KiB and was not followed", s.script, maxScript>>10)
		return next
	}
	if nested(text) > maxNesting {
		t.note("%s nests too deeply and was not followed", s.script)
		return next
	}
	base := s.base
	defer func() { s.base = base }()
	mended := len(s.when)
	defer func() { s.when = s.when[:min(mended, len(s.when))] }()
	for range maxMended {
		f, line, err := t.statements(s, text)
		if err == nil || f != next {
			return f
		}
		// The shell of the device stops here, or reads what we could not.
		rest := text
		for n := 0; n < line && rest != ""; n++ {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		t.note("%s line %d could not be read", s.script, s.base+line)
		if rest == "" {
			return next
		}
		s.base += line
		if len(s.when) == mended {
			s.when = append(s.when, "a line before it can be read by the shell")
		}
		text = rest
	}
	return next
}

// statements follows text up to its end, a stop, or the first line that cannot
// be read, whose number it returns.
func (t *Tracer) statements(s *scope, text string) (f flow, line int, err error) {
	p := syntax.NewParser(syntax.Variant(syntax.LangBash))
	err = p.Stmts(strings.NewReader(text), func(st *syntax.Stmt) bool {
		_, f = t.stmt(s, st)
		return f == next
	})
	if err == nil || f != next {
		return f, 0, nil
	}
	line = 1
	if pe, ok := errors.AsType[syntax.ParseError](err); ok {
		line = int(pe.Pos.Line())
	} else if le, ok := errors.AsType[syntax.LangError](err); ok {
		line = int(le.Pos.Line())
	}
	return next, max(line, 1), err
}

// nested bounds from above how deeply a text can nest, before a parser that
// recurses sees it.
func nested(text string) int {
	depth, deepest := 0, 0
	word := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && (text[i] >= 'a' && text[i] <= 'z') {
			continue
		}
		switch text[word:i] {
		case "if", "while", "until", "for", "case", "select":
			depth++
		case "fi", "done", "esac":
			depth = max(depth-1, 0)
		}
		word = i + 1
		if i == len(text) {
			break
		}
		switch text[i] {
		case '(', '{', '`', '[', '!':
			if text[i] == '!' && (i == 0 || text[i-1] != ' ' && text[i-1] != '\n' && text[i-1] != '!') {
				break
			}
			depth++
		case ')', '}', ']', '\n':
			// A newline closes nothing, but quotes, tests and comments that
			// open without closing seldom reach over one.
			depth = max(depth-1, 0)
		}
		deepest = max(deepest, depth)
	}
	return deepest
}
