package firmware

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// File is one entry of a tree: a file, folder, link or device node. Its path
// is relative to the root of the tree, with slashes, such as "etc/passwd".
type File struct {
	Path     string
	Mode     fs.FileMode // type and permissions, with setuid, setgid and sticky bits
	UID, GID int
	Size     int64 // of a regular file; zero for all others
	ModTime  time.Time
	Link     string // target of a symbolic link as it is written, never resolved here
	From     string // the part it comes from, such as "squashfs@0x1f0000"
	Err      string // why the content cannot be read; empty when it can
}

// Tree is a file system or an archive, unpacked as far as reading needs it.
type Tree struct {
	from  string
	notes []string
	files []File // sorted by path
	index map[string]int
	data  []io.ReaderAt // beside files
	kids  map[string][]int
}

// From tells which part of the image the tree is, such as "squashfs@0x1f0000".
func (t *Tree) From() string { return t.from }

// Notes tells what was refused or found odd while unpacking.
func (t *Tree) Notes() []string { return slices.Clone(t.notes) }

// Files returns all entries sorted by path. The root itself is not among them.
func (t *Tree) Files() []File { return slices.Clone(t.files) }

// Stat returns the entry with this path itself: a link is not followed.
func (t *Tree) Stat(path string) (File, bool) {
	i, ok := t.index[trim(path)]
	if !ok {
		return File{}, false
	}
	return t.files[i], true
}

// maxLinks is how many links one path may lead through; Linux allows as many.
const maxLinks = 40

// Resolve follows all links in path as the device itself would, with the root
// of the tree as its root, and returns the path of what they lead to. It
// reports false when nothing is there or the links go in circles.
func (t *Tree) Resolve(p string) (string, bool) {
	at := "" // what is resolved so far
	rest := strings.Split(trim(p), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		next := path.Join(at, name)
		i, ok := t.index[next]
		if !ok {
			return "", false
		}
		f := &t.files[i]
		switch {
		case f.Mode&fs.ModeSymlink != 0:
			if links++; links > maxLinks || len(f.Link)+len(rest) > 64<<10 {
				return "", false
			}
			if strings.HasPrefix(f.Link, "/") {
				at = ""
			}
			rest = append(strings.Split(f.Link, "/"), rest...)
		case len(rest) > 0 && !f.Mode.IsDir():
			return "", false
		default:
			at = next
		}
	}
	return at, true
}

// Open returns a reader over the content of a regular file, following links.
// It holds nothing open and needs no closing.
func (t *Tree) Open(path string) (*io.SectionReader, error) {
	at, ok := t.Resolve(path)
	i, there := t.index[at]
	if !ok || !there {
		return nil, ringwall.Errorf(ringwall.NotFound, "opening %q in %s: %w", path, t.from, fs.ErrNotExist)
	}
	f := &t.files[i]
	switch {
	case !f.Mode.IsRegular():
		return nil, ringwall.Errorf(ringwall.Invalid, "opening %q in %s: not a regular file but %s", path, t.from, f.Mode.Type())
	case f.Err != "":
		return nil, ringwall.Errorf(ringwall.Invalid, "opening %q in %s: %s", path, t.from, f.Err)
	case t.data[i] == nil:
		return io.NewSectionReader(unpack.Bytes(nil), 0, 0), nil
	}
	return io.NewSectionReader(t.data[i], 0, f.Size), nil
}

// ReadFile returns the content of a regular file, following links. A file of
// more than max bytes is refused, not cut; read its beginning with Open.
func (t *Tree) ReadFile(path string, max int64) ([]byte, error) {
	r, err := t.Open(path)
	if err != nil {
		return nil, err
	}
	if r.Size() > max {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading %q in %s: %d bytes are more than the %d asked for", path, t.from, r.Size(), max)
	}
	buf := make([]byte, r.Size())
	n, err := r.ReadAt(buf, 0)
	if err != nil && err != io.EOF || n < len(buf) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, ringwall.Errorf(ringwall.Invalid, "reading %q in %s: %w", path, t.from, err)
	}
	return buf, nil
}

func trim(p string) string { return strings.Trim(p, "/") }

// planter builds a tree from the entries of an unpacker, refusing what would
// lie outside it.
type planter struct {
	from    string
	budget  *unpack.Budget
	at      map[string]int
	entries []unpack.Entry
	notes   []string
	dropped int
}

func newPlanter(from string, b *unpack.Budget) *planter {
	return &planter{from: from, budget: b, at: map[string]int{}}
}

// maxNotes bounds what one tree says about its oddities.
const maxNotes = 40

