package dnsguard

import (
	"net/netip"
	"sync"
	"time"
)

// maxBound is the most addresses that one device may have bound at a time. One
// that owns a domain below an allowed wildcard could otherwise fill the kernel's
// set, and take the names of all others away.
const maxBound = 4096

// quotas counts which addresses are bound to which device.
type quotas struct {
	now func() time.Time

	mu sync.Mutex
	by map[uint32]map[netip.Addr]time.Time // until when
}

// take notes addresses that are about to be bound, and reports whether the
// device may have them all.
func (q *quotas) take(mark uint32, addrs []netip.Addr, life time.Duration) bool {
	if mark == 0 || len(addrs) == 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if q.by == nil {
		q.by = map[uint32]map[netip.Addr]time.Time{}
	}
	mine := q.by[mark]
	if mine == nil {
		mine = map[netip.Addr]time.Time{}
		q.by[mark] = mine
	}
	fresh := 0
	for _, a := range addrs {
		if _, ok := mine[a]; !ok {
			fresh++
		}
	}
	if len(mine)+fresh > maxBound {
		for a, until := range mine {
			if now.After(until) {
				delete(mine, a)
			}
		}
		if len(mine)+fresh > maxBound {
			return false
		}
	}
	for _, a := range addrs {
		mine[a] = now.Add(life)
	}
	return true
}
