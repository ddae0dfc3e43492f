package jffs2

import (
	"encoding/binary"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

// mend makes the checksums of all nodes hold, so that the fuzzer gets behind
// them.
func mend(b []byte) {
	if len(b) < 2 {
		return
	}
	var bo binary.ByteOrder = binary.LittleEndian
	if b[0] == 0x19 {
		bo = binary.BigEndian
	}
	for i := 0; i+headLen <= len(b); i += 4 {
		if bo.Uint16(b[i:]) != 0x1985 {
			continue
		}
		n := b[i:]
		bo.PutUint32(n[8:], sum(n[:8]))
		switch {
		case bo.Uint16(n[2:]) == typeDirent && len(n) >= direntLen:
			bo.PutUint32(n[32:], sum(n[:32]))
			if end := direntLen + int(n[28]); end <= len(n) {
				bo.PutUint32(n[36:], sum(n[direntLen:end]))
				bo.PutUint32(n[32:], sum(n[:32]))
			}
		case bo.Uint16(n[2:]) == typeInode && len(n) >= inodeLen:
			if size := bo.Uint32(n[48:]); uint64(inodeLen)+uint64(size) <= uint64(len(n)) {
				bo.PutUint32(n[60:], sum(n[inodeLen:inodeLen+size]))
			}
			bo.PutUint32(n[64:], sum(n[:60]))
		}
	}
}

func FuzzWalk(f *testing.F) {
	for _, name := range []string{"jffs2-lzo", "jffs2-big", "jffs2-rtime"} {
		f.Add(unpacktest.Fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	var c codec.Decoder
	mend(b)
	if !Valid(b) {
		return
	}
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	v := Scan(r, size, budget)
	if v.Length > size {
		t.Errorf("the volume of %d bytes lies in an image of %d", v.Length, size)
	}
	unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return v.Walk(&c, budget, yield) })
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"jffs2-lzo", "jffs2-big"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
