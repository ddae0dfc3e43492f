package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// maxSize is the most that the core agent may weigh on any target.
const maxSize = 12 << 20

// TestSize builds the core agent for its five targets.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: builds five programs")
	}
	for _, target := range [][]string{
		{"GOARCH=amd64"}, {"GOARCH=arm64"}, {"GOARCH=arm", "GOARM=7"}, {"GOARCH=mipsle", "GOMIPS=softfloat"}, {"GOARCH=riscv64"},
	} {
		t.Run(target[0], func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "ringwall-agent")
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
			cmd.Env = append(append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0"), target...)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("building: %v\n%s", err, text)
			}
			fi, err := os.Stat(out)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.2f MiB", float64(fi.Size())/(1<<20))
			if fi.Size() > maxSize {
				t.Errorf("%d bytes, the limit is %d", fi.Size(), maxSize)
			}
		})
	}
}
