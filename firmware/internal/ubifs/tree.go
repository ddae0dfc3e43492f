package ubifs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	maxDeep       = 256
	flagEncrypted = 0x20 // of an inode: its content is encrypted by fscrypt
)

type named struct {
	name string
	dent
}

// tree yields the entries from the root on.
func (v *volume) tree(yield unpack.Sink) error {
	kids := map[uint32][]named{}
	for k, d := range v.dents {
		kids[k.parent] = append(kids[k.parent], named{k.name, d})
	}
	seen := map[uint64]bool{rootIno: true}
	var dir func(path string, ino uint32, deep int) error
	dir = func(path string, ino uint32, deep int) error {
		list := kids[ino]
		slices.SortFunc(list, func(a, b named) int { return cmp.Compare(a.name, b.name) })
		for _, k := range list {
			if k.name == "" || k.name == "." || k.name == ".." || slices.Contains([]byte(k.name), '/') {
				v.fail(fmt.Errorf("the name %.40q in %.80q", k.name, path))
				continue
			}
			full := k.name
			if path != "" {
				full = path + "/" + k.name
			}
			e := v.entry(full, k.dent)
			if e.Mode.IsDir() {
				if seen[k.ino] || deep > maxDeep {
					v.fail(fmt.Errorf("%.80q: folders in a circle or too deep", full))
					continue
				}
				seen[k.ino] = true
			}
			if err := yield(e); err != nil {
				return err
			}
			if e.Mode.IsDir() {
				if err := dir(full, uint32(k.ino), deep+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return dir("", rootIno, 0)
}

func (v *volume) entry(path string, d dent) unpack.Entry {
	kinds := []uint32{0o100000, 0o040000, 0o120000, 0o060000, 0o020000, 0o010000, 0o140000}
	e := unpack.Entry{Path: path}
	if int(d.kind) < len(kinds) {
		e.Mode = unpack.Mode(kinds[d.kind])
	}
	at, ok := v.inos[uint32(d.ino)]
	if !ok || d.ino > 1<<32-1 {
		e.Err = "its inode is not there"
		return e
	}
	kind, n, err := v.node(at)
	if err == nil && (kind != nodeIno || len(n) < 160) {
		err = fmt.Errorf("the node of its inode is of type %d", kind)
	}
	if err != nil {
		v.fail(fmt.Errorf("%.80q: %w", path, err))
		e.Err = err.Error()
		return e
	}
	e.Mode = unpack.Mode(binary.LittleEndian.Uint32(n[104:]))
	e.UID, e.GID = int(binary.LittleEndian.Uint32(n[96:])), int(binary.LittleEndian.Uint32(n[100:]))
	e.ModTime = time.Unix(int64(binary.LittleEndian.Uint64(n[72:])), 0).UTC()
	switch binary.LittleEndian.Uint32(n[104:]) & 0o170000 {
	case 0o100000:
		e.Size = int64(binary.LittleEndian.Uint64(n[48:]))
		if binary.LittleEndian.Uint32(n[108:])&flagEncrypted != 0 {
			e.Err = "encrypted by fscrypt"
			return e
		}
		e.Content = v.content(uint32(d.ino), e.Size)
	case 0o120000:
		e.Link = string(n[160:min(len(n), 160+int(min(binary.LittleEndian.Uint32(n[112:]), 4096)))])
	}
	return e
}

// content reads a file by its blocks; a block without a node is a hole.
func (v *volume) content(ino uint32, size int64) *unpack.Blocks {
	blocks := v.data[ino]
	return &unpack.Blocks{Size: size, BlockSize: blockSize, Cache: v.budget.Cache, Load: func(i int64) ([]byte, error) {
		at, ok := blocks[uint32(i)]
		if !ok || i > 1<<29 {
			return nil, nil
		}
		kind, n, err := v.node(at)
		if err != nil {
			return nil, err
		}
		if kind != nodeData || len(n) < 48 || binary.LittleEndian.Uint32(n[40:]) > blockSize {
			return nil, fmt.Errorf("a node of type %d where data belongs", kind)
		}
		want := int(binary.LittleEndian.Uint32(n[40:]))
		var out []byte
		switch c := binary.LittleEndian.Uint16(n[44:]); comprName(c) {
		case "none":
			out = n[48:]
		case "lzo":
			out, err = v.codec.LZO(n[48:], want)
		case "zlib":
			out, err = v.codec.Deflate(n[48:], want)
		case "zstd":
			out, err = v.codec.Zstd(n[48:], want)
		default:
			err = fmt.Errorf("unknown compression %d", c)
		}
		if err == nil && len(out) < want {
			err = errors.New("less data than its node promises")
		}
		if err != nil {
			return nil, err
		}
		return out[:want], nil
	}}
}
