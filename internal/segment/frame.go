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

func appendFrame(b []byte, h frameHead, records []api.Record) ([]byte, error) {
	b = append(b, frameVersion)
	for _, s := range []string{string(h.org), string(h.gw)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, h.epoch)
	b = binary.AppendUvarint(b, uint64(h.ingested.UnixMicro()))
	b = binary.AppendUvarint(b, uint64(len(records)))
	var err error
	for _, r := range records {
		b = binary.AppendUvarint(b, r.Seq)
		if b, err = api.AppendRecord(b, r); err != nil {
			return nil, err
		}
	}
	if len(b) > maxFrame {
		return nil, ringwall.Errorf(ringwall.Invalid, "batch of %d bytes is over the limit of %d", len(b), maxFrame)
	}
	return b, nil
}

func badFrame(what string) error {
	return ringwall.Errorf(ringwall.Invalid, "stored batch: %s", what)
}

// readHead reads the head of a frame and returns what follows.
func readHead(b []byte) (h frameHead, rest []byte, err error) {
	if len(b) == 0 || b[0] != frameVersion {
		return h, nil, badFrame("unknown version")
	}
	b = b[1:]
	text := func() string {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) || n > 64 {
			err = badFrame("id ends early")
			return ""
		}
		s := string(b[k : k+int(n)])
		b = b[k+int(n):]
		return s
	}
	number := func() uint64 {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			err = badFrame("number ends early")
			return 0
		}
		b = b[k:]
		return n
	}
	h.org = ringwall.OrgID(text())
	if err == nil {
		h.gw = ringwall.GatewayID(text())
	}
	if err == nil {
		h.epoch = number()
	}
	if err == nil {
		h.ingested = time.UnixMicro(int64(number())).UTC()
	}
	var count uint64
	if err == nil {
		count = number()
	}
	if err == nil && count > api.MaxBatchRecords {
		err = badFrame("too many records")
	}
	h.count = int(count)
	return h, b, err
}

// eachRecord gives f the records of a frame, in order. Their data is part of b.
func eachRecord(b []byte, f func(h frameHead, i int, r api.Record) error) error {
	h, b, err := readHead(b)
	if err != nil {
		return err
	}
	for i := range h.count {
		seq, n := binary.Uvarint(b)
		if n <= 0 {
			return badFrame("record ends early")
		}
		var r api.Record
		if r, b, err = api.ReadRecord(b[n:]); err != nil {
			return err
		}
		r.Seq = seq
		if err := f(h, i, r); err != nil {
			return err
		}
	}
	if len(b) > 0 {
		return badFrame("bytes after the last record")
	}
	return nil
}
