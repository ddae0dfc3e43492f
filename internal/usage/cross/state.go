package cross

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ringwall/ringwall"
)

// A state is "RWCROSS\x01", the length of what follows as 8 bytes, the newest
// day, the day of the first cell and the counts; the settings with their first
// days; the entries in the order of their ids; the first cards with their places;
// and a CRC-32C of all after the length. Numbers are little endian.
const stateMagic = "RWCROSS\x01"

// Bounds of what Restore believes.
const (
	maxState   = 4 << 30
	maxEntries = 1 << 24
)

// fixed is an entry as it is written.
type fixed struct {
	ID uint64
	E  entry
}

// Snapshot writes the table. Equal tables have equal snapshots. It names cards
// by their keys: whoever keeps it, keeps it from others.
func (t *Table) Snapshot(w io.Writer) error {
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic("cross: " + err.Error()) // a buffer takes all, and the types are fixed
		}
	}
	put([]uint16{t.day, t.begun})
	put([]uint64{t.stats.Observations, t.stats.Findings, t.stats.Full, t.stats.Dropped})
	put(uint64(len(t.groups)))
	groups := make([]uint32, 0, len(t.groups))
	for g := range t.groups {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	for _, g := range groups {
		put(g)
		put(t.groups[g])
	}
	ids := make([]uint64, 0, len(t.entries))
	for id := range t.entries {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	put(uint64(len(ids)))
	for _, id := range ids {
		put(fixed{id, *t.entries[id]})
	}
	n := uint64(0)
	for i := range t.firsts {
		if t.firsts[i].id != 0 {
			n++
		}
	}
	put(uint64(len(t.firsts)))
	put(n)
	for i, f := range t.firsts {
		if f.id != 0 {
			b.Write(binary.LittleEndian.AppendUint32(nil, uint32(i)))
			b.Write(binary.LittleEndian.AppendUint64(nil, f.id))
			for _, v := range append(f.cards[:len(f.cards):len(f.cards)], f.first, f.day) {
				b.Write(binary.LittleEndian.AppendUint16(nil, v))
			}
		}
	}
	head := binary.LittleEndian.AppendUint64([]byte(stateMagic), uint64(b.Len()))
	sum := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(b.Bytes(), crc32.MakeTable(crc32.Castagnoli)))
	for _, p := range [][]byte{head, b.Bytes(), sum} {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Restore reads what Snapshot wrote into a new table. Under other bounds what
// has no room is left out and counted. The error has code Unverified when it is
// cut or torn, and the table is then unchanged.
func (t *Table) Restore(r io.Reader) error {
	torn := func(why string) error {
		return ringwall.Errorf(ringwall.Unverified, "the state of cards that act as one cannot be trusted: %s", why)
	}
	head := make([]byte, len(stateMagic)+8)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:len(stateMagic)]) != stateMagic {
		return torn("it does not begin as one")
	}
	size := binary.LittleEndian.Uint64(head[len(stateMagic):])
	if size > maxState {
		return torn("it is too long")
	}
	var all bytes.Buffer
	if n, err := io.Copy(&all, io.LimitReader(r, int64(size)+4)); err != nil || uint64(n) != size+4 {
		return torn("it is cut off")
	}
	body := all.Bytes()[:size]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(all.Bytes()[size:]) {
		return torn("its checksum does not hold")
	}
	in := &reader{b: body}
	next := New(t.c)
	next.day, next.begun = uint16(in.num(2)), uint16(in.num(2))
	for _, v := range []*uint64{&next.stats.Observations, &next.stats.Findings, &next.stats.Full, &next.stats.Dropped} {
		*v = in.num(8)
	}
	for n := in.count(6); n > 0; n-- {
		g := uint32(in.num(4))
		next.groups[g] = uint16(in.num(2))
	}
	size1 := binary.Size(fixed{})
	for n := in.count(size1); n > 0; n-- {
		var f fixed
		if _, err := binary.Decode(in.take(size1), binary.LittleEndian, &f); err != nil || f.E.N > listed || f.E.Kind >= kinds {
			return torn("an entry in it is none")
		}
		if len(next.entries) >= next.c.Entries {
			next.stats.Full++
			continue
		}
		next.entries[f.ID] = &f.E
	}
	places := in.num(8)
	for n := in.count(22); n > 0; n-- {
		i, f := in.num(4), first{id: in.num(8)}
		for j := range f.cards {
			f.cards[j] = uint16(in.num(2))
		}
		f.first, f.day = uint16(in.num(2)), uint16(in.num(2))
		if places == uint64(len(next.firsts)) && i < places {
			next.firsts[i] = f
		} else {
			next.stats.Dropped++
		}
	}
	if in.bad || len(in.b) > 0 {
		return torn("its parts do not fit")
	}
	for _, e := range next.entries {
		if e.Kind == Peer && t.c.Usual != nil && e.Usual >= popular*16 {
			t.c.Usual.Add(e.Settings, e.Key)
		}
	}
	*t = *next
	return nil
}

// reader takes numbers from bytes; past their end it gives zeros and is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) num(n int) uint64 {
	var b [8]byte
	copy(b[:], r.take(n))
	return binary.LittleEndian.Uint64(b[:])
}

// count reads how many things of a size follow: no more than there is room for.
func (r *reader) count(size int) uint64 {
	n := r.num(8)
	if n > uint64(len(r.b)/size) || n > maxEntries {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}
