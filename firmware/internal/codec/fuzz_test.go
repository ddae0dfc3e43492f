package codec

import (
	"bytes"
	"io"
	"os"
	"testing"
)

func FuzzStream(f *testing.F) {
	kinds := []string{"xz", "lzma", "bzip2", "zstd", "lz4", "lz4-legacy", "lzop"}
	for i, file := range []string{"stream.xz", "stream.lzma", "stream.bz2", "stream.zst", "stream.lz4", "stream-legacy.lz4", "stream.lzo"} {
		b, err := os.ReadFile("../../testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		r, err := Stream(kinds[int(kind)%len(kinds)], bytes.NewReader(b))
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, r, 1<<20)
	})
}

func FuzzBlock(f *testing.F) {
	f.Add(byte(0), []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	f.Add(byte(4), []byte("\x11ab\x11\x00\x00"))
	f.Add(byte(6), []byte("a\x00b\x03"))
	var d Decoder
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		const limit = 4096
		blocks := []func([]byte, int) ([]byte, error){
			d.Zlib, d.Deflate, d.XZ, d.LZMA, d.LZO, d.LZ4, Rtime, d.Zstd,
			func(b []byte, n int) ([]byte, error) { return d.LZMARaw(0, b, n) },
			func(b []byte, n int) ([]byte, error) { return d.LZMACut(0x5d, b, n) },
		}
		out, err := blocks[int(kind)%len(blocks)](bytes.Clone(b), limit)
		if err == nil && len(out) > limit {
			t.Errorf("decoder %d yields %d bytes where %d are allowed", int(kind)%len(blocks), len(out), limit)
		}
	})
}
