// Package archive keeps the usage records of the last days, so that a changed rule
// can be tried on them before it is in force (a dry run), and a card's use be drawn.
//
// There is one file a day (UTC, by the time of the records), of batches in the wire
// form of package cdr, each with its check sum. Add buffers; Sync makes durable what
// was added. Days older than Config.Days, counted from the newest record, and the
// oldest when there are more than Config.MaxBytes, are removed; records older than
// what is kept are counted and not taken. A torn end, as a crash leaves it, is cut off
// by the next Open; a batch that is damaged elsewhere is told and passed over, up to
// the next that is whole.
//
// A Source reads days as cdr.Source, oldest first, each in the order in which it was
// added. Files hold numbers of cards in clear when Config.Records is set, and keys
// from which they can be read in any case: mode 0600.
//
// An Archive may be used by several goroutines, a Source belongs to one.
package archive

import (
	"bufio"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/durable"
)

// Config configures an Archive.
type Config struct {
	Days     int   // 0 = 30
	MaxBytes int64 // 0 = no bound but Days
	// Records keeps the whole records, three times the room of events alone. Without
	// them a dry run can say which alerts there would be, and not all that they say.
	Records bool
}

// Counts say what became of records since Open.
type Counts struct {
	Kept    uint64 `json:"kept"`
	TooOld  uint64 `json:"too_old"` // older than what is kept
	Removed uint64 `json:"removed"` // days
	Bytes   int64  `json:"bytes"`
	Days    int    `json:"days"`
}

// maxOpen bounds the days that are open for writing.
const maxOpen = 8

// Archive is an archive that is open for adding.
type Archive struct {
	mu     sync.Mutex
	c      Config
	dir    string
	sizes  map[int32]int64 // of the days that are there
	open   map[int32]*day
	newest int32
	counts Counts
	buf    []byte
	used   uint64
	sound  map[int32]bool // days whose end was looked for
}

// day is a day that is open for writing; its number is that of days since 1970.
type day struct {
	f     *os.File
	w     *bufio.Writer
	used  uint64
	fresh bool // something was added that is not durable yet
}

// Open opens the archive in dir, making it when it is not there.
func Open(dir string, c Config) (*Archive, error) {
	if c.Days <= 0 {
		c.Days = 30
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "making the archive of usage records: %w", err)
	}
	a := &Archive{c: c, dir: dir, sizes: map[int32]int64{}, open: map[int32]*day{}, sound: map[int32]bool{}}
	days, err := daysIn(dir)
	if err != nil {
		return nil, err
	}
	for n, size := range days {
		a.sizes[n] = size
		a.counts.Bytes += size
		a.newest = max(a.newest, n)
	}
	return a, nil
}

const layout = "2006-01-02"

func name(n int32) string { return time.Unix(int64(n)*86400, 0).UTC().Format(layout) + ".rwb" }

// daysIn returns the days that are in dir, and their sizes.
func daysIn(dir string) (map[int32]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the archive of usage records: %w", err)
	}
	days := map[int32]int64{}
	for _, e := range entries {
		if len(e.Name()) != len(layout)+4 {
			continue
		}
		t, err := time.Parse(layout, e.Name()[:len(layout)])
		if info, ierr := e.Info(); err == nil && ierr == nil && e.Name() == name(int32(t.Unix()/86400)) {
			days[int32(t.Unix()/86400)] = info.Size()
		}
	}
	return days, nil
}

