package shardtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// Behind is all that stands behind a node.
type Behind interface {
	shard.Log
	shard.Leases
	shard.Store
	shard.Sink
}

// Conform tests that b does what package shard asks of it. b is empty and has at
// least shards 0 to 3; its leases live no longer than ttl.
func Conform(t *testing.T, b Behind, ttl time.Duration) {
	t.Run("log", func(t *testing.T) { log(t, b) })
	t.Run("leases", func(t *testing.T) { leases(t, b, ttl) })
	t.Run("store", func(t *testing.T) { store(t, b) })
	t.Run("sink", func(t *testing.T) {
		a := []ringwall.Alert{{ID: "alr_conform_1", Rule: "separation"}, {ID: "alr_conform_2", Rule: "separation"}}
		for range 2 {
			if err := b.Alerts(t.Context(), 0, a); err != nil {
				t.Fatal(err)
			}
		}
	})
}

var errEnough = errors.New("enough")

// read returns n entries from a sequence on.
func read(t *testing.T, b shard.Log, s int, from uint64, n int) (seqs []uint64, all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := b.Read(ctx, s, from, func(seq uint64, e []byte) error {
		seqs, all = append(seqs, seq), append(all, string(e))
		if len(all) == n {
			return errEnough
		}
		return nil
	}, func() error { return nil })
	if n > 0 && !errors.Is(err, errEnough) {
		t.Fatalf("reading %d entries of shard %d from %d: %v, have %q", n, s, from, err, all)
	}
	return seqs, all
}

