// Package view lays the parts of an unpacked firmware image out as the device
// itself sees them: one root with its other partitions mounted where the start
// scripts mount them, links followed across all of them.
//
// Of gives one View for each root file system found (two slots, a recovery
// system and an overlay are systems of their own), or a single View without a
// root when there is none. Where a partition belongs is decided by what is
// there, not by guessing: the paths that scripts and links of the root name
// must be found in the partition, or the file system must be the only one of
// the type that a mount names. What cannot be placed stands under
// "/.part/PLACE", so that its files are examined, but never taken for started.
//
// A View reads files when they are asked for and keeps only small texts, up to
// a bound. It starts no goroutine and may be used by one at a time.
package view

import (
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ringwall/ringwall/firmware"
)

const (
	// maxText is the longest file read as text: no script or configuration of
	// a device that we have seen comes near it.
	maxText = 512 << 10
	// keepText bounds what texts a View keeps in memory.
	keepText = 24 << 20
	// MaxFile is the longest file whose content is examined at all.
	MaxFile = 64 << 20
	// maxLinks is how many links one path may lead through, as in Linux.
	maxLinks = 40
)

// File is one entry as the device sees it.
type File struct {
	Path     string // absolute on the device, such as "/etc/passwd"
	Mode     fs.FileMode
	UID, GID int
	Size     int64
	ModTime  time.Time
	Link     string // target of a symbolic link
	From     string // the part of the image

	tree *firmware.Tree
	rel  string
}

// Origin returns the tree that holds the file, and its path there.
func (f *File) Origin() (*firmware.Tree, string) { return f.tree, f.rel }

// At names the file for evidence: its path and the part it comes from.
func (f *File) At() string {
	if f.From == "" {
		return f.Path
	}
	return f.Path + " (" + f.From + ")"
}

// Tree is a file system of the view and where it is mounted.
type Tree struct {
	At   string // "/" for the root
	From string
	Type string // "squashfs", "jffs2", ...; "" of an unpacked folder
	Why  string // what placed it there
}

// Part is a part of the image with what its header and content say.
type Part struct {
	Place string // such as "uimage@0x40000"
	*firmware.Part
}

// View is one system of an image.
type View struct {
	Name  string // the part that holds the root, "" when there is none
	Root  bool
	Trees []Tree
	Parts []Part // of the whole image

	files map[string]*File
	order []*File
	kids  map[string][]string
	texts map[string]string
	kept  int
	// points are where the root mounts something, with the type where told.
	points map[string]string
}

// Files returns all entries in the order of their paths.
func (v *View) Files() []*File { return v.order }

// Regular yields the files with content.
func (v *View) Regular(yield func(*File) bool) {
	for _, f := range v.order {
		if f.Mode.IsRegular() && !yield(f) {
			return
		}
	}
}

// Lookup returns the entry with this path itself, without following links.
func (v *View) Lookup(p string) (*File, bool) {
	f, ok := v.files[path.Clean("/"+p)]
	return f, ok
}

// Find follows all links, across partitions, and returns what they lead to.
func (v *View) Find(p string) (*File, bool) {
	at, rest := "/", strings.Split(p, "/")
	links := 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		f, ok := v.files[next]
		switch {
		case !ok:
			return nil, false
		case f.Mode&fs.ModeSymlink != 0:
			if links++; links > maxLinks || len(rest) > 4096 {
				return nil, false
			}
			if strings.HasPrefix(f.Link, "/") {
				at = "/"
			}
			rest = append(strings.Split(f.Link, "/"), rest...)
		case len(rest) > 0 && !f.Mode.IsDir() && strings.Trim(strings.Join(rest, ""), "/.") != "":
			return nil, false
		default:
			at = next
		}
	}
	f, ok := v.files[at]
	return f, ok
}

// Target returns the absolute path that a path leads to, as far as links can be
// followed, whether or not anything is there.
func (v *View) Target(p string) string {
	at, rest := "/", strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		f, ok := v.files[next]
		if ok && f.Mode&fs.ModeSymlink != 0 {
			if links++; links > maxLinks || len(rest) > 4096 {
				return next
			}
			if strings.HasPrefix(f.Link, "/") {
				at = "/"
			}
			rest = append(strings.Split(f.Link, "/"), rest...)
			continue
		}
		at = next
	}
	return at
}

