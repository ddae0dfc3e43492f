package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment file starts with
//
//	magic  8 bytes  "RWJRNL\x00\x01"
//	tag    uint64   the owner's, the same in all segments of a journal
//	first  uint64   index below which no frame of this segment lies
//	crc    uint32   CRC-32C of the above
//	zero   uint32
const segmentHeader = 32

const segmentMagic = "RWJRNL\x00\x01"

const segmentSuffix = ".seg"

// markEvery is the distance in bytes between the marks of a segment: finding a
// frame reads at most this much before it.
const markEvery = 64 << 10

type mark struct {
	index uint64
	off   int64 // from the start of the file
}

type segment struct {
	first  uint64
	size   int64 // durable bytes, header included
	marks  []mark
	marked bool // marks are complete
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", first, segmentSuffix))
}

func appendSegmentHeader(b []byte, tag, first uint64) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.BigEndian.AppendUint64(b, tag)
	b = binary.BigEndian.AppendUint64(b, first)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, 0, 0, 0, 0)
}

// parseSegmentHeader returns the tag and first index; its error wraps ErrTorn.
func parseSegmentHeader(h []byte) (tag, first uint64, err error) {
	if len(h) < segmentHeader {
		return 0, 0, fmt.Errorf("%w: segment header of %d bytes", ErrTorn, len(h))
	}
	if string(h[:8]) != segmentMagic || crc32.Checksum(h[:24], castagnoli) != binary.BigEndian.Uint32(h[24:]) {
		return 0, 0, fmt.Errorf("%w: segment header", ErrTorn)
	}
	return binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[16:]), nil
}

// listSegments returns the first indexes of the segments in dir, sorted, and
// removes what half-done replacements left behind.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var firsts []uint64
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), tmpSuffix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			continue
		}
		hex, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || segmentPath(dir, first) != filepath.Join(dir, e.Name()) {
			return nil, fmt.Errorf("%w: segment with the name %q", ErrDamaged, e.Name())
		}
		firsts = append(firsts, first)
	}
	slices.Sort(firsts)
	return firsts, nil
}

// openSegment opens a segment file behind its header, which must fit.
func openSegment(dir string, first uint64) (f *os.File, tag uint64, err error) {
	f, err = os.Open(segmentPath(dir, first))
	if err != nil {
		return nil, 0, err
	}
	h := make([]byte, segmentHeader)
	n, err := io.ReadFull(f, h)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.Close()
		return nil, 0, err
	}
	tag, at, err := parseSegmentHeader(h[:n])
	if err == nil && at != first {
		err = fmt.Errorf("%w: segment %016x says it is %016x", ErrTorn, first, at)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, tag, nil
}
