package run

import (
	"container/heap"
	"os"
)

// scanner looks at rows, a chunk at a time.
type scanner struct {
	src    source
	f      *Filter
	tests  []test
	sel    []int32
	vals   []uint64
	starts []uint64
	more   []uint64
}

// newScanner returns a scanner of that many rows.
func newScanner(src source, f *Filter, tests []test, rows int) *scanner {
	n := min(rows, chunk)
	return &scanner{src: src, f: f, tests: tests, sel: make([]int32, n), vals: make([]uint64, n), starts: make([]uint64, n)}
}

// chunk returns which rows from from to before to pass, as distances from
// from, and their starts by the same distances. Both are good until the next
// call.
func (s *scanner) chunk(from, to int, floor int64) (sel []int32, starts []uint64, err error) {
	for n := range s.tests {
		t := &s.tests[n]
		vals, err := s.src.column(t.col, from, to, s.vals)
		if err != nil {
			return nil, nil, err
		}
		if n == 0 {
			sel = t.all(s.sel, vals)
		} else {
			sel = t.some(sel, vals)
		}
		if len(sel) == 0 {
			return nil, nil, nil
		}
	}
	if len(s.tests) == 0 {
		sel = s.sel[:to-from]
		for i := range sel {
			sel[i] = int32(i)
		}
	}
	if starts, err = s.src.column(colStart, from, to, s.starts); err != nil {
		return nil, nil, err
	}
	kept := sel[:0]
	for _, i := range sel {
		if int64(starts[i]) >= floor {
			kept = append(kept, i)
		}
	}
	if sel = kept; len(sel) == 0 || s.f.From == 0 {
		return sel, starts, nil
	}
	last, err := s.src.column(colLast, from, to, s.vals)
	if err != nil {
		return nil, nil, err
	}
	kept = sel[:0]
	for _, i := range sel {
		if int64(starts[i]+last[i]) >= s.f.From {
			kept = append(kept, i)
		}
	}
	return kept, starts, nil
}

// Top keeps the newest rows, of any number of sources.
type Top struct {
	Most int
	keys keyHeap // the oldest first
}

type keyHeap []Key

func (h keyHeap) Len() int           { return len(h) }
func (h keyHeap) Less(i, j int) bool { return h[i].Less(h[j]) }
func (h keyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *keyHeap) Push(x any)        { *h = append(*h, x.(Key)) }
func (h *keyHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// Full reports whether only rows newer than Floor still change it.
func (t *Top) Full() bool { return len(t.keys) >= t.Most }

// Floor returns the least start that a row must have to be kept.
func (t *Top) Floor() int64 {
	if !t.Full() {
		return -1 << 62
	}
	return t.keys[0].Start
}

func (t *Top) add(k Key) {
	if !t.Full() {
		heap.Push(&t.keys, k)
	} else if t.keys[0].Less(k) {
		t.keys[0] = k
		heap.Fix(&t.keys, 0)
	}
}

// Newest returns the rows, newest first, and empties t.
func (t *Top) Newest() []Key {
	out := make([]Key, len(t.keys))
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = heap.Pop(&t.keys).(Key)
	}
	return out
}

// take adds the rows of a chunk that passed.
func (s *scanner) take(t *Top, from, to int) error {
	sel, starts, err := s.chunk(from, to, t.Floor())
	if err != nil || len(sel) == 0 {
		return err
	}
	// starts is s.starts; frames and records go where the tests' values were.
	frames, err := s.src.column(colFrame, from, to, s.vals)
	if err != nil {
		return err
	}
	if s.more == nil {
		s.more = make([]uint64, cap(s.vals))
	}
	records, err := s.src.column(colRecord, from, to, s.more)
	if err != nil {
		return err
	}
	for _, i := range sel {
		k := Key{int64(starts[i]), frames[i], int(records[i])}
		if s.f.Before == nil || k.Less(*s.f.Before) {
			t.add(k)
		}
	}
	return nil
}

// Newest adds the rows of the builder that f asks for to t.
func (b *Builder) Newest(f *Filter, t *Top) error {
	tests, any, err := b.scope(f)
	if err != nil || !any {
		return err
	}
	s := newScanner(b, f, tests, len(b.device))
	for to := len(b.device); to > 0; to -= chunk {
		if err := s.take(t, max(0, to-chunk), to); err != nil {
			return err
		}
	}
	return nil
}

// scope returns the tests of f, and whether any row can pass.
func (b *Builder) scope(f *Filter) (tests []test, any bool, err error) {
	if len(b.device) == 0 || !f.overlaps(b.min, b.max) {
		return nil, false, nil
	}
	p, any, err := b.pick(dictDevice, deviceWant(f))
	if err != nil || !any {
		return nil, false, err
	}
	if tests, any, err = f.tests(b); err != nil || !any {
		return nil, false, err
	}
	return append([]test{{colDevice, ^uint64(0), p}}, tests...), true, nil
}

