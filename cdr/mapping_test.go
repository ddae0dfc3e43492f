package cdr

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
)

// The example of docs/usage.md.
const exampleMapping = `{
  "columns": {"time": "START_TIME", "imsi": "SERVED_IMSI", "imei": "SERVED_IMEI", "service": "TYPE", "direction": "MOMT",
              "peer": "OTHER_PARTY", "up": "UP_KB", "down": "DOWN_KB", "area": "LAC", "cell": "CI", "plmn": "VISITED"},
  "time": "20060102150405", "zone": "+08:00", "comma": "|", "volume": "KiB",
  "services": {"1": "data", "2": "sms", "3": "voice"}, "directions": {"0": "mo", "1": "mt"}
}`

func TestParseMapping(t *testing.T) {
	m, err := ParseMapping([]byte(exampleMapping))
	if err != nil {
		t.Fatal(err)
	}
	recs, bad := readAll(t, "SERVED_IMSI|START_TIME|TYPE|MOMT|OTHER_PARTY|UP_KB|DOWN_KB|LAC|CI|VISITED|SERVED_IMEI\n460001234567890|20261121220207|1|0|198.51.100.20|3|0|20225|7|46000|356938035643809\n", m)
	want := []Record{{
		Time: time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC), IMSI: "460001234567890", IMEI: "356938035643809", Service: Data, Direction: Originated, Peer: "198.51.100.20",
		Up: 3072, Area: "20225", Cell: "7", PLMN: "46000", Line: 2,
	}}
	if d := cmp.Diff(want, recs); d != "" || bad != nil {
		t.Errorf("%v\n%s", bad, d)
	}
}

func TestParseMapping_refuses(t *testing.T) {
	for file, want := range map[string]string{
		``:                             "EOF",
		`{"columns": {"imzi": "X"}}`:   `"imzi" is none of id, time`,
		`{"colums": {}}`:               `unknown field "colums"`,
		`{} {}`:                        "more behind its end",
		`{"time": "15:04:05"}`:         "does not say year",
		`{"time": "02.01.06"}`:         "does not say year",
		`{"zone": "Atlantis/Capital"}`: "neither a difference",
		`{"zone": "Local"}`:            "neither a difference",
		`{"comma": "||"}`:              "not one ASCII character",
		`{"comma": "\""}`:              "not one ASCII character",
		`{"volume": "GB"}`:             "none of",
		`{"services": {"x": "fax"}}`:   `"fax" is none of`,
		`{"directions": {"x": "up"}}`:  `neither "mo" nor "mt"`,
		strings.Repeat(" ", 1<<17):     "want at most",
	} {
		if _, err := ParseMapping([]byte(file)); ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseMapping(%.30q) = %v, want an invalid error with %q", file, err, want)
		}
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add([]byte(exampleMapping))
	f.Add([]byte(`{"time":"2006-01-02 15:04:05","zone":"Europe/Berlin"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ParseMapping(in)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		// What is taken can be used for a header, or is refused there.
		if _, err := ParseHeader([]byte("time,imsi,service\n"), m); err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
	})
}
