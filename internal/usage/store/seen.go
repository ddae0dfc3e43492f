package store

import (
	"math"
	"math/bits"
	"unsafe"
)

// Seen remembers at least the newest n keys. A key is found by one look at
// memory: young ones and old ones lie side by side, each with a mark of its
// generation, in lines of eight that are in parts of some ten thousand keys. When
// as many young keys are in a part as there may be, they become its old ones, and
// those that were old are taken out. It takes about 24 bytes a key to remember, and
// no more than there are keys.
//
// Keys are hashes: their high bits say where they belong, and what differs in
// the three lowest alone is the same key. 0 is no key. With n above partKeys the
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
	lines  []seenLine
	own    slab
	parts  []seenPart
	bits   uint   // of how many parts there are
	stride uint64 // lines of a part
	most   int    // young keys of a part
	size   int    // young keys of all parts that it was made for
}

// seenLine is eight slots. A key is in the line that its hash names, or, when that
// was full and says so, in the next.
type seenLine [8]uint64

// seenPart is how many keys of each generation are in a part, and which mark the
// young ones have.
type seenPart struct {
	young, old uint32
	mark       uint64
}

const (
	// partKeys is about how many keys a part remembers: few enough that taking the old
	// ones out holds nobody up for long.
	partKeys = 1 << 16
	// firstKeys is for how many keys there is room at first.
	firstKeys = 1024
)

// What the lowest bits of a slot say, in the place of those of its key.
const (
	seenTaken = 1 // there is a key in it
	seenMark  = 2 // of its generation
	seenOver  = 4 // of the first slot: a key that belongs here may be in the next line
	seenBits  = 7
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
	t.stride = uint64(t.most)*3/8 + 2 // two thirds full, when both generations are
	t.parts = make([]seenPart, 1<<t.bits)
	n := t.stride << t.bits
	t.own = slab{most: n}
	if err := t.own.ensure(n); err != nil {
		return seenTable{}, err
	}
	t.lines = unsafe.Slice((*seenLine)(t.own.base), n)
	return t, nil
}

// A seenLine is a line of a slab.
var _ [LineBytes - unsafe.Sizeof(seenLine{})]byte

// home is the part of a key, and its line there.
func (t *seenTable) home(key uint64) (part, line uint64) {
	return key >> 1 >> (63 - t.bits), key << t.bits >> 32 * t.stride >> 32
}

// after is the line after another of its part.
func (t *seenTable) after(line uint64) uint64 {
	if line++; line == t.stride {
		return 0
	}
	return line
}

func (t *seenTable) linesOf(part uint64) []seenLine { return t.lines[part*t.stride:][:t.stride] }

// Prefetch has fetched what is needed to add the Few keys from ids[from] on.
func (s *Seen) Prefetch(ids *Cards, from int) {
	if len(s.lines) == 0 {
		return
	}
	few := (*[Few]uint64)(ids[from&(Width-Few):])
	var at [Few]uint32
	for i, key := range few {
		part, line := s.home(key)
		at[i] = uint32(part*s.stride + line)
	}
	prefetch(s.own.base, &at[0], Few, lineShift)
}

// Add remembers a key and reports whether it is new. One that comes again is as
// old as it was.
func (s *Seen) Add(key uint64) bool {
	if s.n <= 0 {
		return true
	}
	if len(s.lines) == 0 && !s.grow() {
		return true // there is no memory to remember it in
	}
	n, at := s.home(key)
	p := &s.parts[n]
	lines := s.linesOf(n)
	want := key&^seenBits | seenTaken | p.mark
	var free *uint64
	for {
		l := &lines[at]
		same, room := l.look(want)
		if same {
			return false
		}
		if free == nil && room != 0 {
			free = &l[bits.TrailingZeros8(room)&7]
		}
		if l[0]&seenOver == 0 {
			break
		}
		at = s.after(at)
	}
	switch {
	case int(p.young) < s.most:
		p.young++
		if free != nil {
			*free = *free&seenOver | want
		} else {
			s.put(want)
		}
		return true
	case s.size == s.n:
		s.age(n)
	case !s.grow():
		s.forget(n) // there is no memory for a larger one
	}
	return s.Add(key)
}

