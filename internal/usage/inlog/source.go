package inlog

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

// SourceConfig configures a Source.
type SourceConfig struct {
	Keys *cdr.Keys
	From []byte // a position; nil = what the log still has
	Bad  func(cdr.Bad)
	// Once ends the source (io.EOF) at the end of the log instead of waiting.
	Once bool
}

// Source reads a log.
type Source struct {
	l       *Log
	c       SourceConfig
	at      uint64 // frames before the next
	decode  *ts32298.Decoder
	room    []byte // what the events of the batch were made of
	spans   [cdr.MaxBatch][2]int32
	skipped uint64
}

// Source makes a source of the log. The error has code Invalid: the position is
// none of this log.
func (l *Log) Source(c SourceConfig) (*Source, error) {
	s := &Source{l: l, c: c, decode: ts32298.NewDecoder(c.Keys)}
	if c.From != nil {
		n, err := l.index(c.From)
		if err != nil {
			return nil, err
		}
		s.at = n
	}
	return s, nil
}

// Next implements cdr.Source.
func (s *Source) Next(ctx context.Context, b *cdr.Batch) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		more := s.l.wait()
		var detail cdr.Detail
		if _, ok := b.Detail.(*Source); !ok {
			detail = b.Detail // its room is used again
		}
		b.Reset()
		b.Detail = detail
		s.room = s.room[:0]
		err := s.l.j.Read(s.at+1, func(index uint64, frame []byte) (bool, error) {
			again, err := s.frame(b, frame)
			if !again || err != nil {
				return len(b.Events) == 0, err // the frame waits for the next batch, or there was none in it
			}
			s.at = index
			return len(b.Events) < cdr.MaxBatch, nil
		})
		if err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "reading the log of received records: %w", err)
		}
		if len(b.Events) > 0 {
			return nil
		}
		if s.c.Once {
			return io.EOF
		}
		select {
		case <-ctx.Done():
		case <-more:
		}
	}
}

// frame makes events of a frame. It reports false when there is no room in the
// batch for all of it.
func (s *Source) frame(b *cdr.Batch, frame []byte) (bool, error) {
	if len(frame) > 0 && frame[0] == kindBatch {
		if len(b.Events) > 0 {
			return false, nil
		}
		s.room = append(s.room[:0], frame[1:]...)
		if _, err := cdr.DecodeBatch(s.room, b); err != nil {
			s.bad("", 1, err.Error(), frame)
		}
		// Nothing more fits into a batch whose records stand in this frame.
		return true, nil
	}
	if _, whole := b.Detail.(*Source); len(b.Events) > 0 && !whole {
		return false, nil
	}
	if len(frame) < 2 || frame[0] != kindRecords || len(frame) < 2+int(frame[1]) {
		s.bad("", 0, "a frame of no known kind", frame)
		return true, nil
	}
	peer, rest := string(frame[2:2+frame[1]]), frame[2+int(frame[1]):]
	if len(b.Events)+count(rest) > cdr.MaxBatch && len(b.Events) > 0 {
		return false, nil
	}
	for n := uint64(1); len(rest) >= 2; n++ {
		size := int(binary.BigEndian.Uint16(rest))
		if len(rest)-2 < size {
			s.bad(peer, n, "the frame ends inside of a record", rest)
			break
		}
		record := rest[2 : 2+size]
		rest = rest[2+size:]
		if len(b.Events) == cdr.MaxBatch {
			s.bad(peer, n, "a packet of more records than a batch can have", record)
			continue
		}
		var e cdr.Event
		switch err := s.decode.Event(record, &e); {
		case errors.Is(err, ts32298.ErrKind):
			s.skipped++
			continue
		case err != nil:
			s.bad(peer, n, err.Error(), record)
			continue
		}
		from := len(s.room)
		s.room = append(s.room, record...)
		s.spans[len(b.Events)] = [2]int32{int32(from), int32(len(s.room))}
		b.Events, b.Lines = append(b.Events, e), append(b.Lines, n)
		b.Detail = s
	}
	return true, nil
}

func count(rest []byte) (n int) {
	for ; len(rest) >= 2 && len(rest)-2 >= int(binary.BigEndian.Uint16(rest)); n++ {
		rest = rest[2+int(binary.BigEndian.Uint16(rest)):]
	}
	return n
}

func (s *Source) bad(peer string, n uint64, reason string, raw []byte) {
	if s.c.Bad != nil {
		size := min(len(raw), cdr.MaxRaw)
		s.c.Bad(cdr.Bad{Source: peer, Line: n, Offset: int64(s.at + 1), Reason: reason, Raw: raw[:size], Lost: int64(len(raw) - size)})
	}
}

// Record implements cdr.Detail for batches of records.
func (s *Source) Record(i int, r *cdr.Record) error {
	return s.decode.Record(s.room[s.spans[i][0]:s.spans[i][1]], r)
}

// Position implements cdr.Source: the number of frames that were read.
func (s *Source) Position() []byte { return binary.BigEndian.AppendUint64(nil, s.at) }

// Skipped counts records of kinds that are not judged.
func (s *Source) Skipped() uint64 { return s.skipped }
