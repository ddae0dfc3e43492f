package wal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/wal"
)

func open(t *testing.T, dir string, c wal.Config) *wal.Log {
	t.Helper()
	l, err := wal.Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// drain reads everything from on and expands lost ranges: kind by Seq.
func drain(t *testing.T, l *wal.Log, from uint64) map[uint64]api.RecordKind {
	t.Helper()
	out := map[uint64]api.RecordKind{}
	for {
		records, err := l.Read(from, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return out
		}
		for _, r := range records {
			first := r.Seq
			if r.Kind == api.RecordLost {
				var lr api.LostRange
				if err := json.Unmarshal(r.Data, &lr); err != nil {
					t.Fatal(err)
				}
				first = lr.From
			}
			if first != from {
				t.Fatalf("record %d follows %d: Seqs are not consecutive", first, from-1)
			}
			for seq := first; seq <= r.Seq; seq++ {
				out[seq] = r.Kind
			}
			from = r.Seq + 1
		}
	}
}

func TestLog_readsBackWhatWasAppended(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "wal"), wal.Config{})
	at := time.Date(2026, 11, 21, 22, 0, 0, 5, time.UTC)
	if _, err := l.Append(api.RecordFlow, at, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(api.RecordAlert, at, []byte(`{"rule":"mirai-scan"}`)); err != nil {
		t.Fatal(err)
	}
	epoch := l.Epoch()
	for range 2 {
		records, err := l.Read(1, 10)
		if err != nil || len(records) != 2 {
			t.Fatalf("Read = %v, %v", records, err)
		}
		if r := records[0]; r.Seq != 1 || !bytes.Equal(r.Bin, []byte{1, 2, 3}) || !r.Time.Equal(at) || r.Data != nil {
			t.Errorf("first record = %+v", r)
		}
		if r := records[1]; r.Seq != 2 || string(r.Data) != `{"rule":"mirai-scan"}` || r.Bin != nil {
			t.Errorf("second record = %+v", r)
		}
		if l.Epoch() != epoch || epoch == 0 || epoch >= 1<<53 {
			t.Errorf("epoch = %d, was %d", l.Epoch(), epoch)
		}
		l.Close()
		l = open(t, filepath.Join(dir, "wal"), wal.Config{})
	}
}

func TestLog_full_evictsInOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	l := open(t, dir, wal.Config{MaxBytes: 1 << 20})
	data, _ := json.Marshal(string(bytes.Repeat([]byte("x"), 1000)))
	kinds := []api.RecordKind{
		api.RecordFlow, api.RecordFlow, api.RecordFlow, api.RecordFlow, api.RecordFeatures,
		api.RecordDNS, api.RecordAlert, api.RecordHold, api.RecordAck, "kind-of-tomorrow",
	}
	sent := map[uint64]api.RecordKind{}
	add := func(n int, kinds ...api.RecordKind) {
		for i := range n {
			k := kinds[i%len(kinds)]
			seq, err := l.AppendAsync(k, time.Now(), data)
			if err != nil {
				t.Fatal(err)
			}
			sent[seq] = k
		}
		if err := l.SyncAll(); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (kept, lost map[api.RecordKind]int) {
		kept, lost = map[api.RecordKind]int{}, map[api.RecordKind]int{}
		for seq, k := range drain(t, l, 1) {
			if k == api.RecordLost {
				lost[sent[seq]]++
			} else if k != sent[seq] {
				t.Errorf("record %d is %q, was %q", seq, k, sent[seq])
			} else {
				kept[k]++
			}
		}
		return kept, lost
	}

	for range 15 {
		add(100, kinds...)
	}
	kept, lost := count()
	if lost[api.RecordFlow] == 0 || lost[api.RecordFeatures] == 0 || kept[api.RecordFlow] == 0 {
		t.Errorf("after 1.5 times the limit: flows kept %d, lost %d", kept[api.RecordFlow], lost[api.RecordFlow])
	}
	if n := lost[api.RecordDNS] + lost[api.RecordAlert] + lost[api.RecordHold] + lost[api.RecordAck] + lost["kind-of-tomorrow"]; n > 0 {
		t.Errorf("%d records of later classes are lost while there are flows: %v", n, lost)
	}
	if l.Bytes() > 1<<20+100<<10 {
		t.Errorf("the log takes %d bytes, the limit is 1 MiB", l.Bytes())
	}
	total := 0
	for _, n := range lost {
		total += n
	}
	if got := l.Lost(); got != uint64(total) {
		t.Errorf("Lost = %d, and %d are missing", got, total)
	}

	// Nothing but alerts: they are all kept, past the limit, and others give way.
	for range 20 {
		add(100, api.RecordAlert)
	}
	add(50, api.RecordFlow, api.RecordDNS)
	add(1, api.RecordAlert)
	kept, lost = count()
	if kept[api.RecordAlert] != 15*10+20*100+1 {
		t.Errorf("%d alerts are left", kept[api.RecordAlert])
	}
	if kept[api.RecordHold] != 15*10 || kept[api.RecordAck] != 15*10 || kept["kind-of-tomorrow"] != 15*10 {
		t.Errorf("precious records are lost: %v", lost)
	}
	if kept[api.RecordFlow] > 50 || lost[api.RecordDNS] == 0 {
		t.Errorf("kept %v, lost %v", kept, lost)
	}

	before := l.Lost()
	l.Close()
	l = open(t, dir, wal.Config{MaxBytes: 1 << 20})
	if got := l.Lost(); got != before {
		t.Errorf("after reopening Lost = %d, was %d", got, before)
	}
	if err := l.Trim(l.Last() - 10); err != nil {
		t.Fatal(err)
	}
	if got := l.Lost(); got != before {
		t.Errorf("after trimming Lost = %d, was %d", got, before)
	}
	l.Close()
	l = open(t, dir, wal.Config{MaxBytes: 1 << 20})
	if got := l.Lost(); got != before {
		t.Errorf("after trimming and reopening Lost = %d, was %d", got, before)
	}
}

