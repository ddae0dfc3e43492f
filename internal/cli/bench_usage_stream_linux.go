package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/cdr/ts32298"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// streamChunk is how many records a round of a made-up fleet has, unless it is small.
const streamChunk = 400_000

// chunk is how many records a round has: four a card, for which its days suffice.
func (b *usageBench) chunk() int { return min(streamChunk, 4*b.f.cards) }

// fleetEngine is a world with an engine that has its books.
func (b *usageBench) fleetEngine(cards int) (*gen.World, *usage.Engine, error) {
	key := []byte("ringwall bench usage")
	w, err := gen.New(gen.Config{Seed: b.f.seed, Cards: cards, Days: 10, Keys: usage.KeysOf(key)})
	if err != nil {
		return nil, nil, err
	}
	book, err := rules.NewBook(w.Book(), w.Config().Keys)
	if err != nil {
		return nil, nil, err
	}
	areas, err := rules.NewAreas(w.Places(), w.Config().Keys)
	if err != nil {
		return nil, nil, err
	}
	e := usage.New(usage.Config{Key: key, Book: book, Areas: areas, NoTotals: true})
	for _, cu := range w.Customers() {
		if err := e.Announce(usage.Range{First: ringwall.IMSI(cdr.IMSIOf(w.FirstNumber(cu))), N: cu.Cards, Settings: cu.Settings()}); err != nil {
			return nil, nil, errors.Join(err, e.Close())
		}
	}
	return w, e, nil
}

// memory: what an honest fleet takes beside its lines, after some days.
func (b *usageBench) memory(ctx context.Context) error {
	w, e, err := b.fleetEngine(b.f.cards)
	if err != nil {
		return err
	}
	defer e.Close() // it is thrown away
	s := w.Source()
	var batch cdr.Batch
	for {
		err := s.Next(ctx, &batch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		e.Batch(&batch, nil)
	}
	// Lines by themselves: of blocks that are full, as those of the fleet are not.
	full, err := newSpeed(slices.Max(b.f.sizes), true, -1)
	if err != nil {
		return err
	}
	lines := full.engine.Memory()
	if err := full.engine.Close(); err != nil {
		return err
	}
	m := e.Memory()
	note := fmt.Sprintf("%d cards of a made-up fleet after %d days", m.Cards, w.Config().Days)
	b.figures = append(b.figures,
		usageFigure{Name: "line and what finds it, " + millions(lines.Cards) + " cards", Best: lines.PerCard, Median: lines.PerCard, Unit: "B/card", Note: "64 is the line, in full blocks"},
		usageFigure{Name: "side", Best: m.SidePerCard, Median: m.SidePerCard, Unit: "B/card", Bar: 16, AtMost: true,
			Note: note + fmt.Sprintf(": homes %d, cells %d, foreign %d, calls %d, quota %d, life %d blocks", m.Side.Homes, m.Side.Cells, m.Side.Foreign, m.Side.Calls, m.Side.Quota, m.Side.Life)},
		usageFigure{Name: "ids of records remembered", Best: float64(m.Duplicates) / (1 << 20), Median: float64(m.Duplicates) / (1 << 20), Unit: "MiB", Note: "for all cards together"},
	)
	return nil
}

// csv: bytes of CSV to verdicts.
func (b *usageBench) csv(ctx context.Context) error {
	w, e, err := b.fleetEngine(b.f.cards)
	if err != nil {
		return err
	}
	defer e.Close() // it is thrown away
	s := w.Source()
	return b.stream(ctx, "CSV", 8, s, e, func(out []byte) ([]byte, error) {
		if len(out) == 0 {
			out = append(out, gen.Header...)
		}
		return s.AppendCSV(out), nil
	})
}

// ber: bytes of TS 32.298 to verdicts.
func (b *usageBench) ber(ctx context.Context) error {
	w, e, err := b.fleetEngine(b.f.cards)
	if err != nil {
		return err
	}
	defer e.Close() // it is thrown away
	s := w.Source()
	var a ts32298.Appender
	var r cdr.Record
	return b.stream(ctx, "TS 32.298 BER", 3, s, e, func(out []byte) ([]byte, error) {
		for i := range s.Len() {
			if err := s.Record(i, &r); err != nil {
				return nil, err
			}
			if out, err = a.Append(out, &r); err != nil {
				return nil, err
			}
		}
		return out, nil
	})
}

// streamWarm rounds come before those that count: the sets of record ids have grown
// by then, and the cards have their lines.
const streamWarm = 3

// stream has the records of a fleet written into files, one after the other, and
// measures reading and judging them: from opening the file, which is in the
// system's memory, to the last verdict. What reading alone takes is measured beside.
func (b *usageBench) stream(ctx context.Context, name string, bar float64, s *gen.Source, e *usage.Engine, write func([]byte) ([]byte, error)) (err error) {
	dir, err := os.MkdirTemp(b.f.dir, "ringwall-stream-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var values, alone []float64
	var batch cdr.Batch
	var data []byte
	size, records := 0, uint64(0)
	for i := range b.f.rounds + streamWarm {
		data = data[:0]
		n := 0
		for n < b.chunk() {
			err := s.Next(ctx, &batch)
			if errors.Is(err, io.EOF) {
				return ringwall.Errorf(ringwall.Invalid, "%d cards have too few records for %d rounds", b.f.cards, b.f.rounds)
			}
			if err != nil {
				return err
			}
			n += len(batch.Events)
			if data, err = write(data); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
		read := 0
		decoding, err := b.read(ctx, path, s.Keys(), func(in *cdr.Batch) { read += len(in.Events) })
		if err != nil {
			return err
		}
		was := e.Stats()
		took, err := b.read(ctx, path, s.Keys(), func(in *cdr.Batch) { e.Batch(in, nil) })
		if err != nil {
			return err
		}
		now := e.Stats()
		if read != n || now.Records-was.Records != uint64(n) || now.Unknown != 0 {
			return ringwall.Errorf(ringwall.Internal, "of %d records written %d were read and %d judged, %d of unknown cards", n, read, now.Records-was.Records, now.Unknown)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if i >= streamWarm {
			values, alone = append(values, float64(n)/took.Seconds()/1e6), append(alone, float64(n)/decoding.Seconds()/1e6)
			size, records = size+len(data), records+uint64(n)
		}
	}
	fig := rounds(name+" → verdict", "M records/s/core", bar, values)
	fig.Note = fmt.Sprintf("%d cards of a made-up fleet, %.0f bytes a record from a file, ids remembered", b.f.cards, float64(size)/float64(records))
	reading := rounds(name+" → event", "M records/s/core", 0, alone)
	reading.Note = fmt.Sprintf("reading alone: %.0f ns of %.0f ns a record", 1e3/reading.Best, 1e3/fig.Best)
	b.figures = append(b.figures, fig, reading)
	return nil
}

// read measures what a file takes, opened and closed, whose batches are given to do.
func (b *usageBench) read(ctx context.Context, path string, k *cdr.Keys, do func(*cdr.Batch)) (time.Duration, error) {
	runtime.GC() // else what other rounds left is cleared away in this one
	from := threadTime()
	f, err := cdrfile.Open(path, cdrfile.Config{Keys: k, Bad: func(cdr.Bad) {}})
	if err != nil {
		return 0, err
	}
	var in cdr.Batch
	for {
		if err = f.Next(ctx, &in); err != nil {
			break
		}
		do(&in)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	err = errors.Join(err, f.Close())
	return threadTime() - from, err
}
