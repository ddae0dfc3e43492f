package platform

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

const (
	outboxBatch = 100
	outboxIdle  = 5 * time.Second // a wake that was lost costs no more
)

// publisher brings committed events to the spine: in each organisation's
// order, each at least once. Killed between publishing an event and noting so,
// it publishes it again, and the stream keeps it once.
type publisher struct {
	store *sqlstore.Store
	scope audit.Scope
	wake  chan struct{} // of length 1
	log   interface {
		Warn(msg string, args ...any)
		Error(msg string, args ...any)
	}
	publish func(ctx context.Context, e ringwall.Event) error
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) error {
	for failed := 0; ; {
		n, err := p.once(ctx)
		wait := outboxIdle
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failed++
			wait = min(time.Second<<min(failed, 5), 30*time.Second)
			p.log.Warn("events wait in the outbox", "tries", failed, "cause", err)
		case n > outboxBatch/2: // there may be more
			failed = 0
			continue
		default:
			failed = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-time.After(wait):
		}
	}
}

// once publishes what waits, up to a batch, and returns how much it was. What
// was published before an error is noted.
func (p *publisher) once(ctx context.Context) (int, error) {
	waiting, err := p.store.Pending(ctx, p.scope, outboxBatch)
	if err != nil {
		return 0, err
	}
	done := waiting[:0:0]
	var failure error
	for _, w := range waiting {
		err := p.publish(ctx, w.Event)
		if isCode(err, ringwall.Invalid) {
			// It will never be taken, and must not hold up those behind it; the
			// database has it.
			p.log.Error("event cannot be published and is passed over", "event", w.Event.ID, "kind", w.Event.Kind, "cause", err)
		} else if err != nil {
			failure = err
			break
		}
		done = append(done, w)
	}
	if len(done) > 0 {
		if err := p.store.Published(ctx, p.scope, done); err != nil {
			return 0, err
		}
	}
	return len(done), failure
}

// nudge wakes a loop that listens on c, unless it has been woken already.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watchEvents hands what is published to the hub. It listens, without keeping
// a place in the stream: the hub keeps nothing either.
func (p *Platform) watchEvents(data []byte) {
	var e ringwall.Event
	if err := json.Unmarshal(data, &e); err != nil {
		p.core.log.Warn("event cannot be read", "cause", err)
		return
	}
	p.hub.tell(e)
}

// close ends all live streams; a watcher that comes later is told nothing.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		delete(h.watchers, w)
		close(w.ch)
	}
}
