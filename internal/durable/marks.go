package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Beside a sealed segment its marks may stand in a file of one frame (see
// KeepMarks), so that a frame of it is found without reading the segment from
// its start: the size of the segment, then the index and the offset of each
// mark, uint64 each, big endian. The file only saves time: it is not synced, and
// one that is lost, torn or of a segment of another size is not used.

func marksPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.marks", first))
}

func saveMarks(dir string, s *segment) error {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.size))
	for _, m := range s.marks {
		b = binary.BigEndian.AppendUint64(b, m.index)
		b = binary.BigEndian.AppendUint64(b, uint64(m.off))
	}
	tmp := marksPath(dir, s.first) + tmpSuffix
	if err := os.WriteFile(tmp, AppendFrame(nil, s.first, b), 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, marksPath(dir, s.first))
}

// loadMarks returns the marks of a segment of this size, nil if there are none
// to be used.
func loadMarks(dir string, first uint64, size int64) []mark {
	f, err := os.Open(marksPath(dir, first))
	if err != nil {
		return nil
	}
	defer f.Close()
	most := 8 + 16*(size/markEvery+2)
	_, b, err := NewFrameReader(f, first, false, int(most)).Next()
	if err != nil || len(b) < 8+16 || (len(b)-8)%16 != 0 || binary.BigEndian.Uint64(b) != uint64(size) {
		return nil
	}
	var marks []mark
	for b = b[8:]; len(b) > 0; b = b[16:] {
		marks = append(marks, mark{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))})
	}
	return marks
}
