package rules

import (
	"sync/atomic"

	"github.com/ringwall/ringwall/cdr"
)

// Usual remembers of addresses that what cards of some settings do there on one
// day is no news, so that nobody need look at it. It forgets: what it does not
// have may be usual all the same. What it says it has was added, but for one chance
// in 2^62.
//
// It may be shared by goroutines. Who adds must be certain that news of that
// address and day would change nothing, then or ever after: engines ask when they
// please, and by that are ahead of whoever adds, by as much as may be.
type Usual struct {
	slots [usualSlots]atomic.Uint64 // 48 bits of a hash, of which the slot is 14 more, and the day since 1970
}

const usualSlots = 1 << 14

// usualOf gives the slot of an address, and what stands there on a day.
func usualOf(settings uint32, peer uint64, day uint32) (slot, want uint64) {
	k := (peer ^ (uint64(settings)+1)*0xd6e8feb86659fd93) * 0x9e3779b97f4a7c15
	k ^= k >> 32
	k *= 0xbf58476d1ce4e5b9
	return k >> 50, k<<14>>16<<16 | uint64(uint16(day))
}

// Add notes that what cards of some settings do at an address on a day (since
// 1970) is no news.
func (u *Usual) Add(settings uint32, peer uint64, day uint16) {
	slot, want := usualOf(settings, peer, uint32(day))
	u.slots[slot].Store(want)
}

// Clear forgets everything.
func (u *Usual) Clear() {
	for i := range u.slots {
		u.slots[i].Store(0)
	}
}

// Has reports whether the other end of an event is usual for cards of some settings,
// or no address.
func (u *Usual) Has(settings uint32, e *cdr.Event) bool { return u.has(settings, e) }

func (u *Usual) has(settings uint32, e *cdr.Event) bool {
	if e.Peer>>62 < cdr.PeerIPv4 || e.Use.Service() != cdr.Data {
		return true
	}
	slot, want := usualOf(settings, e.Peer, e.Sec/86400)
	return u.slots[slot].Load() == want
}
