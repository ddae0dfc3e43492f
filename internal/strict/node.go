package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/ringwall/ringwall"
)

// Kind is the kind of a node.
type Kind uint8

// The kinds of nodes.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

var kindNames = [...]string{"null", "a boolean", "a number", "a text", "a list", "an object"}

func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Node is one value of a document with the line on which it begins. Text holds
// texts and numbers as they were written, "true" or "false" for booleans.
type Node struct {
	Kind    Kind
	Line    int
	Text    string
	Items   []*Node  // of a list
	Members []Member // of an object, in the order written
}

// Member is one name and its value.
type Member struct {
	Name  string
	Line  int
	Value *Node
}

// Limits bound a document.
type Limits struct {
	Bytes int // of the whole; 0 = 1 MiB
	Depth int // of nesting; 0 = 32
	Nodes int // 0 = 100,000
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 32
	}
	if l.Nodes == 0 {
		l.Nodes = 100_000
	}
	return l
}

// JSON reads one JSON value and nothing behind it.
func JSON(b []byte, l Limits) (*Node, error) {
	l = l.WithDefaults()
	if len(b) > l.Bytes {
		return nil, ringwall.Errorf(ringwall.Invalid, "the document has %d bytes, more than %d", len(b), l.Bytes)
	}
	if !utf8.Valid(b) {
		return nil, ringwall.Errorf(ringwall.Invalid, "the document is not valid UTF-8")
	}
	r := jsonReader{raw: b, dec: json.NewDecoder(bytes.NewReader(b)), limits: l, line: 1}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, r.errorf("something stands behind the end of the document")
	}
	return n, nil
}

type jsonReader struct {
	raw    []byte
	dec    *json.Decoder
	limits Limits
	nodes  int
	line   int // at offset at
	at     int
}

// here returns the line on which the token that was read last ends. Tokens do
// not span lines: JSON has no line break inside a text.
func (r *jsonReader) here() int {
	end := min(int(r.dec.InputOffset()), len(r.raw))
	r.line += bytes.Count(r.raw[r.at:end], []byte{'\n'})
	r.at = end
	return r.line
}

func (r *jsonReader) errorf(format string, args ...any) error {
	return ringwall.Errorf(ringwall.Invalid, "line %d: "+format, append([]any{r.here()}, args...)...)
}

func (r *jsonReader) token() (json.Token, error) {
	t, err := r.dec.Token()
	if err == nil {
		return t, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, r.errorf("the document ends too early")
	}
	return nil, r.errorf("%v", err)
}

func (r *jsonReader) value(depth int) (*Node, error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	if r.nodes++; r.nodes > r.limits.Nodes {
		return nil, r.errorf("more than %d values", r.limits.Nodes)
	}
	if depth >= r.limits.Depth {
		return nil, r.errorf("nested deeper than %d", r.limits.Depth)
	}
	n := &Node{Line: r.here()}
	switch t := t.(type) {
	case nil:
	case bool:
		n.Kind, n.Text = Bool, "false"
		if t {
			n.Text = "true"
		}
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case string:
		n.Kind, n.Text = String, t
	case json.Delim:
		if t == '[' {
			return n, r.list(n, depth)
		}
		return n, r.object(n, depth)
	}
	return n, nil
}

func (r *jsonReader) list(n *Node, depth int) error {
	n.Kind = List
	for r.dec.More() {
		v, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, v)
	}
	_, err := r.token()
	return err
}

func (r *jsonReader) object(n *Node, depth int) error {
	n.Kind = Object
	seen := map[string]bool{}
	for r.dec.More() {
		t, err := r.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return r.errorf("a member's name is not a text")
		}
		line := r.here()
		if seen[name] {
			return r.errorf("member %q is given twice", Short(name))
		}
		seen[name] = true
		v, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.Members = append(n.Members, Member{Name: name, Line: line, Value: v})
	}
	_, err := r.token()
	return err
}

// Short cuts s for an error message.
func Short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
