package shard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
)

// Stats counts what became of a shard's entries since it was taken.
type Stats struct {
	Entries  uint64 // taken
	Again    uint64 // passed over: all of their lines had been taken
	Wrong    uint64 // could not be read
	Alerts   uint64
	Snaps    uint64
	Sequence uint64 // of the newest that was taken
}

// worker runs one shard that this machine owns.
type worker struct {
	cfg     *Config
	lease   Lease
	m       Machine
	taken   map[uint64]uint64 // by source, the last line
	seq     uint64            // of the last entry that was taken
	snapped uint64            // covered by the last snapshot
	at      time.Time         // of the last snapshot
	out     Output
	stats   Stats
	log     *slog.Logger
}

// flushAt is how much may wait to be said while entries keep coming; when none
// come, nothing waits.
// tellAt is how many bytes may wait to be told to other shards.
const (
	flushAt = 512
	tellAt  = 256 << 10
)

// run owns the shard until ctx ends, which makes a last snapshot, or something
// fails.
func (w *worker) run(ctx context.Context) error {
	if err := w.restore(ctx); err != nil {
		return err
	}
	w.at = w.cfg.Now()
	err := w.cfg.Log.Read(ctx, w.lease.Shard, w.seq+1,
		func(seq uint64, b []byte) error { return w.take(ctx, seq, b) },
		func() error { return w.idle(ctx) })
	if err != nil {
		return err
	}
	// The context has ended: what is known is handed over whole.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.HandOver)
	defer cancel()
	return w.snapshot(last)
}

// restore takes the newest snapshot that can be read; without one the shard
// begins with its log.
func (w *worker) restore(ctx context.Context) error {
	w.m, w.taken = w.cfg.Machine(w.lease.Shard), map[uint64]uint64{}
	err := w.cfg.Store.Get(ctx, w.lease.Shard, func(seq uint64, r io.Reader) error {
		// One that turned out to be torn has left something behind.
		m := w.cfg.Machine(w.lease.Shard)
		position, err := m.Restore(r)
		if err != nil {
			w.log.Warn("snapshot of a shard cannot be read", "sequence", seq, "err", err)
			return err
		}
		at, taken, err := parsePosition(position)
		if err != nil {
			return err
		}
		w.m, w.seq, w.snapped, w.taken = m, at, at, taken
		return nil
	})
	if err == nil || ringwall.CodeOf(err) == ringwall.NotFound {
		return nil
	}
	return fmt.Errorf("reading what is known of shard %d: %w", w.lease.Shard, err)
}

// take applies one entry.
func (w *worker) take(ctx context.Context, seq uint64, b []byte) error {
	if seq <= w.seq {
		return nil // read again after the connection was lost
	}
	e, err := ParseEntry(b)
	if err != nil {
		w.wrong(seq, err)
		w.seq = seq
		return nil
	}
	after := uint64(0)
	if e.Last != 0 {
		after = w.taken[e.Source]
	}
	switch {
	case e.Kind == Closed:
		delete(w.taken, e.Source)
		w.stats.Entries++
	case e.Last != 0 && e.Last <= after:
		w.stats.Again++
	default:
		waited := len(w.out.Alerts)
		err := w.m.Apply(&e, after, &w.out)
		if err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			return fmt.Errorf("applying entry %d of shard %d: %w", seq, w.lease.Shard, err)
		}
		if err != nil {
			w.wrong(seq, err)
		}
		w.stats.Entries++
		w.stats.Alerts += uint64(len(w.out.Alerts) - waited)
		if e.Last != 0 {
			w.taken[e.Source] = e.Last
		}
	}
	w.seq, w.stats.Sequence = seq, seq
	if len(w.taken) > maxSources {
		return ringwall.Errorf(ringwall.Internal, "shard %d has %d open sources, more than %d: sources have to be closed", w.lease.Shard, len(w.taken), maxSources)
	}
	if len(w.out.Alerts) >= flushAt || w.waiting() >= tellAt {
		if err := w.flush(ctx, seq); err != nil {
			return err
		}
	}
	if w.cfg.Now().Sub(w.at) >= w.cfg.Every {
		return w.snapshot(ctx)
	}
	return nil
}

func (w *worker) waiting() (n int) {
	for _, l := range w.out.Seen {
		n += len(l)
	}
	return n
}

