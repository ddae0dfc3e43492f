package squashfs

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	for _, name := range []string{"squashfs-plain", "squashfs-gzip", "squashfs-lzma", "squashfs-xz", "squashfs-lzo", "squashfs-lz4", "squashfs-zstd"} {
		f.Add(unpacktest.Fixture(f, name))
	}
	f.Add(version3(f, false))
	f.Add(version3(f, true))
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	var c codec.Decoder
	s, ok, err := Parse(b)
	if !ok || err != nil {
		return
	}
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return Walk(r, size, s, &c, budget, yield) })
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"squashfs-plain", "squashfs-gzip", "squashfs-xz", "squashfs-lzo"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
