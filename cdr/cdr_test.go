package cdr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
)

func full() Record {
	return Record{
		ID: "r-1", Time: time.Date(2026, 11, 21, 14, 2, 7, 250e6, time.UTC), IMSI: "460001234567890", IMEI: "356938035643809",
		Service: SMS, Direction: Originated, Peer: `+8613800138000`, APN: `iot "x", y`, Up: 1200, Down: 1<<64 - 1,
		Area: "4f01", Cell: "9b2,3", Duration: 12*time.Second + 500*time.Millisecond,
		PLMN: "310410", Estimated: true, Partial: true, Address: "2001:db8::7",
	}
}

func readAll(t *testing.T, text string, m Mapping) (recs []Record, bad []string) {
	t.Helper()
	r, err := NewReader(strings.NewReader(text), m)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var rec Record
		err := r.Read(&rec)
		if err == io.EOF {
			return recs, bad
		}
		if le, ok := errors.AsType[*LineError](err); ok {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Errorf("%v has code %q, want invalid", err, ringwall.CodeOf(err))
			}
			bad = append(bad, fmt.Sprintf("%d: %v", le.Line, le.Err))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, rec)
	}
}

func TestWriter_roundTrip(t *testing.T) {
	want := []Record{full(), {Time: time.Unix(1763733727, 0).UTC(), IMSI: "460001", Service: Data}}
	var b bytes.Buffer
	w, err := NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if err := w.Write(&want[i]); err != nil {
			t.Fatal(err)
		}
		want[i].Line = uint64(i) + 2
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, bad := readAll(t, b.String(), Mapping{})
	if d := cmp.Diff(want, got); d != "" || bad != nil {
		t.Errorf("%v\n%s", bad, d)
	}
}

func TestWriter_refusesLineBreaks(t *testing.T) {
	r := full()
	r.APN = "a\nb"
	if _, err := AppendLine(nil, &r); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("AppendLine with a line break = %v, want an invalid error", err)
	}
}

func TestReader_lines(t *testing.T) {
	head := "time,imsi,service,imei,up,direction,duration,extra\n"
	tests := []struct{ name, line, bad string }{
		{"good", "2026-11-21T14:02:07Z,460001234567890,data,356938035643809,5,,1.5,whatever", ""},
		{"seconds", "1763733727.5,460001234567890,data,,,,,", ""},
		{"other zone", "2026-11-21T14:02:07+08:00,460001234567890,voice,,,mt,,", ""},
		{"carriage return", "1763733727,460001234567890,data,,,,,\r", ""},
		{"quoted", `"1763733727","460001234567890",data,,,,,"a,""b"`, ""},
		{"too few", "1763733727,460001234567890", "2 fields, the header has 8"},
		{"too many", "1763733727,460001234567890,data,,,,,,,", "10 fields, the header has 8"},
		{"no imsi", "1763733727,,data,,,,,", "no imsi"},
		{"no time", ",460001234567890,data,,,,,", "no time"},
		{"no service", "1763733727,460001234567890,,,,,,", "no service"},
		{"bad time", "yesterday,460001234567890,data,,,,,", `time "yesterday" is not a time between 1990 and 2100`},
		{"far future", "99999999999,460001234567890,data,,,,,", `time "99999******" is not a time between 1990 and 2100`},
		{"negative fraction", "1763733727.-1,460001234567890,data,,,,,", `time "17637*****.-1" is not a time between 1990 and 2100`},
		{"imsi with letters", "1763733727,46000x,data,,,,,", `imsi "46000x" is not 6 to 15 digits`},
		{"imsi too long hides its digits", "1763733727,4600012345678901,data,,,,,", `imsi "46000***********" is not 6 to 15 digits`},
		{"bad imei", "1763733727,460001234567890,data,12345,,,,", `imei "12345" is not 14 to 16 digits`},
		{"bad service", "1763733727,460001234567890,fax,,,,,", `service "fax" is none of "data", "sms", "voice"`},
		{"bad direction", "1763733727,460001234567890,sms,,,up,,", `direction "up" is neither "mo" nor "mt"`},
		{"negative bytes", "1763733727,460001234567890,data,,-1,,,", `up "-1" is not a whole number`},
		{"NaN duration", "1763733727,460001234567890,voice,,,,NaN,", `duration "NaN" is not 0 to 31622400 seconds`},
		{"open quote", `1763733727,460001234567890,data,,,,,"abc`, "a quoted field is not closed on its line"},
		{"after quote", `1763733727,460001234567890,data,,,,,"abc"d`, "text after a closing quote"},
		{"bare quote", `1763733727,460001234567890,data,,,,,ab"c`, "a quote inside a field that does not begin with one"},
		{"giant field", "1763733727,460001234567890,data," + strings.Repeat("9", 300) + ",,,,", "imei has 300 bytes or is not UTF-8; want at most 256"},
		{"giant line", "1763733727,460001234567890,data,,,,," + strings.Repeat("x", 3*MaxLine), "longer than 65536 bytes"},
		{"garbage", "\x00\xff\xfe", "time has 3 bytes or is not UTF-8; want at most 256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A good line before and after: one wrong line costs only itself.
			good := "1763733727,460001234567890,data,,,,,\n"
			recs, bad := readAll(t, head+good+"\n"+tt.line+"\n"+good, Mapping{})
			switch {
			case tt.bad == "" && (len(bad) != 0 || len(recs) != 3):
				t.Errorf("%d records, errors %q; want 3 and none", len(recs), bad)
			case tt.bad != "" && (len(bad) != 1 || bad[0] != "4: "+tt.bad || len(recs) != 2):
				t.Errorf("%d records, errors %q; want 2 and %q", len(recs), bad, "4: "+tt.bad)
			case recs[len(recs)-1].Line != 5:
				t.Errorf("the last record has line %d, want 5", recs[len(recs)-1].Line)
			}
		})
	}
}

