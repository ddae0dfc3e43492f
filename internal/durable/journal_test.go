package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ringwall/ringwall/internal/durable"
)

func open(t *testing.T, dir string, c durable.JournalConfig) *durable.Journal {
	t.Helper()
	j, err := durable.OpenJournal(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func appendAll(t *testing.T, j *durable.Journal, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		n, err := j.Append(fmt.Appendf(nil, "frame %d", i))
		if err != nil || n != uint64(i) {
			t.Fatalf("Append = %d, %v; want %d", n, err, i)
		}
	}
	if err := j.SyncAll(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, j *durable.Journal, from uint64) (out []string) {
	t.Helper()
	err := j.Read(from, func(index uint64, p []byte) (bool, error) {
		if want := fmt.Sprintf("frame %d", index); string(p) != want {
			t.Errorf("frame %d holds %q", index, p)
		}
		out = append(out, string(p))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJournal_readsBackInOrder_acrossSegments(t *testing.T) {
	dir := t.TempDir()
	c := durable.JournalConfig{SegmentBytes: 300}
	j := open(t, dir, c)
	for i := 1; i <= 100; i++ {
		appendAll(t, j, i, i)
	}
	if n := len(j.Segments()); n < 5 {
		t.Fatalf("%d segments, want many", n)
	}
	for _, from := range []uint64{0, 1, 2, 50, 99, 100} {
		if got, want := len(read(t, j, from)), 101-int(max(from, 1)); got != want {
			t.Errorf("Read(%d) gave %d frames, want %d", from, got, want)
		}
	}
	if got := read(t, j, 101); got != nil {
		t.Errorf("Read past the end gave %q", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, c)
	if got := read(t, j, 1); len(got) != 100 || j.Last() != 100 {
		t.Errorf("after reopening: %d frames, last %d", len(got), j.Last())
	}
	appendAll(t, j, 101, 120)
	if got := read(t, j, 95); len(got) != 26 {
		t.Errorf("after appending more: %d frames from 95 on, want 26", len(got))
	}
}

func TestJournal_shows_onlyWhatIsDurable(t *testing.T) {
	j := open(t, t.TempDir(), durable.JournalConfig{})
	appendAll(t, j, 1, 3)
	if _, err := j.Append([]byte("frame 4")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, j, 1); len(got) != 3 {
		t.Errorf("%d frames are shown before the fsync, want 3", len(got))
	}
}

func TestJournal_concurrentAppends_shareFsyncs(t *testing.T) {
	var syncs atomic.Int64
	disk := &durable.Disk{Intercept: func(site durable.Site, sync func() error) error {
		if site == durable.SiteFrames {
			syncs.Add(1)
		}
		return sync()
	}}
	j := open(t, t.TempDir(), durable.JournalConfig{Disk: disk})
	const writers, each = 32, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				n, err := j.Append([]byte("x"))
				if err == nil {
					err = j.Sync(n)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if j.Synced() != writers*each {
		t.Errorf("Synced = %d, want %d", j.Synced(), writers*each)
	}
	if n := syncs.Load(); n > writers*each/4 {
		t.Errorf("%d fsyncs for %d acknowledged appends of %d writers: they do not share", n, writers*each, writers)
	}
}

func TestJournal_stopsAfterAFailedFsync(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("input/output error")
	var fail atomic.Bool
	c := durable.JournalConfig{Disk: &durable.Disk{Intercept: func(_ durable.Site, sync func() error) error {
		if fail.Load() {
			return broken
		}
		return sync()
	}}}
	j := open(t, dir, c)
	appendAll(t, j, 1, 3)
	fail.Store(true)
	n, err := j.Append([]byte("frame 4"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(n); !errors.Is(err, broken) {
		t.Fatalf("Sync = %v, want the failure", err)
	}
	fail.Store(false) // the disk claims to be well again: that is not believed
	if err := j.Sync(n); !errors.Is(err, broken) {
		t.Errorf("second Sync = %v, want the first failure", err)
	}
	if _, err := j.Append([]byte("frame 5")); !errors.Is(err, broken) {
		t.Errorf("Append = %v, want the first failure", err)
	}
	if got := read(t, j, 1); len(got) != 3 {
		t.Errorf("%d frames can be read, want the 3 durable ones", len(got))
	}
	j = open(t, dir, c)
	if got := read(t, j, 1); len(got) < 3 {
		t.Errorf("after reopening %d frames are left, want at least 3", len(got))
	}
}

func TestJournal_cutsOffATornTail(t *testing.T) {
	whole := func() []byte {
		dir := t.TempDir()
		j := open(t, dir, durable.JournalConfig{})
		appendAll(t, j, 1, 5)
		b, err := os.ReadFile(filepath.Join(dir, "0000000000000001.seg"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	frame := len("frame 1") + 16
	for _, c := range []struct {
		name string
		file []byte
		want int
	}{
		{"cut in the payload", whole[:len(whole)-3], 4},
		{"cut in the header", whole[:len(whole)-frame+5], 4},
		{"zeroes behind", append(bytes.Clone(whole), make([]byte, 4096)...), 5},
		{"garbage behind", append(bytes.Clone(whole), bytes.Repeat([]byte{0xa5}, 600)...), 5},
		{"last frame zeroed", append(bytes.Clone(whole[:len(whole)-frame]), make([]byte, frame)...), 4},
		{"header of the file only", whole[:32], 0},
		{"header of the file torn", whole[:20], 0},
		{"empty file", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "0000000000000001.seg"), c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, dir, durable.JournalConfig{})
			if got := read(t, j, 1); len(got) != c.want {
				t.Fatalf("%d frames, want %d", len(got), c.want)
			}
			appendAll(t, j, c.want+1, c.want+3)
			j.Close()
			j = open(t, dir, durable.JournalConfig{})
			if got := read(t, j, 1); len(got) != c.want+3 {
				t.Errorf("after appending three: %d frames, want %d", len(got), c.want+3)
			}
		})
	}
}

func TestJournal_damageIsSaid(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, dir string, firsts []uint64)
	}{
		{"a bit in a sealed segment", func(t *testing.T, dir string, firsts []uint64) {
			p := filepath.Join(dir, fmt.Sprintf("%016x.seg", firsts[1]))
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			b[40] ^= 1
			os.WriteFile(p, b, 0o600)
		}},
		{"a sealed segment cut short", func(t *testing.T, dir string, firsts []uint64) {
			p := filepath.Join(dir, fmt.Sprintf("%016x.seg", firsts[1]))
			fi, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			os.Truncate(p, fi.Size()-23)
		}},
		{"a segment missing in the middle", func(t *testing.T, dir string, firsts []uint64) {
			os.Remove(filepath.Join(dir, fmt.Sprintf("%016x.seg", firsts[1])))
		}},
		{"a segment of another journal", func(t *testing.T, dir string, firsts []uint64) {
			other := t.TempDir()
			j := open(t, other, durable.JournalConfig{Tag: 99})
			appendAll(t, j, 1, 3)
			b, _ := os.ReadFile(filepath.Join(other, "0000000000000001.seg"))
			os.WriteFile(filepath.Join(dir, "0000000000000001.seg"), b, 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := durable.JournalConfig{SegmentBytes: 200}
			j := open(t, dir, cfg)
			for i := 1; i <= 40; i++ {
				appendAll(t, j, i, i)
			}
			var firsts []uint64
			for _, s := range j.Segments() {
				firsts = append(firsts, s.First)
			}
			j.Close()
			c.harm(t, dir, firsts)
			if _, err := durable.OpenJournal(dir, cfg); !errors.Is(err, durable.ErrDamaged) {
				t.Errorf("OpenJournal = %v, want ErrDamaged", err)
			}
		})
	}
}

func TestJournal_Rewrite_leavesGaps(t *testing.T) {
	dir := t.TempDir()
	cfg := durable.JournalConfig{SegmentBytes: 300, Gaps: true}
	j := open(t, dir, cfg)
	for i := 1; i <= 60; i++ {
		appendAll(t, j, i, i)
	}
	segs := j.Segments()
	second, third := segs[1].First, segs[2].First
	saved, err := j.Rewrite(second, func(index uint64, _ []byte) bool { return index == second+1 })
	if err != nil || saved <= 0 {
		t.Fatalf("Rewrite saved %d, %v", saved, err)
	}
	check := func(when string) {
		if got, want := len(read(t, j, 1)), 60-int(third-second)+1; got != want {
			t.Errorf("%s: %d frames, want %d", when, got, want)
		}
		if got, want := read(t, j, second), fmt.Sprintf("frame %d", second+1); got[0] != want {
			t.Errorf("%s: Read(%d) starts at %q, want %q", when, second, got[0], want)
		}
	}
	check("at once")
	j.Skip()
	appendAll(t, j, 62, 63)
	j.Close()
	j = open(t, dir, cfg)
	if j.Last() != 63 {
		t.Errorf("Last = %d, want 63", j.Last())
	}
	if got := read(t, j, 60); len(got) != 3 {
		t.Errorf("behind the skipped index: %q", got)
	}
}

func TestJournal_Trim_keepsTheIndex(t *testing.T) {
	dir := t.TempDir()
	cfg := durable.JournalConfig{SegmentBytes: 300}
	j := open(t, dir, cfg)
	for i := 1; i <= 60; i++ {
		appendAll(t, j, i, i)
	}
	if err := j.Trim(60); err != nil {
		t.Fatal(err)
	}
	if n := len(j.Segments()); n != 1 {
		t.Errorf("%d segments are left, want the last", n)
	}
	j.Close()
	j = open(t, dir, cfg)
	appendAll(t, j, 61, 61)
}

func TestJournal_refusesGiantFrames(t *testing.T) {
	j := open(t, t.TempDir(), durable.JournalConfig{MaxFrame: 100})
	if _, err := j.Append(make([]byte, 101)); err == nil {
		t.Error("a frame over the limit is taken")
	}
	appendAll(t, j, 1, 1)
}

func TestWriteFile_replacesWhole(t *testing.T) {
	p := filepath.Join(t.TempDir(), "state.json")
	for _, s := range []string{"one", "the second is longer", ""} {
		if err := durable.WriteFile(p, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p)
		if err != nil || string(b) != s {
			t.Errorf("content = %q, %v; want %q", b, err, s)
		}
	}
	fi, err := os.Stat(p)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", fi.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(p)); len(entries) != 1 {
		t.Errorf("temporary files are left: %v", entries)
	}
}

// FuzzFrameReader checks that no input makes the reader fail otherwise than by
// its two errors, that it stays within its limit, and that what it reads is
// what it would write.
func FuzzFrameReader(f *testing.F) {
	good := durable.AppendFrame(nil, 1, []byte("first"))
	good = durable.AppendFrame(good, 2, nil)
	good = durable.AppendFrame(good, 9, bytes.Repeat([]byte("x"), 300))
	f.Add(good, true)
	f.Add(good[:len(good)-1], false)
	f.Add(make([]byte, 64), true)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, in []byte, gaps bool) {
		const limit = 1 << 10
		r := durable.NewFrameReader(bytes.NewReader(in), 1, gaps, limit)
		var out []byte
		last := uint64(0)
		for {
			index, payload, err := r.Next()
			if err != nil {
				if err.Error() != "EOF" && !errors.Is(err, durable.ErrTorn) {
					t.Fatalf("unexpected error %v", err)
				}
				break
			}
			if len(payload) > limit || index <= last && last != 0 {
				t.Fatalf("frame %d of %d bytes after %d", index, len(payload), last)
			}
			last = index
			out = durable.AppendFrame(out, index, payload)
		}
		if !bytes.Equal(out, in[:r.Offset()]) {
			t.Fatal("what was read is not what stood there")
		}
	})
}
