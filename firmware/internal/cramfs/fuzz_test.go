package cramfs

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	f.Add(unpacktest.Fixture(f, "cramfs-little"))
	f.Add(unpacktest.Fixture(f, "cramfs-big"))
	var c codec.Decoder
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := Parse(b)
		if !ok {
			return
		}
		r, size := unpacktest.Reader(b)
		budget := unpacktest.Budget()
		s.Sum(r, size, budget)
		unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return s.Walk(r, size, &c, budget, yield) })
	})
}
