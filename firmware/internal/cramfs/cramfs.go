// Package cramfs reads cramfs (include/uapi/linux/cramfs_fs.h) in both byte
// orders, with plain and with extended block pointers.
package cramfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	superLen = 76
	inodeLen = 12
	pageSize = 4096
	maxDeep  = 256

	flagVersion2 = 0x1 // the superblock has size, checksum and counts
	flagExtended = 0x800
)

// Super is the superblock of an image.
type Super struct {
	Big    bool
	Length int64 // 0 when the image does not say
	Name   string
	Files  int
	flags  uint32
	crc    uint32
	root   inode
}

type inode struct {
	mode    uint32
	uid     int
	gid     int
	size    int64
	nameLen int
	off     int64
}

func (s *Super) order() binary.ByteOrder {
	if s.Big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// inode unpacks twelve bytes of bit fields, which C compilers fill from the
// lowest bit in little endian and from the highest in big endian.
func (s *Super) inode(b []byte) inode {
	w := [3]uint32{s.order().Uint32(b), s.order().Uint32(b[4:]), s.order().Uint32(b[8:])}
	if s.Big {
		return inode{mode: w[0] >> 16, uid: int(w[0] & 0xffff), size: int64(w[1] >> 8), gid: int(w[1] & 0xff), nameLen: int(w[2]>>26) * 4, off: int64(w[2]&(1<<26-1)) * 4}
	}
	return inode{mode: w[0] & 0xffff, uid: int(w[0] >> 16), size: int64(w[1] & 0xffffff), gid: int(w[1] >> 24), nameLen: int(w[2]&0x3f) * 4, off: int64(w[2]>>6) * 4}
}

// Parse reads the superblock at the beginning of head.
func Parse(head []byte) (*Super, bool) {
	if len(head) < superLen {
		return nil, false
	}
	s := &Super{Big: binary.BigEndian.Uint32(head) == 0x28cd3d45}
	if !s.Big && binary.LittleEndian.Uint32(head) != 0x28cd3d45 || string(head[16:32]) != "Compressed ROMFS" {
		return nil, false
	}
	s.flags = s.order().Uint32(head[8:])
	s.root = s.inode(head[64:])
	if s.root.mode&0o170000 != 0o040000 {
		return nil, false
	}
	if s.flags&flagVersion2 != 0 {
		s.Length = int64(s.order().Uint32(head[4:]))
		s.crc = s.order().Uint32(head[32:])
		s.Files = int(s.order().Uint32(head[44:]))
	}
	for i, c := range head[48:64] {
		if c == 0 {
			break
		}
		s.Name = string(head[48 : 48+i+1])
	}
	return s, true
}

type volume struct {
	*Super
	r      io.ReaderAt
	size   int64
	codec  *codec.Decoder
	budget *unpack.Budget
	yield  unpack.Sink
	dirs   map[int64]bool
	bad    int
	first  error
}

// Sum reports whether the checksum of the image holds; known is false when the
// image has none.
func (s *Super) Sum(r io.ReaderAt, size int64, b *unpack.Budget) (holds, known bool) {
	if s.flags&flagVersion2 == 0 || s.Length > size {
		return false, s.flags&flagVersion2 != 0
	}
	h := crc32.NewIEEE()
	buf := make([]byte, 64<<10)
	for off := int64(0); off < s.Length; {
		if b.Check() != nil {
			return false, false
		}
		n, _ := r.ReadAt(buf[:min(int64(len(buf)), s.Length-off)], off)
		if n <= 0 {
			return false, true
		}
		if off == 0 && n >= superLen {
			clear(buf[32:36])
		}
		h.Write(buf[:n])
		off += int64(n)
	}
	return h.Sum32() == s.crc, true
}

// Walk yields the entries of the image in r.
func (s *Super) Walk(r io.ReaderAt, size int64, c *codec.Decoder, b *unpack.Budget, yield unpack.Sink) error {
	v := &volume{Super: s, r: r, size: size, codec: c, budget: b, yield: yield, dirs: map[int64]bool{}}
	if err := v.dir("", s.root, 0); err != nil {
		return err
	}
	if v.bad > 0 {
		return fmt.Errorf("%d entries cannot be read, first: %w", v.bad, v.first)
	}
	return nil
}

func (v *volume) fail(path string, err error) {
	if v.bad++; v.first == nil {
		v.first = fmt.Errorf("%.80q: %w", path, err)
	}
}

func (v *volume) dir(path string, n inode, deep int) error {
	if err := v.budget.Check(); err != nil {
		return err
	}
	if n.size == 0 {
		return nil
	}
	if v.dirs[n.off] || deep > maxDeep {
		v.fail(path, errors.New("folders in a circle or too deep"))
		return nil
	}
	v.dirs[n.off] = true
	b, err := unpack.At(v.r, v.size, n.off, n.size)
	if err != nil {
		v.fail(path, err)
		return nil
	}
	for len(b) >= inodeLen {
		kid := v.inode(b)
		if kid.nameLen == 0 || inodeLen+kid.nameLen > len(b) {
			v.fail(path, errors.New("a name behind the end of its folder"))
			return nil
		}
		raw := b[inodeLen : inodeLen+kid.nameLen]
		b = b[inodeLen+kid.nameLen:]
		for len(raw) > 0 && raw[len(raw)-1] == 0 {
			raw = raw[:len(raw)-1]
		}
		full := string(raw)
		if path != "" {
			full = path + "/" + full
		}
		e := v.entry(full, kid)
		if err := v.yield(e); err != nil {
			return err
		}
		if e.Mode.IsDir() {
			if err := v.dir(full, kid, deep+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *volume) entry(path string, n inode) unpack.Entry {
	e := unpack.Entry{Path: path, Mode: unpack.Mode(n.mode), UID: n.uid, GID: n.gid}
	switch n.mode & 0o170000 {
	case 0o100000:
		e.Size, e.Content = n.size, v.content(n)
	case 0o120000:
		target := make([]byte, min(n.size, pageSize))
		if k, err := v.content(n).ReadAt(target, 0); k < len(target) {
			v.fail(path, err)
		}
		e.Link = string(target)
	}
	return e
}

// content reads a file by its pages. Before the data stands the end of each
// page; the beginning of a page is the end of the one before.
func (v *volume) content(n inode) *unpack.Blocks {
	pages := (n.size + pageSize - 1) / pageSize
	return &unpack.Blocks{Size: n.size, BlockSize: pageSize, Cache: v.budget.Cache, Load: func(i int64) ([]byte, error) {
		if v.flags&flagExtended != 0 {
			return v.extended(n, i, pages)
		}
		start := n.off + 4*pages
		if i > 0 {
			b, err := unpack.At(v.r, v.size, n.off+4*(i-1), 4)
			if err != nil {
				return nil, err
			}
			start = int64(v.order().Uint32(b))
		}
		b, err := unpack.At(v.r, v.size, n.off+4*i, 4)
		if err != nil {
			return nil, err
		}
		end := int64(v.order().Uint32(b))
		if end == start {
			return nil, nil // a hole
		}
		return v.page(start, end-start)
	}}
}

func (v *volume) page(at, n int64) ([]byte, error) {
	if n < 0 || n > 2*pageSize {
		return nil, fmt.Errorf("a page of %d bytes", n)
	}
	raw, err := unpack.At(v.r, v.size, at, n)
	if err != nil {
		return nil, err
	}
	return v.codec.Zlib(raw, pageSize)
}

// extended follows the pointers of Linux 4.15: bit 31 says plain, bit 30 says
// that the pointer is to the beginning, in words of four bytes.
func (v *volume) extended(n inode, i, pages int64) ([]byte, error) {
	const plain, direct = 1 << 31, 1 << 30
	pointer := func(i int64) (uint32, error) {
		b, err := unpack.At(v.r, v.size, n.off+4*i, 4)
		if err != nil {
			return 0, err
		}
		return v.order().Uint32(b), nil
	}
	p, err := pointer(i)
	if err != nil {
		return nil, err
	}
	length := min(pageSize, n.size-i*pageSize)
	if p&direct != 0 {
		at := int64(p&^(plain|direct)) * 4
		if p&plain != 0 {
			return unpack.At(v.r, v.size, at, length)
		}
		b, err := unpack.At(v.r, v.size, at, 2)
		if err != nil {
			return nil, err
		}
		return v.page(at+2, int64(v.order().Uint16(b)))
	}
	end := int64(p &^ plain)
	start := n.off + 4*pages
	if i > 0 {
		before, err := pointer(i - 1)
		if err != nil {
			return nil, err
		}
		start = int64(before &^ (plain | direct))
		if before&direct != 0 {
			start *= 4
			if before&plain != 0 {
				start += pageSize
			} else {
				b, err := unpack.At(v.r, v.size, start, 2)
				if err != nil {
					return nil, err
				}
				start += 2 + int64(v.order().Uint16(b))
			}
		}
	}
	switch {
	case end == start:
		return nil, nil
	case p&plain != 0:
		return unpack.At(v.r, v.size, start, min(length, max(0, end-start)))
	}
	return v.page(start, end-start)
}
