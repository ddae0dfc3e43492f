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

// ReadRecord reads what AppendRecord has written and returns what follows. The
// record's data is part of b.
func ReadRecord(b []byte) (r Record, rest []byte, err error) {
	bad := func(what string) (Record, []byte, error) {
		return Record{}, nil, ringwall.Errorf(ringwall.Invalid, "stored record: %s", what)
	}
	if len(b) == 0 {
		return bad("empty")
	}
	n, bin := int(b[0]&0x7f), b[0]&0x80 != 0
	b = b[1:]
	if n == 0 || len(b) < n {
		return bad("kind ends early")
	}
	r.Kind, b = RecordKind(b[:n]), b[n:]
	if bin != (r.Kind == RecordFlow) {
		return bad("form does not fit the kind")
	}
	nanos, n := binary.Varint(b)
	if n <= 0 {
		return bad("time is not a varint")
	}
	r.Time, b = time.Unix(0, nanos).UTC(), b[n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return bad("data ends early")
	}
	b = b[n:]
	if bin {
		r.Bin = b[:size:size]
	} else if size > 0 {
		r.Data = json.RawMessage(b[:size:size])
	}
	return r, b[size:], nil
}
