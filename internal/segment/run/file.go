package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// ErrDamaged says that a run cannot be read and has to be made again.
var ErrDamaged = errors.New("damaged index run")

func damaged(format string, v ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, v...))
}

// Run is a run in a file. It holds no file open between queries.
type Run struct {
	path string
	ft   footer
	crcs []uint32
}

const tail = 8 + len(magic)

// Open reads the directory of a run. The error wraps ErrDamaged when it is not
// a whole run of the store with this tag.
func Open(path string, tag uint64) (*Run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, err := open(f, fi.Size(), tag)
	if err != nil {
		return nil, fmt.Errorf("opening index run %q: %w", path, err)
	}
	r.path = path
	return r, nil
}

func open(f io.ReaderAt, size int64, tag uint64) (*Run, error) {
	var t [tail]byte
	if size < int64(len(magic)+tail) {
		return nil, damaged("%d bytes", size)
	}
	if _, err := f.ReadAt(t[:], size-int64(tail)); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(t[:]))
	end := size - int64(tail) - n
	if string(t[8:]) != magic || end < int64(len(magic)) {
		return nil, damaged("no footer")
	}
	b := make([]byte, n) // at most the file's size
	if _, err := f.ReadAt(b, end); err != nil {
		return nil, err
	}
	if crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(t[4:]) {
		return nil, damaged("footer")
	}
	r := &Run{}
	k, err := binary.Decode(b, binary.LittleEndian, &r.ft)
	if err != nil {
		return nil, damaged("footer of %d bytes", n)
	}
	for b = b[k:]; len(b) >= 4; b = b[4:] {
		r.crcs = append(r.crcs, binary.LittleEndian.Uint32(b))
	}
	switch {
	case r.ft.Tag != tag:
		return nil, damaged("it is of another store")
	case int64(r.ft.End) != end || uint64(len(r.crcs)) != (r.ft.End+pageSize-1)/pageSize || len(b) != 0:
		return nil, damaged("the footer does not fit the file")
	}
	return r, r.check()
}

// check checks that every place lies in the file, so that no query reads
// elsewhere. What stands there is checked page by page.
func (r *Run) check() error {
	ft := &r.ft
	fits := func(off, n uint64) bool { return off <= ft.End && n <= ft.End-off }
	ok := ft.First > 0 && ft.Next >= ft.First && ft.Rows <= 1<<24
	devices := uint64(ft.Dicts[dictDevice].Len)
	for _, c := range ft.Cols {
		ok = ok && c.Width <= 8 && fits(c.Off, uint64(c.Width)*uint64(ft.Rows))
	}
	for _, d := range ft.Dicts {
		ok = ok && fits(d.Off, 4*(uint64(d.Len)+1)) && fits(d.Texts, uint64(d.TextsLen))
	}
	ok = ok && fits(ft.Starts, 4*(devices+1)) && fits(ft.SumStarts, 4*(devices+1)) && fits(ft.Sums, ft.SumsLen)
	if !ok {
		return damaged("a place in the footer is outside of the file")
	}
	return nil
}

// Frames returns the frames that the run covers: first to before next.
func (r *Run) Frames() (first, next uint64) { return r.ft.First, r.ft.Next }

// Rows returns how many rows there are.
func (r *Run) Rows() int { return int(r.ft.Rows) }

// Path returns the name of the file.
func (r *Run) Path() string { return r.path }

// reader reads an open run during one query.
type reader struct {
	*Run
	f     io.ReaderAt
	buf   []byte
	pages map[uint64][]byte // that single values were read from
}

// keepPages bounds the pages of single values that a query keeps of one run.
const keepPages = 64

