package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

var (
	keys = cdr.NewKeys([32]byte{8})
	day0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

// batch makes a batch of n records from day0 on, each apart from the one before,
// whose Up counts from first.
func batch(t testing.TB, at time.Time, apart time.Duration, first, n int) *cdr.Batch {
	t.Helper()
	var recs []cdr.Record
	for i := range n {
		recs = append(recs, cdr.Record{ID: fmt.Sprint(first + i), Time: at.Add(time.Duration(i) * apart), IMSI: "460001234567890", Service: cdr.Data, APN: "iot", Up: uint64(first + i)})
	}
	s, err := cdr.NewRecords(keys, recs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &cdr.Batch{}
	if err := s.Next(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, dir string, c Config) *Archive {
	t.Helper()
	a, err := Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// read reads all, making the source anew after each batch when again is set.
func read(t *testing.T, dir string, c SourceConfig, again bool) (got []int) {
	t.Helper()
	s, err := NewSource(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	for {
		err := s.Next(context.Background(), &b)
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			var r cdr.Record
			if err := b.Record(i, &r); err != nil {
				t.Fatal(err)
			}
			if b.Detail != nil && r.APN != "iot" {
				t.Fatalf("record %+v", r)
			}
			got = append(got, int(r.Up))
		}
		if again {
			c.From = s.Position()
			s.Close()
			if s, err = NewSource(dir, c); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func upTo(n int) (want []int) {
	for i := range n {
		want = append(want, i)
	}
	return want
}

func TestArchive(t *testing.T) {
	for _, records := range []bool{true, false} {
		dir := t.TempDir()
		a := open(t, dir, Config{Records: records})
		// A batch over five days, and one behind it.
		if err := a.Add(batch(t, day0, 15*time.Minute, 0, 480)); err != nil {
			t.Fatal(err)
		}
		if err := a.Add(batch(t, day0.Add(5*24*time.Hour), time.Second, 480, 512)); err != nil {
			t.Fatal(err)
		}
		if err := a.Sync(); err != nil {
			t.Fatal(err)
		}
		for _, again := range []bool{false, true} {
			if got := read(t, dir, SourceConfig{}, again); !slices.Equal(got, upTo(992)) {
				t.Errorf("records %v, going on %v: %d records, not those that were added", records, again, len(got))
			}
		}
		// Two days of it.
		since := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
		if got := read(t, dir, SourceConfig{Since: since, Until: since.Add(48 * time.Hour)}, false); !slices.Equal(got, upTo(48 + 192)[48:]) {
			t.Errorf("two days: %d records", len(got))
		}
		if c := a.Counts(); c.Kept != 992 || c.Days != 6 || c.Bytes == 0 {
			t.Errorf("%+v", c)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		// It is added to after a restart.
		a = open(t, dir, Config{Records: records})
		if err := a.Add(batch(t, day0.Add(6*24*time.Hour), time.Second, 992, 8)); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, SourceConfig{}, false); !slices.Equal(got, upTo(1000)) {
			t.Errorf("after a restart: %d records", len(got))
		}
		if info, err := os.Stat(filepath.Join(dir, "2026-11-01.rwb")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
}

func TestArchive_bounded(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, Config{Days: 3})
	for i := range 20 {
		if err := a.Add(batch(t, day0.Add(time.Duration(i)*24*time.Hour), time.Second, i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Add(batch(t, day0, time.Second, 0, 5)); err != nil { // older than what is kept
		t.Fatal(err)
	}
	if c := a.Counts(); c.Days != 3 || c.Removed != 17 || c.TooOld != 5 || c.Kept != 20 {
		t.Errorf("%+v", c)
	}
	a.Close()
	if got := read(t, dir, SourceConfig{}, false); !slices.Equal(got, []int{17, 18, 19}) {
		t.Errorf("%v", got)
	}
	dir = t.TempDir()
	a = open(t, dir, Config{MaxBytes: 1000, Records: true})
	for i := range 20 {
		if err := a.Add(batch(t, day0.Add(time.Duration(i)*24*time.Hour), time.Second, i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	if c := a.Counts(); c.Bytes > 1000 || c.Days == 0 {
		t.Errorf("%+v", c)
	}
}

// Whatever is torn from the end or damaged in the middle costs no more than itself.
func TestArchive_damage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "2026-11-01.rwb")
	a := open(t, dir, Config{Records: true})
	for i := range 10 {
		if err := a.Add(batch(t, day0, time.Second, i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	one := len(whole) / 10
	for _, cut := range []int{1, one - 1, 5*one + 7, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		a := open(t, dir, Config{Records: true})
		if err := a.Add(batch(t, day0, time.Second, 99, 1)); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if got, want := read(t, dir, SourceConfig{Bad: func(b cdr.Bad) { t.Errorf("told of %+v", b) }}, false), append(upTo(cut/one), 99); !slices.Equal(got, want) {
			t.Errorf("cut to %d bytes: %v, want %v", cut, got, want)
		}
	}
	bent := bytes.Clone(whole)
	bent[3*one+20] ^= 1
	if err := os.WriteFile(path, bent, 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	got := read(t, dir, SourceConfig{Bad: func(b cdr.Bad) {
		told++
		if b.Lost != int64(one) || b.Offset != int64(3*one) {
			t.Errorf("told of %+v", b)
		}
	}}, false)
	if !slices.Equal(got, []int{0, 1, 2, 4, 5, 6, 7, 8, 9}) || told != 1 {
		t.Errorf("%v, told %d times", got, told)
	}
}

func TestNewSource_refuses(t *testing.T) {
	dir := t.TempDir()
	for _, from := range [][]byte{{1}, binary.BigEndian.AppendUint64(make([]byte, 4), 1<<63)} {
		if _, err := NewSource(dir, SourceConfig{From: from}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("position %x: %v, want an invalid error", from, err)
		}
	}
	if _, err := NewSource(filepath.Join(dir, "none"), SourceConfig{}); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("no directory: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	w, err := cdr.AppendBatch(nil, batch(f, day0, time.Second, 0, 2), true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(bytes.Clone(w), w...))
	f.Add(append([]byte("RWB\x01RWB\x01"), w...))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newReader(bytes.NewReader(in), 0)
		var b cdr.Batch
		sum := int64(0)
		for {
			lost, err := r.next(&b)
			sum += lost
			if err != nil {
				break
			}
			size := int64(0)
			if w, err := cdr.AppendBatch(nil, &b, true); err == nil {
				size = int64(len(w))
			}
			sum += min(size, int64(len(in))-sum)
		}
		if r.at() > int64(len(in)) || sum > int64(len(in)) {
			t.Fatalf("read to %d of %d bytes", r.at(), len(in))
		}
	})
}

// TestArchive_rewind: an archive is what it was when marks were taken, whatever was
// added since, and goes on from there.
func TestArchive_rewind(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, Config{Records: true})
	add := func(at time.Time, first, n int) {
		t.Helper()
		if err := a.Add(batch(t, at, time.Second, first, n)); err != nil {
			t.Fatal(err)
		}
	}
	add(day0, 0, 10)
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	marks := a.Marks()
	if err := a.Sync(); err != nil { // of nothing new
		t.Fatal(err)
	}
	add(day0.Add(time.Hour), 10, 10)   // the same day
	add(day0.Add(25*time.Hour), 20, 5) // another
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again is as once
		a = open(t, dir, Config{Records: true})
		if err := a.Rewind(marks); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, SourceConfig{}, false); !slices.Equal(got, upTo(10)) {
			t.Errorf("rewound, it has %v", got)
		}
	}
	add(day0.Add(time.Hour), 10, 10)
	if c := a.Counts(); c.Days != 1 || c.Bytes != a.Marks()[name(dayOf(&batch(t, day0, 0, 0, 1).Events[0]))] {
		t.Errorf("counts %+v, marks %v", c, a.Marks())
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, SourceConfig{}, false); !slices.Equal(got, upTo(20)) {
		t.Errorf("then it has %v", got)
	}
	a = open(t, dir, Config{})
	if err := a.Rewind(nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, SourceConfig{}, false); len(got) != 0 {
		t.Errorf("without marks it has %v", got)
	}
}