func (w *worker) wrong(seq uint64, err error) {
	w.stats.Wrong++
	w.log.Error("log entry is wrong and is passed over", "sequence", seq, "err", err)
	if w.cfg.Wrong != nil {
		w.cfg.Wrong(w.lease.Shard, seq, err)
	}
}

// idle says what waits, and makes a snapshot when it is time.
func (w *worker) idle(ctx context.Context) error {
	if err := w.flush(ctx, w.seq); err != nil {
		return err
	}
	if w.seq != w.snapped && w.cfg.Now().Sub(w.at) >= w.cfg.Every {
		return w.snapshot(ctx)
	}
	return nil
}

// flush makes durable what was said. seq is the last entry that it follows from.
func (w *worker) flush(ctx context.Context, seq uint64) error {
	if len(w.out.Alerts) > 0 {
		if err := w.cfg.Sink.Alerts(ctx, w.lease.Shard, w.out.Alerts); err != nil {
			return fmt.Errorf("keeping alerts of shard %d: %w", w.lease.Shard, err)
		}
		clear(w.out.Alerts)
		w.out.Alerts = w.out.Alerts[:0]
	}
	to := make([]int, 0, len(w.out.Seen))
	for s := range w.out.Seen {
		to = append(to, s)
	}
	slices.Sort(to)
	for _, s := range to {
		// What is told are sets: taken again, they change nothing, and so need no lines.
		e := Entry{Kind: Seen, Payload: w.out.Seen[s]}
		if err := w.insist(ctx, s, e.Append(nil)); err != nil {
			return fmt.Errorf("telling shard %d what shard %d saw: %w", s, w.lease.Shard, err)
		}
		delete(w.out.Seen, s)
	}
	return nil
}

// insist appends, and again when it is not known whether it was: a shard that
// began anew for each answer that was lost would get nowhere.
func (w *worker) insist(ctx context.Context, s int, entry []byte) (err error) {
	for range tries {
		if _, err = w.cfg.Log.Append(ctx, s, entry); err == nil || ctx.Err() != nil || ringwall.CodeOf(err) != ringwall.Unavailable {
			return err
		}
	}
	return err
}

const tries = 5

// snapshot writes down what is known, after what was said.
func (w *worker) snapshot(ctx context.Context) error {
	if err := w.flush(ctx, w.seq); err != nil {
		return err
	}
	if w.seq == w.snapped {
		return nil
	}
	position := appendPosition(nil, w.seq, w.taken)
	before, err := w.cfg.Store.Put(ctx, w.lease, w.seq, func(out io.Writer) error { return w.m.Snapshot(out, position) })
	if err != nil {
		return fmt.Errorf("keeping what is known of shard %d: %w", w.lease.Shard, err)
	}
	w.snapped, w.at = w.seq, w.cfg.Now()
	w.stats.Snaps++
	if before == 0 {
		return nil
	}
	if err := w.cfg.Log.Trim(ctx, w.lease.Shard, before+1); err != nil {
		w.log.Warn("log not trimmed", "err", err) // the next snapshot tries again
	}
	return nil
}

// maxSources bounds the sources of one shard that are open at once.
const maxSources = 60_000

var errPosition = errors.New("the position of a snapshot cannot be read")

// appendPosition writes where a shard stands: sequence, then source and line of
// each open source, in the order of sources.
func appendPosition(dst []byte, seq uint64, taken map[uint64]uint64) []byte {
	dst = binary.AppendUvarint(dst, seq)
	dst = binary.AppendUvarint(dst, uint64(len(taken)))
	sources := make([]uint64, 0, len(taken))
	for s := range taken {
		sources = append(sources, s)
	}
	slices.Sort(sources)
	for _, s := range sources {
		dst = binary.BigEndian.AppendUint64(dst, s)
		dst = binary.AppendUvarint(dst, taken[s])
	}
	return dst
}

func parsePosition(b []byte) (seq uint64, taken map[uint64]uint64, err error) {
	uvarint := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = errPosition
			return 0
		}
		b = b[n:]
		return v
	}
	seq = uvarint()
	n := uvarint()
	if err != nil || n > maxSources {
		return 0, nil, errPosition
	}
	taken = make(map[uint64]uint64, n)
	for range n {
		if len(b) < 8 {
			return 0, nil, errPosition
		}
		s := binary.BigEndian.Uint64(b)
		b = b[8:]
		taken[s] = uvarint()
	}
	if err != nil || len(b) != 0 || uint64(len(taken)) != n {
		return 0, nil, errPosition
	}
	return seq, taken, nil
}
