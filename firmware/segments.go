package firmware

import (
	"cmp"
	"io"
	"slices"
)

// segments is content put together of pieces, as sparse images and updates
// describe it. What no piece covers is zero.
type segments struct {
	size int64
	list []segment // sorted by start
}

type segment struct {
	start, length int64
	from          io.ReaderAt // nil: fill
	at            int64       // where in from the piece begins
	fill          [4]byte
}

func (s *segments) add(g segment) {
	if g.length > 0 {
		s.list = append(s.list, g)
		s.size = max(s.size, g.start+g.length)
	}
}

func (s *segments) sort() {
	slices.SortStableFunc(s.list, func(a, b segment) int { return cmp.Compare(a.start, b.start) })
}

// ReadAt implements io.ReaderAt.
func (s *segments) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		if off < 0 || off >= s.size {
			return done, io.EOF
		}
		i, found := slices.BinarySearchFunc(s.list, off, func(g segment, at int64) int { return cmp.Compare(g.start, at) })
		if !found {
			i--
		}
		n := min(int64(len(p)-done), s.size-off)
		if i+1 < len(s.list) {
			n = min(n, s.list[i+1].start-off)
		}
		if i+1 < len(s.list) && s.list[i+1].start == off && n == 0 { // pieces that overlap: the later one counts
			i++
			n = min(int64(len(p)-done), s.size-off)
		}
		b := p[done : done+int(n)]
		if i < 0 || off >= s.list[i].start+s.list[i].length {
			clear(b)
		} else {
			g := s.list[i]
			in := off - g.start
			b = b[:min(int64(len(b)), g.length-in)]
			if g.from == nil {
				for k := range b {
					b[k] = g.fill[(in+int64(k))%4]
				}
			} else if k, err := g.from.ReadAt(b, g.at+in); k < len(b) {
				if err == nil || err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return done + k, err
			}
		}
		done += len(b)
		off += int64(len(b))
	}
	return done, nil
}
