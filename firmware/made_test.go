package firmware

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// want is the tree that all fixtures hold.
type want struct {
	mode    fs.FileMode
	gid     int
	link    string
	content string
}

func wanted() map[string]want {
	var tool, noise strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&tool, "line %d of the tool\n", i)
	}
	for i := 0; noise.Len() < 3000; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "ringwall %d", i))
		noise.Write(sum[:])
	}
	all := map[string]want{
		"etc/passwd":   {mode: 0o644, content: "root:x:0:0:root:/root:/bin/sh\n"},
		"etc/shadow":   {mode: 0o600, gid: 42, content: "root:*:1:0:::::\n"},
		"etc/empty":    {mode: 0o644},
		"bin/tool":     {mode: 0o755 | fs.ModeSetuid, content: tool.String()},
		"bin/twin":     {mode: 0o755 | fs.ModeSetuid, content: tool.String()},
		"bin/sh":       {mode: 0o777 | fs.ModeSymlink, link: "tool"},
		"sub/absolute": {mode: 0o777 | fs.ModeSymlink, link: "/etc/passwd"},
		"sub/outside":  {mode: 0o777 | fs.ModeSymlink, link: "../../out"},
		"sub/noise":    {mode: 0o644, content: noise.String()[:3000]},
		"sub/zeros":    {mode: 0o644, content: strings.Repeat("\x00", 20000)},
		"sub/open":     {mode: 0o777 | fs.ModeDir | fs.ModeSticky},
		"dev/null":     {mode: 0o666 | fs.ModeDevice | fs.ModeCharDevice},
		"dev/fifo":     {mode: 0o644 | fs.ModeNamedPipe},
	}
	for i := range 20 {
		all[fmt.Sprintf("sub/deep/er/file_with_a_long_name_%02d.txt", i)] = want{mode: 0o644, content: fmt.Sprintf("file %d\n", i)}
	}
	for _, dir := range []string{"etc", "bin", "dev", "sub", "sub/deep", "sub/deep/er"} {
		all[dir] = want{mode: 0o755 | fs.ModeDir}
	}
	return all
}

// dialect says what a format cannot express.
type dialect struct {
	noModes, noOwners, noTimes, noLinks bool
	only                                []string // top folders the fixture has
}

func dialectOf(format string) dialect {
	switch format {
	case "romfs":
		return dialect{noModes: true, noOwners: true, noTimes: true}
	case "cramfs":
		return dialect{noTimes: true}
	case "fat":
		return dialect{noModes: true, noOwners: true, noTimes: true, noLinks: true, only: []string{"etc", "sub"}}
	case "zip":
		return dialect{noOwners: true, noTimes: true, only: []string{"etc", "sub", "bin"}}
	}
	return dialect{}
}

// checkTree holds a tree against what all fixtures hold.
func checkTree(t *testing.T, tree *Tree, d dialect) {
	t.Helper()
	type seen struct {
		Mode    fs.FileMode
		GID     int
		Link    string
		Size    int
		Content [32]byte
		Time    int64
	}
	got, exp := map[string]seen{}, map[string]seen{}
	describe := func(w want, at int64) seen {
		s := seen{Mode: w.mode, GID: w.gid, Link: w.link, Size: len(w.content), Content: sha256.Sum256([]byte(w.content)), Time: at}
		if d.noModes {
			s.Mode &= fs.ModeType
		}
		if d.noOwners {
			s.GID = 0
		}
		if d.noTimes {
			s.Time = 0
		}
		return s
	}
	const made = 1700000000
	for path, w := range wanted() {
		top, _, _ := strings.Cut(path, "/")
		if d.only != nil && !slices.Contains(d.only, top) || d.noLinks && w.mode&fs.ModeSymlink != 0 {
			continue
		}
		exp[path] = describe(w, made)
	}
	for _, f := range tree.Files() {
		if f.Path == "lost+found" {
			continue
		}
		w := want{mode: f.Mode, gid: f.GID, link: f.Link}
		if f.Mode.IsRegular() {
			data, err := tree.ReadFile(f.Path, 1<<20)
			if err != nil {
				t.Error(err)
			}
			w.content = string(data)
		}
		got[f.Path] = describe(w, f.ModTime.Unix())
	}
	if diff := cmp.Diff(exp, got); diff != "" {
		t.Errorf("the tree differs (-want +got):\n%s", diff)
	}
	if notes := tree.Notes(); len(notes) > 0 {
		t.Errorf("notes: %q", notes)
	}
}

