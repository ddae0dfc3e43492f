package store

import (
	"math/bits"
	"unsafe"
)

// Seen remembers at least the newest n keys. Keys are of generations, each a
// seventh of n, and those of the newest eight count: what is older is in nobody's
// way, and its room is taken by new ones. Nothing is moved or taken out for that.
//
// A key is found by one look at memory: lines hold seven, with a byte beside each
// that says of which generation it is, and are half full, so that one in forty
// sends the search on. That is about 21 bytes for each key of n, and no more than
// there are keys.
//
// Keys are hashes: their high bits say where they belong. 0 is no key.
//
// It belongs to one goroutine.
type Seen struct {
	n     int // to remember
	each  int // keys of a generation
	lines []seenLine
	own   slab
	size  int // keys that there is room for

	now   uint8         // the generation of new keys
	count [SeenAges]int // keys of each generation, at its number modulo SeenAges
	total int           // of all of them
	swept int           // the next line whose forgotten keys are to be made older
	stale uint64        // of now, in every byte: what makes ages of generations
}

// SeenAges is how many generations of keys are remembered.
const SeenAges = 8

// seenLine is up to seven keys, with the generations of each, and of the newest
// that belongs here and is in the next line because this one was full.
type seenLine struct {
	keys [seenKeys]uint64
	gens [seenKeys + 1]uint8
}

const (
	seenKeys = 7
	// seenOver is the place of a line's last generation.
	seenOver = seenKeys
	// firstKeys is for how many keys there is room at first.
	firstKeys = 1024
	// seenSweep is in how many generations all lines are swept. Generations are counted
	// modulo 256: what is forgotten must not become young again.
	seenSweep = 64
	// seenNever is the age of what was never there.
	seenNever = 128
)

// A seenLine is a line of a slab.
var (
	_ [LineBytes - unsafe.Sizeof(seenLine{})]byte
	_ [unsafe.Sizeof(seenLine{}) - LineBytes]byte
)

// NewSeen remembers n keys; n <= 0 remembers none.
func NewSeen(n int) *Seen {
	s := &Seen{n: n, each: max((n+SeenAges-2)/(SeenAges-1), 1)}
	s.turn(seenNever)
	return s
}

// turn makes a generation that of new keys.
func (s *Seen) turn(gen uint8) {
	s.now = gen
	s.stale = bytes8 * uint64(gen)
}

const (
	bytes8 = 0x0101010101010101
	high8  = 0x80 * bytes8
)

// live has the high bit of each byte whose generation counts.
func (s *Seen) live(l *seenLine) uint64 {
	gens := *(*uint64)(unsafe.Pointer(&l.gens))
	// Ages are differences, byte by byte (Warren, Hacker's Delight, 2-18).
	ages := (s.stale | high8) - gens&^high8 ^ (s.stale^^gens)&high8
	// Those below SeenAges have none of the upper bits.
	upper := ages &^ ((SeenAges - 1) * bytes8)
	return ^(upper&^high8 + (high8 - bytes8) | upper) & high8
}

// home is the line that a key belongs in.
func (s *Seen) home(key uint64) int {
	at, _ := bits.Mul64(key, uint64(len(s.lines)))
	return int(at)
}

// Prefetch has fetched what is needed to add the Few keys from ids[from] on.
func (s *Seen) Prefetch(ids *Cards, from int) {
	if len(s.lines) == 0 {
		return
	}
	few := (*[Few]uint64)(ids[from&(Width-Few):])
	var at [Few]uint32
	for i, key := range few {
		at[i] = uint32(s.home(key))
	}
	prefetch(s.own.base, &at[0], Few, lineShift)
}

// Add remembers a key and reports whether it is new. One that comes again is as
// old as it was.
func (s *Seen) Add(key uint64) bool {
	if s.n <= 0 {
		return true
	}
	if s.count[s.now%SeenAges] >= s.each || s.total >= s.size {
		s.room()
	}
	if len(s.lines) == 0 {
		return true // there is no memory to remember it in
	}
	l := &s.lines[s.home(key)]
	live := s.live(l)
	if l.keys[0] == key || l.keys[1] == key || l.keys[2] == key || l.keys[3] == key || l.keys[4] == key || l.keys[5] == key || l.keys[6] == key {
		if l.has(key, live) {
			return false
		}
	}
	free := ^live & high8
	if live>>63 != 0 || free<<8 == 0 {
		return s.addBeyond(key)
	}
	i := bits.TrailingZeros64(free) >> 3 & 7
	l.keys[i%seenKeys] = key
	l.gens[i] = s.now
	s.count[s.now%SeenAges]++
	s.total++
	return true
}

