package capture

import (
	"encoding/binary"
	"io"
	"math"
	"math/bits"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

// Types of pcapng blocks.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete, still found in old files
	blockSimple    = 3
	blockEnhanced  = 6
)

// Options of pcapng blocks.
const (
	optEnd      = 0
	optComment  = 1
	optTSResol  = 9  // of an interface
	optTSOffset = 14 // of an interface
)

const orderMagic = 0x1a2b3c4d

// iface is one interface of a section.
type iface struct {
	link   packet.LinkType
	snap   uint32
	units  uint64 // ticks of the clock per second
	offset int64  // seconds to add
}

// nextNG reads blocks up to and including the next packet.
func (c *Reader) nextNG() (Frame, error) {
	for {
		if end, err := c.atEnd(); end || err != nil {
			if err == nil {
				err = io.EOF
			}
			return Frame{}, err
		}
		start := c.at
		kind, body, err := c.block()
		if err != nil {
			return Frame{}, err
		}
		switch kind {
		case blockInterface:
			err = c.addInterface(start, body)
		case blockEnhanced, blockPacket:
			return c.enhanced(start, kind, body)
		case blockSimple:
			return c.simple(start, body)
		}
		if err != nil {
			return Frame{}, err
		}
	}
}

// block reads one block and returns its body; nil for kinds that are stepped
// over, whose length is then not bounded.
func (c *Reader) block() (kind uint32, body []byte, err error) {
	start := c.at
	h, err := c.read(8, "the header of a block is cut short")
	if err != nil {
		return 0, nil, err
	}
	if binary.BigEndian.Uint32(h) == blockSection { // the same in both byte orders
		return blockSection, nil, c.section(start, [4]byte(h[4:8]))
	}
	if c.order == nil {
		return 0, nil, badAt(start, "the first block is not a section header")
	}
	kind = c.order.Uint32(h)
	total := c.order.Uint32(h[4:])
	if total < 12 || total%4 != 0 {
		return 0, nil, badAt(start, "a block claims a length of %d bytes", total)
	}
	switch kind {
	case blockInterface, blockPacket, blockSimple, blockEnhanced:
		if total > MaxBlock {
			return 0, nil, badAt(start, "a block of %d bytes is over the limit of %d", total, MaxBlock)
		}
		if body, err = c.read(int(total)-8, "a block is cut short"); err != nil {
			return 0, nil, err
		}
		if again := c.order.Uint32(body[len(body)-4:]); again != total {
			return 0, nil, badAt(start, "a block begins with length %d and ends with %d", total, again)
		}
		return kind, body[:len(body)-4], nil
	}
	return kind, nil, c.skip(int64(total)-8, "a block is cut short")
}

func (c *Reader) skip(n int64, what string) error {
	m, err := io.CopyN(io.Discard, c.in, n)
	c.at += m
	if err != nil {
		return c.ended(err, what)
	}
	return nil
}

// section begins a new section, which may have the other byte order.
func (c *Reader) section(start int64, length [4]byte) error {
	h, err := c.read(16, "a section header is cut short")
	if err != nil {
		return err
	}
	switch uint32(orderMagic) {
	case binary.LittleEndian.Uint32(h):
		c.order = binary.LittleEndian
	case binary.BigEndian.Uint32(h):
		c.order = binary.BigEndian
	default:
		return badAt(start, "a section header has no byte-order magic")
	}
	total := c.order.Uint32(length[:])
	if total < 28 || total%4 != 0 {
		return badAt(start, "a section header claims a length of %d bytes", total)
	}
	if major := c.order.Uint16(h[4:]); major != 1 {
		return badAt(start, "pcapng version %d.%d is not known, want 1.0", major, c.order.Uint16(h[6:]))
	}
	c.ifaces = c.ifaces[:0]
	return c.skip(int64(total)-24, "a section header is cut short")
}

func (c *Reader) addInterface(start int64, b []byte) error {
	if len(b) < 8 {
		return badAt(start, "an interface description of %d bytes is too short", len(b))
	}
	if len(c.ifaces) == MaxInterfaces {
		return badAt(start, "more than %d interfaces in one section", MaxInterfaces)
	}
	i := iface{link: packet.LinkType(c.order.Uint16(b)), snap: c.order.Uint32(b[4:]), units: 1e6}
	err := c.options(start, b[8:], func(code uint16, v []byte) error {
		switch {
		case code == optTSResol && len(v) == 1:
			units, ok := resolution(v[0])
			if !ok {
				return badAt(start, "timestamp resolution %#x is finer than can be kept", v[0])
			}
			i.units = units
		case code == optTSOffset && len(v) == 8:
			i.offset = int64(c.order.Uint64(v))
		}
		return nil
	})
	c.ifaces = append(c.ifaces, i)
	return err
}

