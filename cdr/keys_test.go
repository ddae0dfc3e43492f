package cdr

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
)

func testKeys() *Keys { return NewKeys([32]byte([]byte("thirty-two bytes that are a key."))) }

func TestEvent_isOneCacheLine(t *testing.T) {
	if n := unsafe.Sizeof(Event{}); n != 64 {
		t.Errorf("an event has %d bytes, want 64", n)
	}
}

// The hash of nothing under the key 00..0f is the first of the published table of
// SipHash-1-3.
func TestSip_hidesNothingTwice(t *testing.T) {
	k := sip{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	seen := map[uint64]int{}
	msg := []byte{}
	for i := range 64 {
		h := k.sum(msg)
		if j, ok := seen[h]; ok {
			t.Errorf("messages of %d and %d bytes have one hash", i, j)
		}
		seen[h] = i
		msg = append(msg, byte(i))
	}
	if got, want := k.sum(nil), uint64(0xabac0158050fc4dc); got != want {
		t.Errorf("SipHash-1-3 of nothing = %#x, want %#x", got, want)
	}
}

func TestCardKey(t *testing.T) {
	for s, want := range map[string]uint64{
		"460001234567890": 1460001234567890, "001010": 1001010, "999999999999999": 1999999999999999,
		"": 0, "46000": 0, "4600012345678901": 0, "46000123456789x": 0, "46000123456789:": 0, "46000123456789/": 0,
	} {
		got := CardKey(s)
		if got != want {
			t.Errorf("CardKey(%q) = %d, want %d", s, got, want)
		}
		if got != 0 && IMSIOf(got) != s {
			t.Errorf("IMSIOf(%d) = %q, want %q", got, IMSIOf(got), s)
		}
	}
}

func TestEquipmentKey(t *testing.T) {
	for s, want := range map[string]uint64{
		"356938035643809": 35693803564380 + 1, "35693803564380": 35693803564380 + 1, "3569380356438012": 35693803564380 + 1,
		"000000000000000": 1, "": 0, "3569380356438": 0, "35693803564380a": 0, "35693803564380123": 0, "3569380356438x1": 0,
	} {
		got := EquipmentKey(s)
		if got != want {
			t.Errorf("EquipmentKey(%q) = %d, want %d", s, got, want)
		}
		if got != 0 && IMEIOf(got) != s[:14] {
			t.Errorf("IMEIOf(%d) = %q", got, IMEIOf(got))
		}
	}
	if got := TAC(EquipmentKey("356938035643809")); got != 35693803 {
		t.Errorf("TAC = %d", got)
	}
}

func TestParsePLMN(t *testing.T) {
	seen := map[uint32]string{}
	for _, s := range []string{"46000", "460000", "310410", "31041", "00101", "001001", "999999", "00000"} {
		p := ParsePLMN(s)
		if p == 0 || PLMNText(p) != s || seen[p] != "" {
			t.Errorf("ParsePLMN(%q) = %#x, back %q; %q has the same", s, p, PLMNText(p), seen[p])
		}
		seen[p] = s
	}
	if Country(ParsePLMN("46000")) != 460 {
		t.Error("46000 is in another country")
	}
	for _, s := range []string{"", "4600", "4600000", "4600x", "4600000"} {
		if p := ParsePLMN(s); p != 0 {
			t.Errorf("ParsePLMN(%q) = %#x, want 0", s, p)
		}
	}
}

func TestPeerKey(t *testing.T) {
	k := testKeys()
	same := [][]string{
		{"+8613800138000", "8613800138000"}, {"10086"}, {"010086"}, {"0"}, {"00"}, {"198.51.100.20", "::ffff:198.51.100.20"}, {"198.51.100.21"}, {"0.0.0.0"}, {"255.255.255.255"},
		{"2001:db8::1", "2001:0DB8:0:0:0:0:0:1"}, {"2001:db8::2"}, {"Google", "GOOGLE", "google"}, {"198.51.100.020"}, {"198.51.100.256"}, {"198.51.100"}, {"198.51.100.20:443"},
		{"12345678901234567", "+12345678901234567"}, {"123456789012345678", "+123456789012345678"}, {"1234567890123456789012", "+1234567890123456789012"}, {"+"}, {"sip:alice@example.org"},
	}
	kinds := map[string]int{"10086": PeerNumber, "198.51.100.20": PeerIPv4, "198.51.100.020": PeerHashed, "2001:db8::1": PeerHashed, "123456789012345678": PeerHashed, "0": PeerNumber, "0.0.0.0": PeerIPv4}
	seen := map[uint64]string{}
	for _, set := range same {
		key := k.PeerKey([]byte(set[0]))
		if other, ok := seen[key]; ok || key == 0 {
			t.Errorf("%q has the key %#x of %q", set[0], key, other)
		}
		seen[key] = set[0]
		for _, s := range set {
			if got := k.PeerKey([]byte(s)); got != key {
				t.Errorf("PeerKey(%q) = %#x, want that of %q, %#x", s, got, set[0], key)
			}
			if kind, ok := kinds[s]; ok && PeerKind(key) != kind {
				t.Errorf("%q is of kind %d, want %d", s, PeerKind(key), kind)
			}
			if back := PeerText(key); back != "" && back != strings.TrimPrefix(set[0], "+") {
				t.Errorf("PeerText of %q = %q", s, back)
			}
		}
	}
	if k.PeerKey(nil) != 0 || PeerText(0) != "" {
		t.Error("no peer has a key")
	}
	if k.PeerKey([]byte("2001:db8::1")) == NewKeys([32]byte{}).PeerKey([]byte("2001:db8::1")) {
		t.Error("another secret made the same key")
	}
	// Kept: it is what machines with one secret have to agree upon.
	if got, want := k.PeerKey([]byte("2001:db8::1")), uint64(0xe48d27aa7387931d); got != want {
		t.Errorf("the key of an IPv6 address is %#x, was %#x", got, want)
	}
}

func TestPlaceKey(t *testing.T) {
	k := testKeys()
	type place struct {
		plmn       string
		area, cell string
	}
	places := []place{
		{"46000", "20225", "1"}, {"46000", "20226", "1"}, {"46001", "20225", "1"}, {"460001", "20225", "1"}, {"", "20225", "1"}, {"46000", "", "1"},
		{"46000", "20225", "65536"}, {"46000", "20225", "68719476735"}, {"46000", "20225", "68719476736"}, {"46000", "20225", "9b2"}, {"46000", "4f01", "1"}, {"46000", "0", "0"}, {"46000", "01", "1"},
	}
	seen := map[uint64]place{}
	for _, p := range places {
		plmn := ParsePLMN(p.plmn)
		a, c := k.PlaceKey(plmn, []byte(p.area), []byte(p.cell))
		if was, ok := seen[c]; ok || c == 0 {
			t.Errorf("%v has the cell key %#x of %v", p, c, was)
		}
		seen[c] = p
		if s := AreaText(a); s != "" && s != p.area {
			t.Errorf("AreaText of %v = %q", p, s)
		}
		if s := CellText(c); s != "" && s != p.cell {
			t.Errorf("CellText of %v = %q", p, s)
		}
	}
	// An identity that is unique in the network is the same whatever its area is.
	_, c1 := k.PlaceKey(ParsePLMN("46000"), []byte("1"), []byte("123456"))
	_, c2 := k.PlaceKey(ParsePLMN("46000"), []byte("2"), []byte("123456"))
	if c1 != c2 {
		t.Error("a cell with an identity of the network changed its key with its area")
	}
	if a, c := k.PlaceKey(0, nil, nil); a != 0 || c != 0 {
		t.Error("no place has a key")
	}
	for _, n := range []uint32{0, 1, 65535, 1<<24 - 1, 1 << 24, 1<<32 - 1} {
		if got, want := k.AreaNumber(n), k.AreaKey([]byte(fmt.Sprint(n))); got != want {
			t.Errorf("AreaNumber(%d) = %#x, want %#x", n, got, want)
		}
	}
}

func TestAPNKey_ignoresCaseOnly(t *testing.T) {
	k := testKeys()
	seen := map[uint32]string{}
	for _, s := range []string{"a", "b", "ab", "aa", "aaa", "iot", "iot.example", "iot.examplf", "iot-example", "iot.example.mnc000.mcc460.gprs", "[ot", "{ot", "@ot", "`ot", "i\xc9t", "i\xe9t"} {
		key := k.APNKey([]byte(s))
		if was, ok := seen[key]; ok || key == 0 {
			t.Errorf("APNKey(%q) is that of %q", s, was)
		}
		seen[key] = s
		if k.APNKey([]byte(strings.ToUpper(s))) != key && !strings.Contains(s, "\xc9") && !strings.Contains(s, "\xe9") {
			t.Errorf("APNKey(%q) differs in capitals", s)
		}
	}
}

func TestIDKey_spreads(t *testing.T) {
	k := testKeys()
	const n = 200_000
	seen := make(map[uint64]bool, 2*n)
	for i := range n {
		seen[k.IDKey(1460001234567890, fmt.Appendf(nil, "%d", i))] = true
		seen[k.IDKey(1460001234567890+uint64(i)+1, []byte("smf-7/4711"))] = true
	}
	if len(seen) != 2*n {
		t.Errorf("%d of %d ids share a key", 2*n-len(seen), 2*n)
	}
	if k.IDKey(1, nil) != 0 {
		t.Error("no id has a key")
	}
}

func TestEvent_andBack(t *testing.T) {
	k := testKeys()
	r := full()
	r.IMEI, r.Peer, r.Area, r.Cell, r.Up, r.Down = "35693803564380", "8613800138000", "20225", "123456", 1200, 0
	e, err := k.Event(&r)
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	e.Record(&back)
	want := r
	want.ID, want.APN, want.Address, want.Time, want.Duration = "", "", "", want.Time.Truncate(time.Second), 12*time.Second
	if d := cmp.Diff(want, back); d != "" {
		t.Error(d)
	}
	again, err := k.Event(&back)
	again.ID, again.APN = e.ID, e.APN
	if err != nil || again != e {
		t.Errorf("the event of the record of an event is another: %v\n%s", err, cmp.Diff(e, again))
	}
	for name, r := range map[string]Record{"no card": {Time: r.Time}, "no time": {IMSI: r.IMSI}, "1989": {IMSI: r.IMSI, Time: time.Unix(minTime-1, 0)}, "2100": {IMSI: r.IMSI, Time: time.Unix(maxTime, 0)}} {
		if _, err := k.Event(&r); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: Event = %v, want an invalid error", name, err)
		}
	}
	full := Record{IMSI: r.IMSI, Time: r.Time, Up: 1<<64 - 1, Down: 1<<64 - 1, Duration: 1 << 62}
	if e, err = k.Event(&full); err != nil || e.Volume < 3.6e19 || e.Use.Seconds() != 1<<24-1 {
		t.Errorf("the most bytes and seconds = %v, %v, %v", e.Volume, e.Use.Seconds(), err)
	}
}

