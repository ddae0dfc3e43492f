// Package cpio reads cpio archives in the formats that firmware carries: newc
// and crc, as an initramfs has them (Documentation/driver-api/early-userspace
// buffer-format of Linux), the old portable format of POSIX.1-1988 (odc), and
// old binary headers are refused by name.
//
// An initramfs may be several archives one after the other with zeros between
// them; Length tells where the first ends, and the caller looks for more.
package cpio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	newcHeader = 110
	odcHeader  = 76
	trailer    = "TRAILER!!!"
	maxName    = 4096
)

// header is one entry's header, whichever format it has.
type header struct {
	ino, mode, uid, gid, nlink, mtime, size, check int64
	dev                                            int64
	nameLen, at                                    int64 // at: where the name starts
	align                                          int64
	crc                                            bool
}

// Valid reports whether an archive starts with head.
func Valid(head []byte) bool {
	h, err := parse(head)
	if err != nil || h.nameLen < 2 || h.nameLen > maxName {
		return false
	}
	name := head[h.at:]
	if int64(len(name)) < h.nameLen {
		return true // a long name; the header alone must do
	}
	return name[h.nameLen-1] == 0 && bytes.IndexByte(name[:h.nameLen-1], 0) < 0
}

// Walk yields the entries of the archive in r and returns its length. Files
// are read where they stand. What was yielded before an error is good.
func Walk(r io.ReaderAt, size int64, yield unpack.Sink) (length int64, err error) {
	links := map[[2]int64]string{} // the entry of a hard-linked file that has its content
	held := map[[2]int64][]unpack.Entry{}
	off := int64(0)
	for {
		head, err := unpack.At(r, size, off, min(newcHeader, size-off))
		if err != nil || len(head) == 0 {
			return off, errors.New("the archive has no trailer: it is cut")
		}
		h, err := parse(head)
		if err != nil {
			return off, fmt.Errorf("entry at %#x: %w", off, err)
		}
		if h.nameLen < 1 || h.nameLen > maxName {
			return off, fmt.Errorf("entry at %#x: a name of %d bytes", off, h.nameLen)
		}
		raw, err := unpack.At(r, size, off+h.at, h.nameLen)
		if err != nil {
			return off, fmt.Errorf("entry at %#x: %w", off, err)
		}
		name, _, _ := bytes.Cut(raw, []byte{0})
		data := up(off+h.at+h.nameLen, h.align)
		if string(name) == trailer {
			for _, empty := range held { // hard links to a file that is empty
				for _, e := range empty {
					if err := yield(e); err != nil {
						return off, err
					}
				}
			}
			return min(data, size), nil
		}
		if h.size < 0 || h.size > size-data {
			return off, fmt.Errorf("file %.80q claims %d bytes and %d are left", name, h.size, max(0, size-data))
		}
		e := unpack.Entry{Path: string(name), Mode: unpack.Mode(uint32(h.mode)), UID: int(h.uid), GID: int(h.gid), ModTime: time.Unix(h.mtime, 0).UTC()}
		id := [2]int64{h.dev, h.ino}
		switch {
		case e.Mode.IsRegular():
			e.Size = h.size
			e.Content = io.NewSectionReader(r, data, h.size)
			if h.crc && h.size > 0 {
				if err := verify(r, data, h.size, h.check); err != nil {
					e.Err = err.Error()
				}
			}
			if h.nlink > 1 {
				// newc stores the content with the last name of a file; the
				// names before it are empty.
				if h.size == 0 && links[id] == "" {
					held[id] = append(held[id], e)
					off = up(data, h.align)
					continue
				} else if h.size == 0 {
					e.HardLink = links[id]
				} else {
					links[id] = e.Path
					for _, earlier := range held[id] {
						earlier.HardLink = e.Path
						if err := yield(earlier); err != nil {
							return off, err
						}
					}
					delete(held, id)
				}
			}
		case e.Mode&fs.ModeSymlink != 0:
			target, err := unpack.At(r, size, data, min(h.size, maxName))
			if err != nil {
				return off, err
			}
			e.Link = string(bytes.TrimRight(target, "\x00"))
		}
		if err := yield(e); err != nil {
			return off, err
		}
		off = up(data+h.size, h.align)
	}
}

func verify(r io.ReaderAt, off, n, want int64) error {
	sum := uint32(0)
	buf := make([]byte, 32<<10)
	for n > 0 {
		got, err := r.ReadAt(buf[:min(n, int64(len(buf)))], off)
		if got == 0 {
			return err
		}
		for _, b := range buf[:got] {
			sum += uint32(b)
		}
		off, n = off+int64(got), n-int64(got)
	}
	if sum != uint32(want) {
		return fmt.Errorf("the checksum is %#x and should be %#x", sum, want)
	}
	return nil
}

func up(n, align int64) int64 { return (n + align - 1) / align * align }

func parse(b []byte) (header, error) {
	var h header
	bad := false
	field := func(from, n, base int) int64 {
		v, err := strconv.ParseUint(string(b[from:from+n]), base, 64)
		if err != nil || v > 1<<40 {
			bad = true
		}
		return int64(v)
	}
	switch {
	case len(b) >= newcHeader && (string(b[:6]) == "070701" || string(b[:6]) == "070702"):
		f := func(i int) int64 { return field(6+8*i, 8, 16) }
		h = header{
			ino: f(0), mode: f(1), uid: f(2), gid: f(3), nlink: f(4), mtime: f(5), size: f(6), dev: f(7)<<32 | f(8),
			nameLen: f(11), check: f(12), at: newcHeader, align: 4, crc: b[5] == '2',
		}
	case len(b) >= odcHeader && string(b[:6]) == "070707":
		h = header{
			dev: field(6, 6, 8), ino: field(12, 6, 8), mode: field(18, 6, 8), uid: field(24, 6, 8), gid: field(30, 6, 8),
			nlink: field(36, 6, 8), mtime: field(48, 11, 8), nameLen: field(59, 6, 8), size: field(65, 11, 8), at: odcHeader, align: 1,
		}
	default:
		return h, errors.New("no header of cpio")
	}
	if bad {
		return h, errors.New("a header field is no number")
	}
	return h, nil
}
