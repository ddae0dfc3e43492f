package firmware

import (
	"io"
	"io/fs"
	"path"
	"time"
)

// FS returns the tree as a file system. As with os.DirFS, Open and Stat follow
// links; here they cannot lead outside. It implements fs.ReadDirFS,
// fs.ReadFileFS, fs.StatFS and fs.ReadLinkFS.
func (t *Tree) FS() fs.FS { return treeFS{t} }

type treeFS struct{ t *Tree }

func (f treeFS) find(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at, ok := f.t.Resolve(name)
	if !ok {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return at, nil
}

func (f treeFS) Open(name string) (fs.File, error) {
	at, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	info := f.info(at, path.Base(name))
	if info.file.Mode.IsRegular() {
		r, err := f.t.Open(at)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return &openFile{r, info}, nil
	}
	return &openDir{info: info, name: name, left: f.list(at)}, nil
}

func (f treeFS) ReadFile(name string) ([]byte, error) {
	at, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	data, err := f.t.ReadFile(at, 1<<62)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

func (f treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := f.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !f.info(at, "").IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	return f.list(at), nil
}

func (f treeFS) Stat(name string) (fs.FileInfo, error) {
	at, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	return f.info(at, path.Base(name)), nil
}

func (f treeFS) lookup(op, name string) (File, error) {
	if !fs.ValidPath(name) {
		return File{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	dir, ok := f.t.Resolve(path.Dir(name))
	file, there := f.t.Stat(path.Join(dir, path.Base(name)))
	if !ok || !there {
		return File{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return file, nil
}

func (f treeFS) Lstat(name string) (fs.FileInfo, error) {
	if name == "." {
		return f.info("", "."), nil
	}
	file, err := f.lookup("lstat", name)
	if err != nil {
		return nil, err
	}
	return fileInfo{file, path.Base(name)}, nil
}

func (f treeFS) ReadLink(name string) (string, error) {
	file, err := f.lookup("readlink", name)
	if err != nil {
		return "", err
	}
	if file.Mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return file.Link, nil
}

func (f treeFS) info(at, name string) fileInfo {
	if i, ok := f.t.index[at]; ok {
		return fileInfo{f.t.files[i], name}
	}
	return fileInfo{File{Mode: fs.ModeDir | 0o755}, name}
}

func (f treeFS) list(at string) []fs.DirEntry {
	kids := f.t.kids[at]
	out := make([]fs.DirEntry, 0, len(kids))
	for _, i := range kids {
		file := f.t.files[i]
		out = append(out, fs.FileInfoToDirEntry(fileInfo{file, path.Base(file.Path)}))
	}
	return out
}

type fileInfo struct {
	file File
	name string
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.file.Size }
func (i fileInfo) Mode() fs.FileMode  { return i.file.Mode }
func (i fileInfo) ModTime() time.Time { return i.file.ModTime }
func (i fileInfo) IsDir() bool        { return i.file.Mode.IsDir() }

// Sys returns the File itself.
func (i fileInfo) Sys() any { return i.file }

type openFile struct {
	*io.SectionReader
	info fileInfo
}

func (o *openFile) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *openFile) Close() error               { return nil }

type openDir struct {
	info fileInfo
	name string
	left []fs.DirEntry
}

func (o *openDir) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *openDir) Close() error               { return nil }
func (o *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: o.name, Err: fs.ErrInvalid}
}

func (o *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		all := o.left
		o.left = nil
		return all, nil
	}
	if len(o.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(o.left))
	some := o.left[:n]
	o.left = o.left[n:]
	return some, nil
}
