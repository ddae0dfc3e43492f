// Package tarball reads tar archives (POSIX.1-2001 pax, ustar, GNU). Files are
// read where they stand; sparse files of GNU tar are listed and not read.
package tarball

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// Valid reports whether head is the first block of an archive: the checksum
// of the header holds.
func Valid(head []byte) bool {
	if len(head) < 512 || head[0] == 0 {
		return false
	}
	want, err := strconv.ParseInt(strings.Trim(string(head[148:156]), " \x00"), 8, 64)
	if err != nil {
		return false
	}
	sum := int64(0)
	for i, b := range head[:512] {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += int64(b)
	}
	return sum == want
}

// Walk yields the entries of the archive in r and returns its length.
func Walk(r io.ReaderAt, size int64, yield unpack.Sink) (length int64, err error) {
	at := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(at)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			end, _ := at.Seek(0, io.SeekCurrent)
			return min(end, size), nil
		}
		if err != nil {
			end, _ := at.Seek(0, io.SeekCurrent)
			return min(end, size), fmt.Errorf("at %#x: %w", end, err)
		}
		e := unpack.Entry{Path: h.Name, Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, ModTime: h.ModTime.UTC(), Size: h.Size}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeCont:
			data, err := at.Seek(0, io.SeekCurrent)
			if err != nil {
				return 0, err
			}
			if data > size || h.Size > size-data {
				e.Err = fmt.Sprintf("the archive is cut: the file claims %d bytes and %d are left", h.Size, max(0, size-data))
				e.Size = max(0, size-data)
			}
			e.Content = io.NewSectionReader(r, data, e.Size)
		case tar.TypeGNUSparse:
			e.Err = "a sparse file of GNU tar"
		case tar.TypeSymlink:
			e.Link, e.Size = h.Linkname, 0
			e.Mode = e.Mode&^fs.ModeType | fs.ModeSymlink
		case tar.TypeLink:
			e.HardLink, e.Size = h.Linkname, 0
			e.Mode &= fs.ModePerm
		case tar.TypeXGlobalHeader:
			continue
		default:
			e.Size = 0
		}
		if err := yield(e); err != nil {
			return 0, err
		}
	}
}
