package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Site names one place in the code where an fsync is needed, such as
// "journal/frames". Tests leave out the fsyncs of one site at a time.
type Site string

// Disk is the way to fsync. A nil *Disk is the real disk.
type Disk struct {
	// Intercept stands between the code and the fsync at site: it calls sync and
	// returns its error, or, in tests, leaves it out or makes it fail.
	Intercept func(site Site, sync func() error) error
}

// Sync makes the content and size of f durable, not its name.
func (d *Disk) Sync(site Site, f *os.File) error {
	if d == nil || d.Intercept == nil {
		return f.Sync()
	}
	return d.Intercept(site, f.Sync)
}

// SyncDir makes the names in dir durable.
func (d *Disk) SyncDir(site Site, dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.Sync(site, f)
}

// MkdirAll makes dir and its missing parents, and the names of all of them
// durable. That a directory is there does not say that its name is durable: a
// program may have been killed before it synced. So MkdirAll syncs all the way
// up; call it only where the file is missing that is always written next.
func (d *Disk) MkdirAll(site Site, dir string, perm os.FileMode) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		// Whoever may not open a parent has not made a directory in it.
		if err := d.SyncDir(site, dir); err != nil && !errors.Is(err, os.ErrPermission) {
			return err
		}
	}
	return nil
}

// tmpSuffix ends the names of files that are being written; Open removes them.
const tmpSuffix = ".tmp"

// Replace writes data to a temporary file, makes it durable and gives it the
// name path. After a power cut path holds the old content or the new, never a
// mixture; which of the two is certain only after a SyncDir.
func (d *Disk) Replace(site Site, path string, data []byte, perm os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+tmpSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := d.Sync(site, f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// WriteFile replaces the content of path durably: when it returns nil, path
// holds data after any power cut; when it fails, path holds the old content or
// the new. It uses the sites site+"/file" and site+"/dir".
func (d *Disk) WriteFile(site Site, path string, data []byte, perm os.FileMode) error {
	if err := d.Replace(site+"/file", path, data, perm); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := d.SyncDir(site+"/dir", filepath.Dir(path)); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

// WriteFile replaces the content of path durably on the real disk.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	var d *Disk
	return d.WriteFile("file", path, data, perm)
}
