package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// JournalConfig says how a journal is kept.
type JournalConfig struct {
	Disk *Disk // nil is the real disk
	// Tag is written into every segment, and must match when the journal is
	// opened again: it ties the segments to their owner's identity.
	Tag uint64
	// SegmentBytes is the size at which a segment is sealed; 0 means 8 MiB.
	SegmentBytes int64
	// MaxFrame bounds a payload; 0 means 1 MiB.
	MaxFrame int
	// Waiting is how many bytes Append holds in memory before it writes by
	// itself; 0 means 1 MiB.
	Waiting int
	// Gaps allows indexes that no frame has (see Skip and Rewrite).
	Gaps bool
	// KeepMarks writes beside each sealed segment where its frames are, so that a
	// later process finds one without reading all before it. Not with Gaps.
	KeepMarks bool
	// Segment, if not nil, is asked at Open for each sealed segment whether its
	// frames, of indexes from first to before following, shall be given to
	// Frame. Without it all are.
	Segment func(first, following uint64) (scan bool, err error)
	// Frame, if not nil, is given the frames at Open, in order. The payload is
	// valid during the call only.
	Frame func(index uint64, payload []byte) error
}

// Journal is an append-only log of frames with rising indexes, from 1.
type Journal struct {
	dir string
	cfg JournalConfig

	mu   sync.Mutex
	cond sync.Cond // a sync has ended

	segs    []*segment // oldest first; the last is written to. Never empty after the first sync
	next    uint64     // index of the next frame
	synced  uint64     // everything up to here is durable
	syncing bool       // one goroutine is writing; it alone uses file
	failed  error      // the first failure; the journal has stopped

	buf      []byte // frames that wait for the next sync
	bufFirst uint64
	bufMarks []mark // offsets from the start of buf
	spare    []byte
	file     *os.File // the last segment
}

// The sites of a journal's fsyncs.
const (
	SiteOpenFile   Site = "journal/open"        // keeps what Open decided to keep
	SiteOpenDir    Site = "journal/open-dir"    // and the names of the segments
	SiteFrames     Site = "journal/frames"      // group commit
	SiteSegmentDir Site = "journal/segment-dir" // the name of a new segment
	SiteRewrite    Site = "journal/rewrite"     // a segment without its evicted frames
)

// OpenJournal opens the journal in dir, which must exist, or begins one. It
// cuts off a torn tail. The error wraps ErrDamaged when stored frames cannot
// be read.
func OpenJournal(dir string, cfg JournalConfig) (*Journal, error) {
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = 8 << 20
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = 1 << 20
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = 1 << 20
	}
	j := &Journal{dir: dir, cfg: cfg, next: 1}
	j.cond.L = &j.mu
	if err := j.recover(); err != nil {
		if j.file != nil {
			j.file.Close()
		}
		return nil, fmt.Errorf("opening journal %q: %w", dir, err)
	}
	return j, nil
}

// Append adds a frame and returns its index. The frame is durable, and can be
// read, after Sync(index).
func (j *Journal) Append(payload []byte) (uint64, error) {
	if len(payload) > j.cfg.MaxFrame {
		return 0, fmt.Errorf("appending a frame of %d bytes: the limit is %d", len(payload), j.cfg.MaxFrame)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return 0, j.failed
	}
	index := j.next
	if len(j.buf) == 0 {
		j.bufFirst, j.bufMarks = index, j.bufMarks[:0]
	}
	if n := len(j.bufMarks); n == 0 || int64(len(j.buf))-j.bufMarks[n-1].off >= markEvery {
		j.bufMarks = append(j.bufMarks, mark{index, int64(len(j.buf))})
	}
	j.buf = AppendFrame(j.buf, index, payload)
	j.next++
	// Memory stays bounded when nobody syncs: the appender pays for the write.
	for len(j.buf) > j.cfg.Waiting && j.failed == nil {
		j.step()
	}
	return index, j.failed
}

