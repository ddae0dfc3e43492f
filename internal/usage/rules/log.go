package rules

import "math"

// Volumes and times vary over many orders of magnitude and are judged by how
// many times one is another. They are kept as logarithms of base two, linear
// between powers of two: the high bits of a floating-point number are just that.
// All arithmetic is on whole numbers, so that every machine gets the same.

// octave is a factor of two.
const octave = 1 << 10

// lg is the logarithm of v in 1/1024; of less than 2 bytes it is 0.
func lg(v float32) uint16 {
	if v < 2 {
		return 0
	}
	return uint16(min(math.Float32bits(v)>>13-127*octave, 1<<16-1))
}

// unlg is the inverse of lg.
func unlg(l uint16) float64 {
	if l == 0 {
		return 0
	}
	return float64(math.Float32frombits((uint32(l) + 127*octave) << 13))
}

// octave8 is a factor of two in a code8.
const octave8 = 8

// code8 is the logarithm of whole seconds in 1/8, rounded down; 0 and 1 are 0.
func code8(seconds uint32) uint8 {
	if seconds < 2 {
		return 0
	}
	return uint8(math.Float32bits(float32(seconds))>>20 - 127*octave8)
}

// code8Seconds is the least number of seconds that has this code.
func code8Seconds(c uint8) uint32 {
	if c == 0 {
		return 0
	}
	v := math.Float32frombits((uint32(c) + 127*octave8) << 20)
	return uint32(min(float64(v), math.MaxUint32))
}

func bits32(f float32) uint32      { return math.Float32bits(f) }
func float32From(b uint32) float32 { return math.Float32frombits(b) }
