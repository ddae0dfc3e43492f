package spool

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
)

// DirConfig configures a Dir.
type DirConfig struct {
	Dir string
	// State is a directory of the spool's own, for its ledger. Not inside Dir.
	State string
	File  cdrfile.Config // how files are read; From is not used
	// Marker, when set, is what a file's name gets when it is complete, as a file of
	// its own: with ".done", a.csv is read when a.csv.done is there. When "", a file
	// is complete when it has not changed for Settle; files that are renamed into
	// the directory need no more.
	Marker string
	Settle time.Duration // 0 = 2 s; negative = none
	// Keep leaves files where they are. Else they are moved to Done when Commit says
	// that they are not needed any more, or removed when Done is "".
	Keep bool
	Done string
	Poll time.Duration // how often the directory is looked at; 0 = 200 ms
	// Once ends the source (io.EOF) when no complete file is left.
	Once bool
	// From is a position; nil = all files that the ledger does not have.
	From []byte
	// Remember is how many files the ledger remembers; 0 = 100,000.
	Remember int
	// Event, if not nil, is told of what happens to files.
	Event func(Event)
	Now   func() time.Time // nil = time.Now
}

// What happens to files.
const (
	Began    = "began"
	Read     = "read"
	Again    = "again"    // the same bytes came before; nothing is handed over
	Vanished = "vanished" // between being seen and being read, or before a position in it
	Changed  = "changed"  // while it was read, or since a position in it was taken
	Refused  = "refused"  // it cannot be read at all
)

// Event is something that happened to a file.
type Event struct {
	What  string
	Entry Entry
	Err   error
}

// Dir is a source of all files that come into a directory, in the order of their
// names.
type Dir struct {
	c      DirConfig
	ledger *ledger
	seen   map[string]seen // files that are not complete yet
	file   *cdrfile.File
	entry  Entry // of the file
	info   fs.FileInfo
	replay []Entry // files to be read again, though the ledger has them
	skip   map[string]content
	bad    uint64
	done   uint64 // entries of the ledger before the file
	again  []byte // where to open the file of entry again, after the disk failed
}

type seen struct {
	size  int64
	mod   time.Time
	since time.Time
}

// dirPosition is a position, as JSON.
type dirPosition struct {
	Done uint64 `json:"n"` // entries of the ledger that were read whole
	Name string `json:"f,omitempty"`
	Size int64  `json:"s,omitempty"`
	Sum  uint64 `json:"d,omitempty"`
	At   []byte `json:"p,omitempty"`
	Read uint64 `json:"r,omitempty"` // records of the file before it
}

// NewDir opens the spool directory. Errors have code Unavailable, or Invalid for a
// position that is none.
func NewDir(c DirConfig) (*Dir, error) {
	if c.Poll <= 0 {
		c.Poll = defaultPoll
	}
	if c.Settle == 0 {
		c.Settle = 2 * time.Second
	}
	if c.Remember <= 0 {
		c.Remember = 100_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Event == nil {
		c.Event = func(Event) {}
	}
	l, err := openLedger(c.State, c.Remember)
	if err != nil {
		return nil, err
	}
	d := &Dir{c: c, ledger: l, seen: map[string]seen{}, skip: map[string]content{}, done: l.last()}
	if c.From == nil {
		return d, nil
	}
	if err := d.resume(c.From); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// resume goes on at a position: in the file it names, then with the files that
// were read after it, whatever the ledger says, then with new ones.
func (d *Dir) resume(from []byte) error {
	var p dirPosition
	if err := json.Unmarshal(from, &p); err != nil || p.Done > d.ledger.last() || strings.ContainsRune(p.Name, filepath.Separator) {
		return ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none of this spool directory", len(from))
	}
	d.done = p.Done
	for n := p.Done + 1; n <= d.ledger.last(); n++ {
		if e, ok := d.ledger.entry(n); ok {
			d.replay = append(d.replay, e)
		}
	}
	if p.Name == "" {
		return nil
	}
	// The file of the position is the first of those, when it was read to its end
	// before the crash.
	e := Entry{Name: p.Name, Size: p.Size, Digest: p.Sum, Records: p.Read}
	if len(d.replay) > 0 && d.replay[0].Name == p.Name && d.replay[0].Digest == p.Sum {
		e.Number, e.Time, e.Bad = d.replay[0].Number, d.replay[0].Time, d.replay[0].Bad
		d.replay = d.replay[1:]
	}
	err := d.open(e, p.At)
	switch ringwall.CodeOf(err) {
	case "":
	case ringwall.NotFound:
		d.tell(Vanished, e, err)
	default:
		d.tell(Changed, e, err)
	}
	return nil
}

func (d *Dir) tell(what string, e Entry, err error) { d.c.Event(Event{what, e, err}) }

// open opens a file at a position.
func (d *Dir) open(e Entry, at []byte) error {
	path := filepath.Join(d.c.Dir, e.Name)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ringwall.Errorf(ringwall.NotFound, "the file is not in the spool directory any more")
	}
	if err == nil && at != nil {
		// What is read further has to be what was begun.
		var c content
		if c, err = digest(path); err == nil && c != (content{e.Size, e.Digest}) {
			return ringwall.Errorf(ringwall.Conflict, "the file is not the one that was begun")
		}
	}
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "opening a spooled file: %w", err)
	}
	c, bad := d.c.File, d.c.File.Bad
	c.From, c.Name = at, e.Name
	c.Bad = func(b cdr.Bad) {
		d.bad++
		if bad != nil {
			bad(b)
		}
	}
	d.bad = 0
	f, err := cdrfile.Open(path, c)
	if err != nil {
		return err
	}
	d.file, d.entry, d.info = f, e, info
	d.tell(Began, e, nil)
	return nil
}