// List returns the names in a folder, sorted; links to folders are followed.
func (v *View) List(dir string) []string {
	f, ok := v.Find(dir)
	if !ok {
		return nil
	}
	return v.kids[f.Path]
}

// Open returns a reader over the content of a regular file.
func (v *View) Open(f *File) (*io.SectionReader, error) { return f.tree.Open(f.rel) }

// Data returns the whole content of a regular file, nil when it is longer than
// MaxFile or cannot be read.
func (v *View) Data(f *File) []byte {
	if !f.Mode.IsRegular() || f.Size > MaxFile || f.Size == 0 {
		return nil
	}
	b, err := f.tree.ReadFile(f.rel, MaxFile)
	if err != nil {
		return nil
	}
	return b
}

// Text returns the content of a text file, following links: false when there
// is none, or it is too long or not text.
func (v *View) Text(p string) (string, bool) {
	f, ok := v.Find(p)
	if !ok {
		return "", false
	}
	return v.TextOf(f)
}

// TextOf is Text for a file at hand.
func (v *View) TextOf(f *File) (string, bool) {
	if t, ok := v.texts[f.Path]; ok {
		return t, t != "" || f.Size == 0
	}
	if !f.Mode.IsRegular() || f.Size > maxText {
		return "", false
	}
	b := v.Data(f)
	t := ""
	if IsText(b) {
		t = strings.TrimPrefix(string(b), "\ufeff")
	}
	v.Keep(f, t)
	return t, t != "" || f.Size == 0
}

// Keep remembers the text of a file ("" for one that is not text) as long as
// the bound allows.
func (v *View) Keep(f *File, text string) {
	if v.kept+len(text) > keepText {
		return
	}
	v.kept += len(text)
	v.texts[f.Path] = text
}

// IsText reports whether content is a text: no NUL, and few bytes that no text
// in any encoding holds. GBK and Latin-1 comments are common in scripts, so
// UTF-8 is not asked for.
func IsText(b []byte) bool {
	head := b[:min(len(b), 8<<10)]
	if len(head) == 0 || bytes.IndexByte(b, 0) >= 0 {
		return false
	}
	odd := 0
	for _, c := range head {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b && c != '\b' {
			odd++
		}
	}
	return odd*50 <= len(head)
}

// IsELF reports whether content is a program or library.
func IsELF(b []byte) bool { return bytes.HasPrefix(b, []byte("\x7fELF")) }

// Clip shortens what an image says for evidence: one line of printable text.
func Clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if r < 0x20 || r == 0x7f || r == utf8.RuneError {
			return '.'
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n]) + "…"
}

func (v *View) add(t *firmware.Tree, prefix, at, from string) {
	for _, f := range t.Files() {
		rel := f.Path
		if prefix != "" {
			cut, ok := strings.CutPrefix(f.Path, prefix+"/")
			if !ok {
				continue
			}
			rel = cut
		}
		p := path.Join(at, rel)
		if old, ok := v.files[p]; ok && old.Mode.IsDir() && f.Mode.IsDir() {
			continue
		}
		v.files[p] = &File{
			Path: p, Mode: f.Mode, UID: f.UID, GID: f.GID, Size: f.Size, ModTime: f.ModTime, Link: f.Link,
			From: cmp.Or(f.From, from), tree: t, rel: f.Path,
		}
	}
}

// finish makes the folders that are only implied, and the order.
func (v *View) finish() {
	for p := range v.files {
		for d := path.Dir(p); ; d = path.Dir(d) {
			if _, ok := v.files[d]; ok {
				break
			}
			v.files[d] = &File{Path: d, Mode: fs.ModeDir | 0o755}
			if d == "/" {
				break
			}
		}
	}
	v.order = make([]*File, 0, len(v.files))
	v.kids = map[string][]string{}
	for _, f := range v.files {
		v.order = append(v.order, f)
	}
	slices.SortFunc(v.order, func(a, b *File) int { return cmp.Compare(a.Path, b.Path) })
	for _, f := range v.order {
		if f.Path != "/" {
			d := path.Dir(f.Path)
			v.kids[d] = append(v.kids[d], path.Base(f.Path))
		}
	}
}
