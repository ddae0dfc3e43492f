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
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	var c codec.Decoder
	s, ok := Parse(b)
	if !ok {
		return
	}
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	s.Sum(r, size, budget)
	unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return s.Walk(r, size, &c, budget, yield) })
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"cramfs-little", "cramfs-big"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
