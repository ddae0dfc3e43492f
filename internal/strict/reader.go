package strict

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ringwall/ringwall"
)

// Reader takes a tree apart. It keeps the first error; see Err.
type Reader struct {
	err error
	// MaxText bounds every text in bytes; 0 = 4,096.
	MaxText int
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Failf notes an error at a node, unless there is one already.
func (r *Reader) Failf(line int, path, format string, args ...any) {
	if r.err == nil {
		if path != "" {
			format = "line %d: %s: " + format
			args = append([]any{line, path}, args...)
		} else {
			format = "line %d: " + format
			args = append([]any{line}, args...)
		}
		r.err = ringwall.Errorf(ringwall.Invalid, format, args...)
	}
}

// Value is a node with the path that leads to it. The zero Value stands for a
// member that is absent: it answers zero values and no error.
type Value struct {
	r    *Reader
	n    *Node
	path string
}

// Root returns the value of a whole document.
func (r *Reader) Root(n *Node) Value { return Value{r: r, n: n} }

// Present reports whether there is a value, and it is not null.
func (v Value) Present() bool { return v.n != nil && v.n.Kind != Null }

// Given reports whether the member was written, be it as null.
func (v Value) Given() bool { return v.n != nil }

// Node returns the node, nil when the value is absent.
func (v Value) Node() *Node { return v.n }

// Line returns the line on which the value stands, 0 when it is absent.
func (v Value) Line() int {
	if v.n == nil {
		return 0
	}
	return v.n.Line
}

// Failf notes an error about the value.
func (v Value) Failf(format string, args ...any) {
	if v.r != nil {
		v.r.Failf(v.Line(), v.path, format, args...)
	}
}

func (v Value) is(k Kind) bool {
	if !v.Present() || v.r.err != nil {
		return false
	}
	if v.n.Kind != k {
		v.Failf("is %v, not %v", v.n.Kind, k)
		return false
	}
	return true
}

// Text returns a text without control characters, spaces around it cut.
func (v Value) Text() string {
	if !v.is(String) {
		return ""
	}
	most := v.r.MaxText
	if most == 0 {
		most = 4096
	}
	s := strings.TrimSpace(v.n.Text)
	if len(s) > most {
		v.Failf("is longer than %d bytes", most)
		return ""
	}
	for _, c := range s {
		if c == utf8.RuneError || unicode.IsControl(c) && c != '\n' && c != '\t' {
			v.Failf("holds a control character")
			return ""
		}
	}
	return s
}

// OneOf returns a text that is one of words, in lower case.
func (v Value) OneOf(words ...string) string {
	s := strings.ToLower(v.Text())
	if s != "" && !slices.Contains(words, s) {
		v.Failf("%q is none of %q", Short(s), words)
		return ""
	}
	return s
}

// URL returns an absolute URL of one of the schemes.
func (v Value) URL(schemes ...string) string {
	s := v.Text()
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) || u.User != nil {
		v.Failf("%q is no URL with scheme %s", Short(s), strings.Join(schemes, " or "))
		return ""
	}
	return s
}

// Bool returns a boolean.
func (v Value) Bool() bool { return v.is(Bool) && v.n.Text == "true" }

// Int returns a whole number from low to high.
func (v Value) Int(low, high int) int {
	if !v.is(Number) {
		return 0
	}
	i, err := strconv.Atoi(v.n.Text)
	if err != nil || i < low || i > high {
		v.Failf("%q is no whole number from %d to %d", Short(v.n.Text), low, high)
		return 0
	}
	return i
}

// Time returns a time (RFC 3339) in UTC; a date alone is its first moment.
func (v Value) Time() time.Time {
	s := v.Text()
	if s == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return t.UTC()
		}
	}
	v.Failf("%q is no date such as 2026-11-21 or 2026-11-21T12:00:00Z", Short(s))
	return time.Time{}
}

// Each calls do for each item of a list of at most most items.
func (v Value) Each(most int, do func(Value)) {
	if !v.is(List) {
		return
	}
	if len(v.n.Items) > most {
		v.Failf("has %d items, more than %d", len(v.n.Items), most)
		return
	}
	for i, n := range v.n.Items {
		if v.r.err != nil {
			return
		}
		do(Value{r: v.r, n: n, path: v.path + "[" + strconv.Itoa(i) + "]"})
	}
}

// Texts returns a list of texts.
func (v Value) Texts(most int) []string {
	var out []string
	v.Each(most, func(v Value) { out = append(out, v.Text()) })
	return out
}

// Fields takes an object apart: get returns a member, or an absent value, and
// notes that it is known. Afterwards every member that nobody asked for is an
// error, unless spare takes it.
func (v Value) Fields(do func(get func(name string) Value), spare ...func(name string, v Value) bool) {
	if !v.is(Object) {
		return
	}
	asked := make(map[string]bool, len(v.n.Members))
	do(func(name string) Value {
		asked[name] = true
		for _, m := range v.n.Members {
			if m.Name == name {
				return Value{r: v.r, n: m.Value, path: join(v.path, name)}
			}
		}
		return Value{r: v.r, path: join(v.path, name)}
	})
	for _, m := range v.n.Members {
		if asked[m.Name] || v.r.err != nil {
			continue
		}
		taken := false
		for _, s := range spare {
			taken = taken || s(m.Name, Value{r: v.r, n: m.Value, path: join(v.path, m.Name)})
		}
		if !taken {
			v.r.Failf(m.Line, v.path, "member %q is not known here", Short(m.Name))
		}
	}
}

// Names lists the names of an object's members, in the order written.
func (v Value) Names() []string {
	if !v.is(Object) {
		return nil
	}
	names := make([]string, len(v.n.Members))
	for i, m := range v.n.Members {
		names[i] = m.Name
	}
	return names
}

func join(path, name string) string {
	if path == "" {
		return Short(name)
	}
	return path + "." + Short(name)
}
