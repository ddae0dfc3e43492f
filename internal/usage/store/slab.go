package store

import (
	"unsafe"

	"github.com/ringwall/ringwall"
)

// slab is lines, from 0, that are taken 10,000 at a time. Small ones are ordinary
// memory, so that a thousand small tables cost no mapping.
type slab struct {
	base unsafe.Pointer
	open uint64 // lines that may be touched
	most uint64

	small []Line
	pages *pages
}

// smallLines is how many lines are kept in ordinary memory: 4 MiB.
const smallLines = 1 << 16

// ensure opens the first n lines.
func (s *slab) ensure(n uint64) error {
	switch {
	case n <= s.open:
		return nil
	case n > s.most:
		return ringwall.Errorf(ringwall.Unavailable, "the table of cards is full: its limit is %d lines", s.most)
	case !mapped || s.pages == nil && n <= smallLines:
		s.grow(n)
		return nil
	}
	if s.pages == nil {
		if err := s.toPages(n); err != nil {
			return err
		}
	}
	if err := s.pages.grow(uintptr(n) * LineBytes); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "memory for %d lines of cards: %w", n, err)
	}
	s.open = min(uint64(s.pages.open/LineBytes), s.most)
	return nil
}

// grow makes room in ordinary memory.
func (s *slab) grow(n uint64) {
	size := max(2*s.open, 64)
	if size < n {
		size = n
	}
	more := make([]Line, min(size, s.most))
	copy(more, s.small)
	s.small, s.open = more, uint64(len(more))
	s.base = unsafe.Pointer(unsafe.SliceData(more))
}

// toPages moves the lines out of ordinary memory, once.
func (s *slab) toPages(n uint64) error {
	p, err := newPages(uintptr(s.most)*LineBytes, uintptr(n)*LineBytes)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "addresses for %d lines of cards: %w", n, err)
	}
	if err := p.grow(uintptr(n) * LineBytes); err != nil {
		_ = p.close() // nothing was kept in it
		return ringwall.Errorf(ringwall.Unavailable, "memory for %d lines of cards: %w", n, err)
	}
	s.most = min(s.most, uint64(p.most/LineBytes))
	copy(unsafe.Slice((*Line)(p.base), len(s.small)), s.small)
	s.pages, s.base, s.small = p, p.base, nil
	return nil
}

func (s *slab) line(at uint32) *Line { return (*Line)(unsafe.Add(s.base, uintptr(at)*LineBytes)) }

// lines are n lines from at on.
func (s *slab) lines(at uint32, n int) []Line {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(s.line(at), n)
}

// close gives the memory back.
func (s *slab) close() error {
	p := s.pages
	*s = slab{most: s.most}
	if p == nil {
		return nil
	}
	return p.close()
}
