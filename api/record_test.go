package api_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
)

func TestRecord_storedFormRoundTrips(t *testing.T) {
	at := time.Date(2026, 11, 21, 22, 0, 0, 123456789, time.UTC)
	var b []byte
	in := []api.Record{
		{Time: at, Kind: api.RecordFlow, Bin: []byte{1, 2, 3}},
		{Time: at, Kind: api.RecordAlert, Data: json.RawMessage(`{"rule":"mirai-scan"}`)},
		{Time: time.Unix(0, -5).UTC(), Kind: "new-kind"},
	}
	for _, r := range in {
		var err error
		if b, err = api.AppendRecord(b, r); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range in {
		r, rest, err := api.ReadRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != want.Kind || !r.Time.Equal(want.Time) || !bytes.Equal(r.Bin, want.Bin) || !bytes.Equal(r.Data, want.Data) {
			t.Errorf("record %d = %+v, want %+v", i, r, want)
		}
		b = rest
	}
	if len(b) != 0 {
		t.Errorf("%d bytes are left", len(b))
	}
	if _, err := api.AppendRecord(nil, api.Record{}); err == nil {
		t.Error("a record without a kind is taken")
	}
}

func FuzzReadRecord(f *testing.F) {
	b, _ := api.AppendRecord(nil, api.Record{Kind: api.RecordFlow, Bin: []byte("flow"), Time: time.Unix(1, 2)})
	f.Add(b)
	b, _ = api.AppendRecord(nil, api.Record{Kind: api.RecordAck, Data: json.RawMessage(`{}`), Time: time.Unix(1, 2)})
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		r, rest, err := api.ReadRecord(in)
		if err != nil {
			return
		}
		again, err := api.AppendRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := api.ReadRecord(again)
		if err != nil || back.Kind != r.Kind || !bytes.Equal(back.Bin, r.Bin) || !bytes.Equal(back.Data, r.Data) || len(rest) > len(in) {
			t.Fatalf("%+v came back as %+v, %v", r, back, err)
		}
	})
}
