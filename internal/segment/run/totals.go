package run

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/ringwall/ringwall/flow"
)

// maxTalkers bounds how many devices, and how many other ends, are told apart;
// what is over is one more, without a name.
const maxTalkers = 200_000

// Hour sums one hour.
type Hour struct {
	Flows   [3]uint64 // by verdict
	Bytes   uint64
	Reasons map[string]uint64 // flows that were or would be refused
}

// Talker sums one device or one other end.
type Talker struct {
	Name                  string
	Flows, Refused, Bytes uint64
}

// Totals sums rows, of any number of sources.
type Totals struct {
	Hours   map[int64]*Hour // by hours since 1970
	Remotes bool            // other ends are asked for

	devices, remotes map[string]*Talker
}

// NewTotals returns empty totals.
func NewTotals(remotes bool) *Totals {
	return &Totals{Hours: map[int64]*Hour{}, Remotes: remotes, devices: map[string]*Talker{}, remotes: map[string]*Talker{}}
}

func (t *Totals) hour(h int64) *Hour {
	x := t.Hours[h]
	if x == nil {
		x = &Hour{Reasons: map[string]uint64{}}
		t.Hours[h] = x
	}
	return x
}

func talker(m map[string]*Talker, name []byte) *Talker {
	x := m[string(name)]
	if x == nil {
		s := string(name)
		if len(m) >= maxTalkers {
			s = ""
			if x = m[s]; x != nil {
				return x
			}
		}
		x = &Talker{Name: s}
		m[s] = x
	}
	return x
}

func (t *Talker) add(verdict uint8, flows, bytes uint64) {
	t.Flows += flows
	t.Bytes += bytes
	if flow.Verdict(verdict) == flow.Refused {
		t.Refused += flows
	}
}

func (h *Hour) add(verdict uint8, reason string, flows, bytes uint64) {
	h.Flows[verdict] += flows
	h.Bytes += bytes
	if flow.Verdict(verdict) != flow.Allowed {
		h.Reasons[reason] += flows
	}
}

// Devices returns the n devices with the most bytes.
func (t *Totals) Devices(n int) []Talker { return most(t.devices, n) }

// Far returns the n other ends with the most bytes, by their keys (Address).
func (t *Totals) Far(n int) []Talker { return most(t.remotes, n) }

func most(m map[string]*Talker, n int) []Talker {
	out := make([]Talker, 0, len(m))
	for _, x := range m {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Talker) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.Name, b.Name))
	})
	return out[:min(n, len(out))]
}

// summed reports whether the sums of a run answer f, which takes whole hours.
func (f *Filter) summed(t *Totals) bool {
	return !t.Remotes && !f.Remote.IsValid() && f.Name == "" && f.Port < 0 && f.Proto < 0 && f.Term == "" && f.Gateway == ""
}

// Totals adds the rows of the builder that f asks for to t. From and To are
// whole hours and mean starts.
func (b *Builder) Totals(f *Filter, t *Totals) error {
	tests, any, err := b.scope(f)
	if err != nil || !any {
		return err
	}
	texts := func(d int) func(uint32) ([]byte, error) {
		return func(c uint32) ([]byte, error) { return []byte(b.dicts[d].texts[c]), nil }
	}
	a := adder{s: newScanner(b, f, tests, len(b.device)), t: t, from: f.From, reason: texts(dictReason), remote: texts(dictRemote)}
	return a.rows(0, len(b.device), func(row int) ([]byte, error) {
		key := b.dicts[dictDevice].texts[b.device[row]]
		return []byte(key[len(f.Org)+1:]), nil
	})
}

// Totals adds the rows of the run that f asks for to t. From and To are whole
// hours and mean starts.
func (r *Run) Totals(f *Filter, t *Totals) error {
	if !r.MayHold(f) {
		return nil
	}
	return r.query(f, func(q *reader, s *scanner, from, to int, a, b uint32) error {
		if f.summed(t) && f.Oldest <= r.ft.First && (f.Newest == 0 || f.Newest >= r.ft.Next) {
			return q.sums(f, t, a, b)
		}
		ends := make([]uint32, 0, b-a)
		for d := a; d < b; d++ {
			n, err := q.number(r.ft.Starts + 4*uint64(d+1))
			if err != nil {
				return err
			}
			ends = append(ends, n)
		}
		d, at := -1, uint32(0) // the device of the row before, and its end
		var name []byte
		text := func(dict int) func(uint32) ([]byte, error) {
			return func(c uint32) ([]byte, error) { return q.text(dict, c) }
		}
		x := adder{s: s, t: t, from: f.From, reason: text(dictReason), remote: text(dictRemote)}
		return x.rows(from, to, func(row int) ([]byte, error) {
			if d >= 0 && uint32(row) < at {
				return name, nil
			}
			for d = max(d, 0); d < len(ends) && uint32(row) >= ends[d]; {
				d++
			}
			if d >= len(ends) {
				return nil, damaged("a row of no device")
			}
			at = ends[d]
			key, err := q.text(dictDevice, a+uint32(d))
			if err != nil || len(key) <= len(f.Org) {
				return nil, cmp.Or(err, damaged("a device's key"))
			}
			name = append(name[:0], key[len(f.Org)+1:]...)
			return name, nil
		})
	})
}

