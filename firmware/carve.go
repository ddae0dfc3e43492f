package firmware

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
)

// view is a stretch of bytes that is searched as a whole.
type view struct {
	io.ReaderAt
	size int64
}

// sub is the part of a view from off, at most n bytes long.
func (v view) sub(off, n int64) view {
	n = max(0, min(n, v.size-off))
	return view{io.NewSectionReader(v.ReaderAt, off, n), n}
}

// head reads up to n bytes at off.
func (v view) head(off, n int64) []byte {
	if off < 0 || off >= v.size {
		return nil
	}
	buf := make([]byte, min(n, v.size-off))
	got, _ := v.ReadAt(buf, off)
	return buf[:got]
}

func (v view) section() *io.SectionReader { return io.NewSectionReader(v.ReaderAt, 0, v.size) }

// scope says where in the image the work is.
type scope struct {
	place string
	depth int
}

func place(prefix, format string, off int64) string {
	at := fmt.Sprintf("%s@%#x", format, off)
	if prefix != "" {
		return prefix + "/" + at
	}
	return at
}

// place is where a part stands below prefix: its name when what is around it
// gave it one, else its format and offset.
func (p *Part) place(prefix string, off int64) string {
	switch p.Format {
	case "file", "fit-image", "android-partition", "ubi-volume":
		if p.Name != "" {
			if prefix != "" {
				return prefix + "/" + p.Name
			}
			return p.Name
		}
	}
	return place(prefix, p.Format, off)
}

// below is the scope inside a part that is named by what is around it.
func (s scope) below(p *Part) scope { return scope{p.place(s.place, p.Offset), s.depth + 1} }

// into is the scope inside a part.
func (s scope) into(format string, off int64) scope {
	return scope{place(s.place, format, off), s.depth + 1}
}

// unpacker opens one image. It lives as long as Open runs, on its goroutine.
type unpacker struct {
	options Options
	image   *Image
	budget  *unpack.Budget
	codec   codec.Decoder
	trials  int // what was spent on streams and archives that were none
	parts   int
}

// Limits on what one image may make the carver do. A camera's flash dump has
// some twenty parts and a few dozen streams that turn out to be none.
const (
	maxTrials = 4_000
	maxParts  = 5_000
	window    = 1 << 20
	overlap   = 2 << 10 // more than the farthest magic from its start
)

// signature is a magic and the reader of what it announces.
type signature struct {
	at    int // where the magic stands within its format
	magic string
	// open validates and unpacks; nil means the magic was chance. head starts
	// at off and has what the window still has, up to overlap bytes.
	open func(u *unpacker, v view, off int64, head []byte, s scope) *Part
}

func (u *unpacker) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, have := range u.image.Notes {
		if have == text {
			return
		}
	}
	if len(u.image.Notes) < maxNotes {
		u.image.Notes = append(u.image.Notes, text)
	}
}

// index sorts signatures by the first two bytes of their magic.
func index(all []signature) map[uint16][]signature {
	m := map[uint16][]signature{}
	for _, s := range all {
		k := uint16(s.magic[0])<<8 | uint16(s.magic[1])
		m[k] = append(m[k], s)
	}
	return m
}

// carve finds the parts of a view, in order and not overlapping: what lies
// inside a part that was believed is that part's business.
func (u *unpacker) carve(v view, s scope) []Part {
	if s.depth > u.options.MaxDepth {
		u.note("%s: images are nested more than %d deep; what is inside was not opened", s.place, u.options.MaxDepth)
		return nil
	}
	sigs := index(signatures())
	var first [1 << 16]bool
	for k := range sigs {
		first[k] = true
	}
	var parts []Part
	free := int64(0) // what is before is taken
	buf := make([]byte, min(window+overlap, v.size))
	for base := int64(0); base < v.size; {
		if u.budget.Check() != nil {
			return parts
		}
		n, err := v.ReadAt(buf[:min(int64(len(buf)), v.size-base)], base)
		if err != nil && err != io.EOF {
			u.note("%s: reading at %#x: %v", s.place, base, err)
			return parts
		}
		win := buf[:n]
		jump := base + window
		for i := 0; i+1 < len(win) && i < window; i++ {
			k := uint16(win[i])<<8 | uint16(win[i+1])
			if !first[k] {
				continue
			}
			p := u.try(sigs[k], v, base, win, i, free, s)
			if p == nil {
				continue
			}
			if u.parts++; u.parts > maxParts {
				u.note("more than %d parts; the rest of %s was not searched", maxParts, s.place)
				return parts
			}
			parts = u.gap(parts, v, free, p.Offset, s)
			parts = append(parts, *p)
			free = p.Offset + max(p.Length, 1)
			if free >= base+window {
				jump = free
				break
			}
			i = int(free-base) - 1
		}
		base = jump
	}
	return u.gap(parts, v, free, v.size, s)
}

// try opens what stands at index i of the window, if a signature holds.
func (u *unpacker) try(sigs []signature, v view, base int64, win []byte, i int, free int64, s scope) *Part {
	for _, sig := range sigs {
		if !bytes.HasPrefix(win[i:], []byte(sig.magic)) {
			continue
		}
		off := base + int64(i-sig.at)
		if off < free || off < 0 {
			continue
		}
		var head []byte
		if i >= sig.at && len(win)-i >= overlap {
			head = win[i-sig.at : i-sig.at+overlap]
		} else {
			head = v.head(off, overlap)
		}
		if p := sig.open(u, v, off, head, s); p != nil {
			p.Offset = off
			p.Length = min(p.Length, v.size-off)
			return p
		}
	}
	return nil
}

// plant runs a reader of a file system or archive into a new tree of the part.
func (u *unpacker) plant(p *Part, off int64, s scope, read func(unpack.Sink) error) {
	from := place(s.place, p.Format, off)
	pl := newPlanter(from, u.budget)
	if err := read(pl.add); err != nil {
		p.Err = err.Error()
	}
	p.Tree = pl.tree()
}