func TestParseHeader_refuses(t *testing.T) {
	for head, want := range map[string]string{
		"":                                `lacks column "time"`,
		"time,imsi":                       `lacks column "service"`,
		"time,imsi,service,IMSI":          `has column "imsi" twice`,
		`time,imsi,"service`:              "not closed",
		strings.Repeat("a,", 300) + "a":   "more than 256 columns",
		"1763733727,460001234567890,data": `"17637*****,46000**********,data" lacks column "time"`,
	} {
		if _, err := ParseHeader([]byte(head), Mapping{}); err == nil || !strings.Contains(err.Error(), want) || ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("ParseHeader(%.30q) = %v, want an invalid error with %q", head, err, want)
		}
	}
	if _, err := ParseHeader([]byte("time,imsi,service"), Mapping{Names: map[string]string{"imzi": "x"}}); err == nil {
		t.Error("a mapping of an unknown column was taken")
	}
}

func TestReader_mapping(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	m := Mapping{
		Names: map[string]string{"time": "START_TIME", "imsi": "SERVED_IMSI", "service": "TYPE", "direction": "MOMT", "peer": "OTHER"},
		Time:  "20060102150405", Zone: shanghai, Comma: '|',
		Services: map[string]string{"GPRS": "data", "SMSC": "sms"}, Directions: map[string]string{"0": "mo", "1": "mt"},
	}
	recs, bad := readAll(t, "\ufeffserved_imsi| START_TIME |TYPE|MOMT|OTHER\r\n460001234567890|20261121220207|SMSC|1|10086\r\n", m)
	want := []Record{{Time: time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC), IMSI: "460001234567890", Service: SMS, Direction: Terminated, Peer: "10086", Line: 2}}
	if d := cmp.Diff(want, recs); d != "" || bad != nil {
		t.Errorf("%v\n%s", bad, d)
	}
}

func TestReader_lastLineWithoutBreak(t *testing.T) {
	recs, bad := readAll(t, "time,imsi,service\n1763733727,460001234567890,data", Mapping{})
	if len(recs) != 1 || bad != nil {
		t.Errorf("%d records, errors %v; want 1", len(recs), bad)
	}
}

func TestNewReader_emptyIsEOF(t *testing.T) {
	if _, err := NewReader(strings.NewReader(""), Mapping{}); err != io.EOF {
		t.Errorf("NewReader of nothing = %v, want io.EOF", err)
	}
}

// endless is a line that never ends.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := min(len(p), e.n)
	for i := range n {
		p[i] = 'x'
	}
	e.n -= n
	return n, nil
}

func TestReader_endlessLineCostsBoundedMemory(t *testing.T) {
	r, err := NewReader(io.MultiReader(strings.NewReader("time,imsi,service\n"), &endless{64 << 20}), Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	allocated := testing.Benchmark(func(b *testing.B) {
		var rec Record
		if err := r.Read(&rec); err == nil {
			b.Error("an endless line was read as a record")
		}
	}).MemBytes
	if allocated > 1<<20 {
		t.Errorf("an endless line cost %d bytes", allocated)
	}
}

func FuzzReader(f *testing.F) {
	r := full()
	line, err := AppendLine(nil, &r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(Header() + string(line)))
	f.Add([]byte("time,imsi,service,duration\n1763733727.123456789,460001,voice,0.1\n\n,,,\n"))
	f.Add([]byte("\ufefftime,imsi,service\r\n\"1763733727\",\"460001\",\"data\"\r\n"))
	f.Add([]byte(Header() + strings.Repeat(`"`, 100) + "\n" + strings.Repeat(",", 12)))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewReader(bytes.NewReader(in), Mapping{})
		if err != nil {
			return
		}
		l, err := ParseHeader([]byte(Header()), Mapping{})
		if err != nil {
			t.Fatal(err)
		}
		for {
			var rec, back Record
			err := r.Read(&rec)
			if err == io.EOF {
				return
			}
			if _, ok := errors.AsType[*LineError](err); ok {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			line, err := AppendLine(nil, &rec)
			if err != nil {
				// A bare carriage return may stand in a field that is read, but
				// not in one that is written.
				if !bytes.Contains(in, []byte("\r")) {
					t.Fatal(err)
				}
				continue
			}
			back.Line = rec.Line
			if err := l.Decode(line, &back); err != nil {
				t.Fatalf("%q does not decode: %v", line, err)
			}
			if rec != back {
				t.Fatalf("read %#v, wrote and read again %#v", rec, back)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	r := full()
	r.APN, r.Cell = "iot.example", "9b2"
	line, _ := AppendLine(nil, &r)
	l, _ := ParseHeader([]byte(Header()), Mapping{})
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var rec Record
	for b.Loop() {
		if err := l.Decode(line, &rec); err != nil {
			b.Fatal(err)
		}
	}
}
