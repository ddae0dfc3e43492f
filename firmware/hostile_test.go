package firmware

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// bomb is a gzip stream of n zeros.
func bomb(t testing.TB, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.CopyN(w, zeros{}, n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBytes(t testing.TB, b []byte, o Options) *Image {
	t.Helper()
	im, err := Open(bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestOpen_gzipBombIsCutAndExplained(t *testing.T) {
	b := bomb(t, 96<<20)
	im := openBytes(t, b, Options{MaxBytes: 8 << 20})
	p := part(t, im, "gzip@0x0")
	if !strings.Contains(p.Err, "over the limit") {
		t.Errorf("the error is %q", p.Err)
	}
	if n := p.Data().Size(); n > 8<<20 {
		t.Errorf("%d bytes are held, 8 MiB are allowed", n)
	}
	// Its ratio alone is enough where there is memory.
	im = openBytes(t, b, Options{MaxRatio: 100})
	if p := part(t, im, "gzip@0x0"); !strings.Contains(p.Err, "more than 100 times") {
		t.Errorf("the error is %q", p.Err)
	}
}

func TestOpen_nestingIsBounded(t *testing.T) {
	b := bytes.Repeat([]byte("the innermost text. "), 100)
	for range 12 {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		// Gzip of gzip would shrink below what is looked at.
		b = append(out.Bytes(), bytes.Repeat([]byte("filler text between the layers. "), 64)...)
	}
	im := openBytes(t, b, Options{MaxDepth: 4})
	deepest := 0
	im.Walk(func(place string, _ *Part) { deepest = max(deepest, strings.Count(place, "gzip@")) })
	if deepest != 5 || len(im.Notes) != 1 || !strings.Contains(im.Notes[0], "more than 4 deep") {
		t.Errorf("depth %d, notes %q", deepest, im.Notes)
	}
}

func TestOpen_zipBomb(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 3 {
		f, err := w.Create(fmt.Sprintf("bomb%d.bin", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(f, zeros{}, 40<<20); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	im := openBytes(t, b.Bytes(), Options{MaxBytes: 60 << 20, MaxRatio: 2000})
	tree := im.Trees()[0]
	refused := 0
	for _, f := range tree.Files() {
		if f.Err != "" {
			refused++
			if _, err := tree.ReadFile(f.Path, 1<<30); ringwall.CodeOf(err) != ringwall.Invalid {
				t.Errorf("a refused file was read: %v", err)
			}
		}
	}
	if refused != 2 || len(tree.Notes()) != 2 {
		t.Errorf("%d files refused, notes %q", refused, tree.Notes())
	}
}

func TestOpen_tooManyFiles(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range 500 {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	im := openBytes(t, b.Bytes(), Options{MaxFiles: 100})
	p := part(t, im, "tar@0x0")
	if len(p.Tree.Files()) != 100 || !strings.Contains(p.Err, "more than the 100 files") {
		t.Errorf("%d files, error %q", len(p.Tree.Files()), p.Err)
	}
}

func TestOpenContext_ends(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := gunzip(t, "testdata/squashfs-plain.img.gz")
	if _, err := OpenContext(ctx, bytes.NewReader(b), int64(len(b)), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
}

func TestOpen_sparseImageOfPetabytes(t *testing.T) {
	b := make([]byte, 28+3*16)
	copy(b, "\x3a\xff\x26\xed")
	le := binary.LittleEndian
	le.PutUint16(b[4:], 1)
	le.PutUint16(b[8:], 28)
	le.PutUint16(b[10:], 12)
	le.PutUint32(b[12:], 1<<20)
	le.PutUint32(b[16:], 1<<32-1)
	le.PutUint32(b[20:], 3)
	for i := range 3 {
		c := b[28+16*i:]
		le.PutUint16(c, 0xcac2)
		le.PutUint32(c[4:], 1<<30)
		le.PutUint32(c[8:], 16)
	}
	im := openBytes(t, b, Options{})
	if p := part(t, im, "android-sparse@0x0"); !strings.Contains(p.Err, "more than is searched") {
		t.Errorf("the error is %q", p.Err)
	}
}

// TestOpen_falseMagics holds a megabyte full of every magic there is: it must
// be gone through quickly and found to be nothing.
func TestOpen_falseMagics(t *testing.T) {
	var b []byte
	for i := 0; len(b) < 1<<20; i++ {
		for _, s := range signatures() {
			b = append(b, s.magic...)
			b = append(b, make([]byte, (i*7+len(s.magic))%37)...)
		}
	}
	im := openBytes(t, b, Options{})
	for _, p := range im.Parts {
		if p.Tree != nil && len(p.Tree.Files()) > 0 {
			t.Errorf("%s at %#x has %d files", p.Format, p.Offset, len(p.Tree.Files()))
		}
	}
}

func TestOpen_everythingDamaged(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, ".md") || strings.HasSuffix(path, "fat32.img.xz") {
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, ".gz") {
			raw = gunzip(t, path)
		}
		unpacktest.Damage(t, raw, 12, exercise)
	}
}

// exercise opens an image under tight limits and reads all that is listed.
func exercise(t testing.TB, b []byte) {
	im, err := Open(bytes.NewReader(b), int64(len(b)), Options{MaxBytes: 16 << 20, MaxFiles: 2000, MaxDepth: 4})
	if err != nil {
		if len(b) > 0 {
			t.Errorf("%d bytes were not opened: %v", len(b), err)
		}
		return
	}
	im.Walk(func(place string, p *Part) {
		if p.Length < 0 || p.Offset < 0 || p.Facts == nil {
			t.Errorf("%s: offset %d, length %d, facts %v", place, p.Offset, p.Length, p.Facts)
		}
		if d := p.Data(); d != nil {
			io.CopyN(io.Discard, d, 64<<10)
		}
	})
	for _, tree := range im.Trees() {
		for _, f := range tree.Files() {
			if !fs.ValidPath(f.Path) || f.Size < 0 {
				t.Errorf("path %q, size %d", f.Path, f.Size)
			}
			if f.Mode.IsRegular() {
				tree.ReadFile(f.Path, 256<<10)
			}
			tree.Resolve(f.Path)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"uimage.img", "uimage-multi.img", "tree.dtb", "fit-external.itb", "stream.lz4", "stream.zst"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, name := range []string{"uboot-env", "uboot-envr", "android-boot2", "android-boot3", "android-sparse", "zip"} {
		f.Add(gunzip(f, "testdata/"+name+".img.gz"))
	}
	f.Add(payload(f))
	f.Fuzz(func(t *testing.T, b []byte) { exercise(t, b) })
}

func FuzzVariables(f *testing.F) {
	f.Add([]byte("bootdelay=3\x00bootcmd=run a\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if vars, used := variables(b); used > len(b) || len(vars) > maxVariables {
			t.Errorf("%d variables in %d of %d bytes", len(vars), used, len(b))
		}
	})
}

// TestOpen_memory opens a bomb under the default ratio and a limit of 64 MiB
// and looks at what the heap has grown to.
func TestOpen_memory(t *testing.T) {
	b := bomb(t, 256<<20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	im := openBytes(t, b, Options{MaxBytes: 64 << 20, MaxRatio: 100_000})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 80<<20 {
		t.Errorf("the heap grew by %d MiB under a limit of 64", grown>>20)
	}
	runtime.KeepAlive(im)
}