func openPath(t testing.TB, path string, o Options) *Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	im, err := Open(f, info.Size(), o)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// problems collects what could not be unpacked.
func problems(im *Image) []string {
	all := slices.Clone(im.Notes)
	im.Walk(func(place string, p *Part) {
		if p.Err != "" {
			all = append(all, place+": "+p.Err)
		}
	})
	return all
}

func TestOpen_fileSystemsMadeByTheirTools(t *testing.T) {
	for _, tt := range []struct{ file, format string }{
		{"squashfs-gzip", "squashfs"}, {"squashfs-lzma", "squashfs"}, {"squashfs-xz", "squashfs"}, {"squashfs-lzo", "squashfs"},
		{"squashfs-lz4", "squashfs"}, {"squashfs-zstd", "squashfs"}, {"squashfs-bcj", "squashfs"}, {"squashfs-plain", "squashfs"},
		{"jffs2-lzo", "jffs2"}, {"jffs2-big", "jffs2"}, {"jffs2-rtime", "jffs2"},
		{"ubifs-none", "ubifs"}, {"ubifs-lzo", "ubifs"}, {"ubifs-zlib", "ubifs"}, {"ubifs-zstd", "ubifs"},
		{"cramfs-little", "cramfs"}, {"cramfs-big", "cramfs"}, {"romfs", "romfs"},
		{"ext2", "ext2"}, {"ext4", "ext4"}, {"ext4-inline", "ext4"}, {"fat12", "fat"}, {"fat16", "fat"}, {"fat32", "fat"},
		{"cpio-newc", "cpio"}, {"cpio-odc", "cpio"}, {"cpio-crc", "cpio"}, {"tar-gnu", "tar"}, {"tar-pax", "tar"}, {"zip", "zip"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			found, err := filepath.Glob("testdata/" + tt.file + ".img.?z")
			if err != nil || len(found) != 1 {
				t.Fatalf("fixtures %q, %v", found, err)
			}
			im := openPath(t, found[0], Options{MaxRatio: 10_000}) // an empty FAT32 is mostly zeros
			if all := problems(im); len(all) > 0 {
				t.Errorf("problems: %q", all)
			}
			trees := im.Trees()
			if len(trees) != 1 {
				t.Fatalf("%d trees, want 1: %+v", len(trees), im.Parts)
			}
			if !strings.HasSuffix(trees[0].From(), "/"+tt.format+"@0x0") {
				t.Errorf("the tree is from %q, want a %s at 0", trees[0].From(), tt.format)
			}
			checkTree(t, trees[0], dialectOf(tt.format))
		})
	}
}

func TestOpen_streams(t *testing.T) {
	for name, format := range map[string]string{
		"stream.xz": "xz", "stream.lzma": "lzma", "stream.lz4": "lz4", "stream-legacy.lz4": "lz4-legacy", "stream.zst": "zstd", "stream.bz2": "bzip2",
		"stream.lzo": "lzop", "romfs.img.gz": "gzip",
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			// Among padding at an odd place, with another image right behind.
			dump := slices.Concat(bytes.Repeat([]byte{0xff}, 4099), raw, []byte("-rom1fs-no"), bytes.Repeat([]byte{0}, 64<<10))
			im, err := Open(bytes.NewReader(dump), int64(len(dump)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(im.Parts) != 1 {
				t.Fatalf("%d parts, want 1: %+v", len(im.Parts), im.Parts)
			}
			p := im.Parts[0]
			if p.Format != format || p.Offset != 4099 || p.Length != int64(len(raw)) || p.Err != "" {
				t.Errorf("found %s at %d with %d bytes (%s), want %s at 4099 with %d", p.Format, p.Offset, p.Length, p.Err, format, len(raw))
			}
			checkTree(t, im.Trees()[0], dialectOf("romfs"))
		})
	}
}