// Skip uses up an index without a frame, in a journal with gaps.
func (j *Journal) Skip() uint64 {
	if !j.cfg.Gaps {
		panic("durable: Skip on a journal without gaps")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	return j.next - 1
}

// Sync returns when everything up to index is durable, or when it never will
// be. Those who wait at the same time share one fsync.
func (j *Journal) Sync(index uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.synced < index {
		if j.failed != nil {
			return j.failed
		}
		if index >= j.next {
			return fmt.Errorf("syncing index %d: the last is %d", index, j.next-1)
		}
		j.step()
	}
	return nil
}

// SyncAll makes durable all that was appended before the call.
func (j *Journal) SyncAll() error {
	j.mu.Lock()
	last := j.next - 1
	j.mu.Unlock()
	return j.Sync(last)
}

// step waits for the sync that is under way or does one. It is called with mu
// held and gives it up meanwhile.
func (j *Journal) step() {
	if j.syncing {
		j.cond.Wait()
		return
	}
	j.syncing = true
	buf, first, last := j.buf, j.bufFirst, j.next-1
	marks := append([]mark(nil), j.bufMarks...)
	j.buf, j.spare = j.spare[:0], nil
	j.mu.Unlock()
	err := j.write(buf, first, marks)
	j.mu.Lock()
	j.syncing = false
	if j.spare = buf[:0]; cap(buf) > 2*j.cfg.Waiting {
		j.spare = nil
	}
	if err != nil {
		j.failed = fmt.Errorf("journal %q has stopped: %w", j.dir, err)
	} else {
		j.synced = last
	}
	j.cond.Broadcast()
}

// write makes buf durable, in a new segment if it does not fit the last. Only
// the goroutine that set syncing calls it, without mu.
func (j *Journal) write(buf []byte, first uint64, marks []mark) error {
	if len(buf) == 0 {
		return nil
	}
	j.mu.Lock()
	var at int64
	fresh := j.file == nil
	if !fresh {
		at = j.segs[len(j.segs)-1].size
		fresh = at > segmentHeader && at+int64(len(buf)) > j.cfg.SegmentBytes
	}
	j.mu.Unlock()
	if fresh {
		f, err := os.OpenFile(segmentPath(j.dir, first), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if j.file != nil {
			j.file.Close() // everything in it is durable
			j.keepMarks()
		}
		j.file, at = f, segmentHeader
		if _, err := f.WriteAt(append(appendSegmentHeader(nil, j.cfg.Tag, first), buf...), 0); err != nil {
			return err
		}
	} else if _, err := j.file.WriteAt(buf, at); err != nil {
		return err
	}
	if err := j.cfg.Disk.Sync(SiteFrames, j.file); err != nil {
		return err
	}
	if fresh {
		if err := j.cfg.Disk.SyncDir(SiteSegmentDir, j.dir); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if fresh {
		j.segs = append(j.segs, &segment{first: first, marked: true})
	}
	s := j.segs[len(j.segs)-1]
	for _, m := range marks {
		s.marks = append(s.marks, mark{m.index, m.off + at})
	}
	s.size = at + int64(len(buf))
	return nil
}

// keepMarks writes the marks of the last segment, which is being sealed. Without
// them it is read from its start: nothing depends on whether this succeeds.
func (j *Journal) keepMarks() {
	if !j.cfg.KeepMarks {
		return
	}
	j.mu.Lock()
	s := *j.segs[len(j.segs)-1]
	j.mu.Unlock()
	_ = saveMarks(j.dir, &s)
}

// Last returns the index of the last frame or skipped index, durable or not.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - 1
}

// Synced returns the index up to which everything is durable.
func (j *Journal) Synced() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.synced
}

// Active returns the first index of the segment that is written to; frames
// below it lie in sealed segments. It is 0 before the first sync.
func (j *Journal) Active() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segs) == 0 {
		return 0
	}
	return j.segs[len(j.segs)-1].first
}

// Failed returns the error that stopped the journal, or nil.
func (j *Journal) Failed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// Close makes durable what was appended and closes the journal.
func (j *Journal) Close() error {
	err := j.SyncAll()
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.syncing {
		j.cond.Wait()
	}
	if j.failed == nil {
		j.failed = errors.New("journal is closed")
	}
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
		j.file = nil
	}
	return err
}

