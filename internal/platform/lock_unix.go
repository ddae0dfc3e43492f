//go:build unix

package platform

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes a lock on f that the kernel lets go of when this process
// ends, however it ends.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
