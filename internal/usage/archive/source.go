package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// reader reads the batches of a file.
type reader struct {
	f    io.ReaderAt
	buf  []byte // of the file from off on, have bytes of it
	off  int64
	have int
	pos  int   // in buf, of the next batch
	last int64 // behind the last whole batch
	end  bool  // buf has all that the file has
}

// errEnd is where no whole batch follows.
var errEnd = errors.New("no whole batch follows")

func newReader(f io.ReaderAt, at int64) *reader {
	return &reader{f: f, off: at, last: at, buf: make([]byte, cdr.MaxWire)}
}

// at is where the next batch is looked for.
func (r *reader) at() int64 { return r.off + int64(r.pos) }

// next reads the next whole batch into b, which stands in the reader until the next
// call, and tells how many bytes before it were none.
func (r *reader) next(b *cdr.Batch) (lost int64, err error) {
	for {
		rest := r.buf[r.pos:r.have]
		size, serr := cdr.WireSize(rest)
		if !r.end && (len(rest) < 8 || serr == nil && size > len(rest)) {
			if err := r.fill(); err != nil {
				return lost, err
			}
			continue
		}
		if len(rest) == 0 {
			return lost, errEnd
		}
		if size, err := cdr.DecodeBatch(rest, b); err == nil {
			r.pos += size
			r.last = r.at()
			return lost, nil
		}
		// Damage: go on where the next one may begin.
		skip := len(rest)
		if i := bytes.Index(rest[1:], []byte("RWB\x01")); i >= 0 {
			skip = i + 1
		} else if !r.end {
			skip = max(1, len(rest)-3)
		}
		lost += int64(skip)
		r.pos += skip
	}
}

// fill moves what is left to the front and reads on.
func (r *reader) fill() error {
	r.off += int64(r.pos)
	r.have = copy(r.buf, r.buf[r.pos:r.have])
	r.pos = 0
	n, err := r.f.ReadAt(r.buf[r.have:], r.off+int64(r.have))
	r.have += n
	if err == io.EOF {
		r.end, err = true, nil
	}
	return err
}

// SourceConfig configures a Source.
type SourceConfig struct {
	// Since and Until are the first day and the one after the last; zero = all.
	Since, Until time.Time
	From         []byte // a position; nil = the beginning
	Bad          func(cdr.Bad)
}

// Source reads days of an archive.
type Source struct {
	dir  string
	c    SourceConfig
	days []int32
	day  int32
	f    *os.File
	r    *reader
	at   int64
}

// NewSource opens the archive in dir for reading; it may be one that is added to:
// what was synced is read. Errors have code Unavailable, or Invalid for a position
// that is none.
func NewSource(dir string, c SourceConfig) (*Source, error) {
	days, err := daysIn(dir)
	if err != nil {
		return nil, err
	}
	s := &Source{dir: dir, c: c}
	for _, n := range slices.Sorted(maps.Keys(days)) {
		begin := time.Unix(int64(n)*86400, 0)
		if (c.Since.IsZero() || begin.Add(24*time.Hour).After(c.Since)) && (c.Until.IsZero() || begin.Before(c.Until)) {
			s.days = append(s.days, n)
		}
	}
	if c.From == nil {
		return s, nil
	}
	if len(c.From) != 12 || binary.BigEndian.Uint64(c.From[4:]) > 1<<62 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none of an archive", len(c.From))
	}
	s.day, s.at = int32(binary.BigEndian.Uint32(c.From)), int64(binary.BigEndian.Uint64(c.From[4:]))
	s.days = slices.DeleteFunc(s.days, func(n int32) bool { return n < s.day })
	return s, nil
}

// Next implements cdr.Source.
func (s *Source) Next(ctx context.Context, b *cdr.Batch) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.r == nil {
			if len(s.days) == 0 {
				return io.EOF
			}
			n := s.days[0]
			s.days = s.days[1:]
			f, err := os.Open(filepath.Join(s.dir, name(n)))
			if errors.Is(err, os.ErrNotExist) {
				continue // it grew too old meanwhile
			}
			if err != nil {
				return ringwall.Errorf(ringwall.Unavailable, "reading the archive of usage records: %w", err)
			}
			if n != s.day {
				s.day, s.at = n, 0
			}
			s.f, s.r = f, newReader(f, s.at)
		}
		from := s.r.at()
		lost, err := s.r.next(b)
		if lost > 0 && s.c.Bad != nil && !(errors.Is(err, errEnd)) {
			s.c.Bad(cdr.Bad{Source: name(s.day), Offset: from, Reason: "damage: no batch begins here", Lost: lost})
		}
		switch {
		case err == nil:
			s.at = s.r.at()
			return nil
		case errors.Is(err, errEnd):
			s.Close()
		default:
			return ringwall.Errorf(ringwall.Unavailable, "reading the archive of usage records: %w", err)
		}
	}
}

// Position implements cdr.Source: 4 bytes day, 8 bytes offset, big-endian.
func (s *Source) Position() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(s.day)), uint64(s.at))
}

// Close closes the file that is open.
func (s *Source) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f, s.r = nil, nil
	return err
}
