// Package ext reads ext2, ext3 and ext4 (fs/ext4/ext4.h of Linux). The journal
// is not replayed: an image in firmware was never mounted, or unmounted
// cleanly. Files that fscrypt encrypted are listed and not read.
package ext

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	// SuperLen is how many bytes Parse wants to see.
	SuperLen = 1024 + 1024

	rootIno    = 2
	maxDeep    = 256
	maxExtents = 1 << 20
	extentCost = 24 // bytes of memory an extent is counted with

	compatJournal   = 0x4
	incompatExtents = 0x40
	incompat64      = 0x80
	incompatMetaBG  = 0x10
	flagExtents     = 0x80000
	flagInline      = 0x10000000
	flagEncrypted   = 0x800
)

// Super is the superblock of a volume.
type Super struct {
	Name      string
	Version   string // "ext2", "ext3" or "ext4"
	BlockSize int64
	Length    int64
	Made      time.Time
	Clean     bool

	first, perGroup, inodeSize, descSize int64
	inodes                               uint32
	incompat                             uint32
}

// Parse reads the superblock, which stands 1,024 bytes behind the beginning.
func Parse(head []byte) (*Super, bool) {
	if len(head) < SuperLen {
		return nil, false
	}
	b := head[1024:]
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }
	if binary.LittleEndian.Uint16(b[56:]) != 0xef53 || u32(24) > 6 || u32(76) > 1 || u32(40) == 0 || u32(32) == 0 || u32(0) == 0 {
		return nil, false
	}
	s := &Super{
		inodes: u32(0), BlockSize: 1024 << u32(24), first: int64(u32(20)), perGroup: int64(u32(40)), inodeSize: 128, descSize: 32, incompat: u32(96),
		Made: time.Unix(int64(u32(264)), 0).UTC(), Version: "ext2", Clean: binary.LittleEndian.Uint16(b[58:])&1 != 0,
	}
	blocks := int64(u32(4))
	if u32(76) == 1 {
		s.inodeSize = int64(binary.LittleEndian.Uint16(b[88:]))
	}
	if s.incompat&incompat64 != 0 {
		blocks |= int64(u32(336)) << 32
		s.descSize = int64(binary.LittleEndian.Uint16(b[254:]))
	}
	switch {
	case s.incompat&(incompatExtents|incompat64) != 0:
		s.Version = "ext4"
	case u32(92)&compatJournal != 0:
		s.Version = "ext3"
	}
	if s.inodeSize < 128 || s.inodeSize > s.BlockSize || s.descSize < 32 || s.descSize > 1024 || blocks < 8 || blocks > 1<<40 || s.first != 0 && s.first != 1 ||
		(s.BlockSize == 1024) != (s.first == 1) || int64(u32(32)) > 8*s.BlockSize || s.perGroup > 8*s.BlockSize {
		return nil, false
	}
	s.Length = blocks * s.BlockSize
	s.Name, _, _ = strings.Cut(string(b[120:136]), "\x00")
	return s, true
}

type volume struct {
	*Super
	r        io.ReaderAt
	size     int64
	budget   *unpack.Budget
	yield    unpack.Sink
	dirs     map[uint32]bool
	bad      int
	firstErr error
}

type inode struct {
	mode     uint32
	uid, gid int
	size     int64
	mtime    time.Time
	flags    uint32
	block    []byte // sixty bytes of map, or of content
	inline   []byte // what of the content stands behind the inode's fields
}

// Walk yields the entries of the volume in r.
func (s *Super) Walk(r io.ReaderAt, size int64, b *unpack.Budget, yield unpack.Sink) error {
	if s.incompat&incompatMetaBG != 0 {
		return errors.New("the layout with meta block groups is not read")
	}
	v := &volume{Super: s, r: r, size: min(size, s.Length), budget: b, yield: yield, dirs: map[uint32]bool{rootIno: true}}
	root, err := v.inode(rootIno)
	if err != nil {
		return fmt.Errorf("the root folder: %w", err)
	}
	if err := v.dir("", root, 0); err != nil {
		return err
	}
	if v.bad > 0 {
		return fmt.Errorf("%d entries cannot be read, first: %w", v.bad, v.firstErr)
	}
	return nil
}

func (v *volume) fail(path string, err error) {
	if v.bad++; v.firstErr == nil {
		v.firstErr = fmt.Errorf("%.80q: %w", path, err)
	}
}