func (p *planter) note(format string, args ...any) {
	if len(p.notes) >= maxNotes {
		p.dropped++
		return
	}
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// add is an unpack.Sink.
func (p *planter) add(e unpack.Entry) error {
	if err := p.budget.File(); err != nil {
		return err
	}
	clean, why := cleanPath(e.Path)
	if why != "" {
		p.note("entry %s is refused: %s", shorten(e.Path), why)
		return nil
	}
	if clean == "" {
		return nil // the root itself
	}
	e.Path = clean
	if !e.Mode.IsRegular() {
		e.Size, e.Content = 0, nil
	}
	if e.Size < 0 {
		e.Err, e.Size, e.Content = fmt.Sprintf("a negative size of %d bytes", e.Size), 0, nil
	}
	if e.Size > 0 && e.Content != nil && !e.Held {
		if err := p.budget.Take(e.Size); err != nil {
			e.Err, e.Content = err.Error(), nil
			p.note("file %s is listed but not read: %v", shorten(clean), err)
		}
	}
	if len(e.Link) > 4096 {
		p.note("link %s is cut: its target has %d bytes", shorten(clean), len(e.Link))
		e.Link = e.Link[:4096]
	}
	if i, twice := p.at[clean]; twice {
		if !e.Mode.IsDir() || !p.entries[i].Mode.IsDir() {
			p.note("the name %s occurs more than once; the last one counts", shorten(clean))
		}
		p.entries[i] = e
		return nil
	}
	p.at[clean] = len(p.entries)
	p.entries = append(p.entries, e)
	return nil
}

// cleanPath makes a path of an archive relative to the root of its tree, or
// tells why it cannot be one.
func cleanPath(p string) (clean, why string) {
	if len(p) > 4096 {
		return "", fmt.Sprintf("a name of %d bytes", len(p))
	}
	if strings.IndexByte(p, 0) >= 0 {
		return "", "a zero byte in its name"
	}
	if !utf8.ValidString(p) {
		p = strings.ToValidUTF8(p, "�")
	}
	depth := 0
	var parts []string
	for name := range strings.SplitSeq(p, "/") {
		switch name {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return "", "it leads outside the tree"
			}
			parts = parts[:len(parts)-1]
		default:
			depth++
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, "/"), ""
}

func shorten(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q…", s[:80])
	}
	return fmt.Sprintf("%q", s)
}

// tree ends the planting: parents that no entry named are added, entries below
// something that is no folder are dropped, hard links get their content.
func (p *planter) tree() *Tree {
	for i := 0; i < len(p.entries); i++ { // grows as parents are added
		if up := path.Dir(p.entries[i].Path); up != "." {
			if _, ok := p.at[up]; !ok {
				p.at[up] = len(p.entries)
				p.entries = append(p.entries, unpack.Entry{Path: up, Mode: fs.ModeDir | 0o755})
			}
		}
	}
	order := make([]int, 0, len(p.entries))
	for i := range p.entries {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(p.entries[a].Path, p.entries[b].Path) })
	t := &Tree{from: p.from, index: make(map[string]int, len(order)), kids: map[string][]int{}}
	for _, i := range order {
		e := &p.entries[i]
		up := path.Dir(e.Path)
		if up == "." {
			up = ""
		} else if j, ok := t.index[up]; !ok || !t.files[j].Mode.IsDir() {
			p.note("entry %s is refused: it lies below what is not a folder", shorten(e.Path))
			continue
		}
		f := File{Path: e.Path, Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, ModTime: e.ModTime, Link: e.Link, From: p.from, Err: e.Err}
		content := e.Content
		if e.HardLink != "" {
			if src := p.source(e); src != nil {
				f.Size, f.Mode, f.Link, f.Err, content = src.Size, src.Mode, src.Link, src.Err, src.Content
			} else {
				f.Err = "the file it is a hard link to is not there"
			}
		}
		n := len(t.files)
		t.index[f.Path] = n
		t.kids[up] = append(t.kids[up], n)
		t.files = append(t.files, f)
		t.data = append(t.data, content)
	}
	if p.dropped > 0 {
		p.notes = append(p.notes, fmt.Sprintf("and %d more remarks of this kind", p.dropped))
	}
	t.notes = p.notes
	return t
}

// source finds the entry that has the content of a hard link.
func (p *planter) source(e *unpack.Entry) *unpack.Entry {
	for range maxLinks {
		clean, why := cleanPath(e.HardLink)
		i, ok := p.at[clean]
		if why != "" || !ok || p.entries[i].Mode.IsDir() {
			return nil
		}
		if e = &p.entries[i]; e.HardLink == "" {
			return e
		}
	}
	return nil
}
