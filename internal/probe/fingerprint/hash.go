package fingerprint

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Hash is how a page's icon is known to people who search for devices: the
// 32-bit Murmur3 hash, as a signed number, of its base64 in lines of 76
// characters.
func Hash(icon []byte) string {
	enc := base64.StdEncoding.EncodeToString(icon)
	lines := make([]byte, 0, len(enc)+len(enc)/76+1)
	for len(enc) > 0 {
		n := min(76, len(enc))
		lines = append(append(lines, enc[:n]...), '\n')
		enc = enc[n:]
	}
	return strconv.Itoa(int(int32(murmur3(lines))))
}

// murmur3 is the 32-bit variant, seed 0.
func murmur3(b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	h, n := uint32(0), len(b)
	for ; len(b) >= 4; b = b[4:] {
		k := bits.RotateLeft32(binary.LittleEndian.Uint32(b)*c1, 15) * c2
		h = bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64
	}
	var k uint32
	for i := len(b) - 1; i >= 0; i-- {
		k = k<<8 | uint32(b[i])
	}
	h ^= bits.RotateLeft32(k*c1, 15) * c2
	h ^= uint32(n)
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
