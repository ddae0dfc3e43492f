package firmware

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// plantTree makes a tree of entries as an unpacker would.
func plantTree(t *testing.T, entries ...unpack.Entry) *Tree {
	t.Helper()
	p := newPlanter("test", unpack.NewBudget(context.Background(), 1<<20, 1000, 1000))
	for _, e := range entries {
		if err := p.add(e); err != nil {
			t.Fatal(err)
		}
	}
	return p.tree()
}

func text(path, content string) unpack.Entry {
	return unpack.Entry{Path: path, Mode: 0o644, Size: int64(len(content)), Content: unpack.Bytes(content)}
}

func link(path, target string) unpack.Entry {
	return unpack.Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Link: target}
}

func TestTree_isAFileSystem(t *testing.T) {
	tree := plantTree(t, text("/etc/passwd", "root::0:0::/:/bin/sh\n"), text("./bin/busybox", "ELF"), link("bin/sh", "busybox"), link("lib", "usr/lib"),
		text("usr/lib/libc.so", "libc"), unpack.Entry{Path: "tmp", Mode: fs.ModeDir | 0o777})
	if err := fstest.TestFS(tree.FS(), "etc/passwd", "bin/busybox", "bin/sh", "usr/lib/libc.so", "tmp"); err != nil {
		t.Error(err)
	}
	var paths []string
	for _, f := range tree.Files() {
		paths = append(paths, f.Path)
	}
	want := []string{"bin", "bin/busybox", "bin/sh", "etc", "etc/passwd", "lib", "tmp", "usr", "usr/lib", "usr/lib/libc.so"}
	if !slices.Equal(paths, want) {
		t.Errorf("Files = %q, want %q", paths, want)
	}
}

func TestTree_Resolve(t *testing.T) {
	tree := plantTree(t, text("usr/lib/libc.so", "x"), link("lib", "/usr/lib"), link("usr/up", "../../../usr"), link("a", "b"), link("b", "a"),
		link("self", "self/x"), link("gone", "nowhere"), text("plain", "x"), link("deep", "lib/libc.so"))
	for _, tt := range []struct {
		path, want string
		ok         bool
	}{
		{"lib/libc.so", "usr/lib/libc.so", true},
		{"/lib//libc.so", "usr/lib/libc.so", true},
		{"deep", "usr/lib/libc.so", true},
		{"usr/up/lib/libc.so", "usr/lib/libc.so", true}, // as in a chroot, the root's parent is the root
		{"../../plain", "plain", true},
		{"", "", true},
		{"a", "", false},
		{"self", "", false},
		{"gone", "", false},
		{"plain/x", "", false},
	} {
		if got, ok := tree.Resolve(tt.path); got != tt.want || ok != tt.ok {
			t.Errorf("Resolve(%q) = %q, %v, want %q, %v", tt.path, got, ok, tt.want, tt.ok)
		}
	}
}

func TestTree_refusesWhatLeadsOutside(t *testing.T) {
	tree := plantTree(t, text("../evil", "x"), text("a/../../evil", "x"), text("ok/../fine", "x"), text("zero\x00byte", "x"),
		text(strings.Repeat("n", 5000), "x"), link("etc", "/etc"), text("etc/passwd", "below a link"), text("file", "x"), text("file/below", "x"),
		unpack.Entry{Path: "neg", Mode: 0o644, Size: -5, Content: unpack.Bytes("x")}, text("bad\xff", "x"))
	var paths []string
	for _, f := range tree.Files() {
		paths = append(paths, f.Path)
	}
	if want := []string{"bad\uFFFD", "etc", "file", "fine", "neg"}; !slices.Equal(paths, want) {
		t.Errorf("Files = %q, want %q", paths, want)
	}
	if n := len(tree.Notes()); n != 6 {
		t.Errorf("%d notes, want 6: %q", n, tree.Notes())
	}
	if _, err := tree.ReadFile("neg", 10); err == nil || !strings.Contains(err.Error(), "negative size") {
		t.Errorf("reading a file of negative size: %v", err)
	}
}

