package cdrfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/tap"
	"github.com/ringwall/ringwall/cdr/ts32297"
	"github.com/ringwall/ringwall/cdr/ts32298"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

func testKeys() *cdr.Keys { return cdr.NewKeys([32]byte{7}) }

// some records, of all services.
func some(n int) []cdr.Record {
	r := rand.New(rand.NewPCG(3, 4))
	recs := make([]cdr.Record, n)
	for i := range recs {
		recs[i] = cdr.Record{
			ID: fmt.Sprintf("node-%d/%d", r.IntN(3), i), Time: time.Unix(1763733727+int64(i), 0).UTC(), IMSI: ringwall.IMSI(fmt.Sprint(460000000000000 + r.Int64N(1e9))), IMEI: "356938035643809",
			Service: cdr.Data, APN: "iot.example", Up: r.Uint64N(1e5), Down: r.Uint64N(1e6), PLMN: "46000", Area: "20225", Cell: fmt.Sprint(100000 + r.IntN(1e6)), Duration: time.Minute,
		}
	}
	return recs
}

type made struct {
	format Format
	file   []byte
	starts []int // of the records in it, and its end
	ends   []int // of the records
}

// write makes a file of a form.
func write(t testing.TB, format Format, recs []cdr.Record, a ts32298.Appender) made {
	t.Helper()
	m := made{format: format}
	if format == TS32297 {
		m.file = ts32297.AppendHeader(nil, ts32297.Header{High: ts32297.Release{Release: 7}, Low: ts32297.Release{Release: 7}, Length: 1<<32 - 1})
	}
	if format == CSV {
		m.file = []byte(cdr.Header())
	}
	for i := range recs {
		if format == BER && i%50 == 3 { // filled up to a block
			m.file = append(m.file, make([]byte, 13)...)
		}
		m.starts = append(m.starts, len(m.file))
		var err error
		switch format {
		case CSV:
			m.file, err = cdr.AppendLine(m.file, &recs[i])
		case BER:
			m.file, err = a.Append(m.file, &recs[i])
		case TS32297:
			var one []byte
			one, err = a.Append(nil, &recs[i])
			if err == nil {
				m.file, err = ts32297.AppendRecord(m.file, ts32297.RecordHeader{Format: ts32297.BER, Release: ts32297.Release{Release: 7, Version: 2}}, one)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		m.ends = append(m.ends, len(m.file))
	}
	m.starts = append(m.starts, len(m.file))
	if format == TS32297 {
		ts32297.Close(m.file, uint32(len(recs)), ts32297.NormalClosure)
	}
	return m
}

func files(t testing.TB, recs []cdr.Record) []made {
	return []made{
		write(t, CSV, recs, ts32298.Appender{}), write(t, BER, recs, ts32298.Appender{}), write(t, BER, recs, ts32298.Appender{Indefinite: true, Data: 79}),
		write(t, TS32297, recs, ts32298.Appender{Data: 78}), write(t, TS32297, recs, ts32298.Appender{Indefinite: true}),
	}
}

// read reads all, making the source anew from its position after every batch
// when again is set.
func read(t testing.TB, open func(Config) (*File, error), again bool) (recs []cdr.Record, bad []cdr.Bad, f *File) {
	t.Helper()
	k := testKeys()
	c := Config{Keys: k, Name: "x", Bad: func(b cdr.Bad) {
		b.Raw = bytes.Clone(b.Raw)
		bad = append(bad, b)
	}}
	f, err := open(c)
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	for {
		err := f.Next(context.Background(), &b)
		if err == io.EOF {
			return recs, bad, f
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			var r cdr.Record
			if err := b.Record(i, &r); err != nil {
				t.Fatal(err)
			}
			if e, err := k.Event(&r); err != nil || e != b.Events[i] {
				t.Fatalf("event %d is not that of its record: %v\n%s", i, err, cmp.Diff(e, b.Events[i]))
			}
			r.Line = 0
			recs = append(recs, r)
		}
		if again {
			if c.From = f.Position(); len(c.From) > cdr.MaxPosition {
				t.Fatalf("a position of %d bytes", len(c.From))
			}
			f.Close()
			if f, err = open(c); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func zip(t testing.TB, b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// Whatever the form, zipped or not, from a file or a stream, going on or not: the
// same records.
func TestOpen_allForms(t *testing.T) {
	want := some(1100)
	dir := t.TempDir()
	for i, m := range files(t, want) {
		for _, zipped := range []bool{false, true} {
			b := m.file
			if zipped {
				b = zip(t, b)
			}
			path := filepath.Join(dir, fmt.Sprint(i, zipped))
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			for name, open := range map[string]func(c Config) (*File, error){
				"file":   func(c Config) (*File, error) { return Open(path, c) },
				"stream": func(c Config) (*File, error) { return New(iotest.HalfReader(io.MultiReader(bytes.NewReader(b))), c) },
			} {
				for _, again := range []bool{false, true} {
					got, bad, f := read(t, open, again)
					if d := cmp.Diff(want, got); d != "" || len(bad) != 0 || f.Format() != m.format || f.Skipped() != 0 {
						t.Fatalf("%d %s, %s, zipped %v, again %v: %d bad, %s", i, m.format, name, zipped, again, len(bad), d)
					}
					if err := f.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

// A file that is cut at any place gives the records that came whole, and tells of
// the one that did not.
func TestOpen_cut(t *testing.T) {
	want := some(20)
	for _, m := range files(t, want) {
		if m.format == CSV {
			continue // what is left of a last line may be a record: package cdr
		}
		for n := max(1, m.starts[0]); n < len(m.file); n += 23 {
			whole := 0
			for _, s := range m.ends {
				if s <= n {
					whole++
				}
			}
			for _, zipped := range []bool{false, true} {
				open := func(c Config) (*File, error) {
					c.Format = m.format
					if zipped { // the zip itself is cut, after all that it holds
						z := zip(t, m.file[:n])
						return New(bytes.NewReader(z[:len(z)-8]), c)
					}
					return New(bytes.NewReader(m.file[:n]), c)
				}
				got, bad, _ := read(t, open, false)
				if d := cmp.Diff(append([]cdr.Record(nil), want[:whole]...), got); d != "" {
					t.Fatalf("%s cut to %d bytes: %d records, want %d\n%s", m.format, n, len(got), whole, d)
				}
				if n > m.starts[whole] && len(bad) == 0 {
					t.Fatalf("%s cut to %d bytes: nobody was told", m.format, n)
				}
			}
		}
	}
}

// One record that is broken, in whatever way, costs itself and at most one
// neighbour; it is told of with its place.
func TestOpen_broken(t *testing.T) {
	want := some(400)
	rng := rand.New(rand.NewPCG(1, 9))
	for i, m := range files(t, want)[1:] {
		for round := range 60 {
			b := bytes.Clone(m.file)
			victim := 50 + rng.IntN(300)
			at := m.starts[victim] + rng.IntN(12)
			was := b[at]
			for b[at] == was {
				b[at] = byte(rng.Uint32())
			}
			got, bad, f := read(t, func(c Config) (*File, error) {
				c.Format = m.format
				return New(bytes.NewReader(b), c)
			}, false)
			lost := map[string]bool{}
			for _, r := range want {
				lost[r.ID] = true
			}
			for _, r := range got {
				delete(lost, r.ID)
			}
			if len(lost) > 2 || lost[want[victim-2].ID] || lost[want[victim+2].ID] {
				t.Fatalf("file %d (%s), round %d: byte %d of a record was %#x and is %#x: %d records are lost; told %.300v at %d", i, m.format, round, at-m.starts[victim], was, b[at], len(lost), fmt.Sprint(bad), m.starts[victim])
			}
			if len(got)+int(f.Skipped()) < len(want) && len(bad) == 0 {
				t.Fatalf("file %d (%s), round %d: byte %d was %#x and is %#x: %d records are lost and nobody was told", i, m.format, round, at-m.starts[victim], was, b[at], len(lost))
			}
			for _, x := range bad {
				if x.Offset < int64(m.starts[victim-1]) || x.Offset > int64(m.starts[victim+2]) || x.Reason == "" || len(x.Raw) == 0 {
					t.Fatalf("file %d (%s), round %d: bad record %+v of a file that is broken at %d", i, m.format, round, x, at)
				}
			}
		}
	}
}

func TestOpen_refuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	c := Config{Keys: testKeys()}
	if _, err := Open(filepath.Join(dir, "none"), c); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(dir, c); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Open(file("empty", nil), c); err != io.EOF {
		t.Errorf("an empty file: %v, want io.EOF", err)
	}
	for name, b := range map[string][]byte{"text": []byte("hello world\n"), "zeros": make([]byte, 5000), "no zip": {0x1f, 0x8b, 1, 2, 3}, "a picture": []byte("\x89PNG\r\n\x1a\n0000"), "a zip of text": zip(t, []byte("hello"))} {
		if _, err := Open(file("f", b), c); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want an invalid error", name, err)
		}
	}
	// Positions are of one file, and of files at all.
	recs := some(1000)
	a := file("a", write(t, CSV, recs, ts32298.Appender{}).file)
	f, err := Open(a, c)
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	if err := f.Next(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	c.From = f.Position()
	f.Close()
	recs[0].Up++
	if _, err := Open(file("b", write(t, CSV, recs, ts32298.Appender{}).file), c); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("the position of another file: %v, want a conflict", err)
	}
	for _, from := range [][]byte{{}, {1}, {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, c.From[:len(c.From)-1]} {
		c.From = from
		if _, err := Open(a, c); ringwall.CodeOf(err) != ringwall.Invalid && ringwall.CodeOf(err) != ringwall.Conflict {
			t.Errorf("position %x: %v, want an invalid error", from, err)
		}
	}
}

func TestOpen_tap(t *testing.T) {
	b, err := os.ReadFile(sharedtest.Path(t, "cdr/tap/tap_3_12_trailing_eoc_invalid.ber"))
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		recs, bad, f := read(t, func(c Config) (*File, error) {
			c.TAP = tap.Config{Networks: map[string]string{"WERFD": "26201"}}
			return New(bytes.NewReader(b), c)
		}, again)
		if len(recs) != 3 || recs[2].PLMN != "26201" || f.Format() != TAP || len(bad) != 1 || !strings.Contains(bad[0].Reason, "behind the end") {
			t.Errorf("%d records, %s, bad %+v", len(recs), f.Format(), bad)
		}
	}
}

func TestNext_errorsOfTheStream(t *testing.T) {
	m := write(t, BER, some(100), ts32298.Appender{})
	f, err := New(io.MultiReader(bytes.NewReader(m.file[:len(m.file)-5]), iotest.ErrReader(errors.New("gone"))), Config{Keys: testKeys(), Bad: func(b cdr.Bad) { t.Errorf("told of %+v", b) }})
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	n := 0
	for err == nil {
		if err = f.Next(context.Background(), &b); err == nil {
			n += len(b.Events)
		}
	}
	if n != 99 || ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("%d events, %v; want 99 and an unavailable error", n, err)
	}
}

func FuzzNew(f *testing.F) {
	for _, m := range files(f, some(3)) {
		f.Add(m.file)
		f.Add(zip(f, m.file))
	}
	k := testKeys()
	f.Fuzz(func(t *testing.T, in []byte) {
		told := int64(-1)
		file, err := New(bytes.NewReader(in), Config{Keys: k, Bad: func(b cdr.Bad) {
			if b.Offset < told || len(b.Raw) > cdr.MaxRaw {
				t.Fatalf("bad record at %d after one at %d", b.Offset, told)
			}
			told = b.Offset
		}})
		if err != nil {
			return
		}
		var b cdr.Batch
		n := 0
		for err == nil {
			if err = file.Next(context.Background(), &b); err == nil {
				n += len(b.Events)
			}
		}
		if err != io.EOF && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
		if n > 200*len(in) {
			t.Fatalf("%d records in %d bytes", n, len(in))
		}
	})
}

func BenchmarkNext(b *testing.B) {
	recs := some(20_000)
	for _, m := range files(b, recs) {
		b.Run(fmt.Sprint(m.format, "/", len(m.file)/len(recs), "B"), func(b *testing.B) {
			b.ReportAllocs()
			var batch cdr.Batch
			n := 0
			for n < b.N {
				f, err := New(bytes.NewReader(m.file), Config{Keys: testKeys()})
				for err == nil {
					if err = f.Next(context.Background(), &batch); err == nil {
						n += len(batch.Events)
					}
				}
			}
		})
	}
}

// A pipe is a file that has the method Seek, and no use for it.
func TestNew_pipe(t *testing.T) {
	recs := some(1500)
	for _, format := range []Format{CSV, BER, TS32297} {
		m := write(t, format, recs, ts32298.Appender{})
		pipe := func() io.Reader {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := w.Write(m.file)
				done <- errors.Join(err, w.Close())
			}()
			t.Cleanup(func() {
				_ = r.Close() // it was read
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			return r
		}
		var pos []byte
		n := 0
		for _, batches := range []int{1, 1 << 20} { // the rest from the position of the first
			f, err := New(pipe(), Config{Keys: testKeys(), From: pos})
			if err != nil {
				t.Fatalf("%v: %v", format, err)
			}
			var b cdr.Batch
			for range batches {
				if err = f.Next(context.Background(), &b); err != nil {
					break
				}
				n += len(b.Events)
			}
			if batches > 1 && err != io.EOF || batches == 1 && err != nil {
				t.Fatalf("%v: %v", format, err)
			}
			pos = f.Position()
			if batches == 1 {
				drain(t, f)
			}
		}
		if n != len(recs) {
			t.Errorf("%v: %d of %d records came through pipes", format, n, len(recs))
		}
	}
}

// drain reads what is left.
func drain(t *testing.T, s cdr.Source) {
	t.Helper()
	var b cdr.Batch
	for {
		switch err := s.Next(context.Background(), &b); err {
		case nil:
		case io.EOF:
			return
		default:
			t.Fatal(err)
		}
	}
}
