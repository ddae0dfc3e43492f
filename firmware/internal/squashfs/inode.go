package squashfs

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// The kinds of inodes; the extended form of each is seven higher.
const (
	kindDir = 1 + iota
	kindFile
	kindLink
	kindBlock
	kindChar
	kindFifo
	kindSocket
	extended = 7
)

// maxBlocks bounds the blocks of one file: a million blocks are 128 GiB at the
// usual size of block.
const maxBlocks = 1 << 20

type inode struct {
	kind     int
	mode     uint32
	uid, gid int
	mtime    time.Time
	size     int64
	// of a folder
	dirBlock uint32
	dirOff   uint32
	// of a file
	start    uint64
	frag     uint32
	fragOff  uint32
	blocks   []uint32
	tooLarge error
	link     string
}

// inode reads the inode that ref refers to: a block of the inode table and an
// offset in it.
func (v *volume) inode(ref uint64) (*inode, error) {
	block := int64(v.inodeTable) + int64(ref>>16&0xffffffff)
	c, err := v.cursor(block, int(ref&0xffff))
	if err != nil {
		return nil, err
	}
	if v.Major == 3 {
		return v.inode3(c)
	}
	return v.inode4(c)
}

func owner(table []uint32, i int) int {
	if i < len(table) {
		return int(table[i])
	}
	return 0
}

func (v *volume) inode4(c *cursor) (*inode, error) {
	bo := v.order()
	b, err := c.take(16)
	if err != nil {
		return nil, err
	}
	kind := int(bo.Uint16(b))
	n := &inode{
		kind: kind, mode: uint32(bo.Uint16(b[2:])), uid: owner(v.uids, int(bo.Uint16(b[4:]))), gid: owner(v.guids, int(bo.Uint16(b[6:]))),
		mtime: time.Unix(int64(bo.Uint32(b[8:])), 0).UTC(),
	}
	if kind > extended {
		n.kind -= extended
	}
	length := map[int]int{
		kindDir: 16, kindFile: 16, kindLink: 8, kindBlock: 8, kindChar: 8, kindFifo: 4, kindSocket: 4,
		kindDir + extended: 24, kindFile + extended: 40, kindLink + extended: 8, kindBlock + extended: 12, kindChar + extended: 12,
		kindFifo + extended: 8, kindSocket + extended: 8,
	}[kind]
	if length == 0 {
		return nil, fmt.Errorf("an inode of type %d", kind)
	}
	if b, err = c.take(length); err != nil {
		return nil, err
	}
	switch kind {
	case kindDir:
		n.dirBlock, n.size, n.dirOff = bo.Uint32(b), int64(bo.Uint16(b[8:])), uint32(bo.Uint16(b[10:]))
	case kindDir + extended:
		n.size, n.dirBlock, n.dirOff = int64(bo.Uint32(b[4:])), bo.Uint32(b[8:]), uint32(bo.Uint16(b[18:]))
	case kindFile:
		n.start, n.frag, n.fragOff, n.size = uint64(bo.Uint32(b)), bo.Uint32(b[4:]), bo.Uint32(b[8:]), int64(bo.Uint32(b[12:]))
		return n, v.blockList(n, c)
	case kindFile + extended:
		n.start, n.size, n.frag, n.fragOff = bo.Uint64(b), int64(bo.Uint64(b[8:])), bo.Uint32(b[28:]), bo.Uint32(b[32:])
		return n, v.blockList(n, c)
	case kindLink, kindLink + extended:
		return n, n.readLink(c, int64(bo.Uint32(b[4:])))
	}
	return n, nil
}

func (v *volume) inode3(c *cursor) (*inode, error) {
	b, err := c.take(12)
	if err != nil {
		return nil, err
	}
	f := fields{b: b, big: v.Big}
	kind := int(f.take(4))
	n := &inode{kind: kind, mode: uint32(f.take(12))}
	uid, gid := int(f.take(8)), int(f.take(8))
	n.uid = owner(v.uids, uid)
	if n.gid = n.uid; gid != 255 { // 255: the group has the number of the user
		n.gid = owner(v.guids, gid)
	}
	n.mtime = time.Unix(int64(f.take(32)), 0).UTC()
	length := map[int]int{
		kindDir: 16, kindFile: 20, kindLink: 6, kindBlock: 6, kindChar: 6, kindFifo: 4, kindSocket: 4,
		kindDir + extended: 19, kindFile + extended: 28,
	}[kind]
	if length == 0 {
		return nil, fmt.Errorf("an inode of type %d", kind)
	}
	if b, err = c.take(length); err != nil {
		return nil, err
	}
	f = fields{b: b, big: v.Big}
	switch kind {
	case kindDir:
		f.take(32)
		n.size, n.dirOff, n.dirBlock = int64(f.take(19)), uint32(f.take(13)), uint32(f.take(32))
	case kindDir + extended:
		n.kind = kindDir
		f.take(32)
		n.size, n.dirOff, n.dirBlock = int64(f.take(27)), uint32(f.take(13)), uint32(f.take(32))
	case kindFile:
		n.start, n.frag, n.fragOff, n.size = f.take(64), uint32(f.take(32)), uint32(f.take(32)), int64(f.take(32))
		return n, v.blockList(n, c)
	case kindFile + extended:
		n.kind = kindFile
		f.take(32)
		n.start, n.frag, n.fragOff, n.size = f.take(64), uint32(f.take(32)), uint32(f.take(32)), int64(f.take(64))
		return n, v.blockList(n, c)
	case kindLink:
		f.take(32)
		return n, n.readLink(c, int64(f.take(16)))
	}
	return n, nil
}