// adder adds rows to totals.
type adder struct {
	s              *scanner
	t              *Totals
	from           int64
	reason, remote func(code uint32) ([]byte, error)
	vals           [5][]uint64
	reasons        map[uint32]string
	far            map[uint32]*Talker // of this source
}

func (a *adder) rows(from, to int, device func(row int) ([]byte, error)) error {
	a.reasons, a.far = map[uint32]string{}, map[uint32]*Talker{}
	for i := range a.vals {
		a.vals[i] = make([]uint64, min(chunk, to-from))
	}
	for ; from < to; from += chunk {
		end := min(from+chunk, to)
		// Starts count here: an hour's flows are those that began in it.
		sel, starts, err := a.s.chunk(from, end, a.from)
		if err != nil {
			return err
		}
		if len(sel) == 0 {
			continue
		}
		for i, c := range [...]int{colFlags, colReason, colFlows, colUp, colDown} {
			if a.vals[i], err = a.s.src.column(c, from, end, a.vals[i]); err != nil {
				return err
			}
		}
		var remotes []uint64
		if a.t.Remotes {
			if remotes, err = a.s.src.column(colRemote, from, end, a.s.vals); err != nil {
				return err
			}
		}
		for _, i := range sel {
			name, err := device(from + int(i))
			if err != nil {
				return err
			}
			verdict, flows, bytes := uint8(a.vals[0][i]&flagsVerdict), a.vals[2][i], a.vals[3][i]+a.vals[4][i]
			reason, err := a.reasonOf(uint32(a.vals[1][i]))
			if err != nil || verdict > uint8(flow.WouldRefuse) {
				return cmp.Or(err, damaged("verdict"))
			}
			a.t.hour(int64(starts[i]/hourMicros)).add(verdict, reason, flows, bytes)
			talker(a.t.devices, name).add(verdict, flows, bytes)
			if remotes != nil {
				far, err := a.farOf(uint32(remotes[i]))
				if err != nil {
					return err
				}
				far.add(verdict, flows, bytes)
			}
		}
	}
	return nil
}

func (a *adder) reasonOf(c uint32) (string, error) {
	s, ok := a.reasons[c]
	if !ok {
		b, err := a.reason(c)
		if err != nil {
			return "", err
		}
		s = string(b)
		a.reasons[c] = s
	}
	return s, nil
}

func (a *adder) farOf(c uint32) (*Talker, error) {
	x := a.far[c]
	if x == nil {
		b, err := a.remote(c)
		if err != nil {
			return nil, err
		}
		x = talker(a.t.remotes, b)
		a.far[c] = x
	}
	return x, nil
}

// sums adds the sums of the devices from a to before b.
func (r *reader) sums(f *Filter, t *Totals, a, b uint32) error {
	reasons := make([]string, r.ft.Dicts[dictReason].Len)
	for c := range reasons {
		x, err := r.text(dictReason, uint32(c))
		if err != nil {
			return err
		}
		reasons[c] = string(x)
	}
	first, err := r.number(r.ft.SumStarts + 4*uint64(a))
	if err != nil {
		return err
	}
	last, err := r.number(r.ft.SumStarts + 4*uint64(b))
	if err != nil {
		return err
	}
	if last < first || uint64(last) > r.ft.SumsLen {
		return damaged("places of sums")
	}
	at, err := r.bytes(r.ft.Sums+uint64(first), int(last-first))
	if err != nil {
		return err
	}
	all := slices.Clone(at)
	base := r.ft.Min / hourMicros
	lo, hi := f.From/hourMicros, int64(1)<<62
	if f.To != 0 {
		hi = (f.To + hourMicros - 1) / hourMicros
	}
	for d := a; d < b; d++ {
		end, err := r.number(r.ft.SumStarts + 4*uint64(d+1))
		if err != nil {
			return err
		}
		if end < first || end > last {
			return damaged("places of sums")
		}
		var x *Talker
		for part := all[:end-first]; len(part) > 0; {
			s, rest, ok := readSum(part)
			if !ok || int(s.reason) >= len(reasons) {
				return damaged("sums of device %d", d)
			}
			part = rest
			h := base + int64(s.hour)
			if h < lo || h >= hi || f.Verdict >= 0 && int(s.verdict) != f.Verdict || f.Reason != "" && reasons[s.reason] != f.Reason {
				continue
			}
			if x == nil {
				key, err := r.text(dictDevice, d)
				if err != nil || len(key) <= len(f.Org) {
					return cmp.Or(err, damaged("a device's key"))
				}
				x = talker(t.devices, key[len(f.Org)+1:])
			}
			x.add(s.verdict, s.flows, s.bytes)
			t.hour(h).add(s.verdict, reasons[s.reason], s.flows, s.bytes)
		}
		all, first = all[end-first:], end
	}
	return nil
}

type sumRow struct {
	sumKey
	sum
}

func readSum(b []byte) (s sumRow, rest []byte, ok bool) {
	ok = true
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok = false
			return 0
		}
		b = b[n:]
		return v
	}
	s.hour = next()
	if !ok || len(b) == 0 || b[0] > uint8(flow.WouldRefuse) {
		return s, nil, false
	}
	s.verdict, b = b[0], b[1:]
	reason := next()
	s.flows, s.bytes = next(), next()
	s.reason = uint32(min(reason, 1<<32-1))
	return s, b, ok
}
