package usage

import "slices"

// spans are announced ranges, sorted and apart: of a number that was announced
// twice, the later word counts.
type spans []span

type span struct {
	first, n uint64
	settings uint32
}

// put says what holds for the numbers of a range.
func (s spans) put(r span) spans {
	end := r.first + r.n
	// Those from i to j touch the range.
	i, _ := slices.BinarySearchFunc(s, r.first, func(o span, at uint64) int {
		if o.first+o.n <= at {
			return -1
		}
		return 1
	})
	j := i
	var parts []span
	for ; j < len(s) && s[j].first < end; j++ {
		o := s[j]
		if o.first < r.first {
			parts = append(parts, span{o.first, r.first - o.first, o.settings})
		}
		if o.first+o.n > end {
			parts = append(parts, r, span{end, o.first + o.n - end, o.settings})
			return slices.Replace(s, i, j+1, parts...)
		}
	}
	return slices.Replace(s, i, j, append(parts, r)...)
}

// find returns the settings of a number that was announced.
func (s spans) find(card uint64) (settings uint32, ok bool) {
	i, _ := slices.BinarySearchFunc(s, card, func(o span, at uint64) int {
		if o.first+o.n <= at {
			return -1
		}
		return 1
	})
	if i == len(s) || card < s[i].first {
		return 0, false
	}
	return s[i].settings, true
}
