package cpio

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	for _, name := range []string{"cpio-newc", "cpio-odc", "cpio-crc"} {
		f.Add(unpacktest.Fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	Valid(b)
	r, size := unpacktest.Reader(b)
	unpacktest.Drain(t, unpacktest.Budget(), func(yield unpack.Sink) error {
		n, err := Walk(r, size, yield)
		if n < 0 || n > size {
			t.Errorf("the archive of %d bytes lies in %d", n, size)
		}
		return err
	})
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"cpio-newc", "cpio-odc"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
