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
			if most := n + n/(SeenAges-1) + SeenAges; s.Len() > most {
				t.Fatalf("%d keys are kept, want at most %d", s.Len(), most)
			}
		}
		if most := uint64(21*n + 21*1024); s.Bytes() > most {
			t.Errorf("%d keys take %d bytes, want at most %d", n, s.Bytes(), most)
		}
		next := NewSeen(n)
		s.Each(next.Load)
		if next.Len() != s.Len() {
			t.Fatalf("of %d keys %d were loaded", s.Len(), next.Len())
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

// TestSeen_isItsModel compares with a list: of each generation, exactly.
func TestSeen_isItsModel(t *testing.T) {
	for _, n := range []int{1, 2, 7, 50, 3000} {
		r := rand.New(rand.NewPCG(uint64(n), 7))
		s := NewSeen(n)
		each := max((n+SeenAges-2)/(SeenAges-1), 1)
		of := map[uint64]int{} // generation of each key
		gen, count := 0, 0
		var all []uint64
		for i := range 40_000 + 100*n { // more than 256 generations
			k := r.Uint64() | 1
			if len(all) > 0 && i%3 == 0 {
				k = all[max(0, len(all)-1-r.IntN(2*n+3))]
			}
			if count == each {
				gen, count = gen+1, 0
			}
			g, was := of[k]
			known := was && gen-g < SeenAges
			if s.Add(k) == known {
				t.Fatalf("n %d, step %d: a key of generation %d in %d: known %v", n, i, g, gen, !known)
			}
			if !known {
				of[k] = gen
				all = append(all, k)
				count++
			}
		}
		kept := map[uint64]int{}
		s.Each(func(k uint64, age int) { kept[k] = age })
		if len(kept) != s.Len() {
			t.Fatalf("%d keys are counted, %d are kept", s.Len(), len(kept))
		}
		for k, age := range kept {
			if of[k] != gen-age {
				t.Fatalf("n %d: a key of generation %d in %d is of age %d", n, of[k], gen, age)
			}
		}
		for k, g := range of {
			if _, ok := kept[k]; ok != (gen-g < SeenAges) {
				t.Fatalf("n %d: a key of generation %d in %d: kept %v", n, g, gen, ok)
			}
		}
	}
}

// A table of a few lines is full of keys that others sent on.
func TestSeen_linesOverflow(t *testing.T) {
	const n = 700
	s := NewSeen(n)
	var all []uint64
	for i := range 5 * n {
		k := uint64(i%3)<<62 | uint64(i)<<8 | 1 // three homes
		if !s.Add(k) {
			t.Fatal("a new key was taken for an old one")
		}
		all = append(all, k)
		for _, k := range all[max(0, len(all)-n):] {
			if s.Add(k) {
				t.Fatalf("step %d: one of the newest was forgotten", i)
			}
		}
	}
}
