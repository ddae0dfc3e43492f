package firmware

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"
)

// openUImage opens the legacy image of U-Boot (include/image.h): 64 bytes of
// header with a checksum of their own, then the payload.
func openUImage(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	const headLen = 64
	if len(head) < headLen {
		return nil
	}
	h := bytes.Clone(head[:headLen])
	sum := binary.BigEndian.Uint32(h[4:])
	clear(h[4:8])
	if crc32.ChecksumIEEE(h) != sum {
		return nil
	}
	size := int64(binary.BigEndian.Uint32(h[12:]))
	name, _, _ := bytes.Cut(h[32:64], []byte{0})
	p := &Part{Format: "uimage", Name: strings.ToValidUTF8(string(name), "�"), Length: headLen + size, Facts: map[string]string{
		FactLoad:        fmt.Sprintf("%#x", binary.BigEndian.Uint32(h[16:])),
		FactEntry:       fmt.Sprintf("%#x", binary.BigEndian.Uint32(h[20:])),
		FactOS:          nth(h[28], "invalid", "openbsd", "netbsd", "freebsd", "4.4bsd", "linux", "svr4", "esix", "solaris", "irix", "sco", "dell", "ncr", "lynxos", "vxworks", "psos", "qnx", "u-boot", "rtems", "artos", "unity", "integrity"),
		FactArch:        nth(h[29], "invalid", "alpha", "arm", "x86", "ia64", "mips", "mips64", "powerpc", "s390", "sh", "sparc", "sparc64", "m68k", "nios", "microblaze", "nios2", "blackfin", "avr32", "st200", "sandbox", "nds32", "openrisc", "arm64", "arc", "x86_64", "xtensa", "riscv"),
		FactType:        nth(h[30], "invalid", "standalone", "kernel", "ramdisk", "multi", "firmware", "script", "filesystem", "dtb", "kwbimage", "imximage", "ublimage", "omapimage", "aisimage", "kernel-noload"),
		FactCompression: nth(h[31], "none", "gzip", "bzip2", "lzma", "lzo", "lz4", "zstd"),
	}}
	setTime(p, time.Unix(int64(binary.BigEndian.Uint32(h[8:])), 0).UTC())
	body := v.sub(off+headLen, size)
	p.data = body.section()
	if body.size < size {
		p.Err = fmt.Sprintf("the image is cut: %d of %d bytes of payload are there", body.size, size)
	}
	p.Facts[FactChecksum] = "wrong"
	if u.crc32(body) == binary.BigEndian.Uint32(h[24:]) {
		p.Facts[FactChecksum] = "ok"
	}
	in := s.into("uimage", off)
	switch {
	case p.Facts[FactType] == "multi":
		p.Parts = u.multi(body, in)
	case p.Facts[FactType] == "script":
		p.data = body.sub(8, body.size).section() // a list of one size and its zero stand before it
	default:
		p.Parts = u.payload(p.Facts[FactCompression], body, in)
		u.banners(p, body)
		if len(p.Parts) == 0 && p.Err == "" && p.Facts[FactCompression] != "none" {
			p.Err = fmt.Sprintf("the payload does not decompress as %s", p.Facts[FactCompression])
		}
	}
	return p
}

// multi opens the payload of several images: a list of their sizes closed by
// zero, then the images at multiples of four bytes.
func (u *unpacker) multi(body view, s scope) []Part {
	const maxImages = 16
	var sizes []int64
	at := int64(0)
	for {
		w := body.head(at, 4)
		at += 4
		if len(w) < 4 || len(sizes) > maxImages {
			return nil
		}
		n := int64(binary.BigEndian.Uint32(w))
		if n == 0 {
			break
		}
		sizes = append(sizes, n)
	}
	var parts []Part
	for i, n := range sizes {
		sub := body.sub(at, n)
		p := Part{Format: "file", Name: fmt.Sprintf("image %d", i), Offset: at, Length: n, Facts: map[string]string{}, data: sub.section()}
		p.Parts = u.carve(sub, s.below(&p))
		u.banners(&p, sub)
		parts = append(parts, p)
		at += (n + 3) &^ 3
	}
	return parts
}

// payload opens what a wrapper carries. A header that names a compression is
// believed even where the stream alone would not be.
func (u *unpacker) payload(compression string, body view, s scope) []Part {
	kind := map[string]string{"gzip": "gzip", "bzip2": "bzip2", "lzma": "lzma", "lzo": "lzop", "lz4": "lz4", "zstd": "zstd", "xz": "xz"}[compression]
	if kind == "lz4" && bytes.HasPrefix(body.head(0, 4), []byte("\x02\x21\x4c\x18")) {
		kind = "lz4-legacy"
	}
	if kind != "" && s.depth <= u.options.MaxDepth {
		if p := u.stream(kind, body, 0, s); p != nil {
			return []Part{*p}
		}
	}
	return u.carve(body, s)
}

func (u *unpacker) crc32(v view) uint32 {
	h := crc32.NewIEEE()
	buf := make([]byte, 64<<10)
	for off := int64(0); off < v.size; {
		n, err := v.ReadAt(buf[:min(int64(len(buf)), v.size-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		if n == 0 || err != nil && err != io.EOF || u.budget.Check() != nil {
			break
		}
	}
	return h.Sum32()
}

func nth(i byte, names ...string) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprint(i)
}

// openZImage opens the self-extracting kernel of 32-bit ARM
// (arch/arm/boot/compressed/head.S), whose magic stands at 0x24 with the
// addresses of its begin and end behind.
func openZImage(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 0x34 {
		return nil
	}
	var bo binary.ByteOrder = binary.LittleEndian
	if head[0x24] == 0x01 {
		bo = binary.BigEndian
	}
	start, end := bo.Uint32(head[0x28:]), bo.Uint32(head[0x2c:])
	size := int64(end) - int64(start)
	if size < 4096 || size > 64<<20 {
		return nil
	}
	p := &Part{Format: "zimage", Length: size, Facts: map[string]string{FactArch: "arm", FactLoad: fmt.Sprintf("%#x", start)}}
	body := v.sub(off, size)
	p.data = body.section()
	p.Parts = u.carve(body, s.into("zimage", off))
	if len(p.Parts) == 0 {
		p.Err = "no compressed kernel was found inside"
	}
	return p
}

// openArm64 opens the Image of a 64-bit ARM kernel
// (Documentation/arch/arm64/booting.rst), which is not compressed.
func openArm64(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 64 {
		return nil
	}
	size := int64(binary.LittleEndian.Uint64(head[16:]))
	if size < 64<<10 || size > 256<<20 || binary.LittleEndian.Uint64(head[32:]) != 0 || binary.LittleEndian.Uint64(head[40:]) != 0 {
		return nil
	}
	body := v.sub(off, size)
	p := &Part{Format: "kernel", Length: body.size, Facts: map[string]string{FactArch: "arm64"}, data: body.section()}
	u.banners(p, body)
	p.Parts = u.carve(body, s.into("kernel", off))
	return p
}
