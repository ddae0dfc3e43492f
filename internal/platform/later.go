package platform

import (
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

const (
	firstPause = time.Second
	maxPause   = 5 * time.Minute
	// maxLater bounds the memory of what failed; past it all is tried at once.
	maxLater = 10_000
)

// later remembers when a response that could not be carried out is tried
// again: each try is on record, and who does not answer is not asked each
// second. It is forgotten with the process, which tries all at once then. It
// may be used from several goroutines.
type later struct {
	mu    sync.Mutex
	waits map[ringwall.ResponseID]pause
}

type pause struct {
	until time.Time
	last  time.Duration
}

func newLater() *later { return &later{waits: map[ringwall.ResponseID]pause{}} }

// due reports whether it is time to try. A clock that was set back does not
// prolong a pause beyond the longest.
func (l *later) due(id ringwall.ResponseID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.waits[id]
	return !ok || !now.Before(p.until) || p.until.Sub(now) > maxPause
}

// failed notes a try that settled nothing.
func (l *later) failed(id ringwall.ResponseID, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waits) >= maxLater {
		clear(l.waits)
	}
	next := max(firstPause, min(2*l.waits[id].last, maxPause))
	l.waits[id] = pause{until: now.Add(next), last: next}
}

// settled forgets what need not be tried again.
func (l *later) settled(id ringwall.ResponseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waits, id)
}
