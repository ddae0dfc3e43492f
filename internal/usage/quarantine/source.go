package quarantine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

// SourceConfig configures a Source.
type SourceConfig struct {
	Keys    *cdr.Keys
	Mapping cdr.Mapping // of CSV, made good
	From    []byte      // a position; nil = the beginning
	Bad     func(cdr.Bad)
}

// Source feeds the entries of a quarantine again.
type Source struct {
	c      SourceConfig
	f      *os.File
	r      *bufio.Reader
	offset int64
	head   string
	layout *cdr.Layout
	lines  *cdr.Decoder
	ber    *ts32298.Decoder
	raws   []raw
	room   []byte
}

// raw is where the bytes of an event stand in room.
type raw struct {
	from, to int
	layout   *cdr.Layout // nil = BER
}

// NewSource opens a quarantine for reading. Errors have code Unavailable or, when
// the position is none, Invalid.
func NewSource(path string, c SourceConfig) (*Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the quarantine: %w", err)
	}
	s := &Source{c: c, f: f, r: bufio.NewReaderSize(f, maxLine), ber: ts32298.NewDecoder(c.Keys)}
	if c.From == nil {
		return s, nil
	}
	if len(c.From) != 8 {
		f.Close()
		return nil, ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none in a quarantine", len(c.From))
	}
	// Headers stand once, so the way there is read again.
	for to := int64(binary.BigEndian.Uint64(c.From)); s.offset < to; {
		e, _, err := s.entry()
		if err != nil && !errors.Is(err, errEntry) {
			f.Close()
			return nil, ringwall.Errorf(ringwall.Invalid, "the position is none in this quarantine: %v", err)
		}
		s.take(e)
	}
	return s, nil
}

var errEntry = errors.New("the line is no entry of a quarantine")

// entry reads the next line.
func (s *Source) entry() (e Entry, line []byte, err error) {
	line, err = s.r.ReadSlice('\n')
	s.offset += int64(len(line))
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = s.r.ReadSlice('\n')
		s.offset += int64(len(more))
		line = nil
	}
	if err != nil {
		return e, nil, err // a line without its end is not one yet
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if line == nil || d.Decode(&e) != nil || e.Form == "" {
		return e, line, errEntry
	}
	return e, line, nil
}

// take remembers the header that an entry brings.
func (s *Source) take(e Entry) {
	if e.Head == "" || e.Head == s.head {
		return
	}
	s.head, s.layout, s.lines = e.Head, nil, nil
	if l, err := cdr.ParseHeader([]byte(e.Head), s.c.Mapping); err == nil {
		s.layout, s.lines = l, cdr.NewDecoder(l, s.c.Keys)
	}
}

// Next implements cdr.Source.
func (s *Source) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	s.raws, s.room = s.raws[:0], s.room[:0]
	for len(b.Events) < cdr.MaxBatch && len(s.room) < 4*maxLine {
		if err := ctx.Err(); err != nil && len(b.Events) == 0 {
			return err
		}
		at := s.offset
		e, line, err := s.entry()
		switch {
		case errors.Is(err, errEntry):
			s.bad(cdr.Bad{Source: "quarantine", Offset: at, Reason: err.Error(), Raw: line})
			continue
		case err == io.EOF:
			if len(b.Events) == 0 {
				return io.EOF
			}
			b.Detail = s
			return nil
		case err != nil:
			return ringwall.Errorf(ringwall.Unavailable, "reading the quarantine: %w", err)
		}
		s.take(e)
		var ev cdr.Event
		r := raw{from: len(s.room)}
		switch {
		case e.Lost > 0:
			err = ringwall.Errorf(ringwall.Invalid, "only %d of %d bytes of the record were kept", len(e.Raw), int64(len(e.Raw))+e.Lost)
		case e.Form == "csv" && s.lines == nil:
			err = ringwall.Errorf(ringwall.Invalid, "the header of the file cannot be read with this mapping")
		case e.Form == "csv":
			r.layout = s.layout
			err = s.lines.Event(e.Raw, &ev)
		case e.Form == "ber" || e.Form == "ts32297":
			err = s.ber.Event(e.Raw, &ev)
		default:
			err = ringwall.Errorf(ringwall.Invalid, "records of form %.20q are fed again as whole files only", e.Form)
		}
		if errors.Is(err, ts32298.ErrKind) {
			continue
		}
		if err != nil {
			s.bad(cdr.Bad{Source: e.Source, Line: e.Line, Offset: e.Offset, Reason: err.Error(), Raw: e.Raw, Lost: e.Lost})
			continue
		}
		s.room = append(s.room, e.Raw...)
		r.to = len(s.room)
		s.raws = append(s.raws, r)
		b.Events, b.Lines = append(b.Events, ev), append(b.Lines, e.Line)
	}
	b.Detail = s
	return nil
}

func (s *Source) bad(b cdr.Bad) {
	if s.c.Bad != nil {
		s.c.Bad(b)
	}
}

// Record implements cdr.Detail.
func (s *Source) Record(i int, r *cdr.Record) error {
	at := s.raws[i]
	if at.layout != nil {
		return at.layout.Decode(s.room[at.from:at.to], r)
	}
	return s.ber.Record(s.room[at.from:at.to], r)
}

// Position implements cdr.Source: the offset of the next entry.
func (s *Source) Position() []byte { return binary.BigEndian.AppendUint64(nil, uint64(s.offset)) }

// Close closes the file.
func (s *Source) Close() error { return s.f.Close() }
