package tarball

import (
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzWalk(f *testing.F) {
	f.Add(unpacktest.Fixture(f, "tar-gnu"))
	f.Add(unpacktest.Fixture(f, "tar-pax"))
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	for i := 0; i+512 <= len(b); i += 512 { // make the checksums hold
		sum := 0
		for k, c := range b[i : i+512] {
			if k >= 148 && k < 156 {
				c = ' '
			}
			sum += int(c)
		}
		if string(b[i+257:i+262]) == "ustar" {
			for k := range 6 {
				b[i+148+k] = '0' + byte(sum>>(3*(5-k))&7)
			}
			b[i+154], b[i+155] = 0, ' '
		}
	}
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
	for _, name := range []string{"tar-gnu", "tar-pax"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
