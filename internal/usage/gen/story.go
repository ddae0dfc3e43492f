package gen

import (
	"cmp"
	"slices"
)

// A story is something that happens to one card, once.
type story struct {
	from, to int64  // its records by the time they began; to 0 = for good
	imei     uint64 // it sits in this equipment
	cell     int32  // its place is this one, when moved
	moved    bool
	silent   bool    // it does nothing
	times    float64 // its volume, many times over; 0 = as ever
	add      float64 // to its volume
}

// tell adds a story to a card. A card has one story at most: who asks for a card
// gets one without.
func (w *World) tell(card uint32, ss ...*story) {
	w.marked[card>>6] |= 1 << (card & 63)
	w.stories[card] = append(w.stories[card], ss...)
}

// free finds a card without a story, of a customer that suits; ok is false when
// there seems to be none.
func (w *World) free(what int, n uint64, suits func(*Customer) bool) (cu *Customer, card uint32, h uint64, ok bool) {
	for try := range uint64(2000) {
		h = w.c.at(what, n, try)
		card = uint32(within(h, w.cfg.Cards))
		cu = w.fleet.customerOf(card)
		if suits(cu) && w.marked[card>>6]&(1<<(card&63)) == 0 {
			return cu, card, mix(h + 1), true
		}
	}
	return nil, 0, 0, false
}

// befall changes a record by its card's stories; false = it is not made.
func (w *World) befall(r *row, x uint64) bool {
	if w.marked[r.card>>6]&(1<<(r.card&63)) == 0 {
		return true
	}
	for _, s := range w.stories[r.card] {
		// By the true time: a clock that is wrong does not change what happens.
		began := r.arrival - int64(r.seconds)
		if began < s.from || s.to != 0 && began >= s.to {
			continue
		}
		switch {
		case s.silent:
			return false
		case s.imei != 0:
			r.imei = s.imei
		case s.moved:
			w.place(r, s.cell, began-2, mix(x+51))
		}
		if s.times != 0 {
			r.up = uint64(float64(r.up)*s.times + s.add*(0.8+0.4*unit(mix(x+52))))
		}
	}
	return true
}

// sortExtra brings the records of misuse in order of arrival.
func (w *World) sortExtra() {
	slices.SortStableFunc(w.extra, func(a, b row) int { return cmp.Compare(a.arrival, b.arrival) })
	slices.SortStableFunc(w.truth, func(a, b Truth) int { return cmp.Compare(a.From, b.From) })
}