// Add adds a batch. The error has code Unavailable; then some of it may be kept.
func (a *Archive) Add(b *cdr.Batch) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for from := 0; from < len(b.Events); {
		// Neighbours are mostly of one day.
		n := dayOf(&b.Events[from])
		to := from + 1
		for to < len(b.Events) && dayOf(&b.Events[to]) == n {
			to++
		}
		if err := a.add(n, b, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func dayOf(e *cdr.Event) int32 { return int32(e.Sec / 86400) }

// part is some events of a batch.
type part struct {
	b    *cdr.Batch
	from int
}

// Record implements cdr.Detail.
func (p part) Record(i int, r *cdr.Record) error { return p.b.Record(p.from+i, r) }

func (a *Archive) add(n int32, b *cdr.Batch, from, to int) error {
	if n <= a.newest-int32(a.c.Days) {
		a.counts.TooOld += uint64(to - from)
		return nil
	}
	piece := *b
	if from > 0 || to < len(b.Events) {
		piece = cdr.Batch{Events: b.Events[from:to], Lines: b.Lines[from:to]}
		if b.Detail != nil {
			piece.Detail = part{b, from}
		}
	}
	var err error
	if a.buf, err = cdr.AppendBatch(a.buf[:0], &piece, a.c.Records); err != nil {
		return err
	}
	d, err := a.day(n)
	if err == nil {
		d.fresh = true
		_, err = d.w.Write(a.buf)
	}
	if err != nil {
		a.drop(n)
		return ringwall.Errorf(ringwall.Unavailable, "writing the archive of usage records: %w", err)
	}
	a.sizes[n] += int64(len(a.buf))
	a.counts.Bytes += int64(len(a.buf))
	a.counts.Kept += uint64(to - from)
	if n > a.newest {
		a.newest = n
	}
	return a.sweep()
}

// day opens a day for writing.
func (a *Archive) day(n int32) (*day, error) {
	a.used++
	if d := a.open[n]; d != nil {
		d.used = a.used
		return d, nil
	}
	if len(a.open) >= maxOpen {
		oldest, least := int32(0), ^uint64(0)
		for k, d := range a.open {
			if d.used < least {
				oldest, least = k, d.used
			}
		}
		if err := a.shut(oldest); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(filepath.Join(a.dir, name(n)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	size := a.sizes[n]
	if !a.sound[n] {
		if size, err = whole(f); err == nil {
			err = f.Truncate(size)
		}
	}
	if err == nil {
		_, err = f.Seek(size, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	a.counts.Bytes += size - a.sizes[n]
	a.sizes[n] = size
	a.sound[n] = true
	d := &day{f: f, w: bufio.NewWriterSize(f, 256<<10), used: a.used}
	a.open[n] = d
	return d, nil
}

// whole returns where the last whole batch of a file ends: what follows is torn.
func whole(f *os.File) (int64, error) {
	r := newReader(f, 0)
	var b cdr.Batch
	for {
		if _, err := r.next(&b); err != nil {
			if errors.Is(err, errEnd) {
				return r.last, nil
			}
			return 0, err
		}
	}
}

// shut makes a day durable and closes it.
func (a *Archive) shut(n int32) error {
	d := a.open[n]
	delete(a.open, n)
	err := d.sync()
	if cerr := d.f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (d *day) sync() error {
	if !d.fresh {
		return nil
	}
	if err := d.w.Flush(); err != nil {
		return err
	}
	if err := (*durable.Disk)(nil).Sync("usage/archive", d.f); err != nil {
		return err
	}
	d.fresh = false
	return nil
}

// drop closes a day that could not be written: what is torn is cut off when it is
// opened again.
func (a *Archive) drop(n int32) {
	if d := a.open[n]; d != nil {
		d.f.Close()
	}
	delete(a.open, n)
	delete(a.sound, n)
}

// sweep removes days that are too old or too much. The newest stays.
func (a *Archive) sweep() error {
	for _, n := range slices.Sorted(maps.Keys(a.sizes)) {
		old := n <= a.newest-int32(a.c.Days)
		if !old && (a.c.MaxBytes <= 0 || a.counts.Bytes <= a.c.MaxBytes) || n == a.newest {
			return nil
		}
		a.drop(n)
		if err := os.Remove(filepath.Join(a.dir, name(n))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return ringwall.Errorf(ringwall.Unavailable, "clearing the archive of usage records: %w", err)
		}
		a.counts.Bytes -= a.sizes[n]
		a.counts.Removed++
		delete(a.sizes, n)
	}
	return nil
}

// Sync makes durable what was added. The error has code Unavailable.
func (a *Archive) Sync() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, d := range a.open {
		if err := d.sync(); err != nil {
			a.drop(n)
			return ringwall.Errorf(ringwall.Unavailable, "writing the archive of usage records: %w", err)
		}
	}
	return nil
}

// Marks are the sizes of the days, by name: after Sync, how far each is durable.
// Whoever keeps them with what was made of the records can have the archive be
// what it was then.
func (a *Archive) Marks() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	marks := make(map[string]int64, len(a.sizes))
	for n, size := range a.sizes {
		marks[name(n)] = size
	}
	return marks
}

// Rewind cuts off what was added after marks were taken; days that they do not
// have go. It is for an archive that was just opened: what was cut off is added
// again by whoever reads its records again. The error has code Unavailable.
func (a *Archive) Rewind(marks map[string]int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.newest = 0
	for _, n := range slices.Sorted(maps.Keys(a.sizes)) {
		path, size := filepath.Join(a.dir, name(n)), a.sizes[n]
		mark, ok := marks[name(n)]
		var err error
		switch {
		case !ok:
			err = os.Remove(path)
			delete(a.sizes, n)
			a.counts.Bytes -= size
		case mark < size:
			err = os.Truncate(path, mark)
			a.sizes[n] = mark
			a.counts.Bytes -= size - mark
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return ringwall.Errorf(ringwall.Unavailable, "cutting the archive of usage records: %w", err)
		}
		if ok {
			a.newest = max(a.newest, n)
		}
	}
	return nil
}

// Counts says what became of records.
func (a *Archive) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts
	c.Days = len(a.sizes)
	return c
}

// Close makes durable what was added, and closes the files.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for n := range a.open {
		errs = append(errs, a.shut(n))
	}
	return errors.Join(errs...)
}
