package gen

import "math"

// chance draws numbers that depend on nothing but the seed and what they are
// for: the same question always has the same answer, whoever asks, in whatever
// order. So nothing that a card does need be remembered.
type chance struct {
	seed   uint64
	normal [4096]float32 // quantiles of the normal distribution
}

func newChance(seed uint64) *chance {
	c := &chance{seed: mix(seed ^ 0x52_69_6e_67_77_61_6c_6c)}
	for i := range c.normal {
		p := (float64(i) + 0.5) / float64(len(c.normal))
		c.normal[i] = float32(math.Sqrt2 * math.Erfinv(2*p-1))
	}
	return c
}

// mix is the finaliser of SplitMix64: every bit of the answer depends on every
// bit of x.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// What a draw is for. Each has its own stream of chances.
const (
	forCity = iota + 1
	forCell
	forRoad
	forCustomer
	forHome
	forSpread
	forVolume
	forNight
	forWeather
	forClip
	forLive
	forServe
	forDown
	forTrip
	forSkip
	forSMS
	forCall
	forWave
	forNode
	forSkew
	forFile
	forOutage
	forStory
	forMisuse
	forJitter
	forPeer
	forSoftware
	forReplan
	forEdge
)

// at draws 64 bits for one purpose about a and b.
func (c *chance) at(purpose int, a, b uint64) uint64 {
	return mix(c.seed + uint64(purpose)*0x9e3779b97f4a7c15 + mix(a*0xd6e8feb86659fd93+b))
}

// unit is h as a number from 0 to less than 1.
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// hit reports whether h is among the share p of all draws.
func hit(h uint64, p float64) bool { return unit(h) < p }

// within is h as a number from 0 to n-1.
func within(h uint64, n int) int { return int(h >> 33 * uint64(n) >> 31) }

// gauss is h as a draw from the normal distribution.
func (c *chance) gauss(h uint64) float64 { return float64(c.normal[h>>52]) }

// around is h as a draw about the middle m, with the spread s of its logarithm:
// sizes of things that are never negative and sometimes large.
func (c *chance) around(h uint64, m, s float64) float64 { return m * math.Exp(s*c.gauss(h)) }

// poisson is h as a draw from the Poisson distribution of mean m.
func (c *chance) poisson(h uint64, m float64) int {
	if m <= 0 {
		return 0
	}
	if m > 30 {
		return max(0, int(math.Round(m+math.Sqrt(m)*c.gauss(h))))
	}
	p := math.Exp(-m)
	u, sum, n := unit(h), p, 0
	for u > sum && n < 200 {
		n++
		p *= m / float64(n)
		sum += p
	}
	return n
}
