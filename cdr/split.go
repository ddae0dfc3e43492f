package cdr

import (
	"errors"
	"strings"
)

// splitter cuts a line into fields (RFC 4180 section 2), without copying those
// that have no quotes inside.
type splitter struct {
	rest  string
	comma byte
	field string
	err   error
	done  bool
}

var (
	errQuote    = errors.New("a quoted field is not closed on its line")
	errTrailing = errors.New("text after a closing quote")
	errBare     = errors.New("a quote inside a field that does not begin with one")
)

// next moves to the next field and reports whether there is one. An empty line
// has one empty field.
func (s *splitter) next() bool {
	if s.done || s.err != nil {
		return false
	}
	if len(s.rest) > 0 && s.rest[0] == '"' {
		return s.quoted()
	}
	i := strings.IndexByte(s.rest, s.comma)
	if i < 0 {
		s.field, s.done = s.rest, true
	} else {
		s.field, s.rest = s.rest[:i], s.rest[i+1:]
	}
	if strings.IndexByte(s.field, '"') >= 0 {
		s.err = errBare
		return false
	}
	return true
}

func (s *splitter) quoted() bool {
	in := s.rest[1:]
	out := "" // only when a doubled quote has to be undone
	for {
		i := strings.IndexByte(in, '"')
		if i < 0 {
			s.err = errQuote
			return false
		}
		if i+1 < len(in) && in[i+1] == '"' {
			out += in[:i+1]
			in = in[i+2:]
			continue
		}
		s.field = out + in[:i]
		in = in[i+1:]
		break
	}
	switch {
	case len(in) == 0:
		s.done = true
	case in[0] != s.comma:
		s.err = errTrailing
		return false
	default:
		s.rest = in[1:]
	}
	return true
}
