package tap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

func shared(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(sharedtest.Path(t, "cdr/tap/"+name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTags_areThoseOfTheModule(t *testing.T) {
	b, err := os.ReadFile(sharedtest.Path(t, "cdr/asn1/TAP-0312.asn"))
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)\s*::=\s*\[APPLICATION (\d+)\]`).FindAllStringSubmatch(string(b), -1) {
		tags[m[1]] = m[2]
	}
	for tag, name := range names {
		if tags[name] != fmt.Sprint(tag) {
			t.Errorf("%s has the tag %d here, %q in its module", name, tag, tags[name])
		}
	}
	if len(names) < 50 {
		t.Errorf("only %d tags were held against the module", len(names))
	}
}

// What the files of another implementation say, by the XML beside them in their
// project.
var want = []cdr.Record{
	{
		ID: "WERFD/31707.1", IMSI: "133713371337133", Service: cdr.Voice, Direction: cdr.Terminated, PLMN: "26201", Area: "3505", Cell: "7182",
		Time: time.Date(2014, 3, 1, 12, 3, 42, 0, time.UTC), Duration: 153 * time.Second,
	},
	{
		ID: "WERFD/31707.2", IMSI: "232323232323232", Service: cdr.Voice, Direction: cdr.Originated, PLMN: "26201", Area: "3505", Cell: "7182",
		Time: time.Date(2014, 3, 1, 13, 2, 0, 0, time.UTC), Duration: 213 * time.Second,
	},
	{
		ID: "WERFD/31707.3", IMSI: "232323232323232", Service: cdr.Data, PLMN: "26201", APN: "foo.example.net", Up: 2200000000, Down: 1200000000,
		Time: time.Date(2014, 3, 1, 13, 8, 0, 0, time.UTC), Duration: 500 * time.Second,
	},
}

func records(t testing.TB, f *File) (rs []cdr.Record) {
	t.Helper()
	for i := range f.Len() {
		var r cdr.Record
		if err := f.Record(i, &r); errors.Is(err, ErrKind) {
			continue // of another kind
		} else if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		rs = append(rs, r)
	}
	return rs
}

var config = Config{Networks: map[string]string{"WERFD": "26201"}}

func TestOpen_shared(t *testing.T) {
	for name, wantErr := range map[string]string{
		"tap_3_12_valid.ber": "", "tap_3_12_valid_some_cdr_indefinite.ber": "", "tap_3_12_trailing_eoc_invalid.ber": "byte 819: 2 bytes behind the end",
	} {
		f, err := Open(shared(t, name), config)
		if wantErr == "" && err != nil || wantErr != "" && (ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s: %v, want %q", name, err, wantErr)
		}
		if d := cmp.Diff(want, records(t, f)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
		if f.Sender != "WERFD" || f.Recipient != "XLKJE" || f.Sequence != "31707" || f.Release != 12 || f.Notification || f.Test {
			t.Errorf("%s: %+v", name, f)
		}
	}
	f, err := Open(shared(t, "tap_3_12_timestamps.ber"), config)
	if err != nil {
		t.Fatal(err)
	}
	got := records(t, f)
	if len(got) != 3 || got[0].Time != want[0].Time || got[0].Duration != want[0].Duration {
		t.Errorf("time stamps: %+v", got)
	}
	if f, err = Open(shared(t, "tap_notification.ber"), config); err != nil || !f.Notification || f.Len() != 0 || f.Sender != "ABC08" || f.Sequence != "23023" {
		t.Errorf("the notification: %+v, %v", f, err)
	}
	if f, err = Open(shared(t, "sample-DataInterChange-1.ber"), config); err != nil {
		t.Fatal(err)
	}
	for i := range f.Len() { // its events are empty or have no subscriber: wrong, each by itself
		var r cdr.Record
		if err := f.Record(i, &r); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("event %d of the sample: %+v, %v, want an invalid error", i, r, err)
		}
	}
}

// A file that is cut anywhere gives the events before, each whole, and an error.
func TestOpen_cut(t *testing.T) {
	for _, name := range []string{"tap_3_12_valid.ber", "tap_3_12_valid_some_cdr_indefinite.ber"} {
		whole := shared(t, name)
		most := 0
		for n := range whole {
			f, err := Open(whole[:n], config)
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("%s cut to %d bytes: %v, want an invalid error", name, n, err)
			}
			if f.Len() < most {
				t.Fatalf("%s cut to %d bytes has %d events, had %d when it was shorter", name, n, f.Len(), most)
			}
			most = f.Len()
			if d := cmp.Diff(append([]cdr.Record(nil), want[:min(most, 3)]...), records(t, f)); d != "" {
				t.Fatalf("%s cut to %d bytes:\n%s", name, n, d)
			}
		}
		if most < 3 {
			t.Errorf("%s cut by one byte has %d events, want at least 3", name, most)
		}
	}
}

func app(b *ber.Builder, tag uint32, v string) { b.Text(ber.Application, tag, v) }

// build writes a batch around events.
func build(events func(b *ber.Builder)) []byte {
	var b ber.Builder
	b.Begin(ber.Application, tagTransferBatch)
	b.Begin(ber.Application, tagNetworkInfo)
	b.Begin(ber.Application, tagOffsets)
	b.Begin(ber.Application, tagOffsetInfo)
	b.Uint(ber.Application, tagOffsetCode, 7)
	app(&b, tagOffset, "-0530")
	b.End()
	b.End()
	b.End()
	b.Begin(ber.Application, tagCallEvents)
	events(&b)
	b.End()
	b.End()
	return b.B
}

func sms(b *ber.Builder, imsi []byte, local string, code uint64) {
	b.Begin(ber.Application, tagMOCall)
	b.Begin(ber.Application, tagMOBasic)
	b.Begin(ber.Application, tagSubscriber)
	b.Begin(ber.Application, tagSIM)
	b.Bytes(ber.Application, tagIMSI, imsi)
	b.End()
	b.End()
	b.Begin(ber.Application, tagDestination)
	app(b, tagSMSDestination, "10086")
	b.End()
	b.Begin(ber.Application, tagStart)
	app(b, tagLocalTime, local)
	b.Uint(ber.Application, tagOffsetCode, code)
	b.End()
	b.End()
	b.Begin(ber.Application, tagEquipment)
	b.Bytes(ber.Application, tagIMEI, []byte{0x35, 0x69, 0x38, 0x03, 0x56, 0x43, 0x80, 0x9f})
	b.End()
	b.Begin(ber.Application, tagServices)
	b.Begin(ber.Application, tagServiceUsed)
	b.Begin(ber.Application, tagService)
	b.Begin(ber.Application, tagServiceCode)
	app(b, tagTeleService, "22")
	b.End()
	b.End()
	b.End()
	b.End()
	b.End()
}

func TestRecord(t *testing.T) {
	imsi := []byte{0x46, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0x0f}
	f, err := Open(build(func(b *ber.Builder) {
		sms(b, imsi, "20260101020304", 7)
		sms(b, imsi, "20260101020304", 8)
		sms(b, []byte{0xff}, "20260101020304", 7)
		sms(b, imsi, "20261301020304", 7)
		b.Begin(ber.Application, 11) // a supplementary service
		b.End()
		b.Begin(ber.Application, tagGPRS)
		b.Begin(ber.Application, tagGPRSService)
		b.Bytes(ber.Application, tagIncoming, []byte{0xff}) // a negative volume
		b.End()
		b.End()
	}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	one := cdr.Record{
		ID: "/.1", Time: time.Date(2026, 1, 1, 7, 33, 4, 0, time.UTC), IMSI: "460001234567890", IMEI: "356938035643809", Service: cdr.SMS, Direction: cdr.Originated, Peer: "10086",
	}
	two := one
	two.ID, two.Time, two.Estimated = "/.2", time.Date(2026, 1, 1, 2, 3, 4, 0, time.UTC), true
	for i, want := range []cdr.Record{one, two} {
		var got cdr.Record
		if err := f.Record(i, &got); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("event %d:\n%s", i, d)
		}
	}
	var r cdr.Record
	for _, i := range []int{2, 3, 5} {
		if err := f.Record(i, &r); ringwall.CodeOf(err) != ringwall.Invalid || strings.Contains(err.Error(), "4600") {
			t.Errorf("event %d: %v, want an invalid error that tells no number", i, err)
		}
	}
	if err := f.Record(4, &r); !errors.Is(err, ErrKind) {
		t.Errorf("a supplementary service: %v, want ErrKind", err)
	}
}

func TestOpen_refuses(t *testing.T) {
	for name, in := range map[string][]byte{
		"nothing": nil, "text": []byte("time,imsi"), "a charging record": {0xbf, 0x4f, 0}, "open for ever": bytes.Repeat([]byte{0x61, 0x80}, 10_000),
		"giant": {0x61, 0x84, 0xff, 0xff, 0xff, 0xff, 0x63, 0x84, 0xff, 0xff, 0xff, 0xff, 0x69, 0x84, 0xff, 0xff, 0xff, 0xff},
	} {
		if f, err := Open(in, Config{}); ringwall.CodeOf(err) != ringwall.Invalid || f.Len() != 0 {
			t.Errorf("%s: %d events, %v; want an invalid error", name, f.Len(), err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(build(func(b *ber.Builder) {
		sms(b, []byte{0x46, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0x0f}, "20260101020304", 7)
	}))
	f.Add(build(func(b *ber.Builder) {
		b.Indefinite = true
		sms(b, []byte{0x46}, "2026", 7)
		b.Indefinite = false
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		file, err := Open(in, Config{})
		if err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
		for i := range file.Len() {
			var r cdr.Record
			if err := file.Record(i, &r); err != nil && !errors.Is(err, ErrKind) && ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			} else if err == nil {
				if _, err := cdr.AppendLine(nil, &r); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
