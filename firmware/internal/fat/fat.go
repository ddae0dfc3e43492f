// Package fat reads FAT12, FAT16 and FAT32 (Microsoft's specification of FAT,
// version 1.03) with long names.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

const (
	maxDeep = 128

	attrVolume = 0x08
	attrDir    = 0x10
	attrLong   = 0x0f
	attrRead   = 0x01
)

// Super is what the boot sector says.
type Super struct {
	Bits     int
	Name     string
	Length   int64
	sector   int64
	cluster  int64 // in bytes
	fat      int64 // where the first table stands
	root     int64 // where the root folder stands, but for FAT32
	rootSize int64
	rootAt   uint32 // its cluster in FAT32
	data     int64
	clusters uint32
}

// Parse reads the boot sector.
func Parse(b []byte) (*Super, bool) {
	if len(b) < 512 || b[510] != 0x55 || b[511] != 0xaa || b[0] != 0xeb && b[0] != 0xe9 {
		return nil, false
	}
	u16 := func(i int) int64 { return int64(binary.LittleEndian.Uint16(b[i:])) }
	u32 := func(i int) int64 { return int64(binary.LittleEndian.Uint32(b[i:])) }
	s := &Super{sector: u16(11)}
	per, reserved, fats := int64(b[13]), u16(14), int64(b[16])
	if s.sector < 512 || s.sector > 4096 || s.sector&(s.sector-1) != 0 || per == 0 || per&(per-1) != 0 || reserved == 0 || fats == 0 || fats > 2 {
		return nil, false
	}
	total, size := u16(19), u16(22)
	if total == 0 {
		total = u32(32)
	}
	label := b[43:54]
	if size == 0 {
		size, label = u32(36), b[71:82]
		s.rootAt = uint32(u32(44))
	}
	s.rootSize = u16(17) * 32
	s.cluster = per * s.sector
	s.fat = reserved * s.sector
	s.root = s.fat + fats*size*s.sector
	s.data = s.root + (s.rootSize+s.sector-1)/s.sector*s.sector
	s.Length = total * s.sector
	if size == 0 || s.data >= s.Length {
		return nil, false
	}
	count := (s.Length - s.data) / s.cluster
	switch {
	case count < 4085:
		s.Bits = 12
	case count < 65525:
		s.Bits = 16
	default:
		s.Bits = 32
	}
	if (s.rootAt != 0) != (s.Bits == 32) || count > 1<<28 || size*s.sector*8/int64(s.Bits) < count {
		return nil, false
	}
	s.clusters = uint32(count)
	s.Name = strings.TrimRight(string(label), " \x00")
	return s, true
}

type volume struct {
	*Super
	r      io.ReaderAt
	size   int64
	budget *unpack.Budget
	yield  unpack.Sink
	dirs   map[uint32]bool
	bad    int
	first  error
}

// Walk yields the entries of the volume in r.
func (s *Super) Walk(r io.ReaderAt, size int64, b *unpack.Budget, yield unpack.Sink) error {
	v := &volume{Super: s, r: r, size: min(size, s.Length), budget: b, yield: yield, dirs: map[uint32]bool{}}
	var root io.ReaderAt
	n := s.rootSize
	if s.Bits == 32 {
		chain, err := v.chain(s.rootAt, -1)
		if err != nil {
			return fmt.Errorf("the root folder: %w", err)
		}
		root, n = v.content(chain, int64(len(chain))*s.cluster), int64(len(chain))*s.cluster
	} else {
		root = io.NewSectionReader(r, s.root, s.rootSize)
	}
	if err := v.dir("", root, n, 0); err != nil {
		return err
	}
	if v.bad > 0 {
		return fmt.Errorf("%d entries cannot be read, first: %w", v.bad, v.first)
	}
	return nil
}

func (v *volume) fail(path string, err error) {
	if v.bad++; v.first == nil {
		v.first = fmt.Errorf("%.80q: %w", path, err)
	}
}

// next reads the table: the cluster that follows, or 0 at the end.
func (v *volume) next(c uint32) (uint32, error) {
	at, width := int64(c)*int64(v.Bits)/8, int64(2)
	if v.Bits == 32 {
		width = 4
	}
	b, err := unpack.At(v.r, v.size, v.fat+at, width)
	if err != nil {
		return 0, err
	}
	var n, end uint32
	switch v.Bits {
	case 12:
		n, end = uint32(binary.LittleEndian.Uint16(b)), 0xff7
		if c&1 != 0 {
			n >>= 4
		}
		n &= 0xfff
	case 16:
		n, end = uint32(binary.LittleEndian.Uint16(b)), 0xfff7
	default:
		n, end = binary.LittleEndian.Uint32(b)&0x0fffffff, 0x0ffffff7
	}
	if n >= end {
		return 0, nil
	}
	return n, nil
}

