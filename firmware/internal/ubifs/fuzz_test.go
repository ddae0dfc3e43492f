package ubifs

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

// mend makes the checksums of all nodes hold, so that the fuzzer gets behind
// them.
func mend(b []byte) {
	for i := 0; i+headLen <= len(b); i += 8 {
		n := b[i:]
		if binary.LittleEndian.Uint32(n) != magic {
			continue
		}
		if size := binary.LittleEndian.Uint32(n[16:]); size >= headLen && uint64(size) <= uint64(len(n)) {
			binary.LittleEndian.PutUint32(n[4:], ^crc32.ChecksumIEEE(n[8:size]))
		}
	}
}

func FuzzWalk(f *testing.F) {
	for _, name := range []string{"ubifs-none", "ubifs-lzo", "ubifs-zlib", "ubifs-zstd"} {
		f.Add(unpacktest.Fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	var c codec.Decoder
	mend(b)
	s, ok := Parse(b)
	if !ok {
		return
	}
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	unpacktest.Drain(t, budget, func(yield unpack.Sink) error { return s.Walk(r, size, &c, budget, yield) })
}

func TestWalk_damaged(t *testing.T) {
	for _, name := range []string{"ubifs-none", "ubifs-zlib"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
