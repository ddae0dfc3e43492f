package store

import "unsafe"

// Seen remembers at least the newest n keys, in two generations: when the young
// one is full it becomes the old one, and the old one is emptied. It takes about
// 12 bytes a key and generation, and no more than there are keys. 0 is no key.
//
// It belongs to one goroutine.
type Seen struct {
	n          int
	young, old keys
}

// NewSeen remembers n keys; n <= 0 remembers none.
func NewSeen(n int) *Seen { return &Seen{n: n} }

// Prefetch has fetched what is needed to add the Few keys from ids[from] on.
func (s *Seen) Prefetch(ids *Cards, from int) {
	few := (*[Few]uint64)(ids[from&(Width-Few):])
	s.young.prefetch(few)
	s.old.prefetch(few)
}

// Add remembers a key and reports whether it is new. One that comes again is as
// old as it was.
func (s *Seen) Add(key uint64) bool {
	if s.n <= 0 {
		return true
	}
	if s.old.has(key) {
		return false
	}
	if s.young.full() {
		if s.young.has(key) {
			return false
		}
		if s.young.n < s.n {
			s.young.grow(s.n)
		} else {
			s.young, s.old = s.old, s.young
			s.young.empty(s.n)
		}
		if s.young.full() {
			return true // there is no memory to remember it in
		}
	}
	return s.young.add(key)
}

// Len is how many keys are remembered.
func (s *Seen) Len() int { return s.young.n + s.old.n }

// Bytes is how much memory they take.
func (s *Seen) Bytes() uint64 { return uint64(len(s.young.slots)+len(s.old.slots)) * 8 }

// AppendKeys appends the keys of the old or the young generation. They are spread
// in no order: a set that is filled in the order of its slots while it grows
// would have them all in one heap, and need the square of the time.
func (s *Seen) AppendKeys(dst []uint64, old bool) []uint64 {
	k := &s.young
	if old {
		k = &s.old
	}
	n := uint64(len(k.slots))
	if n == 0 {
		return dst
	}
	step := n*5/8 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	for i, at := uint64(0), uint64(0); i < n; i++ {
		if v := k.slots[at]; v != 0 {
			dst = append(dst, v)
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

// Load adds a key of a generation; those beyond n are left out.
func (s *Seen) Load(key uint64, old bool) {
	k := &s.young
	if old {
		k = &s.old
	}
	if key == 0 || k.n >= s.n {
		return
	}
	if k.full() {
		k.grow(s.n)
	}
	if !k.full() {
		k.add(key)
	}
}

// keys is a set by open addressing. Keys are hashes: their high half says where
// they belong.
type keys struct {
	slots []uint64
	n     int
	most  int // that may be in it
	own   slab
}

// A set is at most two thirds full.
const keysNum, keysDen = 2, 3

func (k *keys) home(key uint64) uint64 { return key >> 32 * uint64(len(k.slots)) >> 32 }

func (k *keys) full() bool { return k.n >= k.most }

func (k *keys) prefetch(few *[Few]uint64) {
	if len(k.slots) == 0 {
		return
	}
	var at [Few]uint32
	for i, key := range few {
		at[i] = uint32(k.home(key))
	}
	prefetch(k.own.base, &at[0], Few, slotShift)
}

func (k *keys) has(key uint64) bool {
	if k.n == 0 {
		return false
	}
	for i := k.home(key); ; {
		switch k.slots[i] {
		case key:
			return true
		case 0:
			return false
		}
		if i++; i == uint64(len(k.slots)) {
			i = 0
		}
	}
}

// add reports whether the key is new. There is room.
func (k *keys) add(key uint64) bool {
	for i := k.home(key); ; {
		switch k.slots[i] {
		case key:
			return false
		case 0:
			k.slots[i] = key
			k.n++
			return true
		}
		if i++; i == uint64(len(k.slots)) {
			i = 0
		}
	}
}

// grow makes room for four times as many, at most n. Without memory for it the
// set begins anew, and forgets.
func (k *keys) grow(n int) {
	most := min(max(4*k.most, 1024), n)
	size := most*keysDen/keysNum + 8
	next := keys{most: most, own: slab{most: uint64(size)/8 + 1}}
	if next.own.ensure(uint64(size)/8+1) != nil {
		k.clear()
		return
	}
	next.slots = unsafe.Slice((*uint64)(next.own.base), size)
	for _, v := range k.slots {
		if v != 0 {
			next.add(v)
		}
	}
	k.slots = nil
	_ = k.own.close() // memory that nobody refers to any more
	*k = next
}

// empty makes the set an empty one.
func (k *keys) empty(n int) {
	if k.most == 0 {
		k.grow(n)
		return
	}
	k.clear()
}

func (k *keys) clear() {
	clear(k.slots)
	k.n = 0
}
