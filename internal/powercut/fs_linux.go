package powercut

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Config says how the file system behaves.
type Config struct {
	// NamesWithFiles makes the fsync of a file make durable also its name and
	// those of the directories above it, as ext4 does.
	NamesWithFiles bool
	// Deaf, if not nil, is asked for each fsync whether it is to have no effect,
	// by the path of the file in the mount: so that a test of software whose
	// fsyncs cannot be left out one by one can prove that it would notice.
	Deaf func(path string) bool
}

// FS is a mounted file system whose power can be cut.
type FS struct {
	dir    string
	mu     sync.Mutex
	disk   *disk
	server *fuse.Server
	closed bool
}

// Mount mounts an empty file system on the directory dir.
func Mount(dir string, c Config) (*FS, error) {
	f := &FS{dir: dir}
	if err := f.mount(newDisk(c)); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *FS) mount(d *disk) error {
	timeout := attrTimeout
	root := &inode{d: d, n: d.root}
	server, err := fs.Mount(f.dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{
			DirectMountStrict: true,
			FsName:            "powercut",
			Name:              "powercut",
			MaxWrite:          128 << 10,
			DisableXAttrs:     true,
		},
		EntryTimeout:    &timeout,
		AttrTimeout:     &timeout,
		NullPermissions: true,
		RootStableAttr:  &fs.StableAttr{Ino: d.root.ino},
	})
	if err != nil {
		return fmt.Errorf("mounting a power-cut file system on %q (it needs root and /dev/fuse): %w", f.dir, err)
	}
	f.disk, f.server = d, server
	return nil
}

// Cut cuts the power: from now on nothing that open files do has an effect
// (they get EIO), and dir shows what survived. Programs that write must have
// ended, or must stand these errors.
func (f *FS) Cut(s Survival) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disk.mu.Lock()
	f.disk.dead = true
	next := f.disk.survivors(s)
	f.disk.mu.Unlock()
	if err := unix.Unmount(f.dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %q: %w", f.dir, err)
	}
	return f.mount(next)
}

// Syncs returns how many fsyncs have arrived since the last cut.
func (f *FS) Syncs() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.disk.syncs
}

// closeWait is how long Close waits for the server of the mount to end.
const closeWait = time.Second

// Close unmounts. Everything in the file system is gone. The goroutines that
// serve it end when the last file in it is closed; usually that is at once.
// But a mount namespace that somebody else made meanwhile has a copy of the
// mount, and keeps them for as long as it lives: Close does not wait for that.
// Nothing that comes after it has an effect.
func (f *FS) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.disk.mu.Lock()
	f.disk.dead = true
	f.disk.mu.Unlock()
	if err := unix.Unmount(f.dir, unix.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("unmounting %q: %w", f.dir, err)
	}
	done := make(chan struct{})
	go func() {
		f.server.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeWait):
	}
	return nil
}
