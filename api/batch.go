package api

import (
	"encoding/binary"
	"encoding/json"

	"github.com/ringwall/ringwall"
)

// A batch travels in one of two forms. That of protocol 1 is JSON; that of
// protocol 2 is
//
//	magic    2 bytes  "RB"; JSON never begins so
//	version  1 byte   2
//	epoch    uvarint
//	lost     uvarint
//	count    uvarint  of records
//	records           each its Seq as uvarint and the form of AppendRecord
//
// so that the platform can check a batch and store its records without taking
// them apart. Whoever reads batches takes both forms; a platform of protocol 1
// refuses the second, and its gateway then speaks the first.
const (
	batchMagic   = "RB"
	batchVersion = 2
)

// AppendBatch appends the binary form of a batch to b. The records' Seqs and
// kinds are not checked here.
func AppendBatch(b []byte, batch Batch) ([]byte, error) {
	b = append(b, batchMagic...)
	b = append(b, batchVersion)
	b = binary.AppendUvarint(b, batch.Epoch)
	b = binary.AppendUvarint(b, batch.Lost)
	b = binary.AppendUvarint(b, uint64(len(batch.Records)))
	var err error
	for _, r := range batch.Records {
		b = binary.AppendUvarint(b, r.Seq)
		if b, err = AppendRecord(b, r); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// IsBinaryBatch reports whether data is meant to be the binary form.
func IsBinaryBatch(data []byte) bool { return len(data) >= 2 && string(data[:2]) == batchMagic }

// BatchHead is a batch in the binary form whose records have not been read.
type BatchHead struct {
	Version int
	Epoch   uint64
	Lost    uint64
	Count   int
	Records []byte // part of what it was read from
}

// ReadBatchHead reads the head of the binary form.
func ReadBatchHead(data []byte) (h BatchHead, err error) {
	if !IsBinaryBatch(data) || len(data) < 3 {
		return h, ringwall.Errorf(ringwall.Invalid, "batch of %d bytes is not in binary form", len(data))
	}
	if data[2] != batchVersion {
		return h, ringwall.Errorf(ringwall.Invalid, "batch in binary form of version %d, want %d", data[2], batchVersion)
	}
	rest, count := data[3:], uint64(0)
	for _, n := range [...]*uint64{&h.Epoch, &h.Lost, &count} {
		v, k := binary.Uvarint(rest)
		if k <= 0 {
			return h, ringwall.Errorf(ringwall.Invalid, "batch ends in its head")
		}
		*n, rest = v, rest[k:]
	}
	if count > MaxBatchRecords {
		return h, ringwall.Errorf(ringwall.Invalid, "batch has %d records, the limit is %d", count, MaxBatchRecords)
	}
	h.Version, h.Count, h.Records = int(data[2]), int(count), rest
	return h, nil
}

// ReadBatch reads a batch in either form. The data of the records of a binary
// one are part of data. Codes: Invalid.
func ReadBatch(data []byte) (b Batch, err error) {
	if !IsBinaryBatch(data) {
		if err := json.Unmarshal(data, &b); err != nil {
			return Batch{}, ringwall.Errorf(ringwall.Invalid, "reading a batch: %w", err)
		}
		return b, nil
	}
	h, err := ReadBatchHead(data)
	if err != nil {
		return b, err
	}
	b = Batch{Version: h.Version, Epoch: h.Epoch, Lost: h.Lost, Records: make([]Record, 0, h.Count)}
	rest := h.Records
	for range h.Count {
		seq, n := binary.Uvarint(rest)
		if n <= 0 {
			return Batch{}, ringwall.Errorf(ringwall.Invalid, "batch ends early")
		}
		var r Record
		if r, rest, err = ReadRecord(rest[n:]); err != nil {
			return Batch{}, err
		}
		r.Seq = seq
		b.Records = append(b.Records, r)
	}
	if len(rest) > 0 {
		return Batch{}, ringwall.Errorf(ringwall.Invalid, "batch has %d bytes too many", len(rest))
	}
	return b, nil
}
