package components

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	window = 256 << 10 // bytes read at a time
	reach  = 256       // bytes of text looked at on each side of a literal

	maxAlone   = 512  // strings that look like versions, kept of one file
	maxPerRule = 32   // different versions kept of one rule and file
	maxTries   = 4096 // times an expression is tried per rule and file
	maxVersion = 40   // bytes of a version
	// maxWork bounds the expressions tried on one file altogether: a file made of
	// nothing but our literals costs a second, not minutes.
	maxWork = 100_000
)

// found is one version of one fingerprint in one file.
type found struct {
	fingerprint int
	version     string
	how         string
}

// scanner looks at one file at a time; it is reused between files and belongs
// to one goroutine.
type scanner struct {
	book  *Book
	buf   []byte
	seen  []bool              // by literal
	tries []int               // by rule
	work  int                 // tries altogether
	hits  map[*Rule][]counted // versions found, by rule
	alone []counted
	notes []packagerNote
}

type counted struct {
	text string
	n    int
}

func newScanner(b *Book) *scanner {
	return &scanner{
		book: b,
		buf:  make([]byte, 0, window+2*reach+b.longest),
		seen: make([]bool, len(b.lengths)),
		hits: map[*Rule][]counted{},
	}
}

// scan reads r to its end and returns what it holds. name is the path of the
// file, of which only the base name counts.
func (s *scanner) scan(ctx context.Context, name string, r io.Reader) ([]found, error) {
	clear(s.seen)
	clear(s.hits)
	s.alone, s.notes = s.alone[:0], nil
	if s.tries == nil {
		s.tries = make([]int, len(s.book.rules))
	}
	clear(s.tries)
	s.work = 0

	// fed counts the bytes of buf that the automaton has seen. It stays reach
	// bytes behind what was read, so that a literal always has its text.
	buf, fed := s.buf[:0], 0
	state := uint16(0)
	keep := reach + s.book.longest
	for eof := false; !eof; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			eof = true
		default:
			return nil, err
		}
		limit := len(buf)
		if !eof {
			limit -= reach
		}
		state = s.book.auto.feed(state, buf[fed:limit], func(l uint16, last int) {
			s.seen[l] = true
			if l == s.book.note {
				s.packager(text(buf, fed+last+1-len(noteBegins), fed+last+1))
			}
			if len(s.book.find[l]) > 0 {
				s.try(buf, l, fed+last)
			}
		})
		s.versions(buf, fed, limit, eof)
		if cut := limit - keep; !eof && cut > 0 {
			n := copy(buf, buf[cut:])
			buf = buf[:n]
			limit -= cut
		}
		fed = limit
	}
	return s.conclude(path.Base(name)), nil
}

// printable reports whether b is part of a string.
func printable(b byte) bool { return b >= 0x20 && b < 0x7f || b == '\t' }

// text returns the printable text around buf[from:to], no more than reach
// bytes on each side.
func text(buf []byte, from, to int) []byte {
	lo, hi := max(0, from-reach), min(len(buf), to+reach)
	for from > lo && printable(buf[from-1]) {
		from--
	}
	for to < hi && printable(buf[to]) {
		to++
	}
	return buf[from:to]
}

// try looks for the versions of the rules that begin with a literal.
func (s *scanner) try(buf []byte, literal uint16, last int) {
	var around []byte
	for _, r := range s.book.find[literal] {
		if s.tries[r.number] >= maxTries || s.work >= maxWork {
			continue
		}
		s.tries[r.number]++
		s.work++
		if around == nil {
			around = text(buf, last+1-s.book.lengths[literal], last+1)
		}
		for _, m := range r.version.FindAllSubmatchIndex(around, 4) {
			if v := string(r.version.Expand(nil, []byte(r.Form), around, m)); v != "" && len(v) <= maxVersion {
				s.hits[r] = count(s.hits[r], v, maxPerRule)
			}
		}
	}
}

// count adds one to the count of text, keeping at most limit texts.
func count(all []counted, text string, limit int) []counted {
	for i := range all {
		if all[i].text == text {
			all[i].n++
			return all
		}
	}
	if len(all) == limit {
		return all
	}
	return append(all, counted{text, 1})
}

