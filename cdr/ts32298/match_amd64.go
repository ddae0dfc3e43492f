package ts32298

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// window says what 32 octets are, as check does of eight. It is laid out for
// matchAVX2.
type window struct {
	want, mask [32]byte
	size       int // of the group
	at         int
	more       int // not zero when another window of the group follows
	least      int // octets of a record from the group's first on
}

// matchAVX2 finds where the groups of a record begin whose contents begin at p of n
// octets, and returns where it ends; -1 = it is not of the shape, but for ends.
//
//go:noescape
func matchAVX2(b *byte, n, p int, w *window, groups int, at *bases) int

// match is matchGo, by vectors where the processor has them and the shape is
// wide enough.
func (s *shape) match(b []byte, p int, at *bases) int {
	if len(s.windows) == 0 {
		return s.matchGo(b, p, at)
	}
	to := matchAVX2(unsafe.SliceData(b), len(b), p, &s.windows[0], len(s.groups), at)
	if to < 0 || !s.closed(b, at) {
		return -1
	}
	return to
}

// widen makes the windows of a shape whose groups have these octets, if it can.
func (s *shape) widen(groups [][]octet) {
	if !cpu.X86.HasAVX2 {
		return
	}
	behind := 0
	for _, in := range groups {
		behind += len(in)
	}
	front := 2
	for _, in := range groups {
		// What a window has behind its group or in front of it, it does not look at.
		first := len(s.windows)
		for i := 0; i < len(in) || first == len(s.windows); i++ {
			if i < len(in) && in[i].mask == 0 {
				continue
			}
			w := window{size: len(in), at: min(i, behind-32), more: 1, least: behind}
			if front+w.at < 0 {
				s.windows = nil
				return
			}
			for j := range w.want {
				if at := w.at + j; at >= i && at < len(in) {
					w.want[j], w.mask[j] = in[at].want, in[at].mask
				}
			}
			s.windows = append(s.windows, w)
			i = w.at + len(w.want) - 1
		}
		s.windows[len(s.windows)-1].more = 0
		front += len(in)
		behind -= len(in)
	}
}
