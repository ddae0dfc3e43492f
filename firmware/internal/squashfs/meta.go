package squashfs

import (
	"fmt"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	metaSize   = 8192
	noFragment = 0xffffffff
	plainBit   = 1 << 24 // of a data block's size: it is not compressed
)

// volume is an image that is being read.
type volume struct {
	Super
	r      io.ReaderAt
	size   int64
	codec  *codec.Decoder
	budget *unpack.Budget
	uids   []uint32
	guids  []uint32
	frags  []fragment
	dirs   map[uint64]bool // the folders walked, by reference to their inode
	bad    int             // entries that could not be read
	first  error           // the first of them
}

type fragment struct {
	start uint64
	size  uint32
}

// expand decompresses one block into at most limit bytes.
func (v *volume) expand(src []byte, limit int) ([]byte, error) {
	switch v.Compression {
	case "gzip":
		if v.Major == 3 && len(src) > 0 && src[0]&0x0f != 8 {
			return v.oldLZMA(src, limit)
		}
		return v.codec.Zlib(src, limit)
	case "xz":
		return v.codec.XZ(src, limit)
	case "lzma":
		if v.Major == 3 {
			return v.oldLZMA(src, limit)
		}
		return v.codec.LZMA(src, limit)
	case "lzo":
		return v.codec.LZO(src, limit)
	case "lz4":
		return v.codec.LZ4(src, limit)
	case "zstd":
		return v.codec.Zstd(src, limit)
	}
	return nil, fmt.Errorf("no decoder for %q", v.Compression)
}

// oldLZMA tries the ways in which vendors put LZMA into version 3: with the
// header of .lzma files, with properties and dictionary size alone, and with
// neither.
func (v *volume) oldLZMA(src []byte, limit int) ([]byte, error) {
	out, err := v.codec.LZMA(src, limit)
	if err == nil {
		return out, nil
	}
	if len(src) > 5 && src[0] < 9*5*5 {
		if out, err := v.codec.LZMACut(src[0], src[5:], limit); err == nil {
			return out, nil
		}
	}
	if out, err := v.codec.LZMACut(0x5d, src, limit); err == nil {
		return out, nil
	}
	return nil, fmt.Errorf("neither zlib nor a known graft of LZMA: %w", err)
}

// block reads the block of metadata at off and tells where the next starts.
func (v *volume) block(off int64) (data []byte, next int64, err error) {
	type answer struct {
		owner *volume
		kind  string
	}
	head, err := unpack.At(v.r, v.size, off, 2)
	if err != nil {
		return nil, 0, fmt.Errorf("metadata: %w", err)
	}
	h := int(v.order().Uint16(head))
	n := h & 0x7fff
	if n == 0 {
		n = 0x8000
	}
	at := off + 2
	if v.check {
		at++
	}
	next = at + int64(n)
	data, err = v.budget.Cache.Get(answer{v, "meta"}, off, func() ([]byte, error) {
		if n > metaSize {
			return nil, fmt.Errorf("metadata at %#x: a block of %d bytes", off, n)
		}
		raw, err := unpack.At(v.r, v.size, at, int64(n))
		if err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
		if h&0x8000 != 0 {
			return raw, nil
		}
		out, err := v.expand(raw, metaSize)
		if err != nil {
			return nil, fmt.Errorf("metadata at %#x: %w", off, err)
		}
		return out, nil
	})
	return data, next, err
}

// cursor reads a run of metadata from a position inside a block on.
type cursor struct {
	v    *volume
	data []byte // what is left of the block
	next int64
}

func (v *volume) cursor(block int64, off int) (*cursor, error) {
	data, next, err := v.block(block)
	if err != nil {
		return nil, err
	}
	if off > len(data) {
		return nil, fmt.Errorf("position %d in a block of %d bytes of metadata", off, len(data))
	}
	return &cursor{v, data[off:], next}, nil
}

// take reads n bytes, which may lie across blocks.
func (c *cursor) take(n int) ([]byte, error) {
	if n <= len(c.data) {
		b := c.data[:n]
		c.data = c.data[n:]
		return b, nil
	}
	b := make([]byte, 0, min(n, 64<<10))
	for {
		k := min(n-len(b), len(c.data))
		b = append(b, c.data[:k]...)
		c.data = c.data[k:]
		if len(b) == n {
			return b, nil
		}
		data, next, err := c.v.block(c.next)
		if err != nil {
			return nil, err
		}
		if len(data) == 0 {
			return nil, fmt.Errorf("metadata at %#x: an empty block", c.next)
		}
		c.data, c.next = data, next
	}
}

// table reads a table of n records of width bytes, whose blocks are listed at
// the position start.
func (v *volume) table(start uint64, n, width int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if start > uint64(v.size) {
		return nil, fmt.Errorf("a table at %#x, outside the volume", start)
	}
	if err := v.budget.Take(int64(n * width)); err != nil {
		return nil, err
	}
	perBlock := metaSize / width
	blocks := (n + perBlock - 1) / perBlock
	index, err := unpack.At(v.r, v.size, int64(start), int64(blocks)*8)
	if err != nil {
		return nil, err
	}
	var out []byte
	for i := range blocks {
		data, _, err := v.block(int64(v.order().Uint64(index[8*i:]) & (1<<62 - 1)))
		if err != nil {
			return nil, err
		}
		want := min(metaSize, (n*width - len(out)))
		if len(data) < want {
			return nil, fmt.Errorf("a table's block of %d bytes where %d belong", len(data), want)
		}
		out = append(out, data[:want]...)
	}
	return out, nil
}
