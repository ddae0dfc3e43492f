package firmware

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// openTRX opens the wrapper of Broadcom's routers: a length and a checksum
// over all that follows it.
func openTRX(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	const headLen = 28
	if len(head) < headLen+4 {
		return nil
	}
	size := int64(binary.LittleEndian.Uint32(head[4:]))
	version := binary.LittleEndian.Uint16(head[14:])
	if version < 1 || version > 2 || size <= headLen {
		return nil
	}
	start := int64(headLen)
	if version == 2 {
		start = 32 // a fourth offset
	}
	p := &Part{Format: "trx", Length: size, Facts: map[string]string{FactVersion: fmt.Sprint(version)}}
	body := v.sub(off, size)
	if body.size < size {
		p.Err = fmt.Sprintf("the image is cut: %d of %d bytes are there", body.size, size)
	}
	p.Facts[FactChecksum] = sumFact(^u.crc32(body.sub(12, body.size)) == binary.LittleEndian.Uint32(head[8:]))
	if p.Facts[FactChecksum] == "wrong" && p.Err == "" && binary.LittleEndian.Uint32(head[16:]) >= uint32(size) {
		return nil
	}
	inner := body.sub(start, body.size)
	p.data = inner.section()
	p.Parts = u.carve(inner, s.into("trx", off))
	return p
}

// openSeama opens the wrapper of D-Link's and Alpha Networks' devices: sizes,
// an MD5 unless the size is zero, and name=value strings.
func openSeama(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 64 {
		return nil
	}
	meta, size := int64(binary.BigEndian.Uint16(head[6:])), int64(binary.BigEndian.Uint32(head[8:]))
	start := int64(12)
	if size > 0 {
		start += 16
	}
	if binary.BigEndian.Uint16(head[4:]) != 0 || meta == 0 || meta > 1024 || start+meta > int64(len(head)) || !bytes.Contains(head[start:start+meta], []byte("=")) {
		return nil
	}
	p := &Part{Format: "seama", Length: start + meta + size, Facts: map[string]string{FactVendor: "D-Link or Alpha Networks"}}
	for pair := range bytes.SplitSeq(head[start:start+meta], []byte{0}) {
		if name, value, ok := bytes.Cut(pair, []byte("=")); ok && variable(pair) {
			p.Facts["seama."+string(name)] = strings.ToValidUTF8(string(value), "�")
		}
	}
	body := v.sub(off+start+meta, size)
	p.data = body.section()
	if size > 0 {
		p.Parts = u.carve(body, s.into("seama", off))
	}
	return p
}

// openCHK opens Netgear's header, behind which the parts follow.
func openCHK(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 64 {
		return nil
	}
	n := int64(binary.BigEndian.Uint32(head[4:]))
	if n < 40 || n > 256 || n > int64(len(head)) {
		return nil
	}
	kernel, root := int64(binary.BigEndian.Uint32(head[24:])), int64(binary.BigEndian.Uint32(head[28:]))
	body := v.sub(off+n, kernel+root)
	p := &Part{Format: "netgear-chk", Length: n + kernel + root, Facts: map[string]string{FactVendor: "Netgear", FactBoardID: cString(head[40:n])}, data: body.section()}
	p.Parts = u.carve(body, s.into(p.Format, off))
	return p
}

// openTPLink notes the header of TP-Link's images; its parts follow it.
func openTPLink(_ *unpacker, v view, off int64, head []byte, _ scope) *Part {
	if len(head) < 512 {
		return nil
	}
	p := &Part{Format: "tp-link", Length: 512, Facts: map[string]string{FactVendor: cString(head[4:28])}, data: v.sub(off, 512).section()}
	p.fact(FactDescription, cString(head[28:64]))
	p.Facts[FactBoardID] = fmt.Sprintf("%#08x revision %d", binary.BigEndian.Uint32(head[64:]), binary.BigEndian.Uint32(head[68:]))
	return p
}

// openDahua opens the updates of Dahua, which are zip archives whose first
// two letters were changed.
func openDahua(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	fixed := &segments{}
	fixed.add(segment{start: 0, length: 2, fill: [4]byte{'P', 'K'}})
	fixed.add(segment{start: 2, length: v.size - off - 2, from: v, at: off + 2})
	head = bytes.Clone(head)
	copy(head, "PK")
	p := openZip(u, view{fixed, fixed.size}, 0, head, scope{place(s.place, "dahua", off), s.depth})
	if p != nil {
		p.Facts[FactVendor] = "Dahua"
	}
	return p
}
