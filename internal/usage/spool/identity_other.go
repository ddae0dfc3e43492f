//go:build !unix

package spool

import "io/fs"

// identity names a file by its name: where files have no number that package os
// tells, a renamed one is not found again.
func identity(info fs.FileInfo) string { return info.Name() }
