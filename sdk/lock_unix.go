//go:build unix

package sdk

import (
	"os"
	"syscall"

	"github.com/ringwall/ringwall"
)

// lockFileAt holds path until it is closed or the process ends.
func lockFileAt(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ringwall.Errorf(ringwall.Conflict, "another client works in this state directory")
	}
	return f, nil
}