// resolution returns the ticks per second of an if_tsresol value: a negative
// power of ten, or of two when the top bit is set.
func resolution(v byte) (uint64, bool) {
	exp := int(v & 0x7f)
	if v&0x80 != 0 {
		return 1 << min(exp, 63), exp <= 63
	}
	units := uint64(1)
	for range min(exp, 20) {
		hi, lo := bits.Mul64(units, 10)
		if hi != 0 {
			return 0, false
		}
		units = lo
	}
	return units, exp <= 19
}

// time turns ticks into time.
func (i iface) time(ticks uint64) time.Time {
	sec, frac := ticks/i.units, ticks%i.units
	hi, lo := bits.Mul64(frac, 1e9)
	nanos, _ := bits.Div64(hi, lo, i.units) // frac < units, so the quotient fits
	if sec > math.MaxInt32*8 {
		sec = math.MaxInt32 * 8 // past the year 2500: keep arithmetic on it safe
	}
	off := max(min(i.offset, math.MaxInt32*8), -math.MaxInt32*8)
	return time.Unix(int64(sec)+off, int64(nanos)).UTC()
}

// options calls f for each option in b. A value that runs past the end is an
// error.
func (c *Reader) options(start int64, b []byte, f func(code uint16, v []byte) error) error {
	for len(b) >= 4 {
		code, n := c.order.Uint16(b), int(c.order.Uint16(b[2:]))
		if code == optEnd {
			return nil
		}
		padded := (n + 3) &^ 3
		if padded > len(b)-4 {
			return badAt(start, "option %d of %d bytes runs past the end of its block", code, n)
		}
		if err := f(code, b[4:4+n]); err != nil {
			return err
		}
		b = b[4+padded:]
	}
	return nil
}

func (c *Reader) face(start int64, n uint32) (iface, error) {
	if int64(n) >= int64(len(c.ifaces)) {
		return iface{}, badAt(start, "a packet names interface %d of %d", n, len(c.ifaces))
	}
	i := c.ifaces[n]
	if !i.link.Known() {
		return iface{}, badAt(start, "link type %d of interface %d cannot be decoded", i.link, n)
	}
	return i, nil
}

// enhanced reads an enhanced packet block, or its obsolete ancestor.
func (c *Reader) enhanced(start int64, kind uint32, b []byte) (Frame, error) {
	if len(b) < 20 {
		return Frame{}, badAt(start, "a packet block of %d bytes is too short", len(b))
	}
	n := c.order.Uint32(b)
	if kind == blockPacket {
		n = uint32(c.order.Uint16(b)) // a drop counter stands in the other half
	}
	i, err := c.face(start, n)
	if err != nil {
		return Frame{}, err
	}
	ticks := uint64(c.order.Uint32(b[4:]))<<32 | uint64(c.order.Uint32(b[8:]))
	size, orig := c.order.Uint32(b[12:]), c.order.Uint32(b[16:])
	if int64(size) > int64(len(b)-20) {
		return Frame{}, badAt(start, "a packet of %d bytes does not fit its block", size)
	}
	f := Frame{
		Data: b[20 : 20+size], Time: i.time(ticks), Link: i.link, Interface: int(n),
		OrigLen: max(int(min(orig, 1<<30)), int(size)),
	}
	padded := min((int(size)+3)&^3, len(b)-20)
	err = c.options(start, b[20+padded:], func(code uint16, v []byte) error {
		if code == optComment && len(f.Comments) < maxComments {
			f.Comments = append(f.Comments, string(v))
		}
		return nil
	})
	return f, err
}

// simple reads a simple packet block: no time, first interface.
func (c *Reader) simple(start int64, b []byte) (Frame, error) {
	if len(b) < 4 {
		return Frame{}, badAt(start, "a packet block of %d bytes is too short", len(b))
	}
	i, err := c.face(start, 0)
	if err != nil {
		return Frame{}, err
	}
	orig := c.order.Uint32(b)
	size := min(int64(orig), int64(len(b)-4))
	if i.snap != 0 {
		size = min(size, int64(i.snap))
	}
	return Frame{Data: b[4 : 4+size], Time: time.Unix(0, 0).UTC(), Link: i.link, OrigLen: max(int(min(orig, 1<<30)), int(size))}, nil
}
