package segment

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
)

func FuzzEachRecord(f *testing.F) {
	good, err := appendFrame(nil, frameHead{org: "org_a", gw: "gw_a", epoch: 9, ingested: time.UnixMicro(5)}, []api.Record{
		{Seq: 1, Kind: api.RecordFlow, Bin: []byte{1, 2}, Time: time.Unix(1, 0)},
		{Seq: 4, Kind: api.RecordLost, Data: json.RawMessage(`{"from":2}`), Time: time.Unix(2, 0)},
	})
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
		out, err := appendFrame(nil, head, records)
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
