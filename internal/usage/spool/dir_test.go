package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

// house is a spool directory with its state.
type house struct {
	t      *testing.T
	c      DirConfig
	events []string
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, c: DirConfig{Dir: t.TempDir(), State: t.TempDir(), Settle: -1, Once: true, Poll: time.Millisecond, File: cdrfile.Config{Keys: cdr.NewKeys([32]byte{3})}}}
	h.c.Event = func(e Event) {
		h.events = append(h.events, e.What+" "+e.Entry.Name)
		if strings.Contains(fmt.Sprint(e.Err), "46000") {
			t.Errorf("an event tells a card: %v", e.Err)
		}
	}
	return h
}

// put writes a file of n records, numbered from first, as CSV or BER.
func (h *house) put(name string, first, n int) {
	h.t.Helper()
	var b []byte
	if !strings.Contains(name, "ber") {
		b = []byte(cdr.Header())
	}
	var a ts32298.Appender
	for i := first; i < first+n; i++ {
		r := cdr.Record{ID: fmt.Sprint("n/", i), Time: time.Unix(1763733727+int64(i), 0), IMSI: ringwall.IMSI(fmt.Sprint(460000000000000 + i)), Service: cdr.Data, Up: uint64(i)}
		var err error
		if strings.Contains(name, "ber") {
			b, err = a.Append(b, &r)
		} else {
			b, err = cdr.AppendLine(b, &r)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	h.write(name, b)
}

func (h *house) write(name string, b []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.c.Dir, name), b, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) open(from []byte) *Dir {
	h.t.Helper()
	h.c.From = from
	d, err := NewDir(h.c)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *house) names() string {
	entries, err := os.ReadDir(h.c.Dir)
	if err != nil {
		h.t.Fatal(err)
	}
	var s []string
	for _, e := range entries {
		s = append(s, e.Name())
	}
	return strings.Join(s, " ")
}

// read reads all and returns the numbers of the records.
func (h *house) read(d *Dir) (got []int) {
	h.t.Helper()
	var b cdr.Batch
	for {
		err := d.Next(context.Background(), &b)
		if err == io.EOF {
			return got
		}
		if err != nil {
			h.t.Fatal(err)
		}
		for i := range b.Events {
			got = append(got, int(b.Events[i].Card-1460000000000000))
		}
		if p := d.Position(); len(p) > cdr.MaxPosition {
			h.t.Fatalf("a position of %d bytes", len(p))
		}
	}
}

func upTo(n int) (want []int) {
	for i := range n {
		want = append(want, i)
	}
	return want
}

func TestDir_ordered(t *testing.T) {
	h := newHouse(t)
	h.put("b.csv", 700, 600)
	h.put("a.ber", 0, 700)
	h.put("c.csv.tmp", 9000, 1)
	h.put(".d.csv", 9000, 1)
	h.write("e.csv", nil)
	if err := os.Mkdir(filepath.Join(h.c.Dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write("f.txt", []byte("hello"))
	d := h.open(nil)
	if got := h.read(d); !slices.Equal(got, upTo(1300)) {
		t.Errorf("%d records, not those of the files in order", len(got))
	}
	// Nothing more comes, until something is there; what was written is renamed.
	if got := h.read(d); got != nil {
		t.Errorf("%d records came again", len(got))
	}
	if err := os.Rename(filepath.Join(h.c.Dir, "c.csv.tmp"), filepath.Join(h.c.Dir, "c.csv")); err != nil {
		t.Fatal(err)
	}
	if got := h.read(d); !slices.Equal(got, []int{9000}) {
		t.Errorf("%v, want the file that was renamed", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"began a.ber", "read a.ber", "began b.csv", "read b.csv", "read e.csv", "refused f.txt", "began c.csv", "read c.csv"}; !slices.Equal(h.events, want) {
		t.Errorf("%q\nwant\n%q", h.events, want)
	}
	// A new process knows by the ledger what was read.
	d = h.open(nil)
	defer d.Close()
	if got := h.read(d); got != nil {
		t.Errorf("%d records came again after a restart", len(got))
	}
}

// Killed after any batch, before or after what the ledger says: from the position
// of any earlier batch the same records come, none left out and none twice.
func TestDir_resume(t *testing.T) {
	h := newHouse(t)
	total := 0
	for i, n := range []int{700, 3, 1100, 512, 1} {
		h.put(fmt.Sprintf("%d.%s", i, []string{"csv", "ber"}[i%2]), total, n)
		total += n
	}
	type mark struct {
		pos  []byte
		read int
	}
	marks := []mark{{}}
	d := h.open(nil)
	var b cdr.Batch
	read := 0
	for d.Next(context.Background(), &b) == nil {
		read += len(b.Events)
		marks = append(marks, mark{bytes.Clone(d.Position()), read})
	}
	marks = append(marks, mark{d.Position(), read})
	d.Close()
	if read != total {
		t.Fatalf("%d records, want %d", read, total)
	}
	for i, m := range marks[1:] {
		d := h.open(m.pos)
		got := h.read(d)
		if !slices.Equal(got, upTo(total)[m.read:]) {
			t.Errorf("from mark %d: %d records, want %d", i, len(got), total-m.read)
		}
		if n := d.ledger.last(); n != 5 {
			t.Errorf("from mark %d: the ledger has %d entries, want 5", i, n)
		}
		// And what it says then is as good as what was said first.
		d.Close()
		d = h.open(d.Position())
		if got := h.read(d); got != nil {
			t.Errorf("from the end: %d records", len(got))
		}
		d.Close()
	}
	for _, from := range []string{"x", "{}x", `{"n":99}`, `{"n":0,"f":"../x"}`} {
		h.c.From = []byte(from)
		if _, err := NewDir(h.c); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("position %q: %v, want an invalid error", from, err)
		}
	}
}

func TestDir_sameFileTwice(t *testing.T) {
	h := newHouse(t)
	h.put("a.csv", 0, 10)
	d := h.open(nil)
	defer d.Close()
	h.read(d)
	h.put("later-name.csv", 0, 10) // the same bytes
	h.put("b.csv", 10, 10)
	if got := h.read(d); len(got) != 10 || got[0] != 10 {
		t.Errorf("%v, want those of b.csv alone", got)
	}
	if !slices.Contains(h.events, "again later-name.csv") {
		t.Errorf("nobody was told: %q", h.events)
	}
	// The same name with other bytes is another file.
	h.put("a.csv", 20, 5)
	if got := h.read(d); len(got) != 5 || got[0] != 20 {
		t.Errorf("%v, want the new a.csv", got)
	}
}

func TestDir_vanishedAndChanged(t *testing.T) {
	h := newHouse(t)
	h.put("a.csv", 0, 2000)
	h.put("b.csv", 5000, 10)
	d := h.open(nil)
	var b cdr.Batch
	if err := d.Next(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	pos := d.Position()
	d.Close()
	// Another file stands there when the reading goes on: it is read as a new one.
	h.put("a.csv", 3000, 4)
	d = h.open(pos)
	if got := h.read(d); len(got) != 14 || got[0] != 3000 {
		t.Errorf("%d records from the changed file", len(got))
	}
	d.Close()
	if !slices.Contains(h.events, "changed a.csv") {
		t.Errorf("nobody was told: %q", h.events)
	}
	if err := os.Remove(filepath.Join(h.c.Dir, "a.csv")); err != nil {
		t.Fatal(err)
	}
	d = h.open(pos)
	defer d.Close()
	h.read(d)
	if !slices.Contains(h.events, "vanished a.csv") {
		t.Errorf("nobody was told: %q", h.events)
	}
}

// Files go only when it was said that what came of them is durable, and only those
// that were read.
func TestDir_commit(t *testing.T) {
	for _, done := range []bool{false, true} {
		h := newHouse(t)
		if done {
			h.c.Done = t.TempDir()
		}
		h.put("a.csv", 0, 10)
		h.put("b.csv", 10, 1000)
		d := h.open(nil)
		var b cdr.Batch
		for range 2 {
			if err := d.Next(context.Background(), &b); err != nil {
				t.Fatal(err)
			}
		}
		inside := d.Position() // of b.csv
		h.read(d)
		if err := d.Commit(inside); err != nil || h.names() != "b.csv" {
			t.Errorf("after the commit inside of b.csv: %q, %v", h.names(), err)
		}
		end := d.Position()
		h.put("b.csv", 4000, 1000) // another one under its name, of the same size
		os.Chtimes(filepath.Join(h.c.Dir, "b.csv"), time.Time{}, time.Now().Add(-time.Hour))
		if err := d.Commit(end); err != nil || h.names() != "b.csv" {
			t.Errorf("a file that was not read is gone: %q, %v", h.names(), err)
		}
		if got := h.read(d); len(got) != 1000 {
			t.Errorf("%d records of the new b.csv", len(got))
		}
		if err := d.Commit(d.Position()); err != nil || h.names() != "" {
			t.Errorf("in the end: %q, %v", h.names(), err)
		}
		if done {
			h.c.Dir = h.c.Done
			if h.names() != "a.csv b.csv" {
				t.Errorf("moved away: %q", h.names())
			}
		}
		if err := d.Commit([]byte("x")); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("a position that is none: %v", err)
		}
		d.Close()
	}
}

func TestDir_marker(t *testing.T) {
	h := newHouse(t)
	h.c.Marker = ".done"
	h.put("a.csv", 0, 10)
	d := h.open(nil)
	defer d.Close()
	if got := h.read(d); got != nil {
		t.Errorf("%v before the marker was there", got)
	}
	h.write("a.csv.done", nil)
	if got := h.read(d); len(got) != 10 {
		t.Errorf("%v with the marker", got)
	}
	if err := d.Commit(d.Position()); err != nil || h.names() != "" {
		t.Errorf("%q, %v: the marker goes with the file", h.names(), err)
	}
}

// A file that still grows is waited for.
func TestDir_settle(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	h.c.Settle, h.c.Now = time.Minute, func() time.Time { return now }
	h.put("a.csv", 0, 10)
	d := h.open(nil)
	defer d.Close()
	if got := h.read(d); got != nil {
		t.Fatal("a file was read at once")
	}
	now = now.Add(59 * time.Second)
	h.put("a.csv", 0, 20)
	os.Chtimes(filepath.Join(h.c.Dir, "a.csv"), now, now)
	if got := h.read(d); got != nil {
		t.Fatal("a file was read that has just grown")
	}
	now = now.Add(time.Minute)
	if got := h.read(d); len(got) != 20 {
		t.Errorf("%d records of the file when it had settled", len(got))
	}
}

// Next waits for files, and ends with its context.
func TestDir_waits(t *testing.T) {
	h := newHouse(t)
	h.c.Once = false
	d := h.open(nil)
	defer d.Close()
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error)
	go func() {
		var b cdr.Batch
		err := d.Next(ctx, &b)
		if err == nil && len(b.Events) == 10 {
			cancel()
			err = d.Next(ctx, &b)
		}
		got <- err
	}()
	h.put("x.tmp", 0, 10)
	if err := os.Rename(filepath.Join(h.c.Dir, "x.tmp"), filepath.Join(h.c.Dir, "x.csv")); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %v", err)
	}
}

// When the ledger cannot be written, the file is not done: the error says so, and
// what was read comes again from the last position that was kept.
func TestDir_ledgerFails(t *testing.T) {
	h := newHouse(t)
	h.put("a.csv", 0, 10)
	d := h.open(nil)
	var b cdr.Batch
	if err := d.Next(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	pos := d.Position()
	d.ledger.j.Close() // as a disk that is gone
	if err := d.Next(context.Background(), &b); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("Next = %v, want an unavailable error", err)
	}
	d.Close()
	d = h.open(pos)
	defer d.Close()
	if got := h.read(d); got != nil {
		t.Errorf("%v came again, though the position has them", got)
	}
	if d.ledger.last() != 1 {
		t.Errorf("the ledger has %d entries, want 1", d.ledger.last())
	}
}
