package usage

// recent remembers at least the newest n keys, in two generations: when the
// young one is full it becomes the old one, and the old one is dropped.
type recent struct {
	n          int
	young, old map[uint64]struct{}
}

func newRecent(n int) *recent {
	return &recent{n: n, young: map[uint64]struct{}{}, old: map[uint64]struct{}{}}
}

// add remembers k and reports whether it is new.
func (r *recent) add(k uint64) bool {
	if r.n <= 0 {
		return true
	}
	if _, ok := r.young[k]; ok {
		return false
	}
	_, known := r.old[k]
	if len(r.young) >= r.n {
		r.old, r.young = r.young, make(map[uint64]struct{}, r.n)
	}
	r.young[k] = struct{}{}
	return !known
}
