package firmware

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

// proto writes protobuf fields.
type proto []byte

func (p *proto) number(num int, v uint64) {
	*p = binary.AppendUvarint(*p, uint64(num)<<3)
	*p = binary.AppendUvarint(*p, v)
}

func (p *proto) bytes(num int, b []byte) {
	*p = binary.AppendUvarint(*p, uint64(num)<<3|2)
	*p = binary.AppendUvarint(*p, uint64(len(b)))
	*p = append(*p, b...)
}

// operation describes blocks that are written from data.
func operation(kind uint64, at, length int, start, blocks uint64) []byte {
	var extent, op proto
	extent.number(1, start)
	extent.number(2, blocks)
	op.number(1, kind)
	op.number(2, uint64(at))
	op.number(3, uint64(length))
	op.bytes(6, extent)
	return op
}

// payload makes an update of one partition: the romfs image, its first half by
// xz, its second as it stands, and zeros behind.
func payload(t testing.TB) []byte {
	t.Helper()
	image := gunzip(t, "testdata/romfs.img.gz")
	packed, err := os.ReadFile("testdata/stream.xz") // the whole of it
	if err != nil {
		t.Fatal(err)
	}
	const block = 4096
	blocks := (len(image) + block - 1) / block
	image = append(image, make([]byte, blocks*block-len(image))...)
	half := blocks / 2
	var info, part, manifest proto
	info.number(1, uint64(len(image)))
	part.bytes(1, []byte("system"))
	part.bytes(7, info)
	// The stream yields the whole image; the extent takes of it what it needs.
	part.bytes(8, operation(opReplaceXZ, 0, len(packed), 0, uint64(half)))
	part.bytes(8, operation(opReplace, len(packed), len(image)-half*block, uint64(half), uint64(blocks-half)))
	part.bytes(8, operation(opZero, 0, 0, uint64(blocks), 4))
	manifest.number(3, block)
	manifest.bytes(13, part)
	out := []byte("CrAU")
	out = binary.BigEndian.AppendUint64(out, 2)
	out = binary.BigEndian.AppendUint64(out, uint64(len(manifest)))
	out = binary.BigEndian.AppendUint32(out, 0)
	out = append(out, manifest...)
	out = append(out, packed...)
	return append(out, image[half*block:]...)
}

func TestOpen_androidPayload(t *testing.T) {
	im := openBytes(t, payload(t), Options{})
	p := part(t, im, "android-payload@0x0")
	checkFacts(t, p, map[string]string{FactVersion: "2", FactSigned: "false", FactPartialUpdate: "false"})
	checkTree(t, part(t, im, "android-payload@0x0/system/romfs@0x0").Tree, dialectOf("romfs"))
}

func TestOpen_androidDeltaSaysWhy(t *testing.T) {
	var part1, manifest proto
	part1.bytes(1, []byte("system"))
	part1.bytes(8, operation(4, 0, 0, 0, 1)) // SOURCE_COPY
	manifest.number(12, 7)
	manifest.bytes(13, part1)
	out := []byte("CrAU")
	out = binary.BigEndian.AppendUint64(out, 2)
	out = binary.BigEndian.AppendUint64(out, uint64(len(manifest)))
	out = binary.BigEndian.AppendUint32(out, 0)
	im := openBytes(t, append(out, manifest...), Options{})
	checkFacts(t, part(t, im, "android-payload@0x0"), map[string]string{FactPartialUpdate: "true"})
	if p := part(t, im, "android-payload@0x0/system"); !strings.Contains(p.Err, "cannot be opened alone") {
		t.Errorf("the error is %q", p.Err)
	}
}

func TestOpen_vendorWrappers(t *testing.T) {
	image := gunzip(t, "testdata/romfs.img.gz")
	le, be := binary.LittleEndian, binary.BigEndian

	trx := make([]byte, 28)
	copy(trx, "HDR0")
	le.PutUint32(trx[4:], uint32(28+len(image)))
	le.PutUint16(trx[14:], 1)
	le.PutUint32(trx[16:], 28)
	trx = append(trx, image...)
	u := &unpacker{budget: unpacktest.Budget()}
	le.PutUint32(trx[8:], ^u.crc32(view{bytes.NewReader(trx), int64(len(trx))}.sub(12, 1<<40)))

	meta := []byte("signature=example_dir300\x00dev=/dev/mtdblock/2\x00")
	seama := make([]byte, 28)
	copy(seama, "\x5e\xa3\xa4\x17")
	be.PutUint16(seama[6:], uint16(len(meta)))
	be.PutUint32(seama[8:], uint32(len(image)))
	seama = append(append(seama, meta...), image...)

	chk := make([]byte, 58)
	copy(chk, "*#$^")
	be.PutUint32(chk[4:], 58)
	be.PutUint32(chk[28:], uint32(len(image)))
	copy(chk[40:], "U12H000T00_EXAMPLE")
	chk = append(chk, image...)

	for _, tt := range []struct {
		name  string
		image []byte
		facts map[string]string
	}{
		{"trx", trx, map[string]string{FactChecksum: "ok", FactVersion: "1"}},
		{"seama", seama, map[string]string{"seama.signature": "example_dir300", "seama.dev": "/dev/mtdblock/2"}},
		{"netgear-chk", chk, map[string]string{FactBoardID: "U12H000T00_EXAMPLE"}},
	} {
		im := openBytes(t, tt.image, Options{})
		p := part(t, im, tt.name+"@0x0")
		checkFacts(t, p, tt.facts)
		if p.Length != int64(len(tt.image)) || p.Err != "" {
			t.Errorf("%s: %d of %d bytes, error %q", tt.name, p.Length, len(tt.image), p.Err)
		}
		if len(im.Trees()) != 1 {
			t.Fatalf("%s: %d trees", tt.name, len(im.Trees()))
		}
		checkTree(t, im.Trees()[0], dialectOf("romfs"))
	}
}

func TestOpen_dahuaZip(t *testing.T) {
	b := gunzip(t, "testdata/zip.img.gz")
	copy(b, "DH")
	im := openBytes(t, b, Options{})
	checkFacts(t, part(t, im, "zip@0x0"), map[string]string{FactVendor: "Dahua"})
	checkTree(t, im.Trees()[0], dialectOf("zip"))
}