// versions collects the whole strings in buf[from:to] that look like a
// version: a digit, a dot and a digit near their beginning. Dots are rare in
// machine code, so looking for them first costs next to nothing.
func (s *scanner) versions(buf []byte, from, to int, eof bool) {
	for i := from; i < to; i++ {
		n := bytes.IndexByte(buf[i:to], '.')
		if n < 0 {
			return
		}
		i += n
		if i == 0 || i+1 >= len(buf) || !digit(buf[i-1]) || !digit(buf[i+1]) {
			continue
		}
		start := i - 1
		for start > 0 && i-start < 8 && printable(buf[start-1]) {
			start--
		}
		if start > 0 && printable(buf[start-1]) {
			continue
		}
		end := i + 1
		for end < len(buf) && end-start <= maxVersion && printable(buf[end]) {
			end++
		}
		if end < len(buf) && printable(buf[end]) || end == len(buf) && !eof {
			continue
		}
		lead := bytes.TrimLeft(bytes.TrimSpace(buf[start:i]), "vV")
		if len(lead) == 0 || len(lead) > 8 || !allDigits(lead) {
			continue // no number, or not the first dot of the string
		}
		s.alone = count(s.alone, string(bytes.TrimSpace(buf[start:end])), maxAlone)
	}
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

func allDigits(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return !digit(c) })
}

// conclude decides, for each fingerprint, which version the file has.
func (s *scanner) conclude(base string) []found {
	var out []found
	decided := -1
	for _, r := range s.book.rules {
		if r.fingerprint == decided || !s.holds(r, base) {
			continue
		}
		var versions []counted
		switch {
		case r.Alone:
			for _, a := range s.alone {
				if m := r.version.FindStringSubmatchIndex(a.text); m != nil {
					versions = count(versions, string(r.version.ExpandString(nil, r.Form, a.text, m)), maxPerRule)
				}
			}
			if versions = s.without(versions, r.prefix(base)); len(versions) > 1 {
				continue // any of them could be meant
			}
		case r.Name:
			if m := r.version.FindStringSubmatchIndex(base); m != nil {
				versions = count(versions, string(r.version.ExpandString(nil, r.Form, base, m)), maxPerRule)
			}
		case r.Present:
			versions = count(nil, "", 1)
		default:
			versions = s.hits[r]
		}
		if len(versions) == 0 {
			continue
		}
		decided = r.fingerprint
		slices.SortFunc(versions, func(x, y counted) int { return compareStrings(x.text, y.text) })
		for _, v := range versions {
			out = append(out, found{r.fingerprint, v.text, r.how(s.book)})
		}
	}
	return out
}

// ofZlib matches the versions of zlib, which a program that uses it carries as
// a string of its own: the macro deflateInit passes it.
var ofZlib = regexp.MustCompile(`^1\.[23](?:\.\d+)*$`)

// without removes the versions that do not begin with prefix and, where others
// remain, those that are zlib's.
func (s *scanner) without(versions []counted, prefix string) []counted {
	if prefix != "" {
		versions = slices.DeleteFunc(versions, func(c counted) bool { return !strings.HasPrefix(c.text, prefix+".") })
	}
	if s.seen[s.book.deflate] && len(versions) > 1 {
		versions = slices.DeleteFunc(versions, func(c counted) bool { return ofZlib.MatchString(c.text) })
	}
	return versions
}

// prefix returns what a file's name says its version begins with, or "".
func (r *Rule) prefix(base string) string {
	if r.file == nil || r.file.NumSubexp() == 0 {
		return ""
	}
	if m := r.file.FindStringSubmatch(base); m != nil {
		return m[1]
	}
	return ""
}

// how names the rule for people who want to check it.
func (r *Rule) how(b *Book) string {
	how := "fingerprint " + b.prints[r.fingerprint].Name + "/" + strconv.Itoa(r.place)
	switch {
	case r.Alone:
		return how + " (version string beside the program's own texts)"
	case r.Name:
		return how + " (file name beside the program's own texts)"
	}
	return how + " (text in the binary)"
}

// holds reports whether the evidence that a rule wants besides the version is
// in the file.
func (s *scanner) holds(r *Rule, base string) bool {
	if r.file != nil && !r.file.MatchString(base) {
		return false
	}
	lacks := func(l uint16) bool { return !s.seen[l] }
	has := func(l uint16) bool { return s.seen[l] }
	return !slices.ContainsFunc(r.need, lacks) &&
		(len(r.any) == 0 || slices.ContainsFunc(r.any, has)) &&
		!slices.ContainsFunc(r.unless, has)
}
