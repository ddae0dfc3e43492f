package romfs

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	f.Add(unpacktest.Fixture(f, "romfs"))
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	Parse(b)
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return Walk(r, size, budget, yield) })
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"romfs"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
