package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
)

// turnEvents bounds the events of one turn of a Cut, over all shards, and
// turnBytes those of one shard.
const (
	turnEvents = 64 << 10
	turnBytes  = MaxPayload - cdr.MaxWire - 16<<10
)

// Cut makes a Feed of a source: its events are numbered from 1 in the order in
// which they come, and go to the shards of their cards. A goroutine of its own
// reads ahead by one turn at most, so that what comes in small pieces is not
// appended in small pieces; Close ends it.
type Cut struct {
	name   uint64
	shards int
	src    cdr.Source
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	ready chan struct{} // has one when there is something to hand out
	room  chan struct{} // has one when something was handed out
	saved []byte        // up to where the source may forget; nil = nothing new
	next  turn          // being filled
	out   turn          // handed out
	free  turn
	err   error
}

// turn is what Next hands out at once.
type turn struct {
	events  int
	pieces  []Piece // by shard; no payload: nothing for it
	ordinal uint64
	place   []byte
}

// NewCut begins to read src. name is what Source answers; from is what Position
// answered of an earlier life, nil for none; open makes the source at its own
// position (nil = from the start). The error has code Invalid, or is open's.
func NewCut(ctx context.Context, name uint64, shards int, from []byte, open func(position []byte) (cdr.Source, error)) (*Cut, error) {
	var ordinal uint64
	var place []byte
	if len(from) > 0 {
		n, k := binary.Uvarint(from)
		if k <= 0 || len(from)-k > cdr.MaxPosition {
			return nil, ringwall.Errorf(ringwall.Invalid, "the position of a source, of %d bytes, cannot be read", len(from))
		}
		ordinal, place = n, slices.Clone(from[k:])
	}
	src, err := open(place)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &Cut{
		name: name, shards: shards, src: src, cancel: cancel, done: make(chan struct{}),
		ready: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	for _, t := range []*turn{&c.next, &c.out, &c.free} {
		t.pieces, t.ordinal, t.place = make([]Piece, shards), ordinal, place
	}
	go c.read(ctx)
	return c, nil
}

// Close ends reading, and closes the source when it is an io.Closer. What was not
// handed out is read again by the next life.
func (c *Cut) Close() {
	c.cancel()
	<-c.done
	_ = c.commit() // a later life says it again
	if f, ok := c.src.(io.Closer); ok {
		_ = f.Close() // it was only read
	}
}

// Source implements Feed.
func (c *Cut) Source() uint64 { return c.name }

// Position implements Feed: it is behind what Next has handed out.
func (c *Cut) Position() []byte {
	return append(binary.AppendUvarint(nil, c.out.ordinal), c.out.place...)
}

// Committer is a source that may forget what was made durable elsewhere.
type Committer interface{ Commit(position []byte) error }

// Saved says that Position is durable: a source that is a Committer is told, by
// the goroutine that reads it, before it is read on.
func (c *Cut) Saved() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saved = c.out.place
}

func (c *Cut) commit() error {
	c.mu.Lock()
	place := c.saved
	c.saved = nil
	c.mu.Unlock()
	f, ok := c.src.(Committer)
	if !ok || place == nil {
		return nil
	}
	return f.Commit(place)
}

// Next implements Feed. It waits until there is something.
func (c *Cut) Next(ctx context.Context) ([]Piece, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ready:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next.events == 0 {
		if c.err != nil {
			c.signal(c.ready) // it says so again
		}
		return nil, c.err
	}
	c.free, c.out, c.next = c.out, c.next, c.free
	c.next.events, c.next.ordinal, c.next.place = 0, c.out.ordinal, c.out.place
	for i := range c.next.pieces {
		c.next.pieces[i].Payload = c.next.pieces[i].Payload[:0]
	}
	if c.err != nil {
		c.signal(c.ready)
	}
	c.signal(c.room)
	var all []Piece
	for i := range c.out.pieces {
		if p := &c.out.pieces[i]; len(p.Payload) > 0 {
			p.Shard = i
			all = append(all, *p)
		}
	}
	return all, nil
}

func (c *Cut) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// read fills turns until the source ends.
func (c *Cut) read(ctx context.Context) {
	defer close(c.done)
	var b cdr.Batch
	parts := make([]part, c.shards)
	for {
		err := c.commit()
		if err == nil {
			err = c.src.Next(ctx, &b)
		}
		if err == nil {
			err = c.add(ctx, &b, parts)
		}
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.signal(c.ready)
			c.mu.Unlock()
			return
		}
	}
}

// part is what of one batch goes to one shard. It is the detail of its events.
type part struct {
	events   []cdr.Event
	lines    []uint64
	ordinals []uint64
	from     []int
	whole    *cdr.Batch
}

