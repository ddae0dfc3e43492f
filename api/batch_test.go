package api_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

func binaryBatch() api.Batch {
	at := time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC)
	return api.Batch{Version: 2, Epoch: 5, Lost: 3, Records: []api.Record{
		{Seq: 1, Time: at, Kind: api.RecordFlow, Bin: []byte{1, 2, 3}},
		{Seq: 7, Time: at, Kind: api.RecordLost, Data: json.RawMessage(`{"from":2}`)},
		{Seq: 8, Time: at, Kind: "tomorrow", Data: json.RawMessage(`{}`)},
	}}
}

func TestReadBatch_bothForms(t *testing.T) {
	want := binaryBatch()
	b, err := api.AppendBatch(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{b, j} {
		got, err := api.ReadBatch(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.20q reads as %+v, %v; want %+v", data, got, err, want)
		}
		for n := range data {
			if _, err := api.ReadBatch(data[:n]); ringwall.CodeOf(err) != ringwall.Invalid {
				t.Errorf("%d of %d bytes: %v, want Invalid", n, len(data), err)
			}
		}
	}
}

// The binary form is a promise to gateways in the field.
func TestGolden_binaryBatch(t *testing.T) {
	b, err := api.AppendBatch(nil, binaryBatch())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "golden", "v2", "batch.hex")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b); got != strings.TrimSpace(string(want)) {
		t.Errorf("a batch is written as %s, was %s", got, want)
	}
}

func FuzzReadBatch(f *testing.F) {
	b, err := api.AppendBatch(nil, binaryBatch())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"epoch":5,"records":[{"seq":1,"time":"2026-11-21T14:02:07Z","kind":"flow","bin":"AQID"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := api.ReadBatch(data)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("code of %v is not invalid", err)
			}
			return
		}
		if !api.IsBinaryBatch(data) {
			return
		}
		out, err := api.AppendBatch(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := api.ReadBatch(out)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v is written and read as %+v, %v", got, again, err)
		}
	})
}
