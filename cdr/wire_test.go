package cdr

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
)

func aBatch(t testing.TB, n int) *Batch {
	t.Helper()
	s, err := NewRecords(testKeys(), someRecords(n), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Batch{}
	if err := s.Next(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func records(t testing.TB, b *Batch) []Record {
	t.Helper()
	rs := make([]Record, len(b.Events))
	for i := range rs {
		if err := b.Record(i, &rs[i]); err != nil && ringwall.CodeOf(err) != ringwall.NotFound && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
	}
	return rs
}

func TestAppendBatch_roundTrip(t *testing.T) {
	for _, n := range []int{1, 2, MaxBatch} {
		for _, detail := range []bool{true, false} {
			b := aBatch(t, n)
			b.Lines[0] = 1 << 63 // numbers need not rise
			wire, err := AppendBatch([]byte("before"), b, detail)
			if err != nil {
				t.Fatal(err)
			}
			var got Batch
			size, err := DecodeBatch(append(wire[6:], "behind"...), &got)
			if err != nil || size != len(wire)-6 {
				t.Fatalf("DecodeBatch took %d of %d bytes: %v", size, len(wire)-6, err)
			}
			if d := cmp.Diff(b.Events, got.Events) + cmp.Diff(b.Lines, got.Lines); d != "" {
				t.Error(d)
			}
			if detail {
				if d := cmp.Diff(records(t, b), records(t, &got)); d != "" {
					t.Error(d)
				}
			} else if got.Detail != nil {
				t.Error("records came where none were sent")
			}
			again, err := AppendBatch(nil, &got, detail)
			if err != nil || !bytes.Equal(again, wire[6:]) {
				t.Errorf("what was read is written otherwise: %v", err)
			}
		}
	}
}

func TestAppendBatch_refuses(t *testing.T) {
	for name, b := range map[string]*Batch{
		"nothing": {}, "lines lack": {Events: make([]Event, 1)}, "too many": {Events: make([]Event, MaxBatch+1), Lines: make([]uint64, MaxBatch+1)},
	} {
		if _, err := AppendBatch(nil, b, true); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: AppendBatch = %v, want an invalid error", name, err)
		}
	}
}

// One record that cannot be written leaves its event in.
func TestAppendBatch_keepsEventsOfBrokenRecords(t *testing.T) {
	recs := someRecords(3)
	recs[1].Cell = "a\nb"
	s, _ := NewRecords(testKeys(), recs, nil, nil)
	var b, got Batch
	if err := s.Next(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	wire, err := AppendBatch(nil, &b, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeBatch(wire, &got); err != nil || len(got.Events) != 3 {
		t.Fatalf("%d events, %v", len(got.Events), err)
	}
	var r Record
	if err := got.Record(1, &r); ringwall.CodeOf(err) != ringwall.NotFound || got.Record(2, &r) != nil {
		t.Errorf("the record that could not be written reads as %v, want not found, and the one behind it well", err)
	}
}

func seal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], wireTable))
	return b
}

func TestDecodeBatch_refuses(t *testing.T) {
	b := aBatch(t, 3)
	good, err := AppendBatch(nil, b, true)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(w []byte) []byte) []byte { return f(bytes.Clone(good)) }
	tests := map[string][]byte{
		"empty": nil, "short": good[:7], "another version": change(func(w []byte) []byte { w[3] = 2; return seal(w) }),
		"giant length": change(func(w []byte) []byte { binary.LittleEndian.PutUint32(w[4:], 1<<31); return w }),
		"tiny length":  change(func(w []byte) []byte { binary.LittleEndian.PutUint32(w[4:], 12); return w }),
		"no events":    change(func(w []byte) []byte { w[8] = 0; return seal(w) }),
		"more events":  change(func(w []byte) []byte { w[8] = 4; return seal(w) }),
		"600 events":   change(func(w []byte) []byte { w[8], w[9] = 88, 2; return seal(w) }),
		"no card":      change(func(w []byte) []byte { clear(w[wireHeader : wireHeader+8]); return seal(w) }),
		"NaN volume":   change(func(w []byte) []byte { binary.LittleEndian.PutUint32(w[wireHeader+56:], 0x7fc00000); return seal(w) }),
		"flag":         change(func(w []byte) []byte { w[10] = 2; return seal(w) }),
		"more behind":  change(func(w []byte) []byte { return seal(append(w, 0, 0, 0)) }),
		"less behind":  change(func(w []byte) []byte { return seal(w[:len(w)-20]) }),
	}
	for i := range good { // each byte that is lost or changed is noticed
		w := bytes.Clone(good)
		w[i] ^= 0x10
		tests["changed"] = w
		if _, err := DecodeBatch(w, b); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatalf("byte %d changed: %v, want an invalid error", i, err)
		}
		if _, err := DecodeBatch(good[:i], b); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatalf("cut to %d bytes: %v, want an invalid error", i, err)
		}
	}
	for name, w := range tests {
		var b Batch
		if _, err := DecodeBatch(w, &b); ringwall.CodeOf(err) != ringwall.Invalid || len(b.Events) != 0 {
			t.Errorf("%s: %d events, %v; want an invalid error and none", name, len(b.Events), err)
		}
	}
	if _, err := DecodeBatch(good, b); err != nil {
		t.Errorf("the batch itself: %v", err)
	}
}

func TestDecodeBatch_allocatesNothing(t *testing.T) {
	wire, err := AppendBatch(nil, aBatch(t, MaxBatch), true)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if _, err := DecodeBatch(wire, &b); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		if _, err := DecodeBatch(wire, &b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("decoding a batch again allocates %v times", n)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for _, detail := range []bool{true, false} {
		wire, err := AppendBatch(nil, aBatch(f, 3), detail)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var b, again Batch
		if len(in) >= wireHeader+4 {
			in = seal(bytes.Clone(in)) // or the check sum keeps the fuzzer out
		}
		n, err := DecodeBatch(in, &b)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		if n > len(in) || len(b.Events) > MaxBatch {
			t.Fatalf("%d events, %d bytes", len(b.Events), n)
		}
		wire, err := AppendBatch(nil, &b, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeBatch(wire, &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b.Events, again.Events) + cmp.Diff(b.Lines, again.Lines) + cmp.Diff(records(t, &b), records(t, &again)); d != "" {
			t.Fatal(d)
		}
	})
}

func BenchmarkBatch(b *testing.B) {
	batch := aBatch(b, MaxBatch)
	for _, detail := range []bool{true, false} {
		name := map[bool]string{true: "records", false: "events"}[detail]
		wire, err := AppendBatch(nil, batch, detail)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("append/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var w []byte
			for b.Loop() {
				w, _ = AppendBatch(w[:0], batch, detail)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxBatch), "ns/record")
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var out Batch
			for b.Loop() {
				DecodeBatch(wire, &out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxBatch), "ns/record")
		})
	}
}
