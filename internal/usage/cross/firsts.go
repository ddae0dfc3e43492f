package cross

import "math/bits"

// first is what is known of something that few cards were seen with: 16 bytes.
type first struct {
	tag   uint32      // with low 48 bits of the id's hash; cards[0] = 0: nothing is here
	low   uint16      //
	first uint16      // day
	day   uint16      // newest
	cards [few]uint16 // 16 bits of their hashes: of equipment the only one, of others those of the day
}

// few is how many cards of a day a cell or peer may have without an entry.
const few = 3

// n is how many cards there are.
func (p *first) n() (n int) {
	for n < few && p.cards[n] != 0 {
		n++
	}
	return n
}

// more notes a card and reports whether there are more than room.
func (p *first) more(card uint16, room int) bool {
	for i := range room {
		if p.cards[i] == card {
			return false
		}
		if p.cards[i] == 0 {
			p.cards[i] = card
			return false
		}
	}
	return true
}

func (p *first) is(h uint64) bool {
	return p.tag == uint32(h>>16) && p.low == uint16(h) && p.cards[0] != 0
}

// hash is what the slot is found by.
func (p *first) hash() uint64 { return uint64(p.tag)<<16 | uint64(p.low) }

// firsts are slots in sets; they double when there is no room, up to a bound.
type firsts struct {
	slots []first
	most  int // slots
	n     int // that hold something
}

const (
	ways      = 8 // slots of a set
	leastSets = 32
	slotBytes = 16
)

// bound sets how many there are at most. What is there stays.
func (t *firsts) bound(slots int) { t.most = max(slots, ways*leastSets) }

// set is where something may be.
func (t *firsts) set(h uint64) []first {
	if len(t.slots) == 0 {
		sets := t.most / ways
		for sets >= 2*leastSets {
			sets /= 2 // so that doubling comes to the bound
		}
		t.slots = make([]first, ways*sets)
	}
	at, _ := bits.Mul64(h<<16, uint64(len(t.slots)/ways))
	return t.slots[at*ways:][:ways]
}

func (t *firsts) find(h uint64) *first {
	set := t.set(h)
	for i := range set {
		if set[i].is(h) {
			return &set[i]
		}
	}
	return nil
}

// grow doubles the slots; false = there are as many as there may be.
func (t *firsts) grow() bool {
	if 2*len(t.slots) > t.most {
		return false
	}
	old := t.slots
	t.slots = make([]first, 2*len(old))
	for _, p := range old {
		if p.cards[0] != 0 {
			set := t.set(p.hash()) // half of those of its old set: there is room
			for i := range set {
				if set[i].cards[0] == 0 {
					set[i] = p
					break
				}
			}
		}
	}
	return true
}

func (t *firsts) clear(p *first) {
	*p = first{}
	t.n--
}

func (t *firsts) bytes() int64 { return int64(len(t.slots)) * slotBytes }
