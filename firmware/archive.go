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