// has reports whether a key is among those that count.
func (l *seenLine) has(key, live uint64) bool {
	for i, k := range l.keys {
		if k == key && live>>(8*i+7)&1 != 0 {
			return true
		}
	}
	return false
}

// addBeyond is Add where a line was full: the key may be in those after it.
func (s *Seen) addBeyond(key uint64) bool {
	at := s.home(key)
	for {
		l := &s.lines[at]
		live := s.live(l)
		if l.has(key, live) {
			return false
		}
		if live>>63 == 0 {
			break
		}
		at = s.after(at)
	}
	s.put(key, s.now)
	return true
}

func (s *Seen) after(at int) int {
	if at++; at == len(s.lines) {
		return 0
	}
	return at
}

// put puts a key of a generation into the first line from its home on that has
// room. There is room, and it is not there.
func (s *Seen) put(key uint64, gen uint8) {
	at := s.home(key)
	for {
		l := &s.lines[at]
		live := s.live(l)
		if free := ^live & (high8 >> 8); free != 0 {
			i := bits.TrailingZeros64(free) >> 3
			l.keys[i], l.gens[i] = key, gen
			s.count[gen%SeenAges]++
			s.total++
			return
		}
		// The younger of those that were sent on says for how long to look beyond.
		if live>>63 == 0 || s.now-gen < s.now-l.gens[seenOver] {
			l.gens[seenOver] = gen
		}
		at = s.after(at)
	}
}

// room makes room for one more key: in a larger table, or by a new generation.
func (s *Seen) room() {
	for s.total >= s.size && s.size < s.most() && s.grow() {
	}
	// Where there is no memory for more, the oldest are forgotten early.
	for s.total >= s.size && s.size < s.most() && s.total > 0 {
		s.age()
	}
	if s.count[s.now%SeenAges] >= s.each {
		s.age()
	}
}

// most is how many keys count at most.
func (s *Seen) most() int { return s.each * SeenAges }

// age begins a generation, and forgets the oldest.
func (s *Seen) age() {
	s.turn(s.now + 1)
	s.total -= s.count[s.now%SeenAges]
	s.count[s.now%SeenAges] = 0
	if len(s.lines) == 0 {
		return
	}
	for range len(s.lines)/seenSweep + 1 {
		l := &s.lines[s.swept]
		for i, gen := range l.gens {
			if s.now-gen >= SeenAges {
				l.gens[i] = s.now - seenNever
			}
		}
		s.swept = s.after(s.swept)
	}
}

// grow makes room for four times as many keys.
func (s *Seen) grow() bool {
	size := min(max(4*s.size, firstKeys), s.most())
	n := uint64(size)*2/seenKeys + 1
	next := Seen{n: s.n, each: s.each, size: size, own: slab{most: n}}
	if next.own.ensure(n) != nil {
		return false
	}
	next.turn(seenNever) // so that lines of zeros have no key
	next.lines = unsafe.Slice((*seenLine)(next.own.base), n)
	s.Each(func(key uint64, age int) { next.put(key, next.now-uint8(age)) })
	s.lines = nil
	_ = s.own.close() // memory that nobody refers to any more
	*s = next
	return true
}

// Len is how many keys are remembered.
func (s *Seen) Len() int { return s.total }

// Bytes is how much memory they take.
func (s *Seen) Bytes() uint64 { return uint64(len(s.lines)) * LineBytes }

// Each calls f with every key and how many generations ago it came, below
// SeenAges. They come in no order: a set that is filled in the order of its lines
// while it grows would have them all in one heap, and need the square of the time.
func (s *Seen) Each(f func(key uint64, age int)) {
	n := uint64(len(s.lines))
	if n == 0 {
		return
	}
	step := n*5/8 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	for i, at := uint64(0), uint64(0); i < n; i++ {
		l := &s.lines[at]
		for live := s.live(l) & (high8 >> 8); live != 0; live &= live - 1 {
			j := bits.TrailingZeros64(live) >> 3
			f(l.keys[j], int(s.now-l.gens[j]))
		}
		if at += step; at >= n {
			at -= n
		}
	}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Load adds a key that came age generations ago to a Seen to which nothing was
// added yet. One of no age is left out, and so are those that there is no room for.
func (s *Seen) Load(key uint64, age int) {
	if key == 0 || s.n <= 0 || uint(age) >= SeenAges {
		return
	}
	for s.total >= s.size && s.size < s.most() {
		if !s.grow() {
			return
		}
	}
	// A line has room for twice what there is room for.
	if s.total >= s.size+s.size/2 {
		return
	}
	s.put(key, s.now-uint8(age))
}
