package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The most that an agent may weigh on any target.
const (
	maxCore = 12 << 20
	maxFull = 20 << 20
)

// TestSize builds the agent for its five targets, core and full, with the flags of
// a release (release.txt): functions are inlined where packets are looked at, and
// nowhere else.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: builds ten programs")
	}
	b, err := os.ReadFile("release.txt")
	if err != nil {
		t.Fatal(err)
	}
	flags := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, target := range [][]string{
		{"GOARCH=amd64"}, {"GOARCH=arm64"}, {"GOARCH=arm", "GOARM=7"}, {"GOARCH=mipsle", "GOMIPS=softfloat"}, {"GOARCH=riscv64"},
	} {
		for _, build := range []struct {
			name string
			tags []string
			most int64
		}{{"core", nil, maxCore}, {"full", []string{"-tags", "full"}, maxFull}} {
			t.Run(target[0]+"/"+build.name, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "ringwall-agent")
				cmd := exec.Command("go", slices.Concat([]string{"build"}, flags, build.tags, []string{"-o", out, "."})...)
				cmd.Env = append(append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0"), target...)
				if text, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("building: %v\n%s", err, text)
				}
				fi, err := os.Stat(out)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%.2f MiB", float64(fi.Size())/(1<<20))
				if fi.Size() > build.most {
					t.Errorf("%d bytes, the limit is %d", fi.Size(), build.most)
				}
			})
		}
	}
}
