package store

import (
	"math"
	"math/bits"
	"unsafe"
)

// Seen remembers at least the newest n keys. A key is found by one look at
// memory: young ones and old ones lie side by side, each with a mark of its
// generation, in parts of some ten thousand. When as many young keys are in a
// part as there may be, they become its old ones, and those that were old are
// taken out. It takes about 24 bytes a key to remember, and no more than there
// are keys.
//
// Keys are hashes: their high bits say where they belong, and what differs in
// the two lowest alone is the same key. 0 is no key. With n above partKeys the
// newest n are spread over parts, and a part has room for eight standard
// deviations more than its share.
//
// It belongs to one goroutine.
type Seen struct {
	n int // to remember
	seenTable
}

// seenTable is the parts of one size of a Seen.
type seenTable struct {
	slots  []uint64
	own    slab
	parts  []seenPart
	bits   uint   // of how many parts there are
	stride uint64 // slots of a part
	most   int    // young keys of a part
	size   int    // young keys of all parts that it was made for
}

// seenPart is how many keys of each generation are in a part, and which mark the
// young ones have.
type seenPart struct {
	young, old uint32
	mark       uint64
}

const (
	// partKeys is about how many keys a part remembers: few enough that clearing one
	// holds nobody up for long.
	partKeys = 1 << 16
	// firstKeys is for how many keys there is room at first.
	firstKeys = 1024
	// The lowest bit of a slot is set when there is a key in it, the next is the mark
	// of its generation.
	seenTaken, seenMark = 1, 2
)

// NewSeen remembers n keys; n <= 0 remembers none.
func NewSeen(n int) *Seen { return &Seen{n: n} }

// newSeenTable makes room for size keys of each generation.
func newSeenTable(size int) (t seenTable, err error) {
	t.size = size
	if size > partKeys {
		t.bits = uint(bits.Len(uint((size - 1) / partKeys)))
	}
	share := float64(size) / float64(uint64(1)<<t.bits)
	t.most = size
	if t.bits > 0 {
		t.most = int(math.Ceil(share + 8*math.Sqrt(share)))
	}
	t.stride = (uint64(t.most)*3 + 15) &^ 7 // two thirds full, when both generations are
	t.parts = make([]seenPart, 1<<t.bits)
	n := t.stride << t.bits
	t.own = slab{most: n/8 + 1}
	if err := t.own.ensure(n/8 + 1); err != nil {
		return seenTable{}, err
	}
	t.slots = unsafe.Slice((*uint64)(t.own.base), n)
	return t, nil
}

// home is the part of a key, and its first slot there.
func (t *seenTable) home(key uint64) (part, slot uint64) {
	return key >> 1 >> (63 - t.bits), key << t.bits >> 32 * t.stride >> 32
}

// Prefetch has fetched what is needed to add the Few keys from ids[from] on.
func (s *Seen) Prefetch(ids *Cards, from int) {
	if len(s.slots) == 0 {
		return
	}
	few := (*[Few]uint64)(ids[from&(Width-Few):])
	var at [Few]uint32
	for i, key := range few {
		part, slot := s.home(key)
		at[i] = uint32(part*s.stride + slot)
	}
	prefetch(s.own.base, &at[0], Few, slotShift)
}

// Add remembers a key and reports whether it is new. One that comes again is as
// old as it was.
func (s *Seen) Add(key uint64) bool {
	if s.n <= 0 {
		return true
	}
	if len(s.slots) == 0 && !s.grow() {
		return true // there is no memory to remember it in
	}
	n, at := s.home(key)
	p := &s.parts[n]
	slots := s.slots[n*s.stride:][:s.stride]
	for slots[at] != 0 {
		if (slots[at]^key)&^(seenTaken|seenMark) == 0 {
			return false
		}
		if at++; at == uint64(len(slots)) {
			at = 0
		}
	}
	if int(p.young) < s.most {
		slots[at] = key&^(seenTaken|seenMark) | seenTaken | p.mark
		p.young++
		return true
	}
	if s.size < s.n {
		if !s.grow() {
			s.forget(n)
		}
	} else {
		s.age(n)
	}
	return s.Add(key)
}

