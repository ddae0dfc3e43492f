// Package unpack holds what all readers of firmware formats share: the entry
// they yield, the budget they draw on, and content that is read by blocks.
//
// A reader walks a volume once and yields entries; it does not read file
// content while it walks. Content is an io.ReaderAt that decompresses a block
// when it is asked for it and keeps it in a cache of bounded size. Nothing is
// ever written to disk and no goroutine is started.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"
)

// Entry is one name in a volume, as its format tells it. The path is not yet
// trusted: who receives it cleans it.
type Entry struct {
	Path     string
	Mode     fs.FileMode
	UID, GID int
	Size     int64 // of a regular file
	ModTime  time.Time
	Link     string      // target of a symbolic link
	HardLink string      // path of the entry that has the content, if not this one
	Content  io.ReaderAt // of a regular file; nil when there is none to read
	Held     bool        // the content is in memory already and drawn from the budget
	Err      string      // why the content cannot be read
}

// Sink receives entries. An error means that the walk must end: the budget is
// spent or the context is done.
type Sink func(Entry) error

// ErrBudget marks every refusal that comes from a limit.
var ErrBudget = errors.New("over the limit")

// Budget bounds what the unpacking of one image may take. It is drawn on by
// all readers of the image; its methods may be called concurrently.
type Budget struct {
	ctx      context.Context
	maxBytes int64
	maxFiles int64
	maxRatio int64
	bytes    atomic.Int64
	files    atomic.Int64
	Cache    *Cache
}

// NewBudget returns a budget. The context is kept: it lives as long as the
// unpacking, not as long as the image.
func NewBudget(ctx context.Context, maxBytes, maxFiles, maxRatio int64) *Budget {
	cache := min(maxBytes/4, 64<<20)
	return &Budget{ctx: ctx, maxBytes: maxBytes, maxFiles: maxFiles, maxRatio: maxRatio, Cache: NewCache(cache)}
}

// Check reports the end of the context.
func (b *Budget) Check() error { return b.ctx.Err() }

// Take draws n bytes of memory or output.
func (b *Budget) Take(n int64) error {
	if n < 0 {
		return fmt.Errorf("a negative size of %d bytes", n)
	}
	if b.bytes.Add(n) > b.maxBytes {
		b.bytes.Add(-n)
		return fmt.Errorf("%d bytes more would pass the %d bytes allowed for one image: %w", n, b.maxBytes, ErrBudget)
	}
	return nil
}

// Give returns n bytes that are no longer held.
func (b *Budget) Give(n int64) { b.bytes.Add(-n) }

// Left tells how many bytes may still be drawn.
func (b *Budget) Left() int64 { return max(0, b.maxBytes-b.bytes.Load()) }

// File counts one entry.
func (b *Budget) File() error {
	if n := b.files.Add(1); n > b.maxFiles {
		return fmt.Errorf("more than the %d files allowed for one image: %w", b.maxFiles, ErrBudget)
	}
	if err := b.ctx.Err(); err != nil {
		return err
	}
	return nil
}

// ratioFree is how much a compressed stream may yield whatever its ratio: an
// erased region of flash compresses thousandfold and is harmless at this size.
const ratioFree = 32 << 20

// ReadAll reads a decompressing stream whole into memory, within the budget
// and within the allowed ratio to the size of its compressed form. On an error
// it returns what was read: half an archive still tells something.
func (b *Budget) ReadAll(r io.Reader, compressed int64) (*Held, error) {
	limit := int64(1) << 62
	if compressed >= 0 && compressed < limit/b.maxRatio {
		limit = max(ratioFree, compressed*b.maxRatio)
	}
	h := &Held{}
	for {
		if err := b.ctx.Err(); err != nil {
			return h, err
		}
		if h.Size > limit {
			return h, fmt.Errorf("%d compressed bytes yield more than %d times as much: %w", compressed, b.maxRatio, ErrBudget)
		}
		room, err := h.room(b)
		if err != nil {
			return h, err
		}
		n, err := r.Read(room)
		h.grow(n)
		if err == io.EOF {
			return h, nil
		}
		if err != nil {
			return h, err
		}
	}
}

// Drop returns what is held to the budget.
func (b *Budget) Drop(h *Held) {
	for _, c := range h.chunks {
		b.Give(int64(cap(c)))
	}
	h.chunks, h.Size = nil, 0
}

// Held is content in memory, in chunks so that growing never copies it.
type Held struct {
	Size   int64
	chunks [][]byte
}

const (
	firstChunk = 16 << 10
	heldChunk  = 1 << 20
)

// room returns space to read into, drawing a new chunk when the last is full.
// The first chunks are small: most streams of a firmware are.
func (h *Held) room(b *Budget) ([]byte, error) {
	n := len(h.chunks)
	if n == 0 || len(h.chunks[n-1]) == cap(h.chunks[n-1]) {
		size := firstChunk
		if n > 0 {
			size = heldChunk
		}
		if err := b.Take(int64(size)); err != nil {
			return nil, err
		}
		h.chunks = append(h.chunks, make([]byte, 0, size))
		n++
	}
	c := h.chunks[n-1]
	return c[len(c):cap(c)], nil
}

func (h *Held) grow(n int) {
	last := len(h.chunks) - 1
	h.chunks[last] = h.chunks[last][:len(h.chunks[last])+n]
	h.Size += int64(n)
}

// ReadAt implements io.ReaderAt.
func (h *Held) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		if off < 0 || off >= h.Size {
			return done, io.EOF
		}
		i, in := 0, off
		if off >= firstChunk {
			i, in = int((off-firstChunk)/heldChunk)+1, (off-firstChunk)%heldChunk
		}
		n := copy(p[done:], h.chunks[i][in:])
		done += n
		off += int64(n)
	}
	return done, nil
}

// Bytes is content that is in memory already.
type Bytes []byte

// ReadAt implements io.ReaderAt.
func (b Bytes) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// At reads exactly n bytes at off, refusing what lies outside size.
func At(r io.ReaderAt, size, off, n int64) ([]byte, error) {
	if n < 0 || off < 0 || off > size || n > size-off {
		return nil, fmt.Errorf("%d bytes at offset %#x lie outside the volume of %d bytes", n, off, size)
	}
	buf := make([]byte, n)
	if _, err := r.ReadAt(buf, off); err != nil && err != io.EOF {
		return nil, err
	}
	return buf, nil
}
