package shard

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// Piece is what of one source goes to one shard at once.
type Piece struct {
	Shard       int
	First, Last uint64 // lines of the source, rising from piece to piece of a shard
	Payload     []byte
}

// Feed is a source, cut into pieces by shard. It belongs to one goroutine.
type Feed interface {
	// Next returns the next pieces, at most one a shard, in memory that is its own
	// until the next call. io.EOF: the source has ended for good. Nothing yet is no
	// pieces and no error.
	Next(ctx context.Context) ([]Piece, error)
	// Source names the source; the same after a restart.
	Source() uint64
	// Position is where to go on after a restart so that nothing is left out. What
	// comes again has the same lines.
	Position() []byte
}

// Ingest puts feeds into the logs of shards.
type Ingest struct {
	Log    Log
	Shards int
	// Save keeps a feed's position, durably. It is called when all before it is in
	// the logs, every Every and at the end.
	Save  func(ctx context.Context, source uint64, position []byte) error
	Every time.Duration // 0 = 1 s
	// Pause before something that failed is tried again, doubled up to a minute;
	// 0 = 200 ms.
	Pause  time.Duration
	Now    func() time.Time
	Logger *slog.Logger
}

const (
	defaultSave  = time.Second
	defaultPause = 200 * time.Millisecond
	longestPause = time.Minute
)

// Run puts all of a feed into the logs and returns nil at its end, when every
// shard has been told that it is closed. When ctx ends it returns nil too, its
// position saved. Anything that a log does not take for now is tried for as long
// as it needs: a broker that is gone stops the feed and loses nothing.
func (g *Ingest) Run(ctx context.Context, f Feed) error {
	now, log := g.Now, g.Logger
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	every := g.Every
	if every <= 0 {
		every = defaultSave
	}
	saved, dirty := now(), false
	for {
		pieces, err := f.Next(ctx)
		switch {
		case ctx.Err() != nil:
			// Pieces that came with the end are not in the logs, and Position is behind
			// them: then what was saved last stands.
			return g.save(context.WithoutCancel(ctx), f, dirty && len(pieces) == 0)
		case err == io.EOF:
			for s := range g.Shards {
				e := Entry{Kind: Closed, Source: f.Source()}
				if err := g.put(ctx, log, s, e.Append(nil)); err != nil {
					return err
				}
			}
			return g.save(ctx, f, true)
		case err != nil:
			return fmt.Errorf("reading a source of usage records: %w", err)
		}
		if len(pieces) > 0 {
			if err := g.all(ctx, log, f.Source(), pieces); err != nil {
				if ctx.Err() != nil {
					return nil // what was not saved is read again
				}
				return err
			}
			dirty = true
		}
		if dirty && now().Sub(saved) >= every {
			if err := g.save(ctx, f, true); err != nil {
				return err
			}
			saved, dirty = now(), false
		}
	}
}

func (g *Ingest) save(ctx context.Context, f Feed, dirty bool) error {
	if !dirty {
		return nil
	}
	if err := g.Save(ctx, f.Source(), f.Position()); err != nil {
		return fmt.Errorf("keeping the position in a source: %w", err)
	}
	return nil
}

// all appends the pieces of one turn, those of different shards at once. One
// shard has one on its way at a time: what comes later never overtakes what has
// to be tried again.
func (g *Ingest) all(ctx context.Context, log *slog.Logger, source uint64, pieces []Piece) error {
	var wg sync.WaitGroup
	errs := make([]error, len(pieces))
	for i, p := range pieces {
		if p.Shard < 0 || p.Shard >= g.Shards || len(p.Payload) > MaxPayload {
			return ringwall.Errorf(ringwall.Internal, "a piece of %d bytes for shard %d of %d", len(p.Payload), p.Shard, g.Shards)
		}
		wg.Go(func() {
			e := Entry{Kind: Records, Source: source, First: p.First, Last: p.Last, Payload: p.Payload}
			errs[i] = g.put(ctx, log, p.Shard, e.Append(make([]byte, 0, entryHead+len(p.Payload))))
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// put appends until it is taken.
func (g *Ingest) put(ctx context.Context, log *slog.Logger, shard int, entry []byte) error {
	pause := g.Pause
	if pause <= 0 {
		pause = defaultPause
	}
	for {
		_, err := g.Log.Append(ctx, shard, entry)
		if err == nil {
			return nil
		}
		if ringwall.CodeOf(err) == ringwall.Invalid || ctx.Err() != nil {
			return err
		}
		log.Warn("log does not take usage records; they wait", "shard", shard, "pause", pause, "err", err)
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		pause = min(2*pause, longestPause)
	}
}
