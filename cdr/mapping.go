package cdr

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// MaxMapping bounds a mapping file.
const MaxMapping = 64 << 10

// mappingFile is a Mapping as people write it.
type mappingFile struct {
	Columns    map[string]string `json:"columns"`
	Time       string            `json:"time"`
	Zone       string            `json:"zone"`
	Comma      string            `json:"comma"`
	Volume     string            `json:"volume"`
	Services   map[string]string `json:"services"`
	Directions map[string]string `json:"directions"`
}

var units = map[string]uint64{"": 1, "B": 1, "kB": 1000, "KiB": 1 << 10, "MB": 1e6, "MiB": 1 << 20}

// ParseMapping reads a mapping file: JSON with, all optional,
//
//	columns     of our names, those in the header: {"time": "START_TIME"}
//	time        how times are written, as package time has it: "20060102150405"; "" = RFC 3339 or seconds since 1970
//	zone        where times without a zone are: "Asia/Shanghai", "+08:00"; "" = UTC
//	comma       what separates fields: one character, "\t" for a tabulator; "" = ","
//	volume      the unit of up and down: "B" (also when it is empty), "kB", "KiB", "MB", "MiB"
//	services    other words for data, sms and voice: {"GPRS": "data"}
//	directions  other words for mo and mt: {"0": "mo"}
//
// The error has code Invalid.
func ParseMapping(file []byte) (m Mapping, err error) {
	if len(file) > MaxMapping {
		return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file of %d bytes, want at most %d", len(file), MaxMapping)
	}
	var f mappingFile
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file, byte %d: %v", d.InputOffset(), err)
	}
	if d.More() {
		return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file has more behind its end")
	}
	m = Mapping{Names: f.Columns, Time: f.Time, Services: f.Services, Directions: f.Directions}
	for ours := range f.Columns {
		if column(ours) < 0 {
			return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file: columns: %q is none of %s", short(ours), strings.Join(columns[:], ", "))
		}
	}
	if f.Time != "" {
		// A way of writing that loses the day or the hour is a mistake.
		at := time.Date(2026, 11, 21, 14, 2, 0, 0, time.UTC)
		if back, err := time.Parse(f.Time, at.Format(f.Time)); err != nil || !back.Equal(at) {
			return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file: time: %q does not say year, month, day, hour and minute; write how 15:04:05 on 2 January 2006 would be written", short(f.Time))
		}
	}
	if m.Zone, err = zone(f.Zone); err != nil {
		return m, err
	}
	if f.Comma != "" {
		if len(f.Comma) != 1 || strings.ContainsAny(f.Comma, "\"\r\n\x00") || f.Comma >= "0" && f.Comma <= "9" {
			return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file: comma: %q is not one ASCII character that may separate fields", short(f.Comma))
		}
		m.Comma = f.Comma[0]
	}
	unit, ok := units[f.Volume]
	if !ok {
		return m, ringwall.Errorf(ringwall.Invalid, `cdr: mapping file: volume: %q is none of "B", "kB", "KiB", "MB", "MiB"`, short(f.Volume))
	}
	m.Unit = unit
	for w, to := range f.Services {
		if _, err := ParseService(to); err != nil {
			return m, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file: services: %q: %v", short(w), err)
		}
	}
	for w, to := range f.Directions {
		if to != "mo" && to != "mt" {
			return m, ringwall.Errorf(ringwall.Invalid, `cdr: mapping file: directions: %q: %q is neither "mo" nor "mt"`, short(w), short(to))
		}
	}
	return m, nil
}

// zone reads a name of the time zone database or a difference to UTC.
func zone(s string) (*time.Location, error) {
	if s == "" || s == "UTC" {
		return time.UTC, nil
	}
	if t, err := time.Parse("-07:00", s); err == nil {
		_, off := t.Zone()
		return time.FixedZone(s, off), nil
	}
	z, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		return nil, ringwall.Errorf(ringwall.Invalid, "cdr: mapping file: zone: %q is neither a difference such as +08:00 nor in this machine's time zone database", short(s))
	}
	return z, nil
}
