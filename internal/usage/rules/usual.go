package rules

import (
	"sync/atomic"

	"github.com/ringwall/ringwall/cdr"
)

// Usual remembers addresses that many cards of some settings reach every day, so
// that nobody need look at them again. It forgets: what it does not have may be
// usual all the same. It may be shared by goroutines.
type Usual struct {
	slots [1 << 12]atomic.Uint64
}

func usualKey(settings uint32, peer uint64) uint64 {
	k := (peer ^ uint64(settings)<<34) * 0x9e3779b97f4a7c15
	return k | 1
}

// Add notes that a peer is usual for cards of some settings.
func (u *Usual) Add(settings uint32, peer uint64) {
	k := usualKey(settings, peer)
	u.slots[k>>52].Store(k)
}

// has reports whether the other end of an event is usual, or no address.
func (u *Usual) has(settings uint32, e *cdr.Event) bool {
	if e.Peer>>62 < cdr.PeerIPv4 || e.Use.Service() != cdr.Data {
		return true
	}
	k := usualKey(settings, e.Peer)
	return u.slots[k>>52].Load() == k
}
