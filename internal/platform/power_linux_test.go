package platform

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/powercut"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
)

// cuts returns how often the power is cut.
func cuts() int {
	if testing.Short() {
		return 3
	}
	return 20
}

// TestPowerCutAtRandomMoments does to the whole platform (segments, database,
// stream of events, record of acts, keys) what TestKilledAtRandomMoments does,
// by cutting the power of its disk.
func TestPowerCutAtRandomMoments(t *testing.T) {
	t.Parallel()
	for _, p := range life(t, cuts(), nil) {
		t.Error(p)
	}
}

// TestPowerCutNoticesMissingFsyncs leaves out the fsyncs of one part at a time:
// each time the scenario must find something lost, doubled or unreadable.
func TestPowerCutNoticesMissingFsyncs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: it takes minutes")
	}
	for name, deaf := range map[string]func(string) bool{
		"database": func(path string) bool { return strings.Contains(path, stateDir+"/ringwall.db") },
		"stream":   func(path string) bool { return strings.Contains(path, spineDir+"/") },
		"acts":     func(path string) bool { return strings.Contains(path, auditDir+"/") },
		"evidence": func(path string) bool { return strings.Contains(path, evidenceDir+"/") },
	} {
		t.Run(name, func(t *testing.T) {
			for range 4 {
				if problems := life(t, 3, deaf); len(problems) > 0 {
					t.Logf("noticed: %s", problems[0])
					return
				}
			}
			t.Errorf("without the fsyncs of the %s nothing was lost: they do nothing, or the test does not", name)
		})
	}
}

// life runs a platform through some power cuts, with some fsyncs left out, and
// returns what was wrong.
func life(t *testing.T, cuts int, deaf func(path string) bool) []string {
	t.Helper()
	var armed atomic.Bool // not while the first state is laid down
	disk, mount := powercuttest.New(t, powercut.Config{NamesWithFiles: true, Deaf: func(path string) bool {
		return armed.Load() && deaf != nil && deaf(path)
	}})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 2))
	calm := t.TempDir()
	first := start(t, calm)
	b := first.enrol()
	b.conn.Close()
	first.stop()
	dir := filepath.Join(mount, "data")
	copyTree(t, calm, dir)
	armed.Store(true)

	sender := newSender(b)
	for i := range cuts {
		survival := powercut.Strict()
		if i%2 == 1 && deaf == nil {
			survival = powercut.Torn(dice.Uint64())
		}
		if err := sender.feed(t, dir, time.Duration(5+dice.IntN(400))*time.Millisecond, func(v *victim) {
			// Nothing runs on while the power is off, nor into what survived.
			_ = v.cmd.Process.Signal(syscall.SIGSTOP)
			if err := disk.Cut(survival); err != nil {
				t.Error(err)
			}
			_ = v.cmd.Process.Kill()
		}); err != nil {
			return []string{err.Error()}
		}
	}
	t.Logf("%d records acknowledged over %d power cuts", sender.acked, cuts)
	// SQLite maps files; that must not happen in the process that serves them.
	after := filepath.Join(t.TempDir(), "after")
	copyTree(t, dir, after)
	return verifyAfterKills(t, after, b, sender.acked)
}

// copyTree copies a directory and makes the copy durable.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Sync(), out.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := os.Open(filepath.Dir(to))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
		t.Fatal(err)
	}
}
