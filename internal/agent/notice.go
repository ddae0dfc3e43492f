package agent

import (
	"strconv"
	"time"

	"github.com/ringwall/ringwall/api"
)

// notice reports, durably, what the gateway has noticed.
func (a *Agent) notice(n api.Notice) {
	if n.Time.IsZero() {
		n.Time = a.cfg.Now().UTC()
	}
	a.books.write(api.RecordNotice, n)
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// once lets a thing through when it was not let through within a time. It
// remembers a bounded number of things and belongs to one goroutine.
type once[K comparable] struct {
	every time.Duration
	most  int
	seen  map[K]time.Time
}

func (o *once[K]) first(k K, now time.Time) bool {
	if o.seen == nil {
		o.seen = map[K]time.Time{}
	}
	if t, ok := o.seen[k]; ok && now.Sub(t) < o.every && !now.Before(t) {
		return false
	}
	if len(o.seen) >= o.most {
		for k, t := range o.seen {
			if now.Sub(t) >= o.every || now.Before(t) {
				delete(o.seen, k)
			}
		}
		if len(o.seen) >= o.most {
			return false // more than anybody reads; the counters have them
		}
	}
	o.seen[k] = now
	return true
}
