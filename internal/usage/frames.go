package usage

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/ringwall/ringwall"
)

// A snapshot is the eight bytes of snapshotMagic and then frames:
//
//	0  4  bytes of the payload, little-endian
//	4  4  CRC-32C of the number of the frame (8 bytes) and the payload
//	8  n  payload, of which the first byte says the kind
//
// Kinds are
//
//	'L'  first place (4), count (4), then of each line its state (rules.Line.AppendState)
//	'P'  count (4), of each a place (4), then their states: they replace those before
//	'K'  how many generations ago keys of records came, below store.SeenAges, then these (8 each)
//	'T'  totals: card, up, down, records (8 each)
//	'J'  a part of the description (JSON), in order
//	'E'  the end
//
// A frame that is torn, bent, left out, put elsewhere or from another snapshot
// breaks the sums; one that ends without 'E' is cut off.
const (
	snapshotMagic = "RWUSAGE\x02"
	frameHeader   = 8
	// maxPayload bounds a frame.
	maxPayload = 8 << 20
)

// Kinds of frames.
const (
	frameLines  = 'L'
	framePatch  = 'P'
	frameKeys   = 'K'
	frameTotals = 'T'
	frameAbout  = 'J'
	frameEnd    = 'E'
)

var snapshotTable = crc32.MakeTable(crc32.Castagnoli)

// frameSum is the sum of frame n of a snapshot.
func frameSum(n uint64, payload []byte) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return crc32.Update(crc32.Checksum(b[:], snapshotTable), snapshotTable, payload)
}

// frameWriter writes frames; after an error it does nothing.
type frameWriter struct {
	w     io.Writer
	n     uint64
	bytes int64
	err   error
}

func (f *frameWriter) raw(b []byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
		f.bytes += int64(len(b))
	}
}

// frame writes a frame whose payload has frameHeader bytes of room before it.
func (f *frameWriter) frame(b []byte) {
	payload := b[frameHeader:]
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[4:], frameSum(f.n, payload))
	f.n++
	f.raw(b)
}

// frameReader reads frames; after an error it gives none.
type frameReader struct {
	r   *bufio.Reader
	n   uint64
	buf []byte
	err error
}

func torn(why string) error {
	return ringwall.Errorf(ringwall.Unverified, "the snapshot of usage states cannot be trusted: %s", why)
}

func newFrameReader(r io.Reader) *frameReader {
	f := &frameReader{r: bufio.NewReaderSize(r, 16<<10)}
	magic := make([]byte, len(snapshotMagic))
	switch f.read(magic); {
	case f.err != nil:
	case string(magic[:7]) == snapshotMagic[:7] && magic[7] == 1:
		f.err = ringwall.Errorf(ringwall.Conflict, "the snapshot of usage states is of an older version: judge the records again from their start")
	case string(magic) != snapshotMagic:
		f.err = torn("it does not begin as one")
	}
	return f
}

func (f *frameReader) read(b []byte) {
	if f.err != nil {
		return
	}
	switch _, err := io.ReadFull(f.r, b); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		f.err = torn("it is cut off")
	case err != nil:
		f.err = ringwall.Errorf(ringwall.Unavailable, "reading the snapshot of usage states: %w", err)
	}
}

// next returns the kind and the payload of the next frame; valid until the one
// after it is read.
func (f *frameReader) next() (kind byte, payload []byte) {
	var head [frameHeader]byte
	f.read(head[:])
	size := binary.LittleEndian.Uint32(head[:])
	if f.err == nil && (size == 0 || size > maxPayload) {
		f.err = torn("a part of it has no such size")
	}
	if f.err != nil {
		return 0, nil
	}
	// Memory grows as bytes come: a size alone is believed up to what was used.
	if int(size) > cap(f.buf) {
		f.grow(int(size))
	} else {
		f.buf = f.buf[:size]
		f.read(f.buf)
	}
	if f.err == nil && frameSum(f.n, f.buf) != binary.LittleEndian.Uint32(head[4:]) {
		f.err = torn("a checksum does not hold")
	}
	if f.err != nil {
		return 0, nil
	}
	f.n++
	return f.buf[0], f.buf[1:]
}

// grow reads size bytes into a larger buffer, as they come.
func (f *frameReader) grow(size int) {
	const part = 256 << 10
	f.buf = f.buf[:0]
	for len(f.buf) < size && f.err == nil {
		at := len(f.buf)
		n := min(size-at, max(part, at))
		f.buf = append(f.buf, make([]byte, n)...)
		f.read(f.buf[at:])
	}
}
