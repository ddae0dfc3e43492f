package ber

import "slices"

// Builder writes elements from the inside out: what is in an element is written
// between Begin and End. The zero Builder appends to nothing.
type Builder struct {
	B []byte
	// Indefinite writes constructed elements with indefinite lengths.
	Indefinite bool
	open       []open
}

// open is an element that has begun.
type open struct {
	at         int // where its contents begin
	indefinite bool
}

// AppendHeader appends tag and length of an element.
func AppendHeader(dst []byte, class uint8, constructed bool, tag uint32, length int) []byte {
	dst = appendTag(dst, class, constructed, tag)
	return appendLength(dst, length)
}

func appendTag(dst []byte, class uint8, constructed bool, tag uint32) []byte {
	c := class << 6
	if constructed {
		c |= 0x20
	}
	if tag < 0x1f {
		return append(dst, c|byte(tag))
	}
	dst = append(dst, c|0x1f)
	for shift := 21; shift > 0; shift -= 7 {
		if tag>>shift != 0 {
			dst = append(dst, 0x80|byte(tag>>shift))
		}
	}
	return append(dst, byte(tag&0x7f))
}

func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n < 1<<8:
		return append(dst, 0x81, byte(n))
	case n < 1<<16:
		return append(dst, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Begin opens a constructed element.
func (b *Builder) Begin(class uint8, tag uint32) {
	b.B = appendTag(b.B, class, true, tag)
	if b.Indefinite {
		b.B = append(b.B, 0x80)
	}
	b.open = append(b.open, open{len(b.B), b.Indefinite})
}

// End closes the element that was opened last.
func (b *Builder) End() {
	o := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	if o.indefinite {
		b.B = append(b.B, 0, 0)
		return
	}
	var room [5]byte
	b.B = slices.Insert(b.B, o.at, appendLength(room[:0], len(b.B)-o.at)...)
}

// Bytes writes a primitive element.
func (b *Builder) Bytes(class uint8, tag uint32, v []byte) {
	b.B = append(AppendHeader(b.B, class, false, tag, len(v)), v...)
}

// Text writes a primitive element.
func (b *Builder) Text(class uint8, tag uint32, v string) {
	b.B = append(AppendHeader(b.B, class, false, tag, len(v)), v...)
}

// Uint writes an INTEGER or ENUMERATED in as few octets as it needs.
func (b *Builder) Uint(class uint8, tag uint32, v uint64) {
	n := 1
	for n < 9 && v>>(8*n-1) != 0 {
		n++
	}
	b.B = AppendHeader(b.B, class, false, tag, n)
	for n--; n >= 0; n-- {
		b.B = append(b.B, byte(v>>(8*n))) // a ninth octet is zero: v>>64 is
	}
}
