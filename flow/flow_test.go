package flow_test

import (
	"bytes"
	"encoding/hex"
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
		{
			Start: at, End: at, Device: "dev_0abc", Direction: flow.FromDevice, Proto: 6, Verdict: flow.Refused, Reason: "deny", Term: "t2",
			Remote: netip.MustParseAddrPort("198.51.100.20:80"), Generation: 7, First: true,
			Inside: flow.Inside{Proto: "http", Host: "cloud.vendor.example", Method: "POST", Path: "/v1/upload"},
		},
		{Start: at, End: at, Direction: flow.FromDevice, Reason: "limited", Limit: "quota", More: 1 << 50},
		{Start: at, End: at, Direction: flow.FromDevice, First: true},
	}
}

// What a gateway of protocol 1 has written is read for ever, byte for byte; and
// what version 1 can say is written in it, for platforms of protocol 1.
func TestRecord_version1(t *testing.T) {
	want, err := hex.DecodeString("01000680ccb394889a980300086465765f30616263040a4d000aa02804c633641401bb14636c6f75642e76656e646f722e6578616d706c65" +
		"10616c6c6f77656420627920636c6173730274310a0ce807808080808020")
	if err != nil {
		t.Fatal(err)
	}
	r := records()[0]
	r.Start, r.End = time.UnixMicro(1795298520000000).UTC(), time.UnixMicro(1795298520000000).UTC()
	b, err := r.MarshalBinary()
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("written as %x, %v; want %x", b, err, want)
	}
	var got flow.Record
	if err := got.UnmarshalBinary(want); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("read as %+v, %v; want %+v", got, err, r)
	}
	// The same record, said in version 2, is another encoding of it: refused.
	second := append(append([]byte{2}, want[1:]...), 0, 0, 0, 0, 0, 0, 0)
	if err := got.UnmarshalBinary(second); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("version 2 of a record of version 1 is read: %v", err)
	}
	r.Generation = 1
	if b, err = r.MarshalBinary(); err != nil || b[0] != 2 {
		t.Errorf("a record with a generation is written as %x, %v; want version 2", b, err)
	}
}

func TestView_allocatesNothing(t *testing.T) {
	for _, r := range records() {
		b, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var v flow.View
		if n := testing.AllocsPerRun(100, func() {
			if err := v.Read(b); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("reading %x allocates %v times", b, n)
		}
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
	r.Name, r.Limit, r.Inside.Path = strings.Repeat("n", 1000), strings.Repeat("l", 1000), strings.Repeat("p", 1000)
	r.Device, r.Reason, r.Term, r.Inside.Host = ringwall.DeviceID(r.Name), r.Name, r.Name, r.Name
	r.Inside.Proto, r.Inside.Method, r.More, r.Generation = r.Name, r.Name, 1<<63, 1<<63
	b, err := r.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got flow.Record
	if err := got.UnmarshalBinary(b); err != nil || got.Name != r.Name[:flow.MaxText] || got.Limit != r.Limit[:flow.MaxWord] || got.Inside.Path != r.Inside.Path[:flow.MaxText] {
		t.Errorf("name of %d bytes, limit of %d, path of %d, %v; want %d, %d, %[5]d", len(got.Name), len(got.Limit), len(got.Inside.Path), err, flow.MaxText, flow.MaxWord)
	}
	if len(b) > flow.MaxEncoded {
		t.Errorf("encoding takes %d bytes, over MaxEncoded", len(b))
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
	f.Add([]byte{2, 8})
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

func BenchmarkView_Read(b *testing.B) {
	buf, err := records()[4].MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	var v flow.View
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}
