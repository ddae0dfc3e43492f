package ext

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	for _, name := range []string{"ext2", "ext4", "ext4-inline"} {
		f.Add(unpacktest.Fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	s, ok := Parse(b)
	if !ok {
		return
	}
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return s.Walk(r, size, budget, yield) })
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"ext2", "ext4", "ext4-inline"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
