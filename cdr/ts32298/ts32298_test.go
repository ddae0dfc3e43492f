package ts32298

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
)

func testKeys() *cdr.Keys { return cdr.NewKeys([32]byte{1, 2, 3}) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// aRecord is a record with all that a record of its kind can tell.
func aRecord(service cdr.Service, direction cdr.Direction) cdr.Record {
	r := cdr.Record{
		ID: "smf-7/4711", Time: time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC), IMSI: "460001234567890", IMEI: "3569380356438012",
		Service: service, Direction: direction, Area: "20225", Cell: "12345", PLMN: "46000", Duration: 93 * time.Second,
	}
	switch service {
	case cdr.Data:
		r.APN, r.Up, r.Down, r.Address, r.Partial, r.Cell = "iot.example", 123456, 7890123, "10.1.2.3", true, "123456789"
	case cdr.Voice:
		r.ID, r.Peer = "8613800000/4711", "+8613900139000"
	default:
		r.Peer = "+8613900139000"
	}
	return r
}

// what a kind of record has no field for is lost, and nothing else.
func lose(tag uint32, r cdr.Record) cdr.Record {
	at := fmt.Sprint("@", r.Time.Unix())
	switch tag {
	case 20: // LAC and cell identity have 16 bits
		r.Cell = ""
	case 0, 1:
		r.ID = "8613800000/00001267" + at
	case 6:
		r.ID, r.Duration = "/00001267"+at, 0
	case 7: // the other end is not told
		r.ID, r.Duration, r.Peer = "", 0, ""
	case 23, 24, 93, 94, 112, 113:
		r.Duration = 0
	}
	if tag == 6 || tag == 93 || tag == 94 {
		r.ID = strings.Replace(r.ID, "smf-7", "+0", 1)
	}
	if tag == 6 {
		r.ID = "+0/00001267" + at
	}
	if tag == 112 || tag == 113 {
		r.ID = strings.Replace(r.ID, "smf-7", "", 1)
	}
	return r
}

type variant struct {
	tag uint32
	a   Appender
	r   cdr.Record
}

func variants() (vs []variant) {
	for _, indefinite := range []bool{false, true} {
		for _, tag := range []uint32{200, 78, 79, 20} {
			vs = append(vs, variant{tag, Appender{Data: tag, Indefinite: indefinite}, aRecord(cdr.Data, 0)})
		}
		vs = append(vs, variant{0, Appender{Indefinite: indefinite}, aRecord(cdr.Voice, cdr.Originated)})
		vs = append(vs, variant{1, Appender{Indefinite: indefinite}, aRecord(cdr.Voice, cdr.Terminated)})
		for _, tag := range []uint32{200, 6, 23, 93, 112} {
			vs = append(vs, variant{tag, Appender{SMS: tag, Indefinite: indefinite}, aRecord(cdr.SMS, cdr.Originated)})
			mt := tag + 1
			if tag == 200 {
				mt = 200
			}
			vs = append(vs, variant{mt, Appender{SMS: tag, Indefinite: indefinite, Zone: time.FixedZone("", -5*3600-1800)}, aRecord(cdr.SMS, cdr.Terminated)})
		}
	}
	return vs
}

func TestRoundTrip(t *testing.T) {
	k := testKeys()
	d := NewDecoder(k)
	for _, v := range variants() {
		b, err := v.a.Append([]byte("x"), &v.r)
		if err != nil {
			t.Fatal(err)
		}
		b = b[1:]
		var got cdr.Record
		if err := d.Record(b, &got); err != nil {
			t.Errorf("%s %d (indefinite %v): %v\n%x", v.r.Service, v.tag, v.a.Indefinite, err, b)
			continue
		}
		if diff := cmp.Diff(lose(v.tag, v.r), got); diff != "" {
			t.Errorf("%s %d (indefinite %v):\n%s", v.r.Service, v.tag, v.a.Indefinite, diff)
		}
		var e cdr.Event
		if err := d.Event(b, &e); err != nil {
			t.Fatal(err)
		}
		if want, err := k.Event(&got); err != nil || e != want {
			t.Errorf("%s %d: the event is not that of the record: %v\n%s", v.r.Service, v.tag, err, cmp.Diff(want, e))
		}
		// Every record ends where it ends: no byte may lack, none may follow.
		for i := range b {
			if err := d.Event(b[:i], &e); ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("%d: cut to %d of %d bytes: %v, want an invalid error", v.tag, i, len(b), err)
			}
		}
		if err := d.Event(append(bytes.Clone(b), 0), &e); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%d: a byte behind its end: %v, want an invalid error", v.tag, err)
		}
	}
}

