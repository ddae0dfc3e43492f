package ports

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func TestPutSYN(t *testing.T) {
	var buf [synLength]byte
	for _, a := range []string{"10.0.0.1", "fd00::1"} {
		src, dst := netip.MustParseAddr(a), netip.MustParseAddr(a).Next()
		b := putSYN(buf[:], src, dst, 4242, 80, 0xdeadbeef)
		if checksum(b, src, dst) != 0 { // a whole segment sums to nothing
			t.Errorf("%s: checksum is wrong: %x", a, b)
		}
		if r, ok := parseReply(b, false); !ok || r.from != 4242 || r.to != 80 || r.flags != flagSYN {
			t.Errorf("%s: reads back as %+v, %v", a, r, ok)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	ip := append([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, make([]byte, 20)...)
	f.Add(ip, true)
	f.Add(ip[20:], false)
	f.Fuzz(func(t *testing.T, b []byte, v4 bool) {
		r, ok := parseReply(b, v4)
		if ok && !v4 && r.from != binary.BigEndian.Uint16(b) {
			t.Fatal(r)
		}
	})
}
