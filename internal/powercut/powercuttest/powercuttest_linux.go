// Package powercuttest gives tests a file system whose power can be cut, and
// skips loudly where the machine cannot mount one. On CI it never skips.
package powercuttest

import (
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/powercut"
)

// New mounts a file system in a directory of the test's own and returns both.
func New(t testing.TB, c powercut.Config) (*powercut.FS, string) {
	t.Helper()
	// Not t.TempDir: its removal would fail on a mount that is still held.
	dir, err := os.MkdirTemp("", "powercut")
	if err != nil {
		t.Fatal(err)
	}
	f, err := powercut.Mount(dir, c)
	if err != nil {
		os.Remove(dir)
		if os.Getenv("CI") != "" {
			t.Fatalf("FUSE is needed on CI: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: this test needs root and /dev/fuse: %v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		os.Remove(dir)
	})
	return f, dir
}
