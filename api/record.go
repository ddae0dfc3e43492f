package api

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
)

// AppendRecord appends the stored form of r, without its Seq, to b: a byte
// with the length of the kind and whether Bin is used, the kind, the time in
// nanoseconds since 1970 as a varint, then the data with its length. The
// gateway's log and the platform's segments hold this form.
func AppendRecord(b []byte, r Record) ([]byte, error) {
	if len(r.Kind) == 0 || len(r.Kind) > 0x7f {
		return b, ringwall.Errorf(ringwall.Invalid, "record kind %.40q has %d bytes, want 1 to 127", r.Kind, len(r.Kind))
	}
	head, data := byte(len(r.Kind)), []byte(r.Data)
	if r.Kind == RecordFlow {
		head, data = head|0x80, r.Bin
	}
	b = append(b, head)
	b = append(b, r.Kind...)
	b = binary.AppendVarint(b, r.Time.UnixNano())
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...), nil
}

// RecordView is a record in its stored form, in place: Kind and Data are part of
// what it was read from. It is for whoever passes over hundreds of thousands a
// second.
type RecordView struct {
	Kind []byte
	Time int64 // nanoseconds since 1970
	Data []byte
}

func badRecord(what string) error {
	return ringwall.Errorf(ringwall.Invalid, "stored record: %s", what)
}

// Read reads what AppendRecord has written and returns what follows.
func (v *RecordView) Read(b []byte) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, badRecord("empty")
	}
	n, bin := int(b[0]&0x7f), b[0]&0x80 != 0
	b = b[1:]
	if n == 0 || len(b) < n {
		return nil, badRecord("kind ends early")
	}
	v.Kind, b = b[:n:n], b[n:]
	if bin != v.Flow() {
		return nil, badRecord("form does not fit the kind")
	}
	if v.Time, n = binary.Varint(b); n <= 0 {
		return nil, badRecord("time is not a varint")
	}
	b = b[n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, badRecord("data ends early")
	}
	b = b[n:]
	v.Data = b[:size:size]
	return b[size:], nil
}

// Flow reports whether the record is of kind flow, whose data is binary.
func (v *RecordView) Flow() bool { return string(v.Kind) == string(RecordFlow) }

// Record returns the record, without its Seq. Its data is that of v.
func (v *RecordView) Record() Record {
	r := Record{Kind: RecordKind(v.Kind), Time: time.Unix(0, v.Time).UTC()}
	if v.Flow() {
		r.Kind, r.Bin = RecordFlow, v.Data
	} else if len(v.Data) > 0 {
		r.Data = json.RawMessage(v.Data)
	}
	return r
}

// ReadRecord reads what AppendRecord has written and returns what follows. The
// record's data is part of b.
func ReadRecord(b []byte) (r Record, rest []byte, err error) {
	var v RecordView
	if rest, err = v.Read(b); err != nil {
		return Record{}, nil, err
	}
	return v.Record(), rest, nil
}
