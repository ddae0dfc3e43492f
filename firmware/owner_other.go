//go:build !unix

package firmware

import "io/fs"

// owner knows no owners where the file system has none.
func owner(info fs.FileInfo) (uid, gid int) {
	if f, ok := info.Sys().(File); ok {
		return f.UID, f.GID
	}
	return 0, 0
}
