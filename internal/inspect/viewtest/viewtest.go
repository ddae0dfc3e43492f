// Package viewtest makes views of made-up trees for the tests of examinations.
package viewtest

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// Made is the time of all files of a made-up tree.
var Made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Tree makes a tree of files. Content that begins with "-> " is a link to what
// follows; with "#!" it is a file that may be run; a content of "ELF" is a
// program that nobody can read; a path that ends in a slash is a folder. A path
// may begin with a mode, such as "4755 bin/su".
func Tree(t testing.TB, files map[string]string) *firmware.Tree {
	t.Helper()
	m := fstest.MapFS{}
	for p, content := range files {
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(content, "#!") || content == "ELF" || strings.HasPrefix(content, "\x7fELF") {
			mode = 0o755
		}
		if head, rest, ok := strings.Cut(p, " "); ok {
			mode = 0
			for _, c := range head {
				mode = mode<<3 | fs.FileMode(c-'0')
			}
			if mode&0o4000 != 0 {
				mode = mode&0o777 | fs.ModeSetuid
			}
			p = rest
		}
		f := &fstest.MapFile{Data: []byte(content), Mode: mode, ModTime: Made}
		switch {
		case content == "ELF":
			f.Data = []byte("\x7fELF\x01\x01\x01\x00 made up")
		case strings.HasPrefix(content, "-> "):
			f.Data, f.Mode = []byte(content[3:]), fs.ModeSymlink|0o777
		case strings.HasSuffix(p, "/"):
			p, f.Mode = strings.TrimSuffix(p, "/"), fs.ModeDir|0o755
		}
		m[p] = f
	}
	tree, err := firmware.FromFS(m)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// Of makes the one view of a made-up tree.
func Of(t testing.TB, files map[string]string) *view.View {
	t.Helper()
	vs := view.Of(view.Source{Tree: Tree(t, files)})
	if len(vs) != 1 {
		t.Fatalf("%d views of one tree", len(vs))
	}
	return vs[0]
}