// age makes the young keys of a part the old ones, and takes the old ones out.
// It goes round once, from an empty slot on: what stays is put again, at its place
// or nearer to its home, because all slots between are done.
func (s *Seen) age(part uint64) {
	p := &s.parts[part]
	slots := s.slots[part*s.stride:][:s.stride]
	from := 0
	for slots[from] != 0 {
		from++
	}
	for i := range slots {
		at := from + i
		if at >= len(slots) {
			at -= len(slots)
		}
		if v := slots[at]; v != 0 {
			slots[at] = 0
			if v&seenMark == p.mark {
				s.put(v)
			}
		}
	}
	*p = seenPart{old: p.young, mark: p.mark ^ seenMark}
}

// forget empties a part: there is no memory for a larger one.
func (s *Seen) forget(part uint64) {
	clear(s.slots[part*s.stride:][:s.stride])
	s.parts[part] = seenPart{}
}

// put puts a slot's content where it belongs. There is room, and it is not there.
func (t *seenTable) put(v uint64) {
	n, at := t.home(v)
	slots := t.slots[n*t.stride:][:t.stride]
	for slots[at] != 0 {
		if at++; at == uint64(len(slots)) {
			at = 0
		}
	}
	slots[at] = v
}

// grow makes room for four times as many keys, at most n. No key is old before
// there is room for n.
func (s *Seen) grow() bool {
	next, err := newSeenTable(min(max(4*s.size, firstKeys), s.n))
	if err != nil {
		return false
	}
	for i, p := range s.parts {
		for _, v := range s.slots[uint64(i)*s.stride:][:s.stride] {
			if v == 0 {
				continue
			}
			n, _ := next.home(v)
			q := &next.parts[n]
			if v&seenMark == p.mark {
				q.young++
			} else {
				q.old++
			}
			next.put(v&^seenMark | (v^p.mark)&seenMark)
		}
	}
	s.slots = nil
	_ = s.own.close() // memory that nobody refers to any more
	s.seenTable = next
	return true
}

// Len is how many keys are remembered.
func (s *Seen) Len() int {
	n := 0
	for _, p := range s.parts {
		n += int(p.young) + int(p.old)
	}
	return n
}

// Bytes is how much memory they take.
func (s *Seen) Bytes() uint64 { return uint64(len(s.slots)) * 8 }

// AppendKeys appends the keys of the old or the young generation. They are spread
// in no order: a set that is filled in the order of its slots while it grows
// would have them all in one heap, and need the square of the time.
func (s *Seen) AppendKeys(dst []uint64, old bool) []uint64 {
	n := uint64(len(s.slots))
	if n == 0 {
		return dst
	}
	step := n*5/8 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	for i, at := uint64(0), uint64(0); i < n; i++ {
		if v := s.slots[at]; v != 0 && (v&seenMark != s.parts[at/s.stride].mark) == old {
			dst = append(dst, v&^seenMark)
		}
		if at += step; at >= n {
			at -= n
		}
	}
	return dst
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Load adds a key of a generation to a Seen to which nothing was added yet; those
// beyond n are left out.
func (s *Seen) Load(key uint64, old bool) {
	if key == 0 || s.n <= 0 {
		return
	}
	for len(s.slots) == 0 || s.full(key, old) {
		if s.size >= s.n || !s.grow() {
			return
		}
	}
	n, _ := s.home(key)
	p := &s.parts[n]
	v := key&^(seenTaken|seenMark) | seenTaken | p.mark
	if old {
		p.old++
		v ^= seenMark
	} else {
		p.young++
	}
	s.put(v)
}

// full reports whether there is no room for a key.
func (s *Seen) full(key uint64, old bool) bool {
	n, _ := s.home(key)
	p := &s.parts[n]
	if old {
		return int(p.old) >= s.most
	}
	return int(p.young) >= s.most
}
