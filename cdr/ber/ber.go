// Package ber walks and writes the Basic Encoding Rules of ASN.1 (ITU-T X.690,
// section 8), as far as charging records need them.
//
// Parse reads one header at a time and never looks further than its bounds; an
// element of indefinite length (section 8.1.3.6) is walked to its end-of-contents
// octets. Lengths and tags of more than four octets, end-of-contents octets where
// no element is open, and elements nested deeper than MaxDepth are refused: an
// input of n bytes costs at most n·MaxDepth steps, and no memory. Constructed
// strings (section 8.7.3.2) are not joined.
//
// What is here is for formats whose readers know which tags they look for. It is
// not a general ASN.1 library: types stand with their formats (packages ts32298
// and tap).
//
// The package is pure and safe for concurrent use, but for a Builder.
package ber

import "fmt"

// MaxDepth bounds the nesting of elements of indefinite length.
const MaxDepth = 32

// Classes of tags (section 8.1.2.2).
const (
	Universal = iota
	Application
	Context
	Private
)

// Universal tags that charging records have between context tags.
const (
	Sequence = 16
	Set      = 17
)

// TLV is an element: its tag, and where its contents stand.
type TLV struct {
	Class       uint8
	Constructed bool
	Indefinite  bool
	Tag         uint32
	From, To    int // of the contents
	Next        int // behind the element
}

// SyntaxError says where and why bytes are no BER.
type SyntaxError struct {
	Offset int
	Reason string
	// Cut is set when more bytes might make it right: it ends too early.
	Cut bool
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("ber: byte %d: %s", e.Offset, e.Reason) }

// Reasons.
const (
	reasonCut    = "the element ends behind its surroundings"
	reasonTag    = "a tag of more than four octets"
	reasonLength = "a length of more than four octets"
	reasonEnd    = "end-of-contents octets where nothing is open"
	reasonDepth  = "elements are nested too deeply"
	reasonPrim   = "a primitive element of indefinite length"
)

// Parse reads the element at b[at:end]. The error is a *SyntaxError.
func Parse(b []byte, at, end int) (TLV, error) { return parse(b, at, end, 0) }

func parse(b []byte, at, end, depth int) (TLV, error) {
	t, known, err := Header(b, at, end)
	if err != nil {
		return t, err
	}
	if known {
		if t.To > end {
			return t, &SyntaxError{at, reasonCut, true}
		}
		return t, nil
	}
	if depth >= MaxDepth {
		return t, &SyntaxError{at, reasonDepth, false}
	}
	// X.690 section 8.1.3.6: two octets of zero end it.
	for p := t.From; ; {
		if end-p < 2 {
			return t, &SyntaxError{p, reasonCut, true}
		}
		if b[p] == 0 && b[p+1] == 0 {
			t.To, t.Next = p, p+2
			return t, nil
		}
		in, err := parse(b, p, end, depth+1)
		if err != nil {
			return t, err
		}
		p = in.Next
	}
}

// Header reads tag and length of the element at b[at:end], whose contents need
// not be there. known is false when the length is indefinite.
func Header(b []byte, at, end int) (t TLV, known bool, err error) {
	p := at
	if p >= end {
		return t, false, &SyntaxError{at, reasonCut, true}
	}
	c := b[p]
	p++
	t.Class, t.Constructed, t.Tag = c>>6, c&0x20 != 0, uint32(c&0x1f)
	if c&0x1f == 0x1f {
		t.Tag = 0
		for n := 0; ; n++ {
			if n == 4 {
				return t, false, &SyntaxError{at, reasonTag, false}
			}
			if p >= end {
				return t, false, &SyntaxError{at, reasonCut, true}
			}
			c := b[p]
			p++
			t.Tag = t.Tag<<7 | uint32(c&0x7f)
			if c < 0x80 {
				break
			}
		}
	}
	if p >= end {
		return t, false, &SyntaxError{at, reasonCut, true}
	}
	l := int(b[p])
	p++
	switch {
	case l < 0x80:
	case l == 0x80:
		if !t.Constructed {
			return t, false, &SyntaxError{at, reasonPrim, false}
		}
		t.Indefinite, t.From = true, p
		return t, false, nil
	case l > 0x84:
		return t, false, &SyntaxError{at, reasonLength, false}
	default:
		n := l & 0x7f
		if end-p < n {
			return t, false, &SyntaxError{at, reasonCut, true}
		}
		l = 0
		for ; n > 0; n-- {
			l = l<<8 | int(b[p])
			p++
		}
	}
	if t.Class == Universal && t.Tag == 0 {
		return t, false, &SyntaxError{at, reasonEnd, false}
	}
	t.From, t.To, t.Next = p, p+l, p+l
	return t, true, nil
}

// Definite reads tag and length of a constructed element with a context tag of at
// most 14 bits and a definite length of at most two octets, which is what most
// records are, and where its contents begin and end; to may be behind b. It is
// quicker than Header, and reports false for all others.
func Definite(b []byte, at, end int) (tag, from, to int, ok bool) {
	if end-at < 6 {
		return 0, 0, 0, false
	}
	h := b[at : at+6 : at+6]
	if h[0]&0xe0 != Context<<6|0x20 {
		return 0, 0, 0, false
	}
	tag, p := int(h[0]&0x1f), 1
	if tag == 0x1f {
		if tag, p = int(h[1]), 2; tag >= 0x80 {
			if tag, p = tag&0x7f<<7|int(h[2]), 3; h[2] >= 0x80 {
				return 0, 0, 0, false
			}
		}
	}
	switch n := int(h[p]); {
	case n < 0x80:
		return tag, at + p + 1, at + p + 1 + n, true
	case n == 0x81:
		return tag, at + p + 2, at + p + 2 + int(h[p+1]), true
	case n == 0x82:
		return tag, at + p + 3, at + p + 3 + int(h[p+1])<<8 + int(h[p+2]), true
	}
	return 0, 0, 0, false
}

// Uint reads an INTEGER or ENUMERATED that must not be negative (section 8.3),
// of up to eight octets and a leading zero.
func Uint(b []byte) (v uint64, ok bool) {
	if len(b) == 0 || len(b) > 9 || b[0] >= 0x80 || len(b) == 9 && b[0] != 0 {
		return 0, false
	}
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, true
}

// Int reads an INTEGER of up to eight octets.
func Int(b []byte) (v int64, ok bool) {
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	v = int64(int8(b[0]))
	for _, c := range b[1:] {
		v = v<<8 | int64(c)
	}
	return v, true
}
