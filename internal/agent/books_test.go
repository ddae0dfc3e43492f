package agent

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/nft"
)

func testConfig(t *testing.T) Config {
	t.Helper()
	c, err := Config{State: t.TempDir(), LAN: []string{"lan0"}, Log: slog.New(slog.DiscardHandler)}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBooks_diskFails_countsAndOpensAgain(t *testing.T) {
	var fail atomic.Bool
	now := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
	c := testConfig(t)
	c.Now = func() time.Time { return now }
	c.Disk = &durable.Disk{Intercept: func(_ durable.Site, sync func() error) error {
		if fail.Load() {
			return errors.New("input/output error")
		}
		return sync()
	}}
	b := openBooks(c)
	defer b.close()
	b.write(api.RecordAlert, ringwall.Alert{ID: "alt_1"})
	if n := b.unwritten.Load(); n != 0 {
		t.Fatalf("%d records were not written", n)
	}
	epoch := b.current().Epoch()
	fail.Store(true)
	for range 3 {
		b.write(api.RecordAlert, ringwall.Alert{ID: "alt_2"}) // returns: what comes next is done all the same
	}
	if n := b.unwritten.Load(); n != 3 {
		t.Errorf("%d records are counted as not written, want 3", n)
	}
	fail.Store(false)
	if b.current() != nil {
		t.Error("a log that has stopped is used again at once")
	}
	now = now.Add(reopenEvery)
	b.write(api.RecordAlert, ringwall.Alert{ID: "alt_3"})
	l := b.current()
	if n := b.unwritten.Load(); n != 3 || l == nil || l.Epoch() != epoch {
		t.Fatalf("after a minute: %d not written, log %v", n, l)
	}
	records, err := l.Read(1, 10)
	if err != nil || len(records) < 2 || records[0].Kind != api.RecordAlert {
		t.Errorf("the log holds %v, %v", records, err)
	}
}

func TestBooks_damaged_beginsANewLog(t *testing.T) {
	c := testConfig(t)
	b := openBooks(c)
	b.write(api.RecordAlert, ringwall.Alert{ID: "alt_1"})
	epoch := b.current().Epoch()
	b.close()
	if err := os.WriteFile(filepath.Join(c.State, "wal", "wal.json"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b = openBooks(c)
	defer b.close()
	b.write(api.RecordAlert, ringwall.Alert{ID: "alt_2"})
	l := b.current()
	if l == nil || l.Epoch() == epoch || l.Last() != 1 || b.unwritten.Load() != 0 {
		t.Errorf("after damage the log is %+v", l)
	}
	if _, err := os.Stat(filepath.Join(c.State, "wal.damaged")); err != nil {
		t.Errorf("the damaged log was not set aside: %v", err)
	}
}

func TestRefusals_areDifferences(t *testing.T) {
	counts := func(refused, forged uint64) nft.Counts {
		return nft.Counts{Refused: nft.Count{Packets: refused}, Forged: nft.Count{Packets: forged}}
	}
	devices := []api.DevicePolicy{{Device: "dev_a", Mark: 1}, {Device: "dev_b", Mark: 2}, {Device: "dev_c", Mark: 3}, {Device: "dev_d", Mark: 4}}
	got := refusals(devices,
		map[uint32]nft.Counts{1: counts(10, 1), 2: counts(5, 0), 3: counts(100, 0)},
		map[uint32]nft.Counts{1: counts(15, 2), 2: counts(5, 0), 3: counts(7, 0), 4: counts(3, 0)})
	// dev_c's counters have begun anew, dev_d's are new.
	want := map[ringwall.DeviceID]uint64{"dev_a": 6, "dev_c": 7, "dev_d": 3}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("refusals = %v, want %v", got, want)
	}
	now := time.Date(2026, 11, 21, 22, 5, 30, 0, time.UTC)
	at := func(m int) time.Time { return time.Date(2026, 11, 21, 22, m, 0, 0, time.UTC) }
	out := withRefused([]api.Features{{Device: "dev_a", From: at(3), Refused: 99}, {Device: "dev_a", From: at(4)}, {Device: "dev_b", From: at(4), Refused: 8}}, got, now)
	total := map[ringwall.DeviceID]uint64{}
	for _, f := range out {
		total[f.Device] += f.Refused
	}
	if !reflect.DeepEqual(total, map[ringwall.DeviceID]uint64{"dev_a": 6, "dev_b": 0, "dev_c": 7, "dev_d": 3}) || out[1].Refused != 6 {
		t.Errorf("features = %+v", out)
	}
}

func TestPresence_judge(t *testing.T) {
	now := time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		silent, gone, away time.Duration
		meter, want        ringwall.Presence
	}{
		{0, 0, time.Second, ringwall.Online, ringwall.Online},
		{0, 0, 3 * time.Minute, ringwall.Online, ringwall.Online}, // it always pauses so long
		{0, 0, 3 * time.Minute, ringwall.Silent, ringwall.Silent},
		{0, 0, 31 * time.Minute, ringwall.Gone, ringwall.Gone},
		{5 * time.Second, time.Minute, 4 * time.Second, ringwall.Online, ringwall.Online},
		{5 * time.Second, time.Minute, 5 * time.Second, ringwall.Online, ringwall.Silent},
		{5 * time.Second, time.Minute, time.Minute, ringwall.Online, ringwall.Gone},
	} {
		conf, err := Config{LAN: []string{"lan0"}, Silent: c.silent, Gone: c.gone}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		p := presence{agent: &Agent{cfg: conf}}
		s := api.Sighting{Last: now.Add(-c.away), Presence: c.meter, IP: netip.MustParseAddr("10.0.0.1")}
		if got := p.judge(s, now); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