func log(t *testing.T, b shard.Log) {
	ctx := t.Context()
	var seqs []uint64
	for i := range 5 {
		for s := 1; s <= 2; s++ {
			seq, err := b.Append(ctx, s, fmt.Appendf(nil, "%d/%d", s, i))
			if err != nil {
				t.Fatal(err)
			}
			if s == 1 {
				seqs = append(seqs, seq)
			}
		}
	}
	got, all := read(t, b, 1, 0+1, 5)
	if fmt.Sprint(all) != "[1/0 1/1 1/2 1/3 1/4]" || fmt.Sprint(got) != fmt.Sprint(seqs) {
		t.Errorf("shard 1 reads %q at %v; appended at %v", all, got, seqs)
	}
	if _, all := read(t, b, 1, seqs[2]+1, 2); fmt.Sprint(all) != "[1/3 1/4]" {
		t.Errorf("from the fourth on it reads %q", all)
	}
	// One that waits hears of what comes, and is told when nothing does.
	idle := make(chan struct{}, 1)
	heard := make(chan string, 1)
	wait, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- b.Read(wait, 1, seqs[4]+1, func(_ uint64, e []byte) error { heard <- string(e); return nil }, func() error {
			select {
			case idle <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-idle
	if _, err := b.Append(ctx, 1, []byte("late")); err != nil {
		t.Fatal(err)
	}
	if e := <-heard; e != "late" {
		t.Errorf("the reader that waits hears %q", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("a reader whose context ended returns %v", err)
	}
	if err := b.Trim(ctx, 1, seqs[3]); err != nil {
		t.Fatal(err)
	}
	if _, all := read(t, b, 1, seqs[3], 3); fmt.Sprint(all) != "[1/3 1/4 late]" {
		t.Errorf("after trimming it reads %q", all)
	}
	err := b.Read(ctx, 1, seqs[0], func(uint64, []byte) error { return errEnough }, func() error { return errEnough })
	if ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("reading what was trimmed away: %v, want not found: a reader that skips entries would lose them", err)
	}
	if _, all := read(t, b, 2, 1, 5); fmt.Sprint(all) != "[2/0 2/1 2/2 2/3 2/4]" {
		t.Errorf("trimming shard 1 changed shard 2: %q", all)
	}
}

func leases(t *testing.T, b shard.Leases, ttl time.Duration) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	conflict := func(err error, what string) {
		t.Helper()
		if ringwall.CodeOf(err) != ringwall.Conflict {
			t.Errorf("%s: %v, want a conflict", what, err)
		}
	}
	for i, name := range []string{"a", "b", "a"} {
		n, err := b.Join(ctx, name)
		must(err)
		if want := min(i+1, 2); n != want {
			t.Errorf("%d machines after %q joined, want %d", n, name, want)
		}
	}
	must(b.Leave(ctx, "b"))
	if n, err := b.Join(ctx, "a"); err != nil || n != 1 {
		t.Errorf("%d machines after one left, %v", n, err)
	}
	l, err := b.Acquire(ctx, 3, "a")
	must(err)
	_, err = b.Acquire(ctx, 3, "b")
	conflict(err, "taking what is owned")
	must(b.Renew(ctx, l, "a"))
	conflict(b.Renew(ctx, shard.Lease{Shard: 3, Epoch: l.Epoch - 1}, "b"), "renewing with an older epoch")
	conflict(b.Release(ctx, shard.Lease{Shard: 3, Epoch: l.Epoch - 1}, "b"), "releasing with an older epoch")
	must(b.Release(ctx, l, "a"))
	m, err := b.Acquire(ctx, 3, "b")
	must(err)
	if m.Epoch <= l.Epoch {
		t.Errorf("epoch %d after %d: it must rise", m.Epoch, l.Epoch)
	}
	conflict(b.Renew(ctx, l, "a"), "renewing what was given away")
	// Not renewed, it ends.
	var next shard.Lease
	for end := time.Now().Add(3*ttl + 5*time.Second); ; time.Sleep(ttl / 10) {
		if next, err = b.Acquire(ctx, 3, "a"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a lease that nobody renews does not end: %v", err)
		}
	}
	if next.Epoch <= m.Epoch {
		t.Errorf("epoch %d after %d: it must rise", next.Epoch, m.Epoch)
	}
	conflict(b.Renew(ctx, m, "b"), "renewing what has ended")
}

func store(t *testing.T, b shard.Store) {
	ctx := t.Context()
	if err := b.Get(ctx, 0, func(uint64, io.Reader) error { return nil }); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Fatalf("no snapshot: %v, want not found", err)
	}
	put := func(epoch, seq uint64, text string) (uint64, error) {
		return b.Put(ctx, shard.Lease{Shard: 0, Epoch: epoch}, seq, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}
	newest := func(fail int) (seen []string) {
		t.Helper()
		_ = b.Get(ctx, 0, func(seq uint64, r io.Reader) error {
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, fmt.Sprintf("%d:%s", seq, data))
			if len(seen) <= fail {
				return errEnough
			}
			return nil
		})
		return seen
	}
	if before, err := put(1, 10, "one"); err != nil || before != 0 {
		t.Fatalf("first snapshot: %d, %v", before, err)
	}
	if before, err := put(1, 20, "two"); err != nil || before != 10 {
		t.Fatalf("second snapshot: %d, %v", before, err)
	}
	if got := fmt.Sprint(newest(0)); got != "[20:two]" {
		t.Errorf("the newest is %s", got)
	}
	if before, err := put(3, 25, "three"); err != nil || before != 20 {
		t.Fatalf("a new owner's: %d, %v", before, err)
	}
	for _, stale := range [][2]uint64{{1, 30}, {2, 40}, {3, 25}, {3, 20}} {
		if _, err := put(stale[0], stale[1], "stale"); ringwall.CodeOf(err) != ringwall.Conflict {
			t.Errorf("epoch %d, sequence %d after epoch 3, 25: %v, want a conflict", stale[0], stale[1], err)
		}
	}
	if got := fmt.Sprint(newest(1)); got != "[25:three 20:two]" {
		t.Errorf("with the newest unreadable: %s", got)
	}
	if _, err := b.Put(ctx, shard.Lease{Shard: 0, Epoch: 3}, 50, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return errEnough
	}); !errors.Is(err, errEnough) {
		t.Errorf("a snapshot that fails half-way: %v", err)
	}
	if got := fmt.Sprint(newest(0)); got != "[25:three]" {
		t.Errorf("after one that failed half-way the newest is %s", got)
	}
}