// load reads the pages from first to last into buf and checks them.
func (r *reader) load(buf []byte, first, last uint64) ([]byte, error) {
	off := first * pageSize
	n := int(min((last+1)*pageSize, r.ft.End) - off)
	if cap(buf) < n+8 {
		buf = make([]byte, n+8, n+n/4+8)
	}
	buf = buf[:n]
	if _, err := r.f.ReadAt(buf, int64(off)); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, damaged("it ends early")
		}
		return nil, err
	}
	for p, b := first, buf; p <= last; p++ {
		k := min(len(b), pageSize)
		if crc32.Checksum(b[:k], castagnoli) != r.crcs[p] {
			return nil, damaged("page %d", p)
		}
		b = b[k:]
	}
	return buf, nil
}

// bytes returns n bytes at off, good until the next call, with room for eight
// more behind them.
func (r *reader) bytes(off uint64, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if off > r.ft.End || uint64(n) > r.ft.End-off {
		return nil, damaged("a place outside of the file")
	}
	first, last := off/pageSize, (off+uint64(n)-1)/pageSize
	b, err := r.load(r.buf, first, last)
	if err != nil {
		return nil, err
	}
	r.buf = b
	at := int(off - first*pageSize)
	return b[at : at+n], nil
}

// small returns a few bytes at off, from pages that are kept.
func (r *reader) small(off uint64, n int) ([]byte, error) {
	if off > r.ft.End || uint64(n) > r.ft.End-off {
		return nil, damaged("a place outside of the file")
	}
	first := off / pageSize
	if n == 0 || (off+uint64(n)-1)/pageSize != first {
		b, err := r.bytes(off, n)
		return append([]byte(nil), b...), err
	}
	p, ok := r.pages[first]
	if !ok {
		var err error
		if p, err = r.load(nil, first, first); err != nil {
			return nil, err
		}
		if r.pages == nil || len(r.pages) >= keepPages {
			r.pages = map[uint64][]byte{}
		}
		r.pages[first] = p
	}
	at := int(off - first*pageSize)
	return p[at : at+n], nil
}

func (r *reader) number(off uint64) (uint32, error) {
	b, err := r.small(off, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// text returns an entry of a dictionary, good until the next call.
func (r *reader) text(d int, code uint32) ([]byte, error) {
	p := &r.ft.Dicts[d]
	if code >= p.Len {
		return nil, damaged("code %d of a dictionary of %d", code, p.Len)
	}
	a, err := r.number(p.Off + 4*uint64(code))
	if err != nil {
		return nil, err
	}
	b, err := r.number(p.Off + 4*uint64(code) + 4)
	if err != nil {
		return nil, err
	}
	if b < a || b > p.TextsLen {
		return nil, damaged("offsets of a dictionary")
	}
	return r.small(p.Texts+uint64(a), int(b-a))
}

// search returns the first code whose text is not before key.
func (r *reader) search(d int, key string) (uint32, error) {
	lo, hi := uint32(0), r.ft.Dicts[d].Len
	for lo < hi {
		m := lo + (hi-lo)/2
		t, err := r.text(d, m)
		if err != nil {
			return 0, err
		}
		if string(t) < key {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo, nil
}

// column returns the values of the rows from from to before to.
func (r *reader) column(c, from, to int, dst []uint64) ([]uint64, error) {
	p := &r.ft.Cols[c]
	dst = dst[:to-from]
	if p.Width == 0 {
		for i := range dst {
			dst[i] = p.Base
		}
		return dst, nil
	}
	w := int(p.Width)
	b, err := r.bytes(p.Off+uint64(from*w), (to-from)*w)
	if err != nil {
		return nil, err
	}
	b = b[:len(b)+8] // what is behind is cut off by the mask
	switch mask := ^uint64(0) >> (64 - 8*w); w {
	case 1:
		for i := range dst {
			dst[i] = uint64(b[i]) + p.Base
		}
	case 2:
		for i := range dst {
			dst[i] = uint64(binary.LittleEndian.Uint16(b[2*i:])) + p.Base
		}
	default:
		for i := range dst {
			dst[i] = binary.LittleEndian.Uint64(b[i*w:])&mask + p.Base
		}
	}
	return dst, nil
}
