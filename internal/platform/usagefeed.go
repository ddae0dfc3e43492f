package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/internal/usage/spool"
)

// UsageFile is a file of usage records. One of CSV is followed while it is being
// written; one of another form (package cdr/cdrfile) is read whenever it rests.
type UsageFile struct {
	Path    string
	Mapping cdr.Mapping
}

// UsageSource is another input of usage records: a spool directory, a topic, what
// network elements send.
type UsageSource struct {
	// Name tells it from all others, and is the same after a restart.
	Name string
	// Open makes the source at a position of its own; nil = from the start. It gives
	// the same records in the same order whenever it is opened at the same position.
	// It is closed when it is an io.Closer, and told how far it is not needed any
	// more when it is a UsageCommitter.
	Open func(position []byte) (cdr.Source, error)
}

// UsageCommitter is a source that may forget what was made durable elsewhere.
type UsageCommitter interface{ Commit(position []byte) error }

// UsageWorld is what inputs of usage records are made with.
type UsageWorld struct {
	Keys *cdr.Keys
	Dir  string // for what they keep
	// Bad keeps a record that could not be read; it may be called by any goroutine.
	Bad func(form, head string, b cdr.Bad)
}

// UsageInputs are inputs of usage records beside files.
type UsageInputs struct {
	Sources []UsageSource
	// Serve runs what the sources need, until its context ends.
	Serve []func(context.Context) error
	// Close lets go of what stands behind them; nil = nothing does.
	Close func() error
}

// feedPlace is how far a feed was read: N events of it, counted from its very
// first. A source goes on at At, of which the first N-Base events came before; a
// followed file at Cursor.
type feedPlace struct {
	At     []byte        `json:"p,omitempty"`
	Base   uint64        `json:"b,omitempty"`
	N      uint64        `json:"n,omitempty"`
	Cursor *spool.Cursor `json:"c,omitempty"`
}

// piece is some events of a feed, in memory of its own, at most one of a card: what
// became of each is seen by its card.
type piece struct {
	feed    *feed
	events  []cdr.Event
	lines   []uint64
	records []cdr.Record
	cursors []spool.Cursor // of a followed file, behind each
	sims    []owned        // whose cards they are of
	last    uint64         // ordinal of the last event
	place   feedPlace
	round   uint64 // of looks at cards, when it was read
}

// Record implements cdr.Detail.
func (p *piece) Record(i int, r *cdr.Record) error {
	*r = p.records[i]
	return nil
}

// feed reads one input, in a goroutine of its own, and cuts it into pieces.
type feed struct {
	name   string
	file   *UsageFile // or
	source *UsageSource
	keys   *cdr.Keys
	bad    func(form, head string, b cdr.Bad)
	round  func() uint64
	give   func(context.Context, *piece) error
	begun  func(context.Context, feedPlace) error // of a source: notes where it begins, before it is read

	given feedPlace // behind what was given
	place feedPlace // behind what is in now
	now   *piece    // being filled
	cards map[uint64]struct{}

	mu     sync.Mutex
	forget []byte             // a source may forget what came before; nil = nothing new
	stop   context.CancelFunc // ends the reading that waits, so that it is told; nil = none does
}

// restTime is for how long a file of another form than CSV has to rest before it
// is read.
const restTime = 2 * time.Second

