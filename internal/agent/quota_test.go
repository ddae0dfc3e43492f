package agent

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/nft"
)

// quotaFence is a packet filter that knows of quotas only.
type quotaFence struct {
	fence
	hash     string
	rolled   int
	used     []nft.Consumption
	restored []nft.Consumption
}

func (f *quotaFence) Hash(context.Context) (string, error) { return f.hash, nil }
func (f *quotaFence) Roll(context.Context) error {
	f.rolled++
	f.hash += "'"
	return nil
}
func (f *quotaFence) Consumed(context.Context) ([]nft.Consumption, error) { return f.used, nil }
func (f *quotaFence) Restore(list []nft.Consumption)                      { f.restored = list }

func TestQuotas_startAnewWithTheHourAndOutliveTheProgram(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 59, 30, 0, time.UTC)
	f := &quotaFence{hash: "h", used: []nft.Consumption{{Limit: 7, Period: "day 2026-11-22", Bytes: 1234}}}
	cfg := Config{State: t.TempDir(), Now: func() time.Time { return now }}
	a := &Agent{cfg: cfg, log: slog.New(slog.DiscardHandler), fence: f, hash: "h"}
	a.keepQuotas(t.Context())
	a.keepQuotas(t.Context())
	if f.rolled != 1 || a.hash != "h'" {
		t.Fatalf("within one hour rolled %d times, hash %q", f.rolled, a.hash)
	}
	now = now.Add(time.Minute)
	f.hash = "changed by others"
	a.keepQuotas(t.Context())
	if f.rolled != 1 || a.hash != "h'" {
		t.Fatalf("what others changed was taken for ours: rolled %d times, hash %q", f.rolled, a.hash)
	}
	f.hash = "h'"
	a.keepQuotas(t.Context())
	if f.rolled != 2 || a.hash != "h''" {
		t.Fatalf("in the next hour rolled %d times, hash %q", f.rolled, a.hash)
	}
	again := &Agent{cfg: cfg, log: a.log, fence: f}
	again.restoreQuotas()
	if !reflect.DeepEqual(f.restored, f.used) {
		t.Errorf("restored %+v, want %+v", f.restored, f.used)
	}
}
