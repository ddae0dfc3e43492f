package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

const head = "id,time,imsi,service\n"

func line(i int) string { return fmt.Sprintf("r%05d,1763733727,460001234567890,data\n", i) }

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// reader follows in steps: each call of step reads all there is.
type reader struct {
	t   *testing.T
	c   Config
	at  Cursor
	got []string
	bad []string
}

func newReader(t *testing.T) (*reader, string) {
	path := filepath.Join(t.TempDir(), "usage.csv")
	r := &reader{t: t, c: Config{Path: path, Once: true}}
	r.c.Bad = func(e *cdr.LineError) { r.bad = append(r.bad, e.Error()) }
	return r, path
}

// step reads all there is as after a restart: from the kept cursor.
func (r *reader) step() {
	r.t.Helper()
	err := Follow(r.t.Context(), r.c, r.at, func(rec *cdr.Record, at Cursor) error {
		r.got = append(r.got, rec.ID)
		r.at = at
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) want(what string, n int) {
	r.t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("r%05d", i))
	}
	if !slices.Equal(r.got, want) {
		r.t.Fatalf("%s: %d records %.200v, want r00000 to r%05d", what, len(r.got), r.got, n-1)
	}
}

func TestFollow_grows(t *testing.T) {
	r, path := newReader(t)
	r.step() // nothing there yet
	write(t, path, head[:5])
	r.step() // half a header
	write(t, path, head[5:]+line(0)+line(1)[:7])
	r.step()
	r.want("a torn last line is not a record", 1)
	write(t, path, line(1)[7:]+"\n"+line(2))
	r.step()
	r.want("the rest of it came", 3)
	r.step()
	r.want("nothing new", 3)
	if r.at.Line != 5 {
		t.Errorf("the cursor is behind line %d, want 5", r.at.Line)
	}
}

func TestFollow_rotatedBetweenRuns(t *testing.T) {
	r, path := newReader(t)
	write(t, path, head+line(0)+line(1))
	r.step()
	write(t, path, line(2))
	rename(t, path, path+".1")
	write(t, path, head+line(3))
	r.step()
	r.want("the renamed file is read to its end, then the new one", 4)
}

func TestFollow_severalRotationsBetweenRuns(t *testing.T) {
	r, path := newReader(t)
	write(t, path, head+line(0))
	r.step()
	old := time.Now().Add(-time.Hour)
	n := 1
	for i := range 3 { // logrotate: .1 becomes .2 and so on
		write(t, path, line(n))
		n++
		if err := os.Chtimes(path, old, old.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
		for j := i; j > 0; j-- {
			rename(t, fmt.Sprintf("%s.%d", path, j), fmt.Sprintf("%s.%d", path, j+1))
		}
		rename(t, path, path+".1")
		write(t, path, head)
	}
	write(t, path, line(n))
	write(t, path+".1.gz", "not for us")
	r.step()
	r.want("all files are read in the order in which they were written", n+1)
}

func TestFollow_cutAndWrittenAgain(t *testing.T) {
	r, path := newReader(t)
	write(t, path, head+line(0)+line(1))
	r.step()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, path, head+line(2))
	r.step()
	r.want("a file that shrank is read from its start", 3)
}

func TestFollow_headerChanged(t *testing.T) {
	r, path := newReader(t)
	write(t, path, head+line(0))
	r.step()
	if err := os.WriteFile(path, []byte("time,service,imsi,id,extra\n1763733727,data,460001234567890,r00001,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.step()
	r.want("other columns are another file", 2)
}

func TestFollow_badLines(t *testing.T) {
	r, path := newReader(t)
	write(t, path, head+line(0)+"garbage\n"+strings.Repeat("x", 3*cdr.MaxLine)+"\n"+line(1))
	r.step()
	r.want("bad lines are passed over", 2)
	if len(r.bad) != 2 || !strings.Contains(r.bad[0], "line 3: 1 fields") || !strings.Contains(r.bad[1], "line 4: longer than") {
		t.Errorf("bad lines reported as %q", r.bad)
	}
}

func TestFollow_refuses(t *testing.T) {
	r, path := newReader(t)
	write(t, path, "no header here\n")
	err := Follow(t.Context(), r.c, Cursor{}, nil)
	if le, ok := errors.AsType[*cdr.LineError](err); !ok || le.Line != 1 || ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a file without header: %v", err)
	}
	r.c.Path = t.TempDir()
	if err := Follow(t.Context(), r.c, Cursor{}, nil); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a directory: %v, want invalid", err)
	}
	write(t, path+"x", strings.Repeat("y", 2*cdr.MaxLine))
	r.c.Path = path + "x"
	if err := Follow(t.Context(), r.c, Cursor{}, nil); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("an endless header: %v, want invalid", err)
	}
}

