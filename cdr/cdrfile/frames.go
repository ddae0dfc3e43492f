package cdrfile

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
	"github.com/ringwall/ringwall/cdr/ts32297"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

const bufferBytes = 512 << 10

// frames reads records of TS 32.298, framed or not.
type frames struct {
	c       Config
	framed  bool
	r       io.Reader
	buf     []byte
	at      int
	fill    int
	err     error
	offset  int64  // of buf[at]
	n       uint64 // records before it
	skipped uint64
	decode  *ts32298.Decoder
	spans   [cdr.MaxBatch][2]int32
}

func newFrames(r io.Reader, c Config, framed bool, from []byte) (*frames, error) {
	s := &frames{c: c, framed: framed, r: r, buf: make([]byte, bufferBytes), decode: ts32298.NewDecoder(c.Keys)}
	if framed {
		for s.err == nil && s.fill < ts32297.MaxHeader {
			s.more()
		}
		h, err := ts32297.ParseHeader(s.buf[:s.fill])
		if err != nil {
			return nil, err
		}
		s.at, s.offset = int(h.Size), int64(h.Size)
	}
	if from == nil {
		return s, nil
	}
	to := int64(0)
	if len(from) == 16 {
		to = int64(binary.BigEndian.Uint64(from))
	}
	if to < s.offset {
		return nil, ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none in a file of charging records", len(from))
	}
	skip := to - s.offset
	switch sk, ok := r.(io.Seeker); {
	case skip <= int64(s.fill-s.at):
		s.at += int(skip)
	case ok:
		if _, err := sk.Seek(skip-int64(s.fill-s.at), io.SeekCurrent); err != nil {
			return nil, ringwall.Errorf(ringwall.Unavailable, "reading the usage file: %w", err)
		}
		s.at, s.fill, s.err = 0, 0, nil
	default:
		if _, err := io.CopyN(io.Discard, r, skip-int64(s.fill-s.at)); err != nil && err != io.EOF {
			return nil, err
		}
		s.at, s.fill = 0, 0
	}
	s.offset, s.n = to, binary.BigEndian.Uint64(from[8:])
	return s, nil
}

// more makes room and reads on.
func (s *frames) more() {
	if s.at > 0 {
		s.fill = copy(s.buf, s.buf[s.at:s.fill])
		s.at = 0
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.fill:])
		s.fill += n
		if s.err = err; n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// Next implements cdr.Source.
func (s *frames) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.take(b)
		if len(b.Events) > 0 {
			b.Detail = s
			return nil
		}
		switch {
		case s.err == nil:
			s.more()
		case s.err == io.EOF || ringwall.CodeOf(s.err) == ringwall.Invalid:
			// A zip that is cut is a file that is cut.
			if s.err != io.EOF {
				s.bad(s.at, s.at, s.err.Error())
				s.err = io.EOF
			}
			return io.EOF
		default:
			return ringwall.Errorf(ringwall.Unavailable, "reading the usage file: %w", s.err)
		}
	}
}

// take makes events of the records that are whole in the buffer.
func (s *frames) take(b *cdr.Batch) {
	for s.at < s.fill && len(b.Events) < cdr.MaxBatch {
		from, to, next, reason := s.frame(s.at, s.fill)
		if next == 0 && reason == "" {
			if s.err == nil {
				return // more has to come
			}
			reason = "the file ends inside of this record"
			if s.err != io.EOF && ringwall.CodeOf(s.err) != ringwall.Invalid {
				return // it may still come
			}
		}
		if reason != "" {
			s.n++
			if next == 0 {
				next = s.resync()
			}
			s.bad(s.at, next, reason)
			s.advance(next)
			continue
		}
		if from == to { // what fills gaps
			s.advance(next)
			continue
		}
		s.n++
		n := len(b.Events)
		switch err := s.decode.Event(s.buf[from:to], &b.Events[:n+1][n]); {
		case errors.Is(err, ts32298.ErrKind) && s.follows(next):
			s.skipped++
		case err != nil:
			// An end that was looked for, and not told by a length, is not to be relied
			// upon when what is before it is wrong.
			if looked := s.buf[next-1] == 0 && s.buf[next-2] == 0 && !s.framed; looked || !s.follows(next) {
				next = s.resync()
			}
			s.bad(s.at, next, err.Error())
		default:
			s.spans[n] = [2]int32{int32(from), int32(to)}
			b.Events, b.Lines = b.Events[:n+1], append(b.Lines, s.n)
		}
		s.advance(next)
	}
}

func (s *frames) advance(next int) {
	s.offset += int64(next - s.at)
	s.at = next
}

