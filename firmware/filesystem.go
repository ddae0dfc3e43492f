package firmware

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ringwall/ringwall/firmware/internal/cramfs"
	"github.com/ringwall/ringwall/firmware/internal/jffs2"
	"github.com/ringwall/ringwall/firmware/internal/romfs"
	"github.com/ringwall/ringwall/firmware/internal/squashfs"
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
