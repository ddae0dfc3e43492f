package cdr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
)

// outcome is all that a reading of an input gave.
type outcome struct {
	Events  []Event
	Lines   []uint64
	Records []Record
	Bad     []string
	Err     string
}

// slowly is the truth: Reader and Keys.Event.
func slowly(in []byte, m Mapping, k *Keys) (o outcome) {
	r, err := NewReader(bytes.NewReader(in), m)
	if err != nil {
		o.Err = err.Error()
		return o
	}
	for {
		var rec Record
		err := r.Read(&rec)
		if err == io.EOF {
			return o
		}
		if le, ok := errors.AsType[*LineError](err); ok {
			o.Bad = append(o.Bad, fmt.Sprint(le.Line, " ", le.Err))
			continue
		}
		if err != nil {
			o.Err = err.Error()
			return o
		}
		e, err := k.Event(&rec)
		if err != nil {
			o.Bad = append(o.Bad, fmt.Sprint(rec.Line, " ", err))
			continue
		}
		o.Events, o.Lines, o.Records = append(o.Events, e), append(o.Lines, rec.Line), append(o.Records, rec)
	}
}

// quickly reads by the source, made anew from its position every so many
// batches.
func quickly(t testing.TB, open func() io.Reader, m Mapping, k *Keys, every int) (o outcome) {
	var pos []byte
	c := CSVConfig{Name: "x", Mapping: m, Bad: func(b Bad) { o.Bad = append(o.Bad, fmt.Sprint(b.Line, " ", b.Reason)) }}
	var s *CSV
	var b Batch
	for n := 0; ; n++ {
		if n%every == 0 {
			var err error
			c.From = pos
			if s, err = NewCSV(open(), k, c); err != nil {
				o.Err = err.Error()
				return o
			}
		}
		switch err := s.Next(context.Background(), &b); {
		case err == io.EOF:
			return o
		case err != nil:
			o.Err = err.Error()
			return o
		case len(b.Events) == 0 || len(b.Events) > MaxBatch || len(b.Lines) != len(b.Events):
			t.Fatalf("a batch of %d events and %d lines", len(b.Events), len(b.Lines))
		}
		for i := range b.Events {
			var r Record
			if err := b.Record(i, &r); err != nil {
				t.Fatal(err)
			}
			o.Records = append(o.Records, r)
		}
		o.Events, o.Lines = append(o.Events, b.Events...), append(o.Lines, b.Lines...)
		pos = s.Position()
	}
}

var mappings = []Mapping{
	{},
	{Comma: ';', Services: map[string]string{"1": "data", "2": "sms", "GPRS": "data", "sms": "voice"}, Directions: map[string]string{"0": "mo", "1": "mt"}},
	{Time: "20060102150405", Zone: time.FixedZone("CST", 8*3600), Comma: '|'},
	{Time: "2006-01-02 15:04:05", Zone: berlin()},
	{Time: "2006-01-02T15:04:05"},
	{Time: "02.01.2006 15:04", Comma: '.'},
	{Comma: '5'},
	{Unit: 1 << 20, Comma: '\t'},
	{Unit: 1 << 63},
}

func berlin() *time.Location {
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return z
}

