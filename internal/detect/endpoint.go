package detect

import "time"

// tries is how many calls of an endpoint are remembered.
const tries = 8

// endpoint is one service (address, port, protocol) as one source has used it.
type endpoint struct {
	last       int64
	runAt      int64  // when the run of unanswered calls began
	starts     trail  // calls; of logins, refusals
	calls      uint32 // in all
	unanswered uint32 // in a row
	syns       uint32 // packets that opened, of the calls in that row
	lastAuth   uint32 // of logins: the last password that was refused
	weight     uint16
	rank       uint8
}

// trail holds the last few events: when, and which packet.
type trail struct {
	at  [tries]int64
	num [tries]uint64
	n   uint8 // next place
	len uint8
}

func (t *trail) add(at int64, num uint64) {
	t.at[t.n], t.num[t.n] = at, num
	t.n = (t.n + 1) % tries
	t.len = min(t.len+1, tries)
}

// back returns the k-th last event, from 0.
func (t *trail) back(k int) (at int64, num uint64) {
	i := (int(t.n) + 2*tries - 1 - k) % tries
	return t.at[i], t.num[i]
}

// within reports whether the last k events lie within a window that ends now.
func (t *trail) within(k int, now int64, window time.Duration) bool {
	if int(t.len) < k {
		return false
	}
	at, _ := t.back(k - 1)
	return recent(at, now, window)
}

// packets returns the numbers of the last k events, oldest first.
func (t *trail) packets(k int) []uint64 {
	k = min(k, int(t.len))
	out := make([]uint64, 0, k)
	for i := k - 1; i >= 0; i-- {
		_, n := t.back(i)
		out = append(out, n)
	}
	return out
}

// endpoints is the table of endpoints.
type endpoints struct {
	tags  []uint64
	slots []endpoint
	mask  uint64
}

func (t *endpoints) init(n int) {
	t.tags = make([]uint64, pow2(n))
	t.slots = make([]endpoint, pow2(n))
	t.mask = uint64(len(t.slots)/ways - 1)
}

func (t *endpoints) find(tag uint64) *endpoint {
	if at, _ := find(t.tags, t.mask, tag); at >= 0 {
		return &t.slots[at]
	}
	return nil
}

// staleEndpoint is after how long without a call an endpoint is worth nothing.
const staleEndpoint = 6 * time.Hour

// get returns the endpoint with this tag, a fresh one if there is none, nil if
// its bucket is full of better ones. rank is 2 for a known device, 1 for a
// local source, 0 for others.
func (t *endpoints) get(tag uint64, rank uint8, now int64) *endpoint {
	at, free := find(t.tags, t.mask, tag)
	if at >= 0 {
		return &t.slots[at]
	}
	if free < 0 {
		b := int(tag>>8&t.mask) * ways
		least, oldest := 1<<30, int64(0)
		for i := b; i < b+ways; i++ {
			x := &t.slots[i]
			w := int(x.rank)*8 + int(min(x.weight, 7))
			if !recent(x.last, now, staleEndpoint) {
				w = 0
			}
			if w < least || w == least && x.last < oldest {
				free, least, oldest = i, w, x.last
			}
		}
		if v := &t.slots[free]; v.weight > 1 && least > int(rank)*8+1 {
			// Passed over, it loses a little, so that what is never used again
			// goes in the end.
			v.weight--
			return nil
		}
	}
	t.tags[free] = tag
	x := &t.slots[free]
	*x = endpoint{last: now, rank: rank, weight: 1}
	return x
}

// pair is one source with one target, for scans of many ports.
type pair struct {
	since  int64
	last   int64
	rateAt int64 // the second that rate counts
	ports  [vertical]uint16
	nums   [vertical]uint64
	rate   uint32
	n      uint8
	rank   uint8
	hot    uint8 // seconds in a row over the rate of a flood
	open   uint8 // ports that answered
}

// pairs is the table of pairs.
type pairs struct {
	tags  []uint64
	slots []pair
	mask  uint64
}

func (t *pairs) init(n int) {
	t.tags = make([]uint64, pow2(n))
	t.slots = make([]pair, pow2(n))
	t.mask = uint64(len(t.slots)/ways - 1)
}

func (t *pairs) find(tag uint64) *pair {
	if at, _ := find(t.tags, t.mask, tag); at >= 0 {
		return &t.slots[at]
	}
	return nil
}

// get returns the pair with this tag, a fresh one if there is none, nil if its
// bucket is full of better ones.
func (t *pairs) get(tag uint64, rank uint8, now int64) *pair {
	at, free := find(t.tags, t.mask, tag)
	if at >= 0 {
		return &t.slots[at]
	}
	if free < 0 {
		b := int(tag>>8&t.mask) * ways
		least, oldest := 1<<30, int64(0)
		for i := b; i < b+ways; i++ {
			x := &t.slots[i]
			w := int(x.rank)*32 + int(x.n)
			if !recent(x.last, now, verticalWindow) {
				w = 0
			}
			if w < least || w == least && x.last < oldest {
				free, least, oldest = i, w, x.last
			}
		}
		if v := &t.slots[free]; v.n > 1 && least > int(rank)*32+1 {
			v.n--
			return nil
		}
	}
	t.tags[free] = tag
	x := &t.slots[free]
	*x = pair{since: now, last: now, rank: rank}
	return x
}