// aRecord is a record like those of a fleet.
func aRecord(r *rand.Rand, i int) Record {
	return Record{
		ID: fmt.Sprintf("smf-%d/%d", r.IntN(4), i), Time: time.Unix(1763733727+int64(i), int64(r.IntN(1000))*1e6).UTC(), IMSI: ringwall.IMSI(fmt.Sprint(460000000000000 + r.Int64N(1e9))),
		IMEI: "356938035643809", Service: Service(1 + r.IntN(3)), Direction: Direction(r.IntN(3)), Peer: fmt.Sprintf("198.51.100.%d", r.IntN(256)), APN: "iot.example",
		Up: r.Uint64N(1e6), Down: r.Uint64N(1e7), PLMN: "46000", Area: fmt.Sprint(r.IntN(65536)), Cell: fmt.Sprint(r.IntN(1 << 28)), Duration: time.Duration(r.IntN(3600)) * time.Second,
	}
}

func someRecords(n int) []Record {
	r := rand.New(rand.NewPCG(1, 2))
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = aRecord(r, i)
	}
	return recs
}

func TestRecords_resume(t *testing.T) {
	k, recs := testKeys(), someRecords(3*MaxBatch+7)
	recs[3].IMSI = "x"
	var bad []Bad
	var got []Record
	var pos []byte
	for {
		// A new source for each batch: positions are all that is carried on.
		s, err := NewRecords(k, recs, pos, func(b Bad) { bad = append(bad, b) })
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		if err := s.Next(context.Background(), &b); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			var r Record
			if err := b.Record(i, &r); err != nil {
				t.Fatal(err)
			}
			if want, _ := k.Event(&r); want != b.Events[i] {
				t.Fatalf("event %d is not that of its record", i)
			}
			r.Line = 0
			got = append(got, r)
		}
		if pos = s.Position(); len(pos) > MaxPosition {
			t.Fatalf("a position of %d bytes", len(pos))
		}
	}
	if d := cmp.Diff(append(append([]Record{}, recs[:3]...), recs[4:]...), got); d != "" {
		t.Error(d)
	}
	if len(bad) != 1 || bad[0].Line != 4 || strings.Contains(bad[0].Reason, "460") {
		t.Errorf("bad records %+v, want one, the fourth", bad)
	}
	if _, err := NewRecords(k, recs, binary.BigEndian.AppendUint64(nil, 1<<40), nil); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a position past the end = %v, want an invalid error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s, _ := NewRecords(k, recs, nil, nil)
	var b Batch
	if err := s.Next(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("Next after the end of its context = %v", err)
	}
}

func BenchmarkKeys(b *testing.B) {
	k, recs := testKeys(), someRecords(MaxBatch)
	b.Run("event", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if e, err := k.Event(&recs[i%len(recs)]); err != nil || e.Card == 0 {
				b.Fatal(err)
			}
		}
	})
	for _, s := range []string{"iot", "iot.example", "iot.example.mnc000.mcc460.gprs"} {
		b.Run(fmt.Sprint("apn/", len(s)), func(b *testing.B) {
			in := []byte(s)
			for b.Loop() {
				k.APNKey(in)
			}
		})
	}
	b.Run("sip/16", func(b *testing.B) {
		in := make([]byte, 16)
		for b.Loop() {
			k.peer.sum(in)
		}
	})
}
