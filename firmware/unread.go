package firmware

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// unread returns the opener for a format that is known by its header and not
// unpacked. It tells how long the part is, or 0 when that is not a part.
func unread(format, why string, length func(v view, off int64, head []byte) int64) func(*unpacker, view, int64, []byte, scope) *Part {
	return func(_ *unpacker, v view, off int64, head []byte, _ scope) *Part {
		n := length(v, off, head)
		if n <= 0 {
			return nil
		}
		return &Part{Format: format, Length: n, Facts: map[string]string{}, Err: why, data: v.sub(off, n).section()}
	}
}

func unreadSignatures() []signature {
	rest := func(v view, off int64, _ []byte) int64 { return v.size - off }
	onlyFirst := func(v view, off int64, _ []byte) int64 {
		if off != 0 {
			return 0
		}
		return v.size
	}
	yaffs := unread("yaffs2", "YAFFS2 is not read; its spare areas may not even be in the dump", yaffsLength)
	return []signature{
		// A folder and a file right below the root: type, number of the
		// parent, and a checksum that is no longer used.
		{0, "\x03\x00\x00\x00\x01\x00\x00\x00\xff\xff", yaffs},
		{0, "\x01\x00\x00\x00\x01\x00\x00\x00\xff\xff", yaffs},
		{0, "LUKS\xba\xbe\x00", unread("luks", "the volume is encrypted (LUKS); its key is not in the image", rest)},
		{0, "Salted__", unread("openssl-enc", "encrypted with a password by openssl enc", onlyFirst)},
		{0, "7z\xbc\xaf\x27\x1c", unread("7z", "archives of 7-Zip are not read", func(_ view, _ int64, h []byte) int64 {
			if len(h) < 32 || h[6] != 0 {
				return 0
			}
			return 32 + int64(binary.LittleEndian.Uint64(h[12:])&(1<<60-1)) + int64(binary.LittleEndian.Uint64(h[20:])&(1<<60-1))
		})},
		{0, "Rar!\x1a\x07", unread("rar", "archives of RAR are not read", rest)},
		{1024, "\xe2\xe1\xf5\xe0", unread("erofs", "EROFS is not read", func(v view, off int64, _ []byte) int64 {
			h := v.head(off+1024, 128)
			if len(h) < 128 || h[12] < 9 || h[12] > 16 {
				return 0
			}
			return int64(binary.LittleEndian.Uint32(h[36:])) << h[12]
		})},
		{1024, "\x10\x20\xf5\xf2", unread("f2fs", "F2FS is not read", func(v view, off int64, _ []byte) int64 {
			h := v.head(off+1024, 128)
			if len(h) < 128 || binary.LittleEndian.Uint32(h[16:]) != 12 || h[5] != 0 {
				return 0
			}
			return int64(min(binary.LittleEndian.Uint64(h[36:]), 1<<40)) << 12
		})},
		{3, "NTFS    ", unread("ntfs", "NTFS is not read", func(_ view, _ int64, h []byte) int64 {
			if len(h) < 512 {
				return 0
			}
			size := int64(binary.LittleEndian.Uint16(h[11:]))
			if bits.OnesCount64(uint64(size)) != 1 || size < 512 {
				return 0
			}
			return int64(min(binary.LittleEndian.Uint64(h[40:]), 1<<40)+1) * size
		})},
	}
}

// yaffsLength believes an object header whose name is text, and takes what
// follows up to the next stretch of erased flash.
func yaffsLength(v view, off int64, head []byte) int64 {
	if len(head) < 512 {
		return 0
	}
	name, _, closed := bytes.Cut(head[10:10+256], []byte{0})
	if !closed || len(name) == 0 || !isText(name) {
		return 0
	}
	r := regions(v, off, v.size)
	if len(r) == 0 {
		return 0
	}
	return r[0][1] - off
}
