package dnsguard

import (
	"net/netip"
	"sync"
	"time"
)

// Rate of questions of one asker: a device that starts asks for some dozens at
// once; more than a few a second for long is a tunnel or a fault.
const (
	rateBurst  = 100
	ratePerSec = 20
	// maxAskers bounds the memory of rates.
	maxAskers = 8192
)

// rates limits how often each address may ask.
type rates struct {
	now func() time.Time

	mu sync.Mutex
	by map[netip.Addr]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// take reports whether one more question of a is within its rate.
func (r *rates) take(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if r.by == nil {
		r.by = map[netip.Addr]bucket{}
	}
	b, ok := r.by[a]
	if !ok {
		if len(r.by) >= maxAskers {
			for k, v := range r.by { // whoever has not asked for a while starts afresh
				if now.Sub(v.at) > rateBurst/ratePerSec*time.Second {
					delete(r.by, k)
				}
			}
			if len(r.by) >= maxAskers {
				return false
			}
		}
		b = bucket{left: rateBurst, at: now}
	}
	if d := now.Sub(b.at); d > 0 { // a clock that jumps back gives nothing
		b.left = min(rateBurst, b.left+d.Seconds()*ratePerSec)
	}
	b.at = now
	ok = b.left >= 1
	if ok {
		b.left--
	}
	r.by[a] = b
	return ok
}
