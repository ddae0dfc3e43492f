package jffs2

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	rootIno   = 1
	maxDeep   = 256
	readBlock = 256 << 10
)

// The kinds of compression.
const (
	comprNone = iota
	comprZero
	comprRtime
	comprRubinMips
	comprCopy
	comprDynRubin
	comprZlib
	comprLZO
	comprLZMA
)

type walker struct {
	*Volume
	codec  *codec.Decoder
	budget *unpack.Budget
	yield  unpack.Sink
	kids   map[uint32][]dirent
	dirs   map[uint32]bool
	circle int
}

// Walk yields the entries of the volume.
func (v *Volume) Walk(c *codec.Decoder, b *unpack.Budget, yield unpack.Sink) error {
	w := &walker{Volume: v, codec: c, budget: b, yield: yield, kids: map[uint32][]dirent{}, dirs: map[uint32]bool{rootIno: true}}
	type name struct {
		pino uint32
		name string
	}
	last := map[name]dirent{}
	for _, d := range v.dirents {
		k := name{d.pino, d.name}
		if have, ok := last[k]; !ok || d.version > have.version {
			last[k] = d
		}
	}
	for _, d := range last {
		if d.ino != 0 {
			w.kids[d.pino] = append(w.kids[d.pino], d)
		}
	}
	if err := w.dir("", rootIno, 0); err != nil {
		return err
	}
	var problems []error
	if v.Stopped != nil {
		problems = append(problems, fmt.Errorf("the scan ended early: %w", v.Stopped))
	}
	if v.Bad > 0 {
		problems = append(problems, fmt.Errorf("%d of %d nodes have a wrong checksum and are left out", v.Bad, v.Nodes))
	}
	if lost := len(w.kids) - len(w.dirs); w.circle > 0 {
		problems = append(problems, fmt.Errorf("%d folders lie in a circle or too deep", w.circle))
	} else if lost > 0 && len(w.kids[rootIno]) == 0 {
		problems = append(problems, errors.New("the root folder has no entries: this is the rest of a larger volume"))
	}
	return errors.Join(problems...)
}

func (w *walker) dir(path string, ino uint32, deep int) error {
	kids := w.kids[ino]
	slices.SortFunc(kids, func(a, b dirent) int { return cmp.Compare(a.name, b.name) })
	for _, d := range kids {
		full := d.name
		if path != "" {
			full = path + "/" + d.name
		}
		e := w.entry(full, d)
		if slices.Contains([]byte(d.name), '/') || d.name == "." || d.name == ".." || d.name == "" {
			continue
		}
		if !e.Mode.IsDir() {
			if err := w.yield(e); err != nil {
				return err
			}
			continue
		}
		if w.dirs[d.ino] || deep >= maxDeep {
			w.circle++
			continue
		}
		w.dirs[d.ino] = true
		if err := w.yield(e); err != nil {
			return err
		}
		if err := w.dir(full, d.ino, deep+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(path string, d dirent) unpack.Entry {
	nodes := w.inodes[d.ino]
	if len(nodes) == 0 {
		return unpack.Entry{Path: path, Mode: unpack.Mode(uint32(d.kind) << 12), Err: "no node of its inode is left"}
	}
	last := slices.MaxFunc(nodes, func(a, b inodeNode) int { return cmp.Compare(a.version, b.version) })
	e := unpack.Entry{Path: path, Mode: unpack.Mode(last.mode), UID: int(last.uid), GID: int(last.gid), ModTime: time.Unix(int64(last.mtime), 0).UTC()}
	switch last.mode & 0o170000 {
	case 0o100000:
		e.Size = int64(last.isize)
		e.Content = w.content(nodes, e.Size)
	case 0o120000:
		target, err := w.expand(last)
		if err != nil {
			e.Err = err.Error()
		}
		e.Link = string(target)
	}
	return e
}

// content overlays the nodes of a file in the order of their versions.
func (w *walker) content(nodes []inodeNode, size int64) *unpack.Blocks {
	sorted := slices.Clone(nodes)
	slices.SortFunc(sorted, func(a, b inodeNode) int { return cmp.Compare(a.offset, b.offset) })
	return &unpack.Blocks{Size: size, BlockSize: readBlock, Cache: w.budget.Cache, Load: func(i int64) ([]byte, error) {
		start := i * readBlock
		end := min(start+readBlock, size)
		from, _ := slices.BinarySearchFunc(sorted, start-maxData, func(n inodeNode, at int64) int { return cmp.Compare(int64(n.offset), at) })
		var over []inodeNode
		for _, n := range sorted[from:] {
			if int64(n.offset) >= end {
				break
			}
			if int64(n.offset)+int64(n.dsize) > start {
				over = append(over, n)
			}
		}
		slices.SortStableFunc(over, func(a, b inodeNode) int { return cmp.Compare(a.version, b.version) })
		out := make([]byte, end-start)
		for _, n := range over {
			data, err := w.expand(n)
			if err != nil {
				return nil, fmt.Errorf("bytes at %#x: %w", n.offset, err)
			}
			if at := int64(n.offset) - start; at < 0 {
				copy(out, data[min(-at, int64(len(data))):])
			} else {
				copy(out[at:], data)
			}
		}
		return out, nil
	}}
}

// expand decompresses the data of one node.
func (w *walker) expand(n inodeNode) ([]byte, error) {
	if n.compr == comprZero {
		return make([]byte, n.dsize), nil
	}
	raw, err := unpack.At(w.r, w.size, n.at, int64(n.csize))
	if err != nil {
		return nil, err
	}
	var out []byte
	switch n.compr {
	case comprNone, comprCopy:
		out = raw
	case comprRtime:
		out, err = codec.Rtime(raw, int(n.dsize))
	case comprZlib:
		out, err = w.codec.Zlib(raw, int(n.dsize))
	case comprLZO:
		out, err = w.codec.LZO(raw, int(n.dsize))
	case comprLZMA:
		out, err = w.codec.LZMARaw(0, raw, int(n.dsize))
	case comprRubinMips, comprDynRubin:
		return nil, errors.New("compressed with rubin, which is not read")
	default:
		return nil, fmt.Errorf("unknown compression %d", n.compr)
	}
	if err != nil {
		return nil, err
	}
	if len(out) != int(n.dsize) {
		return nil, fmt.Errorf("%d bytes where the node promises %d", len(out), n.dsize)
	}
	return out, nil
}