// recover reads the segments of the directory.
func (j *Journal) recover() error {
	firsts, err := listSegments(j.dir)
	if err != nil {
		return err
	}
	for i, first := range firsts {
		last := i == len(firsts)-1
		if first == 0 {
			return fmt.Errorf("%w: segment with index 0", ErrDamaged)
		}
		if !last {
			err = j.recoverSealed(first, firsts[i+1])
		} else {
			err = j.recoverLast(first)
		}
		if err != nil {
			return err
		}
	}
	// A process that was only killed may have left names that are not durable.
	return j.cfg.Disk.SyncDir(SiteOpenDir, j.dir)
}

func (j *Journal) recoverSealed(first, following uint64) error {
	f, tag, err := openSegment(j.dir, first)
	if err == nil && tag != j.cfg.Tag {
		f.Close()
		err = fmt.Errorf("segment %016x has tag %x, want %x", first, tag, j.cfg.Tag)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	s := &segment{first: first, size: fi.Size()}
	j.segs = append(j.segs, s)
	j.next = following
	j.synced = following - 1
	if j.cfg.Segment != nil {
		scan, err := j.cfg.Segment(first, following)
		if err != nil || !scan {
			return err
		}
	}
	next, _, err := j.scan(f, s, j.cfg.Frame)
	if err != nil {
		return fmt.Errorf("%w: sealed segment %016x: %w", ErrDamaged, first, err)
	}
	if next > following || !j.cfg.Gaps && next != following {
		return fmt.Errorf("%w: segment %016x ends before index %d, and %d follows", ErrDamaged, first, next, following)
	}
	return nil
}

// recoverLast reads the last segment, cuts off what is torn and opens it for
// writing. A segment whose very header is torn never held a durable frame.
func (j *Journal) recoverLast(first uint64) error {
	f, tag, err := openSegment(j.dir, first)
	if errors.Is(err, ErrTorn) {
		j.next, j.synced = first, first-1
		return os.Remove(segmentPath(j.dir, first))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if tag != j.cfg.Tag {
		return fmt.Errorf("%w: segment %016x has tag %x, want %x", ErrDamaged, first, tag, j.cfg.Tag)
	}
	s := &segment{first: first}
	next, end, err := j.scan(f, s, nil)
	if err != nil && !errors.Is(err, ErrTorn) {
		return err
	}
	if j.file, err = os.OpenFile(segmentPath(j.dir, first), os.O_RDWR, 0); err != nil {
		return err
	}
	if err := j.file.Truncate(end); err != nil {
		return err
	}
	if err := j.cfg.Disk.Sync(SiteOpenFile, j.file); err != nil {
		return err
	}
	s.size = end
	j.segs = append(j.segs, s)
	j.next, j.synced = next, next-1
	if j.cfg.Frame == nil {
		return nil
	}
	// Only now are the frames certain, so only now are they shown.
	if _, err := f.Seek(segmentHeader, io.SeekStart); err != nil {
		return err
	}
	_, _, err = j.scan(f, &segment{first: first}, j.cfg.Frame)
	return err
}

// scan reads the frames of f from behind its header, marks them in s and gives
// them to each. It returns the index and the offset after the last whole one.
func (j *Journal) scan(f *os.File, s *segment, each func(uint64, []byte) error) (next uint64, end int64, err error) {
	r := NewFrameReader(f, s.first, j.cfg.Gaps, j.cfg.MaxFrame)
	next, end = s.first, segmentHeader
	s.marks, s.marked = nil, true
	for {
		index, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			return next, end, nil
		}
		if err != nil {
			return next, end, err
		}
		if n := len(s.marks); n == 0 || end-s.marks[n-1].off >= markEvery {
			s.marks = append(s.marks, mark{index, end})
		}
		next, end = index+1, segmentHeader+r.Offset()
		if each != nil {
			if err := each(index, payload); err != nil {
				return next, end, err
			}
		}
	}
}
