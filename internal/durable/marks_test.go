package durable_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/internal/durable"
)

// TestJournal_KeepMarks opens a journal whose sealed segments are not scanned,
// with their marks, without, and with spoilt ones: every frame is found.
func TestJournal_KeepMarks(t *testing.T) {
	dir := t.TempDir()
	cfg := durable.JournalConfig{SegmentBytes: 1 << 20, KeepMarks: true, Segment: func(_, _ uint64) (bool, error) { return false, nil }}
	j, err := durable.OpenJournal(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	const frames = 6000
	for i := range frames {
		n, err := j.Append(fmt.Appendf(make([]byte, 0, 500), "%0400d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			if err := j.Sync(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "*.marks"))
	if err != nil || len(kept) < 2 {
		t.Fatalf("%d files of marks, %v", len(kept), err)
	}
	spoil := func(f func(b []byte) []byte) func() {
		return func() {
			for _, path := range kept {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, f(b), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"whole", func() {}},
		{"torn", spoil(func(b []byte) []byte { return b[:len(b)/2] })},
		{"changed", spoil(func(b []byte) []byte { b[len(b)-1] ^= 8; return b })},
		{"gone", func() {
			for _, path := range kept {
				os.Remove(path)
			}
		}},
	} {
		c.do()
		j, err := durable.OpenJournal(dir, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []uint64{1, 700, 2500, 2501, 5000, frames} {
			var got string
			if err := j.Read(want, func(index uint64, payload []byte) (bool, error) {
				got = fmt.Sprintf("%d %s", index, payload)
				return false, nil
			}); err != nil || got != fmt.Sprintf("%d %0400d", want, want) {
				t.Errorf("marks %s: frame %d reads as %.20s, %v", c.name, want, got, err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Trim takes the marks of a segment with it.
func TestJournal_Trim_marks(t *testing.T) {
	dir := t.TempDir()
	j, err := durable.OpenJournal(dir, durable.JournalConfig{SegmentBytes: 256 << 10, KeepMarks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for range 3 {
		for range 100 {
			if _, err := j.Append(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.SyncAll(); err != nil {
			t.Fatal(err)
		}
	}
	count := func() int {
		kept, err := filepath.Glob(filepath.Join(dir, "*.marks"))
		if err != nil {
			t.Fatal(err)
		}
		return len(kept)
	}
	if count() == 0 {
		t.Fatal("no marks were kept")
	}
	if err := j.Trim(j.Last()); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d files of marks are left", n)
	}
}
