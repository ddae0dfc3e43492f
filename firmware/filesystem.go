package firmware

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/cramfs"
	"github.com/ringwall/ringwall/firmware/internal/ext"
	"github.com/ringwall/ringwall/firmware/internal/fat"
	"github.com/ringwall/ringwall/firmware/internal/jffs2"
	"github.com/ringwall/ringwall/firmware/internal/romfs"
	"github.com/ringwall/ringwall/firmware/internal/squashfs"
	"github.com/ringwall/ringwall/firmware/internal/ubi"
	"github.com/ringwall/ringwall/firmware/internal/ubifs"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

func openSquashFS(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	sb, ok, err := squashfs.Parse(head)
	if !ok {
		return nil
	}
	p := &Part{Format: "squashfs", Length: sb.Length, Facts: map[string]string{
		FactVersion: fmt.Sprintf("%d.%d", sb.Major, sb.Minor), FactCompression: sb.Compression, FactBlockSize: strconv.Itoa(int(sb.BlockSize)), FactEndian: endian(sb.Big),
	}}
	setTime(p, sb.Made)
	sub := v.sub(off, sb.Length)
	p.data = sub.section()
	if err != nil {
		p.Err = err.Error()
		return p
	}
	u.plant(p, off, s, func(yield unpack.Sink) error { return squashfs.Walk(sub, sub.size, sb, &u.codec, u.budget, yield) })
	return p
}

// openJFFS2 opens a volume from its first node on. Three nodes at least must
// hold: two are in a file system that was made and never used.
func openJFFS2(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if !jffs2.Valid(head) {
		return nil
	}
	sub := v.sub(off, v.size)
	vol := jffs2.Scan(sub, sub.size, u.budget)
	if vol.Nodes < 3 {
		return nil
	}
	sub = v.sub(off, vol.Length)
	p := &Part{Format: "jffs2", Length: vol.Length, data: sub.section(), Facts: map[string]string{FactEndian: endian(vol.Big)}}
	u.plant(p, off, s, func(yield unpack.Sink) error { return vol.Walk(&u.codec, u.budget, yield) })
	return p
}

func openCramFS(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	sb, ok := cramfs.Parse(head)
	if !ok {
		return nil
	}
	sub := v.sub(off, v.size)
	p := &Part{Format: "cramfs", Name: sb.Name, Length: sb.Length, Facts: map[string]string{FactEndian: endian(sb.Big)}}
	if sb.Length == 0 {
		p.Length = sub.size
	}
	if holds, known := sb.Sum(sub, sub.size, u.budget); known {
		p.Facts[FactChecksum] = sumFact(holds)
	}
	sub = v.sub(off, p.Length)
	p.data = sub.section()
	u.plant(p, off, s, func(yield unpack.Sink) error { return sb.Walk(sub, sub.size, &u.codec, u.budget, yield) })
	return p
}

func openRomFS(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	length, name, ok := romfs.Parse(head)
	if !ok {
		return nil
	}
	sub := v.sub(off, length)
	p := &Part{Format: "romfs", Name: name, Length: length, Facts: map[string]string{}, data: sub.section()}
	u.plant(p, off, s, func(yield unpack.Sink) error { return romfs.Walk(sub, sub.size, u.budget, yield) })
	return p
}

// openUBI opens a UBI device: each volume is a part of its own.
func openUBI(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if !ubi.Valid(head) {
		return nil
	}
	sub := v.sub(off, v.size)
	d, err := ubi.Scan(sub, sub.size, u.budget)
	p := &Part{Format: "ubi", Length: sub.size, Facts: map[string]string{}}
	if err != nil {
		p.Err = err.Error()
		return p
	}
	p.Length = d.Length
	p.data = v.sub(off, d.Length).section()
	p.Facts[FactBlockSize] = strconv.FormatInt(d.PEBSize, 10)
	if d.Bad > 0 {
		p.Err = fmt.Sprintf("%d erase blocks have headers that do not hold", d.Bad)
	}
	in := s.into("ubi", off)
	for _, vol := range d.Volumes {
		vv := view{vol, vol.Size}
		q := Part{Format: "ubi-volume", Name: vol.Name, Offset: int64(vol.ID), Length: vol.Size, Facts: map[string]string{FactType: "dynamic"}, data: vv.section()}
		if vol.Static {
			q.Facts[FactType] = "static"
		}
		if vol.Size > 0 && vol.Size <= maxSpread*sub.size {
			q.Parts = u.carve(vv, in.below(&q))
		} else if vol.Size > 0 {
			q.Err = fmt.Sprintf("the volume claims %d bytes, far more than the flash has", vol.Size)
		}
		p.Parts = append(p.Parts, q)
	}
	return p
}

// maxSpread bounds how much larger than its flash a volume may claim to be:
// unmapped erase blocks take no room, but only few of them are plausible.
const maxSpread = 8

func openUBIFS(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if len(head) < 24 || head[20] != 6 {
		return nil
	}
	sb, ok := ubifs.Parse(v.head(off, 4096))
	if !ok {
		return nil
	}
	sub := v.sub(off, sb.Length)
	p := &Part{Format: "ubifs", Length: sb.Length, data: sub.section(), Facts: map[string]string{
		FactVersion: strconv.Itoa(int(sb.Version)), FactCompression: sb.Compression, FactBlockSize: strconv.FormatInt(sb.LEBSize, 10),
	}}
	u.plant(p, off, s, func(yield unpack.Sink) error { return sb.Walk(sub, sub.size, &u.codec, u.budget, yield) })
	return p
}

func openExt(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	sb, ok := ext.Parse(head)
	if !ok {
		return nil
	}
	sub := v.sub(off, sb.Length)
	p := &Part{Format: sb.Version, Name: sb.Name, Length: sb.Length, data: sub.section(), Facts: map[string]string{FactBlockSize: strconv.FormatInt(sb.BlockSize, 10)}}
	setTime(p, sb.Made)
	u.plant(p, off, s, func(yield unpack.Sink) error { return sb.Walk(sub, sub.size, u.budget, yield) })
	if p.Err != "" && len(p.Tree.files) == 0 {
		return nil // a copy of the superblock without its volume, or chance
	}
	u.within(p, off, s)
	return p
}

func openFAT(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	sb, ok := fat.Parse(head)
	if !ok {
		return nil
	}
	sub := v.sub(off, sb.Length)
	p := &Part{Format: "fat", Name: sb.Name, Length: sb.Length, data: sub.section(), Facts: map[string]string{FactVersion: strconv.Itoa(sb.Bits)}}
	u.plant(p, off, s, func(yield unpack.Sink) error { return sb.Walk(sub, sub.size, u.budget, yield) })
	u.within(p, off, s)
	return p
}

func sumFact(holds bool) string {
	if holds {
		return "ok"
	}
	return "wrong"
}

func endian(big bool) string {
	if big {
		return "big"
	}
	return "little"
}

func setTime(p *Part, t time.Time) {
	if t.Unix() > 0 {
		p.Facts[FactMade] = t.Format(time.RFC3339)
	}
}
