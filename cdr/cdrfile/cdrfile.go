// Package cdrfile opens files of usage records of any form, finding out which it
// is: lines of CSV (package cdr), records of TS 32.298 framed as TS 32.297 says or
// standing one behind the other, or a TAP batch; each plain or gzipped.
//
// A File is a cdr.Source. Its position holds what the file began with, so that
// going on in another file is refused (code Conflict) and not guessed. A record
// that is wrong goes to Config.Bad with its place, and reading goes on behind it;
// when lengths are so wrong that nobody knows where the next one begins, it is
// looked for, and what lies between is one bad record. Records of kinds that are
// not judged are counted (Skipped).
//
// Reading costs one buffer of 512 KiB, whatever the file; a TAP file is held in
// memory whole, up to tap.MaxFile bytes, since what its events mean stands before
// and behind them.
//
// A File belongs to one goroutine, and closes what Open opened.
package cdrfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/tap"
	"github.com/ringwall/ringwall/cdr/ts32297"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

// Format is the form of a file.
type Format uint8

// Forms.
const (
	Unknown Format = iota
	CSV
	TS32297 // records framed by TS 32.297
	BER     // records of TS 32.298 one behind the other
	TAP
)

func (f Format) String() string {
	return [...]string{"unknown", "csv", "ts32297", "ber", "tap"}[f]
}

// ParseFormat reads the name of a form.
func ParseFormat(s string) (Format, error) {
	for f := CSV; f <= TAP; f++ {
		if s == f.String() {
			return f, nil
		}
	}
	return 0, ringwall.Errorf(ringwall.Invalid, `form %.20q is none of "csv", "ts32297", "ber", "tap"`, s)
}

// Config configures a file.
type Config struct {
	Keys    *cdr.Keys
	Mapping cdr.Mapping // of CSV
	TAP     tap.Config
	// Name is that of the source in bad records; "" = the last part of the path.
	Name string
	// Format is the form; Unknown = it is found out.
	Format Format
	// From is a position of the same file; nil = its beginning.
	From []byte
	// Bad is told of records that are wrong, if not nil.
	Bad func(cdr.Bad)
}

// inner is a source that reads one form.
type inner interface {
	cdr.Source
	Skipped() uint64
}

// File is an open file.
type File struct {
	inner
	format Format
	zipped bool
	head   []byte // bytes that the position vouches for: their number and hash
	close  []io.Closer
}

const (
	sniffBytes = 4 << 10
	// positionHeader is version, form, whether gzipped, and head.
	positionHeader = 3 + 2 + 8
)

// Open opens a file. Errors have code NotFound, Unavailable, Invalid (it is of no
// known form, or empty: io.EOF) or Conflict (From is of another file).
func Open(path string, c Config) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		code := ringwall.Unavailable
		if errors.Is(err, fs.ErrNotExist) {
			code = ringwall.NotFound
		}
		return nil, ringwall.Errorf(code, "opening the usage file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ringwall.Errorf(ringwall.Invalid, "the usage file is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if c.Name == "" {
		c.Name = info.Name()
	}
	file, err := open(f, c)
	if err != nil {
		f.Close()
		return nil, err
	}
	file.close = append(file.close, f)
	return file, nil
}

// New reads a stream, such as standard input; one that can be sought is.
func New(r io.Reader, c Config) (*File, error) { return open(r, c) }

