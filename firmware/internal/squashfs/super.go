// Package squashfs reads SquashFS: version 4 with all its compressors, and
// version 3 in both byte orders, with zlib or with the LZMA that vendors
// grafted on it before version 4 had one.
//
// Structures are those of fs/squashfs/squashfs_fs.h of Linux; version 3 is
// described by squashfs_compat.h of squashfs-tools. Only what the walk needs
// is read: file content is decompressed block by block when it is read.
package squashfs

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"
)

// Super is the superblock of an image.
type Super struct {
	Major, Minor  int
	Big           bool   // big endian
	Compression   string // "gzip", "lzma", "lzo", "xz", "lz4", "zstd"
	BlockSize     uint32
	Inodes        uint32
	Fragments     uint32
	Made          time.Time
	Length        int64 // bytes used
	root          uint64
	ids, gids     uint64
	idCount, gidN int
	inodeTable    uint64
	dirTable      uint64
	fragTable     uint64
	check         bool // version 3: an extra byte behind each header of metadata
}

// SuperLen is how many bytes Parse wants to see.
const SuperLen = 119

// compressors are numbered from one, in the order of squashfs_fs.h.
func compressor(id uint16) string {
	names := []string{"", "gzip", "lzma", "lzo", "xz", "lz4", "zstd"}
	if int(id) < len(names) {
		return names[id]
	}
	return ""
}

// Parse reads the superblock in head. It reports false when there is none,
// and an error when there is one that this package cannot follow.
func Parse(head []byte) (*Super, bool, error) {
	if len(head) < SuperLen {
		head = append(append([]byte{}, head...), make([]byte, SuperLen)...)
	}
	var s Super
	vendor := false
	switch string(head[:4]) {
	case "hsqs":
	case "sqsh":
		s.Big = true
	case "shsq", "hsqt", "zlqs":
		vendor = true
	case "qshs", "tqsh", "sqlz":
		s.Big, vendor = true, true
	default:
		return nil, false, nil
	}
	bo := s.order()
	s.Major, s.Minor = int(bo.Uint16(head[28:])), int(bo.Uint16(head[30:]))
	s.Inodes = bo.Uint32(head[4:])
	log := uint16(0)
	switch s.Major {
	case 4:
		s.Made = time.Unix(int64(bo.Uint32(head[8:])), 0).UTC()
		s.BlockSize = bo.Uint32(head[12:])
		s.Fragments = bo.Uint32(head[16:])
		s.Compression = compressor(bo.Uint16(head[20:]))
		log = bo.Uint16(head[22:])
		s.idCount = int(bo.Uint16(head[26:]))
		s.root = bo.Uint64(head[32:])
		s.Length = int64(bo.Uint64(head[40:]))
		s.ids = bo.Uint64(head[48:])
		s.inodeTable = bo.Uint64(head[64:])
		s.dirTable = bo.Uint64(head[72:])
		s.fragTable = bo.Uint64(head[80:])
	case 3:
		log = bo.Uint16(head[34:])
		s.check = head[36]&4 != 0
		s.idCount, s.gidN = int(head[37]), int(head[38])
		s.Made = time.Unix(int64(bo.Uint32(head[39:])), 0).UTC()
		s.root = bo.Uint64(head[43:])
		s.BlockSize = bo.Uint32(head[51:])
		s.Fragments = bo.Uint32(head[55:])
		s.Length = int64(bo.Uint64(head[63:]))
		s.ids, s.gids = bo.Uint64(head[71:]), bo.Uint64(head[79:])
		s.inodeTable = bo.Uint64(head[87:])
		s.dirTable = bo.Uint64(head[95:])
		s.fragTable = bo.Uint64(head[103:])
		s.Compression = "gzip"
		if vendor {
			s.Compression = "lzma"
		}
	case 1, 2:
		log = bo.Uint16(head[34:])
		if log < 12 || log > 16 || s.Inodes == 0 || s.Minor > 1 {
			return nil, false, nil
		}
		s.Length = int64(bo.Uint32(head[8:]))
		return &s, true, fmt.Errorf("version %d.%d of SquashFS, which tools stopped making in 2006, is not read", s.Major, s.Minor)
	default:
		return nil, false, nil
	}
	if s.Minor > 1 || s.BlockSize < 4096 || s.BlockSize > 1<<20 || bits.OnesCount32(s.BlockSize) != 1 || uint32(1)<<(log&31) != s.BlockSize ||
		s.Inodes == 0 || s.Length < 96 {
		return nil, false, nil
	}
	if s.Compression == "" {
		return &s, true, fmt.Errorf("unknown compressor %d", bo.Uint16(head[20:]))
	}
	return &s, true, nil
}

type byteOrder interface {
	binary.ByteOrder
}

func (s *Super) order() byteOrder {
	if s.Big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// fields reads bit fields as a C compiler of the image's byte order packs
// them: from the lowest bit in little endian, from the highest in big endian.
type fields struct {
	b   []byte
	big bool
	at  int // in bits
}

func (f *fields) take(n int) uint64 {
	var v uint64
	for i := range n {
		bit := f.at + i
		if bit/8 >= len(f.b) {
			break
		}
		if f.big {
			v = v<<1 | uint64(f.b[bit/8]>>(7-bit%8)&1)
		} else {
			v |= uint64(f.b[bit/8]>>(bit%8)&1) << i
		}
	}
	f.at += n
	return v
}
