package gen

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Counts says what a source has made.
type Counts struct {
	Records uint64
	Late    uint64 // held back with their node's file
	Again   uint64 // sent a second time
	Crowded uint64 // would have been held or sent again, but there was no room
	Misuse  uint64
}

// Source makes the records of a world, in the order in which they are delivered.
// It satisfies cdr.Source. It belongs to one goroutine; a world may have many.
type Source struct {
	w      *World
	habits []*habit // a heap by their next turn
	extra  int
	held   held
	counts Counts
	line   uint64
	rows   []row // of the last batch
	part   part
	ready  []row // not yet handed out, from place gone on
	gone   int
	until  int64
	clock  int64
}

type part struct{ n, of uint32 }

// maxHeld bounds the records that wait in a source for their file: 88 bytes each.
const maxHeld = 1 << 20

// slack is by how much the turns of habits may be out of order: less than what
// charging gateways do.
const slack = 2

// Source starts the stream of all records.
func (w *World) Source() *Source { return w.Part(0, 1) }

// Part starts the stream of the n-th part of the records, of as many parts as of:
// those of the customers' habits are dealt out, so that several goroutines can
// make a world's records at once. A card's records of one habit are in one part.
func (w *World) Part(n, of int) *Source {
	s := &Source{w: w, part: part{uint32(n), uint32(of)}, until: w.end}
	for i, h := range w.habits() {
		if uint32(i)%s.part.of == s.part.n {
			s.habits = append(s.habits, h)
		}
	}
	for i := len(s.habits)/2 - 1; i >= 0; i-- {
		s.sink(i)
	}
	return s
}

// sink restores the heap below i.
func (s *Source) sink(i int) {
	h := s.habits
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].next < h[c].next {
			c++
		}
		if h[i].next <= h[c].next {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// Counts tells what has been made so far.
func (s *Source) Counts() Counts { return s.counts }

// Now is the time of delivery up to which records were made.
func (s *Source) Now() time.Time { return time.Unix(s.clock, 0).UTC() }

// fill makes the records of the next turns of the habit that is due.
func (s *Source) fill() bool {
	s.ready, s.gone = s.ready[:0], 0
	for len(s.ready) == 0 {
		if len(s.habits) == 0 {
			return s.flush()
		}
		h := s.habits[0]
		if h.next >= s.until {
			s.habits[0] = s.habits[len(s.habits)-1]
			s.habits = s.habits[:len(s.habits)-1]
			s.sink(0)
			continue
		}
		s.clock = h.next
		s.due(h.next)
		limit := s.until
		for _, c := range s.habits[1:min(3, len(s.habits))] {
			limit = min(limit, c.next+slack)
		}
		for h.next < limit && len(s.ready) < cdr.MaxBatch {
			s.turn(h)
		}
		s.sink(0)
	}
	return true
}

// due hands out what waited until a time: files that come late or again, and the
// records of misuse.
func (s *Source) due(at int64) {
	for len(s.held) > 0 && s.held[0].arrival <= at {
		s.ready = append(s.ready, s.held.pop())
	}
	if s.part.n != 0 {
		return
	}
	for s.extra < len(s.w.extra) && s.w.extra[s.extra].arrival <= at {
		s.counts.Misuse++
		s.deliver(s.w.extra[s.extra])
		s.extra++
	}
}

// flush hands out what waits at the end.
func (s *Source) flush() bool {
	s.due(math.MaxInt64)
	for len(s.held) > 0 && len(s.ready) < cdr.MaxBatch {
		s.ready = append(s.ready, s.held.pop())
	}
	return len(s.ready) > 0
}

func (s *Source) turn(h *habit) {
	if r, ok := h.make(s.w); ok {
		s.deliver(r)
	}
	h.advance(s.w)
}

// deliver hands a record out when its file is: now, later, or twice.
func (s *Source) deliver(r row) {
	fate, wait := s.w.fate(r.node, r.arrival)
	if fate != onTime && len(s.held) >= maxHeld {
		s.counts.Crowded++
		fate = onTime
	}
	switch fate {
	case heldBack:
		s.counts.Late++
		r.arrival += wait
		s.held.push(r)
		return
	case sentTwice:
		s.counts.Again++
		again := r
		again.arrival += wait
		s.held.push(again)
	}
	s.ready = append(s.ready, r)
}

// Next implements cdr.Source.
func (s *Source) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	s.rows = s.rows[:0]
	for len(s.rows) < cdr.MaxBatch {
		if s.gone == len(s.ready) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !s.fill() {
				break
			}
		}
		n := min(len(s.ready)-s.gone, cdr.MaxBatch-len(s.rows))
		s.rows = append(s.rows, s.ready[s.gone:s.gone+n]...)
		s.gone += n
	}
	if len(s.rows) == 0 {
		return io.EOF
	}
	for i := range s.rows {
		s.line++
		b.Events, b.Lines = append(b.Events, s.w.event(&s.rows[i])), append(b.Lines, s.line)
	}
	s.counts.Records += uint64(len(s.rows))
	b.Detail = s
	return nil
}

// Cut leaves at most the first n records in the last batch.
func (s *Source) Cut(b *cdr.Batch, n uint64) {
	if n < uint64(len(s.rows)) {
		s.counts.Records -= uint64(len(s.rows)) - n
		s.line -= uint64(len(s.rows)) - n
		s.rows, b.Events, b.Lines = s.rows[:n], b.Events[:n], b.Lines[:n]
	}
}

// Len is how many records the last batch has.
func (s *Source) Len() int { return len(s.rows) }

// Keys are those that events are made with.
func (s *Source) Keys() *cdr.Keys { return s.w.keys }

// Record implements cdr.Detail for the last batch.
func (s *Source) Record(i int, r *cdr.Record) error {
	if i < 0 || i >= len(s.rows) {
		return ringwall.Errorf(ringwall.Invalid, "gen: there is no record %d in a batch of %d", i, len(s.rows))
	}
	s.w.record(&s.rows[i], r)
	return nil
}

// Position implements cdr.Source: how many records were handed out.
func (s *Source) Position() []byte { return binary.BigEndian.AppendUint64(nil, s.line) }

// Resume goes on after a position of a source of the same world and part: what
// came before is made again and dropped. It must be called before Next. The error
// has code Invalid.
func (s *Source) Resume(ctx context.Context, position []byte) error {
	if len(position) != 8 {
		return ringwall.Errorf(ringwall.Invalid, "gen: a position has 8 bytes, not %d", len(position))
	}
	for skip := binary.BigEndian.Uint64(position); skip > 0; skip-- {
		if s.gone == len(s.ready) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !s.fill() {
				return ringwall.Errorf(ringwall.Invalid, "gen: the position lies %d records past the end", skip)
			}
		}
		s.gone++
		s.line++
	}
	return nil
}

// held is a heap of records by arrival.
type held []row

func (h *held) push(r row) {
	*h = append(*h, r)
	a := *h
	for i := len(a) - 1; i > 0; {
		p := (i - 1) / 2
		if a[p].arrival <= a[i].arrival {
			return
		}
		a[p], a[i] = a[i], a[p]
		i = p
	}
}

func (h *held) pop() row {
	a := *h
	top := a[0]
	a[0] = a[len(a)-1]
	a = a[:len(a)-1]
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(a) {
			break
		}
		if c+1 < len(a) && a[c+1].arrival < a[c].arrival {
			c++
		}
		if a[i].arrival <= a[c].arrival {
			break
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
	*h = a
	return top
}
