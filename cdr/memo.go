package cdr

// memo remembers the keys of texts of at most fifteen characters: of a fleet's
// devices most speak to the same few servers by the same few access points.
type memo[K uint32 | uint64] struct {
	of [256]struct {
		lo, hi uint64
		key    K
	}
}

// find returns where the key of a text is to be kept, and whether it is. A
// text is its characters, as text16 gives them, and in the lowest byte of hi, which
// none of them takes, how many there are: they are never both zero.
func (m *memo[K]) find(lo, hi uint64) (*K, bool) {
	k := &m.of[(lo^hi*0x9e3779b97f4a7c15)*0x9e3779b97f4a7c15>>56]
	if k.lo == lo && k.hi == hi {
		return &k.key, true
	}
	k.lo, k.hi = lo, hi
	return &k.key, false
}
