package ext

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

type extent struct {
	logical, count, physical int64
	unwritten                bool
}

// content returns a file's content by its map of blocks.
func (v *volume) content(n *inode) (io.ReaderAt, error) {
	if n.size < 0 {
		return nil, fmt.Errorf("a size of %d bytes", n.size)
	}
	find := func(i int64) (int64, error) { return v.indirect(n, i) }
	switch {
	case n.flags&flagInline != 0:
		// mke2fs makes files that are one hole so, larger than their content.
		inline := slices.Concat(n.block, n.inline)
		return &unpack.Blocks{Size: n.size, BlockSize: int64(len(inline)), Cache: v.budget.Cache, Load: func(i int64) ([]byte, error) {
			if i > 0 {
				return nil, nil
			}
			return inline, nil
		}}, nil
	case n.flags&flagExtents != 0:
		var list []extent
		if err := v.extents(n.block, -1, &list, map[int64]bool{}); err != nil {
			return nil, err
		}
		slices.SortFunc(list, func(a, b extent) int { return cmp.Compare(a.logical, b.logical) })
		find = func(i int64) (int64, error) {
			k, ok := slices.BinarySearchFunc(list, i, func(e extent, at int64) int { return cmp.Compare(e.logical, at) })
			if !ok {
				k--
			}
			if k < 0 || i >= list[k].logical+list[k].count || list[k].unwritten {
				return 0, nil
			}
			return list[k].physical + i - list[k].logical, nil
		}
	}
	return &unpack.Blocks{Size: n.size, BlockSize: v.BlockSize, Cache: v.budget.Cache, Load: func(i int64) ([]byte, error) {
		block, err := find(i)
		if err != nil || block == 0 {
			return nil, err
		}
		return unpack.At(v.r, v.size, block*v.BlockSize, v.BlockSize)
	}}, nil
}

// extents reads a node of the extent tree; depth is -1 for the root, else
// what the node must say of itself.
func (v *volume) extents(b []byte, depth int, list *[]extent, seen map[int64]bool) error {
	if len(b) < 12 || binary.LittleEndian.Uint16(b) != 0xf30a {
		return errors.New("no node of an extent tree")
	}
	count, level := int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint16(b[6:]))
	if level > 5 || depth >= 0 && level != depth || 12+12*count > len(b) {
		return errors.New("an extent tree out of order")
	}
	for i := range count {
		e := b[12+12*i:]
		logical := int64(binary.LittleEndian.Uint32(e))
		if level > 0 {
			at := int64(binary.LittleEndian.Uint32(e[4:])) | int64(binary.LittleEndian.Uint16(e[8:]))<<32
			if seen[at] {
				return errors.New("an extent tree in a circle")
			}
			seen[at] = true
			node, err := unpack.At(v.r, v.size, at*v.BlockSize, v.BlockSize)
			if err != nil {
				return err
			}
			if err := v.extents(node, level-1, list, seen); err != nil {
				return err
			}
			continue
		}
		n := int64(binary.LittleEndian.Uint16(e[4:]))
		x := extent{logical: logical, count: n, physical: int64(binary.LittleEndian.Uint32(e[8:])) | int64(binary.LittleEndian.Uint16(e[6:]))<<32}
		if n > 32768 {
			x.count, x.unwritten = n-32768, true
		}
		if err := v.budget.Take(extentCost); err != nil {
			return err
		}
		if *list = append(*list, x); len(*list) > maxExtents {
			return fmt.Errorf("more than %d extents", maxExtents)
		}
	}
	return nil
}

// indirect follows the map of ext2: twelve blocks, then one, two and three
// levels of blocks of pointers.
func (v *volume) indirect(n *inode, i int64) (int64, error) {
	per := v.BlockSize / 4
	if i < 12 {
		return int64(binary.LittleEndian.Uint32(n.block[4*i:])), nil
	}
	i -= 12
	span := per
	for level := range 3 {
		if i >= span {
			i -= span
			span *= per
			continue
		}
		block := int64(binary.LittleEndian.Uint32(n.block[4*(12+level):]))
		for ; span > 1; span /= per {
			if block == 0 {
				return 0, nil
			}
			k := i / (span / per)
			i %= span / per
			b, err := unpack.At(v.r, v.size, block*v.BlockSize+4*k, 4)
			if err != nil {
				return 0, err
			}
			block = int64(binary.LittleEndian.Uint32(b))
		}
		return block, nil
	}
	return 0, errors.New("a block behind the end of the map")
}