// a mess of lines: most right, many with something out of the ordinary.
func messy(r *rand.Rand, m Mapping, lines int) []byte {
	comma := string(rune(m.Comma))
	if m.Comma == 0 {
		comma = ","
	}
	// The first two of each are right, and mostly taken.
	pick := func(s ...string) string {
		if r.IntN(10) > 0 {
			return s[r.IntN(2)]
		}
		return s[r.IntN(len(s))]
	}
	cols := append(Columns(), "extra")
	r.Shuffle(len(cols), func(i, j int) { cols[i], cols[j] = cols[j], cols[i] })
	var b bytes.Buffer
	b.WriteString(strings.Join(cols, comma) + "\n")
	times := []string{"2026-11-21T14:02:07Z", "1763733727", "1763733727.5", "2026-11-21T14:02:07.123456789+08:00", "2026-02-29T00:00:00Z", "2024-02-29T23:59:59Z", "2026-11-21T24:00:00Z", "2026-11-21T14:02:07.Z", "2026-11-21t14:02:07z",
		"2026-11-21T14:02:07-23:59", "2026-11-21T14:02:07+24:00", "20261121140207", "2026-11-21 14:02:07", "2026-03-29 02:30:00", "2026-03-29 03:30:00", "2026-10-25 02:30:00", "2026-10-25 01:59:59", "1763733727.", "-1763733727", "01763733727", "17637337270", "631151999", "4102444800", "2026-11-21T14:02:07", "", "x", "2099-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "2026-11-21T14:02:07.1234567890123Z", "1763733727.123456789x"}
	odd := []string{"", "0", "a", `"q"`, `"a""b"`, `a"b`, "é", "+5", "-1", "1e3", " ", "\r", "99999999999999999999", "1.5", "x y", "12345678", "1234567890123456", strings.Repeat("z", 257), strings.Repeat("7", 300), "\x00", "data\x00"}
	for range lines {
		for i, c := range cols {
			v := ""
			switch c {
			case "time":
				v = pick(times...)
				if m.Time != "" && r.IntN(4) > 0 {
					v = time.Unix(1763733727+r.Int64N(1e8), 0).UTC().Format(m.Time)
				} else if r.IntN(3) > 0 {
					v = time.Unix(1763733727+r.Int64N(1e8), r.Int64N(1e9)).UTC().Format(pick(time.RFC3339, time.RFC3339Nano))
				}
			case "imsi":
				v = pick("460001234567890", "460001", "46000123456789", "001010123456789", "4600012345678901", "46000")
			case "imei":
				v = pick("356938035643809", "35693803564380", "3569380356438012", "35693803564380123", "", "3569380356438")
			case "service":
				v = pick("data", "sms", "voice", "DATA", "dAta", "1", "2", "GPRS", "gprs", "data2", "datadatadata")
			case "direction":
				v = pick("", "mo", "mt", "MT", "0", "1", "2", "Mo")
			case "peer":
				v = pick("", "198.51.100.20", "+8613800138000", "10086", "2001:db8::1", "198.51.100.020", "1.2.3", "1.2.3.4.5", "256.1.1.1", "Google", "0.0.0.0", "1.2.3.4x", "12345678901234567", "123456789012345678")
			case "apn":
				v = pick("", "iot.example", "IoT.Example", "cmiot", "a.very.long.name.of.an.access.point.mnc000.mcc460.gprs")
			case "up", "down":
				v = pick("", "0", "1", "12345678", "123456789", "0005", "999999999999999", "9999999999999999", "18446744073709551615", "18446744073709551616")
			case "area":
				v = pick("", "20225", "0", "01", "4f01", "16777215", "16777216", "99999999", "65535")
			case "cell":
				v = pick("", "1", "65535", "65536", "68719476735", "68719476736", "0", "01", "9b2", "123456789012")
			case "duration":
				v = pick("", "0", "12", "12.5", "12.9999999", "12.9999995", "31622400", "31622401", "31622400.5", "1e3", ".5", "5.", "NaN", "0x10", "0.000001", "3.999999")
			case "plmn":
				v = pick("", "46000", "310410", "4600", "46000x", "4600000")
			case "flags":
				v = pick("", "partial", "estimated", "partial estimated", "x", " ")
			default:
				v = pick("", "R-17", "r", "é", "12345678901234567890", `"a,b"`, "smf-1/4711")
			}
			if r.IntN(150) == 0 {
				v = pick(odd...)
			}
			b.WriteString(v)
			if i < len(cols)-1 && r.IntN(200) > 0 {
				b.WriteString(comma)
			}
		}
		b.WriteString(pick("\n", "\n", "\n", "\n", "\r\n", "\r\r\n", "\n\n", "\n\r\n", comma+"\n"))
	}
	return b.Bytes()
}

// TestCSV_readsWhatReaderReads holds the fast path against the slow one on
// inputs full of what goes wrong, for all mappings and for readers that give one
// byte at a time.
func TestCSV_readsWhatReaderReads(t *testing.T) {
	k := testKeys()
	rng := rand.New(rand.NewPCG(5, 5))
	good := 0
	for round := range 40 {
		m := mappings[round%len(mappings)]
		in := messy(rng, m, 400)
		if round%3 == 0 {
			in = bytes.TrimRight(in, "\r\n")
		}
		want := slowly(in, m, k)
		for name, open := range map[string]func() io.Reader{
			"seekable": func() io.Reader { return bytes.NewReader(in) },
			"stream":   func() io.Reader { return iotest.HalfReader(io.MultiReader(bytes.NewReader(in))) },
		} {
			for _, every := range []int{1, 1000} {
				if d := cmp.Diff(want, quickly(t, open, m, k, every)); d != "" {
					t.Fatalf("round %d, mapping %d, %s: (-Reader +CSV)\n%s", round, round%len(mappings), name, d)
				}
			}
		}
		good += len(want.Events)
	}
	if good < 1000 {
		t.Errorf("only %d lines were right: too few to say anything", good)
	}
}

// Ordinary lines do not take the slow path, or it would not be fast.
func TestDecoder_isQuickOnOrdinaryLines(t *testing.T) {
	for i, head := range []string{Header(), "imsi,time,service,imei,up,down,area,cell,peer\n"} {
		l, err := ParseHeader([]byte(head), Mapping{})
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(l, testKeys())
		for _, r := range someRecords(1000) {
			line := lineOf(t, head, r)
			var e Event
			in, m := append(append(make([]byte, margin), line...), make([]byte, margin)...), marks{}
			m.reset(margin)
			if !m.fill(in, margin, margin+len(line), ',') || m.lines != 1 || !d.quick(in, &m, &e) {
				t.Fatalf("header %d: %q takes the slow path", i, line)
			}
			if want, _ := testKeys().Event(&r); i == 0 && e != want {
				t.Fatalf("%q\n%s", line, cmp.Diff(want, e))
			}
		}
	}
}

func lineOf(t testing.TB, head string, r Record) []byte {
	if head == Header() {
		line, err := AppendLine(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	// Nine columns of 76 bytes, as mediation writes them.
	return fmt.Appendf(nil, "%s,%d,%s,%s,%d,%d,%s,%s,%s\n", r.IMSI.Reveal(), r.Time.Unix(), r.Service, r.IMEI.Reveal(), r.Up%1e4, r.Down%1e5, r.Area, r.Cell[:min(5, len(r.Cell))], r.Peer)
}

func TestCSV_longLines(t *testing.T) {
	k := testKeys()
	good := "1763733727,460001234567890,data\n"
	for _, n := range []int{MaxLine - len(good), MaxLine, csvBuffer, csvBuffer + 1, 3*csvBuffer + 77} {
		in := "time,imsi,service\n" + good + strings.Repeat("x", n) + "\n" + good
		want := slowly([]byte(in), Mapping{}, k)
		if len(want.Events) != 2 || len(want.Bad) != 1 {
			t.Fatalf("the slow way reads %d events", len(want.Events))
		}
		got := quickly(t, func() io.Reader { return strings.NewReader(in) }, Mapping{}, k, 1)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("a line of %d bytes: (-Reader +CSV)\n%s", n, d)
		}
	}
	// A header that never ends, and one that is nothing.
	if _, err := NewCSV(strings.NewReader(strings.Repeat("x", 2*csvBuffer)), k, CSVConfig{}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a header of %d bytes = %v, want an invalid error", 2*csvBuffer, err)
	}
	if _, err := NewCSV(strings.NewReader(""), k, CSVConfig{}); err != io.EOF {
		t.Errorf("an empty input = %v, want io.EOF", err)
	}
}

// What is told of a bad line is enough to find it, and to feed it again.
func TestCSV_badLinesAreWholeAndInPlace(t *testing.T) {
	in := "time,imsi,service\n1763733727,460001234567890,data\n1763733727,460001234567890,fax\r\n\nx\n"
	var got []Bad
	s, err := NewCSV(strings.NewReader(in), testKeys(), CSVConfig{Name: "day.csv", Bad: func(b Bad) {
		b.Raw = bytes.Clone(b.Raw)
		got = append(got, b)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for err == nil {
		err = s.Next(context.Background(), &b)
	}
	want := []Bad{
		{Source: "day.csv", Line: 3, Offset: 50, Reason: `service "fax" is none of "data", "sms", "voice"`, Raw: []byte("1763733727,460001234567890,fax")},
		{Source: "day.csv", Line: 5, Offset: int64(len(in)) - 2, Reason: `time "x" is not a time between 1990 and 2100`, Raw: []byte("x")},
	}
	if d := cmp.Diff(want, got); d != "" || err != io.EOF {
		t.Errorf("%v\n%s", err, d)
	}
	if p := s.Position(); int64(len(in)) != int64(p[7])|int64(p[6])<<8 {
		t.Errorf("the position at the end of %d bytes is %x", len(in), p)
	}
}

func TestCSV_errorsOfTheStream(t *testing.T) {
	in := "time,imsi,service\n" + strings.Repeat("1763733727,460001234567890,data\n", 3) + "1763733727,4600"
	broken := errors.New("gone")
	s, err := NewCSV(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), testKeys(), CSVConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if err := s.Next(context.Background(), &b); err != nil || len(b.Events) != 3 {
		t.Fatalf("%d events, %v; want the three that came whole", len(b.Events), err)
	}
	pos := s.Position()
	if err := s.Next(context.Background(), &b); !errors.Is(err, broken) {
		t.Errorf("Next = %v, want what the stream answered", err)
	}
	if !bytes.Equal(pos, s.Position()) {
		t.Error("the position moved on over what never came")
	}
	for _, from := range [][]byte{{1}, make([]byte, 16), append([]byte{0xff}, make([]byte, 15)...)} {
		if _, err := NewCSV(strings.NewReader(in), testKeys(), CSVConfig{From: from}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("position %x = %v, want an invalid error", from, err)
		}
	}
}

func TestCSV_allocatesNothing(t *testing.T) {
	in := csvOf(t, Header(), 5000)
	r := bytes.NewReader(in)
	s, err := NewCSV(r, testKeys(), CSVConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	ctx := context.Background()
	if n := testing.AllocsPerRun(5, func() {
		if err := s.Next(ctx, &b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a batch allocates %v times", n)
	}
}

func csvOf(t testing.TB, head string, n int) []byte {
	b := []byte(head)
	for _, r := range someRecords(n) {
		b = append(b, lineOf(t, head, r)...)
	}
	return b
}

func FuzzCSV(f *testing.F) {
	for i := range mappings {
		f.Add(messy(rand.New(rand.NewPCG(uint64(i), 1)), mappings[i], 5), uint8(i))
	}
	f.Add([]byte("imsi,time,service,x\n460001234567890,1763733727,data,\r\n"), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, which uint8) {
		m, k := mappings[int(which)%len(mappings)], testKeys()
		want := slowly(in, m, k)
		got := quickly(t, func() io.Reader { return bytes.NewReader(in) }, m, k, 1)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-Reader +CSV)\n%s", d)
		}
	})
}

// FuzzDecoder puts single lines under a header with all columns.
func FuzzDecoder(f *testing.F) {
	for _, r := range someRecords(5) {
		line, _ := AppendLine(nil, &r)
		f.Add(line)
	}
	l, err := ParseHeader([]byte(Header()), Mapping{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		k := testKeys()
		var got, want Event
		gotErr := NewDecoder(l, k).Event(line, &got)
		var r Record
		wantErr := l.Decode(line, &r)
		if wantErr == nil {
			want, wantErr = k.Event(&r)
		}
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || wantErr == nil && got != want {
			t.Fatalf("%v, want %v\n%s", gotErr, wantErr, cmp.Diff(want, got))
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	for name, head := range map[string]string{"9 columns": "imsi,time,service,imei,up,down,area,cell,peer\n", "15 columns": Header()} {
		in := csvOf(b, head, 20_000)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)) / 20_000)
			r := bytes.NewReader(in)
			var batch Batch
			n, k := 0, testKeys()
			start, best := spent(), time.Hour
			for n < b.N {
				pass := spent()
				r.Reset(in)
				s, err := NewCSV(r, k, CSVConfig{})
				for err == nil {
					if err = s.Next(context.Background(), &batch); err == nil {
						n += len(batch.Events)
					}
				}
				best = min(best, spent()-pass)
			}
			b.ReportMetric(float64(best.Nanoseconds())/20_000, "best-cpu-ns/record")
			b.ReportMetric(float64((spent()-start).Nanoseconds())/float64(n), "cpu-ns/record")
		})
	}
}
