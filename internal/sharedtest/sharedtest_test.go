package sharedtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall/internal/sharedtest"
)

func TestPath_environmentWins(t *testing.T) {
	dir := t.TempDir()
	want := filepath.Join(dir, "a", "b.pcap")
	if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RINGWALL_SHARED", dir)
	if got := sharedtest.Path(t, "a/b.pcap"); got != want {
		t.Errorf("Path = %q, want %q", got, want)
	}
	if got := sharedtest.Glob(t, "*/*.pcap"); len(got) != 1 || got[0] != want {
		t.Errorf("Glob = %q, want %q alone", got, want)
	}
}

func TestPath_absentFileSkips(t *testing.T) {
	t.Setenv("RINGWALL_SHARED", t.TempDir())
	skipped := false
	t.Run("absent", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		sharedtest.Path(t, "no/such.pcap")
		t.Error("Path returned though the file is absent")
	})
	if !skipped {
		t.Error("a test that asks for absent data was not skipped")
	}
}
