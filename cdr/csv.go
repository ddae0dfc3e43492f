package cdr

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"

	"github.com/ringwall/ringwall"
)

// CSVConfig configures a source of lines.
type CSVConfig struct {
	Name    string // of the source, for bad records
	Mapping Mapping
	// From is a position of a source of the same input; nil = the beginning. The
	// input begins with its header all the same.
	From []byte
	// Bad is told of lines that are no records, if not nil.
	Bad func(Bad)
}

// CSV is a source of lines. It holds csvBuffer bytes, whatever the input.
type CSV struct {
	c      CSVConfig
	r      io.Reader
	decode *Decoder
	buf    []byte // data stands in buf[at:fill], with a margin on both sides
	at     int
	fill   int
	whole  int    // behind the last line break in the data
	offset int64  // of buf[at] in the input
	line   uint64 // lines before it
	eof    bool
	err    error
	marks  marks
	spans  [MaxBatch][2]int32
	skip   bool // inside a line that is too long
	head   string
	begin  [2]uint64 // where that one begins, and the lines before it
}

const (
	csvBuffer = 256 << 10
	csvEnd    = margin + csvBuffer
)

// NewCSV reads the header. It returns *LineError when that is wrong, io.EOF when
// the input is empty, an error with code Invalid when the position is none of a
// CSV source. With a position the rest is sought when r can be, else read and
// thrown away.
func NewCSV(r io.Reader, k *Keys, c CSVConfig) (*CSV, error) {
	s := &CSV{c: c, r: r, buf: make([]byte, csvEnd+margin)}
	s.empty()
	for s.whole == margin && s.err == nil && s.fill < csvEnd {
		s.more()
	}
	if s.err != nil && s.err != io.EOF {
		return nil, s.err
	}
	if s.fill == margin {
		return nil, io.EOF
	}
	head := s.buf[margin:s.fill]
	head = head[:bytes.IndexByte(head, '\n')+1]
	if len(head) == 0 || len(head) > MaxLine {
		return nil, &LineError{Line: 1, Err: ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", MaxLine)}
	}
	layout, err := ParseHeader(head, c.Mapping)
	if err != nil {
		return nil, &LineError{Line: 1, Err: err}
	}
	s.decode, s.head = NewDecoder(layout, k), string(head)
	s.at, s.offset, s.line = margin+len(head), int64(len(head)), 1
	s.marks.reset(s.at)
	if c.From != nil {
		if err := s.seek(c.From); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *CSV) seek(from []byte) error {
	if len(from) != 16 || binary.BigEndian.Uint64(from) < uint64(s.offset) || binary.BigEndian.Uint64(from) >= 1<<62 {
		return ringwall.Errorf(ringwall.Invalid, "cdr: position of %d bytes is none in CSV", len(from))
	}
	to, line := int64(binary.BigEndian.Uint64(from)), binary.BigEndian.Uint64(from[8:])
	if skip := to - s.offset; skip <= int64(s.fill-s.at) {
		s.at += int(skip)
	} else {
		skip -= int64(s.fill - s.at)
		sk, ok := s.r.(io.Seeker)
		if ok { // unless it is a pipe, which has the method and no more
			_, err := sk.Seek(skip, io.SeekCurrent)
			ok = err == nil
		}
		if ok {
			s.eof, s.err = false, nil
		} else if _, err := io.CopyN(io.Discard, s.r, skip); err != nil && err != io.EOF {
			return err
		}
		s.empty()
	}
	s.offset, s.line = to, line
	s.marks.reset(s.at)
	return nil
}

// empty forgets what is in the buffer.
func (s *CSV) empty() { s.at, s.fill, s.whole = margin, margin, margin }

// more makes room and reads on.
func (s *CSV) more() {
	if s.at > margin {
		s.whole = max(margin, s.whole-s.at+margin)
		s.fill = margin + copy(s.buf[margin:], s.buf[s.at:s.fill])
		s.at = margin
	}
	s.marks.reset(s.at)
	for range 100 { // readers may give nothing without an error for a while
		n, err := s.r.Read(s.buf[s.fill:csvEnd])
		if n > 0 {
			if i := bytes.LastIndexByte(s.buf[s.fill:s.fill+n], '\n'); i >= 0 {
				s.whole = s.fill + i + 1
			}
			s.fill += n
		}
		if err == io.EOF && s.fill > s.whole {
			// A last line without a line break counts. There is room: the buffer
			// ends a margin later.
			s.buf[s.fill] = '\n'
			s.fill++
			s.whole, s.eof = s.fill, true
		}
		s.err = err
		if n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// Next implements Source.
func (s *CSV) Next(ctx context.Context, b *Batch) error {
	b.Reset()
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		s.take(b)
		if len(b.Events) > 0 {
			b.Detail = s
			return nil
		}
		if s.err != nil {
			return s.err
		}
		if s.at == margin && s.fill == csvEnd {
			s.long()
		}
		s.more()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// take makes events of the whole lines that are there, as many as fit.
func (s *CSV) take(b *Batch) {
	events, lines, m := b.Events[:MaxBatch], b.Lines[:MaxBatch], &s.marks
	n, at := 0, s.at
	for at < s.whole && n < MaxBatch {
		s.line++
		next, quick := 0, false
		if s.decode.fast && (m.line < m.lines || m.fill(s.buf, at, s.whole, s.decode.comma)) {
			next = int(m.pos[m.ends[m.line]]) + 1
			quick = !s.skip && next-at <= MaxLine && s.decode.quick(s.buf, m, &events[n])
			m.first, m.line = int(m.ends[m.line])+1, m.line+1
		} else {
			next = at + bytes.IndexByte(s.buf[at:s.whole], '\n') + 1
			m.reset(next)
		}
		if !quick && !s.slow(at, next, &events[n]) {
			at = next
			continue
		}
		lines[n] = s.line
		s.spans[n] = [2]int32{int32(at), int32(next)}
		at = next
		n++
	}
	s.offset += int64(at - s.at)
	if at == s.fill && s.eof {
		s.offset-- // the line break that was added
		s.eof = false
	}
	s.at = at
	b.Events, b.Lines = events[:n], lines[:n]
}

// slow reads one line in the slow way and reports whether it is a record.
func (s *CSV) slow(at, next int, e *Event) bool {
	line := s.buf[at:next]
	var err error
	switch {
	case s.skip:
		s.skip = false // its end; it was told of at its beginning
		s.line--
		return false
	case len(line) > MaxLine:
		err = ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", MaxLine)
	case len(bytes.TrimRight(line, "\r\n")) == 0:
		return false // an empty line is no record
	default:
		err = s.decode.slow(line, e)
	}
	if err != nil {
		s.bad(at, line, err)
	}
	return err == nil
}

func (s *CSV) bad(at int, line []byte, err error) {
	if s.c.Bad != nil {
		raw := bytes.TrimRight(line[:min(len(line), MaxRaw)], "\r\n")
		s.c.Bad(Bad{Source: s.c.Name, Line: s.line, Offset: s.offset + int64(at-s.at), Reason: err.Error(), Raw: raw, Lost: int64(len(line) - min(len(line), MaxRaw))})
	}
}

// long passes over the beginning of a line that does not fit into the buffer; it
// is told of once.
func (s *CSV) long() {
	if !s.skip {
		s.begin = [2]uint64{uint64(s.offset), s.line}
		s.line++
		s.bad(s.at, s.buf[s.at:s.fill], ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", MaxLine))
	}
	s.skip = true
	s.offset += int64(s.fill - s.at)
	s.empty()
}

// Record implements Detail for the last batch.
func (s *CSV) Record(i int, r *Record) error {
	return s.decode.layout.Decode(s.buf[s.spans[i][0]:s.spans[i][1]], r)
}

// Raw returns the line behind event i of the last batch, with its line break.
func (s *CSV) Raw(i int) []byte { return s.buf[s.spans[i][0]:s.spans[i][1]] }

// Position implements Source: 8 bytes offset and 8 bytes lines, big-endian.
func (s *CSV) Position() []byte {
	at := [2]uint64{uint64(s.offset), s.line}
	if s.skip {
		at = s.begin
	}
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, at[0]), at[1])
}

// Head returns the header, with its line break.
func (s *CSV) Head() string { return s.head }

// Layout returns the layout that the header gave.
func (s *CSV) Layout() *Layout { return s.decode.layout }
