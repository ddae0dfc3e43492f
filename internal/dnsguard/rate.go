package dnsguard

import (
	"net/netip"
	"sync"
	"time"
)

// Rate of questions of one asker: a device that starts asks for some dozens at
// once; more than a few a second for long is a tunnel or a fault. A policy may
// set another rate for a device; its burst is that of five seconds.
const (
	ratePerSec = 20
	burstOf    = 5 // seconds
	// maxAskers bounds the memory of rates.
	maxAskers = 8192
)

// rates limits how often each address may ask.
type rates struct {
	now func() time.Duration

	mu sync.Mutex
	by map[netip.Addr]bucket
}

type bucket struct {
	left float64
	at   time.Duration
}

// take reports whether one more question of a is within its rate; 0 = that of
// all.
func (r *rates) take(a netip.Addr, perSec int) bool {
	if perSec <= 0 {
		perSec = ratePerSec
	}
	burst := float64(burstOf * perSec)
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
				if now-v.at > burstOf*time.Second {
					delete(r.by, k)
				}
			}
			if len(r.by) >= maxAskers {
				return false
			}
		}
		b = bucket{left: burst, at: now}
	}
	if d := now - b.at; d > 0 {
		b.left = min(burst, b.left+d.Seconds()*float64(perSec))
	}
	b.at = now
	ok = b.left >= 1
	if ok {
		b.left--
	}
	r.by[a] = b
	return ok
}
