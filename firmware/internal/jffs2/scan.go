// Package jffs2 reads JFFS2, the log-structured file system of NOR flash
// (include/uapi/linux/jffs2.h), in both byte orders.
//
// A volume has no superblock: Scan collects the nodes whose checksums hold and
// tells how far the volume reaches. Of each name and each byte of a file the
// node with the highest version counts, as it does for the kernel; names whose
// last node is a deletion are gone. Data is compressed with nothing, rtime,
// zlib, LZO or the LZMA of OpenWrt; the two rubin schemes, which no kernel has
// written since 2.4, are refused by name.
package jffs2

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	headLen   = 12
	direntLen = 40
	inodeLen  = 68

	typeDirent  = 0xe001
	typeInode   = 0xe002
	typeClean   = 0x2003
	typePadding = 0x2004
	typeSummary = 0x2006
	typeXattr   = 0xe008
	typeXref    = 0xe009
	accurate    = 0x2000 // cleared in place when a node becomes obsolete

	maxData   = 64 << 10 // of one node: a page, of 64 KiB at most
	maxGap    = 1 << 20  // of erased flash between nodes of one volume
	maxJunk   = 64 << 10 // of what is neither node nor erased
	blankMark = 4 << 10  // erased flash behind which another volume may begin
	nodeCost  = 128      // bytes of memory that a node is counted with
)

type inodeNode struct {
	version      uint32
	mode         uint32
	uid, gid     uint16
	isize, mtime uint32
	offset       uint32
	dsize, csize uint32
	compr        byte
	at           int64 // of the data
}

type dirent struct {
	pino, version, ino uint32
	kind               byte
	name               string
	at                 int64
}

// Volume is a scanned volume.
type Volume struct {
	Big     bool
	Length  int64
	Nodes   int
	Bad     int // nodes whose checksum does not hold
	Stopped error
	r       io.ReaderAt
	size    int64
	inodes  map[uint32][]inodeNode
	dirents []dirent
}

// sum is the CRC-32 of JFFS2: without inversion before and after.
func sum(b []byte) uint32 { return ^crc32.Update(0xffffffff, crc32.IEEETable, b) }

type order interface {
	Uint16([]byte) uint16
	Uint32([]byte) uint32
}

