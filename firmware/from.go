package firmware

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// FromDir makes a tree of an unpacked root file system on disk. Files are
// opened when they are read, through the folder as root, so that no link leads
// outside it; the folder must stay in place as long as the tree is used.
func FromDir(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "opening folder %q: %w", dir, err)
	}
	defer root.Close()
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "opening folder %q: %w", dir, err)
	}
	return fromFS(root.FS(), "dir", func(name string, size int64) io.ReaderAt { return dirFile{abs, name} })
}

// FromFS makes a tree of a file system. Files are opened when they are read.
func FromFS(fsys fs.FS) (*Tree, error) {
	return fromFS(fsys, "fs", func(name string, size int64) io.ReaderAt { return fsFile{fsys, name, size} })
}

func fromFS(fsys fs.FS, from string, content func(string, int64) io.ReaderAt) (*Tree, error) {
	o := Options{}.withDefaults()
	b := unpack.NewBudget(context.Background(), 1<<62, int64(o.MaxFiles), int64(o.MaxRatio))
	p := newPlanter(from, b)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == "." {
				return err
			}
			p.note("%s cannot be read: %v", shorten(name), err)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			p.note("%s cannot be read: %v", shorten(name), err)
			return nil
		}
		e := unpack.Entry{Path: name, Mode: info.Mode(), ModTime: info.ModTime()}
		e.UID, e.GID = owner(info)
		switch {
		case info.Mode().IsRegular():
			e.Size = info.Size()
			e.Content = content(name, e.Size)
		case info.Mode()&fs.ModeSymlink != 0:
			if e.Link, err = fs.ReadLink(fsys, name); err != nil {
				p.note("link %s cannot be read: %v", shorten(name), err)
			}
		}
		return p.add(e)
	})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "walking the unpacked firmware: %w", err)
	}
	return p.tree(), nil
}

// dirFile is a file below a folder, opened anew for each read: a tree of ten
// thousand files must not hold ten thousand descriptors.
type dirFile struct{ dir, name string }

func (d dirFile) ReadAt(p []byte, off int64) (int, error) {
	f, err := os.OpenInRoot(d.dir, filepath.FromSlash(d.name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(p, off)
}

type fsFile struct {
	fsys fs.FS
	name string
	size int64
}

func (f fsFile) ReadAt(p []byte, off int64) (int, error) {
	file, err := f.fsys.Open(f.name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if r, ok := file.(io.ReaderAt); ok {
		return r.ReadAt(p, off)
	}
	if _, err := io.CopyN(io.Discard, file, off); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(file, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
