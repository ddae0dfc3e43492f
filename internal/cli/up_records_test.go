package cli

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/usage"
)

// recordsOf reads the flags of a platform and says where its records come from.
func recordsOf(t *testing.T, args ...string) (cfg platform.Config, err error) {
	t.Helper()
	var f upFlags
	fl := pflag.NewFlagSet("up", pflag.ContinueOnError)
	f.machine.flags(fl)
	fl.StringSliceVar(&f.usage, "usage", nil, "")
	if err := fl.Parse(args); err != nil {
		t.Fatal(err)
	}
	env := Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) string { return "" }, Now: time.Now}
	cfg.DataDir = t.TempDir()
	return cfg, f.records(env, slog.New(slog.DiscardHandler), &cfg)
}

// TestUp_recordsOfAPlatform: the inputs of the usage role are those of a platform
// too, by the same flags.
func TestUp_recordsOfAPlatform(t *testing.T) {
	spool, dir := t.TempDir(), t.TempDir()
	text := "WHO,WHEN,WHAT\n460001234567890,2026-11-20T12:00:00Z,data\n460001234567890,yesterday,data\n"
	mapping := `{"columns":{"imsi":"WHO","time":"WHEN","service":"WHAT"}}`
	for path, b := range map[string]string{filepath.Join(spool, "a.csv"): text, filepath.Join(spool, "a.csv.ok"): "", filepath.Join(dir, "map.json"): mapping} {
		if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := recordsOf(t, "--spool", spool, "--spool-marker", ".ok", "--mapping", filepath.Join(dir, "map.json"), "--gtpp-listen", "127.0.0.1:0", "--allow", "127.0.0.0/8", "--usage", "x.csv")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Usage) != 1 || cfg.UsageCluster != nil {
		t.Errorf("files %+v", cfg.Usage)
	}
	var bad []cdr.Bad
	in, err := cfg.UsageSources(platform.UsageWorld{Keys: usage.KeysOf(nil), Dir: dir, Bad: func(_, _ string, b cdr.Bad) { bad = append(bad, b) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Sources) != 2 || len(in.Serve) != 1 {
		t.Fatalf("%d sources, %d servers; want the spool and what network elements send", len(in.Sources), len(in.Serve))
	}
	src, err := in.Sources[0].Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	if err := src.Next(t.Context(), &b); err != nil || len(b.Events) != 1 || b.Events[0].Card != cdr.CardKey("460001234567890") || len(bad) != 1 {
		t.Errorf("%d events, %d bad, %v", len(b.Events), len(bad), err)
	}
	if _, ok := src.(platform.UsageCommitter); !ok {
		t.Error("the spool would never be told that a file is not needed any more")
	}
	if err := src.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
	if received, err := in.Sources[1].Open(nil); err != nil {
		t.Error(err)
	} else if _, ok := received.(platform.UsageCommitter); !ok {
		t.Error("what network elements sent would be kept for ever")
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(spool, "done")); err != nil {
		t.Error(err)
	}
}

func TestUp_recordsRefused(t *testing.T) {
	if cfg, err := recordsOf(t); err != nil || cfg.UsageSources != nil || cfg.UsageCluster != nil {
		t.Errorf("without flags: %v", err)
	}
	if _, err := recordsOf(t, "--mapping", "/nowhere"); ringwall.CodeOf(err) == "" {
		t.Error("a mapping that is not there is taken")
	}
	if _, err := recordsOf(t, "--usage-log", "tls://127.0.0.1:1", "--usage", "a.csv"); err == nil {
		t.Error("files would be judged by nobody")
	}
	cfg, err := recordsOf(t, "--usage-log", "tls://127.0.0.1:1", "--shards", "7")
	if err != nil || cfg.UsageCluster == nil || cfg.UsageCluster.Shards != 7 {
		t.Fatalf("a cluster: %+v, %v", cfg.UsageCluster, err)
	}
	if err := cfg.UsageCluster.Run(t.Context(), nil, nil); err == nil {
		t.Error("a cluster without a key is taken")
	}
	if cfg, err = recordsOf(t, "--gtpp-listen", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.UsageSources(platform.UsageWorld{Keys: usage.KeysOf(nil), Dir: t.TempDir()}); err == nil {
		t.Error("anybody may send")
	}
}
