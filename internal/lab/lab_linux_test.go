package lab_test

import (
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

func TestMain(m *testing.M) {
	lab.MaybeActor()
	if os.Getenv(envVictim) != "" {
		os.Exit(victim())
	}
	os.Exit(m.Run())
}

// newRange makes a range that ends, provably, with the test.
func newRange(t *testing.T, cfg lab.Config) *lab.Range {
	t.Helper()
	netnstest.New(t, "may-we").Close()
	if testing.Verbose() {
		cfg.Log = os.Stderr
	}
	r, err := lab.Up(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ended := r.Ended(); len(ended) != 0 {
			t.Errorf("actors that ended by themselves: %v", ended)
		}
		if err := r.Down(); err != nil {
			t.Errorf("taking the range down: %v", err)
		}
	})
	t.Logf("seed %d", r.Seed())
	return r
}

func TestUp_down(t *testing.T) {
	newRange(t, lab.Config{})
}