func (v *volume) inode(n uint32) (*inode, error) {
	if n == 0 || n > v.inodes {
		return nil, fmt.Errorf("inode %d of %d", n, v.inodes)
	}
	group, index := int64(n-1)/v.perGroup, int64(n-1)%v.perGroup
	d, err := unpack.At(v.r, v.size, (v.Super.first+1)*v.BlockSize+group*v.descSize, v.descSize)
	if err != nil {
		return nil, err
	}
	table := int64(binary.LittleEndian.Uint32(d[8:]))
	if v.descSize >= 64 {
		table |= int64(binary.LittleEndian.Uint32(d[40:])&0xffff) << 32
	}
	b, err := unpack.At(v.r, v.size, table*v.BlockSize+index*v.inodeSize, v.inodeSize)
	if err != nil {
		return nil, err
	}
	u16 := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
	i := &inode{
		mode: uint32(u16(0)), uid: u16(2) | u16(120)<<16, gid: u16(24) | u16(122)<<16, flags: binary.LittleEndian.Uint32(b[32:]), block: b[40:100],
		size:  int64(binary.LittleEndian.Uint32(b[4:])) | int64(binary.LittleEndian.Uint32(b[108:])&0x7fffffff)<<32,
		mtime: time.Unix(int64(binary.LittleEndian.Uint32(b[16:])), 0).UTC(),
	}
	if i.flags&flagInline != 0 && len(b) > 132 {
		i.inline = inlineRest(b[128+u16(128):])
	}
	return i, nil
}

// inlineRest finds the attribute "system.data" among those that stand behind
// an inode: the part of an inline file that does not fit its map.
func inlineRest(b []byte) []byte {
	if len(b) < 4 || binary.LittleEndian.Uint32(b) != 0xea020000 {
		return nil
	}
	b = b[4:]
	for e := b; len(e) >= 16 && binary.LittleEndian.Uint32(e) != 0; {
		n := int(e[0])
		off, size := int(binary.LittleEndian.Uint16(e[2:])), int(binary.LittleEndian.Uint32(e[8:]))
		if len(e) < 16+n {
			return nil
		}
		if e[1] == 7 && string(e[16:16+n]) == "data" && off <= len(b) && size >= 0 && size <= len(b)-off {
			return b[off : off+size]
		}
		next := (16 + n + 3) &^ 3
		if next > len(e) {
			return nil
		}
		e = e[next:]
	}
	return nil
}

func (v *volume) dir(path string, n *inode, deep int) error {
	if err := v.budget.Check(); err != nil {
		return err
	}
	if n.flags&flagEncrypted != 0 {
		v.fail(path, errors.New("the folder is encrypted by fscrypt"))
		return nil
	}
	content, err := v.content(n)
	if err != nil {
		v.fail(path, err)
		return nil
	}
	size := min(n.size, v.size) // a folder is not larger than its volume
	buf := make([]byte, v.BlockSize)
	start := int64(0)
	if n.flags&flagInline != 0 {
		start = 4 // the inode of the parent
	}
	for off := start; off < size; off += v.BlockSize {
		b := buf[:min(v.BlockSize, size-off)]
		if k, err := content.ReadAt(b, off); k < len(b) {
			v.fail(path, err)
			return nil
		}
		for len(b) >= 8 {
			ino, rec, size := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:])), int(b[6])
			if rec < 8 || rec > len(b) || 8+size > rec {
				v.fail(path, errors.New("an entry that is longer than its place"))
				break
			}
			name := string(b[8 : 8+size])
			b = b[rec:]
			if ino == 0 || name == "." || name == ".." || name == "" || strings.ContainsAny(name, "/\x00") {
				continue
			}
			full := name
			if path != "" {
				full = path + "/" + name
			}
			if err := v.one(full, ino, deep); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *volume) one(path string, ino uint32, deep int) error {
	n, err := v.inode(ino)
	if err != nil {
		v.fail(path, err)
		return v.yield(unpack.Entry{Path: path, Err: err.Error()})
	}
	e := unpack.Entry{Path: path, Mode: unpack.Mode(n.mode), UID: n.uid, GID: n.gid, ModTime: n.mtime}
	switch n.mode & 0o170000 {
	case 0o100000:
		e.Size = n.size
		if n.flags&flagEncrypted != 0 {
			e.Err = "encrypted by fscrypt"
		} else if e.Content, err = v.content(n); err != nil {
			v.fail(path, err)
			e.Err = err.Error()
		}
	case 0o120000:
		e.Link = v.link(path, n)
	case 0o040000:
		if v.dirs[ino] || deep > maxDeep {
			v.fail(path, errors.New("folders in a circle or too deep"))
			return nil
		}
		v.dirs[ino] = true
		if err := v.yield(e); err != nil {
			return err
		}
		return v.dir(path, n, deep+1)
	}
	return v.yield(e)
}

func (v *volume) link(path string, n *inode) string {
	if n.size < 60 && n.flags&flagExtents == 0 {
		return string(n.block[:n.size])
	}
	target := make([]byte, min(n.size, 4096))
	content, err := v.content(n)
	if err == nil {
		_, err = content.ReadAt(target, 0)
	}
	if err != nil && err != io.EOF {
		v.fail(path, err)
	}
	return string(target)
}
