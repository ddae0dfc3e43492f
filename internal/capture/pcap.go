package capture

import (
	"encoding/binary"
	"io"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

// classic is what the head of a pcap file says.
type classic struct {
	link packet.LinkType
	unit time.Duration
	head int // bytes before each packet
}

func (c *Reader) openClassic(order binary.ByteOrder, magic uint32) error {
	h, err := c.read(24, "the file header needs 24 bytes")
	if err != nil {
		return err
	}
	c.order, c.next = order, c.nextClassic
	c.classic = classic{unit: time.Microsecond, head: 16}
	switch magic {
	case 0xa1b23c4d:
		c.classic.unit = time.Nanosecond
	case 0xa1b2cd34: // a variant of old Linux kernels: eight more bytes per packet
		c.classic.head = 24
	}
	if major := order.Uint16(h[4:]); major != 2 {
		c.at = 4
		return c.bad("pcap version %d.%d is not known, want 2.4", major, order.Uint16(h[6:]))
	}
	// The upper half carries the length of the frame check sequence.
	c.classic.link = packet.LinkType(order.Uint32(h[20:]) & 0xffff)
	if !c.classic.link.Known() {
		c.at = 20
		return c.bad("link type %d cannot be decoded", c.classic.link)
	}
	return nil
}

func (c *Reader) nextClassic() (Frame, error) {
	if end, err := c.atEnd(); end || err != nil {
		if err == nil {
			err = io.EOF
		}
		return Frame{}, err
	}
	start := c.at
	h, err := c.read(c.classic.head, "the header of a packet is cut short")
	if err != nil {
		return Frame{}, err
	}
	sec, frac := c.order.Uint32(h), c.order.Uint32(h[4:])
	n, orig := c.order.Uint32(h[8:]), c.order.Uint32(h[12:])
	if n > MaxBlock {
		return Frame{}, badAt(start, "a packet of %d bytes is over the limit of %d", n, MaxBlock)
	}
	f := Frame{
		Time: time.Unix(int64(sec), int64(frac)*int64(c.classic.unit)).UTC(), // a fraction of more than a second carries over
		Link: c.classic.link,
	}
	if f.Data, err = c.read(int(n), "a packet is cut short"); err != nil {
		return Frame{}, err
	}
	f.OrigLen = max(int(min(orig, 1<<30)), len(f.Data))
	return f, nil
}
