package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	diskfs "github.com/diskfs/go-diskfs/filesystem/squashfs"

	"github.com/ringwall/ringwall/firmware"
)

// read is what one reader made of an image.
type read struct {
	files int
	bytes int64
	sum   [32]byte // over names and contents, in the order of names
	cpu   time.Duration
}

func squashfs(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	raw, err = volume(raw)
	if err != nil {
		return err
	}
	only, err := os.CreateTemp("", "ringwall-bench-*.squashfs")
	if err != nil {
		return err
	}
	defer os.Remove(only.Name())
	defer only.Close()
	if _, err := only.Write(raw); err != nil {
		return err
	}
	var first read
	for i, r := range []struct {
		name string
		read func() (read, error)
	}{
		{"ringwall", func() (read, error) { return ours(raw) }},
		{"go-diskfs", func() (read, error) { return peer(only, int64(len(raw))) }},
		{"unsquashfs", func() (read, error) {
			return unpack(only.Name(), "unsquashfs", "-no-progress", "-no-xattrs", "-processors", "1", "-dest", "DIR")
		}},
		{"binwalk", func() (read, error) { return unpack(only.Name(), "binwalk", "--extract", "--directory", "DIR") }},
	} {
		got, err := r.read()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			fmt.Printf("%-10s NOT COMPARED: it is not installed\n", r.name)
			continue
		case err != nil:
			fmt.Printf("%-10s failed: %v\n", r.name, err)
			continue
		}
		if i == 0 {
			first = got
		}
		fmt.Printf("%-10s %d files, %d bytes, %.2f CPU-s (%.2f times ours); the same files with the same contents: %v\n",
			r.name, got.files, got.bytes, got.cpu.Seconds(), got.cpu.Seconds()/first.cpu.Seconds(), got.sum == first.sum)
	}
	return nil
}

// volume cuts the first SquashFS out of an image.
func volume(raw []byte) ([]byte, error) {
	im, err := firmware.Open(bytes.NewReader(raw), int64(len(raw)), firmware.Options{})
	if err != nil {
		return nil, err
	}
	for _, p := range im.Parts {
		if p.Format == "squashfs" {
			return raw[p.Offset : p.Offset+p.Length], nil
		}
	}
	return nil, errors.New("the image holds no SquashFS at its top")
}

func ours(raw []byte) (read, error) {
	before := spent(syscall.RUSAGE_SELF)
	im, err := firmware.Open(bytes.NewReader(raw), int64(len(raw)), firmware.Options{})
	if err != nil {
		return read{}, err
	}
	for _, p := range im.Parts {
		if p.Tree != nil {
			return walk(p.Tree.FS(), before)
		}
	}
	return read{}, errors.New("nothing was unpacked")
}

func peer(f *os.File, size int64) (read, error) {
	before := spent(syscall.RUSAGE_SELF)
	v, err := diskfs.Read(file.New(f, true), size, 0, 0)
	if err != nil {
		return read{}, err
	}
	return walk(v, before)
}

// unpack has a program write the files out, and reads them from there; only the
// program's own time counts. DIR among its arguments is where to.
func unpack(image, program string, args ...string) (read, error) {
	if _, err := exec.LookPath(program); err != nil {
		return read{}, err
	}
	dir, err := os.MkdirTemp("", "ringwall-bench-")
	if err != nil {
		return read{}, err
	}
	defer os.RemoveAll(dir)
	for i, a := range args {
		if a == "DIR" {
			args[i] = filepath.Join(dir, "root")
		}
	}
	before := spent(syscall.RUSAGE_CHILDREN)
	if out, err := exec.Command(program, append(args, image)...).CombinedOutput(); err != nil {
		return read{}, fmt.Errorf("%w: %.200s", err, out)
	}
	took := spent(syscall.RUSAGE_CHILDREN) - before
	r, err := walk(os.DirFS(filepath.Join(dir, "root")), 0)
	r.cpu = took
	return r, err
}

// walk reads every regular file.
func walk(fsys fs.FS, before time.Duration) (read, error) {
	var r read
	h := sha256.New()
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := fsys.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "%s\x00", p)
		n, err := io.Copy(h, f)
		r.files++
		r.bytes += n
		return err
	})
	h.Sum(r.sum[:0])
	r.cpu = spent(syscall.RUSAGE_SELF) - before
	return r, err
}

// spent is the processor time that this process, or its children, have used.
func spent(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
