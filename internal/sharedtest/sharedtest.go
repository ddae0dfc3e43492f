// Package sharedtest finds the third-party data that tests read: captures,
// flow records, vectors. It is never committed; where it is absent the test
// that asks for it is skipped, loudly.
//
// The data folder is the one named by the environment variable
// RINGWALL_SHARED, or else shared/data beside the root of the repository.
package sharedtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of a file or folder of the shared data, such as
// "pcap/attack/x.pcap". It skips the test when there is none.
func Path(t testing.TB, rel string) string {
	t.Helper()
	dir, err := folder()
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the shared data is absent (%v); set RINGWALL_SHARED to its folder", err)
	}
	p := filepath.Join(dir, filepath.FromSlash(rel))
	if _, err := os.Stat(p); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: shared data %q is absent: %v", rel, err)
	}
	return p
}

// Glob returns the files of the shared data that match a pattern, such as
// "pcap/benign/*/*.pcap". It skips the test when there is none.
func Glob(t testing.TB, pattern string) []string {
	t.Helper()
	dir, err := folder()
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the shared data is absent (%v); set RINGWALL_SHARED to its folder", err)
	}
	all, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err != nil {
		t.Fatalf("pattern %q: %v", pattern, err)
	}
	if len(all) == 0 {
		t.Skipf("SKIPPED, NOT TESTED: no shared data matches %q", pattern)
	}
	return all
}

// folder finds the data folder: from the environment, or by walking up from
// the package under test to the root of the repository.
func folder() (string, error) {
	if dir := os.Getenv("RINGWALL_SHARED"); dir != "" {
		return dir, nil
	}
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(at)
		if up == at {
			return "", os.ErrNotExist
		}
		at = up
	}
	dir := filepath.Join(filepath.Dir(at), "shared", "data")
	_, err = os.Stat(dir)
	return dir, err
}
