package flow_test

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/flow"
)

func records() []flow.Record {
	at := time.Date(2026, 11, 21, 22, 0, 0, 123456000, time.UTC)
	return []flow.Record{
		{
			Start: at, End: at.Add(3 * time.Second), Device: "dev_0abc", Direction: flow.FromDevice, Proto: 6,
			Local: netip.MustParseAddrPort("10.77.0.10:41000"), Remote: netip.MustParseAddrPort("198.51.100.20:443"),
			Name: "cloud.vendor.example", Verdict: flow.Allowed, Reason: "allowed by class", Term: "t1",
			PacketsUp: 10, PacketsDown: 12, BytesUp: 1000, BytesDown: 1 << 40,
		},
		{Start: at, End: at, Direction: flow.ToDevice, Proto: 17, Verdict: flow.WouldRefuse},
		{
			Start: at, End: at, Direction: flow.ToDevice, Proto: 58, Verdict: flow.Refused, Reason: "no term",
			Local: netip.MustParseAddrPort("[fe80::1]:135"), Remote: netip.MustParseAddrPort("[::ffff:1.2.3.4]:0"),
		},
		{Start: time.UnixMicro(0).UTC(), End: time.UnixMicro(0).UTC(), Direction: flow.FromDevice},
	}
}

func TestRecord_roundTrip(t *testing.T) {
	for _, want := range records() {
		b, err := want.AppendBinary([]byte("x"))
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if len(b) > flow.MaxEncoded {
			t.Errorf("encoding takes %d bytes, over MaxEncoded", len(b))
		}
		var got flow.Record
		if err := got.UnmarshalBinary(b[1:]); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read back\n%+v, wrote\n%+v", got, want)
		}
		for n := 1; n < len(b); n++ {
			if err := got.UnmarshalBinary(b[1:n]); ringwall.CodeOf(err) != ringwall.Invalid {
				t.Errorf("%d of %d bytes: %v, want code invalid", n-1, len(b)-1, err)
			}
		}
	}
}

func TestRecord_refusesWhatCannotBeWritten(t *testing.T) {
	good := records()[0]
	for name, spoil := range map[string]func(*flow.Record){
		"end before start": func(r *flow.Record) { r.End = r.Start.Add(-time.Second) },
		"before 1970":      func(r *flow.Record) { r.Start = time.Time{} },
		"year 3000":        func(r *flow.Record) { r.End = r.End.AddDate(1000, 0, 0) },
		"direction":        func(r *flow.Record) { r.Direction = "sideways" },
		"verdict":          func(r *flow.Record) { r.Verdict = 9 },
	} {
		r := good
		spoil(&r)
		if b, err := r.AppendBinary(nil); ringwall.CodeOf(err) != ringwall.Invalid || len(b) != 0 {
			t.Errorf("%s: %d bytes, %v; want none and code invalid", name, len(b), err)
		}
	}
}

func TestRecord_longTextIsCut(t *testing.T) {
	r := records()[0]
	r.Name = strings.Repeat("n", 1000)
	b, err := r.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got flow.Record
	if err := got.UnmarshalBinary(b); err != nil || got.Name != r.Name[:flow.MaxText] {
		t.Errorf("name of %d bytes, %v; want %d", len(got.Name), err, flow.MaxText)
	}
}

func FuzzRecord_UnmarshalBinary(f *testing.F) {
	for _, r := range records() {
		b, err := r.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r flow.Record
		if err := r.UnmarshalBinary(data); err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("code of %v is not invalid", err)
			}
			return
		}
		again, err := r.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x reads as %+v, which writes as %x (%v): not canonical", data, r, again, err)
		}
	})
}

func BenchmarkRecord_AppendBinary(b *testing.B) {
	r := records()[0]
	buf := make([]byte, 0, flow.MaxEncoded)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = r.AppendBinary(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}
