package powercut

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// inode is the kernel's view of a node.
type inode struct {
	fs.Inode
	d *disk
	n *node
}

var (
	_ fs.NodeLookuper   = (*inode)(nil)
	_ fs.NodeGetattrer  = (*inode)(nil)
	_ fs.NodeSetattrer  = (*inode)(nil)
	_ fs.NodeOpener     = (*inode)(nil)
	_ fs.NodeCreater    = (*inode)(nil)
	_ fs.NodeReader     = (*inode)(nil)
	_ fs.NodeWriter     = (*inode)(nil)
	_ fs.NodeFsyncer    = (*inode)(nil)
	_ fs.NodeFlusher    = (*inode)(nil)
	_ fs.NodeAllocater  = (*inode)(nil)
	_ fs.NodeMkdirer    = (*inode)(nil)
	_ fs.NodeUnlinker   = (*inode)(nil)
	_ fs.NodeRmdirer    = (*inode)(nil)
	_ fs.NodeRenamer    = (*inode)(nil)
	_ fs.NodeLinker     = (*inode)(nil)
	_ fs.NodeSymlinker  = (*inode)(nil)
	_ fs.NodeReadlinker = (*inode)(nil)
	_ fs.NodeReaddirer  = (*inode)(nil)
	_ fs.NodeStatfser   = (*inode)(nil)
)

// enter locks the disk, unless its power is off.
func (i *inode) enter() (leave func(), errno syscall.Errno) {
	i.d.mu.Lock()
	if i.d.dead {
		i.d.mu.Unlock()
		return nil, syscall.EIO
	}
	return i.d.mu.Unlock, 0
}

func fill(n *node, out *fuse.Attr) {
	out.Ino, out.Mode, out.Size = n.ino, n.mode, uint64(n.size)
	out.Nlink = uint32(n.nlink)
	if n.isDir() {
		out.Nlink += 2
	}
	if n.link != "" {
		out.Size = uint64(len(n.link))
	}
	out.Blocks, out.Blksize = uint64(len(n.sectors)), 4096
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

// child gives the kernel the inode of n.
func (i *inode) child(ctx context.Context, n *node, out *fuse.EntryOut) *fs.Inode {
	fill(n, &out.Attr)
	return i.NewInode(ctx, &inode{d: i.d, n: n}, fs.StableAttr{Mode: n.mode & syscallType, Ino: n.ino})
}

func (i *inode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	n := i.n.names[name]
	if n == nil {
		return nil, syscall.ENOENT
	}
	return i.child(ctx, n, out), 0
}

func (i *inode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	leave, errno := i.enter()
	if errno != 0 {
		return errno
	}
	defer leave()
	fill(i.n, &out.Attr)
	return 0
}

func (i *inode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	leave, errno := i.enter()
	if errno != 0 {
		return errno
	}
	defer leave()
	if size, ok := in.GetSize(); ok {
		if i.n.isDir() {
			return syscall.EISDIR
		}
		if size > maxFile {
			return syscall.EFBIG
		}
		i.n.truncate(int64(size))
	}
	if mode, ok := in.GetMode(); ok {
		i.n.mode = i.n.mode&syscallType | mode&0o7777
	}
	if t, ok := in.GetMTime(); ok {
		i.n.mtime = t
	}
	fill(i.n, &out.Attr)
	return 0
}

// maxFile bounds a file: all of it is memory.
const maxFile = 1 << 30

func (i *inode) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return nil, 0, errno
	}
	defer leave()
	if flags&syscall.O_TRUNC != 0 {
		i.n.truncate(0)
	}
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (i *inode) Create(ctx context.Context, name string, _ uint32, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	child, errno := i.make(ctx, name, syscallReg|mode&0o7777, "", out)
	return child, nil, fuse.FOPEN_KEEP_CACHE, errno
}

func (i *inode) make(ctx context.Context, name string, mode uint32, link string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	if i.n.names[name] != nil {
		return nil, syscall.EEXIST
	}
	n := i.d.newNode(mode)
	n.link = link
	i.d.alter(entry{i.n, name, n})
	return i.child(ctx, n, out), 0
}

