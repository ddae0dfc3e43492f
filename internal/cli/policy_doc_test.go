package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall/internal/cli"
)

// What docs/policy.md shows is what the program says.
func TestPolicyDocumentation(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "docs", "examples", "policy")
	ran := 0
	for i, block := range strings.Split(string(doc), "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		var got bytes.Buffer
		for line := range strings.Lines(block) {
			command, ok := strings.CutPrefix(line, "$ ringwall ")
			if !ok {
				continue
			}
			args := words(strings.TrimSpace(command))
			for j, a := range args {
				if _, err := os.Stat(filepath.Join(dir, a)); err == nil {
					args[j] = filepath.Join(dir, a)
				}
			}
			got.WriteString(line)
			var errs bytes.Buffer
			env := cli.Env{Stdin: strings.NewReader(""), Stdout: &got, Stderr: &errs, Getenv: os.Getenv, Now: func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }}
			if status := cli.Main(context.Background(), env, args); status > 1 {
				t.Errorf("block %d: %q ends with status %d: %s", i, command, status, errs.String())
			}
			ran++
		}
		if diff := cmp.Diff(block, got.String()); diff != "" {
			t.Errorf("block %d (-document +program):\n%s", i, diff)
		}
	}
	if ran < 7 {
		t.Errorf("%d commands ran: the document shows less than it did", ran)
	}
}

// words splits a command line at blanks outside of single quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}
