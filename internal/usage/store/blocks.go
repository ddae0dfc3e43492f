package store

// blocks says where the lines of a block of 10,000 numbers begin. An entry is 8
// bytes, the number of the block above and its place in the slab below, so that
// the 10,000 blocks of 100 million cards are 512 KiB.
type blocks struct {
	slots []uint64 // 0 = empty; a power of two, at most a quarter full: most searches end at once
	shift uint
	n     int
}

// placeBits leaves 38 bits for the number of a block: 2e15 / 10,000 are 37.6.
const (
	placeBits = 26
	placeMask = 1<<placeBits - 1
	// maxKey is above every card's key: 15 digits with a 1 before them.
	maxKey = 1 << 38 * blockSize
)

// mix spreads: multiplicative hashing by 2^64 over the golden ratio.
const mix = 0x9e3779b97f4a7c15

// find returns the place of the first line of a block.
func (b *blocks) find(block uint64) (first uint32, ok bool) {
	if len(b.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(b.slots) - 1)
	i := block * mix >> b.shift
	for {
		e := b.slots[i&mask]
		if e>>placeBits == block {
			return uint32(e&placeMask-1) * blockSize, e != 0 // an empty slot looks like block 0, which holds no card
		}
		if e == 0 {
			return 0, false
		}
		i++
	}
}

// put notes where a block that is not there yet begins.
func (b *blocks) put(block uint64, first uint32) {
	if 4*(b.n+1) > len(b.slots) {
		old := b.slots
		b.slots = make([]uint64, max(16, 2*len(old)))
		b.shift = 64
		for n := len(b.slots); n > 1; n >>= 1 {
			b.shift--
		}
		for _, e := range old {
			if e != 0 {
				b.insert(e)
			}
		}
	}
	b.n++
	b.insert(block<<placeBits | uint64(first/blockSize+1))
}

func (b *blocks) insert(e uint64) {
	i := e >> placeBits * mix >> b.shift
	for ; b.slots[i&uint64(len(b.slots)-1)] != 0; i++ {
	}
	b.slots[i&uint64(len(b.slots)-1)] = e
}

// all calls f for every block.
func (b *blocks) all(f func(block uint64, first uint32)) {
	for _, e := range b.slots {
		if e != 0 {
			f(e>>placeBits, uint32(e&placeMask-1)*blockSize)
		}
	}
}

func (b *blocks) bytes() uint64 { return uint64(len(b.slots)) * 8 }