// Next implements cdr.Source. It waits for files until ctx ends. An error with
// code Unavailable may pass: call again.
func (d *Dir) Next(ctx context.Context, b *cdr.Batch) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.file != nil {
			err := d.file.Next(ctx, b)
			switch {
			case err == nil:
				d.entry.Records += uint64(len(b.Events))
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			case err == io.EOF:
				err = nil
			case ringwall.CodeOf(err) == ringwall.Unavailable:
				d.again = d.file.Position()
				d.file.Close()
				d.file = nil
				return err
			}
			if err := d.finish(err); err != nil {
				return err
			}
			continue
		}
		found, err := d.begin()
		switch {
		case err != nil:
			return err
		case found:
			continue
		case d.c.Once:
			b.Reset()
			return io.EOF
		}
		select {
		case <-ctx.Done():
		case <-time.After(d.c.Poll):
		}
	}
}

// finish writes into the ledger that the file was read to its end, err being what
// was wrong with the rest of it.
func (d *Dir) finish(err error) error {
	if err != nil {
		d.tell(Refused, d.entry, err)
	}
	d.entry.Bad = d.bad
	if d.entry.Number == 0 {
		d.entry.Time = d.c.Now().UTC().Truncate(time.Second)
		n, lerr := d.ledger.add(d.entry)
		if lerr != nil && n == 0 {
			return lerr // the file is not done before this is written
		}
		d.entry.Number = n
	}
	if info, serr := os.Lstat(filepath.Join(d.c.Dir, d.entry.Name)); serr != nil || info.Size() != d.info.Size() || !info.ModTime().Equal(d.info.ModTime()) || identity(info) != identity(d.info) {
		d.tell(Changed, d.entry, serr)
	} else if err == nil {
		d.tell(Read, d.entry, nil)
	}
	d.done = max(d.done, d.entry.Number)
	d.skip[d.entry.Name], d.seen[d.entry.Name] = content{d.entry.Size, d.entry.Digest}, seen{d.info.Size(), d.info.ModTime(), time.Time{}}
	d.file.Close()
	d.file = nil
	return nil
}

// begin opens the next file, and reports whether there is one.
func (d *Dir) begin() (bool, error) {
	if d.again != nil {
		err := d.open(d.entry, d.again)
		switch ringwall.CodeOf(err) {
		case "":
			d.again = nil
			return true, nil
		case ringwall.Unavailable:
			return false, err
		case ringwall.NotFound:
			d.tell(Vanished, d.entry, err)
		default:
			d.tell(Changed, d.entry, err)
		}
		d.again = nil
	}
	for len(d.replay) > 0 {
		e := d.replay[0]
		d.replay = d.replay[1:]
		d.done = e.Number
		if e.Again != 0 {
			continue
		}
		e.Records = 0
		err := d.open(e, nil)
		switch ringwall.CodeOf(err) {
		case "":
			d.done = e.Number - 1
			return true, nil
		case ringwall.NotFound:
			d.tell(Vanished, e, err)
		case ringwall.Unavailable:
			d.replay = append([]Entry{e}, d.replay...)
			return false, err
		default:
			if err != io.EOF {
				d.tell(Refused, e, err)
			}
		}
	}
	for {
		name, err := d.next()
		if name == "" || err != nil {
			return false, err
		}
		path := filepath.Join(d.c.Dir, name)
		c, err := digest(path)
		e := Entry{Name: name, Size: c.size, Digest: c.digest}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.tell(Vanished, e, err)
			continue
		case err != nil:
			return false, ringwall.Errorf(ringwall.Unavailable, "reading a spooled file: %w", err)
		}
		if n, ok := d.ledger.by[c]; ok {
			known, _ := d.ledger.entry(n)
			if known.Name == name {
				d.skip[name] = c // still there, waiting for Commit, or kept
				continue
			}
			e.Again = n
			if err := d.pass(e, Again, nil); err != nil {
				return false, err
			}
			continue
		}
		err = d.open(e, nil)
		switch ringwall.CodeOf(err) {
		case "":
			return true, nil
		case ringwall.NotFound:
			d.tell(Vanished, e, err)
			continue
		case ringwall.Unavailable:
			return false, err
		}
		if err == io.EOF {
			err = nil // an empty file is read
		}
		what := Refused
		if err == nil {
			what = Read
		}
		if err := d.pass(e, what, err); err != nil {
			return false, err
		}
	}
}

