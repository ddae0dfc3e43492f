package rulefile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/rulefile"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(b []byte) (*string, error) {
	s := string(b)
	if s == "bad" {
		return nil, errors.New("bad")
	}
	return &s, nil
}

func TestReplace_allOrNothing(t *testing.T) {
	dir := t.TempDir()
	a, b, lock := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "lock")
	must(t, rulefile.Replace(lock, nil, rulefile.File{Path: a, Data: []byte("1")}))
	boom := errors.New("boom")
	err := rulefile.Replace(lock, func() error { return boom }, rulefile.File{Path: a, Data: []byte("2")}, rulefile.File{Path: b, Data: []byte("2")})
	if !errors.Is(err, boom) {
		t.Errorf("Replace = %v, want boom", err)
	}
	if got, _ := os.ReadFile(a); string(got) != "1" {
		t.Errorf("after a refused change a file holds %q, want what it held", got)
	}
	if _, err := os.Stat(b); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after a refused change a file is there that was not: %v", err)
	}
	// The second cannot be written: the first is put back.
	if err := rulefile.Replace(lock, nil, rulefile.File{Path: a, Data: []byte("3")}, rulefile.File{Path: filepath.Join(dir, "no", "b"), Data: nil}); err == nil {
		t.Error("a file without a directory is written")
	}
	if got, _ := os.ReadFile(a); string(got) != "1" {
		t.Errorf("a half change stays: %q", got)
	}
}

func TestLoader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	l := rulefile.NewLoader(path, text)
	if _, err := l.Load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	for _, c := range []struct{ write, want string }{{"one", "one"}, {"two", "two"}, {"bad", "two"}, {"three", "three"}} {
		must(t, rulefile.Replace(rulefile.LockOf(path), nil, rulefile.File{Path: path, Data: []byte(c.write)}))
		for range 2 {
			if got, err := l.Load(); err != nil || *got != c.want {
				t.Errorf("after %q: %v, %v, want %q", c.write, got, err, c.want)
			}
		}
	}
	must(t, os.Remove(path))
	if _, err := l.Load(); err == nil {
		t.Error("a file that is gone is still read")
	}
}

func TestShare_keepsReplaceWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	unlock, err := rulefile.Share(rulefile.LockOf(path))
	must(t, err)
	done := make(chan error, 1)
	go func() {
		done <- rulefile.Replace(rulefile.LockOf(path), nil, rulefile.File{Path: path, Data: []byte("x")})
	}()
	other, err := rulefile.Share(rulefile.LockOf(path))
	must(t, err)
	other()
	select {
	case <-done:
		t.Error("replaced while somebody held the lock")
	case <-time.After(30 * time.Millisecond):
	}
	unlock()
	must(t, <-done)
}

func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan struct{}, 64)
	done := make(chan error, 1)
	go func() { done <- rulefile.Watch(ctx, path, func() { told <- struct{}{} }) }()
	<-told
	must(t, rulefile.Replace(rulefile.LockOf(path), nil, rulefile.File{Path: path, Data: []byte("x")}))
	<-told
	cancel()
	must(t, <-done)
}

// TestWatch_doesNotWakeItself: who is told takes the lock to look, and this is
// nothing to tell of.
func TestWatch_doesNotWakeItself(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan struct{}, 1024)
	done := make(chan error, 1)
	go func() {
		done <- rulefile.Watch(ctx, path, func() {
			unlock, err := rulefile.Share(rulefile.LockOf(path))
			if err == nil {
				unlock()
			}
			told <- struct{}{}
		})
	}()
	<-told
	must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("x"), 0o600))
	select {
	case <-told:
		t.Fatal("told of another file, or of its own lock")
	case <-time.After(50 * time.Millisecond):
	}
	must(t, rulefile.Replace(rulefile.LockOf(path), nil, rulefile.File{Path: path, Data: []byte("x")}))
	<-told
	must(t, os.Remove(path))
	<-told
	cancel()
	must(t, <-done)
}
