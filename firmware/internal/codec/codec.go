// Package codec decompresses what firmware is compressed with, block by block
// or as a stream, never yielding more than the caller allows.
//
// The decoders of other hands are given hostile input here. Each is therefore
// called with a bound on its output and its dictionary, and a panic inside one
// of them becomes an error at this border and nowhere else.
//
// A Decoder keeps decoders for reuse; it may be used concurrently and holds
// nothing that must be closed.
package codec

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// maxDict bounds the dictionary of xz, lzma and zstd. xz -9 uses 64 MiB;
// nothing made for a device's loader uses more.
const maxDict = 64 << 20

// Decoder decompresses. The zero value is ready.
type Decoder struct {
	xz   sync.Pool // *xz.Reader
	zlib sync.Pool // io.ReadCloser and zlib.Resetter
	zstd sync.Pool // *zstd.Decoder
	buf  sync.Pool // *[]byte
}

var errTooMuch = errors.New("it yields more than its block may have")

// guard turns a panic of a decoder into an error.
func guard(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the %s decoder gave up on the data: %v", what, r)
	}
}

// fill reads at most limit bytes of r and returns them in a slice of their
// own length.
func (d *Decoder) fill(r io.Reader, limit int) ([]byte, error) {
	box, _ := d.buf.Get().(*[]byte)
	if box == nil || len(*box) < limit+1 {
		box = new(make([]byte, limit+1))
	}
	defer d.buf.Put(box)
	n := 0
	for n <= limit {
		k, err := r.Read((*box)[n : limit+1])
		n += k
		if err == io.EOF {
			return bytes.Clone((*box)[:n]), nil
		}
		if err != nil { // io.ErrUnexpectedEOF among them: the block is cut
			return nil, err
		}
	}
	return nil, errTooMuch
}

// Zlib decompresses a block of RFC 1950.
func (d *Decoder) Zlib(src []byte, limit int) (out []byte, err error) {
	defer guard("zlib", &err)
	in := bytes.NewReader(src)
	r, _ := d.zlib.Get().(io.ReadCloser)
	if r == nil {
		if r, err = zlib.NewReader(in); err != nil {
			return nil, err
		}
	} else if err := r.(zlib.Resetter).Reset(in, nil); err != nil {
		return nil, err
	}
	defer d.zlib.Put(r)
	return d.fill(r, limit)
}

// Deflate decompresses a raw block of RFC 1951.
func (d *Decoder) Deflate(src []byte, limit int) (out []byte, err error) {
	defer guard("deflate", &err)
	return d.fill(flate.NewReader(bytes.NewReader(src)), limit)
}

// XZ decompresses a block that is an .xz file of its own.
func (d *Decoder) XZ(src []byte, limit int) (out []byte, err error) {
	defer guard("xz", &err)
	in := bytes.NewReader(src)
	r, _ := d.xz.Get().(*xz.Reader)
	if r == nil {
		if r, err = xz.NewReader(in, maxDict); err != nil {
			return nil, err
		}
	} else if err := r.Reset(in); err != nil {
		return nil, err
	}
	r.Multistream(false)
	if out, err = d.fill(r, limit); err != nil {
		return nil, err // the reader is dropped with what the data did to it
	}
	d.xz.Put(r)
	return out, nil
}

// LZMA decompresses a block with the 13-byte header of .lzma files.
func (d *Decoder) LZMA(src []byte, limit int) (out []byte, err error) {
	defer guard("lzma", &err)
	if len(src) < 13 {
		return nil, io.ErrUnexpectedEOF
	}
	head := bytes.Clone(src[:13])
	// No match reaches back farther than the output is long.
	binary.LittleEndian.PutUint32(head[1:], min(binary.LittleEndian.Uint32(head[1:]), uint32(max(limit, 4096))))
	r, err := lzma.ReaderConfig{DictCap: maxDict}.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(src[13:])))
	if err != nil {
		return nil, err
	}
	return d.fill(r, limit)
}

// LZMARaw decompresses a block without header, of known properties byte and
// length.
func (d *Decoder) LZMARaw(props byte, src []byte, length int) (out []byte, err error) {
	head := make([]byte, 13, 13+len(src))
	head[0] = props
	binary.LittleEndian.PutUint32(head[1:], uint32(max(length, 4096)))
	binary.LittleEndian.PutUint64(head[5:], uint64(length))
	if out, err = d.LZMA(append(head, src...), length); err == nil && len(out) != length {
		return nil, io.ErrUnexpectedEOF
	}
	return out, err
}