// build writes a record of a tag from what is given.
func build(tag uint32, do func(b *ber.Builder)) []byte {
	var b ber.Builder
	b.Begin(ber.Context, tag)
	do(&b)
	b.End()
	return b.B
}

func ctx(b *ber.Builder, tag uint32, v ...byte) { b.Bytes(ber.Context, tag, v) }

var opened = []byte{0x26, 0x11, 0x21, 0x22, 0x02, 0x07, '+', 0x08, 0x00}

// What an S-GW record says when its fields come in another order, with several
// traffic containers, structures and tags that nobody knows, and tags of more
// than one octet.
func TestRecord_sgwWithAllKindsOfThings(t *testing.T) {
	b := build(78, func(b *ber.Builder) {
		b.Indefinite = true
		ctx(b, 13, opened...)
		b.Begin(ber.Context, 12)
		for i := range 3 {
			b.Indefinite = i == 1
			b.Begin(ber.Universal, ber.Sequence)
			b.Uint(ber.Context, 3, 100)
			b.Uint(ber.Context, 4, 1<<33)
			ctx(b, 8, append([]byte{0x18, 0x64, 0xf0, 0x00, 0x4f, byte(i), 0x64, 0xf0, 0x00}, 1, 2, 3, 4)...)
			b.End()
		}
		b.End()
		b.Begin(ber.Context, 99) // unknown, and nested
		b.Indefinite = true
		b.Begin(ber.Private, 5000)
		ctx(b, 3, 0, 0, 0, 0)
		b.End()
		b.End()
		ctx(b, 1000, 1)
		ctx(b, 64, 1)
		b.Bytes(ber.Application, 3, []byte("no card"))
		b.Indefinite = false
		b.Uint(ber.Context, 0, 84)
		ctx(b, 3, 0x13, 0x00, 0x41, 0x01, 0x32, 0x54, 0x76, 0xf8)
		ctx(b, 18, []byte("pgw\x01")...)
		b.Uint(ber.Context, 20, 4000000000)
		ctx(b, 27, 0x13, 0x00, 0x14)
		b.Uint(ber.Context, 15, 18)
		b.Uint(ber.Context, 14, 600)
		b.Begin(ber.Context, 9)
		b.Begin(ber.Context, 0)
		b.Begin(ber.Context, 4)
		b.Bytes(ber.Universal, 4, append([]byte{0x20, 1, 0x0d, 0xb8}, make([]byte, 12)...))
		b.End()
		b.End()
		b.End()
		ctx(b, 7, []byte("IoT.Example")...)
	})
	var got cdr.Record
	if err := NewDecoder(testKeys()).Record(b, &got); err != nil {
		t.Fatal(err)
	}
	want := cdr.Record{
		ID: "pgw?/4000000000", Time: time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC), IMSI: "310014102345678", Service: cdr.Data, APN: "IoT.Example",
		Up: 300, Down: 3 << 33, Area: "20226", Cell: fmt.Sprint(0x01020304), PLMN: "310041", Duration: 10 * time.Minute, Partial: true, Address: "2001:db8::",
	}
	want.PLMN = "310410"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestEvent_refuses(t *testing.T) {
	good := func(b *ber.Builder) {
		b.Uint(ber.Context, 0, 85)
		ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0)
		ctx(b, 13, opened...)
	}
	d := NewDecoder(testKeys())
	var e cdr.Event
	if err := d.Event(build(79, good), &e); err != nil {
		t.Fatalf("the record that is made wrong below is not right: %v", err)
	}
	tests := map[string]struct {
		in   []byte
		want string
	}{
		"nothing":      {nil, "byte 0"},
		"zeros":        {make([]byte, 40), "end-of-contents"},
		"no record":    {unhex(t, "30 03 80 01 00"), "begins no record"},
		"giant length": {unhex(t, "bf4f 84 ffffffff 80"), "behind its surroundings"},
		"no card":      {build(79, func(b *ber.Builder) { ctx(b, 13, opened...) }), "names no card"},
		"no time":      {build(79, func(b *ber.Builder) { ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0) }), "no time"},
		"bad card":     {build(79, func(b *ber.Builder) { good(b); ctx(b, 3, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xfa) }), "served IMSI of 8 octets"},
		"empty card":   {build(79, func(b *ber.Builder) { good(b); ctx(b, 3) }), "served IMSI of 0 octets"},
		"bad month":    {build(79, func(b *ber.Builder) { good(b); ctx(b, 13, 0x26, 0x13, 0x21, 0, 0, 0, '+', 0, 0) }), "time stamp"},
		"30 February":  {build(79, func(b *ber.Builder) { good(b); ctx(b, 13, 0x26, 0x02, 0x30, 0, 0, 0, '+', 0, 0) }), "time stamp"},
		"bad hour":     {build(79, func(b *ber.Builder) { good(b); ctx(b, 13, 0x26, 0x02, 0x20, 0x24, 0, 0, '+', 0, 0) }), "time stamp"},
		"bad nibble":   {build(79, func(b *ber.Builder) { good(b); ctx(b, 13, 0x26, 0x02, 0x2a, 0, 0, 0, '+', 0, 0) }), "time stamp"},
		"bad sign":     {build(79, func(b *ber.Builder) { good(b); ctx(b, 13, 0x26, 0x02, 0x20, 0, 0, 0, 0x30, 0, 0) }), "time stamp"},
		"short time":   {build(79, func(b *ber.Builder) { good(b); ctx(b, 13, 0x26, 0x02, 0x20) }), "time stamp of 3 octets"},
		"negative volume": {build(79, func(b *ber.Builder) {
			good(b)
			b.Begin(ber.Context, 12)
			b.Begin(ber.Universal, ber.Sequence)
			ctx(b, 3, 0xff)
			b.End()
			b.End()
		}), "volume of 1 octets"},
		"giant volume": {build(79, func(b *ber.Builder) {
			good(b)
			b.Begin(ber.Context, 12)
			b.Begin(ber.Universal, ber.Sequence)
			ctx(b, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
			b.End()
			b.End()
		}), "volume of 10 octets"},
		"an element that ends too late": {build(79, func(b *ber.Builder) { good(b); b.B = append(b.B, 0x84, 0x50) }), "behind its surroundings"},
		"a giant one inside":            {build(79, func(b *ber.Builder) { good(b); b.B = append(b.B, 0x84, 0x84, 0xff, 0xff, 0xff, 0xff) }), "behind its surroundings"},
		"open for ever":                 {build(79, func(b *ber.Builder) { good(b); b.B = append(b.B, bytes.Repeat([]byte{0xa4, 0x80}, 1000)...) }), "nested too deeply"},
		"too long":                      {build(79, func(b *ber.Builder) { good(b); ctx(b, 120, make([]byte, MaxRecord)...) }), "want at most"},
	}
	for name, tt := range tests {
		if err := d.Event(tt.in, &e); ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an invalid error with %q", name, err, tt.want)
		} else if strings.Contains(err.Error(), "46000") {
			t.Errorf("%s: the error tells the card: %v", name, err)
		}
	}
}

