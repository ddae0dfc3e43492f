package usagelog_test

import (
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
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
	"github.com/ringwall/ringwall/internal/usage/shard"
	"github.com/ringwall/ringwall/internal/usage/shard/shardtest"
)

func start(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func open(t *testing.T, b *broker.Broker, c usagelog.Config) *usagelog.Cluster {
	t.Helper()
	c.InProcess, c.Token, c.LogBytes = b.InProcess, b.Token(), max(c.LogBytes, 1<<20)
	cl, err := usagelog.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestCluster_conforms(t *testing.T) {
	const ttl = time.Second
	b := start(t)
	t.Run("object store", func(t *testing.T) {
		shardtest.Conform(t, open(t, b, usagelog.Config{Shards: 4, TTL: ttl}), ttl)
	})
	t.Run("directory", func(t *testing.T) {
		shardtest.Conform(t, open(t, b, usagelog.Config{Name: "DIR", Shards: 4, TTL: ttl, Snapshots: t.TempDir()}), ttl)
	})
}

func TestOpen_refuses(t *testing.T) {
	for _, c := range []usagelog.Config{
		{Shards: 4}, {Shards: 4, Servers: []string{"nats://127.0.0.1:1"}}, {Shards: 0, Plain: true, Servers: []string{"nats://127.0.0.1:1"}},
		{Shards: 4, Name: "a.b"}, {Shards: 4, Replicas: 2},
	} {
		if _, err := usagelog.Open(t.Context(), c); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%+v: %v, want an invalid error", c, err)
		}
	}
}

// TestCluster_fullLogRefuses fills a log: it must refuse, not drop.
func TestCluster_fullLogRefuses(t *testing.T) {
	c := open(t, start(t), usagelog.Config{Shards: 1, LogBytes: 1 << 20})
	entry := make([]byte, 100<<10)
	var kept int
	for ; kept < 100; kept++ {
		if _, err := c.Append(t.Context(), 0, entry); err != nil {
			if ringwall.CodeOf(err) != ringwall.Unavailable {
				t.Fatalf("a full log says %v, want unavailable: its source waits", err)
			}
			break
		}
	}
	if kept < 5 || kept > 11 {
		t.Fatalf("%d entries of 100 KiB kept in 1 MiB", kept)
	}
	var first uint64
	n := 0
	enough := errors.New("enough")
	err := c.Read(t.Context(), 0, 1, func(seq uint64, _ []byte) error {
		if n == 0 {
			first = seq
		}
		if n++; n == kept {
			return enough
		}
		return nil
	}, func() error { return nil })
	if !errors.Is(err, enough) || first != 1 {
		t.Errorf("of %d entries %d read, from %d on: %v", kept, n, first, err)
	}
	if err := c.Trim(t.Context(), 0, uint64(kept)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(t.Context(), 0, entry); err != nil {
		t.Errorf("after trimming: %v", err)
	}
}

// TestCluster_damagedSnapshotGivesWayToTheOneBefore changes and cuts the newest
// snapshot's file.
func TestCluster_damagedSnapshotGivesWayToTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	c := open(t, start(t), usagelog.Config{Shards: 1, Snapshots: dir})
	put := func(seq uint64) string {
		t.Helper()
		was, _ := filepath.Glob(filepath.Join(dir, "*"))
		if _, err := c.Put(t.Context(), shard.Lease{Epoch: 1}, seq, func(w io.Writer) error {
			_, err := io.WriteString(w, strings.Repeat(fmt.Sprintf("snapshot %d ", seq), 1000))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		now, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, f := range now {
			if !slices.Contains(was, f) {
				return f
			}
		}
		t.Fatal("no new file")
		return ""
	}
	put(1)
	put(2)
	newest := put(3)
	if all, _ := os.ReadDir(dir); len(all) != 2 {
		t.Errorf("%d snapshots are kept, want 2", len(all))
	}
	whole, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	changed := slices.Clone(whole)
	changed[5000] ^= 1
	for name, data := range map[string][]byte{"changed": changed, "cut": whole[:7000], "grown": append(slices.Clone(whole), 'x'), "whole": whole} {
		if err := os.WriteFile(newest, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		err := c.Get(t.Context(), 0, func(seq uint64, r io.Reader) error {
			seqs = append(seqs, seq)
			_, err := io.ReadAll(r)
			return err
		})
		want := []uint64{3, 2}
		if name == "whole" {
			want = want[:1]
		}
		if err != nil || !slices.Equal(seqs, want) {
			t.Errorf("%s: read %v, %v; want %v", name, seqs, err, want)
		}
	}
}

// TestCluster_alertsAreConsumedOnce consumes alerts that were said twice.
// by a consumer that fails now and then.
func TestCluster_alertsAreConsumedOnce(t *testing.T) {
	b := start(t)
	c := open(t, b, usagelog.Config{Shards: 2})
	var all []ringwall.Alert
	for i := range 20 {
		all = append(all, ringwall.Alert{ID: ringwall.AlertID(fmt.Sprintf("alr_%d", i)), Rule: "separation"})
	}
	for range 2 {
		if err := c.Alerts(t.Context(), 1, all); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, failed := map[ringwall.AlertID]int{}, 0
	if err := c.Consume(ctx, "platform", func(a ringwall.Alert) error {
		if failed++; failed == 3 {
			return errors.New("not now")
		}
		got[a.ID]++
		if len(got) == len(all) {
			cancel()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if got[a.ID] == 0 {
			t.Errorf("alert %s never came", a.ID)
		}
	}
}

func TestCluster_places(t *testing.T) {
	c := open(t, start(t), usagelog.Config{Shards: 1})
	if p, err := c.Place(t.Context(), 7); p != nil || err != nil {
		t.Fatalf("a new source: %q, %v", p, err)
	}
	for _, want := range []string{"one", "two"} {
		if err := c.SavePlace(t.Context(), 7, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if p, err := c.Place(t.Context(), 7); string(p) != want || err != nil {
			t.Errorf("%q, %v; want %q", p, err, want)
		}
	}
}
