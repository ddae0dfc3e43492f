package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Cursor is a place in a file that is being followed. The zero Cursor is the
// start of whatever file is there.
type Cursor struct {
	File   string `json:"file,omitempty"` // its identity on its file system; "" = any
	Head   string `json:"head,omitempty"` // hash of its first line
	Offset int64  `json:"offset"`         // of the first line that was not handed over
	Line   uint64 `json:"line"`           // lines before it
}

// Config configures Follow.
type Config struct {
	Path    string
	Mapping cdr.Mapping
	// Poll is how often the end of the file is looked at; 0 = 200 ms.
	Poll time.Duration
	// Bad is called for lines that are no records, if not nil; they are passed
	// over.
	Bad func(*cdr.LineError)
	// Sync is called, if not nil, when all that is there was handed over and
	// before waiting: the time to keep the cursor and what was made of the
	// records. An error of it ends Follow.
	Sync func(Cursor) error
	// Once ends Follow at the end of the file instead of waiting.
	Once bool
}

const (
	defaultPoll = 200 * time.Millisecond
	chunk       = 64 << 10
)

// Follow hands over the records of a file from cursor on until ctx ends, then
// returns nil. each gets the record, which it must not keep, and the cursor
// behind it; an error of it ends Follow and is returned. A file that is not
// there yet is waited for.
func Follow(ctx context.Context, c Config, from Cursor, each func(*cdr.Record, Cursor) error) error {
	if c.Poll <= 0 {
		c.Poll = defaultPoll
	}
	f := &follower{c: c, at: from, each: each}
	defer f.close()
	for {
		err := f.drain(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case c.Sync != nil:
			if err := c.Sync(f.at); err != nil {
				return err
			}
		}
		if c.Once {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Poll):
		}
	}
}

type follower struct {
	c      Config
	at     Cursor
	each   func(*cdr.Record, Cursor) error
	file   *os.File
	layout *cdr.Layout
	buf    []byte // read and not yet handed over; begins at at.Offset, stands in store
	store  []byte
	skip   bool // inside a line that is too long
	rec    cdr.Record
}

func (f *follower) close() {
	if f.file != nil {
		f.file.Close()
	}
	f.file, f.layout, f.buf, f.skip = nil, nil, nil, false
}

// drain hands over all complete lines that are there now, through rotations.
func (f *follower) drain(ctx context.Context) error {
	for ctx.Err() == nil {
		if f.file == nil {
			if ok, err := f.open(); !ok || err != nil {
				return err
			}
		}
		if err := f.lines(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		again, err := f.turned(ctx)
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// maxRenames is how often a file may be renamed while it is being opened.
const maxRenames = 10

// open opens the file that the cursor speaks of, under whatever name it has
// now, else the one at the path. It reports whether there is one.
func (f *follower) open() (bool, error) {
	for try := 0; ; try++ {
		path, found := f.c.Path, false
		for _, n := range f.neighbours() {
			if f.at.File != "" && identity(n.info) == f.at.File {
				path, found = n.path, true
			}
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			if found && try < maxRenames {
				continue
			}
			return false, nil
		}
		if err != nil {
			return false, ringwall.Errorf(ringwall.Unavailable, "opening the usage file: %w", err)
		}
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			file.Close()
			return false, ringwall.Errorf(ringwall.Invalid, "the usage file %q is not a regular file", path)
		}
		id := identity(info)
		if found && id != f.at.File && try < maxRenames {
			file.Close() // renamed between looking and opening
			continue
		}
		f.file = file
		if id != f.at.File || info.Size() < f.at.Offset {
			f.at = Cursor{File: id}
		}
		return true, nil
	}
}

type neighbour struct {
	path string
	info fs.FileInfo
}

// neighbours returns the file at the path and those that rotation made of it:
// regular ones in its directory whose names are its own and a number or date.
func (f *follower) neighbours() (ns []neighbour) {
	dir, base := filepath.Split(f.c.Path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), base)
		if !ok || strings.Trim(suffix, "0123456789.-_:TZ") != "" {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			ns = append(ns, neighbour{filepath.Join(dir, e.Name()), info})
		}
	}
	return ns
}

// after returns the identity of the file that came after one that is done: the
// oldest of those that were written to since; "" = the one at the path. Several
// rotations may have passed while nobody looked. It is not named by its path,
// which may be another's a moment later.
func (f *follower) after(done fs.FileInfo) string {
	var next fs.FileInfo
	for _, n := range f.neighbours() {
		if n.info.ModTime().After(done.ModTime()) && (next == nil || n.info.ModTime().Before(next.ModTime())) {
			next = n.info
		}
	}
	if next == nil {
		return ""
	}
	return identity(next)
}

