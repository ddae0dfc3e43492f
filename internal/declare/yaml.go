package declare

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/strict"
)

// readYAML reads one YAML document into the tree that JSON gives too. Anchors
// are expanded where they are used, within the limit of nodes, so that a
// document of a few lines that means a billion is refused. Merge keys and tags
// of one's own are not taken.
func readYAML(b []byte, l strict.Limits) (*strict.Node, error) {
	l = l.WithDefaults()
	if len(b) > l.Bytes {
		return nil, ringwall.Errorf(ringwall.Invalid, "the document has %d bytes, more than %d", len(b), l.Bytes)
	}
	if deep := indentDepth(b); deep > 400 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the document is nested too deep")
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, ringwall.Errorf(ringwall.Invalid, "the document is empty")
		}
		return nil, ringwall.Errorf(ringwall.Invalid, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, ringwall.Errorf(ringwall.Invalid, "more than one document")
	}
	c := yamlReader{limits: l}
	return c.node(&doc, 0)
}

// indentDepth bounds how deep flow collections nest before the library, which
// recurses, sees them.
func indentDepth(b []byte) int {
	deep, most := 0, 0
	for _, c := range b {
		switch c {
		case '[', '{':
			deep++
			most = max(most, deep)
		case ']', '}':
			deep--
		}
	}
	return most
}

type yamlReader struct {
	limits strict.Limits
	nodes  int
}

func (c *yamlReader) node(y *yaml.Node, depth int) (*strict.Node, error) {
	fail := func(format string, args ...any) (*strict.Node, error) {
		return nil, ringwall.Errorf(ringwall.Invalid, "line %d: "+format, append([]any{y.Line}, args...)...)
	}
	if y.Kind == yaml.DocumentNode {
		if len(y.Content) != 1 {
			return fail("the document is empty")
		}
		return c.node(y.Content[0], depth)
	}
	if depth >= c.limits.Depth {
		return fail("nested deeper than %d", c.limits.Depth)
	}
	if c.nodes++; c.nodes > c.limits.Nodes {
		return fail("more than %d values, aliases expanded", c.limits.Nodes)
	}
	n := &strict.Node{Line: y.Line}
	switch y.Kind {
	case yaml.AliasNode:
		return c.node(y.Alias, depth)
	case yaml.SequenceNode:
		n.Kind = strict.List
		for _, item := range y.Content {
			v, err := c.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, v)
		}
	case yaml.MappingNode:
		n.Kind = strict.Object
		seen := map[string]bool{}
		for i := 0; i+1 < len(y.Content); i += 2 {
			k := y.Content[i]
			if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
				return fail("a member's name is not a plain text")
			}
			if seen[k.Value] {
				return nil, ringwall.Errorf(ringwall.Invalid, "line %d: member %q is given twice", k.Line, strict.Short(k.Value))
			}
			seen[k.Value] = true
			v, err := c.node(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			n.Members = append(n.Members, strict.Member{Name: k.Value, Line: k.Line, Value: v})
		}
	default:
		return c.scalar(y, n)
	}
	return n, nil
}

func (c *yamlReader) scalar(y *yaml.Node, n *strict.Node) (*strict.Node, error) {
	n.Text = y.Value
	switch y.ShortTag() {
	case "!!null":
		n.Kind, n.Text = strict.Null, ""
	case "!!bool":
		n.Kind, n.Text = strict.Bool, strings.ToLower(y.Value)
	case "!!int", "!!float":
		n.Kind = strict.Number
	case "!!str", "!!timestamp":
		n.Kind = strict.String
	default:
		return nil, ringwall.Errorf(ringwall.Invalid, "line %d: tag %q is not taken", y.Line, strict.Short(y.Tag))
	}
	return n, nil
}