// bad tells of what stands at buf[from:to]. Raw has the record without the header
// of a frame when that can be told apart.
func (s *frames) bad(from, to int, reason string) {
	offset := s.offset + int64(from-s.at)
	if h, ok := ts32297.ParseRecord(s.buf[from:to]); s.framed && ok && int(h.Size)+int(h.Length) == to-from {
		from += int(h.Size)
	}
	n := min(to-from, cdr.MaxRaw)
	s.c.bad(cdr.Bad{Source: s.c.Name, Line: s.n, Offset: offset, Reason: reason, Raw: s.buf[from : from+n], Lost: int64(to - from - n)})
}

// frame finds the record at buf[at:end]. next is 0 when more bytes are needed, or,
// with a reason, when it cannot be told where the record ends.
func (s *frames) frame(at, end int) (from, to, next int, reason string) {
	if s.framed {
		h, ok := ts32297.ParseRecord(s.buf[at:end])
		switch {
		case !ok:
			return 0, 0, 0, ""
		case h.Format != ts32297.BER || h.Length == 0:
			return 0, 0, 0, "the header of the record is none of one in BER"
		}
		from = at + int(h.Size)
		to = from + int(h.Length)
		switch {
		case end-from < 16 && to > end:
			return 0, 0, 0, ""
		case !s.fits(from, to):
			return 0, 0, 0, "the header of the record and the record differ in its length"
		case to > end:
			return 0, 0, 0, ""
		}
		return from, to, to, ""
	}
	if c := s.buf[at]; c == 0 || c == 0xff { // filled up to a block
		next = at + 1
		for next < end && s.buf[next] == c {
			next++
		}
		return at, at, next, ""
	}
	if _, _, to, ok := ber.Definite(s.buf, at, end); ok && to <= end && to-at <= ts32298.MaxRecord {
		return at, to, to, ""
	}
	if n := s.decode.Ends(s.buf[at:end]); n > 0 {
		return at, at + n, at + n, ""
	}
	t, known, err := ber.Header(s.buf, at, end)
	if err == nil {
		switch {
		case t.Class != ber.Context || !t.Constructed:
			return 0, 0, 0, "no record begins here"
		case known && t.To-at > ts32298.MaxRecord:
			return 0, 0, 0, "the length of the record is more than one can have"
		case known && t.To > end:
			return 0, 0, 0, ""
		case !known:
			t, err = ber.Parse(s.buf, at, min(end, at+ts32298.MaxRecord))
		}
	}
	if se, ok := errors.AsType[*ber.SyntaxError](err); ok {
		if se.Cut && end-at < ts32298.MaxRecord {
			return 0, 0, 0, ""
		}
		return 0, 0, 0, "the record is no BER: " + se.Reason
	}
	return at, t.Next, t.Next, ""
}

// follows reports whether a record begins at a place, or the file ends there, or
// what is there is not read yet.
func (s *frames) follows(at int) bool {
	if s.fill-at < 16 {
		return true
	}
	if !s.framed {
		return plausible(s.buf[at:s.fill])
	}
	h, ok := ts32297.ParseRecord(s.buf[at:s.fill])
	from := at + int(h.Size)
	return ok && h.Format == ts32297.BER && h.Length >= 8 && from < s.fill && plausible(s.buf[from:s.fill]) && s.fits(from, from+int(h.Length))
}

// fits reports whether a frame holds one record, and nothing else, as far as can
// be seen without reading it.
func (s *frames) fits(from, to int) bool {
	t, known, err := ber.Header(s.buf, from, s.fill)
	switch {
	case err != nil:
		return false
	case known:
		return t.Next == to
	}
	if to > s.fill {
		return s.err == nil // it is seen when it has come
	}
	return to-t.From >= 2 && s.buf[to-1] == 0 && s.buf[to-2] == 0
}

// plausible reports whether b begins as a record does: a tag of one, a length, and
// in it the type of record, which is the first field that network elements write.
func plausible(b []byte) bool {
	if !ts32298.Is(b) {
		return false
	}
	t, known, _ := ber.Header(b, 0, len(b))
	if known && (t.To > ts32298.MaxRecord || t.To-t.From < 8) || t.From+3 > len(b) {
		return false
	}
	return b[t.From] == 0x80 && (b[t.From+1] == 1 || b[t.From+1] == 2 && b[t.From+2] == 0)
}

// resync looks for the next record behind the place where one was lost, and
// returns where it begins, or where there is nothing more to look at yet.
func (s *frames) resync() int {
	for p := s.at + 1; p+16 <= s.fill; p++ {
		if s.follows(p) {
			return p
		}
	}
	if s.err != nil {
		return s.fill
	}
	return max(s.at+1, s.fill-15)
}

// Record implements cdr.Detail.
func (s *frames) Record(i int, r *cdr.Record) error {
	return s.decode.Record(s.buf[s.spans[i][0]:s.spans[i][1]], r)
}

// Position implements cdr.Source: 8 bytes offset and 8 bytes records, big-endian.
func (s *frames) Position() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.offset)), s.n)
}

// Skipped counts records of kinds that are not judged.
func (s *frames) Skipped() uint64 { return s.skipped }
