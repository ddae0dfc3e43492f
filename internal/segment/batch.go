package segment

import (
	"encoding/binary"
	"encoding/json"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// batch is a batch whose form has been checked. Its records stay as they came:
// each its Seq as uvarint and the form of api.AppendRecord, which is also how
// frames hold them.
type batch struct {
	epoch       uint64
	count       int
	records     []byte
	first, last uint64 // Seqs: the first that the first record stands for, that of the last
}

// checkSender checks what names a gateway.
func checkSender(org ringwall.OrgID, gw ringwall.GatewayID) error {
	if !ringwall.ValidID(ringwall.PrefixOrg, string(org)) || !ringwall.ValidID(ringwall.PrefixGateway, string(gw)) {
		return ringwall.Errorf(ringwall.Invalid, "batch of gateway %.60q of %.60q: these are no ids", gw, org)
	}
	return nil
}

// binaryBatch reads a batch in the binary form and checks its form: everything
// but how it connects to what is stored.
func binaryBatch(data []byte) (batch, error) {
	h, err := api.ReadBatchHead(data)
	if err != nil {
		return batch{}, err
	}
	return checkBatch(h.Version, h.Epoch, h.Count, h.Records)
}

// plainBatch does the same with a batch that has been taken apart.
func plainBatch(b api.Batch) (batch, error) {
	if len(b.Records) > api.MaxBatchRecords {
		return batch{epoch: b.Epoch}, ringwall.Errorf(ringwall.Invalid, "batch has %d records, the limit is %d", len(b.Records), api.MaxBatchRecords)
	}
	var raw []byte
	for i, r := range b.Records {
		if len(r.Kind) == 0 || len(r.Kind) > maxKind {
			return batch{epoch: b.Epoch}, ringwall.Errorf(ringwall.Invalid, "record %d of the batch is of kind %.40q", i+1, r.Kind)
		}
		var err error
		raw = binary.AppendUvarint(raw, r.Seq)
		if raw, err = api.AppendRecord(raw, r); err != nil {
			return batch{epoch: b.Epoch}, err
		}
	}
	return checkBatch(b.Version, b.Epoch, len(b.Records), raw)
}

// maxKind bounds the name of a kind.
const maxKind = 40

func checkBatch(version int, epoch uint64, count int, raw []byte) (batch, error) {
	b := batch{epoch: epoch, count: count, records: raw}
	switch {
	case version < 1 || version > api.Version:
		return b, ringwall.Errorf(ringwall.Invalid, "batch has version %d, want 1 to %d", version, api.Version)
	case epoch == 0:
		return b, ringwall.Errorf(ringwall.Invalid, "batch has no epoch")
	}
	i := 0
	rest, err := walk(raw, count, func(seq uint64, v *api.RecordView, _ []byte) error {
		from := seq
		if string(v.Kind) == string(api.RecordLost) {
			from = lostFrom(v.Data)
		}
		switch {
		case len(v.Kind) > maxKind:
			return ringwall.Errorf(ringwall.Invalid, "record %d of the batch is of kind %.40q", i+1, v.Kind)
		case from == 0 || from > seq:
			return ringwall.Errorf(ringwall.Invalid, "record %d of the batch has seq %d, from %d", i+1, seq, from)
		case i > 0 && from != b.last+1:
			return ringwall.Errorf(ringwall.Invalid, "record %d of the batch has seq %d after %d: seqs are consecutive", i+1, from, b.last)
		case i == 0:
			b.first = from
		}
		b.last = seq
		i++
		return nil
	})
	if err == nil && len(rest) > 0 {
		err = ringwall.Errorf(ringwall.Invalid, "batch has %d bytes after its last record", len(rest))
	}
	return b, err
}

// walk gives f each of count records and what follows it, until f fails.
func walk(raw []byte, count int, f func(seq uint64, v *api.RecordView, rest []byte) error) (rest []byte, err error) {
	var v api.RecordView
	for range count {
		seq, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil, ringwall.Errorf(ringwall.Invalid, "batch ends early")
		}
		if raw, err = v.Read(raw[n:]); err != nil {
			return nil, err
		}
		if err := f(seq, &v, raw); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// lostFrom returns the first Seq that a record of kind lost stands for, 0 if
// it does not say.
func lostFrom(data []byte) uint64 {
	var lr api.LostRange
	if err := json.Unmarshal(data, &lr); err != nil {
		return 0
	}
	return lr.From
}

// errFound ends a walk.
var errFound = ringwall.Errorf(ringwall.Internal, "found")

// newer returns what of b is above have. The error has code Conflict when it does
// not connect to it.
func (b batch) newer(have uint64) (batch, error) {
	switch {
	case b.count == 0 || b.last <= have:
		return batch{epoch: b.epoch}, nil
	case b.first > have+1:
		return batch{}, ringwall.Errorf(ringwall.Conflict, "batch starts at seq %d of epoch %d, want %d", b.first, b.epoch, have+1)
	case b.first == have+1:
		return b, nil
	}
	out, before, passed := batch{epoch: b.epoch, first: have + 1, last: b.last}, b.records, 0
	_, err := walk(b.records, b.count, func(seq uint64, v *api.RecordView, rest []byte) error {
		if seq <= have {
			before, passed = rest, passed+1
			return nil
		}
		out.records, out.count = before, b.count-passed
		if string(v.Kind) != string(api.RecordLost) || lostFrom(v.Data) > have {
			return errFound
		}
		// A lost range of which a part is stored.
		r := v.Record()
		var err error
		if r.Data, err = json.Marshal(api.LostRange{From: have + 1}); err != nil {
			return err
		}
		out.records = binary.AppendUvarint(nil, seq)
		if out.records, err = api.AppendRecord(out.records, r); err != nil {
			return err
		}
		out.records = append(out.records, rest...)
		return errFound
	})
	if err == errFound {
		err = nil
	}
	return out, err
}