// look looks at all slots of a line, without a jump that depends on what is in
// them: whether one has the key of want, and which have none.
func (l *seenLine) look(want uint64) (same bool, room uint8) {
	want >>= 3
	var found uint64
	for i := 0; i < len(l); i += 4 {
		a, b, c, d := l[i], l[i+1], l[i+2], l[i+3]
		room |= uint8((^a&1|^b&1<<1|^c&1<<2|^d&1<<3)&15) << i
		// A free slot is never the same: it has no bits but the lowest, and want has.
		found |= ((a>>3 ^ want) - 1) | ((b>>3 ^ want) - 1) | ((c>>3 ^ want) - 1) | ((d>>3 ^ want) - 1)
	}
	return found>>63 != 0, room
}

// age makes the young keys of a part the old ones, and takes the old ones out.
// Keys stay where they are.
func (s *Seen) age(part uint64) {
	p := &s.parts[part]
	lines := s.linesOf(part)
	for i := range lines {
		for j, v := range lines[i] {
			young := v & 1 &^ ((v ^ p.mark) >> 1)
			lines[i][j] = v & -young &^ seenOver
		}
	}
	for i := range lines {
		for _, v := range lines[i] {
			if _, at := s.home(v); at != uint64(i) && v&seenTaken != 0 {
				for ; at != uint64(i); at = s.after(at) {
					lines[at][0] |= seenOver
				}
			}
		}
	}
	*p = seenPart{old: p.young, mark: p.mark ^ seenMark}
}

// forget empties a part.
func (s *Seen) forget(part uint64) {
	clear(s.linesOf(part))
	s.parts[part] = seenPart{}
}

// put puts a slot's content into the first line from its home on that has room.
// There is room, and it is not there.
func (t *seenTable) put(v uint64) {
	n, at := t.home(v)
	lines := t.linesOf(n)
	for {
		l := &lines[at]
		for i := range l {
			if l[i]&seenTaken == 0 {
				l[i] = l[i]&seenOver | v
				return
			}
		}
		l[0] |= seenOver
		at = t.after(at)
	}
}

// grow makes room for four times as many keys, at most n. No key is old before
// there is room for n.
func (s *Seen) grow() bool {
	next, err := newSeenTable(min(max(4*s.size, firstKeys), s.n))
	if err != nil {
		return false
	}
	for i, p := range s.parts {
		for _, l := range s.linesOf(uint64(i)) {
			for _, v := range l {
				if v&seenTaken != 0 {
					next.count(v, v&seenMark != p.mark)
					next.put(v&^(seenMark|seenOver) | (v^p.mark)&seenMark)
				}
			}
		}
	}
	s.lines = nil
	_ = s.own.close() // memory that nobody refers to any more
	s.seenTable = next
	return true
}

// count counts a key.
func (t *seenTable) count(key uint64, old bool) {
	n, _ := t.home(key)
	if old {
		t.parts[n].old++
	} else {
		t.parts[n].young++
	}
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
func (s *Seen) Bytes() uint64 { return uint64(len(s.lines)) * LineBytes }

// AppendKeys appends the keys of the old or the young generation. They are spread
// in no order: a set that is filled in the order of its lines while it grows
// would have them all in one heap, and need the square of the time.
func (s *Seen) AppendKeys(dst []uint64, old bool) []uint64 {
	n := uint64(len(s.lines))
	if n == 0 {
		return dst
	}
	step := n*5/8 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	for i, at := uint64(0), uint64(0); i < n; i++ {
		for _, v := range s.lines[at] {
			if v&seenTaken != 0 && (v&seenMark != s.parts[at/s.stride].mark) == old {
				dst = append(dst, v&^(seenMark|seenOver))
			}
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
	for len(s.lines) == 0 || s.full(key, old) {
		if s.size >= s.n || !s.grow() {
			return
		}
	}
	n, _ := s.home(key)
	v := key&^seenBits | seenTaken | s.parts[n].mark
	if old {
		v ^= seenMark
	}
	s.count(key, old)
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
