// Package capture reads packet captures, pcap and pcapng, and writes pcapng
// with a comment on each packet.
//
// A Reader gives one frame at a time and holds no more than the one block it
// is in: at most MaxBlock bytes, whatever the file claims. Both byte orders,
// every timestamp resolution, several sections and several interfaces of
// different link types are read. Everything it cannot read is an error of
// code ringwall.Invalid that names the byte offset at which the trouble is; a
// file that ends in the middle of a block gives all its whole packets first
// and that error then, never io.EOF. A failure of the underlying reader is
// passed on as it is, so that bad input is never taken for a bad disk.
//
// It refuses to resynchronise: after an error the same error is given for ever.
//
// Reader and Writer own no goroutine and belong to one. The frame that Next
// returns aliases the Reader's buffer until the next call.
//
// Standards: draft-ietf-opsawg-pcap (sections 4 and 5) and
// draft-ietf-opsawg-pcapng (sections 3 and 4).
package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// MaxBlock bounds what is held in memory of one file: the largest packet
	// that capture programs write is 256 KiB, and its options come on top.
	MaxBlock = 1 << 20
	// MaxInterfaces bounds the interfaces of one section.
	MaxInterfaces = 4096
	// maxComments bounds the comments that are kept of one packet.
	maxComments = 16
)

// Frame is one packet of a capture.
type Frame struct {
	Data      []byte // as captured; aliases the Reader until its next Next
	Time      time.Time
	OrigLen   int // on the wire
	Link      packet.LinkType
	Number    uint64 // from 1
	Interface int    // within the section; 0 for pcap
	Comments  []string
}

// Reader reads a capture.
type Reader struct {
	in     *bufio.Reader
	at     int64 // bytes consumed
	buf    []byte
	order  binary.ByteOrder
	number uint64
	fatal  error
	next   func() (Frame, error)

	classic classic // pcap
	ifaces  []iface // pcapng, of the section
}

// NewReader reads the head of a capture. An empty input is an error.
func NewReader(r io.Reader) (*Reader, error) {
	c := &Reader{in: bufio.NewReaderSize(r, 64<<10)}
	magic, err := c.in.Peek(4)
	if err != nil {
		if len(magic) == 0 && errors.Is(err, io.EOF) {
			return nil, c.bad("the file is empty")
		}
		return nil, c.ended(err, "the magic number is cut short")
	}
	switch m := binary.BigEndian.Uint32(magic); m {
	case 0x0a0d0d0a:
		c.next = c.nextNG
		return c, nil
	case 0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34:
		return c, c.openClassic(binary.BigEndian, m)
	case 0xd4c3b2a1, 0x4d3cb2a1, 0x34cdb2a1:
		return c, c.openClassic(binary.LittleEndian, binary.LittleEndian.Uint32(magic))
	}
	return nil, c.bad("neither pcap nor pcapng: the file begins with %q", magic)
}

// Next returns the next packet, io.EOF after the last.
func (c *Reader) Next() (Frame, error) {
	if c.fatal != nil {
		return Frame{}, c.fatal
	}
	f, err := c.next()
	if err != nil {
		c.fatal = err
		return Frame{}, err
	}
	c.number++
	f.Number = c.number
	return f, nil
}

// Offset returns how many bytes of the input were consumed.
func (c *Reader) Offset() int64 { return c.at }

// bad returns an error about the input at the current offset.
func (c *Reader) bad(format string, args ...any) error { return badAt(c.at, format, args...) }

func badAt(at int64, format string, args ...any) error {
	return ringwall.Errorf(ringwall.Invalid, "capture: at byte %d: "+format, append([]any{at}, args...)...)
}

// ended turns the end of the input in the middle of something into an error
// about the input, and passes on any other failure.
func (c *Reader) ended(err error, what string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return c.bad("the file is truncated: %s", what)
	}
	return ringwall.Errorf(ringwall.Unavailable, "reading capture at byte %d: %w", c.at, err)
}

// read returns the next n bytes in the Reader's buffer.
func (c *Reader) read(n int, what string) ([]byte, error) {
	if cap(c.buf) < n {
		c.buf = make([]byte, n, max(n, 4096))
	}
	b := c.buf[:n]
	if _, err := io.ReadFull(c.in, b); err != nil {
		return nil, c.ended(err, what)
	}
	c.at += int64(n)
	return b, nil
}

// atEnd reports whether the input ends here, cleanly.
func (c *Reader) atEnd() (bool, error) {
	_, err := c.in.Peek(1)
	if err == nil {
		return false, nil
	}
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, c.ended(err, "")
}
