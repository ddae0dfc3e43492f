// Package ts32297 reads and writes the frames of charging record files of 3GPP TS
// 32.297: the header of a file (section 6.1.1) and of each record in it (section
// 6.1.2). What is in a record is another package's (ts32298).
//
// A file that is still being written, or was cut, has a length and a number of
// records that are not the real ones; so they are told and not relied upon. Only
// the length of the header and of each record decide where what stands.
//
// The package is pure.
package ts32297

import (
	"encoding/binary"
	"time"

	"github.com/ringwall/ringwall"
)

// Bounds.
const (
	// MinHeader is the shortest header of a file: without filter and extension.
	MinHeader = 52
	// MaxHeader bounds the header of a file.
	MaxHeader = MinHeader + 2 + 2*(1<<16-1)
	// MaxRecordHeader is the longest header of a record.
	MaxRecordHeader = 5
	// open is the length of a file of which it is not known.
	openLength = 1<<32 - 1
)

// Encodings of records (Data Record Format, section 6.1.2.3).
const (
	BER          = 1
	UnalignedPER = 2
	AlignedPER   = 3
	XML          = 4
)

// Reasons why a file was closed (section 6.1.1.9). From 128 on it was abnormal.
const (
	NormalClosure  = 0
	SizeLimit      = 1
	OpenTime       = 2
	RecordLimit    = 3
	ByIntervention = 4
	ReleaseChange  = 5
	AbnormalFrom   = 128
)

// Release is a release and a version of a specification.
type Release struct{ Release, Version uint8 }

// Header is the header of a file.
type Header struct {
	Length     uint32 // of the file; 1<<32-1 = not known
	Size       uint32 // of the header
	High, Low  Release
	Opened     Stamp
	Appended   Stamp // the last record
	Records    uint32
	Sequence   uint32
	Reason     uint8
	Node       [20]byte
	Lost       uint8 // records that were lost: 0 = none, 128 and more = at least that many less 128
	Filter     []byte
	Extension  []byte
	HighExt    uint8
	LowExt     uint8
	extensions bool
}

// Stamp is a time as the header has it: local, with its difference to UTC, without
// a year.
type Stamp struct {
	Month, Day, Hour, Minute uint8
	Offset                   int16 // minutes ahead of UTC
}

func stampOf(v uint32) Stamp {
	s := Stamp{Month: uint8(v >> 28), Day: uint8(v >> 23 & 31), Hour: uint8(v >> 18 & 31), Minute: uint8(v >> 12 & 63), Offset: int16(v>>6&31)*60 + int16(v&63)}
	if v>>11&1 == 0 {
		s.Offset = -s.Offset
	}
	return s
}

func (s Stamp) pack() uint32 {
	v, off := uint32(1<<11), s.Offset
	if off < 0 {
		v, off = 0, -off
	}
	return v | uint32(s.Month&15)<<28 | uint32(s.Day&31)<<23 | uint32(s.Hour&31)<<18 | uint32(s.Minute&63)<<12 | uint32(off/60&31)<<6 | uint32(off%60)
}

// StampOf is a time as the header has it.
func StampOf(t time.Time) Stamp {
	_, off := t.Zone()
	return Stamp{uint8(t.Month()), uint8(t.Day()), uint8(t.Hour()), uint8(t.Minute()), int16(off / 60)}
}

// ParseHeader reads the header at the beginning of b, which holds MaxHeader bytes
// or the whole file. The error has code Invalid.
func ParseHeader(b []byte) (h Header, err error) {
	be := binary.BigEndian
	if len(b) < MinHeader {
		return h, ringwall.Errorf(ringwall.Invalid, "ts32297: %d bytes, want a file header of at least %d", len(b), MinHeader)
	}
	h.Length, h.Size = be.Uint32(b), be.Uint32(b[4:])
	if h.Size < MinHeader || h.Size > MaxHeader || int64(h.Size) > int64(len(b)) {
		return h, ringwall.Errorf(ringwall.Invalid, "ts32297: a file header that says it has %d bytes, of %d", h.Size, len(b))
	}
	b = b[:h.Size]
	h.High, h.Low = Release{b[8] >> 5, b[8] & 31}, Release{b[9] >> 5, b[9] & 31}
	h.Opened, h.Appended = stampOf(be.Uint32(b[10:])), stampOf(be.Uint32(b[14:]))
	h.Records, h.Sequence, h.Reason, h.Lost = be.Uint32(b[18:]), be.Uint32(b[22:]), b[26], b[47]
	copy(h.Node[:], b[27:])
	rest := b[48:]
	take := func() ([]byte, bool) {
		if len(rest) < 2 || len(rest)-2 < int(be.Uint16(rest)) {
			return nil, false
		}
		n := int(be.Uint16(rest))
		v := rest[2 : 2+n]
		rest = rest[2+n:]
		return v, true
	}
	var ok bool
	if h.Filter, ok = take(); ok {
		h.Extension, ok = take()
	}
	if !ok || h.High.Release > 7 {
		return h, ringwall.Errorf(ringwall.Invalid, "ts32297: a file header of %d bytes that ends inside a field", h.Size)
	}
	if len(rest) > 0 {
		h.HighExt, h.extensions = rest[0], true
	}
	if len(rest) > 1 {
		h.LowExt = rest[1]
	}
	return h, nil
}

