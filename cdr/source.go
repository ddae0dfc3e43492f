package cdr

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/ringwall/ringwall"
)

// Source is an input of usage records. It belongs to one goroutine.
type Source interface {
	// Next fills b with the next events, at least one. It returns io.EOF at the
	// end, ctx's error when ctx ends first. Records that are wrong are not in it:
	// the source was given a function that is told of them (Bad). After an error
	// the source is not to be used but for Position.
	Next(ctx context.Context, b *Batch) error
	// Position says where reading goes on after the last batch: a source of the
	// same input that is made with it gives what comes then, none left out and
	// none twice. At most MaxPosition bytes, which mean nothing to others.
	Position() []byte
}

// MaxPosition bounds the position of a source.
const MaxPosition = 1 << 10

// Bad is a record that could not be read.
type Bad struct {
	Source string // a name for people: of the file, topic or peer
	Line   uint64 // number of the record in its source, from 1; 0 = not known
	Offset int64  // of its first byte in its source
	Reason string // safe to show: no number of a card or person is in it
	Raw    []byte // the bytes, cut to MaxRaw; valid during the call only
	// Lost is how many bytes Raw lacks.
	Lost int64
}

// MaxRaw bounds the bytes of a bad record that are handed over.
const MaxRaw = 64 << 10

// Reset empties the batch for filling; its slices keep their room.
func (b *Batch) Reset() {
	if cap(b.Events) < MaxBatch {
		b.Events, b.Lines = make([]Event, 0, MaxBatch), make([]uint64, 0, MaxBatch)
	}
	b.Events, b.Lines, b.Detail = b.Events[:0], b.Lines[:0], nil
}

// Record reads the whole record behind event i, or what the event tells of it
// when the batch has no detail. r.Line is set.
func (b *Batch) Record(i int, r *Record) error {
	r.Line = b.Lines[i]
	if b.Detail == nil {
		b.Events[i].Record(r)
		return nil
	}
	err := b.Detail.Record(i, r)
	r.Line = b.Lines[i]
	return err
}

// Records is a source of records that are in memory.
type Records struct {
	keys *Keys
	recs []Record
	next int
	bad  func(Bad)
	at   []int // of the events of the batch, their places in recs
}

// NewRecords makes a source of records, from a position on; nil = all. bad may
// be nil. The error has code Invalid: the position is none of theirs.
func NewRecords(k *Keys, recs []Record, from []byte, bad func(Bad)) (*Records, error) {
	s := &Records{keys: k, recs: recs, bad: bad}
	if len(from) > 0 {
		if len(from) != 8 || binary.BigEndian.Uint64(from) > uint64(len(recs)) {
			return nil, ringwall.Errorf(ringwall.Invalid, "cdr: position of %d bytes is none in %d records", len(from), len(recs))
		}
		s.next = int(binary.BigEndian.Uint64(from))
	}
	return s, nil
}

// Next implements Source.
func (s *Records) Next(ctx context.Context, b *Batch) error {
	b.Reset()
	s.at = s.at[:0]
	if err := ctx.Err(); err != nil {
		return err
	}
	for ; s.next < len(s.recs) && len(b.Events) < MaxBatch; s.next++ {
		line := uint64(s.next) + 1
		e, err := s.keys.Event(&s.recs[s.next])
		if err != nil {
			if s.bad != nil {
				s.bad(Bad{Source: "records", Line: line, Offset: int64(s.next), Reason: err.Error()})
			}
			continue
		}
		b.Events, b.Lines, s.at = append(b.Events, e), append(b.Lines, line), append(s.at, s.next)
	}
	b.Detail = s
	if len(b.Events) == 0 {
		return io.EOF
	}
	return nil
}

// Record implements Detail for the last batch.
func (s *Records) Record(i int, r *Record) error {
	*r = s.recs[s.at[i]]
	return nil
}

// Position implements Source.
func (s *Records) Position() []byte { return binary.BigEndian.AppendUint64(nil, uint64(s.next)) }
