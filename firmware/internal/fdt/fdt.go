// Package fdt reads flattened device trees (Devicetree Specification 0.4
// section 5), which are also the container of U-Boot's FIT images.
package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	headLen  = 40
	maxNodes = 50_000
	maxDepth = 64

	tokenBegin = 1
	tokenEnd   = 2
	tokenProp  = 3
	tokenNop   = 4
	tokenLast  = 9
)

// Node is a node with its properties in the order they stand.
type Node struct {
	Name  string
	Props []Prop
	Nodes []*Node
}

// Prop is a property; Offset is where its value stands in the tree's bytes.
type Prop struct {
	Name   string
	Value  []byte
	Offset int64
}

// Length reads the header in head and tells how long the tree is.
func Length(head []byte) (int64, bool) {
	if len(head) < headLen || binary.BigEndian.Uint32(head) != 0xd00dfeed {
		return 0, false
	}
	w := func(i int) int64 { return int64(binary.BigEndian.Uint32(head[4*i:])) }
	total, structs, strs, version, compatible := w(1), w(2), w(3), w(5), w(6)
	if version < 16 || version > 32 || compatible > 17 || total < headLen+8 || structs >= total || strs > total || structs < headLen-4 {
		return 0, false
	}
	return total, true
}

// Parse reads a whole tree.
func Parse(b []byte) (*Node, error) {
	total, ok := Length(b)
	if !ok || total > int64(len(b)) {
		return nil, errors.New("no device tree, or one that is cut")
	}
	b = b[:total]
	strs := b[binary.BigEndian.Uint32(b[12:]):]
	at := int(binary.BigEndian.Uint32(b[8:]))
	word := func() (uint32, error) {
		if at+4 > len(b) {
			return 0, errors.New("the structure has no end")
		}
		w := binary.BigEndian.Uint32(b[at:])
		at += 4
		return w, nil
	}
	var stack []*Node
	var root *Node
	for nodes := 0; ; {
		token, err := word()
		if err != nil {
			return root, err
		}
		switch token {
		case tokenBegin:
			end := bytes.IndexByte(b[at:], 0)
			if end < 0 {
				return root, errors.New("a name without end")
			}
			n := &Node{Name: string(b[at : at+end])}
			at = (at + end + 4) &^ 3
			if nodes++; nodes > maxNodes || len(stack) >= maxDepth {
				return root, fmt.Errorf("more than %d nodes, or more than %d deep", maxNodes, maxDepth)
			}
			if len(stack) > 0 {
				up := stack[len(stack)-1]
				up.Nodes = append(up.Nodes, n)
			} else if root == nil {
				root = n
			} else {
				return root, errors.New("a second root")
			}
			stack = append(stack, n)
		case tokenEnd:
			if len(stack) == 0 {
				return root, errors.New("a node ends that never began")
			}
			stack = stack[:len(stack)-1]
		case tokenProp:
			size, err := word()
			if err != nil {
				return root, err
			}
			off, err := word()
			if err != nil {
				return root, err
			}
			if len(stack) == 0 || int64(at)+int64(size) > int64(len(b)) || int64(off) >= int64(len(strs)) {
				return root, errors.New("a property outside of its node or its tree")
			}
			name, _, _ := bytes.Cut(strs[off:min(int(off)+256, len(strs))], []byte{0})
			if nodes++; nodes > maxNodes {
				return root, fmt.Errorf("more than %d properties", maxNodes)
			}
			n := stack[len(stack)-1]
			n.Props = append(n.Props, Prop{string(name), b[at : at+int(size) : at+int(size)], int64(at)})
			at = (at + int(size) + 3) &^ 3
		case tokenNop:
		case tokenLast:
			if root == nil {
				return nil, errors.New("no root")
			}
			return root, nil
		default:
			return root, fmt.Errorf("unknown token %d at %#x", token, at-4)
		}
	}
}

// Node returns the child with this name, or nil; a unit address behind @ need
// not be given.
func (n *Node) Node(name string) *Node {
	if n == nil {
		return nil
	}
	for _, k := range n.Nodes {
		if base, _, _ := strings.Cut(k.Name, "@"); k.Name == name || base == name {
			return k
		}
	}
	return nil
}

// Prop returns a property's value and whether there is one.
func (n *Node) Prop(name string) (Prop, bool) {
	if n != nil {
		for _, p := range n.Props {
			if p.Name == name {
				return p, true
			}
		}
	}
	return Prop{}, false
}

// Text returns a property that is a string, or the strings of a list with
// commas between them; "" when there is none.
func (n *Node) Text(name string) string {
	p, _ := n.Prop(name)
	parts := strings.Split(strings.TrimRight(string(p.Value), "\x00"), "\x00")
	return strings.ToValidUTF8(strings.Join(parts, ","), "�")
}

// Number returns a property of one or two cells.
func (n *Node) Number(name string) (uint64, bool) {
	p, _ := n.Prop(name)
	switch len(p.Value) {
	case 4:
		return uint64(binary.BigEndian.Uint32(p.Value)), true
	case 8:
		return binary.BigEndian.Uint64(p.Value), true
	}
	return 0, false
}