func TestFollow_endsOnError(t *testing.T) {
	r, path := newReader(t)
	write(t, path, head+line(0)+line(1))
	mine := errors.New("mine")
	if err := Follow(t.Context(), r.c, Cursor{}, func(*cdr.Record, Cursor) error { return mine }); err != mine {
		t.Errorf("Follow = %v, want each's error", err)
	}
	r.c.Sync = func(Cursor) error { return mine }
	if err := Follow(t.Context(), r.c, Cursor{}, func(*cdr.Record, Cursor) error { return nil }); err != mine {
		t.Errorf("Follow = %v, want Sync's error", err)
	}
}

// TestFollow_live follows while a writer appends in torn pieces, rotates and
// the reader is restarted at random: no record is lost, none comes twice.
func TestFollow_live(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	path := filepath.Join(t.TempDir(), "usage.csv")
	const n = 3000
	done := make(chan error, 1)
	go func() { done <- writeLive(path, n, rng) }()
	var at Cursor
	var got []string
	for restart := 0; len(got) < n && restart < 10_000; restart++ {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		stop := len(got) + 1 + restart*37%400
		err := Follow(ctx, Config{Path: path, Poll: time.Millisecond}, at, func(r *cdr.Record, c Cursor) error {
			got, at = append(got, r.ID), c
			if len(got) >= stop || len(got) == n {
				cancel()
			}
			return nil
		})
		expired := errors.Is(ctx.Err(), context.DeadlineExceeded)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if expired {
			t.Fatalf("no more than %d of %d records came", len(got), n)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i, id := range got {
		if want := fmt.Sprintf("r%05d", i); id != want {
			t.Fatalf("record %d is %s, want %s", i, id, want)
		}
	}
}

func writeLive(path string, n int, rng *rand.Rand) error {
	var f *os.File
	var err error
	for i, rotated := 0, 0; i < n; i++ {
		if f == nil {
			if f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
				return err
			}
			if _, err := f.WriteString(head); err != nil {
				return err
			}
		}
		text := line(i)
		cut := rng.IntN(len(text))
		for _, part := range []string{text[:cut], text[cut:]} {
			if _, err := f.WriteString(part); err != nil {
				return err
			}
		}
		if rng.IntN(200) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		if rng.IntN(400) == 0 {
			rotated++
			time.Sleep(20 * time.Millisecond) // more than a tick of the file system's clock
			if err := os.Rename(path, fmt.Sprintf("%s.%04d", path, rotated)); err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
			f = nil
		}
	}
	if f != nil {
		return f.Close()
	}
	return nil
}

func FuzzFollow(f *testing.F) {
	f.Add([]byte(head+line(0)), 3)
	f.Add([]byte(head+"\n\r\n\x00,,,\n"+line(1)), 30)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		path := filepath.Join(t.TempDir(), "u")
		cut = min(max(cut, 0), len(text))
		var whole, parts []cdr.Record
		read := func(from Cursor, into *[]cdr.Record) Cursor {
			err := Follow(t.Context(), Config{Path: path, Once: true}, from, func(r *cdr.Record, c Cursor) error {
				*into, from = append(*into, *r), c
				return nil
			})
			if err != nil {
				t.Skip()
			}
			return from
		}
		if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		at := read(Cursor{}, &parts)
		g, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Write(text[cut:]); err != nil {
			t.Fatal(err)
		}
		g.Close()
		read(at, &parts)
		read(Cursor{}, &whole)
		if !slices.Equal(whole, parts) {
			t.Fatalf("%q read in two parts at %d gives %v, in one %v", text, cut, parts, whole)
		}
	})
}
