package usage

import (
	"bufio"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"slices"

	"github.com/ringwall/ringwall"
)

// A snapshot is:
//
//	"RWUSAGE\x01", then as uvarints and bytes:
//	length and bytes of the caller's position in the input
//	number of rules, each name with its length, in the order of their bits
//	records, unknown, duplicate, late, future, alerts
//	number of record keys, old generation first, 8 bytes each; how many are old
//	number of cards; of each: 16 bytes keyed hash of its IMSI and its 56 bytes
//	CRC-32C of all before, 4 bytes, big endian
const snapshotMagic = "RWUSAGE\x01"

// Bounds of what Restore believes.
const (
	maxPosition = 1 << 20
	maxName     = 64
	maxKeys     = 1 << 28
	maxCards    = 1 << 31
)

// Snapshot writes the engine's state and the caller's position in its input,
// so that Restore can carry on after the record the position names. Write it to
// a temporary file, sync and rename it (package durable): a torn one is refused.
// The error has code Invalid when Config.Key is empty, else it is w's.
func (e *Engine) Snapshot(w io.Writer, position []byte) error {
	if len(e.c.Key) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "a snapshot needs a key, so that it names no card in clear")
	}
	if len(position) > maxPosition {
		return ringwall.Errorf(ringwall.Invalid, "position of %d bytes is over the limit of %d", len(position), maxPosition)
	}
	out := &sumWriter{w: bufio.NewWriterSize(w, 64<<10), sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	out.bytes([]byte(snapshotMagic))
	out.text(position)
	out.uvarint(uint64(len(e.rules)))
	for _, r := range e.rules {
		out.text([]byte(r.Name))
	}
	for _, v := range e.counters() {
		out.uvarint(*v)
	}
	out.uvarint(uint64(len(e.seen.old) + len(e.seen.young)))
	out.uvarint(uint64(len(e.seen.old)))
	for _, m := range []map[uint64]struct{}{e.seen.old, e.seen.young} {
		for k := range m {
			out.fixed(k)
		}
	}
	out.uvarint(uint64(len(e.index) + len(e.pending)))
	for key, i := range e.index {
		h := e.keyed("usage state", imsiOf(key))
		out.bytes(h[:])
		out.state(e.states[i])
	}
	for h, s := range e.pending {
		out.bytes(h[:])
		out.state(s)
	}
	out.trailer()
	return out.err
}

// imsiOf undoes imsiKey.
func imsiOf(key uint64) string {
	var b [20]byte
	i := len(b)
	for ; key > 1; key /= 10 {
		i--
		b[i] = byte('0' + key%10)
	}
	return string(b[i:])
}

func (e *Engine) counters() []*uint64 {
	s := &e.stats
	return []*uint64{&s.Records, &s.Unknown, &s.Duplicate, &s.Late, &s.Future, &s.Alerts}
}

