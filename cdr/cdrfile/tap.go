package cdrfile

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/tap"
)

// tapSource reads the events of a TAP file.
type tapSource struct {
	c       Config
	f       *tap.File
	next    int
	at      [cdr.MaxBatch]int
	skipped uint64
	rec     cdr.Record
}

func newTAP(r io.Reader, c Config, from []byte) (*tapSource, error) {
	b, err := io.ReadAll(io.LimitReader(r, tap.MaxFile+1))
	if err != nil && ringwall.CodeOf(err) == ringwall.Invalid {
		// A zip that is cut still has what came before.
		c.bad(cdr.Bad{Source: c.Name, Offset: int64(len(b)), Reason: err.Error()})
	} else if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the usage file: %w", err)
	}
	s := &tapSource{c: c}
	if s.f, err = tap.Open(b, c.TAP); err != nil && s.f.Len() == 0 {
		return nil, err
	} else if err != nil && from == nil {
		c.bad(cdr.Bad{Source: c.Name, Line: uint64(s.f.Len()) + 1, Offset: int64(len(b)), Reason: err.Error()})
	}
	if from != nil {
		if len(from) != 8 || binary.BigEndian.Uint64(from) > uint64(s.f.Len()) {
			return nil, ringwall.Errorf(ringwall.Invalid, "the position is none in a TAP file of %d events", s.f.Len())
		}
		s.next = int(binary.BigEndian.Uint64(from))
	}
	return s, nil
}

func (c *Config) bad(b cdr.Bad) {
	if c.Bad != nil {
		c.Bad(b)
	}
}

// Next implements cdr.Source.
func (s *tapSource) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	if err := ctx.Err(); err != nil {
		return err
	}
	for ; s.next < s.f.Len() && len(b.Events) < cdr.MaxBatch; s.next++ {
		err := s.f.Record(s.next, &s.rec)
		if errors.Is(err, tap.ErrKind) {
			s.skipped++
			continue
		}
		var e cdr.Event
		if err == nil {
			e, err = s.c.Keys.Event(&s.rec)
		}
		if err != nil {
			raw, offset := s.f.Raw(s.next)
			s.c.bad(cdr.Bad{Source: s.c.Name, Line: uint64(s.next) + 1, Offset: offset, Reason: err.Error(), Raw: raw[:min(len(raw), cdr.MaxRaw)], Lost: int64(max(0, len(raw)-cdr.MaxRaw))})
			continue
		}
		s.at[len(b.Events)] = s.next
		b.Events, b.Lines = append(b.Events, e), append(b.Lines, uint64(s.next)+1)
	}
	b.Detail = s
	if len(b.Events) == 0 {
		return io.EOF
	}
	return nil
}

// Record implements cdr.Detail.
func (s *tapSource) Record(i int, r *cdr.Record) error { return s.f.Record(s.at[i], r) }

// Position implements cdr.Source: the number of events that were read.
func (s *tapSource) Position() []byte { return binary.BigEndian.AppendUint64(nil, uint64(s.next)) }

// Skipped counts events of kinds that are not judged.
func (s *tapSource) Skipped() uint64 { return s.skipped }
