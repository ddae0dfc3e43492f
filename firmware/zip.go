package firmware

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// openZip opens a zip archive that starts at off with the header of its first
// member, and ends with the record that closes the central directory.
func openZip(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 30 || binary.LittleEndian.Uint16(head[4:]) > 63 || !u.mayTry() {
		return nil
	}
	end := zipEnd(v, off)
	if end < 0 {
		u.trials += 50 // the rest of the view was read
		return u.cutZip(v, off, s)
	}
	sub := v.sub(off, end-off)
	zr, err := zip.NewReader(sub.section(), sub.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil
	}
	p := &Part{Format: "zip", Length: sub.size, Facts: map[string]string{}, data: sub.section()}
	if zr.Comment != "" {
		p.Facts[FactDescription] = zr.Comment
	}
	u.plant(p, off, s, func(yield unpack.Sink) error {
		for _, f := range zr.File {
			if err := yield(u.member(sub, f)); err != nil {
				return err
			}
		}
		return nil
	})
	u.within(p, off, s)
	return p
}

// cutZip lists what the headers of the members themselves tell when the
// central directory is not there: the archive is cut, or was never finished.
func (u *unpacker) cutZip(v view, off int64, s scope) *Part {
	sub := v.sub(off, v.size)
	p := &Part{Format: "zip", Facts: map[string]string{}}
	at := int64(0)
	var entries []unpack.Entry
	for len(entries) < 10_000 {
		h := sub.head(at, 30)
		if len(h) < 30 || string(h[:4]) != "PK\x03\x04" {
			break
		}
		flags, method := binary.LittleEndian.Uint16(h[6:]), binary.LittleEndian.Uint16(h[8:])
		packed, size := int64(binary.LittleEndian.Uint32(h[18:])), int64(binary.LittleEndian.Uint32(h[22:]))
		nameLen, extra := int64(binary.LittleEndian.Uint16(h[26:])), int64(binary.LittleEndian.Uint16(h[28:]))
		name := sub.head(at+30, nameLen)
		if int64(len(name)) < nameLen || !utf8.Valid(name) || nameLen == 0 || method > 99 {
			break
		}
		e := unpack.Entry{Path: string(name), Mode: 0o644, Size: size}
		data := at + 30 + nameLen + extra
		raw := sub.sub(data, packed)
		switch {
		case strings.HasSuffix(e.Path, "/"):
			e.Mode |= fs.ModeDir
		case flags&1 != 0:
			e.Err = "encrypted"
		case flags&8 != 0 && packed == 0:
			e.Err = "the archive is cut, and its size stood behind it"
		case raw.size < packed:
			e.Err = "the archive is cut here"
		case method == zip.Store:
			e.Content = raw.section()
		case method == zip.Deflate:
			e.Content = &sequential{size: size, open: func() io.Reader { return flate.NewReader(raw.section()) }}
		default:
			e.Err = "compressed with a method that is not read"
		}
		entries = append(entries, e)
		if at = data + packed; flags&8 != 0 && packed == 0 {
			at = sub.size // where the next member begins, nothing tells
		}
	}
	if len(entries) == 0 || off > 0 && len(entries) < 2 {
		return nil
	}
	p.Length = min(at, sub.size)
	p.data = sub.sub(0, p.Length).section()
	u.plant(p, off, s, func(yield unpack.Sink) error {
		for _, e := range entries {
			if err := yield(e); err != nil {
				return err
			}
		}
		return errors.New("the archive is cut: it has no central directory")
	})
	u.within(p, off, s)
	return p
}

// zipEnd finds the end of the archive that starts at off: the first closing
// record whose offsets agree with its own place.
func zipEnd(v view, off int64) int64 {
	const record = 22
	buf := make([]byte, 1<<20)
	for base := off; base < v.size; base += int64(len(buf)) - record {
		n, _ := v.ReadAt(buf[:min(int64(len(buf)), v.size-base)], base)
		b := buf[:n]
		for i := 0; ; {
			j := bytes.Index(b[i:], []byte("PK\x05\x06"))
			if j < 0 {
				break
			}
			i += j
			if i+record > len(b) {
				break
			}
			e := b[i:]
			size, start := int64(binary.LittleEndian.Uint32(e[12:])), int64(binary.LittleEndian.Uint32(e[16:]))
			at := base + int64(i) - off
			if start+size == at || start == 0xffffffff || start+size+20+56 == at { // the last two: zip64
				return min(v.size, base+int64(i)+record+int64(binary.LittleEndian.Uint16(e[20:])))
			}
			i++
		}
		if n < record {
			break
		}
	}
	return -1
}

func (u *unpacker) member(sub view, f *zip.File) unpack.Entry {
	e := unpack.Entry{Path: f.Name, Mode: f.Mode(), ModTime: f.Modified.UTC(), Size: int64(min(f.UncompressedSize64, 1<<62))}
	if f.Flags&1 != 0 {
		e.Err = "encrypted"
		return e
	}
	at, err := f.DataOffset()
	packed := int64(min(f.CompressedSize64, 1<<62))
	if err != nil || at > sub.size || packed > sub.size-at {
		e.Err = "its data lies outside the archive"
		return e
	}
	raw := io.NewSectionReader(sub.ReaderAt, at, packed)
	switch f.Method {
	case zip.Store:
		e.Content, e.Size = raw, packed
	case zip.Deflate:
		if e.Size/int64(u.options.MaxRatio) > packed+1 && e.Size > 32<<20 {
			e.Err = "it claims to grow more than is allowed: a bomb"
			return e
		}
		e.Content = &sequential{size: e.Size, open: func() io.Reader { return flate.NewReader(io.NewSectionReader(raw, 0, packed)) }}
		if e.Size <= wholeMember {
			e.Content = &unpack.Blocks{Size: e.Size, BlockSize: max(1, e.Size), Cache: u.budget.Cache, Load: func(int64) ([]byte, error) {
				b := make([]byte, e.Size)
				_, err := io.ReadFull(flate.NewReader(io.NewSectionReader(raw, 0, packed)), b)
				return b, err
			}}
		}
	default:
		e.Err = "compressed with a method that is not read"
	}
	if e.Mode&fs.ModeSymlink != 0 && e.Content != nil {
		target := make([]byte, min(e.Size, 4096))
		n, _ := e.Content.ReadAt(target, 0)
		e.Link = string(target[:n])
	}
	return e
}

// wholeMember is up to which size a member is decompressed at once and cached.
const wholeMember = 16 << 20

// sequential is content that can only be decompressed from its beginning.
// Reading onwards goes on where the last reading stopped; reading backwards
// starts anew.
type sequential struct {
	size int64
	open func() io.Reader

	mu sync.Mutex
	r  io.Reader
	at int64
}

func (q *sequential) ReadAt(p []byte, off int64) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if off >= q.size {
		return 0, io.EOF
	}
	if q.r == nil || off < q.at {
		q.r, q.at = q.open(), 0
	}
	skipped, err := io.CopyN(io.Discard, q.r, off-q.at)
	q.at += skipped
	if err != nil {
		q.r = nil
		return 0, err
	}
	want := min(int64(len(p)), q.size-off)
	n, err := io.ReadFull(q.r, p[:want])
	q.at += int64(n)
	if err != nil {
		q.r = nil
		return n, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