func open(r io.Reader, c Config) (*File, error) {
	f := &File{}
	head := make([]byte, sniffBytes)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the usage file: %w", err)
	}
	if n == 0 {
		return nil, io.EOF
	}
	from, err := f.resume(head, c)
	if err != nil {
		return nil, err
	}
	// A pipe is an *os.File too, and says only when it is asked that it cannot go
	// back; it is then an io.Seeker no longer.
	if !back(r, int64(n)) {
		r = io.MultiReader(bytes.NewReader(head), r)
	}
	if len(head) > 2 && head[0] == 0x1f && head[1] == 0x8b {
		f.zipped = true
		z, err := gzip.NewReader(bufio.NewReaderSize(r, 64<<10))
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "unzipping the usage file: %v", err)
		}
		f.close = append(f.close, z)
		b := bufio.NewReaderSize(unzipped{z}, sniffBytes)
		if head, err = b.Peek(sniffBytes); len(head) == 0 {
			return nil, err
		}
		r = b
	}
	if f.format = c.Format; f.format == Unknown {
		if f.format = Sniff(head, c.Mapping); f.format == Unknown {
			return nil, ringwall.Errorf(ringwall.Invalid, "the usage file is neither CSV with a header that names time, imsi and service, nor charging records in BER, nor TAP")
		}
	}
	switch f.format {
	case CSV:
		s, err := cdr.NewCSV(r, c.Keys, cdr.CSVConfig{Name: c.Name, Mapping: c.Mapping, From: from, Bad: c.Bad})
		if err != nil {
			return nil, err
		}
		f.inner = csv{s}
	case TAP:
		f.inner, err = newTAP(r, c, from)
	default:
		f.inner, err = newFrames(r, c, f.format == TS32297, from)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// back goes back by n bytes, and reports whether it could.
func back(r io.Reader, n int64) bool {
	sk, ok := r.(io.Seeker)
	if !ok {
		return false
	}
	_, err := sk.Seek(-n, io.SeekCurrent)
	return err == nil
}

// unzipped makes of what gzip finds wrong an error of the input.
type unzipped struct{ z io.Reader }

func (u unzipped) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	if err != nil && err != io.EOF {
		err = ringwall.Errorf(ringwall.Invalid, "unzipping the usage file: %w", err)
	}
	return n, err
}

type csv struct{ *cdr.CSV }

func (csv) Skipped() uint64 { return 0 }

// Sniff tells of which form a file is from its beginning, unzipped; Unknown when
// it is of none. The header of CSV must name its columns under the names of m.
func Sniff(head []byte, m cdr.Mapping) Format {
	line := head
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		line = head[:i+1]
	}
	if bytes.IndexByte(line, 0) < 0 {
		if _, err := cdr.ParseHeader(line, m); err == nil {
			return CSV
		}
	}
	if ts32297.Is(head) {
		if h, err := ts32297.ParseHeader(head); err == nil {
			rest := head[h.Size:]
			if r, ok := ts32297.ParseRecord(rest); !ok || r.Format == ts32297.BER && (len(rest) == int(r.Size) || ts32298.Is(rest[r.Size:])) {
				return TS32297
			}
		}
	}
	switch {
	case tap.Is(head):
		return TAP
	case ts32298.Is(head):
		return BER
	}
	return Unknown
}

// resume checks that from is of this file, and returns the part of it that the
// source understands.
func (f *File) resume(head []byte, c Config) ([]byte, error) {
	n := len(head)
	if c.From != nil {
		if len(c.From) < positionHeader || c.From[0] != 1 || c.From[1] > byte(TAP) {
			return nil, ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none of a usage file", len(c.From))
		}
		n = int(binary.BigEndian.Uint16(c.From[3:]))
		if n > len(head) || !bytes.Equal(headOf(head[:n]), c.From[3:positionHeader]) {
			return nil, ringwall.Errorf(ringwall.Conflict, "the usage file is not the one that the position is of: it begins with something else")
		}
	}
	f.head = headOf(head[:n])
	if c.From == nil {
		return nil, nil
	}
	return c.From[positionHeader:], nil
}

func headOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), sum[:8]...)
}

// Position implements cdr.Source.
func (f *File) Position() []byte {
	p := append([]byte{1, byte(f.format), 0}, f.head...)
	if f.zipped {
		p[2] = 1
	}
	return append(p, f.inner.Position()...)
}

// Next implements cdr.Source.
func (f *File) Next(ctx context.Context, b *cdr.Batch) error { return f.inner.Next(ctx, b) }

// Format is the form of the file.
func (f *File) Format() Format { return f.format }

// Head is the header of a CSV file; "" for other forms.
func (f *File) Head() string {
	if c, ok := f.inner.(csv); ok {
		return c.CSV.Head()
	}
	return ""
}

// Close closes what Open opened.
func (f *File) Close() error {
	var errs []error
	for _, c := range f.close {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