func TestTree_ReadFile(t *testing.T) {
	tree := plantTree(t, text("a", "12345"), link("l", "a"), unpack.Entry{Path: "h", HardLink: "a"}, unpack.Entry{Path: "h2", HardLink: "h3"},
		unpack.Entry{Path: "h3", HardLink: "h2"}, unpack.Entry{Path: "null", Mode: fs.ModeDevice | fs.ModeCharDevice}, text("a2", "old"), text("a2", "new"))
	for _, tt := range []struct {
		path string
		max  int64
		want string
		code ringwall.Code
	}{
		{"a", 5, "12345", ""}, {"l", 5, "12345", ""}, {"h", 5, "12345", ""}, {"a2", 5, "new", ""},
		{"a", 4, "", ringwall.Invalid}, {"h2", 5, "", ringwall.Invalid}, {"null", 5, "", ringwall.Invalid}, {"none", 5, "", ringwall.NotFound},
	} {
		got, err := tree.ReadFile(tt.path, tt.max)
		if string(got) != tt.want || ringwall.CodeOf(err) != tt.code {
			t.Errorf("ReadFile(%q, %d) = %q, %v, want %q and code %q", tt.path, tt.max, got, err, tt.want, tt.code)
		}
	}
}

func TestFromDir_keepsLinksAsLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(outside, []byte("outside"), 0o600),
		os.MkdirAll(filepath.Join(dir, "etc"), 0o755),
		os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte("root"), 0o640),
		os.Symlink(outside, filepath.Join(dir, "etc", "leak")),
		os.Symlink("etc/passwd", filepath.Join(dir, "pw")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tree.ReadFile("pw", 100); string(got) != "root" {
		t.Errorf("ReadFile(pw) = %q, %v", got, err)
	}
	if f, _ := tree.Stat("etc/leak"); f.Link != outside {
		t.Errorf("the link reads %q, want %q", f.Link, outside)
	}
	if got, err := tree.ReadFile("etc/leak", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link out of the folder was followed: %q, %v", got, err)
	}
	if f, _ := tree.Stat("etc/passwd"); f.Mode != 0o640 || f.UID != os.Getuid() {
		t.Errorf("etc/passwd has mode %v and owner %d", f.Mode, f.UID)
	}
}

func TestFromFS_ofItsOwnTree(t *testing.T) {
	tree := plantTree(t, text("etc/passwd", "root"), link("pw", "etc/passwd"))
	again, err := FromFS(tree.FS())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.ReadFile("pw", 100); string(got) != "root" {
		t.Errorf("ReadFile(pw) = %q, %v", got, err)
	}
}

func TestOpen_tar(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Name: "./etc/passwd", Mode: 0o644, Size: 4, Uid: 3},
		{Name: "../../evil", Mode: 0o644, Size: 4},
		{Name: "bin/su", Mode: 0o4755, Size: 4},
		{Name: "pw", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "hard", Typeflag: tar.TypeLink, Linkname: "bin/su"},
		{Name: "dev/mem", Typeflag: tar.TypeChar, Mode: 0o600},
	} {
		h.Format = tar.FormatUSTAR
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			w.Write([]byte("root"))
		}
	}
	w.Close()
	im, err := Open(bytes.NewReader(b.Bytes()), int64(b.Len()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	trees := im.Trees()
	if len(trees) != 1 {
		t.Fatalf("%d trees in %+v", len(trees), im.Parts)
	}
	if got, err := trees[0].ReadFile("pw", 100); string(got) != "root" {
		t.Errorf("ReadFile(pw) = %q, %v", got, err)
	}
	if f, _ := trees[0].Stat("hard"); f.Mode != fs.ModeSetuid|0o755 {
		t.Errorf("the hard link to a setuid file has mode %v", f.Mode)
	}
	if f, _ := trees[0].Stat("dev/mem"); f.Mode&fs.ModeCharDevice == 0 {
		t.Errorf("dev/mem has mode %v", f.Mode)
	}
	if notes := trees[0].Notes(); len(notes) != 1 || !strings.Contains(notes[0], "outside") {
		t.Errorf("notes are %q", notes)
	}
}