// pass writes into the ledger that a file was dealt with without reading it.
func (d *Dir) pass(e Entry, what string, why error) error {
	e.Time = d.c.Now().UTC().Truncate(time.Second)
	n, err := d.ledger.add(e)
	if n == 0 {
		return err
	}
	e.Number = n
	d.done = n
	d.skip[e.Name] = content{e.Size, e.Digest}
	d.tell(what, e, why)
	return nil
}

// next returns the name of the first complete file that was not dealt with yet.
func (d *Dir) next() (string, error) {
	entries, err := os.ReadDir(d.c.Dir) // sorted by name
	if err != nil {
		return "", ringwall.Errorf(ringwall.Unavailable, "reading the spool directory: %w", err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	for name := range d.skip {
		if !names[name] {
			delete(d.skip, name)
		}
	}
	for name := range d.seen {
		if !names[name] {
			delete(d.seen, name)
		}
	}
	now := d.c.Now()
	for _, e := range entries {
		name := e.Name()
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !d.wanted(name) || d.c.Marker != "" && !names[name+d.c.Marker] {
			continue
		}
		if c, ok := d.skip[name]; ok && c.size == info.Size() && d.seen[name].mod.Equal(info.ModTime()) {
			continue
		}
		was, known := d.seen[name]
		if !known || was.size != info.Size() || !was.mod.Equal(info.ModTime()) {
			was = seen{info.Size(), info.ModTime(), now}
			d.seen[name] = was
			delete(d.skip, name)
		}
		if d.c.Marker == "" && d.c.Settle > 0 && now.Sub(was.since) < d.c.Settle && now.Sub(was.mod) < d.c.Settle {
			continue
		}
		return name, nil
	}
	return "", nil
}

// unfinished are endings of names of files that are being written.
var unfinished = []string{".tmp", ".part", ".filepart", ".partial", ".inprogress", ".writing"}

func (d *Dir) wanted(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || d.c.Marker != "" && strings.HasSuffix(name, d.c.Marker) {
		return false
	}
	return !slices.ContainsFunc(unfinished, func(end string) bool { return strings.HasSuffix(strings.ToLower(name), end) })
}

// Position implements cdr.Source.
func (d *Dir) Position() []byte {
	p := dirPosition{Done: d.done}
	if d.file != nil || d.again != nil {
		p.Name, p.Size, p.Sum, p.At, p.Read = d.entry.Name, d.entry.Size, d.entry.Digest, d.again, d.entry.Records
	}
	if d.file != nil {
		p.At = d.file.Position()
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic("spool: a position cannot be written: " + err.Error())
	}
	return b
}

// Commit says that a position, and all that came before it, is durable elsewhere:
// files that were read before it are moved away or removed, unless they are kept.
func (d *Dir) Commit(position []byte) error {
	var p dirPosition
	if err := json.Unmarshal(position, &p); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none of a spool directory", len(position))
	}
	if d.c.Keep {
		return nil
	}
	var errs []error
	for i := len(d.ledger.entries) - 1; i >= 0; i-- {
		e := d.ledger.entries[i]
		if e.Number > p.Done {
			continue
		}
		c, waits := d.skip[e.Name]
		if !waits && e.Number+1000 < p.Done {
			break // long gone
		}
		path := filepath.Join(d.c.Dir, e.Name)
		info, err := os.Lstat(path)
		if err != nil || !waits || c != (content{e.Size, e.Digest}) || info.Size() != e.Size || !info.ModTime().Equal(d.seen[e.Name].mod) || d.file != nil && d.entry.Name == e.Name {
			continue // it is gone, or another file has come under the name
		}
		if err := d.away(path, e); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		delete(d.skip, e.Name)
	}
	if err := errors.Join(errs...); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "clearing the spool directory: %w", err)
	}
	return nil
}

func (d *Dir) away(path string, e Entry) error {
	if d.c.Marker != "" {
		defer os.Remove(path + d.c.Marker)
	}
	if d.c.Done == "" {
		return os.Remove(path)
	}
	return os.Rename(path, filepath.Join(d.c.Done, e.Name))
}

// File is the name and form of the file that is being read, for Bad; "" between
// files.
func (d *Dir) File() (name, form, head string) {
	if d.file == nil {
		return "", "", ""
	}
	return d.entry.Name, d.file.Format().String(), d.file.Head()
}

// Close closes the ledger and the file that is open.
func (d *Dir) Close() error {
	if d.file != nil {
		d.file.Close()
		d.file = nil
	}
	return d.ledger.j.Close()
}
