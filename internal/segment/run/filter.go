package run

import (
	"math"
	"net/netip"
	"strings"
)

// Key is the place of a row among all: by start, frame and record.
type Key struct {
	Start  int64 // microseconds
	Frame  uint64
	Record int
}

// Less reports whether k is before l: older.
func (k Key) Less(l Key) bool {
	if k.Start != l.Start {
		return k.Start < l.Start
	}
	if k.Frame != l.Frame {
		return k.Frame < l.Frame
	}
	return k.Record < l.Record
}

// Filter says which rows are asked for. Org is needed; zero fields ask for all.
type Filter struct {
	Org      string
	Device   string // "" = all
	From, To int64  // microseconds: ended at or after, started before; To 0 = all
	Verdict  int    // -1 = all
	Remote   netip.Prefix
	Name     string // exact, or "*.example" for all below
	Port     int    // of the service; -1 = all
	Proto    int    // -1 = all
	Reason   string
	Term     string
	Gateway  string
	// Frames below Oldest are gone; those from Newest on are not asked for (0 = all are).
	Oldest, Newest uint64
	Before         *Key // rows older than this
}

// chunk is how many rows are looked at together.
const chunk = 16 << 10

// pick is a set of codes.
type pick struct {
	lo, hi uint64 // from, to before
	bits   []uint64
}

func (p *pick) has(v uint64) bool {
	if p.bits != nil {
		return v>>6 < uint64(len(p.bits)) && p.bits[v>>6]>>(v&63)&1 == 1
	}
	return v >= p.lo && v < p.hi
}

func (p *pick) add(v uint32) {
	for len(p.bits) <= int(v>>6) {
		p.bits = append(p.bits, 0)
	}
	p.bits[v>>6] |= 1 << (v & 63)
}

// want is what is asked of a dictionary: texts from lo to hi, both included,
// or those that match.
type want struct {
	lo, hi string
	match  func(text string) bool
}

func (w *want) fits(text string) bool {
	if w.match != nil {
		return w.match(text)
	}
	return text >= w.lo && text <= w.hi
}

// source is where rows are looked for: a run or a builder.
type source interface {
	column(c, from, to int, dst []uint64) ([]uint64, error)
	pick(dict int, w *want) (p pick, any bool, err error)
}

// colDevice is a column of builders alone: runs are sorted by it.
const colDevice = columns

// test keeps the rows whose value in a column, as far as mask shows it, is picked.
type test struct {
	col  int
	mask uint64
	pick
}

// all keeps the rows of a chunk that pass.
func (t *test) all(sel []int32, vals []uint64) []int32 {
	sel = sel[:len(vals)]
	n := 0
	if t.bits == nil {
		width := t.hi - t.lo
		for i, v := range vals {
			sel[n] = int32(i)
			if v&t.mask-t.lo < width {
				n++
			}
		}
		return sel[:n]
	}
	for i, v := range vals {
		if t.has(v & t.mask) {
			sel[n] = int32(i)
			n++
		}
	}
	return sel[:n]
}

// some keeps those of a selection that pass.
func (t *test) some(sel []int32, vals []uint64) []int32 {
	kept := sel[:0]
	for _, i := range sel {
		if t.has(vals[i] & t.mask) {
			kept = append(kept, i)
		}
	}
	return kept
}

// wants returns what a filter asks of dictionaries.
func (f *Filter) wants() map[int]*want {
	out := map[int]*want{}
	exact := func(col int, text string) {
		if text != "" {
			out[col] = &want{lo: text, hi: text}
		}
	}
	exact(colReason, f.Reason)
	exact(colTerm, f.Term)
	exact(colGateway, f.Gateway)
	if below, ok := strings.CutPrefix(f.Name, "*"); ok {
		out[colName] = &want{match: func(t string) bool { return strings.HasSuffix(strings.ToLower(t), below) && len(t) > len(below) }}
	} else {
		exact(colName, f.Name)
	}
	if f.Remote.IsValid() {
		out[colRemote] = prefixWant(f.Remote)
	}
	return out
}

// prefixWant returns the keys of all addresses of a prefix.
func prefixWant(p netip.Prefix) *want {
	p = p.Masked()
	lo := remoteKey(nil, p.Addr())
	hi := append([]byte(nil), lo...)
	bits := p.Bits()
	if p.Addr().Is4In6() {
		bits = max(0, bits-96)
	}
	for i := range hi[1:] {
		if keep := bits - 8*i; keep <= 0 {
			hi[1+i] = 0xff
		} else if keep < 8 {
			hi[1+i] |= 0xff >> keep
		}
	}
	return &want{lo: string(lo), hi: string(hi)}
}

// tests returns the tests of a filter on the rows of a source, those of
// dictionaries first, and whether any row can pass. From is of the end of a
// flow and is tested by the scanner.
func (f *Filter) tests(src source) (tests []test, any bool, err error) {
	const all = math.MaxUint64
	wants := f.wants()
	for col := range columns {
		w := wants[col]
		if w == nil {
			continue
		}
		p, any, err := src.pick(dictOf[col], w)
		if err != nil || !any {
			return nil, false, err
		}
		tests = append(tests, test{col, all, p})
	}
	number := func(col, v int, mask uint64) {
		if v >= 0 {
			tests = append(tests, test{col, mask, pick{lo: uint64(v), hi: uint64(v) + 1}})
		}
	}
	number(colFlags, f.Verdict, flagsVerdict)
	number(colProto, f.Proto, all)
	number(colPort, f.Port, all)
	if f.Oldest > 0 || f.Newest > 0 {
		hi := f.Newest
		if hi == 0 {
			hi = all
		}
		if hi <= f.Oldest {
			return nil, false, nil
		}
		tests = append(tests, test{colFrame, all, pick{lo: f.Oldest, hi: hi}})
	}
	if f.To != 0 || f.Before != nil {
		hi := uint64(math.MaxInt64)
		if f.To != 0 {
			hi = uint64(max(f.To, 0))
		}
		if f.Before != nil {
			hi = min(hi, uint64(f.Before.Start)+1)
		}
		tests = append(tests, test{colStart, all, pick{hi: hi}})
	}
	return tests, true, nil
}

// overlaps reports whether rows of these times can pass.
func (f *Filter) overlaps(first, last int64) bool {
	return last >= f.From && (f.To == 0 || first < f.To) && (f.Before == nil || first <= f.Before.Start)
}