// Records of other kinds, and of other modules under the same tag, are told apart
// from wrong ones.
func TestEvent_otherKinds(t *testing.T) {
	d := NewDecoder(testKeys())
	var e cdr.Event
	for name, in := range map[string][]byte{
		"location update":      build(13, func(b *ber.Builder) { b.Uint(ber.Context, 0, 13) }),
		"SRVCC under SGSN-PDP": build(20, func(b *ber.Builder) { b.Uint(ber.Context, 0, 87) }),
		"CHF registration": build(200, func(b *ber.Builder) {
			b.Uint(ber.Context, 0, 200)
			b.Begin(ber.Context, 2)
			b.Uint(ber.Context, 0, 1)
			ctx(b, 1, []byte("imsi-460001234567890")...)
			b.End()
			ctx(b, 6, opened...)
			b.Begin(ber.Context, 19)
			b.End()
		}),
	} {
		if err := d.Event(in, &e); !errors.Is(err, ErrKind) {
			t.Errorf("%s: %v, want ErrKind", name, err)
		}
	}
}

func TestRecord_chfForms(t *testing.T) {
	d := NewDecoder(testKeys())
	chf := func(do func(b *ber.Builder)) []byte {
		return build(200, func(b *ber.Builder) {
			b.Begin(ber.Context, 2)
			ctx(b, 1, []byte("imsi-460001234567890")...)
			b.Uint(ber.Context, 0, 1)
			b.End()
			ctx(b, 6, opened...)
			do(b)
		})
	}
	var r cdr.Record
	err := d.Record(chf(func(b *ber.Builder) {
		b.Begin(ber.Context, 13)
		b.Begin(ber.Context, 2)
		ctx(b, 1, []byte("imeisv-3569380356438012")...)
		ctx(b, 0, 0)
		b.End()
		b.Begin(ber.Context, 35)
		b.Begin(ber.Context, 1)
		b.Begin(ber.Context, 0)
		ctx(b, 0, 0x64, 0xf0, 0x00)
		ctx(b, 1, 0x01, 0x02, 0x03)
		b.End()
		b.Begin(ber.Context, 1)
		ctx(b, 0, 0x64, 0xf0, 0x00)
		ctx(b, 1, []byte("00000ABCD")...)
		b.End()
		b.End()
		b.End()
		b.End()
		b.Begin(ber.Context, 5)
		for range 2 { // two rating groups, each with volumes of no direction
			b.Begin(ber.Universal, ber.Sequence)
			b.Begin(ber.Context, 1)
			for range 2 {
				b.Begin(ber.Universal, ber.Sequence)
				b.Uint(ber.Context, 4, 1000)
				b.End()
			}
			b.End()
			b.End()
		}
		b.End()
	}), &r)
	want := cdr.Record{
		Time: time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC), IMSI: "460001234567890", IMEI: "3569380356438012", Service: cdr.Data,
		Up: 4000, Area: fmt.Sprint(0x010203), Cell: fmt.Sprint(0xabcd), PLMN: "46000",
	}
	if d := cmp.Diff(want, r); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	// Equipment that is no IMEI is not one.
	err = d.Record(chf(func(b *ber.Builder) {
		b.Begin(ber.Context, 13)
		b.Begin(ber.Context, 2)
		b.Uint(ber.Context, 0, 1)
		ctx(b, 1, 0, 1, 2, 3, 4, 5)
		b.End()
		ctx(b, 13, []byte("iot")...)
		b.End()
	}), &r)
	if err != nil || r.IMEI != "" {
		t.Errorf("a MAC address as equipment: %q, %v", r.IMEI.Reveal(), err)
	}
}