// lines hands over complete lines up to the end of the open file.
func (f *follower) lines(ctx context.Context) error {
	if f.layout == nil {
		if ok, err := f.head(); !ok || err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		for {
			i := bytes.IndexByte(f.buf, '\n')
			if i < 0 {
				break
			}
			line := f.buf[:i+1]
			f.buf = f.buf[i+1:]
			if err := f.line(line); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		if len(f.buf) > cdr.MaxLine {
			// The rest of it is passed over as it comes.
			f.at.Offset += int64(len(f.buf))
			f.buf, f.skip = nil, true
		}
		if len(f.store) < len(f.buf)+chunk {
			f.buf, f.store = append(make([]byte, 0, len(f.buf)+2*chunk), f.buf...), nil
			f.store = f.buf[:cap(f.buf)]
		}
		n := copy(f.store, f.buf)
		m, err := f.file.ReadAt(f.store[n:], f.at.Offset+int64(n))
		f.buf = f.store[:n+m]
		if m > 0 {
			continue
		}
		if err == io.EOF || err == nil {
			return nil
		}
		return ringwall.Errorf(ringwall.Unavailable, "reading the usage file: %w", err)
	}
	return nil
}

// line hands over one line, with its line break.
func (f *follower) line(line []byte) error {
	f.at.Offset += int64(len(line))
	f.at.Line++
	if f.skip || len(line) > cdr.MaxLine {
		f.skip = false
		f.bad(ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", cdr.MaxLine))
		return nil
	}
	if len(bytes.TrimRight(line, "\r\n")) == 0 {
		return nil
	}
	f.rec = cdr.Record{Line: f.at.Line}
	if err := f.layout.Decode(line, &f.rec); err != nil {
		f.bad(err)
		return nil
	}
	return f.each(&f.rec, f.at)
}

func (f *follower) bad(err error) {
	if f.c.Bad != nil {
		f.c.Bad(&cdr.LineError{Line: f.at.Line, Err: err})
	}
}

// head reads the first line and, when it is not the one that the cursor knows,
// begins at the start. It reports whether the line is complete.
func (f *follower) head() (bool, error) {
	b := make([]byte, cdr.MaxLine)
	n, err := f.file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return false, ringwall.Errorf(ringwall.Unavailable, "reading the usage file: %w", err)
	}
	i := bytes.IndexByte(b[:n], '\n')
	if i < 0 {
		if n == len(b) {
			return false, ringwall.Errorf(ringwall.Invalid, "the first line of the usage file is longer than %d bytes", cdr.MaxLine)
		}
		return false, nil
	}
	layout, err := cdr.ParseHeader(b[:i+1], f.c.Mapping)
	if err != nil {
		return false, &cdr.LineError{Line: 1, Err: err}
	}
	sum := sha256.Sum256(b[:i+1])
	if head := hex.EncodeToString(sum[:8]); head != f.at.Head || f.at.Offset == 0 {
		f.at = Cursor{File: f.at.File, Head: head, Offset: int64(i + 1), Line: 1}
	}
	f.layout, f.buf, f.skip = layout, nil, false
	return true, nil
}

// turned reports whether another file has to be read now: the path names
// another one, or the open one was cut.
func (f *follower) turned(ctx context.Context) (bool, error) {
	now, err := os.Stat(f.c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // renamed, and the new one is not there yet
	}
	if err != nil {
		return false, ringwall.Errorf(ringwall.Unavailable, "looking at the usage file: %w", err)
	}
	if identity(now) == f.at.File {
		if now.Size() >= f.at.Offset+int64(len(f.buf)) {
			return false, nil
		}
		f.close()
		f.at = Cursor{}
		return true, nil
	}
	// Whoever renamed it may have written into it still: read to its end once
	// more before leaving it for good.
	before := f.at.Offset
	if err := f.lines(ctx); err != nil || ctx.Err() != nil {
		return false, err
	}
	if f.at.Offset != before {
		return true, nil
	}
	done, err := f.file.Stat()
	if err != nil {
		return false, ringwall.Errorf(ringwall.Unavailable, "looking at the usage file: %w", err)
	}
	next := f.after(done)
	f.close()
	f.at = Cursor{File: next}
	return true, nil
}
