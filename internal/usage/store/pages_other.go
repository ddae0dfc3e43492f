//go:build !linux

package store

import (
	"errors"
	"unsafe"
)

// pages is not there on this system: lines stay in ordinary memory.
type pages struct {
	base unsafe.Pointer
	open uintptr
	most uintptr
}

func newPages(most, least uintptr) (*pages, error) { return nil, errors.ErrUnsupported }

func (p *pages) grow(n uintptr) error { return errors.ErrUnsupported }

func (p *pages) close() error { return nil }

// mapped says that pages are apart from Go's heap.
const mapped = false