// Record implements cdr.Detail.
func (p *part) Record(i int, r *cdr.Record) error { return p.whole.Record(p.from[i], r) }

// add puts a batch behind what waits, once there is room.
func (c *Cut) add(ctx context.Context, b *cdr.Batch, parts []part) error {
	place := slices.Clone(c.src.Position())
	for {
		c.mu.Lock()
		full := c.next.events+len(b.Events) > turnEvents
		for i := range c.next.pieces {
			full = full || len(c.next.pieces[i].Payload) > turnBytes
		}
		if !full || c.next.events == 0 {
			break
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.room:
		}
	}
	defer c.mu.Unlock()
	ordinal := c.next.ordinal
	for i := range b.Events {
		p := &parts[usage.PartitionOf(b.Events[i].Card, c.shards)]
		p.events, p.lines = append(p.events, b.Events[i]), append(p.lines, b.Lines[i])
		p.ordinals, p.from, p.whole = append(p.ordinals, ordinal+1+uint64(i)), append(p.from, i), b
	}
	for s := range parts {
		p := &parts[s]
		if len(p.events) == 0 {
			continue
		}
		piece := &c.next.pieces[s]
		if len(piece.Payload) == 0 {
			piece.First = p.ordinals[0]
		}
		piece.Last = p.ordinals[len(p.ordinals)-1]
		var err error
		if piece.Payload, err = appendSegment(piece.Payload, p); err != nil {
			return err
		}
		p.events, p.lines, p.ordinals, p.from = p.events[:0], p.lines[:0], p.ordinals[:0], p.from[:0]
	}
	c.next.events += len(b.Events)
	c.next.ordinal, c.next.place = ordinal+uint64(len(b.Events)), place
	c.signal(c.ready)
	return nil
}

// The payload of Records is segments, each: uvarint number of events, uvarint
// first ordinal, uvarint difference of each further ordinal, and the wire form of
// a batch of so many events.

func appendSegment(dst []byte, p *part) ([]byte, error) {
	dst = binary.AppendUvarint(dst, uint64(len(p.ordinals)))
	last := uint64(0)
	for _, o := range p.ordinals {
		dst = binary.AppendUvarint(dst, o-last)
		last = o
	}
	b := cdr.Batch{Events: p.events, Lines: p.lines, Detail: p}
	return cdr.AppendBatch(dst, &b, true)
}

// Segments reads the payload of Records.
type Segments struct {
	rest     []byte
	batch    cdr.Batch
	ordinals []uint64
	kept     cdr.Batch
	part     part
}

// Reset begins a payload, which must stay as it is until the next.
func (s *Segments) Reset(payload []byte) { s.rest = payload }

var errSegment = errors.New("a segment of usage records cannot be read")

// Next returns the next batch of events whose ordinals are over after, good until
// the next call; io.EOF behind the last. A batch may be empty. Other errors have
// code Invalid, and end the payload.
func (s *Segments) Next(after uint64) (*cdr.Batch, error) {
	if len(s.rest) == 0 {
		return nil, io.EOF
	}
	bad := func(err error) (*cdr.Batch, error) {
		s.rest = nil
		return nil, ringwall.Errorf(ringwall.Invalid, "%w", err)
	}
	n, k := binary.Uvarint(s.rest)
	if k <= 0 || n == 0 || n > cdr.MaxBatch {
		return bad(errSegment)
	}
	s.rest, s.ordinals = s.rest[k:], s.ordinals[:0]
	last := uint64(0)
	for range n {
		d, k := binary.Uvarint(s.rest)
		if k <= 0 || d == 0 {
			return bad(errSegment)
		}
		last += d
		s.rest, s.ordinals = s.rest[k:], append(s.ordinals, last)
	}
	size, err := cdr.DecodeBatch(s.rest, &s.batch)
	if err != nil {
		return bad(err)
	}
	if len(s.batch.Events) != len(s.ordinals) {
		return bad(errSegment)
	}
	s.rest = s.rest[size:]
	if s.ordinals[0] > after {
		return &s.batch, nil
	}
	// Some were taken before: what is left is a batch of its own.
	first, _ := slices.BinarySearch(s.ordinals, after+1)
	s.part.whole, s.part.from = &s.batch, s.part.from[:0]
	for i := first; i < len(s.ordinals); i++ {
		s.part.from = append(s.part.from, i)
	}
	s.kept.Events, s.kept.Lines, s.kept.Detail = s.batch.Events[first:], s.batch.Lines[first:], &s.part
	return &s.kept, nil
}
