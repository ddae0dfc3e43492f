package usage

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// TestKeep_fullDisk: a snapshot for which there is no room is told, what was
// there stays, and when there is room again the next is taken.
func TestKeep_fullDisk(t *testing.T) {
	dir, err := os.MkdirTemp("", "fulldisk")
	check(t, err)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		os.Remove(dir)
		if os.Getenv("CI") != "" {
			t.Fatalf("a small disk is needed on CI: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: this test needs root, to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		os.Remove(dir)
	})
	recs := stream(31, 1500)
	keep := must(OpenKeep(filepath.Join(dir, "state"), nil))
	s := newSet(t, 2, nil)
	check(t, Run(t.Context(), RunConfig{Set: s, Source: source(t, recs[:500], nil), Keep: keep}))
	first := s.Hash()

	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("the disk is larger than it was made")
	}
	told := 0
	err = Run(t.Context(), RunConfig{Set: s, Source: &chopped{recs: recs[:1000], from: 500}, Keep: keep, Saved: func(v *Saving) {
		if told++; v.Err() == nil {
			t.Error("a snapshot was taken on a full disk")
		}
	}})
	if ringwall.CodeOf(err) != ringwall.Unavailable || told == 0 {
		t.Errorf("on a full disk Run = %v, %d snapshots were told of", err, told)
	}
	again := newSet(t, 2, nil)
	if r, err := keep.Restore(again); err != nil || string(r.Position) != "500" || again.Hash() != first {
		t.Errorf("Restore = %q, %v; want what was there before", r.Position, err)
	}
	check(t, os.Remove(other))
	check(t, Run(t.Context(), RunConfig{Set: s, Source: &chopped{recs: recs, from: 1000}, Keep: keep}))
	again = newSet(t, 2, nil)
	if r, err := keep.Restore(again); err != nil || string(r.Position) != "1500" || again.Hash() != s.Hash() {
		t.Errorf("with room again Restore = %q, %v; want all of it", r.Position, err)
	}
}
