//go:build amd64 || arm64

package store

import "unsafe"

// prefetch asks the processor to fetch base + at[i]<<shift for i below n. It
// touches nothing: a place that is not there does no harm.
//
//go:noescape
func prefetch(base unsafe.Pointer, at *uint32, n, shift uint64)