// Restore reads a snapshot into a new engine of the same key and returns the
// position that was written with it. Cards may be set before or after; the
// state of one that is never set is carried along. Rules that the snapshot does
// not know begin afresh. The error has code Unverified when the snapshot is
// torn or cut, and the engine is then unchanged. Under another key no card is
// found in it.
func (e *Engine) Restore(r io.Reader) (position []byte, err error) {
	in := &sumReader{r: bufio.NewReaderSize(r, 64<<10), sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	if string(in.bytes(len(snapshotMagic))) != snapshotMagic {
		in.fail("it does not begin as one")
	}
	position = in.text(maxPosition)
	bits := e.readRules(in)
	var counts [6]uint64
	for i := range counts {
		counts[i] = in.uvarint(1<<63 - 1)
	}
	seen := in.recent(e.c.Duplicates)
	states := map[[16]byte]state{}
	for n := in.uvarint(maxCards); n > 0 && in.err == nil; n-- {
		var h [16]byte
		copy(h[:], in.bytes(len(h)))
		s := in.state()
		s.said, s.before = moveBits(s.said, bits), moveBits(s.before, bits)
		states[h] = s
	}
	in.trailer()
	if in.err != nil {
		return nil, in.err
	}
	for i, v := range e.counters() {
		*v = counts[i]
	}
	e.seen, e.pending = seen, states
	for key, i := range e.index {
		h := e.keyed("usage state", imsiOf(key))
		if s, ok := e.pending[h]; ok {
			e.states[i] = s
			delete(e.pending, h)
		}
	}
	return position, nil
}

// readRules returns, for each rule of the snapshot, its place among ours; -1 =
// we have it no more.
func (e *Engine) readRules(in *sumReader) []int {
	n := in.uvarint(maxRules)
	var places []int
	for ; n > 0 && in.err == nil; n-- {
		name := string(in.text(maxName))
		places = append(places, slices.IndexFunc(e.rules, func(r Rule) bool { return r.Name == name }))
	}
	return places
}

// moveBits carries what rules had said to the places they have now.
func moveBits(said uint32, places []int) (moved uint32) {
	const mask = 1<<maxVariants - 1
	for i, to := range places {
		if to >= 0 {
			moved |= said >> (i * maxVariants) & mask << (to * maxVariants)
		}
	}
	return moved
}

// sumWriter writes and sums; after an error it does nothing.
type sumWriter struct {
	w   *bufio.Writer
	sum hash.Hash32
	err error
}

func (o *sumWriter) bytes(b []byte) {
	if o.err != nil {
		return
	}
	o.sum.Write(b)
	_, o.err = o.w.Write(b)
}

func (o *sumWriter) uvarint(v uint64) {
	var b [binary.MaxVarintLen64]byte
	o.bytes(b[:binary.PutUvarint(b[:], v)])
}

func (o *sumWriter) fixed(v uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	o.bytes(b[:])
}

func (o *sumWriter) text(b []byte) {
	o.uvarint(uint64(len(b)))
	o.bytes(b)
}

func (o *sumWriter) state(s state) {
	var b [56]byte
	for i, v := range [...]uint64{uint64(s.last), uint64(s.bound), uint64(s.seen), s.up, s.down} {
		binary.BigEndian.PutUint64(b[8*i:], v)
	}
	for i, v := range [...]uint32{s.records, uint32(s.day), s.said, s.before} {
		binary.BigEndian.PutUint32(b[40+4*i:], v)
	}
	o.bytes(b[:])
}

func (o *sumWriter) trailer() {
	if o.err != nil {
		return
	}
	if _, o.err = o.w.Write(binary.BigEndian.AppendUint32(nil, o.sum.Sum32())); o.err == nil {
		o.err = o.w.Flush()
	}
}

// sumReader reads and sums; after an error it gives zeros.
type sumReader struct {
	r   *bufio.Reader
	sum hash.Hash32
	err error
	one [1]byte
}

func (in *sumReader) fail(why string) {
	if in.err == nil {
		in.err = ringwall.Errorf(ringwall.Unverified, "the snapshot of usage states cannot be trusted: %s", why)
	}
}

func (in *sumReader) bytes(n int) []byte {
	b := make([]byte, n)
	if in.err != nil {
		return b
	}
	if _, err := io.ReadFull(in.r, b); err != nil {
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			in.err = ringwall.Errorf(ringwall.Unavailable, "reading the snapshot of usage states: %w", err)
		}
		in.fail("it is cut off")
		return make([]byte, n)
	}
	in.sum.Write(b)
	return b
}

// ReadByte makes a sumReader fit for binary.ReadUvarint.
func (in *sumReader) ReadByte() (byte, error) {
	b, err := in.r.ReadByte()
	if err == nil {
		in.one[0] = b
		in.sum.Write(in.one[:])
	}
	return b, err
}

func (in *sumReader) uvarint(most uint64) uint64 {
	if in.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(in)
	if err != nil || v > most {
		in.fail("a number in it is cut off or too large")
		return 0
	}
	return v
}

func (in *sumReader) text(most uint64) []byte { return in.bytes(int(in.uvarint(most))) }

// recent reads the keys of records, at most as many as this engine remembers.
func (in *sumReader) recent(n int) *recent {
	r := newRecent(n)
	all := in.uvarint(maxKeys)
	old := in.uvarint(all)
	for i := uint64(0); i < all && in.err == nil; i++ {
		k := binary.BigEndian.Uint64(in.bytes(8))
		switch {
		case i < old && len(r.old) < n:
			r.old[k] = struct{}{}
		case i >= old && len(r.young) < n:
			r.young[k] = struct{}{}
		}
	}
	return r
}

func (in *sumReader) state() state {
	b := in.bytes(56)
	u := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	v := func(i int) uint32 { return binary.BigEndian.Uint32(b[40+4*i:]) }
	return state{
		last: int64(u(0)), bound: Equipment(u(1)), seen: Equipment(u(2)), up: u(3), down: u(4),
		records: v(0), day: int32(v(1)), said: v(2), before: v(3),
	}
}

func (in *sumReader) trailer() {
	if in.err != nil {
		return
	}
	sum := in.sum.Sum32()
	var b [4]byte
	if _, err := io.ReadFull(in.r, b[:]); err != nil || binary.BigEndian.Uint32(b[:]) != sum {
		in.fail("its checksum does not hold")
	}
}
