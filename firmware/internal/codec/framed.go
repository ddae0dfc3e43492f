package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
)

// maxFrame bounds one block of lz4-legacy (8 MiB by its definition) and lzop
// (256 KiB by its program, 64 MiB by its reader).
const maxFrame = 8 << 20

// MaxLegacyBlock is how long a compressed block of lz4-legacy may be.
const MaxLegacyBlock = maxFrame + maxFrame/255 + 16

// lz4Legacy reads the frames that the Linux kernel and old boot images use:
// a magic, then blocks of 8 MiB each behind its compressed length.
type lz4Legacy struct {
	r       io.Reader
	started bool
	out     []byte
	buf     []byte
}

func (l *lz4Legacy) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		var word [4]byte
		if _, err := io.ReadFull(l.r, word[:]); err != nil {
			if err == io.ErrUnexpectedEOF || l.started && err == io.EOF {
				return 0, io.EOF
			}
			return 0, err
		}
		n := binary.LittleEndian.Uint32(word[:])
		if n == 0x184c2102 {
			l.started = true
			continue
		}
		if !l.started {
			return 0, errors.New("no legacy frame of lz4")
		}
		if n == 0 || n > MaxLegacyBlock {
			return 0, io.EOF // the size of the kernel stands behind its last block
		}
		src := make([]byte, n)
		if _, err := io.ReadFull(l.r, src); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if l.buf == nil {
			l.buf = make([]byte, maxFrame)
		}
		got, err := lz4.UncompressBlock(src, l.buf)
		if err != nil {
			return 0, err
		}
		l.out = l.buf[:got]
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

// lzop reads the file format of the program lzop, which ARM kernels with
// CONFIG_KERNEL_LZO carry.
type lzop struct {
	r     io.Reader
	d     Decoder
	flags uint32
	out   []byte
	done  bool
}

// The flags of an lzop header that change its layout.
const (
	lzopAdlerD = 0x1
	lzopAdlerC = 0x2
	lzopExtra  = 0x40
	lzopCRCD   = 0x100
	lzopCRCC   = 0x200
	lzopFilter = 0x800
)

func newLzop(r io.Reader) (*lzop, error) {
	head := make([]byte, 9+2+2)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if string(head[:9]) != "\x89LZO\x00\r\n\x1a\n" {
		return nil, errors.New("no header of lzop")
	}
	version := binary.BigEndian.Uint16(head[9:])
	rest := 1 + 4 // method, flags
	if version >= 0x0940 {
		rest += 2 + 1 // version needed, level
	}
	b := make([]byte, rest)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	l := &lzop{r: r, flags: binary.BigEndian.Uint32(b[rest-4:])}
	skip := 4 + 4 // mode, mtime
	if version >= 0x0940 {
		skip += 4
	}
	if l.flags&lzopFilter != 0 {
		skip += 4
	}
	b = make([]byte, skip+1)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(b[skip])+4); err != nil { // name, checksum
		return nil, err
	}
	if l.flags&lzopExtra != 0 {
		n, err := l.word()
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, r, int64(n)+4); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *lzop) word() (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(l.r, b[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

func (l *lzop) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.done {
			return 0, io.EOF
		}
		if err := l.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

func (l *lzop) block() error {
	full, err := l.word()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if full == 0 {
		l.done = true
		return nil
	}
	packed, err := l.word()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if full > maxFrame || packed > full {
		return fmt.Errorf("a block of %d bytes packed into %d", full, packed)
	}
	sums := 0
	for _, f := range []uint32{lzopAdlerD, lzopCRCD} {
		if l.flags&f != 0 {
			sums++
		}
	}
	for _, f := range []uint32{lzopAdlerC, lzopCRCC} {
		if l.flags&f != 0 && packed < full {
			sums++
		}
	}
	if _, err := io.CopyN(io.Discard, l.r, int64(4*sums)); err != nil {
		return io.ErrUnexpectedEOF
	}
	src := make([]byte, packed)
	if _, err := io.ReadFull(l.r, src); err != nil {
		return io.ErrUnexpectedEOF
	}
	if packed == full {
		l.out = src
		return nil
	}
	l.out, err = l.d.LZO(src, int(full))
	return err
}
