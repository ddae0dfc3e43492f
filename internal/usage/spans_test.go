package usage

import (
	"math/rand/v2"
	"testing"
)

// TestSpans compares with what was said of each number.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		var s spans
		var want [100]int
		for n := range 1 + r.IntN(20) {
			first := r.IntN(100)
			size := 1 + r.IntN(100-first)
			s = s.put(span{uint64(first), uint64(size), uint32(n)})
			for i := range size {
				want[first+i] = n + 1
			}
		}
		for i, w := range want {
			got, ok := s.find(uint64(i))
			if ok != (w > 0) || ok && int(got) != w-1 {
				t.Fatalf("of %d find says %d, %v; want %d: %v", i, got, ok, w-1, s)
			}
		}
		for i := 1; i < len(s); i++ {
			if s[i-1].first+s[i-1].n > s[i].first || s[i].n == 0 {
				t.Fatalf("%v are not apart", s)
			}
		}
		if _, ok := s.find(1000); ok {
			t.Fatal("what was not announced is found")
		}
	}
}
