// Package romfs reads romfs (Documentation/filesystems/romfs.rst of Linux).
package romfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	maxName = 4096
	maxDeep = 256
)

// Parse reads the superblock at the beginning of head and tells how long the
// image is and what its volume is called. The checksum of the first 512 bytes,
// or of the whole when it is shorter, must hold.
func Parse(head []byte) (length int64, name string, ok bool) {
	if len(head) < 32 || string(head[:8]) != "-rom1fs-" {
		return 0, "", false
	}
	length = int64(binary.BigEndian.Uint32(head[8:]))
	n := min(512, int(length))
	if length < 32 || n > len(head) {
		return 0, "", false
	}
	sum := uint32(0)
	for i := 0; i+4 <= n; i += 4 {
		sum += binary.BigEndian.Uint32(head[i:])
	}
	label, _, closed := bytes.Cut(head[16:n], []byte{0})
	return length, string(label), sum == 0 && closed
}

type volume struct {
	r      io.ReaderAt
	size   int64
	budget *unpack.Budget
	yield  unpack.Sink
	seen   map[int64]string // path of each header, by its offset
	bad    int
	first  error
}

type node struct {
	next, info, size, data int64
	kind                   int
	exec                   bool
	name                   string
}

// Walk yields the entries of the image in r.
func Walk(r io.ReaderAt, size int64, b *unpack.Budget, yield unpack.Sink) error {
	v := &volume{r: r, size: size, budget: b, yield: yield, seen: map[int64]string{}}
	label, err := v.name(16)
	if err != nil {
		return err
	}
	if err := v.list("", up(16+int64(len(label))+1), 0); err != nil {
		return err
	}
	if v.bad > 0 {
		return fmt.Errorf("%d entries cannot be read, first: %w", v.bad, v.first)
	}
	return nil
}

func up(n int64) int64 { return (n + 15) &^ 15 }

func (v *volume) fail(path string, err error) {
	if v.bad++; v.first == nil {
		v.first = fmt.Errorf("%.80q: %w", path, err)
	}
}

func (v *volume) name(at int64) (string, error) {
	var out []byte
	for len(out) < maxName {
		b, err := unpack.At(v.r, v.size, at, min(16, v.size-at))
		if err != nil || len(b) == 0 {
			return "", errors.New("a name behind the end")
		}
		part, _, closed := bytes.Cut(b, []byte{0})
		out = append(out, part...)
		if closed {
			return string(out), nil
		}
		at += 16
	}
	return "", errors.New("a name without end")
}

func (v *volume) node(at int64) (node, error) {
	b, err := unpack.At(v.r, v.size, at, 16)
	if err != nil {
		return node{}, err
	}
	w := func(i int) int64 { return int64(binary.BigEndian.Uint32(b[i:])) }
	n := node{next: w(0) &^ 15, kind: int(w(0) & 7), exec: w(0)&8 != 0, info: w(4), size: w(8)}
	n.name, err = v.name(at + 16)
	n.data = up(at + 16 + int64(len(n.name)) + 1)
	return n, err
}

// list walks the chain of headers that begins at off.
func (v *volume) list(path string, off int64, deep int) error {
	for off != 0 {
		if err := v.budget.Check(); err != nil {
			return err
		}
		if _, twice := v.seen[off]; twice || deep > maxDeep {
			v.fail(path, errors.New("headers in a circle or folders too deep"))
			return nil
		}
		n, err := v.node(off)
		if err != nil {
			v.seen[off] = ""
			v.fail(path, err)
			return nil
		}
		full := n.name
		if path != "" {
			full = path + "/" + n.name
		}
		v.seen[off] = full
		if n.name != "." && n.name != ".." {
			if err := v.one(full, n, deep); err != nil {
				return err
			}
		}
		off = n.next
	}
	return nil
}

func (v *volume) one(path string, n node, deep int) error {
	perm := uint32(0o644)
	if n.exec {
		perm = 0o755
	}
	e := unpack.Entry{Path: path}
	switch n.kind {
	case 0: // hard link
		target, ok := v.seen[n.info]
		if !ok || target == "" {
			e.Err = "it is a hard link to what is not there"
		}
		e.HardLink = target
	case 1:
		e.Mode = unpack.Mode(0o040755)
		if err := v.yield(e); err != nil {
			return err
		}
		return v.list(path, n.info&^15, deep+1)
	case 2:
		e.Mode = unpack.Mode(0o100000 | perm)
		if n.data > v.size || n.size > v.size-n.data {
			e.Err = fmt.Sprintf("it claims %d bytes at %#x, outside the volume", n.size, n.data)
			break
		}
		e.Size, e.Content = n.size, io.NewSectionReader(v.r, n.data, n.size)
	case 3:
		e.Mode = unpack.Mode(0o120777)
		target, err := unpack.At(v.r, v.size, n.data, min(n.size, maxName))
		if err != nil {
			v.fail(path, err)
		}
		e.Link = string(target)
	default:
		e.Mode = unpack.Mode([]uint32{0o060000, 0o020000, 0o140000, 0o010000}[n.kind-4] | 0o600)
	}
	return v.yield(e)
}
