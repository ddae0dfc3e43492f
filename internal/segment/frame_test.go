package segment

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
)

// stored returns records as a batch has them.
func stored(t testing.TB, records []api.Record) []byte {
	t.Helper()
	b, err := api.AppendBatch(nil, api.Batch{Epoch: 1, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.ReadBatchHead(b)
	if err != nil {
		t.Fatal(err)
	}
	return h.Records
}

func FuzzEachRecord(f *testing.F) {
	good, err := appendFrame(nil, frameHead{org: "org_a", gw: "gw_a", epoch: 9, ingested: time.UnixMicro(5), count: 2}, stored(f, []api.Record{
		{Seq: 1, Kind: api.RecordFlow, Bin: []byte{1, 2}, Time: time.Unix(1, 0)},
		{Seq: 4, Kind: api.RecordLost, Data: json.RawMessage(`{"from":2}`), Time: time.Unix(2, 0)},
	}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{frameVersion, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, in []byte) {
		var head frameHead
		var records []api.Record
		if eachRecord(in, func(h frameHead, _ int, r api.Record) error {
			head, records = h, append(records, r)
			return nil
		}) != nil || len(records) == 0 {
			return
		}
		out, err := appendFrame(nil, head, stored(t, records))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := eachRecord(out, func(h frameHead, i int, r api.Record) error {
			if h.org != head.org || h.gw != head.gw || h.epoch != head.epoch || r.Seq != records[i].Seq || !bytes.Equal(r.Bin, records[i].Bin) || !bytes.Equal(r.Data, records[i].Data) {
				t.Fatalf("record %d came back as %+v", i, r)
			}
			n++
			return nil
		}); err != nil || n != len(records) {
			t.Fatalf("%d records came back, %v", n, err)
		}
	})
}

// FuzzBinaryBatch stores what it takes, and gives back the same records.
func FuzzBinaryBatch(f *testing.F) {
	good, err := api.AppendBatch(nil, api.Batch{Epoch: 9, Records: []api.Record{
		{Seq: 1, Kind: api.RecordFlow, Bin: []byte{1, 2}, Time: time.Unix(1, 0)},
		{Seq: 4, Kind: api.RecordLost, Data: json.RawMessage(`{"from":2}`), Time: time.Unix(2, 0)},
		{Seq: 5, Kind: api.RecordAlert, Data: json.RawMessage(`{}`), Time: time.Unix(2, 0)},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint64(0))
	f.Add(good, uint64(2))
	f.Add(good, uint64(4))
	f.Fuzz(func(t *testing.T, data []byte, have uint64) {
		b, err := binaryBatch(data)
		if err != nil || b.count == 0 {
			return
		}
		n, err := b.newer(have)
		if err != nil || n.count == 0 {
			return
		}
		frame, err := appendFrame(nil, frameHead{org: "org_a", gw: "gw_a", epoch: b.epoch, count: n.count}, n.records)
		if err != nil {
			return
		}
		next := have + 1
		if err := eachRecord(frame, func(_ frameHead, _ int, r api.Record) error {
			from := r.Seq
			if r.Kind == api.RecordLost {
				from = lostFrom(r.Data)
			}
			if from != next {
				t.Fatalf("record %d of kind %q begins at %d, want %d", r.Seq, r.Kind, from, next)
			}
			next = r.Seq + 1
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if next != b.last+1 {
			t.Fatalf("the records end at %d, want %d", next-1, b.last)
		}
	})
}