func byteOrder(big bool) order {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// header reads a node's header and reports whether it holds.
func header(b []byte, bo order) (kind uint16, length uint32, ok bool) {
	if len(b) < headLen || bo.Uint16(b) != 0x1985 {
		return 0, 0, false
	}
	kind = bo.Uint16(b[2:])
	h := [8]byte(b[:8])
	if kind&accurate == 0 { // the checksum was made before it became obsolete
		if bo == order(binary.BigEndian) {
			h[2] |= accurate >> 8
		} else {
			h[3] |= accurate >> 8
		}
	}
	length = bo.Uint32(b[4:])
	return kind, length, sum(h[:]) == bo.Uint32(b[8:]) && length >= headLen
}

// Valid reports whether head begins with a node.
func Valid(head []byte) bool {
	if len(head) < headLen {
		return false
	}
	kind, _, ok := header(head, byteOrder(head[0] == 0x19))
	switch kind | accurate {
	case typeDirent, typeInode, typeClean, typePadding, typeSummary, typeXattr, typeXref:
		return ok
	}
	return false
}

// window reads a volume through a buffer, forwards.
type window struct {
	r    io.ReaderAt
	size int64
	base int64
	buf  []byte
	have int
}

func (w *window) at(off int64, n int) []byte {
	if off >= w.size {
		return nil
	}
	if off < w.base || off+int64(n) > w.base+int64(w.have) {
		if w.buf == nil {
			w.buf = make([]byte, min(512<<10, w.size))
		}
		got, _ := w.r.ReadAt(w.buf[:min(int64(len(w.buf)), w.size-off)], off)
		w.base, w.have = off, got
	}
	b := w.buf[off-w.base : w.have]
	return b[:min(n, len(b))]
}

// Scan reads the nodes of the volume that begins at the start of r.
func Scan(r io.ReaderAt, size int64, b *unpack.Budget) *Volume {
	w := &window{r: r, size: size}
	head := w.at(0, 2)
	v := &Volume{r: r, size: size, inodes: map[uint32][]inodeNode{}, Big: len(head) == 2 && head[0] == 0x19}
	bo := byteOrder(v.Big)
	type id struct {
		kind         uint16
		ino, version uint32
	}
	seen := map[id]uint32{}
	cut := int64(0) // where the last stretch of erased flash began, if there was one
	for off, blank, junk := int64(0), int64(0), int64(0); off+headLen <= size; {
		if v.Stopped = b.Check(); v.Stopped != nil {
			return v
		}
		h := w.at(off, headLen)
		kind, length, ok := header(h, bo)
		if !ok || int64(length) > size-off {
			word := bo.Uint32(h)
			if word == 0xffffffff || word == 0 {
				blank += 4
			} else {
				junk += 4
			}
			if off += 4; blank > maxGap || junk > maxJunk {
				break
			}
			continue
		}
		if blank >= blankMark {
			cut = v.Length
		}
		blank, junk = 0, 0
		end := off + (int64(length)+3)&^3
		if kind&accurate != 0 {
			var ino, version, check uint32
			switch kind {
			case typeDirent:
				ino, version, check = v.dirent(w, off, length, bo)
			case typeInode:
				ino, version, check = v.inode(w, off, length, bo)
			}
			if version != 0 {
				if v.Stopped = b.Take(nodeCost); v.Stopped != nil {
					return v
				}
				k := id{kind, ino, version}
				if other, twice := seen[k]; twice && other != check && cut > 0 {
					// One log never uses a version twice: this is the
					// volume of the next partition.
					v.forget(cut)
					v.Length = cut
					return v
				}
				seen[k] = check
			}
		}
		v.Nodes++
		v.Length = min(end, size)
		off = end
	}
	return v
}

// forget drops the nodes found from a place on.
func (v *Volume) forget(from int64) {
	for ino, nodes := range v.inodes {
		keep := slices.IndexFunc(nodes, func(n inodeNode) bool { return n.at >= from })
		if keep == 0 {
			delete(v.inodes, ino)
		} else if keep > 0 {
			v.inodes[ino] = nodes[:keep]
		}
	}
	if keep := slices.IndexFunc(v.dirents, func(d dirent) bool { return d.at >= from }); keep >= 0 {
		v.dirents = v.dirents[:keep]
	}
}

func (v *Volume) dirent(w *window, off int64, length uint32, bo order) (ino, version, check uint32) {
	b := w.at(off, direntLen+255)
	if len(b) < direntLen || length < direntLen || sum(b[:direntLen-8]) != bo.Uint32(b[32:]) {
		v.Bad++
		return 0, 0, 0
	}
	n := int(b[28])
	if len(b) < direntLen+n || uint32(direntLen+n) > length || sum(b[direntLen:direntLen+n]) != bo.Uint32(b[36:]) {
		v.Bad++
		return 0, 0, 0
	}
	d := dirent{pino: bo.Uint32(b[12:]), version: bo.Uint32(b[16:]), ino: bo.Uint32(b[20:]), kind: b[29], name: string(b[direntLen : direntLen+n]), at: off}
	v.dirents = append(v.dirents, d)
	return d.pino, d.version, bo.Uint32(b[32:])
}

func (v *Volume) inode(w *window, off int64, length uint32, bo order) (ino, version, check uint32) {
	b := w.at(off, inodeLen)
	if len(b) < inodeLen || length < inodeLen || sum(b[:inodeLen-8]) != bo.Uint32(b[64:]) {
		v.Bad++
		return 0, 0, 0
	}
	n := inodeNode{
		version: bo.Uint32(b[16:]), mode: bo.Uint32(b[20:]), uid: bo.Uint16(b[24:]), gid: bo.Uint16(b[26:]), isize: bo.Uint32(b[28:]), mtime: bo.Uint32(b[36:]),
		offset: bo.Uint32(b[44:]), csize: bo.Uint32(b[48:]), dsize: bo.Uint32(b[52:]), compr: b[56], at: off + inodeLen,
	}
	ino, check = bo.Uint32(b[12:]), bo.Uint32(b[64:])
	want := bo.Uint32(b[60:])
	if n.csize > maxData || n.dsize > maxData || n.csize > length-inodeLen {
		v.Bad++
		return 0, 0, 0
	}
	if data := w.at(n.at, int(n.csize)); len(data) < int(n.csize) || sum(data) != want {
		v.Bad++
		return 0, 0, 0
	}
	v.inodes[ino] = append(v.inodes[ino], n)
	return ino, n.version, check
}