func (i *inode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return i.make(ctx, name, syscallDir|mode&0o7777, "", out)
}

func (i *inode) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return i.make(ctx, name, syscallLink|0o777, target, out)
}

func (i *inode) Readlink(context.Context) ([]byte, syscall.Errno) { return []byte(i.n.link), 0 }

func (i *inode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	return fuse.ReadResultData(dest[:i.n.read(dest, off)]), 0
}

func (i *inode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return 0, errno
	}
	defer leave()
	if off+int64(len(data)) > maxFile {
		return 0, syscall.EFBIG
	}
	i.n.write(data, off)
	return uint32(len(data)), 0
}

func (i *inode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	deaf := i.d.config.Deaf != nil && i.d.config.Deaf(i.Path(nil))
	leave, errno := i.enter()
	if errno != 0 {
		return errno
	}
	defer leave()
	if !deaf {
		i.d.sync(i.n)
	}
	return 0
}

// Flush is close, which makes nothing durable.
func (i *inode) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (i *inode) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	leave, errno := i.enter()
	if errno != 0 {
		return errno
	}
	defer leave()
	const keepSize = 1
	if mode&^keepSize != 0 {
		return syscall.EOPNOTSUPP
	}
	if off+size > maxFile || off+size < off {
		return syscall.EFBIG
	}
	if mode == 0 && int64(off+size) > i.n.size {
		i.n.truncate(int64(off + size))
	}
	return 0
}

func (i *inode) Unlink(_ context.Context, name string) syscall.Errno { return i.remove(name, false) }
func (i *inode) Rmdir(_ context.Context, name string) syscall.Errno  { return i.remove(name, true) }

func (i *inode) remove(name string, dir bool) syscall.Errno {
	leave, errno := i.enter()
	if errno != 0 {
		return errno
	}
	defer leave()
	n := i.n.names[name]
	switch {
	case n == nil:
		return syscall.ENOENT
	case dir && !n.isDir():
		return syscall.ENOTDIR
	case !dir && n.isDir():
		return syscall.EISDIR
	case dir && len(n.names) > 0:
		return syscall.ENOTEMPTY
	}
	i.d.alter(entry{i.n, name, nil})
	return 0
}

const renameNoReplace = 1

func (i *inode) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	leave, errno := i.enter()
	if errno != 0 {
		return errno
	}
	defer leave()
	to := newParent.(*inode).n
	n, old := i.n.names[name], to.names[newName]
	switch {
	case flags&^renameNoReplace != 0:
		return syscall.EINVAL
	case n == nil:
		return syscall.ENOENT
	case old == n:
		return 0
	case old != nil && flags&renameNoReplace != 0:
		return syscall.EEXIST
	case old != nil && old.isDir() && len(old.names) > 0:
		return syscall.ENOTEMPTY
	case old != nil && old.isDir() != n.isDir():
		return syscall.EINVAL
	}
	i.d.alter(entry{to, newName, n}, entry{i.n, name, nil})
	return 0
}

func (i *inode) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	if i.n.names[name] != nil {
		return nil, syscall.EEXIST
	}
	n := target.(*inode).n
	i.d.alter(entry{i.n, name, n})
	return i.child(ctx, n, out), 0
}

func (i *inode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	leave, errno := i.enter()
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	var list []fuse.DirEntry
	for name, n := range i.n.names {
		list = append(list, fuse.DirEntry{Name: name, Ino: n.ino, Mode: n.mode & syscallType})
	}
	return fs.NewListDirStream(list), 0
}

func (i *inode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks, out.Bfree, out.Bavail = 1<<20, 1<<19, 1<<19
	out.Files, out.Ffree = 1<<20, 1<<19
	return 0
}

// attrTimeout is how long the kernel may remember attributes and names. All
// changes come through the kernel, so it never remembers what is not so.
const attrTimeout = time.Minute
