package gen

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"testing"

	"github.com/ringwall/ringwall/cdr"
)

func world(t testing.TB, c Config) *World {
	t.Helper()
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// all gives every batch of a source to f.
func all(t testing.TB, s *Source, f func(*cdr.Batch)) {
	t.Helper()
	var b cdr.Batch
	for {
		err := s.Next(context.Background(), &b)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f(&b)
	}
}

// text is a world's records as a file.
func text(t testing.TB, w *World) []byte {
	t.Helper()
	s := w.Source()
	out := []byte(Header)
	all(t, s, func(*cdr.Batch) { out = s.AppendCSV(out) })
	return out
}

func TestWorld_sameSeedSameBytes(t *testing.T) {
	sum := func(seed uint64) uint64 {
		h := fnv.New64a()
		h.Write(text(t, world(t, Config{Seed: seed, Cards: 300, Days: 10})))
		return h.Sum64()
	}
	if a, b := sum(7), sum(7); a != b {
		t.Errorf("the same seed made %x and %x", a, b)
	}
	if a, b := sum(7), sum(8); a == b {
		t.Error("two seeds made one world")
	}
}

// What a file says and what the events say is the same, field for field.
func TestSource_csvIsTheEvents(t *testing.T) {
	w := world(t, Config{Seed: 3, Cards: 500, Days: 20})
	keys := cdr.NewKeys([32]byte{})
	s := w.Source()
	n := 0
	all(t, s, func(b *cdr.Batch) {
		r, err := cdr.NewReader(bytes.NewReader(s.AppendCSV([]byte(Header))), cdr.Mapping{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range b.Events {
			var rec, direct cdr.Record
			if err := r.Read(&rec); err != nil {
				t.Fatal(err)
			}
			got, err := keys.Event(&rec)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("record %d: the file says %+v, the event %+v", n, got, want)
			}
			if err := b.Record(i, &direct); err != nil {
				t.Fatal(err)
			}
			if rec.Line, direct.Line = 0, 0; rec != direct {
				t.Fatalf("record %d: the file says %+v, the detail %+v", n, rec, direct)
			}
			n++
		}
	})
	if n < 10_000 {
		t.Errorf("only %d records", n)
	}
	t.Logf("%d records, %+v", n, s.Counts())
}
func BenchmarkSource(b *testing.B) {
	w := world(b, Config{Seed: 3, Cards: 200_000, Days: 30})
	s := w.Source()
	var batch cdr.Batch
	n := 0
	for b.Loop() {
		if err := s.Next(context.Background(), &batch); err != nil {
			s = w.Source()
		}
		n += len(batch.Events)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}
