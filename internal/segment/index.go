package segment

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/durable"
)

// seriesKey names the flow reports of one device; Device "" stands for all
// devices of the organisation.
type seriesKey struct {
	Org    ringwall.OrgID
	Device ringwall.DeviceID
}

// ref says that a frame has flow reports of a series, and of which times.
type ref struct {
	Frame    uint64
	Min, Max int64 // microseconds: the first start and the last end
}

type refsOf map[seriesKey]*ref

// add notes a record of a frame. A flow report that cannot be decoded is in no
// series; Scan still gives it.
func (x refsOf) add(h frameHead, frame uint64, r api.Record) {
	if r.Kind != api.RecordFlow {
		return
	}
	var f flow.Record
	if err := f.UnmarshalBinary(r.Bin); err != nil {
		return
	}
	lo, hi := f.Start.UnixMicro(), f.End.UnixMicro()
	for _, k := range [...]seriesKey{{h.org, f.Device}, {h.org, ""}} {
		if e := x[k]; e != nil {
			e.Min, e.Max = min(e.Min, lo), max(e.Max, hi)
		} else {
			x[k] = &ref{Frame: frame, Min: lo, Max: hi}
		}
	}
}

// markRow is a watermark: gateway and epoch are stored up to Seq, by Frame.
type markRow struct {
	Org   ringwall.OrgID
	GW    ringwall.GatewayID
	Epoch uint64
	Seq   uint64
	Frame uint64
}

type markKey struct {
	gatewayKey
	epoch uint64
}

// side is the index of a sealed segment, as its file beside it holds it. It
// also holds the watermarks as of the segment's end, so that Open need not
// read the frames.
type side struct {
	First, Next uint64
	Min, Max    int64
	Series      map[seriesKey][]ref
	Marks       []markRow
}

// index finds the frames that hold a device's flow reports. Store.mu guards it.
type index struct {
	dir string
	// tail has the frames of the segment that is written to, and of those that
	// are only about to be written: what is not yet known to be sealed.
	tail      map[seriesKey][]ref
	tailMarks []markRow // one for each frame of the tail, in order
	tailFirst uint64

	marks  map[markKey]markRow // as of the end of the newest sealed segment
	sealed []sealed            // oldest first
	held   []*side             // the most recently used, newest use last
}

type sealed struct {
	first, next uint64
	min, max    int64
}

// heldSides is how many indexes of sealed segments are kept in memory.
const heldSides = 16

func (x *index) init(dir string) {
	x.dir, x.tail, x.marks = dir, map[seriesKey][]ref{}, map[markKey]markRow{}
}

// add notes a frame, which follows all others.
func (x *index) add(frame uint64, row markRow, refs refsOf) {
	if x.tailFirst == 0 {
		x.tailFirst = frame
	}
	for k, r := range refs {
		x.tail[k] = append(x.tail[k], *r)
	}
	x.tailMarks = append(x.tailMarks, row)
}

// seal moves the frames below active out of the tail: they lie in sealed
// segments. Frames of several segments may do so at once, at Open; they then
// share one index, which is as good.
func (x *index) seal(active uint64) {
	if x.tailFirst == 0 || active <= x.tailFirst {
		return
	}
	s := &side{First: x.tailFirst, Next: active, Series: map[seriesKey][]ref{}}
	for k, refs := range x.tail {
		n := sort.Search(len(refs), func(i int) bool { return refs[i].Frame >= active })
		if n > 0 {
			s.Series[k] = slices.Clone(refs[:n])
		}
		if n == len(refs) {
			delete(x.tail, k)
		} else {
			x.tail[k] = slices.Clone(refs[n:])
		}
	}
	n := sort.Search(len(x.tailMarks), func(i int) bool { return x.tailMarks[i].Frame >= active })
	for _, row := range x.tailMarks[:n] {
		x.mark(row)
	}
	x.tailMarks = slices.Clone(x.tailMarks[n:])
	x.tailFirst = 0
	if len(x.tailMarks) > 0 {
		x.tailFirst = x.tailMarks[0].Frame
	}
	for _, row := range x.marks {
		s.Marks = append(s.Marks, row)
	}
	s.span()
	x.keep(s)
	// The file only saves time: if it cannot be written, or is lost with the
	// power, the next Open reads the frames instead.
	_ = saveSide(x.dir, s)
}

