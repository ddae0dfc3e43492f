package inlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

var keys = cdr.NewKeys([32]byte{4})

func record(i int) cdr.Record {
	return cdr.Record{ID: fmt.Sprint("n/", i), Time: time.Unix(1763733727+int64(i), 0).UTC(), IMSI: ringwall.IMSI(fmt.Sprint(460000000000000 + i)), Service: cdr.Data, Up: uint64(i)}
}

// put adds n records from first on, as records and as batches in turn.
func put(t *testing.T, l *Log, first, n int) {
	t.Helper()
	for i := first; i < first+n; {
		size := min(1+i%7, first+n-i)
		var recs []cdr.Record
		var raws [][]byte
		for range size {
			r := record(i)
			var a ts32298.Appender
			raw, err := a.Append(nil, &r)
			if err != nil {
				t.Fatal(err)
			}
			recs, raws = append(recs, r), append(raws, raw)
			i++
		}
		if i%2 == 0 {
			if err := l.AddRecords("192.0.2.1", raws); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s, err := cdr.NewRecords(keys, recs, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b cdr.Batch
		if err := s.Next(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
		if err := l.AddBatch(&b); err != nil {
			t.Fatal(err)
		}
	}
}

// read reads to the end and returns the numbers of the records; with positions
// behind each batch.
func read(t *testing.T, l *Log, from []byte) (got []int, at [][]byte) {
	t.Helper()
	s, err := l.Source(SourceConfig{Keys: keys, From: from, Once: true, Bad: func(b cdr.Bad) { t.Errorf("bad: %+v", b) }})
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	for {
		err := s.Next(context.Background(), &b)
		if err == io.EOF {
			return got, at
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			var r cdr.Record
			if err := b.Record(i, &r); err != nil {
				t.Fatal(err)
			}
			if want, err := keys.Event(&r); err != nil || want != b.Events[i] {
				t.Fatalf("the event is not that of its record: %v", err)
			}
			got = append(got, int(r.Up))
		}
		at = append(at, bytes.Clone(s.Position()))
	}
}

func upTo(n int) (want []int) {
	for i := range n {
		want = append(want, i)
	}
	return want
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1500
	put(t, l, 0, n)
	got, at := read(t, l, nil)
	if !slices.Equal(got, upTo(n)) {
		t.Fatalf("%d records, not those that were added in order", len(got))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// After a restart, from every position, the rest.
	if l, err = Open(dir, Config{}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := 0; i < len(at); i += 29 {
		rest, _ := read(t, l, at[i])
		if want := got[len(got)-len(rest):]; !slices.Equal(rest, want) || i == len(at)-1 && len(rest) != 0 {
			t.Fatalf("from position %d: %d records", i, len(rest))
		}
	}
	if err := l.Commit(at[len(at)-1]); err != nil {
		t.Fatal(err)
	}
	put(t, l, n, 10)
	if rest, _ := read(t, l, at[len(at)-1]); !slices.Equal(rest, upTo(n + 10)[n:]) {
		t.Errorf("after the commit: %v", rest)
	}
	for _, from := range [][]byte{{1}, binary.BigEndian.AppendUint64(nil, 1<<40)} {
		if _, err := l.Source(SourceConfig{From: from}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("position %x: %v, want an invalid error", from, err)
		}
		if err := l.Commit(from); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("commit of %x: %v, want an invalid error", from, err)
		}
	}
}

func TestLog_full(t *testing.T) {
	l, err := Open(t.TempDir(), Config{MaxBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := 0; ; i++ {
		if err = l.AddRecords("p", [][]byte{make([]byte, 500)}); err != nil {
			if i < 2 {
				t.Errorf("full after %d records", i)
			}
			break
		}
		if i == 100 {
			t.Fatal("the log is never full")
		}
	}
	if ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("a full log = %v, want an unavailable error", err)
	}
	if err := l.AddRecords("p", [][]byte{make([]byte, 1<<16)}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a record of 65536 bytes = %v, want an invalid error", err)
	}
}

func TestSource_tellsOfBadRecords(t *testing.T) {
	l, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.AddRecords("192.0.2.7", [][]byte{{1, 2, 3}, {}}); err != nil {
		t.Fatal(err)
	}
	if err := l.add([]byte{kindBatch, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := l.add([]byte{9}); err != nil {
		t.Fatal(err)
	}
	put(t, l, 0, 1)
	var bad []cdr.Bad
	s, err := l.Source(SourceConfig{Keys: keys, Once: true, Bad: func(b cdr.Bad) { bad = append(bad, b) }})
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	if err := s.Next(context.Background(), &b); err != nil || len(b.Events) != 1 {
		t.Errorf("%d events, %v", len(b.Events), err)
	}
	if len(bad) != 4 || bad[0].Source != "192.0.2.7" || bad[1].Line != 2 || bad[3].Offset != 3 {
		t.Errorf("%+v", bad)
	}
}

func TestSource_waits(t *testing.T) {
	l, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := l.Source(SourceConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		var b cdr.Batch
		err := s.Next(ctx, &b)
		if err == nil && len(b.Events) == 1 {
			cancel()
			err = s.Next(ctx, &b)
		}
		done <- err
	}()
	put(t, l, 0, 1)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %v", err)
	}
}
