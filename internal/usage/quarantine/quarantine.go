// Package quarantine keeps usage records that could not be read, with where they
// stood, why, and their bytes, until somebody has made good what was wrong (a
// mapping, a decoder) and feeds them again.
//
// A File is lines of JSON, one an Entry, so that people can read and cut it with
// the tools they have; it holds numbers of cards in clear and has mode 0600. It
// grows to Config.MaxBytes; past that, and when the disk is full, records are
// counted as dropped: they never stop the stream that they came from. Add buffers;
// Sync makes what was added durable. A torn last line, as a crash leaves it, is cut
// off by the next Open.
//
// A Source reads the entries of a file again as cdr.Source. What still cannot be
// read is bad again.
//
// A File may be used by several goroutines, a Source belongs to one.
package quarantine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/durable"
)

// Entry is a record that could not be read.
type Entry struct {
	Time   time.Time `json:"time"` // when it was put here
	Source string    `json:"source"`
	Form   string    `json:"form"` // "csv", "ber"; others cannot be fed again
	// Head is the header of a CSV file, in the first entry of those that share it.
	Head   string `json:"head,omitempty"`
	Line   uint64 `json:"line,omitempty"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	Raw    []byte `json:"raw"`
	Lost   int64  `json:"lost,omitempty"` // bytes that Raw lacks
}

// Config configures a File.
type Config struct {
	// MaxBytes bounds the file; 0 = 1 GiB.
	MaxBytes int64
	Now      func() time.Time // nil = time.Now
}

// Counts say what became of bad records since Open.
type Counts struct {
	Kept    uint64 `json:"kept"`
	Dropped uint64 `json:"dropped"` // for want of room or of a disk that takes them
	Bytes   int64  `json:"bytes"`   // of the file
}

// maxLine bounds a line: the raw bytes in base64, and texts.
const maxLine = cdr.MaxRaw*4/3 + 200<<10

// File is a quarantine that is open for adding.
type File struct {
	mu     sync.Mutex
	c      Config
	f      *os.File
	w      *bufio.Writer
	counts Counts
	head   string
	fresh  uint64 // kept since the last Sync
	err    error  // the disk does not take more; tried again at Sync
}

// Open opens a quarantine, making it when it is not there.
func Open(path string, c Config) (*File, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 30
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the quarantine: %w", err)
	}
	size, err := cutTorn(f)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the quarantine: %w", err)
	}
	return &File{c: c, f: f, w: bufio.NewWriterSize(f, 64<<10), counts: Counts{Bytes: size}}, nil
}

// cutTorn cuts off what follows the last line break.
func cutTorn(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	buf := make([]byte, 64<<10)
	for at := size; at > 0; {
		n := min(at, int64(len(buf)))
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			end := at + int64(i) + 1
			if end < size {
				err = f.Truncate(end)
			}
			return end, err
		}
	}
	return 0, f.Truncate(0)
}

// Add adds a bad record of a form; head is the header of a CSV file. It never
// fails: what cannot be kept is counted.
func (f *File) Add(form, head string, b cdr.Bad) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := Entry{Time: f.c.Now().UTC().Truncate(time.Second), Source: b.Source, Form: form, Line: b.Line, Offset: b.Offset, Reason: b.Reason, Raw: b.Raw, Lost: b.Lost}
	if head != "" && head != f.head {
		e.Head = head
	}
	line, err := json.Marshal(e)
	if err != nil || f.err != nil || f.counts.Bytes+int64(len(line))+1 > f.c.MaxBytes || len(line) >= maxLine {
		f.counts.Dropped++
		return
	}
	if _, err := f.w.Write(append(line, '\n')); err != nil {
		f.counts.Dropped++
		f.err = err
		return
	}
	f.head = head
	f.counts.Kept++
	f.fresh++
	f.counts.Bytes += int64(len(line)) + 1
}

// Sync makes durable what was added. After an error, which has code Unavailable,
// records are dropped and counted until a Sync succeeds.
func (f *File) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sync()
}

func (f *File) sync() error {
	if f.err != nil {
		// What was half written is cut off; what was buffered is lost, and said so.
		size, err := cutTorn(f.f)
		if err == nil {
			_, err = f.f.Seek(size, io.SeekStart)
		}
		if err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "writing to the quarantine: %w", err)
		}
		f.counts.Kept, f.counts.Dropped = f.counts.Kept-f.fresh, f.counts.Dropped+f.fresh
		f.counts.Bytes, f.err, f.head, f.fresh = size, nil, "", 0
		f.w.Reset(f.f)
	}
	err := f.w.Flush()
	if err == nil {
		err = (*durable.Disk)(nil).Sync("usage/quarantine", f.f)
	}
	if f.err = err; err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing to the quarantine: %w", err)
	}
	f.fresh = 0
	return nil
}

// Counts says what became of what was added.
func (f *File) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

// Close makes durable what was added, and closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.sync()
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	return err
}
