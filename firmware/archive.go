package firmware

import (
	"github.com/ringwall/ringwall/firmware/internal/cpio"
	"github.com/ringwall/ringwall/firmware/internal/tarball"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

func openCPIO(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if !cpio.Valid(head) {
		return nil
	}
	p := &Part{Format: "cpio", Facts: map[string]string{}}
	sub := v.sub(off, v.size)
	u.plant(p, off, s, func(yield unpack.Sink) (err error) {
		p.Length, err = cpio.Walk(sub, sub.size, yield)
		return err
	})
	if p.Err != "" && len(p.Tree.files) == 0 {
		return nil
	}
	p.data = v.sub(off, p.Length).section()
	u.within(p, off, s)
	return p
}

func openTar(u *unpacker, v view, off int64, head []byte, s scope) *Part {
	if !tarball.Valid(head) {
		return nil
	}
	p := &Part{Format: "tar", Facts: map[string]string{}}
	sub := v.sub(off, v.size)
	u.plant(p, off, s, func(yield unpack.Sink) (err error) {
		p.Length, err = tarball.Walk(sub, sub.size, yield)
		return err
	})
	p.data = v.sub(off, p.Length).section()
	u.within(p, off, s)
	return p
}

func (u *unpacker) within(p *Part, off int64, s scope) {}

func (u *unpacker) gap(parts []Part, v view, from, to int64, s scope) []Part { return parts }

func signatures() []signature {
	return []signature{
		{0, "070701", openCPIO},
		{0, "070702", openCPIO},
		{0, "070707", openCPIO},
		{257, "ustar", openTar},
		{0, "hsqs", openSquashFS},
		{0, "sqsh", openSquashFS},
		{0, "shsq", openSquashFS},
		{0, "qshs", openSquashFS},
		{0, "hsqt", openSquashFS},
		{0, "tqsh", openSquashFS},
		{0, "sqlz", openSquashFS},
		{0, "zlqs", openSquashFS},
	}
}
