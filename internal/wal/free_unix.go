//go:build unix

package wal

import "golang.org/x/sys/unix"

// free returns the bytes that this process may still write to the disk of dir.
func free(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