// LZMACut decompresses a block that has neither header nor length nor an end
// mark: as much as its bytes yield, at most limit bytes. The library must be
// told the length; the right one is found by halving, since what is too long
// ends in the middle of the input and what is too short leaves some over.
func (d *Decoder) LZMACut(props byte, src []byte, limit int) (out []byte, err error) {
	if len(src) < 5 || src[0] != 0 { // a range coder begins with a zero
		return nil, errors.New("no raw stream of lzma")
	}
	if out, err = d.LZMARaw(props, src, limit); err == nil {
		return out, nil
	}
	for low, high := 1, limit-1; low <= high; {
		n := (low + high) / 2
		out, tried := d.LZMARaw(props, src, n)
		switch {
		case tried == nil:
			return out, nil
		case errors.Is(tried, io.ErrUnexpectedEOF):
			high = n - 1
		default:
			low = n + 1
		}
	}
	return nil, err
}

// LZO decompresses a block of LZO1X.
func (d *Decoder) LZO(src []byte, limit int) (out []byte, err error) {
	defer guard("lzo", &err)
	out = make([]byte, limit)
	n, err := lzo.Decompress(src, out)
	if err != nil && !errors.Is(err, lzo.ErrInputNotConsumed) { // blocks are padded on flash
		return nil, err
	}
	if n < 0 || n > limit {
		return nil, errTooMuch
	}
	return bytes.Clone(out[:n]), nil
}

// LZ4 decompresses a raw LZ4 block.
func (d *Decoder) LZ4(src []byte, limit int) (out []byte, err error) {
	defer guard("lz4", &err)
	out = make([]byte, limit)
	n, err := lz4.UncompressBlock(src, out)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(out[:n]), nil
}

// Zstd decompresses a block of one or more frames.
func (d *Decoder) Zstd(src []byte, limit int) (out []byte, err error) {
	defer guard("zstd", &err)
	r, _ := d.zstd.Get().(*zstd.Decoder)
	if r == nil {
		if r, err = newZstd(nil); err != nil {
			return nil, err
		}
	}
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	if out, err = d.fill(r, limit); err != nil {
		return nil, err
	}
	d.zstd.Put(r)
	return out, nil
}

// newZstd makes a decoder that works on the caller's goroutine.
func newZstd(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxDict), zstd.WithDecoderLowmem(true))
}

// Rtime decompresses a block of JFFS2's run-length scheme (fs/jffs2/compr_rtime.c
// of Linux): each byte is followed by how many bytes are repeated from after
// its last occurrence.
func Rtime(src []byte, length int) ([]byte, error) {
	var last [256]int
	out := make([]byte, 0, length)
	for i := 0; len(out) < length; {
		if i+2 > len(src) {
			return nil, io.ErrUnexpectedEOF
		}
		value, repeat := src[i], int(src[i+1])
		i += 2
		out = append(out, value)
		from := last[value]
		last[value] = len(out)
		if repeat > length-len(out) {
			return nil, errTooMuch
		}
		for range repeat {
			out = append(out, out[from])
			from++
		}
	}
	return out, nil
}

// Stream returns a reader that decompresses the stream r of the given kind.
// It reads no more of r than it needs where the format allows that; of lz4 and
// zstd, r must have one frame alone.
func Stream(kind string, r io.Reader) (_ *Reader, err error) {
	defer guard(kind, &err)
	var s io.Reader
	switch kind {
	case "xz":
		z, err := xz.NewReader(r, maxDict)
		if err != nil {
			return nil, err
		}
		z.Multistream(false)
		s = z
	case "lzma":
		if s, err = (lzma.ReaderConfig{DictCap: maxDict}).NewReader(r); err != nil {
			return nil, err
		}
	case "bzip2":
		s = bzip2.NewReader(r)
	case "zstd":
		z, err := newZstd(r)
		if err != nil {
			return nil, err
		}
		s = z
	case "lz4":
		s = lz4.NewReader(r)
	case "lz4-legacy":
		s = &lz4Legacy{r: r}
	case "lzop":
		if s, err = newLzop(r); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no decoder for %q", kind)
	}
	return &Reader{r: s, kind: kind}, nil
}

// Reader is a decompressing stream.
type Reader struct {
	r    io.Reader
	kind string
	over int64
}

// Over tells, at the end of the stream, how many bytes behind it were taken.
func (g *Reader) Over() int64 { return g.over }

// Read implements io.Reader.
func (g *Reader) Read(p []byte) (n int, err error) {
	defer guard(g.kind, &err)
	n, err = g.r.Read(p)
	if bad, ok := errors.AsType[bzip2.StructuralError](err); ok && strings.Contains(string(bad), "continuation") {
		// The library looks whether another stream follows.
		g.over, err = 2, io.EOF
	}
	return n, err
}
