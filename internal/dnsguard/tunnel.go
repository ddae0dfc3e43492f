package dnsguard

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"
)

// A name below a wildcard that a device owns, or that its server counts, carries
// data out: each question brings new octets to whoever answers for the domain.
// What is paid for is novelty: a name costs its octets below the wildcard, the
// first time; a name of the last noveltyKept costs nothing, so that the same
// names may be asked for for ever. Names that look like data (long and of high
// entropy) cost more.
const (
	noveltyBurst  = 4096 // octets: some 200 host names of a delivery network at once
	noveltyPerSec = 2    // octets a second thereafter: 16 bits
	noveltyKept   = 512  // names of one device and domain that are remembered
	// dataFactor is how much dearer a label is that looks like data: at least
	// dataLabel octets of at least dataEntropy bits each. Host names of 30 letters
	// have some 3.6; base32 and hex of that length have 4 or nearly.
	dataFactor  = 4
	dataLabel   = 20
	dataEntropy = 3.75
	// maxTunnels bounds the pairs of device and domain that are watched.
	maxTunnels = 16384
)

// tunnels watches how many new octets each device asks below each wildcard.
type tunnels struct {
	now  func() time.Duration
	seed maphash.Seed

	mu sync.Mutex
	by map[tunnelKey]*novelty
}

type tunnelKey struct {
	device uint64
	base   string
}

type novelty struct {
	left float64
	at   time.Duration
	seen map[uint32]struct{}
	ring []uint32
	next int
}

// take reports whether the device may ask for one more name below base.
func (t *tunnels) take(device uint64, base, name string) bool {
	if base == "" || len(name) <= len(base)+1 {
		return true
	}
	hash := uint32(maphash.String(t.seed, name))
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.by == nil {
		t.by = map[tunnelKey]*novelty{}
	}
	k := tunnelKey{device, base}
	n := t.by[k]
	if n == nil {
		if len(t.by) >= maxTunnels {
			for k, v := range t.by { // whoever has its burst again starts afresh
				if now-v.at > noveltyBurst/noveltyPerSec*time.Second {
					delete(t.by, k)
				}
			}
			if len(t.by) >= maxTunnels {
				return false
			}
		}
		n = &novelty{left: noveltyBurst, at: now, seen: map[uint32]struct{}{}}
		t.by[k] = n
	}
	if _, known := n.seen[hash]; known {
		return true
	}
	n.left = min(noveltyBurst, n.left+(now-n.at).Seconds()*noveltyPerSec)
	n.at = now
	cost := costOf(name[:len(name)-len(base)-1])
	if n.left < cost {
		return false
	}
	n.left -= cost
	n.seen[hash] = struct{}{}
	if len(n.ring) < noveltyKept {
		n.ring = append(n.ring, hash)
		return true
	}
	delete(n.seen, n.ring[n.next])
	n.ring[n.next] = hash
	n.next = (n.next + 1) % noveltyKept
	return true
}

func costOf(labels string) float64 {
	cost := 0.0
	for l := range strings.SplitSeq(labels, ".") {
		c := float64(len(l) + 1)
		if len(l) >= dataLabel && entropy(l) >= dataEntropy {
			c *= dataFactor
		}
		cost += c
	}
	return cost
}

// entropy returns the bits of one octet of s, by how often each occurs in it.
func entropy(s string) float64 {
	var count [256]int
	for i := range len(s) {
		count[s[i]]++
	}
	h := 0.0
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

// domainOf returns what stands in for a wildcard where none limits a device: the
// last two labels.
func domainOf(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return ""
	}
	if j := strings.LastIndexByte(name[:i], '.'); j >= 0 {
		return name[j+1:]
	}
	return name
}
