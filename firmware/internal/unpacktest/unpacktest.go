// Package unpacktest helps to test readers of formats: it finds the fixtures
// and drains what a walk yields, as a hostile caller would.
package unpacktest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// Fixture returns the image of this name, such as "squashfs-xz". It is called
// from the folder of a reader.
func Fixture(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "testdata", name+".img.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	maxBytes = 16 << 20
	maxFiles = 2_000
	maxRead  = 256 << 10 // of each file
)

// Budget returns a budget that is small enough to be reached in a test.
func Budget() *unpack.Budget {
	return unpack.NewBudget(context.Background(), maxBytes, maxFiles, 1000)
}

// Drain walks and reads a piece of every file. What is yielded must be within
// the budget; errors are the reader's good right. It returns the paths and
// how they begin.
func Drain(t testing.TB, b *unpack.Budget, walk func(unpack.Sink) error) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	n := 0
	_ = walk(func(e unpack.Entry) error {
		if n++; n > maxFiles {
			t.Fatalf("the walk goes on after its sink said no")
		}
		if err := b.File(); err != nil {
			return err
		}
		if e.Content == nil || e.Size < 0 {
			got[e.Path] = []byte(e.Link)
			return nil
		}
		buf := make([]byte, min(e.Size, maxRead)+1)
		k, err := e.Content.ReadAt(buf[:min(e.Size, maxRead)], 0)
		if k > len(buf) || int64(k) < min(e.Size, maxRead) && err == nil {
			t.Errorf("%q: ReadAt returned %d of %d bytes without an error", e.Path, k, min(e.Size, maxRead))
		}
		got[e.Path] = buf[:k]
		if e.Size > maxRead { // and a piece of the end
			_, _ = e.Content.ReadAt(buf[:1], e.Size-1)
		}
		if k, err := e.Content.ReadAt(buf[:1], e.Size); k > 0 || err == nil {
			t.Errorf("%q: %d bytes behind the end were read", e.Path, k)
		}
		return nil
	})
	return got
}

// Reader returns a reader over b and its size.
func Reader(b []byte) (io.ReaderAt, int64) { return bytes.NewReader(b), int64(len(b)) }

// Damage runs do on n damaged copies of an image: bytes changed, words set to
// extremes, stretches copied over others, the end cut. What it does is the same
// in every run.
func Damage(t *testing.T, image []byte, n int, do func(t testing.TB, b []byte)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(2026, uint64(len(image))))
	for range n {
		b := bytes.Clone(image)
		// Half of the damage goes to the beginning, where headers are.
		spot := func() int {
			if rng.IntN(2) == 0 {
				return rng.IntN(min(len(b), 512))
			}
			return rng.IntN(len(b))
		}
		for range 1 + rng.IntN(12) {
			i := spot()
			switch rng.IntN(5) {
			case 0:
				b[i] ^= 1 << rng.IntN(8)
			case 1:
				b[i] = byte(rng.Uint32())
			case 2:
				for k := i; k < min(i+4, len(b)); k++ {
					b[k] = 0xff
				}
			case 3:
				j := spot()
				copy(b[i:], b[j:min(j+1+rng.IntN(32), len(b))])
			case 4:
				clear(b[i:min(i+1+rng.IntN(8), len(b))])
			}
		}
		if rng.IntN(8) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		do(t, b)
	}
}
