package rules

import (
	"encoding/binary"

	"github.com/ringwall/ringwall"
)

// Side keeps what only some cards need, in blocks of 16 bytes chained to their
// lines: the home and neighbour cells of a device that does not move, counts of
// calls and messages, the equipment of a card that is away, what came out of
// order. It is bounded; when it is full what would be kept is not, Full counts it, and what then is unknown
// is not judged.
//
// A Side belongs to the goroutine of its lines. Blocks have numbers that are of
// no meaning elsewhere: Line.AppendState gives a form that has.
type Side struct {
	chunks []*[chunk]block
	free   uint32 // first free block; 0 = none
	next   uint32 // first that was never used
	most   uint32
	kinds  [kinds]uint64
	full   uint64
}

const chunk = 1 << 12 // 64 KiB

// MaxSide is the most blocks that a Side may have: their numbers have 28 bits.
const MaxSide = 1<<28 - 1

// block is a head (kind in the high 4 bits, number of the next below) and 12
// bytes.
type block struct {
	head uint32
	w    [3]uint32
}

// Kinds of blocks.
const (
	kindFree    = iota
	kindHome    // home place, home spot, strange records and moves
	kindCells   // three neighbour cells
	kindForeign // equipment that is not the bound one, and changes of it
	kindCalls   // calls and messages of an hour and a day
	kindQuota   // use of a month
	kindLife    // since when the card may not be used
	kindFormer  // equipment before a planned swap, and when that was

	// What came out of order, late or ahead of the clock, and what was counted last
	// before what is counted now.
	kindCallsAside // as kindCalls
	kindQuotaAside // as kindQuota
	kindHourAside  // bytes of an hour
	kinds
)

const nextMask = 1<<28 - 1

func (b *block) kind() uint32 { return b.head >> 28 }

// equipment of a kindForeign or kindFormer.
func (b *block) equipment() uint64 { return uint64(b.w[0]) | uint64(b.w[1]&0x7fff)<<32 }

// NewSide returns an empty Side of at most most blocks; 0 = MaxSide.
func NewSide(most int) *Side {
	if most <= 0 || most > MaxSide {
		most = MaxSide
	}
	return &Side{most: uint32(most), next: 1}
}

func (s *Side) at(i uint32) *block { return &s.chunks[i/chunk][i%chunk] }

// find returns the block of a kind; nil = there is none.
func (s *Side) find(l *Line, kind uint32) *block {
	for i := l.side; i != 0; {
		b := s.at(i)
		if b.kind() == kind {
			return b
		}
		i = b.head & nextMask
	}
	return nil
}

// take returns the block of a kind and makes it, all zero, if there is none. nil
// = the Side is full.
func (s *Side) take(l *Line, kind uint32) *block {
	if b := s.find(l, kind); b != nil {
		return b
	}
	return s.add(l, kind)
}

// add makes one more block of a kind. nil = the Side is full.
func (s *Side) add(l *Line, kind uint32) *block {
	i := s.free
	switch {
	case i != 0:
		s.free = s.at(i).head & nextMask
	case s.next > s.most:
		s.full++
		return nil
	default:
		i = s.next
		if int(i/chunk) == len(s.chunks) {
			s.chunks = append(s.chunks, new([chunk]block))
		}
		s.next++
	}
	b := s.at(i)
	*b = block{head: kind<<28 | l.side}
	l.side = i
	s.kinds[kind]++
	return b
}

// drop gives the blocks of a kind back.
func (s *Side) drop(l *Line, kind uint32) {
	link := &l.side
	for i := l.side; i != 0; {
		b := s.at(i)
		next := b.head & nextMask
		if b.kind() != kind {
			link, i = &b.head, next
			continue
		}
		*link = *link&^nextMask | next
		s.kinds[kind]--
		*b = block{head: s.free}
		s.free, i = i, next
	}
}

// Drop gives back all that a card has, because it is forgotten.
func (s *Side) Drop(l *Line) {
	for i := l.side; i != 0; {
		b := s.at(i)
		next := b.head & nextMask
		s.kinds[b.kind()]--
		*b = block{head: s.free}
		s.free, i = i, next
	}
	l.side = 0
}

// SideStats tells how much a Side holds.
type SideStats struct {
	Homes   uint64 `json:"homes"`   // devices that do not move and are away
	Cells   uint64 `json:"cells"`   // blocks of three neighbour cells
	Foreign uint64 `json:"foreign"` // cards that were in other equipment
	Calls   uint64 `json:"calls"`   // cards with calls or messages
	Quota   uint64 `json:"quota"`   // cards with a monthly cap
	Life    uint64 `json:"life"`    // cards that may not be used
	Former  uint64 `json:"former"`  // cards that were swapped as planned
	Aside   uint64 `json:"aside"`   // blocks of what came out of order
	Bytes   uint64 `json:"bytes"`   // of memory
	Full    uint64 `json:"full"`    // times that something was not kept
}

// Stats returns the counts.
func (s *Side) Stats() SideStats {
	return SideStats{
		Homes: s.kinds[kindHome], Cells: s.kinds[kindCells], Foreign: s.kinds[kindForeign], Calls: s.kinds[kindCalls],
		Quota: s.kinds[kindQuota], Life: s.kinds[kindLife], Former: s.kinds[kindFormer],
		Aside: s.kinds[kindCallsAside] + s.kinds[kindQuotaAside] + s.kinds[kindHourAside], Bytes: uint64(len(s.chunks)) * chunk * 16, Full: s.full,
	}
}

var errCut = ringwall.Errorf(ringwall.Unverified, "the state of a card is cut off or no such state")

// maxBlocks bounds the blocks of one card.
const maxBlocks = kinds + maxCells/3

// appendCard appends the blocks of a card, in the order of their kinds.
func (s *Side) appendCard(b []byte, l *Line) []byte {
	at := len(b)
	b = append(b, 0)
	for kind := uint32(1); l.side != 0 && kind < kinds; kind++ {
		for i := l.side; i != 0; {
			bl := s.at(i)
			if bl.kind() == kind {
				b[at]++
				b = append(b, byte(kind))
				for _, w := range bl.w {
					b = binary.LittleEndian.AppendUint32(b, w)
				}
			}
			i = bl.head & nextMask
		}
	}
	return b
}

// loadCard reads what appendCard wrote.
func (s *Side) loadCard(b []byte, l *Line) ([]byte, error) {
	if len(b) < 1 || int(b[0]) > maxBlocks || len(b) < 1+13*int(b[0]) {
		return nil, errCut
	}
	n := int(b[0])
	list, rest := b[1:1+13*n], b[1+13*n:]
	// A block is put before those that are there: the last comes first.
	for i := n - 1; i >= 0; i-- {
		p := list[13*i:]
		kind := uint32(p[0])
		if kind == kindFree || kind >= kinds || kind != kindCells && s.find(l, kind) != nil {
			s.Drop(l)
			return nil, errCut
		}
		bl := s.add(l, kind)
		if bl == nil {
			continue // full, and counted
		}
		for j := range bl.w {
			bl.w[j] = binary.LittleEndian.Uint32(p[1+4*j:])
		}
	}
	return rest, nil
}
