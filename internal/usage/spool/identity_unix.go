//go:build unix

package spool

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity names a file on its file system, whatever its path.
func identity(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return info.Name()
}
