package usage

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// Snapshot is an image of an engine that is taken while the engine judges
// records: a part of it whenever there is time, then what has changed since,
// again and again, until little is left; Finish takes that at one moment, and the
// image is the engine as of then. Nobody holds a copy of the whole state.
//
// It belongs to the engine's goroutine. Its parts (frames) go to the disk in
// their order, by whoever owns the file.
type Snapshot struct {
	e    *Engine
	copy *store.Copy
	ch   store.Chunk
	b    []byte
}

// partLines is how many lines are copied at once: about a tenth of a
// millisecond.
const partLines = 4096

// maxPosition bounds the position that a snapshot holds.
const maxPosition = 1 << 20

// about is the description of a snapshot.
type about struct {
	Check    string         `json:"check"` // of the key
	Part     [2]int         `json:"part"`  // which of how many engines of a Set; 0, 0 = none
	Position []byte         `json:"position"`
	Index    store.Index    `json:"index"`
	Book     rules.BookSpec `json:"book"`
	Own      []ownSpec      `json:"own,omitempty"`
	Stats    Stats          `json:"stats"`
	Adopted  int            `json:"adopted,omitempty"`
	Named    int            `json:"named,omitempty"` // cards that SetCard named, then or before
}

// check tells whether two engines have one key.
func (e *Engine) check() string {
	sum := e.keyed("usage snapshot", "")
	return hex.EncodeToString(sum[:8])
}

// BeginSnapshot begins an image. There is one at a time, and a new one ends the
// old. The error has code Invalid: without Config.Key nobody could tell later
// whose it is.
func (e *Engine) BeginSnapshot() (*Snapshot, error) {
	if len(e.c.Key) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "a snapshot needs a key")
	}
	e.snapshot = &Snapshot{e: e, copy: e.table.BeginCopy()}
	return e.snapshot, nil
}

// Next appends the next part to dst, whose length it keeps free before it for
// the frame's head; ok is false when there is none at the moment.
func (s *Snapshot) next(dst []byte) (b []byte, ok bool) {
	if !s.copy.Next(&s.ch, partLines) {
		return dst, false
	}
	b = append(dst, make([]byte, frameHeader)...)
	if len(s.ch.Places) == 0 {
		b = append(b, frameLines)
		b = binary.LittleEndian.AppendUint32(b, s.ch.First)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s.ch.Lines)))
	} else {
		b = append(b, framePatch)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s.ch.Lines)))
		for _, at := range s.ch.Places {
			b = binary.LittleEndian.AppendUint32(b, at)
		}
	}
	for i := range s.ch.Lines {
		b = asRules(&s.ch.Lines[i]).AppendState(b, s.e.env.Side)
	}
	return b, true
}

// Left is how many lines are to be taken still, as of now.
func (s *Snapshot) Left() int { return s.copy.Left() }

// finish takes all that is left, at this moment, and ends the image. put is given
// the last frames.
func (s *Snapshot) finish(position []byte, put func([]byte)) error {
	e := s.e
	if len(position) > maxPosition {
		return ringwall.Errorf(ringwall.Invalid, "position of %d bytes is over the limit of %d", len(position), maxPosition)
	}
	for {
		b, ok := s.next(nil)
		if !ok {
			break
		}
		put(b)
	}
	s.keys(put)
	s.totals(put)
	text, err := json.Marshal(about{
		Check: e.check(), Part: e.place, Position: position, Index: e.table.Index(), Book: e.book.base.Spec(), Own: e.book.own, Stats: e.stats, Adopted: e.adopted, Named: len(e.entries) + e.pending,
	})
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "describing a snapshot: %w", err)
	}
	s.parts(frameAbout, nil, text, put)
	put(append(make([]byte, frameHeader), frameEnd))
	s.Drop()
	return nil
}

// Drop ends the image: the engine no longer notes what changes.
func (s *Snapshot) Drop() {
	s.copy.End()
	if s.e.snapshot == s {
		s.e.snapshot = nil
	}
}

// partBytes is the size of frames that are not lines.
const partBytes = 1 << 20

// parts puts a long text in several frames.
func (s *Snapshot) parts(kind byte, prefix, text []byte, put func([]byte)) {
	for first := true; first || len(text) > 0; first = false {
		n := min(len(text), partBytes)
		b := append(make([]byte, frameHeader, frameHeader+1+len(prefix)+n), kind)
		put(append(append(b, prefix...), text[:n]...))
		text = text[n:]
	}
}

func (s *Snapshot) keys(put func([]byte)) {
	var text [store.SeenAges][]byte
	s.e.seen.Each(func(key uint64, age int) { text[age] = binary.LittleEndian.AppendUint64(text[age], key) })
	for age, t := range text {
		if len(t) > 0 {
			s.parts(frameKeys, []byte{byte(age)}, t, put)
		}
	}
}

func (s *Snapshot) totals(put func([]byte)) {
	var text []byte
	for card, t := range s.e.totals {
		for _, v := range [...]uint64{card, t.up, t.down, t.records} {
			text = binary.LittleEndian.AppendUint64(text, v)
		}
	}
	s.parts(frameTotals, nil, text, put)
}

// Snapshot writes the engine's state and the caller's position in its input, so
// that Restore can carry on after the record the position names. It holds card
// numbers: it belongs where usage records belong, readable by nobody else. Write
// it to a temporary file, sync and rename it (package durable): a torn one is
// refused. The error has code Invalid when Config.Key is empty, else it is w's.
func (e *Engine) Snapshot(w io.Writer, position []byte) error {
	s, err := e.BeginSnapshot()
	if err != nil {
		return err
	}
	defer s.Drop()
	out := &frameWriter{w: w}
	out.raw([]byte(snapshotMagic))
	for out.err == nil {
		b, ok := s.next(s.b[:0])
		if !ok {
			break
		}
		s.b = b
		out.frame(b)
	}
	if err := s.finish(position, out.frame); err != nil {
		return err
	}
	return out.err
}
