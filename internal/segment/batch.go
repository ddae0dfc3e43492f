package segment

import (
	"encoding/json"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// checkBatch checks the form of a batch: everything but how it connects to
// what is stored.
func checkBatch(org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) error {
	switch {
	case !ringwall.ValidID(ringwall.PrefixOrg, string(org)) || !ringwall.ValidID(ringwall.PrefixGateway, string(gw)):
		return ringwall.Errorf(ringwall.Invalid, "batch of gateway %.60q of %.60q: these are no ids", gw, org)
	case b.Version < 1 || b.Version > api.Version:
		return ringwall.Errorf(ringwall.Invalid, "batch has version %d, want 1 to %d", b.Version, api.Version)
	case b.Epoch == 0:
		return ringwall.Errorf(ringwall.Invalid, "batch has no epoch")
	case len(b.Records) > api.MaxBatchRecords:
		return ringwall.Errorf(ringwall.Invalid, "batch has %d records, the limit is %d", len(b.Records), api.MaxBatchRecords)
	}
	var prev uint64
	for i, r := range b.Records {
		from := r.Seq
		if r.Kind == api.RecordLost {
			from = lostFrom(r)
		}
		switch {
		case len(r.Kind) == 0 || len(r.Kind) > 40:
			return ringwall.Errorf(ringwall.Invalid, "record %d of the batch is of kind %.40q", i+1, r.Kind)
		case from == 0 || from > r.Seq:
			return ringwall.Errorf(ringwall.Invalid, "record %d of the batch has seq %d, from %d", i+1, r.Seq, from)
		case i > 0 && from != prev+1:
			return ringwall.Errorf(ringwall.Invalid, "record %d of the batch has seq %d after %d: seqs are consecutive", i+1, from, prev)
		}
		prev = r.Seq
	}
	return nil
}

// lostFrom returns the first Seq that a record of kind lost stands for, 0 if
// it does not say.
func lostFrom(r api.Record) uint64 {
	var lr api.LostRange
	if err := json.Unmarshal(r.Data, &lr); err != nil {
		return 0
	}
	return lr.From
}

// newer returns the records of b above have. The error has code Conflict when
// they do not connect to it.
func newer(b api.Batch, have uint64) ([]api.Record, error) {
	for i, r := range b.Records {
		if r.Seq <= have {
			continue
		}
		from := r.Seq
		if r.Kind == api.RecordLost {
			from = lostFrom(r)
		}
		if from > have+1 {
			return nil, ringwall.Errorf(ringwall.Conflict, "batch starts at seq %d of epoch %d, want %d", from, b.Epoch, have+1)
		}
		out := b.Records[i:]
		if from <= have { // a lost range of which a part is stored
			data, err := json.Marshal(api.LostRange{From: have + 1})
			if err != nil {
				return nil, err
			}
			r.Data = data
			out = append([]api.Record{r}, b.Records[i+1:]...)
		}
		return out, nil
	}
	return nil, nil
}
