package usage

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ringwall/ringwall/cdr"
)

// RunConfig says what Run does.
type RunConfig struct {
	Set    *Set
	Source cdr.Source
	// Keep is where snapshots go; nil = none are taken.
	Keep *Keep
	// Every is the time between two snapshots; 0 = 5 minutes.
	Every time.Duration
	// Durable makes alerts durable that were given to Emit; nil = they are when
	// Emit returns. It may be called while Emit is.
	Durable func() error
	// Saved is told of each snapshot, also of one that failed: the old ones are
	// still there, and the next is tried when its time comes.
	Saved func(*Saving)
}

const defaultEvery = 5 * time.Minute

// Run judges the records of a source until it ends (nil), ctx ends (its error),
// or reading or Emit fails. It takes snapshots on the way and one at the end, and
// returns when that is durable; the error is that of the last snapshot when there
// is no other.
//
// A snapshot is named only when the alerts of all records that it covers are
// durable: whoever is killed at any moment and starts again from the newest
// snapshot tells some alerts twice, with the same ids, and loses none.
func Run(ctx context.Context, c RunConfig) error {
	if c.Every <= 0 {
		c.Every = defaultEvery
	}
	r := run{c: c}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		r.keep(stop)
	}()
	err := r.judge(ctx)
	close(stop)
	<-stopped
	return r.end(err)
}

// Tagger is a Source that says something of its last batch for Parcel.Tag, such
// as the name of a file.
type Tagger interface{ Tag() any }

type run struct {
	c RunConfig

	mu       sync.Mutex // held while a batch is judged, and while a snapshot begins or ends
	position []byte
	some     bool // something came since the last snapshot
	saving   *Saving
	lastErr  error // of the last snapshot
}

// judge reads and judges batch by batch: a source may have its details for one
// batch only.
func (r *run) judge(ctx context.Context) error {
	for {
		p, err := r.c.Set.Get(ctx)
		if err != nil {
			return err
		}
		if err := r.c.Source.Next(ctx, &p.Batch); err != nil {
			r.c.Set.Drop(p)
			return err
		}
		if t, ok := r.c.Source.(Tagger); ok {
			p.Tag = t.Tag()
		}
		r.mu.Lock()
		r.position = append(r.position[:0], r.c.Source.Position()...)
		p.Position = append(p.Position[:0], r.position...)
		r.some = true
		r.c.Set.Judge(p)
		r.mu.Unlock()
		if err := r.c.Set.Err(); err != nil {
			return err
		}
	}
}

// keep takes snapshots until stop is closed; one that is under way stays.
func (r *run) keep(stop <-chan struct{}) {
	if r.c.Keep == nil {
		return
	}
	tick := time.NewTicker(r.c.Every)
	defer tick.Stop()
	for {
		var ready, done <-chan struct{}
		if r.saving != nil {
			if ready, done = r.saving.Ready(), r.saving.Done(); r.saving.finished {
				ready = nil
			}
		}
		select {
		case <-stop:
			return
		case <-tick.C:
			r.mu.Lock()
			r.begin()
			r.mu.Unlock()
		case <-ready:
			r.mu.Lock()
			r.finish()
			r.mu.Unlock()
		case <-done:
			r.saved()
		}
	}
}

func (r *run) begin() {
	if r.saving != nil || !r.some {
		return
	}
	v, err := r.c.Keep.Begin(r.c.Set)
	if err != nil {
		r.lastErr = err
		if r.c.Saved != nil {
			r.c.Saved(&Saving{err: err})
		}
		return
	}
	r.saving = v
}

func (r *run) finish() {
	r.some = false
	r.saving.Finish(append([]byte(nil), r.position...), r.c.Durable)
}

func (r *run) saved() {
	r.lastErr = r.saving.Err()
	if r.c.Saved != nil {
		r.c.Saved(r.saving)
	}
	r.saving = nil
}

// end waits for what is under way and takes the last snapshot. err is why it
// ended.
func (r *run) end(err error) error {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	ferr := r.c.Set.Flush()
	if ferr == nil && r.c.Durable != nil {
		ferr = r.c.Durable()
	}
	if err == nil {
		err = ferr
	}
	if r.saving != nil {
		if !r.saving.finished {
			<-r.saving.Ready()
			r.finish()
		}
		<-r.saving.Done()
		r.saved()
	}
	// What could not be told is in no snapshot.
	if r.c.Keep != nil && r.some && ferr == nil {
		if r.begin(); r.saving != nil {
			<-r.saving.Ready()
			r.finish()
			<-r.saving.Done()
			r.saved()
		}
	}
	if err == nil {
		err = r.lastErr
	}
	return err
}
