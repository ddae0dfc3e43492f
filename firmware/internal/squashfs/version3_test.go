package squashfs

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
	"github.com/ulikunitz/xz/lzma"
)

// packer writes bit fields as fields reads them.
type packer struct {
	big  bool
	bits []byte // one bit each
}

func (p *packer) put(v uint64, n int) {
	for i := range n {
		shift := i
		if p.big {
			shift = n - 1 - i
		}
		p.bits = append(p.bits, byte(v>>shift&1))
	}
}

func (p *packer) bytes() []byte {
	out := make([]byte, len(p.bits)/8)
	for i, bit := range p.bits {
		if p.big {
			out[i/8] |= bit << (7 - i%8)
		} else {
			out[i/8] |= bit << (i % 8)
		}
	}
	return out
}

// compressor3 packs one block.
type compressor3 func(t testing.TB, b []byte) []byte

func deflated(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// version3 makes an image of version 3.1 with a folder, a file of two blocks
// and a fragment, and a link; one user, whose group is another.
func version3(t testing.TB, big bool) []byte { return version3With(t, big, "", deflated) }

func version3With(t testing.TB, big bool, magic string, pack compressor3) []byte {
	const blockSize = 4096
	var bo interface {
		binary.ByteOrder
		binary.AppendByteOrder
	} = binary.LittleEndian
	if big {
		bo = binary.BigEndian
	}
	content := fileContent()
	image := make([]byte, SuperLen)
	var sizes []uint32
	start := len(image)
	for i := 0; i+blockSize <= len(content); i += blockSize {
		b := pack(t, content[i:i+blockSize])
		sizes = append(sizes, uint32(len(b)))
		image = append(image, b...)
	}
	fragAt, frag := len(image), pack(t, append([]byte("other"), content[len(content)/blockSize*blockSize:]...))
	image = append(image, frag...)

	base := func(kind, mode uint64) *packer {
		p := &packer{big: big}
		p.put(kind, 4)
		p.put(mode, 12)
		p.put(0, 8) // first user
		p.put(1, 8) // second group
		p.put(1_500_000_000, 32)
		p.put(1, 32)
		return p
	}
	var inodes []byte
	place := map[string]int{}
	add := func(name string, p *packer) {
		place[name] = len(inodes)
		inodes = append(inodes, p.bytes()...)
	}
	p := base(2, 0o4755)
	p.put(uint64(start), 64)
	p.put(0, 32) // fragment
	p.put(5, 32) // behind "other"
	p.put(uint64(len(content)), 32)
	for _, s := range sizes {
		p.put(uint64(s), 32)
	}
	add("file", p)
	p = base(3, 0o777)
	p.put(1, 32)
	p.put(4, 16)
	for _, c := range []byte("file") {
		p.put(uint64(c), 8)
	}
	add("link", p)

	var dirs []byte
	list := func(names ...string) (off, size int) {
		off = len(dirs)
		p := &packer{big: big}
		p.put(uint64(len(names)-1), 8)
		p.put(0, 32)
		p.put(1, 32)
		for _, name := range names {
			kind := map[string]uint64{"file": 2, "link": 3, "sub": 1}[name]
			p.put(uint64(place[name]), 13)
			p.put(kind, 3)
			p.put(uint64(len(name)-1), 8)
			p.put(0, 16)
			for _, c := range []byte(name) {
				p.put(uint64(c), 8)
			}
		}
		dirs = append(dirs, p.bytes()...)
		return off, len(dirs) - off + 3
	}
	folder := func(name string, off, size int) {
		p := base(1, 0o755)
		p.put(2, 32)
		p.put(uint64(size), 19)
		p.put(uint64(off), 13)
		p.put(0, 32)
		p.put(1, 32)
		add(name, p)
	}
	off, size := list("link")
	folder("sub", off, size)
	off, size = list("file", "sub")
	folder("root", off, size)

	meta := func(b []byte) int {
		at := len(image)
		packed := pack(t, b)
		image = bo.AppendUint16(image, uint16(len(packed)))
		image = append(image, packed...)
		return at
	}
	inodeTable := meta(inodes)
	dirTable := meta(dirs)
	entry := bo.AppendUint64(nil, uint64(fragAt))
	entry = bo.AppendUint32(entry, uint32(len(frag)))
	entry = bo.AppendUint32(entry, 0)
	at := meta(entry)
	fragTable := len(image)
	image = bo.AppendUint64(image, uint64(at))
	uids := len(image)
	image = bo.AppendUint32(image, 1000)
	gids := len(image)
	image = bo.AppendUint32(image, 0)
	image = bo.AppendUint32(image, 2000)

	h := image[:SuperLen]
	if big {
		copy(h, "sqsh")
	} else {
		copy(h, "hsqs")
	}
	copy(h, magic)
	bo.PutUint32(h[4:], 4)
	bo.PutUint16(h[28:], 3)
	bo.PutUint16(h[30:], 1)
	bo.PutUint16(h[32:], blockSize)
	bo.PutUint16(h[34:], 12)
	h[37], h[38] = 1, 2
	bo.PutUint32(h[39:], 1_500_000_000)
	bo.PutUint64(h[43:], uint64(place["root"]))
	bo.PutUint32(h[51:], blockSize)
	bo.PutUint32(h[55:], 1)
	bo.PutUint64(h[63:], uint64(len(image)))
	bo.PutUint64(h[71:], uint64(uids))
	bo.PutUint64(h[79:], uint64(gids))
	bo.PutUint64(h[87:], uint64(inodeTable))
	bo.PutUint64(h[95:], uint64(dirTable))
	bo.PutUint64(h[103:], uint64(fragTable))
	return image
}

func fileContent() []byte { return bytes.Repeat([]byte("nine byte"), 1000) }

func TestWalk_version3(t *testing.T) {
	alone := func(t testing.TB, b []byte) []byte { // as .lzma files
		var out bytes.Buffer
		w, err := lzma.WriterConfig{SizeInHeader: true, Size: int64(len(b))}.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	bare := func(t testing.TB, b []byte) []byte { // with properties and dictionary size, without length
		packed := alone(t, b)
		return append(packed[:5:5], packed[13:]...)
	}
	naked := func(t testing.TB, b []byte) []byte { return alone(t, b)[13:] }
	for _, tt := range []struct {
		name  string
		big   bool
		magic string
		pack  compressor3
		want  string
	}{
		{"little", false, "", deflated, "gzip"},
		{"big", true, "", deflated, "gzip"},
		{"lzma of its own magic", false, "shsq", alone, "lzma"},
		{"lzma under the plain magic", true, "", alone, "gzip"},
		{"lzma without length", false, "sqlz"[:0], bare, "gzip"},
		{"lzma without any header", true, "sqlz", naked, "lzma"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := version3With(t, tt.big, tt.magic, tt.pack)
			s, ok, err := Parse(b)
			if !ok || err != nil {
				t.Fatalf("Parse: %v, %v", ok, err)
			}
			if s.Big != tt.big || s.Major != 3 || s.Compression != tt.want || s.Length != int64(len(b)) {
				t.Errorf("the superblock reads %+v", s)
			}
			r, size := unpacktest.Reader(b)
			budget := unpacktest.Budget()
			var c codec.Decoder
			entries := map[string]unpack.Entry{}
			got := unpacktest.Drain(t, budget, func(yield unpack.Sink) error {
				err := Walk(r, size, s, &c, budget, func(e unpack.Entry) error {
					entries[e.Path] = e
					return yield(e)
				})
				if err != nil {
					t.Error(err)
				}
				return err
			})
			if len(entries) != 3 || !bytes.Equal(got["file"], fileContent()) || string(got["sub/link"]) != "file" {
				t.Errorf("got %d entries, the file has %d bytes, the link leads to %q", len(entries), len(got["file"]), got["sub/link"])
			}
			if e := entries["file"]; e.UID != 1000 || e.GID != 2000 || e.Mode.Perm() != 0o755 || e.ModTime.Unix() != 1_500_000_000 {
				t.Errorf("the file is %+v", e)
			}
		})
	}
}

func TestWalk_folderInACircle(t *testing.T) {
	b := unpacktest.Fixture(t, "squashfs-plain")
	s, _, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	// In an image without compression every entry of the type folder is made
	// to lead to the root.
	table := b[s.dirTable+2 : s.fragTable]
	patched := 0
	for _, name := range []string{"deep", "er", "bin"} {
		i := bytes.Index(table, append([]byte{1, 0, byte(len(name) - 1), 0}, name...))
		if i < 4 {
			t.Fatalf("no entry %q", name)
		}
		binary.LittleEndian.PutUint16(table[i-4:], uint16(s.root))
		patched++
	}
	r, size := unpacktest.Reader(b)
	budget := unpacktest.Budget()
	var c codec.Decoder
	n := 0
	err = Walk(r, size, s, &c, budget, func(unpack.Entry) error { n++; return nil })
	if err == nil || n > 100 {
		t.Errorf("a folder that contains itself: %d entries, error %v", n, err)
	}
}
