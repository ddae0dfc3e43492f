package components

import (
	"fmt"
	"math"
)

// automaton finds every occurrence of every literal in one pass over a stream
// (Aho and Corasick, CACM 18(6), 1975), as a dense table: one load a byte,
// however many literals there are. Bytes that no literal has share a column,
// which keeps the table within a core's cache; states at which a literal ends
// are numbered last, so that the inner loop compares with one number.
//
// It is own code because the scan is streamed: the state has to outlive the
// window, which the maintained libraries for this do not offer.
type automaton struct {
	class   [256]uint8
	columns int
	next    []uint16 // state*columns + class
	final   uint16   // the first state at which a literal ends
	ends    [][]uint16
}

// newAutomaton builds the automaton over literals; the numbers it reports are
// their places in that list.
func newAutomaton(literals []string) (*automaton, error) {
	a := &automaton{columns: 1}
	for _, l := range literals {
		if l == "" {
			return nil, fmt.Errorf("a literal is empty")
		}
		for i := range len(l) {
			if a.class[l[i]] == 0 {
				if a.columns == math.MaxUint8 {
					return nil, fmt.Errorf("the literals use more than 254 byte values")
				}
				a.class[l[i]] = uint8(a.columns)
				a.columns++
			}
		}
	}

	// The trie, then its failure links breadth first, with the table filled
	// in as each state is left.
	type node struct {
		next map[uint8]int
		fail int
		ends []uint16
	}
	trie := []node{{next: map[uint8]int{}}}
	for n, l := range literals {
		at := 0
		for i := range len(l) {
			c := a.class[l[i]]
			to, ok := trie[at].next[c]
			if !ok {
				to = len(trie)
				trie = append(trie, node{next: map[uint8]int{}})
				trie[at].next[c] = to
			}
			at = to
		}
		trie[at].ends = append(trie[at].ends, uint16(n))
	}
	if len(trie) > math.MaxUint16 {
		return nil, fmt.Errorf("the literals need %d states; %d fit", len(trie), math.MaxUint16)
	}
	table := make([]int, len(trie)*a.columns)
	order := []int{0}
	for i := 0; i < len(order); i++ {
		at := order[i]
		for c := range a.columns {
			to, ok := trie[at].next[uint8(c)]
			switch {
			case !ok && at == 0:
				to = 0
			case !ok:
				to = table[trie[at].fail*a.columns+c]
			default:
				if at != 0 {
					trie[to].fail = table[trie[at].fail*a.columns+c]
				}
				trie[to].ends = append(trie[to].ends, trie[trie[to].fail].ends...)
				order = append(order, to)
			}
			table[at*a.columns+c] = to
		}
	}

	// Renumber: states that end nothing first. The root stays 0.
	number := make([]uint16, len(trie))
	n := 0
	for _, quiet := range []bool{true, false} {
		if !quiet {
			a.final = uint16(n)
		}
		for _, at := range order {
			if (len(trie[at].ends) == 0) == quiet {
				number[at] = uint16(n)
				if !quiet {
					a.ends = append(a.ends, trie[at].ends)
				}
				n++
			}
		}
	}
	a.next = make([]uint16, len(table))
	for at := range trie {
		for c := range a.columns {
			a.next[int(number[at])*a.columns+c] = number[table[at*a.columns+c]]
		}
	}
	return a, nil
}

// feed runs the automaton over p from a state, calls hit with each literal
// and the index in p of its last byte, and returns the state it ends in.
func (a *automaton) feed(state uint16, p []byte, hit func(literal uint16, last int)) uint16 {
	next, class, columns, final := a.next, &a.class, a.columns, a.final
	for i, b := range p {
		state = next[int(state)*columns+int(class[b])]
		if state >= final {
			for _, l := range a.ends[state-final] {
				hit(l, i)
			}
		}
	}
	return state
}
