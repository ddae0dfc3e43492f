package usage

import (
	"io"
	"sync"
	"sync/atomic"
)

// taking is a snapshot of one engine on its way to a file: the engine's goroutine
// fills buffers when there are empty ones, another writes them.
type taking struct {
	s     *Snapshot
	room  chan []byte // empty buffers
	out   chan []byte // full ones, in order
	ready func()      // called once, when little is left
	once  sync.Once
	extra int // lines that were copied again
	lines int

	written sync.WaitGroup
	w       frameWriter
	failed  atomic.Bool
}

const (
	// buffers are how many parts are on their way to the disk.
	buffers = 3
	// lastLines is how many changed lines may be left for the end: about 2 ms of
	// copying.
	lastLines = 1 << 15
	// waitingParts is how many parts may wait at the end, so that the engine does
	// not wait for the disk: 64 MiB at most.
	waitingParts = 64
)

// take begins a snapshot on the engine's goroutine. ready is called when the rest
// is small.
func take(e *Engine, w io.Writer, ready func()) (*taking, error) {
	s, err := e.BeginSnapshot()
	if err != nil {
		return nil, err
	}
	t := &taking{s: s, room: make(chan []byte, buffers), out: make(chan []byte, waitingParts), ready: ready, lines: s.Left()}
	for range buffers {
		t.room <- nil
	}
	t.w.w = w
	t.written.Go(t.write)
	return t, nil
}

// more reports whether there is enough left to go on copying. When changes come
// faster than they are written, copying again and again ends: the rest is taken
// at the end, however much it is.
func (t *taking) more() bool {
	n, first := t.s.copy.Changed()
	if !t.failed.Load() && (first || n > lastLines && t.extra < 2*t.lines+lastLines) {
		return true
	}
	t.once.Do(t.ready)
	return false
}

// step copies a part into an empty buffer.
func (t *taking) step(b []byte) {
	b, ok := t.s.next(b[:0])
	if !ok {
		t.room <- b
		return
	}
	if len(t.s.ch.Places) > 0 {
		t.extra += len(t.s.ch.Places)
	}
	t.out <- b
}

// finish takes the rest, and ends the image.
func (t *taking) finish(position []byte) error {
	defer close(t.out)
	return t.s.finish(position, func(b []byte) { t.out <- b })
}

// drop ends the image without an end.
func (t *taking) drop() {
	t.s.Drop()
	close(t.out)
}

// write writes parts until there are no more; after an error it throws them
// away.
func (t *taking) write() {
	t.w.raw([]byte(snapshotMagic))
	for b := range t.out {
		t.w.frame(b)
		if t.w.err != nil {
			t.failed.Store(true)
		}
		select {
		case t.room <- b:
		default:
		}
	}
}