// Is reports whether b begins as such a file does: with a header whose parts fit
// its length, and dates that there are.
func Is(b []byte) bool {
	h, err := ParseHeader(b)
	if err != nil || h.Size < h.fixed() || h.Size > h.fixed()+2 {
		return false
	}
	for _, s := range []Stamp{h.Opened, h.Appended} {
		if s.Month > 12 || s.Hour > 24 || s.Minute > 59 {
			return false
		}
	}
	return h.Length >= h.Size || h.Length == 0
}

func (h *Header) fixed() uint32 {
	return MinHeader + uint32(len(h.Filter)) + uint32(len(h.Extension))
}

// Open reports whether the file says that it was not closed yet.
func (h *Header) Open() bool { return h.Length == openLength || h.Length == 0 }

// AppendHeader appends a header. Its Size is what it comes to.
func AppendHeader(dst []byte, h Header) []byte {
	be := binary.BigEndian
	h.Filter, h.Extension = h.Filter[:min(len(h.Filter), 1<<16-1)], h.Extension[:min(len(h.Extension), 1<<16-1)]
	ext := h.High.Release == 7 || h.Low.Release == 7 || h.extensions
	h.Size = h.fixed()
	if ext {
		h.Size += 2
	}
	dst = be.AppendUint32(be.AppendUint32(dst, h.Length), h.Size)
	dst = append(dst, h.High.Release<<5|h.High.Version&31, h.Low.Release<<5|h.Low.Version&31)
	dst = be.AppendUint32(be.AppendUint32(dst, h.Opened.pack()), h.Appended.pack())
	dst = be.AppendUint32(be.AppendUint32(dst, h.Records), h.Sequence)
	dst = append(append(append(dst, h.Reason), h.Node[:]...), h.Lost)
	dst = append(be.AppendUint16(dst, uint16(len(h.Filter))), h.Filter...)
	dst = append(be.AppendUint16(dst, uint16(len(h.Extension))), h.Extension...)
	if ext {
		dst = append(dst, h.HighExt, h.LowExt)
	}
	return dst
}

// RecordHeader is the header of a record.
type RecordHeader struct {
	Length  uint16 // of the record behind the header
	Release Release
	Format  uint8 // encoding
	TS      uint8 // which specification it is of
	Ext     uint8 // release identifier extension, when Release.Release is 7
	Size    uint8 // of the header: 4, or 5 with an extension
}

// ParseRecord reads the header of a record at the beginning of b. It reports false
// when b has too few bytes to tell.
func ParseRecord(b []byte) (h RecordHeader, ok bool) {
	if len(b) < 4 {
		return h, false
	}
	h = RecordHeader{Length: binary.BigEndian.Uint16(b), Release: Release{b[2] >> 5, b[2] & 31}, Format: b[3] >> 5, TS: b[3] & 31, Size: 4}
	if h.Release.Release == 7 {
		if len(b) < 5 {
			return h, false
		}
		h.Ext, h.Size = b[4], 5
	}
	return h, true
}

// AppendRecord appends a record with its header. The error has code Invalid: it is
// too long for one.
func AppendRecord(dst []byte, h RecordHeader, record []byte) ([]byte, error) {
	if len(record) > 1<<16-1 {
		return dst, ringwall.Errorf(ringwall.Invalid, "ts32297: a record of %d bytes, want at most %d", len(record), 1<<16-1)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(record)))
	dst = append(dst, h.Release.Release<<5|h.Release.Version&31, h.Format<<5|h.TS&31)
	if h.Release.Release == 7 {
		dst = append(dst, h.Ext)
	}
	return append(dst, record...), nil
}

// Close writes the final length, number of records and reason into the header at
// the beginning of a file.
func Close(file []byte, records uint32, reason uint8) {
	be := binary.BigEndian
	be.PutUint32(file, uint32(min(len(file), openLength)))
	be.PutUint32(file[18:], records)
	file[26] = reason
}