// chain follows the clusters from c on: as many as size needs, or all when it
// is negative.
func (v *volume) chain(c uint32, size int64) ([]uint32, error) {
	var out []uint32
	for c != 0 && (size < 0 || int64(len(out))*v.cluster < size) {
		if c < 2 || c-2 >= v.clusters {
			return out, fmt.Errorf("cluster %d of %d", c, v.clusters)
		}
		if len(out) > int(v.clusters) || size < 0 && int64(len(out))*v.cluster > 4<<20 {
			return out, errors.New("a chain of clusters without end")
		}
		if len(out)%1024 == 0 {
			if err := v.budget.Take(4096); err != nil {
				return out, err
			}
			if err := v.budget.Check(); err != nil {
				return out, err
			}
		}
		out = append(out, c)
		var err error
		if c, err = v.next(c); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (v *volume) content(chain []uint32, size int64) *unpack.Blocks {
	return &unpack.Blocks{Size: size, BlockSize: v.cluster, Cache: v.budget.Cache, Load: func(i int64) ([]byte, error) {
		if i >= int64(len(chain)) {
			return nil, errors.New("the chain of clusters is shorter than the file")
		}
		return unpack.At(v.r, v.size, v.data+int64(chain[i]-2)*v.cluster, v.cluster)
	}}
}

func (v *volume) dir(path string, r io.ReaderAt, size int64, deep int) error {
	if err := v.budget.Check(); err != nil {
		return err
	}
	var long []uint16
	b := make([]byte, 32)
	for off := int64(0); off+32 <= size; off += 32 {
		if k, err := r.ReadAt(b, off); k < 32 {
			v.fail(path, err)
			return nil
		}
		switch {
		case b[0] == 0:
			return nil
		case b[0] == 0xe5: // deleted
			long = nil
			continue
		case b[11]&attrLong == attrLong:
			if b[0]&0x40 != 0 || len(long) > 260 {
				long = nil
			}
			var part []uint16
			for _, i := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
				part = append(part, binary.LittleEndian.Uint16(b[i:]))
			}
			long = append(part, long...)
			continue
		case b[11]&attrVolume != 0:
			long = nil
			continue
		}
		name := shortName(b)
		if end := slices.Index(long, 0); end >= 0 {
			long = long[:end]
		}
		if len(long) > 0 {
			name = string(utf16.Decode(long))
		}
		long = nil
		if name == "." || name == ".." || name == "" || strings.ContainsAny(name, "/\x00") {
			continue
		}
		full := name
		if path != "" {
			full = path + "/" + name
		}
		if err := v.one(full, slices.Clone(b), deep); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) one(path string, b []byte, deep int) error {
	first := uint32(binary.LittleEndian.Uint16(b[26:]))
	if v.Bits == 32 {
		first |= uint32(binary.LittleEndian.Uint16(b[20:])) << 16
	}
	e := unpack.Entry{Path: path, Mode: 0o755, ModTime: stamp(b)}
	if b[11]&attrRead != 0 {
		e.Mode = 0o555
	}
	if b[11]&attrDir != 0 {
		if v.dirs[first] || deep > maxDeep {
			v.fail(path, errors.New("folders in a circle or too deep"))
			return nil
		}
		v.dirs[first] = true
		e.Mode |= fs.ModeDir
		if err := v.yield(e); err != nil {
			return err
		}
		chain, err := v.chain(first, -1)
		if err != nil {
			v.fail(path, err)
		}
		n := int64(len(chain)) * v.cluster
		return v.dir(path, v.content(chain, n), n, deep+1)
	}
	e.Size = int64(binary.LittleEndian.Uint32(b[28:]))
	if e.Size > 0 {
		chain, err := v.chain(first, e.Size)
		if err == nil && int64(len(chain))*v.cluster < e.Size {
			err = errors.New("the chain of clusters is shorter than the file")
		}
		if err != nil {
			e.Err = err.Error()
		}
		e.Content = v.content(chain, e.Size)
	}
	return v.yield(e)
}

// shortName joins the eight and three letters; two bits say which of them are
// meant in lower case.
func shortName(b []byte) string {
	base, suffix := strings.TrimRight(string(b[:8]), " "), strings.TrimRight(string(b[8:11]), " ")
	if b[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if b[12]&0x10 != 0 {
		suffix = strings.ToLower(suffix)
	}
	if suffix != "" {
		base += "." + suffix
	}
	return base
}

// stamp reads the time of the last change, which is in no stated zone.
func stamp(b []byte) time.Time {
	t, d := int(binary.LittleEndian.Uint16(b[22:])), int(binary.LittleEndian.Uint16(b[24:]))
	if d == 0 {
		return time.Time{}
	}
	return time.Date(1980+d>>9, time.Month(d>>5&15), d&31, t>>11, t>>5&63, t&31*2, 0, time.UTC)
}
