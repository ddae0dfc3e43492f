package ts32297

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ringwall/ringwall"
)

func header() Header {
	h := Header{
		Length: 1234, High: Release{7, 3}, Low: Release{6, 1}, Opened: StampOf(time.Date(2026, 11, 21, 22, 2, 0, 0, time.FixedZone("", 8*3600))),
		Appended: StampOf(time.Date(2026, 11, 21, 22, 59, 0, 0, time.FixedZone("", -5*3600-1800))), Records: 77, Sequence: 4711, Reason: SizeLimit, Lost: 3,
		Filter: []byte("filter"), Extension: []byte{1, 2, 3}, HighExt: 9, LowExt: 8, extensions: true,
	}
	h.Node[0] = 4
	return h
}

func TestHeader_roundTrip(t *testing.T) {
	for name, h := range map[string]Header{"full": header(), "least": {Length: MinHeader, High: Release{5, 0}}} {
		b := AppendHeader(nil, h)
		got, err := ParseHeader(append(b, "records"...))
		h.Size = uint32(len(b))
		if d := cmp.Diff(h, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(Header{})); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
		if !Is(b) {
			t.Errorf("%s: is no file", name)
		}
	}
	if h := header(); h.Opened.Offset != 480 || h.Appended.Offset != -330 {
		t.Errorf("offsets %d and %d minutes", h.Opened.Offset, h.Appended.Offset)
	}
}

// The places of the fields, octet by octet, are those of TS 32.297 table 6.1.1.
func TestHeader_octets(t *testing.T) {
	b := AppendHeader(nil, header())
	for at, want := range map[int][]byte{
		0: {0, 0, 0x04, 0xd2}, 4: {0, 0, 0, 52 + 6 + 3 + 2}, 8: {0xe3, 0xc1},
		10: {0b1011_1010, 0b1_10110_00, 0b0010_1_010, 0b00_000000}, // month 11, day 21, 22:02, ahead 8:00
		18: {0, 0, 0, 77}, 22: {0, 0, 0x12, 0x67}, 26: {1}, 27: {4}, 47: {3}, 48: {0, 6, 'f'}, 56: {0, 3, 1, 2, 3, 9, 8},
	} {
		if got := b[at : at+len(want)]; !bytes.Equal(got, want) {
			t.Errorf("octets from %d are %x, want %x", at, got, want)
		}
	}
}

func TestParseHeader_refuses(t *testing.T) {
	good := AppendHeader(nil, header())
	for i := range good {
		if _, err := ParseHeader(good[:i]); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatalf("cut to %d bytes: %v, want an invalid error", i, err)
		}
	}
	for name, change := range map[string]func(b []byte){
		"a tiny header": func(b []byte) { b[7] = 51 }, "a giant header": func(b []byte) { b[4] = 0xff }, "a filter past the end": func(b []byte) { b[48] = 0xff }, "an extension past the end": func(b []byte) { b[56] = 0xff },
	} {
		b := bytes.Clone(good)
		change(b)
		if _, err := ParseHeader(b); ringwall.CodeOf(err) != ringwall.Invalid || Is(b) {
			t.Errorf("%s: %v, want an invalid error", name, err)
		}
	}
	if Is([]byte("time,imsi,service,imei,up,down,area,cell,peer,direction,duration\n")) {
		t.Error("a line of text is a file")
	}
}

func TestRecord(t *testing.T) {
	for _, h := range []RecordHeader{
		{Release: Release{5, 2}, Format: BER, TS: 0, Size: 4}, {Release: Release{7, 31}, Format: BER, TS: 23, Ext: 5, Size: 5},
	} {
		b, err := AppendRecord(nil, h, []byte("record"))
		if err != nil {
			t.Fatal(err)
		}
		h.Length = 6
		got, ok := ParseRecord(b)
		if !ok || got != h || string(b[got.Size:]) != "record" {
			t.Errorf("%+v, %v", got, ok)
		}
		for i := range int(h.Size) {
			if _, ok := ParseRecord(b[:i]); ok {
				t.Errorf("a header of %d bytes is told from %d", h.Size, i)
			}
		}
	}
	if _, err := AppendRecord(nil, RecordHeader{}, make([]byte, 1<<16)); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a record too long = %v, want an invalid error", err)
	}
}

func TestClose(t *testing.T) {
	h := header()
	h.Length, h.Records = openLength, 0
	b := AppendHeader(nil, h)
	if got, _ := ParseHeader(b); !got.Open() {
		t.Error("a file that was not closed says it was")
	}
	b, _ = AppendRecord(b, RecordHeader{}, []byte("x"))
	Close(b, 1, NormalClosure)
	got, err := ParseHeader(b)
	if err != nil || got.Open() || got.Length != uint32(len(b)) || got.Records != 1 || got.Reason != NormalClosure {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(AppendHeader(nil, header()))
	f.Add(make([]byte, 60))
	f.Fuzz(func(t *testing.T, in []byte) {
		ParseRecord(in)
		h, err := ParseHeader(in)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		sevens := h.High.Release == 7 || h.Low.Release == 7
		if n := h.Size - h.fixed(); n != 2 && (n != 0 || sevens) {
			return // extensions of another length are read over and not written again
		}
		again, err := ParseHeader(AppendHeader(nil, h))
		h.Opened, h.Appended, again.Opened, again.Appended = Stamp{}, Stamp{}, Stamp{}, Stamp{}
		if d := cmp.Diff(h, again, cmpopts.EquateEmpty(), cmp.AllowUnexported(Header{})); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}
