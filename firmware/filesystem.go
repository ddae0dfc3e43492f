package firmware

import (
	"fmt"
	"strconv"
	"time"

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
