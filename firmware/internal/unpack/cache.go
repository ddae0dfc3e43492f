package unpack

import (
	"container/list"
	"io"
	"sync"
)

// Cache keeps decompressed blocks, the least recently used going first. One
// cache serves all volumes of an image.
type Cache struct {
	max int64

	mu   sync.Mutex
	size int64
	at   map[key]*list.Element
	used *list.List // front: used last
}

type key struct {
	owner any
	block int64
}

type cached struct {
	key  key
	data []byte
}

// NewCache returns a cache that holds at most max bytes.
func NewCache(max int64) *Cache {
	return &Cache{max: max, at: map[key]*list.Element{}, used: list.New()}
}

// Get returns the block from the cache or loads it. Two callers may load the
// same block at the same time: that costs time, not correctness. The answer
// is shared and must not be written to.
func (c *Cache) Get(owner any, block int64, load func() ([]byte, error)) ([]byte, error) {
	k := key{owner, block}
	c.mu.Lock()
	if e, ok := c.at[k]; ok {
		c.used.MoveToFront(e)
		data := e.Value.(*cached).data
		c.mu.Unlock()
		return data, nil
	}
	c.mu.Unlock()
	data, err := load()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[k]; !ok && int64(cap(data)) <= c.max {
		c.at[k] = c.used.PushFront(&cached{k, data})
		c.size += int64(cap(data))
		for c.size > c.max {
			last := c.used.Back()
			old := last.Value.(*cached)
			c.used.Remove(last)
			delete(c.at, old.key)
			c.size -= int64(cap(old.data))
		}
	}
	return data, nil
}

// Blocks is content made of blocks of equal size, but for the last, each
// loaded when it is read. A nil block from Load is a hole of zeros.
type Blocks struct {
	Size      int64
	BlockSize int64
	Cache     *Cache
	Load      func(i int64) ([]byte, error)
}

// ReadAt implements io.ReaderAt.
func (b *Blocks) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		if off < 0 || off >= b.Size {
			return done, io.EOF
		}
		i := off / b.BlockSize
		start := i * b.BlockSize
		data, err := b.Cache.Get(b, i, func() ([]byte, error) { return b.Load(i) })
		if err != nil {
			return done, err
		}
		want := min(b.BlockSize, b.Size-start) // the block's length in the file
		from := off - start
		n := int(min(want-from, int64(len(p)-done)))
		have := 0
		if from < int64(len(data)) {
			have = copy(p[done:done+n], data[from:])
		}
		clear(p[done+have : done+n])
		done += n
		off += int64(n)
	}
	return done, nil
}
