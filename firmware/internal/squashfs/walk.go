package squashfs

import (
	"fmt"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// maxDeep bounds folders within folders; PATH_MAX allows no more than this
// many of them with one letter each, and no firmware has more than thirty.
const maxDeep = 256

// Walk yields the entries of the image in r. What cannot be read is counted
// in the error; the rest is good.
func Walk(r io.ReaderAt, size int64, s *Super, c *codec.Decoder, b *unpack.Budget, yield unpack.Sink) error {
	v := &volume{Super: *s, r: r, size: min(size, s.Length), codec: c, budget: b, dirs: map[uint64]bool{}}
	cut := ""
	if s.Length > size {
		v.size = size
		cut = fmt.Sprintf("the image is cut: %d of %d bytes are there; ", size, s.Length)
	}
	if err := v.owners(); err != nil {
		return fmt.Errorf("%sreading the owners: %w", cut, err)
	}
	if err := v.fragments(); err != nil {
		v.fail("", fmt.Errorf("reading the fragments: %w", err))
	}
	if err := v.dir("", v.root, 0, yield); err != nil {
		return err
	}
	if v.bad > 0 {
		return fmt.Errorf("%s%d entries cannot be read, first: %w", cut, v.bad, v.first)
	}
	return nil
}

func (v *volume) fail(path string, err error) {
	if v.bad++; v.first == nil {
		if path != "" {
			err = fmt.Errorf("%.80q: %w", path, err)
		}
		v.first = err
	}
}

func (v *volume) owners() error {
	words := func(b []byte) []uint32 {
		var out []uint32
		for ; len(b) >= 4; b = b[4:] {
			out = append(out, v.order().Uint32(b))
		}
		return out
	}
	if v.Major == 4 {
		b, err := v.table(v.ids, v.idCount, 4)
		v.uids = words(b)
		v.guids = v.uids
		return err
	}
	for _, t := range []struct {
		at  uint64
		n   int
		out *[]uint32
	}{{v.ids, v.idCount, &v.uids}, {v.gids, v.gidN, &v.guids}} {
		if t.n == 0 {
			continue
		}
		b, err := unpack.At(v.r, v.size, int64(t.at&(1<<62-1)), int64(4*t.n))
		if err != nil {
			return err
		}
		*t.out = words(b)
	}
	return nil
}

func (v *volume) fragments() error {
	if int64(v.Fragments) > v.size { // each has at least a byte
		return fmt.Errorf("%d fragments in %d bytes", v.Fragments, v.size)
	}
	b, err := v.table(v.fragTable, int(v.Fragments), 16)
	for ; len(b) >= 16; b = b[16:] {
		v.frags = append(v.frags, fragment{v.order().Uint64(b), v.order().Uint32(b[8:])})
	}
	return err
}

// dir walks the folder whose inode ref refers to. An error ends the whole
// walk; what is wrong with single entries is counted.
func (v *volume) dir(path string, ref uint64, deep int, yield unpack.Sink) error {
	if err := v.budget.Check(); err != nil {
		return err
	}
	n, err := v.inode(ref)
	if err != nil {
		v.fail(path+"/", err)
		return nil
	}
	if n.kind != kindDir {
		v.fail(path+"/", fmt.Errorf("the inode of a folder is of type %d", n.kind))
		return nil
	}
	switch {
	case v.dirs[ref]:
		v.fail(path+"/", fmt.Errorf("the folder occurs a second time: folders in a circle"))
		return nil
	case deep > maxDeep:
		v.fail(path+"/", fmt.Errorf("folders nested more than %d deep", maxDeep))
		return nil
	}
	v.dirs[ref] = true
	if path != "" {
		if err := yield(v.entry(path, n)); err != nil {
			return err
		}
	}
	if n.size <= 3 { // the sizes of . and .. that are not stored
		return nil
	}
	c, err := v.cursor(int64(v.dirTable)+int64(n.dirBlock), int(n.dirOff))
	if err != nil {
		v.fail(path+"/", err)
		return nil
	}
	for left := n.size - 3; left > 0; {
		count, block, used, err := v.dirHead(c)
		if err != nil {
			v.fail(path+"/", err)
			return nil
		}
		left -= used
		for range count {
			name, kind, off, used, err := v.dirEntry(c)
			if err != nil {
				v.fail(path+"/", err)
				return nil
			}
			if left -= used; left < 0 {
				v.fail(path+"/", fmt.Errorf("entries behind the end of the folder"))
				return nil
			}
			full := name
			if path != "" {
				full = path + "/" + name
			}
			if err := v.child(full, name, kind, uint64(block)<<16|uint64(off), deep, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *volume) child(path, name string, kind int, ref uint64, deep int, yield unpack.Sink) error {
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			v.fail(path, fmt.Errorf("a slash or zero in a name"))
			return nil
		}
	}
	if name == "." || name == ".." {
		v.fail(path, fmt.Errorf("the name %q is stored in a folder", name))
		return nil
	}
	if kind == kindDir {
		return v.dir(path, ref, deep+1, yield)
	}
	n, err := v.inode(ref)
	if err != nil {
		v.fail(path, err)
		// Even so the name counts, against the limit on files.
		return yield(unpack.Entry{Path: path, Err: err.Error()})
	}
	if n.kind == kindDir {
		v.fail(path, fmt.Errorf("a folder that its parent does not call one"))
		return nil
	}
	return yield(v.entry(path, n))
}

// dirHead reads the header before a run of entries: their number, the block
// their inodes stand in, and its own length.
func (v *volume) dirHead(c *cursor) (count int, block uint32, used int64, err error) {
	if v.Major == 4 {
		b, err := c.take(12)
		if err != nil {
			return 0, 0, 0, err
		}
		count = int(v.order().Uint32(b)) + 1
		block, used = v.order().Uint32(b[4:]), 12
	} else {
		b, err := c.take(9)
		if err != nil {
			return 0, 0, 0, err
		}
		f := fields{b: b, big: v.Big}
		count = int(f.take(8)) + 1
		block, used = uint32(f.take(32)), 9
	}
	if count > 256 {
		return 0, 0, 0, fmt.Errorf("a run of %d entries", count)
	}
	return count, block, used, nil
}

func (v *volume) dirEntry(c *cursor) (name string, kind int, off uint16, used int64, err error) {
	size := 0
	if v.Major == 4 {
		b, err := c.take(8)
		if err != nil {
			return "", 0, 0, 0, err
		}
		off, kind, size, used = v.order().Uint16(b), int(v.order().Uint16(b[4:])), int(v.order().Uint16(b[6:]))+1, 8
	} else {
		b, err := c.take(5)
		if err != nil {
			return "", 0, 0, 0, err
		}
		f := fields{b: b, big: v.Big}
		off, kind, size, used = uint16(f.take(13)), int(f.take(3)), int(f.take(8))+1, 5
	}
	if size > 256 {
		return "", 0, 0, 0, fmt.Errorf("a name of %d bytes", size)
	}
	b, err := c.take(size)
	return string(b), kind, off, used + int64(size), err
}