func (x *index) mark(row markRow) {
	k := markKey{gatewayKey{row.Org, row.GW}, row.Epoch}
	if old, ok := x.marks[k]; !ok || row.Seq > old.Seq {
		x.marks[k] = row
	}
}

// adopt takes the index of a sealed segment from its file.
func (x *index) adopt(s *side) {
	for _, row := range s.Marks {
		x.mark(row)
	}
	x.keep(s)
}

func (x *index) keep(s *side) {
	x.sealed = append(x.sealed, sealed{s.First, s.Next, s.Min, s.Max})
	x.hold(s)
}

func (x *index) hold(s *side) {
	if len(x.held) >= heldSides {
		x.held = slices.Delete(x.held, 0, 1)
	}
	x.held = append(x.held, s)
}

// side returns the index of a sealed segment.
func (x *index) side(first uint64) (*side, error) {
	if i := slices.IndexFunc(x.held, func(s *side) bool { return s.First == first }); i >= 0 {
		s := x.held[i]
		x.held = append(slices.Delete(x.held, i, i+1), s)
		return s, nil
	}
	s, err := loadSide(x.dir, first)
	if err == nil && s.First == first {
		x.hold(s)
		return s, nil
	}
	return nil, fmt.Errorf("reading the index of segment %016x: %w", first, err)
}

// trim forgets the sealed segments before first.
func (x *index) trim(first uint64) {
	for len(x.sealed) > 0 && x.sealed[0].next <= first {
		gone := x.sealed[0].first
		x.sealed = x.sealed[1:]
		x.held = slices.DeleteFunc(x.held, func(s *side) bool { return s.First == gone })
		_ = os.Remove(sidePath(x.dir, gone)) // what is left is without use and without harm
	}
}

func (s *side) span() {
	s.Min, s.Max = 1<<62, -1<<62
	for _, refs := range s.Series {
		for _, r := range refs {
			s.Min, s.Max = min(s.Min, r.Min), max(s.Max, r.Max)
		}
	}
}

// frames returns the frames that may hold flow reports of a series within
// [from, to), newest first, below the frame before.
func (x *index) frames(k seriesKey, from, to time.Time, before uint64, each func(frame uint64) (more bool, err error)) error {
	lo, hi := int64(-1<<62), int64(1<<62)
	if !from.IsZero() {
		lo = from.UnixMicro()
	}
	if !to.IsZero() {
		hi = to.UnixMicro()
	}
	walk := func(refs []ref) (bool, error) {
		for _, r := range slices.Backward(refs) {
			if r.Frame >= before || r.Max < lo || r.Min >= hi {
				continue
			}
			if more, err := each(r.Frame); err != nil || !more {
				return false, err
			}
		}
		return true, nil
	}
	if more, err := walk(x.tail[k]); err != nil || !more {
		return err
	}
	for _, e := range slices.Backward(x.sealed) {
		if e.first >= before || e.max < lo || e.min >= hi {
			continue
		}
		s, err := x.side(e.first)
		if err != nil {
			return err
		}
		if more, err := walk(s.Series[k]); err != nil || !more {
			return err
		}
	}
	return nil
}

func sidePath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x.idx", first))
}

// maxSide bounds the file of an index.
const maxSide = 256 << 20

// saveSide writes the index as one frame, whose checksum guards it. It is not
// synced: see seal.
func saveSide(dir string, s *side) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		return err
	}
	tmp := sidePath(dir, s.First) + ".tmp"
	if err := os.WriteFile(tmp, durable.AppendFrame(nil, s.First, b.Bytes()), 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, sidePath(dir, s.First))
}

func loadSide(dir string, first uint64) (*side, error) {
	f, err := os.Open(sidePath(dir, first))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	_, payload, err := durable.NewFrameReader(f, first, false, int(min(fi.Size(), maxSide))).Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = durable.ErrTorn
		}
		return nil, err
	}
	var s side
	if err := gob.NewDecoder(bytes.NewReader(payload)).Decode(&s); err != nil {
		return nil, err
	}
	return &s, nil
}
