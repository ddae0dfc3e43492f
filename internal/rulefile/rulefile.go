//go:build unix

// Package rulefile keeps what the agent wants of processes of its own, such as
// the DNS guard and the inspector: one file each, read by them and written by
// the agent.
//
// Replace writes all files of a new policy and puts the same policy into the
// kernel, under one exclusive lock. Who must not act by an old file while the
// kernel changes takes the lock shared and looks whether the file has changed;
// looking costs one system call (Loader). When the kernel refuses, the former
// files are put back. A crash in between leaves new files with the old rules in
// the kernel: readers then open less than they could, until the agent applies
// again.
//
// Files are replaced by renaming (package durable), never written in place, so
// that a reader sees a whole one. The package has no goroutines but that of
// Watch, which ends with its context.
package rulefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// Max bounds what is read of a file.
const Max = 64 << 20

// File is one file of a new policy.
type File struct {
	Path string
	Data []byte
}

// LockOf returns the path of the lock beside a file.
func LockOf(path string) string { return path + ".lock" }

// Replace replaces files and runs apply (nil = nothing) under the exclusive
// lock.
func Replace(lock string, apply func() error, files ...File) error {
	unlock, err := take(lock, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	former := make([][]byte, len(files))
	for i, f := range files {
		if former[i], err = os.ReadFile(f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("reading the former %q: %w", f.Path, err)
		}
	}
	back := func(n int, err error) error {
		for i, f := range files[:n] {
			if former[i] != nil {
				err = errors.Join(err, durable.WriteFile(f.Path, former[i], 0o600))
			} else {
				err = errors.Join(err, os.Remove(f.Path))
			}
		}
		return err
	}
	for i, f := range files {
		if err := durable.WriteFile(f.Path, f.Data, 0o600); err != nil {
			return back(i, fmt.Errorf("writing %q: %w", f.Path, err))
		}
	}
	if apply == nil {
		return nil
	}
	if err := apply(); err != nil {
		return back(len(files), err)
	}
	return nil
}

// Share takes the lock shared: while it is held, nobody replaces.
func Share(lock string) (unlock func(), err error) { return take(lock, unix.LOCK_SH) }

// take waits for the lock.
func take(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err == nil {
			return func() { f.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %q: %w", path, err)
		}
	}
}

// Read reads a file of bounded size.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, Max+1))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if len(data) > Max {
		return nil, ringwall.Errorf(ringwall.Invalid, "%q has more than %d bytes", path, Max)
	}
	return data, nil
}

// Loader keeps what a file says, read anew when the file has changed. It may be
// used from several goroutines.
type Loader[T any] struct {
	path  string
	parse func([]byte) (*T, error)

	mu     sync.Mutex // guards what follows
	value  *T
	loaded fileID
}

// fileID tells one version of a file from the next.
type fileID struct {
	ino, size uint64
	sec, nsec int64
}

// NewLoader returns a loader of the file at path.
func NewLoader[T any](path string, parse func([]byte) (*T, error)) *Loader[T] {
	return &Loader[T]{path: path, parse: parse}
}

// Load returns what stands in the file now. While the file is there and cannot
// be read, the last that could be stays; without a file it fails.
func (l *Loader[T]) Load() (*T, error) {
	var st unix.Stat_t
	if err := unix.Stat(l.path, &st); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.value != nil && !errors.Is(err, unix.ENOENT) {
			return l.value, nil
		}
		return nil, &os.PathError{Op: "reading", Path: l.path, Err: err}
	}
	id := idOf(&st)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.value != nil && l.loaded == id {
		return l.value, nil
	}
	data, err := Read(l.path)
	var v *T
	if err == nil {
		v, err = l.parse(data)
	}
	if err != nil {
		if l.value != nil {
			return l.value, nil
		}
		return nil, err
	}
	l.value, l.loaded = v, id
	return v, nil
}

func idOf(st *unix.Stat_t) fileID {
	return fileID{uint64(st.Ino), uint64(st.Size), int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}
}
