package meter

import (
	"hash/maphash"
	"slices"
)

// table finds the open flows: a place for each that may be open, and a chain
// where some share one.
type table struct {
	seed   maphash.Seed
	places []*entry
	n      int
}

func (t *table) init(seed maphash.Seed, most int) {
	size := 1
	for size < most {
		size *= 2
	}
	t.seed, t.places = seed, make([]*entry, size)
}

func (t *table) place(k *tuple) **entry {
	return &t.places[maphash.Comparable(t.seed, *k)&uint64(len(t.places)-1)]
}

// find returns the flow of k, nil where there is none.
func (t *table) find(k *tuple) *entry {
	e := *t.place(k)
	for e != nil && e.key != *k {
		e = e.chain
	}
	return e
}

func (t *table) put(e *entry) {
	at := t.place(&e.key)
	e.chain, *at = *at, e
	t.n++
}

func (t *table) drop(e *entry) {
	at := t.place(&e.key)
	for *at != e {
		at = &(*at).chain
	}
	*at, e.chain = e.chain, nil
	t.n--
}

// ends are the other ends that a device has called, by the hash of their
// addresses: those that are known from before, and which of them were called in
// this minute. Few devices call more than some dozens, so that is a sorted list.
type ends struct {
	list []end
	turn uint32
	// more are those of this minute that list has no place for.
	more map[uint64]struct{}
}

type end struct {
	to   uint64
	turn uint32 // in which it was called last
}

// begun notes a call, and reports whether there was one in this minute, and
// whether there ever was.
func (s *ends) begun(to uint64) (again, known bool) {
	i, known := slices.BinarySearchFunc(s.list, to, func(e end, to uint64) int {
		switch {
		case e.to < to:
			return -1
		case e.to > to:
			return 1
		}
		return 0
	})
	switch {
	case known:
		again = s.list[i].turn == s.turn
		s.list[i].turn = s.turn
	case len(s.list) < maxKnown:
		s.list = slices.Insert(s.list, i, end{to, s.turn})
	default:
		if _, again = s.more[to]; !again {
			if s.more == nil {
				s.more = map[uint64]struct{}{}
			}
			s.more[to] = struct{}{} // maxDests bounds them
		}
	}
	return again, known
}

// anew begins another minute.
func (s *ends) anew() {
	s.turn++
	s.more = nil
}
