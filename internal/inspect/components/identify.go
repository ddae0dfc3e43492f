package components

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
)

// Options says what is known besides the tree. The zero value is good.
type Options struct {
	// Book holds the fingerprints; nil means those the program carries.
	Book *Book
	// Listening lists the paths of programs that are known to listen on the
	// network. They, and the libraries they load, are marked as exposed.
	Listening []string
	// MaxFile bounds the bytes read of one file; 0 means 256 MiB.
	MaxFile int64
	// Note is called with what could not be looked at, and why; may be nil.
	Note func(string)
}

const (
	maxFile   = 256 << 20
	maxPaths  = 64 // of one component; a kernel's modules are many
	sniffed   = 4 << 10
	smallest  = 64 // bytes below which a file holds nothing
	maxListed = 20_000
)

// Identify returns the components of a tree, sorted by name and version. It
// returns what it has when ctx is done.
func Identify(ctx context.Context, t *firmware.Tree, o Options) []api.Component {
	book := o.Book
	if book == nil {
		book = Shipped()
	}
	note := o.Note
	if note == nil {
		note = func(string) {}
	}
	limit := o.MaxFile
	if limit <= 0 {
		limit = maxFile
	}
	m := merger{book: book, parts: map[key]*api.Component{}}
	s := newScanner(book)
	for _, f := range t.Files() {
		if ctx.Err() != nil {
			note("the search for components was stopped: " + context.Cause(ctx).Error())
			break
		}
		if !f.Mode.IsRegular() || f.Size < smallest || documentation(f.Path) {
			continue
		}
		r, err := t.Open(f.Path)
		if err != nil {
			note(fmt.Sprintf("components of %s: %v", f.Path, err))
			continue
		}
		ok, err := worthwhile(f, r)
		if err == nil && ok {
			if f.Size > limit {
				note(fmt.Sprintf("components of %s: only the first %d of %d bytes were read", f.Path, limit, f.Size))
			}
			var all []found
			all, err = s.scan(ctx, f.Path, io.NewSectionReader(r, 0, min(limit, f.Size)))
			m.add(f.Path, all)
			m.notes(f.Path, s.notes)
		}
		if err != nil && ctx.Err() == nil {
			note(fmt.Sprintf("components of %s: %v", f.Path, err))
		}
	}
	who := distribution(t)
	for i := range databases {
		for _, p := range databases[i].files(t) {
			if err := m.packages(t, p, &databases[i], who); err != nil {
				note(fmt.Sprintf("package database %s: %v", p, err))
			}
		}
	}
	all := m.result()
	expose(t, all, o.Listening)
	return all
}

// Scan returns the components of a single stream, such as a kernel that stands
// in an image outside any file system. The name counts as that of a file.
func Scan(ctx context.Context, name string, r io.Reader, o Options) ([]api.Component, error) {
	book := o.Book
	if book == nil {
		book = Shipped()
	}
	m := merger{book: book, parts: map[key]*api.Component{}}
	s := newScanner(book)
	all, err := s.scan(ctx, name, r)
	if err != nil {
		return nil, fmt.Errorf("looking for components in %q: %w", name, err)
	}
	m.add(name, all)
	m.notes(name, s.notes)
	return m.result(), nil
}

// documentation reports whether a file speaks of software rather than being
// some.
func documentation(p string) bool {
	for _, dir := range []string{"usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/misc/", "usr/include/", "proc/", "sys/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

// worthwhile reports whether a file may hold a program: ELF, or something
// binary that is not known to be data, or what is laid where programs lie.
func worthwhile(f firmware.File, r io.ReaderAt) (bool, error) {
	head := make([]byte, sniffed)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	head = head[:n]
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		return true, nil
	}
	if bytes.HasPrefix(head, []byte("#!")) {
		return false, nil
	}
	for _, magic := range dataMagic {
		if bytes.HasPrefix(head, []byte(magic)) {
			return false, nil
		}
	}
	return bytes.IndexByte(head, 0) >= 0 || program(f), nil
}

// dataMagic begins files that are data although they are not text.
var dataMagic = [...]string{
	"\x89PNG", "\xff\xd8\xff", "GIF8", "RIFF", "OggS", "ID3", "\x1f\x8b", "BZh", "\xfd7zXZ", "PK\x03\x04", "hsqs", "\x28\xb5\x2f\xfd",
	"\x1c\x04\x1e\xf1", // magic numbers of the file program: a list of other programs
	"SQLite format 3\x00", "TZif", "\x00\x01\x00\x00\x00", "\x1a\x01", "\x1e\x02", "wOFF", "wOF2", "OTTO",
}

// program reports whether a file is named or placed as a program or library.
func program(f firmware.File) bool {
	base, dir := path.Base(f.Path), path.Base(path.Dir(f.Path))
	switch {
	case strings.HasSuffix(base, ".ko"), strings.Contains(base, ".so"):
		return true
	case dir == "bin" || dir == "sbin":
		return executable(f)
	}
	return false
}

// key is what makes two finds the same component.
type key struct{ name, version string }

// merger gathers what files and package databases say.
type merger struct {
	book  *Book
	parts map[key]*api.Component
}

func (m *merger) add(p string, all []found) {
	for _, f := range all {
		print := &m.book.prints[f.fingerprint]
		k := key{print.Name, f.version}
		c := m.parts[k]
		if c == nil {
			c = &api.Component{
				Name:     print.Name,
				Version:  f.version,
				Supplier: print.Supplier,
				CPE:      cpe(print, f.version),
				PURL:     "pkg:generic/" + purlEscape(print.Name) + "@" + purlEscape(f.version),
				How:      f.how,
			}
			m.parts[k] = c
		}
		if len(c.Paths) < maxPaths && !slices.Contains(c.Paths, p) {
			c.Paths = append(c.Paths, p)
		}
	}
}

func (m *merger) result() []api.Component {
	out := make([]api.Component, 0, len(m.parts))
	for _, c := range m.parts {
		slices.Sort(c.Paths)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(x, y api.Component) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Version, y.Version))
	})
	return out
}

func compareStrings(x, y string) int { return cmp.Compare(x, y) }

// cpe writes a CPE 2.3 name as a formatted string (NISTIR 7695 section 6.2).
func cpe(p *Fingerprint, version string) string {
	v, update := version, "*"
	if p.Name == "openssh" || p.Name == "ntp" || p.Name == "sudo" {
		// What NVD keeps in the update field: 8.4p1 is 8.4, update p1.
		if i := strings.IndexByte(v, 'p'); i > 0 {
			v, update = v[:i], v[i:]
		}
	}
	if v == "" {
		v = "*"
	} else {
		v = cpeEscape(v)
	}
	return "cpe:2.3:" + p.Part + ":" + cpeEscape(p.Vendor) + ":" + cpeEscape(p.Product) + ":" + v + ":" + update + ":*:*:*:*:*:*"
}

// cpeEscape quotes what is not a letter, digit or one of "_-.".
func cpeEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(s)) {
		switch {
		case c >= 'a' && c <= 'z', digit(c), c == '_', c == '-', c == '.':
		case c > ' ' && c < 0x7f:
			b.WriteByte('\\')
		default:
			c = '_'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// purlEscape percent-encodes a part of a package URL.
func purlEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || strings.IndexByte(".-_~:", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
