package segment

import (
	"encoding/binary"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// A frame holds what one batch added: a version byte, the organisation and the
// gateway with their lengths, the epoch, the time of ingest in microseconds,
// the number of records, then for each its Seq and its stored form.
const frameVersion = 1

// maxFrame bounds a frame. A batch is at most api.MaxBatchBytes as JSON, and
// its stored form is shorter.
const maxFrame = 1 << 20

type frameHead struct {
	org      ringwall.OrgID
	gw       ringwall.GatewayID
	epoch    uint64
	ingested time.Time
	count    int
}

// appendFrame appends a frame whose records are in their stored form.
func appendFrame(b []byte, h frameHead, records []byte) ([]byte, error) {
	b = append(b, frameVersion)
	b = binary.AppendUvarint(b, uint64(len(h.org)))
	b = append(b, h.org...)
	b = binary.AppendUvarint(b, uint64(len(h.gw)))
	b = append(b, h.gw...)
	b = binary.AppendUvarint(b, h.epoch)
	b = binary.AppendUvarint(b, uint64(h.ingested.UnixMicro()))
	b = binary.AppendUvarint(b, uint64(h.count))
	b = append(b, records...)
	if len(b) > maxFrame {
		return b, ringwall.Errorf(ringwall.Invalid, "batch of %d bytes is over the limit of %d", len(b), maxFrame)
	}
	return b, nil
}

func badFrame(what string) error {
	return ringwall.Errorf(ringwall.Invalid, "stored batch: %s", what)
}

// headReader reads the head of a frame. It keeps the ids of the frame before,
// which are often those of the next.
type headReader struct {
	org ringwall.OrgID
	gw  ringwall.GatewayID
}

func text(b []byte) (s, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) || n > 64 {
		return nil, nil, badFrame("id ends early")
	}
	return b[k : k+int(n)], b[k+int(n):], nil
}

// read reads the head of a frame and returns what follows.
func (x *headReader) read(b []byte) (h frameHead, rest []byte, err error) {
	if len(b) == 0 || b[0] != frameVersion {
		return h, nil, badFrame("unknown version")
	}
	org, b, err := text(b[1:])
	if err != nil {
		return h, nil, err
	}
	gw, b, err := text(b)
	if err != nil {
		return h, nil, err
	}
	if string(org) != string(x.org) {
		x.org = ringwall.OrgID(org)
	}
	if string(gw) != string(x.gw) {
		x.gw = ringwall.GatewayID(gw)
	}
	h.org, h.gw = x.org, x.gw
	var numbers [3]uint64
	for i := range numbers {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return h, nil, badFrame("number ends early")
		}
		numbers[i], b = n, b[k:]
	}
	h.epoch, h.ingested = numbers[0], time.UnixMicro(int64(numbers[1])).UTC()
	if numbers[2] > api.MaxBatchRecords {
		return h, nil, badFrame("too many records")
	}
	h.count = int(numbers[2])
	return h, b, nil
}

// eachRecord gives f the records of a frame, in order. Their data is part of b.
func eachRecord(b []byte, f func(h frameHead, i int, r api.Record) error) error {
	var x headReader
	h, b, err := x.read(b)
	if err != nil {
		return err
	}
	i := 0
	return eachView(b, h.count, func(seq uint64, v *api.RecordView) error {
		r := v.Record()
		r.Seq = seq
		i++
		return f(h, i-1, r)
	})
}

// eachView gives f the records that follow a frame's head, in place.
func eachView(b []byte, count int, f func(seq uint64, v *api.RecordView) error) error {
	rest, err := walk(b, count, func(seq uint64, v *api.RecordView, _ []byte) error { return f(seq, v) })
	if err == nil && len(rest) > 0 {
		err = badFrame("bytes after the last record")
	}
	return err
}
