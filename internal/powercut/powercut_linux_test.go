package powercut_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ringwall/ringwall/internal/powercut"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

// write makes a file; sync says whether its content is synced.
func write(t *testing.T, path string, data []byte, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	_, err = f.WriteAt(data, 0)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestFS_Cut_dropsWhatWasNotSynced(t *testing.T) {
	for _, c := range []struct {
		name    string
		config  powercut.Config
		prepare func(t *testing.T, dir string)
		want    map[string]string
	}{
		{"file and directory synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
			syncDir(t, dir)
		}, map[string]string{"a": "one"}},
		{"directory not synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
		}, map[string]string{}},
		{"directory not synced, as on ext4", powercut.Config{NamesWithFiles: true}, func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/d", 0o700))
			write(t, dir+"/d/a", []byte("one"), true)
			must(t, os.Rename(dir+"/d/a", dir+"/b"))
			write(t, dir+"/b", []byte("two"), true)
		}, map[string]string{"d": "dir", "b": "two"}},
		{"content not synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), false)
			syncDir(t, dir)
		}, map[string]string{"a": ""}},
		{"overwritten, not synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
			syncDir(t, dir)
			write(t, dir+"/a", []byte("twotwo"), false)
		}, map[string]string{"a": "one"}},
		{"truncated, not synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
			syncDir(t, dir)
			must(t, os.Truncate(dir+"/a", 1))
		}, map[string]string{"a": "one"}},
		{"rename not synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
			syncDir(t, dir)
			must(t, os.Rename(dir+"/a", dir+"/b"))
		}, map[string]string{"a": "one"}},
		{"rename synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
			must(t, os.Rename(dir+"/a", dir+"/b"))
			syncDir(t, dir)
		}, map[string]string{"b": "one"}},
		{"removal not synced", powercut.Config{}, func(t *testing.T, dir string) {
			write(t, dir+"/a", []byte("one"), true)
			syncDir(t, dir)
			must(t, os.Remove(dir+"/a"))
		}, map[string]string{"a": "one"}},
		{"new directory not synced in its parent", powercut.Config{}, func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir+"/d", 0o700))
			write(t, dir+"/d/a", []byte("one"), true)
			syncDir(t, dir+"/d")
		}, map[string]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, dir := powercuttest.New(t, c.config)
			c.prepare(t, dir)
			must(t, f.Cut(powercut.Strict()))
			got := map[string]string{}
			for _, n := range names(t, dir) {
				b, err := os.ReadFile(filepath.Join(dir, n))
				if err != nil {
					b = []byte("dir")
				}
				got[n] = string(b)
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("after the cut: %q, want %q", got, c.want)
			}
		})
	}
}

func TestFS_Cut_openFilesOfBeforeHaveNoEffect(t *testing.T) {
	f, dir := powercuttest.New(t, powercut.Config{})
	write(t, dir+"/a", []byte("one"), true)
	syncDir(t, dir)
	old, err := os.OpenFile(dir+"/a", os.O_RDWR, 0)
	must(t, err)
	defer old.Close()
	must(t, f.Cut(powercut.Strict()))
	if _, err := old.WriteAt([]byte("two"), 0); err == nil {
		if err := old.Sync(); err == nil {
			t.Error("a file opened before the cut can still be written and synced")
		}
	}
	b, err := os.ReadFile(dir + "/a")
	must(t, err)
	if string(b) != "one" {
		t.Errorf("content = %q, want %q", b, "one")
	}
	must(t, old.Close())
}

// TestFS_Cut_tornKeepsSomeSectors looks for the states that a torn write can
// leave behind, and checks that synced bytes survive in all of them.
func TestFS_Cut_tornKeepsSomeSectors(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(60) {
		f, dir := powercuttest.New(t, powercut.Config{})
		write(t, dir+"/a", bytes.Repeat([]byte("A"), 1024), true)
		syncDir(t, dir)
		// The first 1024 bytes stay; what follows is not synced.
		h, err := os.OpenFile(dir+"/a", os.O_RDWR, 0)
		must(t, err)
		_, err = h.WriteAt(bytes.Repeat([]byte("B"), 1024), 1024)
		must(t, err)
		must(t, h.Close())
		must(t, f.Cut(powercut.Torn(seed)))
		b, err := os.ReadFile(dir + "/a")
		must(t, err)
		if len(b) < 1024 || len(b) > 2048 || !bytes.Equal(b[:1024], bytes.Repeat([]byte("A"), 1024)) {
			t.Fatalf("seed %d: synced bytes are lost: %d bytes remain", seed, len(b))
		}
		state := ""
		for i := 1024; i < len(b); i += 512 {
			state += fmt.Sprintf("%q", b[i])
		}
		seen[state] = true
	}
	for _, want := range []string{"", `'B''B'`, `'\x00''B'`, `'B''\x00'`} {
		if !seen[want] {
			t.Errorf("no seed left the tail %q; seen: %q", want, slices.Sorted(maps.Keys(seen)))
		}
	}
}

func TestFS_Cut_tornRenameIsAtomic(t *testing.T) {
	olds, news := 0, 0
	for seed := range uint64(40) {
		f, dir := powercuttest.New(t, powercut.Config{})
		must(t, os.Mkdir(dir+"/x", 0o700))
		write(t, dir+"/x/a", []byte("old"), true)
		syncDir(t, dir+"/x")
		must(t, os.Mkdir(dir+"/y", 0o700))
		syncDir(t, dir)
		must(t, os.Rename(dir+"/x/a", dir+"/y/a"))
		must(t, f.Cut(powercut.Torn(seed)))
		x, y := names(t, dir+"/x"), names(t, dir+"/y")
		switch {
		case len(x) == 1 && len(y) == 0:
			olds++
		case len(x) == 0 && len(y) == 1:
			news++
		default:
			t.Fatalf("seed %d: half a rename: x has %q, y has %q", seed, x, y)
		}
	}
	if olds == 0 || news == 0 {
		t.Errorf("of 40 cuts %d left the old name and %d the new: want some of each", olds, news)
	}
}

func TestFS_locksAndMapsWork(t *testing.T) {
	_, dir := powercuttest.New(t, powercut.Config{})
	checkLocksAndMaps(t, dir+"/a")
}
