package store

import (
	"math/rand/v2"
	"testing"
)

func TestSeen_remembersTheNewest(t *testing.T) {
	for _, n := range []int{1, 10, 1000, 5000, 100_000, 200_000} {
		r := rand.New(rand.NewPCG(uint64(n), 1))
		s := NewSeen(n)
		var all []uint64
		for i := range 10 * min(n, 60_000) {
			k := r.Uint64() | 1
			if !s.Add(k) {
				t.Fatal("a new key was taken for an old one")
			}
			all = append(all, k)
			back := r.IntN(min(n, len(all)))
			if s.Add(all[len(all)-1-back]) {
				t.Fatalf("of %d keys, %d of them to be remembered, that of %d ago was forgotten", i+1, n, back)
			}
			if s.Len() > 2*(n+n/16) {
				t.Fatalf("%d keys are kept, want at most %d", s.Len(), 2*(n+n/16))
			}
		}
		if most := uint64(3 * (n + n/16 + 1024) * 8); s.Bytes() > most {
			t.Errorf("%d keys take %d bytes, want at most %d", n, s.Bytes(), most)
		}
		next := NewSeen(n)
		for _, old := range []bool{true, false} {
			for _, k := range s.AppendKeys(nil, old) {
				next.Load(k, old)
			}
		}
		for range 1000 {
			k := all[r.IntN(len(all))]
			if a, b := s.Add(k), next.Add(k); a != b {
				t.Fatalf("after it was loaded, Add says %v, want %v", b, a)
			}
		}
	}
	none := NewSeen(-1)
	for range 2 {
		if !none.Add(5) || none.Len() != 0 {
			t.Error("a Seen of none remembers")
		}
	}
}
