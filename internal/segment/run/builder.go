package run

import (
	"net/netip"

	"github.com/ringwall/ringwall/flow"
)

const (
	// MaxRows is how many rows a run has at most.
	MaxRows = 1 << 18
	// maxText bounds the texts of all dictionaries of a builder together, so that
	// a gateway that makes up names costs bounded memory.
	maxText = 16 << 20
)

// The columns of a run. Numbers of dictionary entries are codes.
const (
	colStart   = iota // microseconds since 1970
	colLast           // microseconds that it lasted
	colFrame          // where the report is
	colRecord         // and its number in the frame
	colFlags          // direction, verdict
	colProto          // IP protocol
	colPort           // of the service: of whom the flow was opened to
	colGateway        // code
	colRemote         // code
	colName           // code
	colReason         // code
	colTerm           // code
	colFlows          // that the report stands for
	colUp             // bytes
	colDown           // bytes
	columns
)

// The dictionaries of a run.
const (
	dictDevice = iota // organisation, zero byte, device
	dictGateway
	dictRemote // see remoteKey
	dictName
	dictReason
	dictTerm
	dicts
)

// dictOf says which dictionary a column's codes are of; -1 = it has numbers.
var dictOf = [columns]int{
	colStart: -1, colLast: -1, colFrame: -1, colRecord: -1, colFlags: -1, colProto: -1, colPort: -1, colFlows: -1, colUp: -1, colDown: -1,
	colGateway: dictGateway, colRemote: dictRemote, colName: dictName, colReason: dictReason, colTerm: dictTerm,
}

// flags of a row: the verdict, and above it the direction.
const (
	flagsVerdict  = 3
	flagsToDevice = 4
)

// dict numbers texts in the order of their coming.
type dict struct {
	codes map[string]uint32
	texts []string
	bytes int
	last  uint32 // what came last often comes again
}

func (d *dict) code(b []byte) uint32 {
	if n := len(d.texts); n > 0 && d.texts[d.last] == string(b) {
		return d.last
	}
	c, ok := d.codes[string(b)]
	if !ok {
		if d.codes == nil {
			d.codes = map[string]uint32{}
		}
		c = uint32(len(d.texts))
		s := string(b)
		d.codes[s], d.texts = c, append(d.texts, s)
		d.bytes += len(b) + 48 // with what the map takes
	}
	d.last = c
	return c
}

// Builder collects rows. Make one with NewBuilder.
type Builder struct {
	first, next uint64 // the frames that were added
	device      []uint32
	col         [columns][]uint64
	dicts       [dicts]dict
	key         []byte
	min, max    int64 // first start, last end
	maxStart    int64
}

// NewBuilder returns a builder for the frames from first on.
func NewBuilder(first uint64) *Builder {
	return &Builder{first: first, next: first, min: 1 << 62, max: -1 << 62, maxStart: -1 << 62}
}

// Reset empties the builder, for the frames from first on. It keeps its memory.
func (b *Builder) Reset(first uint64) {
	fresh := NewBuilder(first)
	fresh.device, fresh.key = b.device[:0], b.key
	for c := range b.col {
		fresh.col[c] = b.col[c][:0]
	}
	*b = *fresh
}

// Frames returns the frames that the builder covers: first to before next.
func (b *Builder) Frames() (first, next uint64) { return b.first, b.next }

// Rows returns how many rows there are.
func (b *Builder) Rows() int { return len(b.device) }

// Full reports whether the builder should be written and replaced. It is asked
// between frames: one frame more always fits.
func (b *Builder) Full() bool {
	n := 0
	for i := range b.dicts {
		n += b.dicts[i].bytes
	}
	return len(b.device) >= MaxRows || n >= maxText
}

// Frame notes that all of a frame, the next, has been added.
func (b *Builder) Frame(frame uint64) { b.next = frame + 1 }

// remoteKey is an address as the dictionary sorts it: a byte 4, 6 or 0, then the
// address.
func remoteKey(b []byte, a netip.Addr) []byte {
	a = a.Unmap()
	switch {
	case a.Is4():
		x := a.As4()
		return append(append(b, 4), x[:]...)
	case a.IsValid():
		x := a.As16()
		return append(append(b, 6), x[:]...)
	}
	return append(b, 0)
}

func deviceKey(b []byte, org, device string) []byte {
	return append(append(append(b, org...), 0), device...)
}

// Add adds a report.
func (b *Builder) Add(org, gateway string, frame uint64, record int, v *flow.View) {
	b.key = append(append(append(b.key[:0], org...), 0), v.Device...)
	b.device = append(b.device, b.dicts[dictDevice].code(b.key))
	b.key = append(b.key[:0], gateway...)
	gw := b.dicts[dictGateway].code(b.key)
	b.key = remoteKey(b.key[:0], v.Remote.Addr())
	remote := b.dicts[dictRemote].code(b.key)
	flags, port := uint64(v.Verdict), v.Remote.Port()
	if v.Direction == flow.ToDevice {
		flags, port = flags|flagsToDevice, v.Local.Port()
	}
	b.min, b.max = min(b.min, v.Start), max(b.max, v.End)
	b.maxStart = max(b.maxStart, v.Start)
	row := [columns]uint64{
		colStart: uint64(v.Start), colLast: uint64(v.End - v.Start), colFrame: frame, colRecord: uint64(record), colFlags: flags,
		colProto: uint64(v.Proto), colPort: uint64(port), colGateway: uint64(gw), colRemote: uint64(remote),
		colName: uint64(b.dicts[dictName].code(v.Name)), colReason: uint64(b.dicts[dictReason].code(v.Reason)), colTerm: uint64(b.dicts[dictTerm].code(v.Term)),
		colFlows: 1 + min(v.More, 1<<62), colUp: v.BytesUp, colDown: v.BytesDown,
	}
	for i, n := range row {
		b.col[i] = append(b.col[i], n)
	}
}