func (n *inode) readLink(c *cursor, size int64) error {
	if size > 4096 {
		return fmt.Errorf("a link of %d bytes", size)
	}
	b, err := c.take(int(size))
	n.link = string(b)
	return err
}

// blockList reads the sizes of a file's blocks, which follow its inode.
func (v *volume) blockList(n *inode, c *cursor) error {
	if n.size < 0 {
		return fmt.Errorf("a file of %d bytes", n.size)
	}
	count := n.size / int64(v.BlockSize)
	if n.frag == noFragment && n.size%int64(v.BlockSize) != 0 {
		count++
	}
	if count > maxBlocks {
		n.tooLarge = fmt.Errorf("the file claims %d bytes: more than %d blocks", n.size, maxBlocks)
		return nil
	}
	if err := v.budget.Take(4 * count); err != nil {
		n.tooLarge = err
		return nil
	}
	b, err := c.take(int(4 * count))
	if err != nil {
		return err
	}
	n.blocks = make([]uint32, count)
	for i := range n.blocks {
		n.blocks[i] = v.order().Uint32(b[4*i:])
	}
	return nil
}

// entry makes what the inode says into what the walk yields.
func (v *volume) entry(path string, n *inode) unpack.Entry {
	kinds := map[int]uint32{kindDir: 0o040000, kindFile: 0o100000, kindLink: 0o120000, kindBlock: 0o060000, kindChar: 0o020000, kindFifo: 0o010000, kindSocket: 0o140000}
	e := unpack.Entry{Path: path, Mode: unpack.Mode(n.mode&0o7777 | kinds[n.kind]), UID: n.uid, GID: n.gid, ModTime: n.mtime, Link: n.link}
	if e.Mode.Type() != 0 {
		return e
	}
	e.Size = n.size
	if n.tooLarge != nil {
		e.Err = n.tooLarge.Error()
		return e
	}
	e.Content = v.content(n)
	return e
}

// content reads a file by its blocks; the last may be part of a fragment.
func (v *volume) content(n *inode) *unpack.Blocks {
	bs := int64(v.BlockSize)
	starts := make([]int64, len(n.blocks))
	at := int64(n.start)
	for i, size := range n.blocks {
		starts[i] = at
		at += int64(size &^ plainBit)
	}
	return &unpack.Blocks{Size: n.size, BlockSize: bs, Cache: v.budget.Cache, Load: func(i int64) ([]byte, error) {
		if i < int64(len(n.blocks)) {
			return v.data(starts[i], n.blocks[i])
		}
		if uint64(n.frag) >= uint64(len(v.frags)) {
			return nil, fmt.Errorf("fragment %d of %d", n.frag, len(v.frags))
		}
		f := v.frags[n.frag]
		whole, err := v.budget.Cache.Get(v, int64(n.frag), func() ([]byte, error) { return v.data(int64(f.start), f.size) })
		if err != nil {
			return nil, err
		}
		from, tail := int64(n.fragOff), n.size%bs
		if from+tail > int64(len(whole)) {
			return nil, fmt.Errorf("a fragment of %d bytes where %d belong: %w", len(whole), from+tail, fs.ErrInvalid)
		}
		return whole[from : from+tail : from+tail], nil
	}}
}

// data reads one block of content; nil is a hole.
func (v *volume) data(off int64, size uint32) ([]byte, error) {
	n := size &^ plainBit
	if n == 0 {
		return nil, nil
	}
	if n > v.BlockSize {
		return nil, fmt.Errorf("data at %#x: a block of %d bytes", off, n)
	}
	raw, err := unpack.At(v.r, v.size, off, int64(n))
	if err != nil || size&plainBit != 0 {
		return raw, err
	}
	out, err := v.expand(raw, int(v.BlockSize))
	if err != nil {
		return nil, fmt.Errorf("data at %#x: %w", off, err)
	}
	return out, nil
}
