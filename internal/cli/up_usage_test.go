package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

// TestUp_usageRoleSaysWhatUsageSays puts a world's records into the spool of a
// machine of the role and compares what it tells with "ringwall usage" of the file.
func TestUp_usageRoleSaysWhatUsageSays(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	env := func(out io.Writer) Env {
		return Env{Stdin: strings.NewReader(""), Stdout: out, Stderr: io.Discard, Getenv: func(string) string { return "" }, Now: time.Now}
	}
	if err := os.WriteFile(at("key"), []byte("a secret of this test"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := Main(t.Context(), env(io.Discard), []string{"usage", "generate", "--cards", "400", "--days", "4", "--out", at("world")}); c != 0 {
		t.Fatalf("generate: status %d", c)
	}
	known := []string{"--settings", at("world/book.json"), "--cards", at("world/cards.csv"), "--areas", at("world/places.csv")}
	files, err := filepath.Glob(at("world/records*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the world has files %q, %v", files, err)
	}
	var told bytes.Buffer
	if c := Main(t.Context(), env(&told), append(append([]string{"usage", "--json", "--key", at("key")}, known...), files[0])); c != 1 {
		t.Fatalf("usage: status %d, want 1: there is misuse", c)
	}
	want := map[ringwall.AlertID]bool{}
	for dec := json.NewDecoder(&told); ; {
		var a ringwall.Alert
		if err := dec.Decode(&a); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		want[a.ID] = true
	}
	if len(want) < 20 {
		t.Fatalf("%d alerts prove nothing", len(want))
	}

	if err := os.Mkdir(at("spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	// A file that cannot be read, too: it is put aside and stops nothing.
	for name, text := range map[string][]byte{"a.csv": []byte("time,imsi,service\nyesterday,460,telepathy\n"), "b.csv": b} {
		if err := os.WriteFile(at("spool/"+name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at("spool/"+name+".done"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, env(w), append([]string{
			"up", "--role", "usage", "--data", at("data"), "--usage-key", at("key"), "--spool", at("spool"), "--spool-marker", ".done", "--shards", "3", "--node", "a", "--tell",
		}, known...))
		w.Close()
	}()
	left := len(want)
	for in := bufio.NewScanner(r); left > 0 && in.Scan(); {
		var a ringwall.Alert
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if !want[a.ID] {
			t.Errorf("only the machine says %s of %s at %s", a.Rule, a.Subject.ID, a.Time)
		} else if left--; left == 0 {
			cancel()
		}
		delete(want, a.ID)
	}
	go io.Copy(io.Discard, r)
	cancel()
	if c := <-ended; c != 0 {
		t.Errorf("the machine ended with status %d", c)
	}
	if left > 0 {
		t.Errorf("%d alerts are never told", left)
	}
	if b, err := os.ReadFile(at("data/quarantine.jsonl")); err != nil || !bytes.Contains(b, []byte("a.csv")) {
		t.Errorf("the bad record is not in the quarantine: %q, %v", b, err)
	}
}

func TestUp_usageRoleRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--role", "baker"}, {"--role", "usage"}, {"--role", "usage", "--usage-key", "/nowhere"},
	} {
		var out bytes.Buffer
		env := Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &out, Getenv: func(string) string { return "" }, Now: time.Now}
		if c := Main(t.Context(), env, append([]string{"up", "--data", t.TempDir()}, args...)); c == 0 {
			t.Errorf("up %q is taken", args)
		}
	}
}