func TestLog_Read_beforeTheFirst_saysWhatIsGone(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "wal"), wal.Config{MaxBytes: 1 << 20})
	data := bytes.Repeat([]byte("x"), 10_000)
	for range 60 {
		if _, err := l.Append(api.RecordFlow, time.Now(), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Trim(50); err != nil {
		t.Fatal(err)
	}
	first := l.First()
	if first < 10 {
		t.Fatalf("First = %d after Trim(50)", first)
	}
	got := drain(t, l, 3)
	if len(got) != 58 || got[3] != api.RecordLost || got[first-1] != api.RecordLost || got[first] != api.RecordFlow {
		t.Errorf("from 3 on: %d records, first kept %d", len(got), first)
	}
}

func TestLog_Read_keepsToTheSizeOfABatch(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "wal"), wal.Config{})
	for range 10 {
		if _, err := l.Append(api.RecordFlow, time.Now(), make([]byte, 300<<10)); err != nil {
			t.Fatal(err)
		}
	}
	records, err := l.Read(1, api.MaxBatchRecords)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(api.Batch{Records: records})
	if err != nil || len(b) > api.MaxBatchBytes {
		t.Errorf("a batch of %d records takes %d bytes, %v", len(records), len(b), err)
	}
	if _, err := l.Append(api.RecordFlow, time.Now(), make([]byte, wal.MaxPayload+1)); err == nil {
		t.Error("a giant record is taken")
	}
}

func TestLog_damaged_isSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	l := open(t, dir, wal.Config{})
	if _, err := l.Append(api.RecordAlert, time.Now(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	epoch := l.Epoch()
	l.Close()
	if err := os.WriteFile(filepath.Join(dir, "wal.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wal.Open(dir, wal.Config{}); !errors.Is(err, durable.ErrDamaged) {
		t.Fatalf("Open = %v, want ErrDamaged", err)
	}
	to, err := wal.SetAside(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "wal.json")); err != nil {
		t.Error(err)
	}
	if l := open(t, dir, wal.Config{}); l.Epoch() == epoch || l.Last() != 0 {
		t.Errorf("the new log has epoch %d and last %d", l.Epoch(), l.Last())
	}
}

func TestLog_concurrentAppends(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "wal"), wal.Config{MaxBytes: 1 << 20})
	const writers, each = 16, 30
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(api.RecordAlert, time.Now(), fmt.Appendf(nil, `"%d-%d"`, w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records, err := l.Read(1, 1000)
	if err != nil || len(records) != writers*each {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func BenchmarkLog_Append_parallel(b *testing.B) {
	l, err := wal.Open(filepath.Join(b.TempDir(), "wal"), wal.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	data := bytes.Repeat([]byte("x"), 120)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			seq, err := l.Append(api.RecordFlow, time.Now(), data)
			if err != nil {
				b.Fatal(err)
			}
			if seq%1000 == 0 {
				l.Trim(seq - 100)
			}
		}
	})
}
