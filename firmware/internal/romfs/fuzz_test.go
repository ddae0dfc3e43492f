package romfs

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	f.Add(unpacktest.Fixture(f, "romfs"))
	f.Fuzz(func(t *testing.T, b []byte) {
		Parse(b)
		r, size := unpacktest.Reader(b)
		budget := unpacktest.Budget()
		unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return Walk(r, size, budget, yield) })
	})
}
