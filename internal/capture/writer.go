package capture

import (
	"encoding/binary"
	"io"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// Writer writes a pcapng file of one section and one interface, with times in
// nanoseconds. Each packet is one Write on the underlying writer, so that a
// program that is killed leaves whole packets.
type Writer struct {
	out io.Writer
	buf []byte
	err error // after a failed write the file's end is unknown: nothing more is written
}

// NewWriter writes the head of the file.
func NewWriter(w io.Writer, link packet.LinkType) (*Writer, error) {
	le := binary.LittleEndian
	var b []byte
	b = le.AppendUint32(b, blockSection)
	b = le.AppendUint32(b, 28)
	b = le.AppendUint32(b, orderMagic)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, ^uint64(0)) // length of the section: not known
	b = le.AppendUint32(b, 28)
	b = le.AppendUint32(b, blockInterface)
	b = le.AppendUint32(b, 32)
	b = le.AppendUint16(b, uint16(link))
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, 262144)
	b = le.AppendUint16(b, optTSResol)
	b = le.AppendUint16(b, 1)
	b = append(b, 9, 0, 0, 0)
	b = le.AppendUint32(b, optEnd)
	b = le.AppendUint32(b, 32)
	if _, err := w.Write(b); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "writing capture: %w", err)
	}
	return &Writer{out: w}, nil
}

// Write adds one packet. origLen 0 means that data is all of it; each comment
// becomes an opt_comment, cut at 65,535 bytes.
func (w *Writer) Write(data []byte, t time.Time, origLen int, comments ...string) error {
	if w.err != nil {
		return w.err
	}
	if len(data) > 262144 {
		return ringwall.Errorf(ringwall.Invalid, "writing capture: a packet of %d bytes is over the limit of 262144", len(data))
	}
	le := binary.LittleEndian
	ticks := uint64(max(t.UnixNano(), 0))
	b := w.buf[:0]
	b = le.AppendUint32(b, blockEnhanced)
	b = le.AppendUint32(b, 0) // total length, set below
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(ticks>>32))
	b = le.AppendUint32(b, uint32(ticks))
	b = le.AppendUint32(b, uint32(len(data)))
	b = le.AppendUint32(b, uint32(max(origLen, len(data))))
	b = pad(append(b, data...))
	for _, c := range comments {
		c = c[:min(len(c), 65535)]
		b = le.AppendUint16(b, optComment)
		b = le.AppendUint16(b, uint16(len(c)))
		b = pad(append(b, c...))
	}
	if len(comments) > 0 {
		b = le.AppendUint32(b, optEnd)
	}
	total := uint32(len(b) + 4)
	if total > MaxBlock {
		return ringwall.Errorf(ringwall.Invalid, "writing capture: comments of %d bytes are too long", int(total)-len(data))
	}
	b = le.AppendUint32(b, total)
	le.PutUint32(b[4:], total)
	w.buf = b
	if _, err := w.out.Write(b); err != nil {
		w.err = ringwall.Errorf(ringwall.Unavailable, "writing capture: %w", err)
	}
	return w.err
}

// pad fills b to a multiple of four bytes; blocks begin at such a multiple.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
