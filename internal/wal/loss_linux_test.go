package wal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/wal"
)

var lossAt = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// report is a flow report of some 200 bytes.
func report(t testing.TB, v flow.Verdict, first bool) []byte {
	t.Helper()
	b, err := flow.Record{Start: lossAt, End: lossAt, Device: "dev_1", Direction: flow.FromDevice, Verdict: v, First: first, Generation: 1, Name: fmt.Sprintf("%0150d", 1)}.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLog_lossPolicy fills a log with flows that passed, refusals, first
// refusals and holds: they go in this order, the last two never, and each kind
// is counted, also by the next process.
func TestLog_lossPolicy(t *testing.T) {
	dir := t.TempDir()
	l, err := wal.Open(dir, wal.Config{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { l.Close() }()
	add := func(kind api.RecordKind, payload []byte) {
		t.Helper()
		if _, err := l.AppendAsync(kind, lossAt, payload); err != nil {
			t.Fatal(err)
		}
	}
	var firsts, holds int
	for i := range 12_000 {
		switch {
		case i%100 == 0:
			add(api.RecordHold, []byte(`{}`))
			holds++
		case i%100 == 1:
			add(api.RecordFlow, report(t, flow.Refused, true))
			firsts++
		case i%3 == 0:
			add(api.RecordFlow, report(t, flow.Refused, false))
		default:
			add(api.RecordFlow, report(t, flow.Allowed, false))
		}
	}
	if err := l.SyncAll(); err != nil {
		t.Fatal(err)
	}
	if p := l.Pressure(); p.Bytes > 2<<20 || p.Limit != 1<<20 || p.Share() < 0.5 {
		t.Errorf("pressure %+v, share %v", p, p.Share())
	}
	count := func() (out map[string]int, lost uint64) {
		out = map[string]int{}
		for at := l.First(); ; {
			rs, err := l.Read(at, 500)
			if err != nil {
				t.Fatal(err)
			}
			if len(rs) == 0 {
				return out, lost
			}
			for _, r := range rs {
				at = r.Seq + 1
				if r.Kind != api.RecordFlow {
					out[string(r.Kind)]++
					continue
				}
				var f flow.Record
				if err := f.UnmarshalBinary(r.Bin); err != nil {
					t.Fatal(err)
				}
				out[fmt.Sprint(f.Verdict, f.First)]++
			}
		}
	}
	for range 2 {
		got, _ := count()
		if got["hold"] != holds || got["refused true"] != firsts {
			t.Errorf("%d holds of %d, %d first refusals of %d are left", got["hold"], holds, got["refused true"], firsts)
		}
		if got["allowed false"] > 0 && got["refused false"] < 3900 {
			t.Errorf("%d flows that passed are left, and only %d refusals", got["allowed false"], got["refused false"])
		}
		left := got["hold"] + got["refused true"] + got["allowed false"] + got["refused false"]
		losses := l.Losses()
		if losses[api.RecordFlow] != uint64(12_000-left) || losses[api.RecordHold] != 0 || l.Lost() != losses[api.RecordFlow]+losses[wal.UnknownKind] {
			t.Errorf("losses %v of %d lost, %d of 12000 are left", losses, l.Lost(), left)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, err = wal.Open(dir, wal.Config{MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
}

// An attacker who makes first refusals does not make the log outgrow its limit;
// holds are written all the same.
func TestLog_floodOfFirstRefusals(t *testing.T) {
	l, err := wal.Open(t.TempDir(), wal.Config{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := report(t, flow.Refused, true)
	for range 10_000 {
		if _, err := l.AppendAsync(api.RecordFlow, lossAt, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(api.RecordHold, lossAt, []byte(`{"last":1}`)); err != nil {
		t.Fatal(err)
	}
	if n := l.Bytes(); n > 3<<19 {
		t.Errorf("the log takes %d bytes of 1 MiB", n)
	}
	rs, err := l.Read(l.Last(), 1)
	if err != nil || len(rs) != 1 || rs[0].Kind != api.RecordHold {
		t.Errorf("the last record is %v, %v; want the hold", rs, err)
	}
	if p := l.Pressure(); !p.Full || p.Share() != 1 {
		t.Errorf("pressure %+v", p)
	}
}

// TestLog_fullDisk runs a log that may take more than its disk has, a tmpfs of
// 6 MiB on which another program takes what it likes.
func TestLog_fullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting a tmpfs needs root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("SKIPPED: no tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "wal")
	cfg := wal.Config{MaxBytes: 16 << 20}
	l, err := wal.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	allowed := report(t, flow.Allowed, false)
	var kept []uint64
	fill := func(n int) {
		t.Helper()
		for i := range n {
			if i%50 == 0 {
				seq, err := l.Append(api.RecordHold, lossAt, []byte(`{"made":1}`))
				if err != nil {
					t.Fatalf("hold %d with a share of %v: %v", len(kept), l.Pressure().Share(), err)
				}
				kept = append(kept, seq)
			}
			if _, err := l.AppendAsync(api.RecordFlow, lossAt, allowed); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
		}
	}
	fill(40_000) // some 9 MB: more than the disk
	if l.Losses()[api.RecordFlow] == 0 || l.Pressure().Limit >= 6<<20 {
		t.Errorf("losses %v, pressure %+v on a disk of 6 MiB", l.Losses(), l.Pressure())
	}
	// Another program takes a mebibyte: the log makes room for itself.
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	fill(10_000)
	// And now all there is: what cannot be written is an error, said at once, and
	// the log has stopped.
	f, err := os.OpenFile(ballast, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	var failed error
	for range 10_000 {
		if _, failed = l.Append(api.RecordHold, lossAt, make([]byte, 2000)); failed != nil {
			break
		}
	}
	if failed == nil {
		t.Error("a full disk takes everything")
	}
	l.Close()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if l, err = wal.Open(dir, cfg); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, seq := range kept {
		rs, err := l.Read(seq, 1)
		if err != nil || len(rs) != 1 || rs[0].Seq != seq || rs[0].Kind != api.RecordHold {
			t.Fatalf("hold %d, acknowledged, is read as %v, %v", seq, rs, err)
		}
	}
	fill(100)
}

func TestClassOf(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    api.RecordKind
		payload []byte
		want    wal.Class
	}{
		{"a flow that passed", api.RecordFlow, report(t, flow.Allowed, false), wal.Bulk},
		{"a first refusal", api.RecordFlow, report(t, flow.Refused, true), wal.Precious},
		{"a further one", api.RecordFlow, report(t, flow.Refused, false), wal.Sample},
		{"what is no flow report", api.RecordFlow, []byte("x"), wal.Bulk},
		{"a lookup", api.RecordDNS, []byte(`{"name":"a.example","verdict":"bound"}`), wal.Sample},
		{"the first refusal of a name", api.RecordDNS, []byte(`{"name":"a.example","verdict":"refused","first":true}`), wal.Precious},
		{"a name that would be one", api.RecordDNS, []byte(`{"name":"\"first\":true","verdict":"refused"}`), wal.Sample},
		{"health", api.RecordHealth, []byte(`{}`), wal.Useful},
		{"what nobody here knows", "of tomorrow", []byte(`{}`), wal.Precious},
	} {
		if got := wal.ClassOf(c.kind, c.payload); got != c.want {
			t.Errorf("%s: class %d, want %d", c.name, got, c.want)
		}
	}
}