func TestLocation(t *testing.T) {
	for in, want := range map[string]place{
		"00 64f000 4f01 0007":                             {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, cell: 7, hasArea: true, hasCell: true},
		"01 130014 4f01 0007":                             {plmn: cdr.ParsePLMN("310410"), area: 0x4f01, cell: 7, hasArea: true, hasCell: true},
		"02 64f000 4f01 07ff":                             {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, hasArea: true}, // an RAI has no cell
		"02 64f000 4f01 0700":                             {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, cell: 0x0700, hasArea: true, hasCell: true},
		"80 64f000 4f01":                                  {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, hasArea: true},
		"81 64f000 f2345678":                              {plmn: cdr.ParsePLMN("46000"), cell: 0x02345678, hasCell: true},
		"82 64f000 4f01 64f000 02345678":                  {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, cell: 0x02345678, hasArea: true, hasCell: true},
		"87 64f000 f123456789":                            {plmn: cdr.ParsePLMN("46000"), cell: 0x123456789, hasCell: true},
		"88 64f000 010203":                                {plmn: cdr.ParsePLMN("46000"), area: 0x010203, hasArea: true},
		"89 64f000 010203 64f000 0123456789":              {plmn: cdr.ParsePLMN("46000"), area: 0x010203, cell: 0x123456789, hasArea: true, hasCell: true},
		"18 64f000 4f01 64f000 02345678":                  {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, cell: 0x02345678, hasArea: true, hasCell: true},
		"19 64f010 0001 0002 64f000 4f01 64f000 02345678": {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, cell: 0x02345678, hasArea: true, hasCell: true},
		"08 64f000 4f01":                                  {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, hasArea: true},
		"":                                                {}, "00": {}, "00 64f000 4f01": {}, "00 aaaaaa 4f01 0007": {}, "ff 64f000 4f01 0007": {}, "18 64f000 4f01": {plmn: cdr.ParsePLMN("46000"), area: 0x4f01, hasArea: true},
	} {
		var got place
		got.location(unhex(t, in))
		if got != want {
			t.Errorf("%q is %+v, want %+v", in, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"91 68 31 00 31 90 f0": "+86130013090", "81 01 80 f6": "10086", "01 80 01 80 f6": "10086", "": "", "91": "+", "a1 2a": "*2",
	} {
		if got := string(number(nil, unhex(t, in))); got != want {
			t.Errorf("number %q is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"0b 91 68 31 00 31 90 f0": "+86130013090", "91 68 31 00 31 90 f0": "+86130013090", "05 81 01 80 f6": "10086",
		"0c d0 c7 f7 fb cc 2e 03": "Google", "d0": "", "0b": "", "": "",
	} {
		if got := string(smsAddress(nil, unhex(t, in))); got != want {
			t.Errorf("address %q is %q, want %q", in, got, want)
		}
	}
	// The quick way and the slow one say the same.
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		b := make([]byte, 5+r.IntN(5))
		for i := range b {
			b[i] = byte(r.IntN(10) | r.IntN(10)<<4)
		}
		if r.IntN(3) > 0 {
			b[len(b)-1] |= 0xf0
		}
		if r.IntN(20) == 0 {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		text := string(digits(nil, b))
		if got, want := cardOf(b), cdr.CardKey(text); got != want {
			t.Fatalf("card %x is %d, want %d", b, got, want)
		}
		if got, want := equipmentOf(b), cdr.EquipmentKey(text); got != want {
			t.Fatalf("equipment %x is %d, want %d", b, got, want)
		}
	}
}

func TestTimeStamp(t *testing.T) {
	var c clock
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		zone := time.FixedZone("", (r.IntN(1439)-719)*60)
		want := time.Unix(minTime+r.Int64N(3155760000-86400), 0).In(zone)
		if got := c.read(stamp(want)); got != want.Unix() {
			t.Fatalf("%v is read as %v", want, time.Unix(got, 0).In(zone))
		}
	}
}

func TestEvent_allocatesNothing(t *testing.T) {
	d := NewDecoder(testKeys())
	for _, v := range variants() {
		b, _ := v.a.Append(nil, &v.r)
		var e cdr.Event
		if n := testing.AllocsPerRun(20, func() {
			if err := d.Event(b, &e); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s %d: an event allocates %v times", v.r.Service, v.tag, n)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	for _, v := range variants() {
		b, err := v.a.Append(nil, &v.r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(bytes.Repeat([]byte{0xb4, 0x80}, 100))
	k := testKeys()
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(k)
		var e cdr.Event
		var r cdr.Record
		err := d.Event(in, &e)
		if rerr := d.Record(in, &r); fmt.Sprint(err) != fmt.Sprint(rerr) {
			t.Fatalf("Event says %v, Record %v", err, rerr)
		}
		if err != nil {
			if !errors.Is(err, ErrKind) && ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		want, err := k.Event(&r)
		if err != nil || e != want {
			t.Fatalf("the event is not that of the record: %v\n%s", err, cmp.Diff(want, e))
		}
		// A record that was read can be written as a line, and is the same event.
		if _, err := cdr.AppendLine(nil, &r); err != nil {
			t.Fatal(err)
		}
	})
}

func spent() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

func BenchmarkEvent(b *testing.B) {
	for _, v := range []struct {
		name    string
		service cdr.Service
		a       Appender
	}{
		{"CHF", cdr.Data, Appender{}}, {"CHF indefinite", cdr.Data, Appender{Indefinite: true}}, {"SGW", cdr.Data, Appender{Data: 78}},
		{"MSC", cdr.Voice, Appender{}}, {"SGSN", cdr.SMS, Appender{SMS: 23}}, {"CHF message", cdr.SMS, Appender{}},
	} {
		rng := rand.New(rand.NewPCG(1, 2))
		var recs [][]byte
		size := 0
		for i := range 4096 {
			r := aRecord(v.service, cdr.Originated)
			r.ID = fmt.Sprintf("smf-%d/%d", rng.IntN(8), i)
			r.IMSI = ringwall.IMSI(fmt.Sprint(460000000000000 + rng.Int64N(1e9)))
			r.Up, r.Down = rng.Uint64N(1e6), rng.Uint64N(1e7)
			r.Time = r.Time.Add(time.Duration(i) * time.Second)
			r.Cell = fmt.Sprint(rng.IntN(1 << 28))
			if r.APN != "" {
				r.APN = []string{"iot.example", "meter.net", "fleet.cars"}[rng.IntN(3)]
			}
			r.Partial, r.Duration = rng.IntN(2) == 0, time.Duration(rng.IntN(1000))*time.Second
			one, err := v.a.Append(nil, &r)
			if err != nil {
				b.Fatal(err)
			}
			recs = append(recs, one)
			size += len(one)
		}
		b.Run(fmt.Sprintf("%s/%dB", v.name, size/len(recs)), func(b *testing.B) {
			b.ReportAllocs()
			d := NewDecoder(testKeys())
			var e cdr.Event
			best, start, n := time.Hour, spent(), 0
			for n < b.N {
				pass := spent()
				for _, r := range recs {
					if err := d.Event(r, &e); err != nil {
						b.Fatal(err)
					}
				}
				n += len(recs)
				best = min(best, spent()-pass)
			}
			b.ReportMetric(float64((spent()-start).Nanoseconds())/float64(n), "cpu-ns/record")
			b.ReportMetric(float64(best.Nanoseconds())/float64(len(recs)), "best-cpu-ns/record")
		})
	}
}
