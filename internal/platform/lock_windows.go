package platform

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes a lock on f that the kernel lets go of when this process
// ends, however it ends.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
}
