package store

import (
	"unsafe"

	"github.com/ringwall/ringwall"
)

// strays finds cards of no block: open addressing with linear probing. A slot
// is 32 bits of the card's hash above and its place plus one below. The high
// bits of the hash say where a slot belongs, so the index grows by any factor
// without looking at a line, and cards in order of hash are in order of slots.
type strays struct {
	slots []uint64
	n     int
	own   slab // holds the slots, eight in a line
}

// A stray costs 8 bytes at a load of 80 to 64 %: 10 to 12.5.
const (
	loadNum, loadDen = 4, 5
	growNum, growDen = 5, 4
)

func hash(card uint64) uint64 {
	h := card * mix
	h ^= h >> 32
	return h * mix >> 32
}

// home is where the slot of a hash belongs.
func (s *strays) home(h uint64) uint64 { return h * uint64(len(s.slots)) >> 32 }

// find returns the slot of a card, or where it would be.
func (s *strays) find(card uint64, lines *slab) (slot uint64, at uint32) {
	h := hash(card)
	slot = s.home(h)
	for {
		e := s.slots[slot]
		if e == 0 {
			return slot, None
		}
		if e>>32 == h {
			if at := uint32(e) - 1; lines.line(at).Card == card {
				return slot, at
			}
		}
		if slot++; slot == uint64(len(s.slots)) {
			slot = 0
		}
	}
}

// get returns the place of a card.
func (s *strays) get(card uint64, lines *slab) uint32 {
	if s.n == 0 {
		return None
	}
	_, at := s.find(card, lines)
	return at
}

// full reports whether another card needs a larger index.
func (s *strays) full() bool { return (s.n+1)*loadDen > len(s.slots)*loadNum }

// put notes the place of a card that is not there. There is room: see full.
func (s *strays) put(card uint64, at uint32) {
	s.insert(hash(card)<<32 | uint64(at+1))
	s.n++
}

func (s *strays) insert(e uint64) {
	slot := s.home(e >> 32)
	for s.slots[slot] != 0 {
		if slot++; slot == uint64(len(s.slots)) {
			slot = 0
		}
	}
	s.slots[slot] = e
}

// remove closes the gap that a card leaves, so that no probe ends early.
func (s *strays) remove(slot uint64) {
	size := uint64(len(s.slots))
	hole := slot
	for i := slot; ; {
		if i++; i == size {
			i = 0
		}
		e := s.slots[i]
		if e == 0 {
			break
		}
		// The slot at i may move into the hole when its home is not between them.
		if home := s.home(e >> 32); (i+size-home)%size >= (i+size-hole)%size {
			s.slots[hole] = e
			hole = i
		}
	}
	s.slots[hole] = 0
	s.n--
}

// resize makes an index for n cards, and room to grow.
func (s *strays) resize(n int) error {
	size := max(n*growNum/growDen*loadDen/loadNum+1, 16)
	next := strays{own: slab{most: uint64(size)/8 + 1}}
	if err := next.own.ensure(uint64(size)/8 + 1); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "an index of %d cards of no block: %w", n, err)
	}
	next.slots = unsafe.Slice((*uint64)(next.own.base), size)
	next.n = s.n
	for _, e := range s.slots {
		if e != 0 {
			next.insert(e)
		}
	}
	s.slots = nil
	err := s.own.close()
	*s = next
	return err
}

func (s *strays) bytes() uint64 { return uint64(len(s.slots)) * 8 }