// run reads until ctx ends, or the input does (nil).
func (f *feed) run(ctx context.Context) error {
	if f.cards == nil {
		f.cards = map[uint64]struct{}{}
	}
	f.place = f.given // what was not given is read again
	f.begin()
	if f.source != nil {
		return f.pull(ctx)
	}
	for ctx.Err() == nil {
		follow, err := f.isCSV(ctx)
		if err != nil {
			return err
		}
		if follow {
			return f.follow(ctx)
		}
		if err := f.whole(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin begins a piece behind the last.
func (f *feed) begin() {
	f.now = &piece{feed: f, last: f.place.N}
	clear(f.cards)
}

// add puts an event into the piece that is being filled. place is behind it.
func (f *feed) add(ctx context.Context, e *cdr.Event, line uint64, r cdr.Record, place feedPlace) error {
	if _, again := f.cards[e.Card]; again || len(f.now.events) == cdr.MaxBatch {
		if err := f.flush(ctx, f.place); err != nil {
			return err
		}
	}
	p := f.now
	f.cards[e.Card] = struct{}{}
	p.events, p.lines, p.records = append(p.events, *e), append(p.lines, line), append(p.records, r)
	if place.Cursor != nil {
		p.cursors = append(p.cursors, *place.Cursor)
	}
	p.last, f.place = place.N, place
	return nil
}

// flush gives what there is, with the place behind it.
func (f *feed) flush(ctx context.Context, place feedPlace) error {
	f.place = place
	if p := f.now; len(p.events) > 0 {
		p.place, p.round = place, f.round()
		f.begin()
		if err := f.give(ctx, p); err != nil {
			return err
		}
	}
	f.given = place
	return nil
}

// moved gives a place to which no events lead.
func (f *feed) moved(ctx context.Context, place feedPlace) error {
	f.place, f.now.place, f.now.round = place, place, f.round()
	p := f.now
	f.begin()
	if err := f.give(ctx, p); err != nil {
		return err
	}
	f.given = place
	return nil
}

// follow follows a file of CSV.
func (f *feed) follow(ctx context.Context) error {
	var from spool.Cursor
	if f.place.Cursor != nil {
		from = *f.place.Cursor
	}
	quit := errors.New("the usage records are not wanted any more")
	err := spool.Follow(ctx, spool.Config{
		Path: f.file.Path, Mapping: f.file.Mapping,
		Bad: func(e *cdr.LineError) {
			f.bad("csv", "", cdr.Bad{Source: f.name, Line: e.Line, Reason: e.Err.Error()})
		},
		Sync: func(spool.Cursor) error { return f.flush(ctx, f.place) },
	}, from, func(r *cdr.Record, cur spool.Cursor) error {
		e, err := f.keys.Event(r)
		if err != nil {
			f.bad("csv", "", cdr.Bad{Source: f.name, Line: r.Line, Reason: err.Error()})
			return nil
		}
		if f.add(ctx, &e, r.Line, *r, feedPlace{N: f.place.N + 1, Cursor: &cur}) != nil {
			return quit
		}
		return nil
	})
	if errors.Is(err, quit) {
		return ctx.Err()
	}
	return err
}

// isCSV waits for the file and reports whether it is one to follow.
func (f *feed) isCSV(ctx context.Context) (bool, error) {
	for {
		head, err := headOf(f.file.Path)
		switch {
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return false, ringwall.Errorf(ringwall.Unavailable, "opening a file of usage records: %w", err)
		case len(head) > 2 && head[0] == 0x1f && head[1] == 0x8b: // gzip (RFC 1952 section 2.3.1): it is whole
			return false, nil
		case len(head) > 0:
			form := cdrfile.Sniff(head, f.file.Mapping)
			return form == cdrfile.CSV || form == cdrfile.Unknown, nil
		}
		if !waited(ctx, restTime/10) {
			return false, ctx.Err()
		}
	}
}

func headOf(path string) ([]byte, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close() // it was only read
	return io.ReadAll(io.LimitReader(in, 64<<10))
}

// whole reads a file that is not followed, once it rests, and again when it grew
// or is another.
func (f *feed) whole(ctx context.Context) error {
	var was os.FileInfo
	for read := false; ; {
		is, err := os.Stat(f.file.Path)
		if err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "looking at a file of usage records: %w", err)
		}
		same := was != nil && os.SameFile(was, is) && was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
		if was = is; !same {
			read = false
		} else if !read {
			if err := f.readWhole(ctx); err != nil {
				return err
			}
			read = true
		}
		if !waited(ctx, restTime) {
			return ctx.Err()
		}
	}
}

func (f *feed) readWhole(ctx context.Context) error {
	c := cdrfile.Config{Keys: f.keys, Mapping: f.file.Mapping, From: f.place.At, Bad: func(b cdr.Bad) { f.bad("", "", b) }}
	src, err := cdrfile.Open(f.file.Path, c)
	if ringwall.CodeOf(err) == ringwall.Conflict { // it is another file
		c.From, f.place = nil, feedPlace{Base: f.place.N, N: f.place.N}
		src, err = cdrfile.Open(f.file.Path, c)
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	defer src.Close() // it was only read
	return f.drain(ctx, src)
}

// pull reads a source.
func (f *feed) pull(ctx context.Context) (err error) {
	src, err := f.source.Open(f.place.At)
	if err != nil {
		return err
	}
	if c, ok := src.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	if f.place.At == nil {
		// Where it begins has to be known before it is read: what a spool's ledger says
		// was read is not judged before a snapshot says so.
		f.place.At = slices.Clone(src.Position())
		if err := f.begun(ctx, f.place); err != nil {
			return err
		}
		f.given = f.place
	}
	err = f.drain(ctx, src)
	if c, ok := src.(UsageCommitter); ok && ctx.Err() != nil {
		return errors.Join(err, f.commit(c, nil)) // what the last snapshot covers
	}
	return err
}

// drain reads a source to its end, nil, or until ctx ends.
func (f *feed) drain(ctx context.Context, src cdr.Source) error {
	var b cdr.Batch
	committer, _ := src.(UsageCommitter)
	skip := f.place.N - f.place.Base
	at, base := f.place.At, f.place.Base
	for {
		wait, stop := context.WithCancel(ctx)
		if committer != nil {
			if err := f.commit(committer, stop); err != nil {
				stop()
				return err
			}
		}
		err := src.Next(wait, &b)
		told := wait.Err() != nil
		stop()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case told: // to commit
			// That a file was read to its end is known only now.
			if now := src.Position(); !bytes.Equal(now, at) {
				at = slices.Clone(now)
				if err := f.moved(ctx, feedPlace{At: at, Base: base, N: f.place.N}); err != nil {
					return err
				}
			}
			continue
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
		for i := range b.Events {
			if skip > 0 {
				skip--
				continue
			}
			var r cdr.Record
			if b.Record(i, &r) != nil {
				b.Events[i].Record(&r)
			}
			if err := f.add(ctx, &b.Events[i], b.Lines[i], r, feedPlace{At: at, Base: base, N: f.place.N + 1}); err != nil {
				return err
			}
		}
		base += uint64(len(b.Events))
		at = slices.Clone(src.Position())
		if err := f.flush(ctx, feedPlace{At: at, Base: base, N: f.place.N}); err != nil {
			return err
		}
	}
}

// commit tells a source how far it is not needed any more, and has it told later
// while it is waited for.
func (f *feed) commit(c UsageCommitter, stop context.CancelFunc) error {
	f.mu.Lock()
	place := f.forget
	f.forget, f.stop = nil, stop
	f.mu.Unlock()
	if place == nil {
		return nil
	}
	return c.Commit(place)
}

// saved says that a snapshot covers all before a place.
func (f *feed) saved(place feedPlace) {
	if f.source == nil || place.At == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.forget = place.At; f.stop != nil {
		f.stop()
	}
}

// waited waits, and reports whether ctx goes on.
func waited(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// places are those of all feeds, by name: the position of a snapshot.
type places map[string]feedPlace

func (p places) encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic("platform: places of usage records cannot be written: " + err.Error())
	}
	return b
}
