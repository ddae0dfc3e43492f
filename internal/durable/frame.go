package durable

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A frame is
//
//	length  uint32  of the payload, big endian
//	crc     uint32  CRC-32C of index, length and payload
//	index   uint64
//	payload
//
// Zeroes, as a file system may leave them behind a torn write, are no frame:
// the CRC of twelve zero bytes is not zero.
const frameHeader = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrTorn says that the bytes at this place are no whole frame.
var ErrTorn = errors.New("torn frame")

// ErrDamaged says that stored frames that were once durable cannot be read.
var ErrDamaged = errors.New("damaged journal")

func frameCRC(index uint64, payload []byte) uint32 {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:8], index)
	binary.BigEndian.PutUint32(b[8:], uint32(len(payload)))
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, payload)
}

// AppendFrame appends the frame of payload to b.
func AppendFrame(b []byte, index uint64, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, frameCRC(index, payload))
	b = binary.BigEndian.AppendUint64(b, index)
	return append(b, payload...)
}

// FrameReader reads frames whose indexes rise. It allocates no more than max
// bytes for a payload, whatever the length field says.
type FrameReader struct {
	r    *bufio.Reader
	max  int
	next uint64 // the least index that the next frame may have
	gaps bool
	off  int64
	buf  []byte
}

// NewFrameReader reads frames from r; the first must have index next, or at
// least next when gaps are allowed.
func NewFrameReader(r io.Reader, next uint64, gaps bool, max int) *FrameReader {
	return &FrameReader{r: bufio.NewReaderSize(r, 64<<10), max: max, next: next, gaps: gaps}
}

// Next returns the next frame. The payload is valid until the next call. The
// error is io.EOF at a clean end and wraps ErrTorn where no whole frame
// stands; other errors are those of the underlying reader.
func (f *FrameReader) Next() (index uint64, payload []byte, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(f.r, h[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, fmt.Errorf("%w: header ends early at byte %d", ErrTorn, f.off)
		}
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[0:])
	crc := binary.BigEndian.Uint32(h[4:])
	index = binary.BigEndian.Uint64(h[8:])
	if uint64(n) > uint64(f.max) {
		return 0, nil, fmt.Errorf("%w: length %d at byte %d is over the limit of %d", ErrTorn, n, f.off, f.max)
	}
	if index < f.next || !f.gaps && index != f.next {
		return 0, nil, fmt.Errorf("%w: index %d at byte %d, want %d", ErrTorn, index, f.off, f.next)
	}
	if cap(f.buf) < int(n) {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	if _, err := io.ReadFull(f.r, f.buf); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, fmt.Errorf("%w: payload ends early at byte %d", ErrTorn, f.off)
		}
		return 0, nil, err
	}
	if frameCRC(index, f.buf) != crc {
		return 0, nil, fmt.Errorf("%w: checksum does not hold at byte %d", ErrTorn, f.off)
	}
	f.off += frameHeader + int64(n)
	f.next = index + 1
	return index, f.buf, nil
}

// Offset returns the number of bytes of whole frames read.
func (f *FrameReader) Offset() int64 { return f.off }
