package ubi

import (
	"encoding/binary"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

func FuzzScan(f *testing.F) {
	f.Add(unpacktest.Fixture(f, "ubi")[:128<<10])
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func exercise(t testing.TB, b []byte) {
	for i := 0; i+headLen <= len(b); i += 512 { // make the checksums hold
		binary.BigEndian.PutUint32(b[i+60:], sum(b[i:i+60]))
	}
	if !Valid(b) {
		return
	}
	r, size := unpacktest.Reader(b)
	d, err := Scan(r, size, unpacktest.Budget())
	if err != nil {
		return
	}
	if d.Length > size {
		t.Errorf("the device of %d bytes lies in an image of %d", d.Length, size)
	}
	buf := make([]byte, 64<<10)
	for _, v := range d.Volumes {
		if n, err := v.ReadAt(buf, 0); n > len(buf) || n < len(buf) && err == nil {
			t.Errorf("volume %d: %d bytes and no error", v.ID, n)
		}
		if n, _ := v.ReadAt(buf[:1], v.Size); n > 0 {
			t.Errorf("volume %d: read behind its end", v.ID)
		}
	}
}

func TestScan_damaged(t *testing.T) {
	for _, name := range []string{"ubi"} {
		unpacktest.Damage(t, unpacktest.Fixture(t, name), 300, exercise)
	}
}
