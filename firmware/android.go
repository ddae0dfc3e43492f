package firmware

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// openAndroidBoot opens boot images of header versions 0 to 4
// (system/tools/mkbootimg/include/bootimg/bootimg.h of Android).
func openAndroidBoot(u *unpacker, v view, off int64, _ []byte, s scope) *Part {
	h := v.head(off, 4096)
	if len(h) < 1700 {
		return nil
	}
	u32 := func(i int) int64 { return int64(binary.LittleEndian.Uint32(h[i:])) }
	version := u32(40)
	p := &Part{Format: "android-boot", Facts: map[string]string{}}
	page := int64(4096)
	type piece struct {
		name string
		size int64
	}
	var pieces []piece
	var osVersion int64
	if version >= 3 && version <= 4 && u32(20) >= 1580 && u32(20) <= 4096 {
		pieces = []piece{{"kernel", u32(8)}, {"ramdisk", u32(12)}}
		if version == 4 {
			pieces = append(pieces, piece{"signature", u32(1580)})
		}
		osVersion = u32(16)
		p.fact(FactBootargs, cString(h[44:44+1536]))
	} else {
		page = u32(36)
		if page < 2048 || page > 16384 || page&(page-1) != 0 {
			return nil
		}
		pieces = []piece{{"kernel", u32(8)}, {"ramdisk", u32(16)}, {"second", u32(24)}}
		switch {
		case version == 1 || version == 2:
			pieces = append(pieces, piece{"recovery-dtbo", u32(1632)})
			if version == 2 {
				pieces = append(pieces, piece{"dtb", u32(1648)})
			}
		case version > 2: // before versions, the size of a device tree stood here
			pieces = append(pieces, piece{"dtb", version})
			version = 0
		}
		osVersion = u32(44)
		p.Name = cString(h[48:64])
		p.fact(FactBootargs, strings.TrimSpace(cString(h[64:576])+cString(h[608:1632])))
		p.Facts[FactLoad] = fmt.Sprintf("%#x", u32(12))
	}
	p.Facts[FactVersion] = fmt.Sprint(version)
	if osVersion != 0 { // 7 bits each of a.b.c, 7 of the year since 2000, 4 of the month
		a := osVersion >> 11
		p.Facts[FactOSVersion] = fmt.Sprintf("%d.%d.%d", a>>14&0x7f, a>>7&0x7f, a&0x7f)
		p.Facts[FactPatchLevel] = fmt.Sprintf("%04d-%02d", 2000+osVersion>>4&0x7f, osVersion&0xf)
	}
	at := page
	in := s.into("android-boot", off)
	for _, pc := range pieces {
		if pc.size == 0 {
			continue
		}
		if at > v.size-off {
			p.Err = fmt.Sprintf("the image is cut: its %s is not there", pc.name)
			break
		}
		u.piece(p, v.sub(off, v.size), pc.name, at, pc.size, in)
		at += (pc.size + page - 1) / page * page
	}
	if len(p.Parts) == 0 {
		return nil
	}
	p.Length = at
	p.data = v.sub(off, at).section()
	return p
}

// piece adds a named stretch of a part and what is inside it.
func (u *unpacker) piece(p *Part, v view, name string, at, size int64, s scope) {
	sub := v.sub(at, size)
	q := Part{Format: "file", Name: name, Offset: at, Length: size, Facts: map[string]string{}, data: sub.section()}
	if sub.size < size {
		q.Err = fmt.Sprintf("cut: %d of %d bytes are there", sub.size, size)
	}
	u.banners(&q, sub)
	q.Parts = u.carve(sub, s.below(&q))
	p.Parts = append(p.Parts, q)
}

func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(b), "�")
}

// openVendorBoot opens the vendor's half of boot images since version 3.
func openVendorBoot(u *unpacker, v view, off int64, _ []byte, s scope) *Part {
	h := v.head(off, 4096)
	if len(h) < 2128 {
		return nil
	}
	u32 := func(i int) int64 { return int64(binary.LittleEndian.Uint32(h[i:])) }
	version, page := u32(8), u32(12)
	if version < 3 || version > 4 || page < 2048 || page > 65536 || page&(page-1) != 0 {
		return nil
	}
	p := &Part{Format: "android-vendor-boot", Name: cString(h[2080:2096]), Facts: map[string]string{FactVersion: fmt.Sprint(version)}}
	p.fact(FactBootargs, cString(h[28:2076]))
	up := func(n int64) int64 { return (n + page - 1) / page * page }
	at := up(u32(2096))
	in := s.into(p.Format, off)
	for _, pc := range []struct {
		name string
		size int64
	}{{"ramdisk", u32(24)}, {"dtb", u32(2100)}} {
		if pc.size > 0 {
			u.piece(p, v.sub(off, v.size), pc.name, at, pc.size, in)
		}
		at += up(pc.size)
	}
	p.Length = at
	p.data = v.sub(off, at).section()
	return p
}

