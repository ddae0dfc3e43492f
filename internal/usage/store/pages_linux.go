package store

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// hugePage is the size and alignment of a large page of amd64 and arm64.
	hugePage = 2 << 20
	// step is how much memory is opened at once.
	step = 32 * hugePage
)

// pages is an address range of which a first part is open for use. It never
// moves. It is given back when nobody refers to it.
type pages struct {
	raw  []byte // as mapped
	gone runtime.Cleanup
	base unsafe.Pointer
	open uintptr // bytes
	most uintptr
}

// newPages claims addresses for most bytes, and no memory. Where the limits of
// the process forbid so many it takes the most that they allow, at least least.
func newPages(most, least uintptr) (*pages, error) {
	const mask = hugePage - 1
	most, least = (max(most, least)+mask)&^mask, (least+mask)&^mask
	for {
		raw, err := unix.Mmap(-1, 0, int(most+hugePage), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err == nil {
			start := unsafe.Pointer(unsafe.SliceData(raw))
			skip := -uintptr(start) & mask
			p := &pages{raw: raw, base: unsafe.Add(start, skip), most: most}
			p.gone = runtime.AddCleanup(p, func(raw []byte) { _ = unix.Munmap(raw) }, raw)
			return p, nil
		}
		if most == least {
			return nil, err
		}
		most = max((most/2+mask)&^mask, least)
	}
}

// grow opens the first n bytes.
func (p *pages) grow(n uintptr) error {
	if n <= p.open {
		return nil
	}
	if n > p.most {
		return unix.ENOMEM
	}
	to := min((n+step-1)/step*step, p.most)
	more := unsafe.Slice((*byte)(unsafe.Add(p.base, p.open)), to-p.open)
	if err := unix.Mprotect(more, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	// Large pages are a matter of speed: a kernel without them is no error.
	_ = unix.Madvise(more, unix.MADV_HUGEPAGE)
	p.open = to
	return nil
}

// close gives everything back now.
func (p *pages) close() error {
	p.gone.Stop()
	return unix.Munmap(p.raw)
}

// mapped says that pages are apart from Go's heap.
const mapped = true
