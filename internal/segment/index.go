package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/segment/run"
)

// index finds flow reports: runs of what lies behind, and a builder with what
// came since the last of them. Together they cover every frame up to next, each
// once. No run covers frames of two segments, so they go together.
type index struct {
	dir string
	tag uint64
	j   *durable.Journal
	// rows is run.MaxRows but in tests.
	rows int

	// turn is held by the one who reads frames into the builder, and writes runs:
	// it alone changes anything here.
	turn  chan struct{}
	marks marks // as of the frames that were read
	head  headReader
	view  flow.View

	// mu guards what queries look at; it is held for each change.
	mu    sync.RWMutex
	runs  []*run.Run // by their first frame
	b     *run.Builder
	next  uint64  // the frame to be read next
	holes []holed // that no run covers
}

// take waits for the turn; give gives it back.
func (x *index) take(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *index) give() { <-x.turn }

// holed is a stretch of frames: first to before next.
type holed struct{ first, next uint64 }

func runPath(dir string, first, next uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x-%016x.run", first, next))
}

// open finds the runs that fit the journal and what they do not cover.
func (x *index) open(dir string, tag uint64, j *durable.Journal, m marks, rows int) error {
	x.dir, x.tag, x.j, x.marks, x.rows, x.turn = dir, tag, j, m, rows, make(chan struct{}, 1)
	if x.rows == 0 {
		x.rows = run.MaxRows
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.run"))
	if err != nil {
		return err
	}
	var found []*run.Run
	for _, path := range paths {
		r, err := run.Open(path, tag)
		switch {
		case errors.Is(err, run.ErrDamaged):
			_ = os.Remove(path) // it is made again
		case err != nil:
			return err
		default:
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *run.Run) int {
		af, an := a.Frames()
		bf, bn := b.Frames()
		return cmp.Or(cmp.Compare(af, bf), cmp.Compare(an, bn))
	})
	segs := x.j.Segments()
	x.next = 1
	if len(segs) > 0 {
		x.next = segs[0].First
	}
	for i, s := range segs {
		end := x.j.Synced() + 1
		if i+1 < len(segs) {
			end = segs[i+1].First
		}
		at := s.First
		for len(found) > 0 {
			first, next := found[0].Frames()
			if first >= end {
				break
			}
			if first < at || next > end || next == first {
				// What it covers is gone or covered: a leftover.
				_ = os.Remove(found[0].Path())
				found = found[1:]
				continue
			}
			if first > at {
				x.holes = append(x.holes, holed{at, first})
			}
			x.runs, at = append(x.runs, found[0]), next
			found = found[1:]
		}
		switch {
		case i+1 == len(segs):
			x.next = at
		case at < end:
			x.holes = append(x.holes, holed{at, end})
		}
	}
	for _, r := range found {
		_ = os.Remove(r.Path())
	}
	x.b = run.NewBuilder(x.next)
	return nil
}

// catchUp reads frames until all up to through are covered, or ctx ends.
func (x *index) catchUp(ctx context.Context, through uint64) error {
	x.mu.RLock()
	there := x.next > through && len(x.holes) == 0
	x.mu.RUnlock()
	if there {
		return nil
	}
	if err := x.take(ctx); err != nil {
		return err
	}
	defer x.give()
	for len(x.holes) > 0 {
		if err := x.fill(ctx); err != nil {
			return err
		}
	}
	if x.next > through {
		return ctx.Err()
	}
	bounds := x.j.Segments()
	return x.j.Read(x.next, func(frame uint64, payload []byte) (bool, error) {
		if frame > through {
			return false, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		for len(bounds) > 0 && bounds[0].First <= x.b0() {
			bounds = bounds[1:]
		}
		if x.b.Full() || x.b.Rows() >= x.rows || len(bounds) > 0 && frame >= bounds[0].First {
			if err := x.flush(); err != nil {
				return false, err
			}
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		row, err := x.add(x.b, frame, payload)
		if err != nil {
			return false, fmt.Errorf("%w: frame %d: %w", durable.ErrDamaged, frame, err)
		}
		if frame > x.marks.as {
			x.marks.put(row)
			x.marks.as = frame
		}
		x.next = frame + 1
		return true, nil
	})
}

func (x *index) b0() uint64 { first, _ := x.b.Frames(); return first }

// add adds the flow reports of a frame to a builder. One that cannot be decoded
// is in no run; Scan still gives it.
func (x *index) add(b *run.Builder, frame uint64, payload []byte) (row markRow, err error) {
	h, rest, err := x.head.read(payload)
	if err != nil {
		return row, err
	}
	row = markRow{Org: h.org, GW: h.gw, Epoch: h.epoch, Frame: frame}
	i := 0
	err = eachView(rest, h.count, func(seq uint64, v *api.RecordView) error {
		row.Seq = seq
		if v.Flow() && x.view.Read(v.Data) == nil {
			b.Add(string(h.org), string(h.gw), frame, i, &x.view)
		}
		i++
		return nil
	})
	b.Frame(frame)
	return row, err
}

// flush writes the builder as a run and empties it. The caller has the turn.
func (x *index) flush() error {
	first, next := x.b.Frames()
	if next == first {
		return nil
	}
	r, err := x.write(x.b)
	if err != nil {
		return err
	}
	// Only time is lost when this is.
	_ = saveCheckpoint(x.dir, x.tag, &x.marks)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.runs = append(x.runs, r)
	x.b.Reset(next)
	return nil
}

func (x *index) write(b *run.Builder) (*run.Run, error) {
	first, next := b.Frames()
	path := runPath(x.dir, first, next)
	if err := b.Write(path, x.tag); err != nil {
		return nil, fmt.Errorf("writing an index run: %w", err)
	}
	return run.Open(path, x.tag)
}

// fill makes the run of the first hole, or as much of it as one run may have.
// The caller has the turn.
func (x *index) fill(ctx context.Context) error {
	h := x.holes[0]
	b := run.NewBuilder(h.first)
	if err := x.j.Read(h.first, func(frame uint64, payload []byte) (bool, error) {
		if frame >= h.next || b.Full() || b.Rows() >= x.rows {
			return false, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		_, err := x.add(b, frame, payload)
		return true, err
	}); err != nil {
		return fmt.Errorf("making an index run again: %w", err)
	}
	_, next := b.Frames()
	if next == h.first {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.holes = x.holes[1:] // expired meanwhile
		return nil
	}
	r, err := x.write(b)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.holes[0].first = next; next >= h.next {
		x.holes = x.holes[1:]
	}
	at, _ := slices.BinarySearchFunc(x.runs, next, func(r *run.Run, n uint64) int {
		first, _ := r.Frames()
		return cmp.Compare(first, n)
	})
	x.runs = slices.Insert(slices.Clone(x.runs), at, r)
	return nil
}

// drop takes a damaged run out; what it covered is made again.
func (x *index) drop(r *run.Run) {
	x.turn <- struct{}{}
	defer x.give()
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.Index(x.runs, r)
	if i < 0 {
		return // another query has found it too
	}
	x.runs = slices.Delete(slices.Clone(x.runs), i, i+1)
	first, next := r.Frames()
	x.holes = append(x.holes, holed{first, next})
	_ = os.Remove(r.Path())
}

// trim forgets what lies before frame first.
func (x *index) trim(first uint64) {
	x.turn <- struct{}{}
	defer x.give()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.holes = slices.DeleteFunc(x.holes, func(h holed) bool { return h.next <= first })
	x.runs = slices.DeleteFunc(slices.Clone(x.runs), func(r *run.Run) bool {
		_, next := r.Frames()
		if next <= first {
			_ = os.Remove(r.Path()) // what is left is removed by the next Open
		}
		return next <= first
	})
}

// ask calls each for the runs, newest first, and then the builder, as they are
// at one moment. A run that is damaged is made again, and all are asked anew by
// the caller, to whom again is returned.
func (x *index) ask(ctx context.Context, live func(*run.Builder) error, each func(*run.Run) error) (again bool, err error) {
	x.mu.RLock()
	runs := x.runs // never changed in place but at its end
	err = live(x.b)
	x.mu.RUnlock()
	if err != nil {
		return false, err
	}
	runs = slices.Clone(runs)
	slices.SortStableFunc(runs, func(a, b *run.Run) int { return cmp.Compare(b.LastStart(), a.LastStart()) })
	for _, r := range runs {
		if err := ctx.Err(); err != nil {
			return false, ringwall.Errorf(ringwall.Unavailable, "the search took too long: %w", err)
		}
		switch err := each(r); {
		case errors.Is(err, run.ErrDamaged):
			x.drop(r)
			return true, nil
		case errors.Is(err, os.ErrNotExist):
			// It expired meanwhile, or another query has found it damaged.
			if slices.Contains(x.now(), r) {
				x.drop(r)
			}
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

func (x *index) now() []*run.Run {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.runs
}

// progress returns how many frames are covered by runs and builder.
func (x *index) progress() (runs int, rows uint64, next uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.runs {
		rows += uint64(r.Rows())
	}
	return len(x.runs), rows + uint64(x.b.Rows()), x.next
}