func deviceWant(f *Filter) *want {
	if f.Device == "" {
		return &want{lo: f.Org + "\x00", hi: f.Org + "\x01"}
	}
	key := string(deviceKey(nil, f.Org, f.Device))
	return &want{lo: key, hi: key}
}

func (b *Builder) column(c, from, to int, dst []uint64) ([]uint64, error) {
	if c == colDevice {
		dst = dst[:to-from]
		for i, d := range b.device[from:to] {
			dst[i] = uint64(d)
		}
		return dst, nil
	}
	return append(dst[:0], b.col[c][from:to]...), nil
}

func (b *Builder) pick(d int, w *want) (p pick, any bool, err error) {
	if w.match == nil && w.lo == w.hi {
		c, ok := b.dicts[d].codes[w.lo]
		return pick{lo: uint64(c), hi: uint64(c) + 1}, ok, nil
	}
	p.bits = []uint64{} // empty, not absent: a set of codes
	for c, t := range b.dicts[d].texts {
		if w.fits(t) {
			p.add(uint32(c))
			any = true
		}
	}
	return p, any, nil
}

// MayHold reports whether rows of the run can be among those of f.
func (r *Run) MayHold(f *Filter) bool {
	return r.ft.Rows > 0 && f.overlaps(r.ft.Min, r.ft.Max) && r.ft.Next > f.Oldest && (f.Newest == 0 || r.ft.First < f.Newest)
}

// LastStart returns the start of the newest row, in microseconds.
func (r *Run) LastStart() int64 { return r.ft.MaxStart }

// Newest adds the rows of the run that f asks for to t. The error wraps
// ErrDamaged, or os.ErrNotExist when the run has been removed.
func (r *Run) Newest(f *Filter, t *Top) error {
	if !r.MayHold(f) || t.Full() && r.ft.MaxStart < t.Floor() {
		return nil
	}
	return r.query(f, func(q *reader, s *scanner, from, to int, _, _ uint32) error {
		sorted := f.Device != ""
		for to > from {
			a := max(from, to-chunk)
			if err := s.take(t, a, to); err != nil {
				return err
			}
			if to = a; sorted && t.Full() && to > from {
				// Within a device rows are in the order of time: what is before the
				// first that is too old is older still.
				v, err := q.column(colStart, to-1, to, s.vals)
				if err != nil {
					return err
				}
				if int64(v[0]) < t.Floor() {
					return nil
				}
			}
		}
		return nil
	})
}

// query opens the run and calls each with the rows and devices that f can mean.
func (r *Run) query(f *Filter, each func(q *reader, s *scanner, from, to int, devFrom, devTo uint32) error) error {
	file, err := os.Open(r.path)
	if err != nil {
		return err
	}
	defer file.Close()
	q := &reader{Run: r, f: file}
	w := deviceWant(f)
	p, any, err := q.pick(dictDevice, w)
	if err != nil || !any {
		return err
	}
	a, b := uint32(p.lo), uint32(p.hi)
	from, err := q.number(r.ft.Starts + 4*uint64(a))
	if err != nil {
		return err
	}
	to, err := q.number(r.ft.Starts + 4*uint64(b))
	if err != nil {
		return err
	}
	if to < from || to > r.ft.Rows {
		return damaged("rows of device %d", a)
	}
	g := *f
	if g.Oldest <= r.ft.First {
		g.Oldest = 0
	}
	if g.Newest >= r.ft.Next {
		g.Newest = 0
	}
	if g.To > r.ft.MaxStart {
		g.To = 0
	}
	if g.From <= r.ft.Min {
		g.From = 0
	}
	tests, any, err := g.tests(q)
	if err != nil || !any {
		return err
	}
	return each(q, newScanner(q, &g, tests, int(to-from)), int(from), int(to), a, b)
}

func (r *reader) pick(d int, w *want) (p pick, any bool, err error) {
	if w.match == nil {
		lo, err := r.search(d, w.lo)
		if err != nil {
			return p, false, err
		}
		hi, err := r.search(d, w.hi+"\x00") // the least text after hi
		return pick{lo: uint64(lo), hi: uint64(hi)}, hi > lo, err
	}
	p.bits = []uint64{}
	for c := range r.ft.Dicts[d].Len {
		t, err := r.text(d, c)
		if err != nil {
			return p, false, err
		}
		if w.fits(string(t)) {
			p.add(c)
			any = true
		}
	}
	return p, any, nil
}
