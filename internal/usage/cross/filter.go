package cross

import (
	"math"
	"math/bits"
)

// filter is a set that has all that was put into it, and says of a few others
// that it has them too: a Bloom filter, of which all bits of a member lie in one
// line of memory.
type filter struct {
	blocks [][8]uint64
	set    uint64 // bits
	probes int
}

const (
	blockBytes = 64
	blockBits  = 8 * blockBytes
)

func newFilter(size int64, probes int) filter {
	return filter{blocks: make([][8]uint64, max(size/blockBytes, 1)), probes: probes}
}

// walk gives the block of a member and its bits, one after another.
func (f *filter) walk(h uint64) (b *[8]uint64, g, next uint64) {
	at, _ := bits.Mul64(h<<16, uint64(len(f.blocks)))
	g = (h ^ h>>23) * 0x9e3779b97f4a7c15
	next = (g ^ g>>29) * 0xd6e8feb86659fd93
	return &f.blocks[at], g, next
}

// has reports whether a member (48 bits of a hash) was put in, or seems to be.
func (f *filter) has(h uint64) bool {
	if len(f.blocks) == 0 {
		return false
	}
	b, g, next := f.walk(h)
	for i := range f.probes {
		if i == 7 {
			g = next
		}
		if b[g>>61]>>(g>>55&63)&1 == 0 {
			return false
		}
		g <<= 9
	}
	return true
}

func (f *filter) add(h uint64) {
	b, g, next := f.walk(h)
	for i := range f.probes {
		if i == 7 {
			g = next
		}
		w, bit := &b[g>>61], uint64(1)<<(g>>55&63)
		if *w&bit == 0 {
			*w |= bit
			f.set++
		}
		g <<= 9
	}
}

func (f *filter) clear() {
	clear(f.blocks)
	f.set = 0
}

// full reports whether half of the bits are set: past that it errs more and more.
func (f *filter) full() bool { return f.set >= uint64(len(f.blocks))*blockBits/2 }

// members is how many there are, about.
func (f *filter) members() uint64 {
	if f.set == 0 {
		return 0
	}
	m := float64(len(f.blocks)) * blockBits
	return uint64(-m / float64(f.probes) * math.Log(max(1-float64(f.set)/m, 1/m)))
}

// errs is the share of what is not in it that it says it has, about.
func (f *filter) errs() float64 {
	if len(f.blocks) == 0 {
		return 0
	}
	return math.Pow(float64(f.set)/(float64(len(f.blocks))*blockBits), float64(f.probes))
}

func (f *filter) bytes() int64 { return int64(len(f.blocks)) * blockBytes }

// known is what was seen in this period or the one before. Each period has
// filters of its own, the next larger when the last is half full, up to a bound.
type known struct {
	eras   []era // oldest first
	most   int64 // bytes of a period
	period uint16
}

type era struct {
	period uint16
	f      filter
}

const (
	// periodDays is how long a period is: what is not seen for one to two of them is
	// forgotten. There are fleets that report once a month.
	periodDays  = 31
	knownProbes = 10
	firstEra    = 64 << 10 // bytes
	eraGrowth   = 8
)

// turn begins the period of a day, and forgets those before the last.
func (k *known) turn(day uint16) {
	p := day / periodDays
	if p <= k.period {
		return
	}
	k.period = p
	n := 0
	for n < len(k.eras) && k.eras[n].period+1 < p {
		n++
	}
	k.eras = append([]era(nil), k.eras[n:]...)
}

// find reports whether something is known, and from this period.
func (k *known) find(h uint64) (ok, now bool) {
	for i := len(k.eras) - 1; i >= 0; i-- {
		if e := &k.eras[i]; e.f.has(h) {
			return true, e.period == k.period
		}
	}
	return false, false
}

// room reports whether the period has room for all that comes, and not only for
// what tells most.
func (k *known) room() bool {
	n := len(k.eras)
	return n == 0 || k.eras[n-1].period != k.period || !k.eras[n-1].f.full() || k.next() > 0
}

// next is how large the next filter of the period may be; 0 = there is none.
func (k *known) next() int64 {
	var now, before, last int64
	for i := range k.eras {
		if e := &k.eras[i]; e.period == k.period {
			last = e.f.bytes()
			now += last
		} else {
			before += e.f.bytes()
		}
	}
	size := max(last*eraGrowth, firstEra)
	if last == 0 {
		size = max(size, before) // what was enough
	}
	if size = min(size, k.most-now); size < firstEra && last > 0 {
		return 0
	}
	return max(size, blockBytes)
}

func (k *known) add(h uint64) {
	n := len(k.eras)
	if n == 0 || k.eras[n-1].period != k.period || k.eras[n-1].f.full() {
		if size := k.next(); size > 0 {
			k.eras = append(k.eras, era{k.period, newFilter(size, knownProbes)})
			n++
		}
	}
	k.eras[n-1].f.add(h)
}

func (k *known) bytes() (n int64) {
	for i := range k.eras {
		n += k.eras[i].f.bytes()
	}
	return n
}

// errs is the share of what is new that is taken for known, about.
func (k *known) errs() float64 {
	right := 1.0
	for i := range k.eras {
		right *= 1 - k.eras[i].f.errs()
	}
	return 1 - right
}