func TestOpen_ubiVolumes(t *testing.T) {
	im := openPath(t, "testdata/ubi.img.gz", Options{})
	if all := problems(im); len(all) > 0 {
		t.Errorf("problems: %q", all)
	}
	var from []string
	for _, tree := range im.Trees() {
		from = append(from, tree.From())
		checkTree(t, tree, dialect{})
	}
	if want := []string{"gzip@0x0/ubi@0x0/rootfs/ubifs@0x0", "gzip@0x0/ubi@0x0/spare/squashfs@0x0"}; !slices.Equal(from, want) {
		t.Errorf("trees are from %q, want %q", from, want)
	}
}

// part finds a part by its place.
func part(t *testing.T, im *Image, at string) *Part {
	t.Helper()
	var found *Part
	var places []string
	im.Walk(func(place string, p *Part) {
		places = append(places, place)
		if place == at {
			found = p
		}
	})
	if found == nil {
		t.Fatalf("no part at %q, only %q", at, places)
	}
	return found
}

func checkFacts(t *testing.T, p *Part, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := p.Facts[name]; got != value {
			t.Errorf("%s: fact %s is %q, want %q", p.Format, name, got, value)
		}
	}
}

func TestOpen_uImage(t *testing.T) {
	im := openPath(t, "testdata/uimage.img", Options{})
	p := part(t, im, "uimage@0x0")
	if p.Name != "test kernel" || p.Err != "" {
		t.Errorf("name %q, error %q", p.Name, p.Err)
	}
	checkFacts(t, p, map[string]string{FactArch: "arm", FactOS: "linux", FactType: "kernel", FactCompression: "gzip", FactLoad: "0x8000", FactEntry: "0x8000", FactChecksum: "ok"})
	checkTree(t, im.Trees()[0], dialectOf("romfs"))

	raw, err := os.ReadFile("testdata/uimage.img")
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-3] ^= 1
	im, err = Open(bytes.NewReader(raw), int64(len(raw)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkFacts(t, part(t, im, "uimage@0x0"), map[string]string{FactChecksum: "wrong"})
}

func TestOpen_uImageOfSeveral(t *testing.T) {
	im := openPath(t, "testdata/uimage-multi.img", Options{})
	part(t, im, "uimage@0x0/image 0/lzma@0x0/romfs@0x0")
	part(t, im, "uimage@0x0/image 1/gzip@0x0/squashfs@0x0")
	if len(im.Trees()) != 2 {
		t.Errorf("%d trees, want 2", len(im.Trees()))
	}
}

func TestOpen_fit(t *testing.T) {
	for file, signed := range map[string]string{"fit-signed.itb": "true", "fit-external.itb": "false"} {
		t.Run(file, func(t *testing.T) {
			im := openPath(t, "testdata/"+file, Options{})
			if all := problems(im); len(all) > 0 {
				t.Errorf("problems: %q", all)
			}
			p := part(t, im, "fit@0x0")
			checkFacts(t, p, map[string]string{FactDescription: "fit of the test", FactConfig: "c1", FactSigned: signed})
			if signed == "true" {
				checkFacts(t, p, map[string]string{FactSignAlgo: "sha256,rsa2048", FactSignKey: "dev"})
			}
			checkFacts(t, part(t, im, "fit@0x0/kernel"), map[string]string{FactChecksum: "ok", FactHash: "sha256", FactType: "kernel", FactLoad: "0x80008000"})
			checkFacts(t, part(t, im, "fit@0x0/rd"), map[string]string{FactChecksum: "ok", FactHash: "md5"})
			checkFacts(t, part(t, im, "fit@0x0/fdt-1/dtb@0x0"), map[string]string{FactModel: "Test Camera"})
			checkTree(t, part(t, im, "fit@0x0/rd/squashfs@0x0").Tree, dialect{})
			checkTree(t, part(t, im, "fit@0x0/kernel/gzip@0x0/romfs@0x0").Tree, dialectOf("romfs"))
		})
	}
}

func TestOpen_deviceTree(t *testing.T) {
	im := openPath(t, "testdata/tree.dtb", Options{})
	checkFacts(t, part(t, im, "dtb@0x0"), map[string]string{
		FactModel: "Test Camera", FactCompatible: "example,camera,example,soc", FactBootargs: "console=ttyS0 root=/dev/mtdblock2", FactKeyRequired: "dev (sha256,rsa2048, conf)",
	})
}

func TestOpen_ubootEnvironment(t *testing.T) {
	for file, redundant := range map[string]string{"uboot-env": "false", "uboot-envr": "true"} {
		raw := gunzip(t, "testdata/"+file+".img.gz")
		dump := slices.Concat(bytes.Repeat([]byte{0xff}, 0x3000), raw, bytes.Repeat([]byte{0xff}, 0x3000))
		im, err := Open(bytes.NewReader(dump), int64(len(dump)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := part(t, im, "uboot-env@0x3000")
		if p.Length != int64(len(raw)) {
			t.Errorf("%s: %d bytes, want %d", file, p.Length, len(raw))
		}
		checkFacts(t, p, map[string]string{
			FactChecksum: "ok", FactRedundant: redundant, FactBootdelay: "3", FactBootcmd: "sf probe; bootm", FactBootargs: "console=ttyS0 root=/dev/mtdblock2", "env.ethaddr": "00:11:22:33:44:55",
		})
		dump[0x3000] ^= 1
		if im, err = Open(bytes.NewReader(dump), int64(len(dump)), Options{}); err != nil {
			t.Fatal(err)
		}
		checkFacts(t, part(t, im, "uboot-env@0x3000"), map[string]string{FactChecksum: "wrong", FactBootdelay: "3"})
	}
}

func gunzip(t testing.TB, path string) []byte {
	t.Helper()
	im := openPath(t, path, Options{})
	data, err := io.ReadAll(im.Parts[0].Data())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOpen_androidBoot(t *testing.T) {
	for _, version := range []string{"0", "2", "3"} {
		im := openPath(t, "testdata/android-boot"+version+".img.gz", Options{})
		if all := problems(im); len(all) > 0 {
			t.Errorf("problems: %q", all)
		}
		checkFacts(t, part(t, im, "gzip@0x0/android-boot@0x0"), map[string]string{FactVersion: version, FactBootargs: "console=ttyS0 quiet", FactOSVersion: "11.0.0", FactPatchLevel: "2021-05"})
		checkTree(t, part(t, im, "gzip@0x0/android-boot@0x0/ramdisk/gzip@0x0/cpio@0x0").Tree, dialect{})
		checkTree(t, part(t, im, "gzip@0x0/android-boot@0x0/kernel/gzip@0x0/romfs@0x0").Tree, dialectOf("romfs"))
	}
}

func TestOpen_androidSparse(t *testing.T) {
	im := openPath(t, "testdata/android-sparse.img.gz", Options{})
	checkTree(t, part(t, im, "gzip@0x0/android-sparse@0x0/romfs@0x0").Tree, dialectOf("romfs"))
}

func TestImage_DigestAndSize(t *testing.T) {
	raw := []byte("no firmware at all, but long enough to be looked at as text. ")
	raw = bytes.Repeat(raw, 40)
	im, err := Open(bytes.NewReader(raw), int64(len(raw)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(raw)); im.Digest != want || im.Size != int64(len(raw)) {
		t.Errorf("digest %s of %d bytes, want %s of %d", im.Digest, im.Size, want, len(raw))
	}
	if p := part(t, im, "unknown@0x0"); p.Facts[FactLooks] != LooksText || p.Err == "" {
		t.Errorf("text looks like %q: %s", p.Facts[FactLooks], p.Err)
	}
	if _, err := Open(bytes.NewReader(nil), 0, Options{}); err == nil {
		t.Error("an empty image was opened")
	}
	if _, err := Open(bytes.NewReader(raw), int64(len(raw))+1, Options{}); err == nil {
		t.Error("an image that is shorter than its size was opened")
	}
}