// openVBMeta opens the structure by which Android Verified Boot signs other
// partitions (external/avb/libavb/avb_vbmeta_image.h). Nothing is verified
// here: whose key it is, only the device knows.
func openVBMeta(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 256 {
		return nil
	}
	auth, aux := binary.BigEndian.Uint64(head[12:]), binary.BigEndian.Uint64(head[20:])
	if binary.BigEndian.Uint32(head[4:]) != 1 || auth > 64<<10 || aux > 16<<20 || auth%64 != 0 || aux%64 != 0 {
		return nil
	}
	algorithm := binary.BigEndian.Uint32(head[28:])
	names := []string{"none", "sha256,rsa2048", "sha256,rsa4096", "sha256,rsa8192", "sha512,rsa2048", "sha512,rsa4096", "sha512,rsa8192", "mldsa65", "mldsa87"}
	p := &Part{Format: "android-vbmeta", Length: 256 + int64(auth+aux), Facts: map[string]string{FactSigned: "true"}}
	if algorithm == 0 {
		p.Facts[FactSigned] = "false"
	}
	if int(algorithm) < len(names) {
		p.Facts[FactSignAlgo] = names[algorithm]
	}
	p.Facts[FactVerity] = "true"
	if binary.BigEndian.Uint32(head[120:])&3 != 0 { // hash trees or all verification switched off
		p.Facts[FactVerity] = "false"
	}
	p.fact(FactVersion, cString(head[128:176]))
	p.data = v.sub(off, p.Length).section()
	return p
}

// openSparse opens Android's sparse images (system/core/libsparse/sparse_format.h).
func openSparse(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	const maxChunks = 1 << 20
	if len(head) < 28 {
		return nil
	}
	major, fileHead, chunkHead := binary.LittleEndian.Uint16(head[4:]), int64(binary.LittleEndian.Uint16(head[8:])), int64(binary.LittleEndian.Uint16(head[10:]))
	block, blocks, chunks := int64(binary.LittleEndian.Uint32(head[12:])), int64(binary.LittleEndian.Uint32(head[16:])), int64(binary.LittleEndian.Uint32(head[20:]))
	if major != 1 || fileHead < 28 || chunkHead < 12 || block < 512 || block > 1<<20 || block%4 != 0 {
		return nil
	}
	p := &Part{Format: "android-sparse", Facts: map[string]string{FactBlockSize: fmt.Sprint(block)}}
	content := &segments{}
	at, out := fileHead, int64(0)
	for i := int64(0); i < chunks; i++ {
		h := v.head(off+at, 16)
		if len(h) < 12 || i >= maxChunks || u.budget.Check() != nil {
			p.Err = fmt.Sprintf("the image is cut: %d of %d chunks are there", i, chunks)
			break
		}
		n, total := int64(binary.LittleEndian.Uint32(h[4:]))*block, int64(binary.LittleEndian.Uint32(h[8:]))
		if total < chunkHead {
			p.Err = fmt.Sprintf("chunk %d claims %d bytes", i, total)
			break
		}
		if out+n > blocks*block {
			p.Err = fmt.Sprintf("chunk %d lies behind the end of %d blocks", i, blocks)
			break
		}
		g := segment{start: out, length: n}
		switch binary.LittleEndian.Uint16(h) {
		case 0xcac1:
			g.from, g.at = v, off+at+chunkHead
			g.length = min(n, total-chunkHead)
			content.add(g)
		case 0xcac2:
			if len(h) == 16 {
				g.fill = [4]byte(h[12:16])
			}
			content.add(g)
		case 0xcac4:
			n = 0
		}
		out += n
		at += total
	}
	content.sort()
	content.size = out
	p.Length = at
	whole := view{content, out}
	p.data = whole.section()
	if out > u.options.MaxBytes*maxSpread {
		p.Err = fmt.Sprintf("it claims to hold %d bytes, more than is searched", out)
		return p
	}
	p.Parts = u.carve(whole, s.into(p.Format, off))
	return p
}
