package store

// Places are where the lines of up to Width cards are.
type Places [Width]uint32

// Cards are up to Width cards.
type Cards [Width]uint64

// Find sets at[i] to the place of cards[i], or None, for the first n cards. A
// place in a range or a block is that of a number: whether the card is there is
// for the caller to see, by the Card of the line.
func (t *Table) Find(cards *Cards, n int, at *Places) {
	n = min(n, Width)
	strays := 0
	first, span, base := t.first, t.span, t.base
	for i, card := range cards[:n] {
		if d := card - first; d < span {
			at[i] = base + uint32(d)
			continue
		}
		block := card / blockSize
		if line, ok := t.blocks.find(block); ok {
			at[i] = line + uint32(card-block*blockSize)
			continue
		}
		at[i] = None
		strays++
	}
	if strays > 0 && t.strays.n > 0 {
		t.findStrays(cards, n, at)
	}
}

// Few is how many lines are best asked for at once: a processor waits for about
// a dozen together, and does nothing else when it is asked for more. Between a
// few and the next there is time to judge those that came.
const Few = 8

// Prefetch has the lines of the Few places from at[from] on fetched.
func (t *Table) Prefetch(at *Places, from int) {
	prefetch(t.lines.base, &at[from&(Width-Few)], Few, lineShift)
}

// lineShift and slotShift are the sizes of lines and slots as powers of two.
const (
	lineShift = 6
	slotShift = 3
)

// findStrays looks up what no block has: the slots are fetched together, then
// the lines.
func (t *Table) findStrays(cards *Cards, n int, at *Places) {
	var which [Width]uint8
	var slots Places
	m := 0
	for i, card := range cards[:n] {
		if at[i] == None {
			which[m], slots[m] = uint8(i), uint32(t.strays.home(hash(card)))
			m++
		}
	}
	prefetch(t.strays.own.base, &slots[0], uint64(m), slotShift)
	// The first slot of the right hash is nearly always the card's: its line is
	// fetched before it is looked at.
	for j := range m {
		slots[j] = t.strays.guess(cards[which[j]])
	}
	prefetch(t.lines.base, &slots[0], uint64(m), lineShift)
	for j := range m {
		at[which[j]] = t.strays.get(cards[which[j]], &t.lines)
	}
}

// guess returns the place that the first slot of the card's hash names.
func (s *strays) guess(card uint64) uint32 {
	h := hash(card)
	for slot := s.home(h); ; {
		e := s.slots[slot]
		if e == 0 {
			return None
		}
		if e>>32 == h {
			return uint32(e) - 1
		}
		if slot++; slot == uint64(len(s.slots)) {
			slot = 0
		}
	}
}
