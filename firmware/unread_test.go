package firmware

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
)

// noise is what encrypted data looks like.
func noise(n int) []byte {
	var out []byte
	for i := 0; len(out) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func TestOpen_saysWhyNot(t *testing.T) {
	yaffs := make([]byte, 4096)
	copy(yaffs, "\x03\x00\x00\x00\x01\x00\x00\x00\xff\xffetc\x00")
	erofs := make([]byte, 4096)
	binary.LittleEndian.PutUint32(erofs[1024:], 0xe0f5e1e2)
	erofs[1024+12] = 12
	binary.LittleEndian.PutUint32(erofs[1024+36:], 1)
	for _, tt := range []struct {
		name   string
		image  []byte
		format string
		why    string
	}{
		{"LUKS", append([]byte("LUKS\xba\xbe\x00\x01"), noise(8192)...), "luks", "encrypted (LUKS)"},
		{"openssl enc", append([]byte("Salted__"), noise(8192)...), "openssl-enc", "with a password"},
		{"a header nobody knows", append([]byte("ACMEFW01"), noise(64<<10)...), Unknown, "encrypted or compressed in an unknown way"},
		{"erased", make([]byte, 64<<10), Unknown, "nothing but erased flash"},
		{"a picture", append([]byte("\xff\xd8\xff\xe0"), noise(8192)...), Unknown, "a file of the kind jpeg"},
		{"EROFS", erofs, "erofs", "EROFS is not read"},
		{"YAFFS2", yaffs, "yaffs2", "YAFFS2 is not read"},
		{"SquashFS of 2005", squashfs2(), "squashfs", "version 2.0"},
	} {
		im := openBytes(t, tt.image, Options{})
		if len(im.Parts) != 1 || im.Parts[0].Format != tt.format || !strings.Contains(im.Parts[0].Err, tt.why) {
			t.Errorf("%s: %+v, want one part of the format %s that says %q", tt.name, im.Parts, tt.format, tt.why)
		}
	}
}

func squashfs2() []byte {
	b := make([]byte, 4096)
	copy(b, "hsqs")
	binary.LittleEndian.PutUint32(b[4:], 3)
	binary.LittleEndian.PutUint32(b[8:], 4096)
	binary.LittleEndian.PutUint16(b[28:], 2)
	binary.LittleEndian.PutUint16(b[34:], 16)
	return b
}
