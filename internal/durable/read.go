package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
)

// Read gives f the durable frames from index from on, in order, until f says
// stop or they end. The payload is valid during the call only. It runs beside
// appends, trims and rewrites; a frame that one of these removes meanwhile may
// or may not be given.
func (j *Journal) Read(from uint64, f func(index uint64, payload []byte) (more bool, err error)) error {
	for {
		s, following, ok := j.find(from)
		if !ok {
			return nil
		}
		more, err := j.readSegment(s, from, f)
		if errors.Is(err, os.ErrNotExist) {
			// It was trimmed between find and open: go on behind it.
			more, err = true, nil
		}
		if err != nil || !more || following == 0 {
			return err
		}
		from = max(from, following)
	}
}

// view is a segment as it was at one moment.
type view struct {
	first uint64
	size  int64
	start mark
	known bool // start is of use
	segp  *segment
}

// find returns the segment that holds index from, or the next one that does,
// and the first index of the one after it, 0 if it is the last.
func (j *Journal) find(from uint64) (view, uint64, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if from > j.synced || len(j.segs) == 0 {
		return view{}, 0, false
	}
	i := sort.Search(len(j.segs), func(i int) bool { return j.segs[i].first > from }) - 1
	i = max(i, 0)
	s := j.segs[i]
	v := view{first: s.first, size: s.size, segp: s}
	if s.marked {
		k := sort.Search(len(s.marks), func(k int) bool { return s.marks[k].index > from }) - 1
		if k >= 0 {
			v.start, v.known = s.marks[k], true
		}
	}
	var following uint64
	if i+1 < len(j.segs) {
		following = j.segs[i+1].first
	}
	return v, following, true
}

func (j *Journal) readSegment(v view, from uint64, f func(uint64, []byte) (bool, error)) (more bool, err error) {
	file, _, err := openSegment(j.dir, v.first)
	if err != nil {
		if errors.Is(err, ErrTorn) {
			return false, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return false, err
	}
	defer file.Close()
	// A segment that was rewritten since find is shorter and its marks are void;
	// its size tells, for a rewrite that removes nothing is not done.
	fi, err := file.Stat()
	if err != nil {
		return false, err
	}
	if fi.Size() < v.size {
		v.size, v.known = fi.Size(), false
	}
	next, off := v.first, int64(segmentHeader)
	if v.known {
		next, off = v.start.index, v.start.off
	} else if !v.segp.isMarked(j) {
		if err := j.markSegment(v); err != nil {
			return false, err
		}
		if m, ok := v.segp.markFor(j, v, from); ok {
			next, off = m.index, m.off
		}
	}
	r := NewFrameReader(io.NewSectionReader(file, off, v.size-off), next, j.cfg.Gaps, j.cfg.MaxFrame)
	for {
		index, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if errors.Is(err, ErrTorn) {
			return false, fmt.Errorf("%w: segment %016x: %w", ErrDamaged, v.first, err)
		}
		if err != nil {
			return false, err
		}
		if index < from {
			continue
		}
		if more, err := f(index, payload); err != nil || !more {
			return false, err
		}
	}
}

func (s *segment) isMarked(j *Journal) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return s.marked
}

// markFor returns the mark to begin at for index from, if the segment is still
// the one that was viewed.
func (s *segment) markFor(j *Journal, v view, from uint64) (mark, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := sort.Search(len(s.marks), func(k int) bool { return s.marks[k].index > from }) - 1
	if k < 0 || s.size != v.size {
		return mark{}, false
	}
	return s.marks[k], true
}

// markSegment marks a sealed segment that Open did not scan.
func (j *Journal) markSegment(v view) error {
	if j.cfg.KeepMarks {
		if marks := loadMarks(j.dir, v.first, v.size); marks != nil {
			j.mu.Lock()
			defer j.mu.Unlock()
			v.segp.marks, v.segp.marked = marks, true
			return nil
		}
	}
	file, _, err := openSegment(j.dir, v.first)
	if err != nil {
		return err
	}
	defer file.Close()
	s := &segment{first: v.first}
	if _, _, err := j.scan(file, s, nil); err != nil {
		return fmt.Errorf("%w: segment %016x: %w", ErrDamaged, v.first, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if v.segp.size == v.size {
		v.segp.marks, v.segp.marked = s.marks, true
	}
	return nil
}

// SegmentInfo describes one segment.
type SegmentInfo struct {
	First  uint64 // no frame of it has a lower index
	Bytes  int64
	Sealed bool
}

// Segments returns the segments, oldest first.
func (j *Journal) Segments() []SegmentInfo {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]SegmentInfo, len(j.segs))
	for i, s := range j.segs {
		out[i] = SegmentInfo{First: s.first, Bytes: s.size, Sealed: i < len(j.segs)-1}
	}
	return out
}

// Bytes returns the size of all segments.
func (j *Journal) Bytes() (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segs {
		n += s.size
	}
	return n
}

// Trim removes the sealed segments all of whose indexes are at most through.
// It is not synced: after a power cut, removed segments may be back.
func (j *Journal) Trim(through uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	// Oldest first, so that those which come back make no gap.
	for len(j.segs) > 1 && j.segs[1].first-1 <= through {
		if err := os.Remove(segmentPath(j.dir, j.segs[0].first)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("trimming journal %q: %w", j.dir, err)
		}
		if j.cfg.KeepMarks {
			_ = os.Remove(marksPath(j.dir, j.segs[0].first)) // what is left is without use and without harm
		}
		j.segs = j.segs[1:]
	}
	return nil
}

// Rewrite removes from the sealed segment that starts at first the frames that
// keep does not want, and returns how many bytes it saved. It is atomic, and
// not certain to last: after a power cut the old segment may be back whole.
func (j *Journal) Rewrite(first uint64, keep func(index uint64, payload []byte) bool) (saved int64, err error) {
	if !j.cfg.Gaps {
		panic("durable: Rewrite on a journal without gaps")
	}
	j.mu.Lock()
	var s *segment
	for _, c := range j.segs[:max(0, len(j.segs)-1)] {
		if c.first == first {
			s = c
		}
	}
	j.mu.Unlock()
	if s == nil {
		return 0, fmt.Errorf("rewriting segment %016x: no sealed segment starts there", first)
	}
	file, _, err := openSegment(j.dir, first)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	out := appendSegmentHeader(nil, j.cfg.Tag, first)
	fresh := &segment{first: first, marked: true}
	_, end, err := j.scan(file, &segment{first: first}, func(index uint64, payload []byte) error {
		if keep(index, payload) {
			if n := len(fresh.marks); n == 0 || int64(len(out))-fresh.marks[n-1].off >= markEvery {
				fresh.marks = append(fresh.marks, mark{index, int64(len(out))})
			}
			out = AppendFrame(out, index, payload)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("rewriting segment %016x: %w", first, err)
	}
	if int64(len(out)) == end {
		return 0, nil
	}
	// The name need not be durable, but what it names must be: a name that
	// leads to an empty file would lose the frames that were kept.
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.cfg.Disk.Replace(SiteRewrite, segmentPath(j.dir, first), out, 0o600); err != nil {
		return 0, fmt.Errorf("rewriting segment %016x: %w", first, err)
	}
	saved = s.size - int64(len(out))
	s.size, s.marks, s.marked = int64(len(out)), fresh.marks, true
	return saved, nil
}
