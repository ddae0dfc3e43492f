package segment_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/segment"
)

const (
	org = ringwall.OrgID("org_a")
	gw  = ringwall.GatewayID("gw_a")
)

func open(t testing.TB, dir string, c segment.Config) *segment.Store {
	t.Helper()
	s, err := segment.Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func alert(seq uint64, text string) api.Record {
	data, _ := json.Marshal(text)
	return api.Record{Seq: seq, Time: time.Unix(int64(seq), 0).UTC(), Kind: api.RecordAlert, Data: data}
}

func batch(epoch uint64, records ...api.Record) api.Batch {
	return api.Batch{Version: api.Version, Epoch: epoch, Records: records}
}

func lost(from, to uint64) api.Record {
	data, _ := json.Marshal(api.LostRange{From: from})
	return api.Record{Seq: to, Kind: api.RecordLost, Data: data}
}

func ingest(t testing.TB, s *segment.Store, o ringwall.OrgID, g ringwall.GatewayID, b api.Batch) api.BatchAck {
	t.Helper()
	ack, err := s.Ingest(context.Background(), o, g, b)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

type stored struct {
	org ringwall.OrgID
	gw  ringwall.GatewayID
	r   api.Record
}

func scan(t testing.TB, s *segment.Store, from segment.Cursor) (out []stored, at segment.Cursor) {
	t.Helper()
	at, err := s.Scan(context.Background(), from, func(g ringwall.GatewayID, o ringwall.OrgID, r api.Record) error {
		r.Data = append(json.RawMessage(nil), r.Data...)
		out = append(out, stored{o, g, r})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, at
}

func TestStore_Ingest_storesOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "segments")
	s := open(t, dir, segment.Config{})
	for _, c := range []struct {
		name string
		b    api.Batch
		want uint64
		code ringwall.Code
	}{
		{"nothing yet", batch(7), 0, ""},
		{"does not start at 1", batch(7, alert(2, "b")), 0, ringwall.Conflict},
		{"first", batch(7, alert(1, "a"), alert(2, "b")), 2, ""},
		{"again", batch(7, alert(1, "a"), alert(2, "b")), 2, ""},
		{"older half again", batch(7, alert(1, "a")), 2, ""},
		{"overlap", batch(7, alert(2, "b"), alert(3, "c")), 3, ""},
		{"gap", batch(7, alert(5, "e")), 3, ringwall.Conflict},
		{"gap inside", batch(7, alert(4, "d"), alert(6, "f")), 0, ringwall.Invalid},
		{"backwards", batch(7, alert(5, "d"), alert(4, "f")), 0, ringwall.Invalid},
		{"lost range", batch(7, lost(2, 10), alert(11, "k")), 11, ""},
		{"lost range from 0", batch(7, lost(0, 12)), 0, ringwall.Invalid},
		{"lost range backwards", batch(7, lost(14, 12)), 0, ringwall.Invalid},
		{"another epoch", batch(8, alert(1, "x")), 1, ""},
		{"the older epoch goes on", batch(7, alert(12, "l")), 12, ""},
		{"no epoch", batch(0, alert(1, "a")), 0, ringwall.Invalid},
		{"version of tomorrow", api.Batch{Version: api.Version + 1, Epoch: 7}, 0, ringwall.Invalid},
		{"no kind", batch(7, api.Record{Seq: 13}), 0, ringwall.Invalid},
		{"where am I", batch(7), 12, ""},
	} {
		ack, err := s.Ingest(t.Context(), org, gw, c.b)
		if ringwall.CodeOf(err) != c.code || ack.Seq != c.want || (err != nil) != (ack.Error != "") {
			t.Errorf("%s: %+v, %v; want seq %d, code %q", c.name, ack, err, c.want, c.code)
		}
	}
	want := []string{`1 "a"`, `2 "b"`, `3 "c"`, `10 {"from":4}`, `11 "k"`, `1 "x"`, `12 "l"`}
	for range 2 {
		got, _ := scan(t, s, segment.Cursor{})
		var texts []string
		for _, e := range got {
			texts = append(texts, fmt.Sprintf("%d %s", e.r.Seq, e.r.Data))
		}
		if fmt.Sprint(texts) != fmt.Sprint(want) {
			t.Errorf("stored %q, want %q", texts, want)
		}
		if epoch, seq := s.Watermark(org, gw); epoch != 7 || seq != 12 {
			t.Errorf("watermark = %d, %d", epoch, seq)
		}
		s.Close()
		s = open(t, dir, segment.Config{})
	}
}

func TestStore_Ingest_refusesWrongIDsAndGiants(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{})
	big := make([]api.Record, api.MaxBatchRecords+1)
	for i := range big {
		big[i] = alert(uint64(i+1), "x")
	}
	for _, c := range []struct {
		org ringwall.OrgID
		gw  ringwall.GatewayID
		b   api.Batch
	}{
		{"", gw, batch(1, alert(1, "a"))},
		{org, "gw_../../x", batch(1, alert(1, "a"))},
		{org, gw, batch(1, big...)},
		{org, gw, batch(1, alert(1, string(make([]byte, 2<<20))))},
	} {
		if _, err := s.Ingest(t.Context(), c.org, c.gw, c.b); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("Ingest(%q, %q) = %v, want Invalid", c.org, c.gw, err)
		}
	}
	if got, _ := scan(t, s, segment.Cursor{}); len(got) != 0 {
		t.Errorf("%d records are stored", len(got))
	}
}

// TestStore_Ingest_manyGatewaysShareFsyncs has many gateways send at once, each
// batch twice from two connections.
func TestStore_Ingest_manyGatewaysShareFsyncs(t *testing.T) {
	var syncs atomic.Int64
	disk := &durable.Disk{Intercept: func(site durable.Site, sync func() error) error {
		if site == durable.SiteFrames {
			syncs.Add(1)
		}
		return sync()
	}}
	dir := filepath.Join(t.TempDir(), "s")
	s := open(t, dir, segment.Config{SegmentBytes: 32 << 10, Disk: disk})
	const gateways, batches, per = 24, 20, 3
	var wg sync.WaitGroup
	for g := range gateways {
		id := ringwall.GatewayID(fmt.Sprintf("gw_%d", g))
		for range 2 {
			wg.Go(func() {
				for b := range batches {
					var records []api.Record
					for i := range per {
						records = append(records, alert(uint64(b*per+i+1), fmt.Sprintf("%d/%d", g, b*per+i+1)))
					}
					ack, err := s.Ingest(t.Context(), org, id, batch(5, records...))
					if err != nil || ack.Seq < uint64(b*per+per) {
						t.Errorf("gateway %d batch %d: %+v, %v", g, b, ack, err)
					}
				}
			})
		}
	}
	wg.Wait()
	for range 2 {
		got, _ := scan(t, s, segment.Cursor{})
		next := map[ringwall.GatewayID]uint64{}
		for _, e := range got {
			next[e.gw]++
			if e.r.Seq != next[e.gw] {
				t.Fatalf("gateway %s: seq %d, want %d", e.gw, e.r.Seq, next[e.gw])
			}
		}
		if len(got) != gateways*batches*per {
			t.Errorf("%d records are stored, want %d", len(got), gateways*batches*per)
		}
		s.Close()
		s = open(t, dir, segment.Config{SegmentBytes: 32 << 10})
	}
	if n := syncs.Load(); n > gateways*batches/2 {
		t.Errorf("%d fsyncs for %d batches: they do not share", n, gateways*batches)
	}
}

func TestStore_Scan_resumes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{})
	ingest(t, s, org, gw, batch(1, alert(1, "a"), alert(2, "b"), alert(3, "c")))
	stop := errors.New("the projector's database is locked")
	n := 0
	at, err := s.Scan(t.Context(), segment.Cursor{}, func(_ ringwall.GatewayID, _ ringwall.OrgID, r api.Record) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Fatalf("Scan = %v", err)
	}
	text, _ := at.MarshalText()
	var back segment.Cursor
	if err := back.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	got, at := scan(t, s, back)
	if len(got) != 1 || got[0].r.Seq != 3 {
		t.Errorf("after the error: %v", got)
	}
	if got, _ := scan(t, s, at); len(got) != 0 {
		t.Errorf("at the end: %v", got)
	}
	ingest(t, s, org, gw, batch(1, alert(4, "d")))
	if got, _ := scan(t, s, at); len(got) != 1 || got[0].r.Seq != 4 {
		t.Errorf("what came after: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Scan(ctx, segment.Cursor{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan with an ended context = %v", err)
	}
}

func flowRecord(t testing.TB, seq uint64, dev ringwall.DeviceID, at time.Time, v flow.Verdict) api.Record {
	t.Helper()
	b, err := flow.Record{
		Start: at, End: at.Add(time.Second), Device: dev, Direction: flow.FromDevice, Proto: 6,
		Local: netip.MustParseAddrPort("10.77.0.10:4000"), Remote: netip.MustParseAddrPort("198.51.100.20:443"),
		Verdict: v, PacketsUp: seq, BytesUp: 100 * seq,
	}.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return api.Record{Seq: seq, Time: at, Kind: api.RecordFlow, Bin: b}
}

// TestStore_Flows compares every answer with a plain search over everything.
func TestStore_Flows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := filepath.Join(t.TempDir(), "s")
	cfg := segment.Config{SegmentBytes: 16 << 10, RunRows: 50}
	s := open(t, dir, cfg)
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	type row struct {
		org ringwall.OrgID
		dev ringwall.DeviceID
		at  time.Time
		v   flow.Verdict
		n   uint64
	}
	var all []row
	seqs := map[ringwall.GatewayID]uint64{}
	orgs := []ringwall.OrgID{"org_a", "org_b"}
	for range 300 {
		o := orgs[rng.IntN(2)]
		g := ringwall.GatewayID(fmt.Sprintf("gw_%s%d", o[4:], rng.IntN(3)))
		var records []api.Record
		for range 1 + rng.IntN(8) {
			seqs[g]++
			if rng.IntN(10) == 0 {
				records = append(records, alert(seqs[g], "not a flow"))
				continue
			}
			if rng.IntN(20) == 0 {
				records = append(records, api.Record{Seq: seqs[g], Kind: api.RecordFlow, Bin: []byte("garbage")})
				continue
			}
			// The same device ids in both organisations: the key must tell them apart.
			r := row{o, ringwall.DeviceID(fmt.Sprintf("dev_%d", rng.IntN(5))), start.Add(time.Duration(rng.IntN(3600)) * time.Second), flow.Verdict(rng.IntN(3)), seqs[g]}
			all = append(all, r)
			records = append(records, flowRecord(t, r.n, r.dev, r.at, r.v))
		}
		ingest(t, s, o, g, batch(1, records...))
	}
	if n := s.Stats().Segments; n < 3 {
		t.Fatalf("%d segments: too few to test sealed ones", n)
	}
	check := func(when string) {
		for i := range 25 {
			q := segment.Query{Org: orgs[rng.IntN(2)], Limit: 1 + rng.IntN(40)}
			if rng.IntN(3) > 0 {
				q.Device = ringwall.DeviceID(fmt.Sprintf("dev_%d", rng.IntN(6)))
			}
			if rng.IntN(2) == 0 {
				q.From = start.Add(time.Duration(rng.IntN(3600)) * time.Second)
			}
			if rng.IntN(2) == 0 {
				q.To = start.Add(time.Duration(rng.IntN(3600)) * time.Second)
			}
			if rng.IntN(2) == 0 {
				q.Verdict = flow.Verdict(rng.IntN(3)).String()
			}
			want := map[string]int{}
			total := 0
			for _, r := range all {
				if r.org == q.Org && (q.Device == "" || r.dev == q.Device) && (q.Verdict == "" || q.Verdict == r.v.String()) &&
					(q.From.IsZero() || !r.at.Add(time.Second).Before(q.From)) && (q.To.IsZero() || r.at.Before(q.To)) {
					want[fmt.Sprint(r.dev, r.at, r.v, r.n)]++
					total++
				}
			}
			got := 0
			for {
				p, err := s.FlowPage(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range p.Items {
					v := map[string]flow.Verdict{"allowed": 0, "refused": 1, "would-refuse": 2}[r.Verdict]
					want[fmt.Sprint(r.Device, r.Time, v, r.Packets)]--
					got++
				}
				if p.Next == "" {
					break
				}
				q.Cursor = p.Next
			}
			for k, n := range want {
				if n != 0 {
					t.Fatalf("%s, query %d %+v: %s is given %d times too few; %d rows of %d", when, i, q, k, n, got, total)
				}
			}
		}
	}
	check("fresh")
	s.Close()
	s = open(t, dir, cfg)
	check("reopened")
	s.Close()
	runs, _ := filepath.Glob(filepath.Join(dir, "*.run"))
	if len(runs) < 8 {
		t.Fatalf("%d runs", len(runs))
	}
	os.Remove(runs[0])
	hurt := func(path string, at func(n int) int) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[at(len(b))] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hurt(runs[1], func(n int) int { return n - 20 }) // its footer
	s = open(t, dir, cfg)
	check("with a run removed and one whose footer is damaged")
	for _, path := range runs[2:6] {
		hurt(path, func(int) int { return 60 }) // its columns
	}
	os.Remove(runs[6])
	check("with runs damaged and removed under it")
	s.Close()
	for _, pattern := range []string{"*.run", "*.marks", "*.ckpt"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(paths) == 0 {
			t.Errorf("no file %s", pattern)
		}
		for _, path := range paths {
			os.Remove(path)
		}
	}
	s = open(t, dir, cfg)
	check("with all of the index removed")
}

func TestStore_Flows_refusesWrongQueries(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{})
	for _, q := range []segment.Query{{}, {Org: org, Verdict: "maybe"}, {Org: org, Cursor: "12"}, {Org: org, Cursor: "1.-1"}, {Org: org, Cursor: "x.y"}} {
		if _, err := s.Flows(t.Context(), q); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("Flows(%+v) = %v, want Invalid", q, err)
		}
	}
}

func TestStore_Expire_keepsWatermarks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	cfg := segment.Config{SegmentBytes: 2 << 10, Now: func() time.Time { return now }}
	s := open(t, dir, cfg)
	ingest(t, s, org, "gw_silent", batch(3, alert(1, "only")))
	for i := range 100 {
		now = now.Add(time.Hour)
		ingest(t, s, org, gw, batch(1, flowRecord(t, uint64(i+1), "dev_1", now, flow.Allowed)))
	}
	old := now.Add(-48 * time.Hour)
	if err := s.Expire(old, segment.Cursor{Frame: 5}); err != nil {
		t.Fatal(err)
	}
	if got, _ := scan(t, s, segment.Cursor{}); len(got) != 101 {
		t.Errorf("%d records are left, though the projector has read none", len(got))
	}
	_, at := scan(t, s, segment.Cursor{})
	if err := s.Expire(old, at); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, _ := scan(t, s, segment.Cursor{})
		if len(got) < 48 || len(got) > 80 {
			t.Errorf("%d records are left, want those of 48 hours and some", len(got))
		}
		ack := ingest(t, s, org, "gw_silent", batch(3, alert(1, "only")))
		if again, _ := scan(t, s, segment.Cursor{}); ack.Seq != 1 || len(again) != len(got) {
			t.Errorf("a removed record was stored again: %+v", ack)
		}
		if rows, err := s.Flows(t.Context(), segment.Query{Org: org, Limit: 1000}); err != nil || len(rows) != len(got) {
			t.Errorf("%d flows, %v; want %d", len(rows), err, len(got))
		}
		s.Close()
		s = open(t, dir, cfg)
	}
}

func TestStore_stopsAfterAFailedFsync(t *testing.T) {
	var fail atomic.Bool
	disk := &durable.Disk{Intercept: func(_ durable.Site, sync func() error) error {
		if fail.Load() {
			return errors.New("input/output error")
		}
		return sync()
	}}
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{Disk: disk})
	ingest(t, s, org, gw, batch(1, alert(1, "a")))
	fail.Store(true)
	for range 2 {
		ack, err := s.Ingest(t.Context(), org, gw, batch(1, alert(2, "b")))
		if ringwall.CodeOf(err) != ringwall.Unavailable || ack.Seq > 1 {
			t.Errorf("Ingest = %+v, %v; want Unavailable", ack, err)
		}
		fail.Store(false)
	}
	if s.Failed() == nil {
		t.Error("the store does not say that it has stopped")
	}
}

func BenchmarkStore_Ingest(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "s"), segment.Config{})
	var gateways atomic.Int64
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const per = 100
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		id := ringwall.GatewayID(fmt.Sprintf("gw_%d", gateways.Add(1)))
		records := make([]api.Record, per)
		for i := range records {
			records[i] = flowRecord(b, 1, ringwall.DeviceID(fmt.Sprintf("dev_%d", i%10)), at, flow.Allowed)
		}
		seq := uint64(0)
		for pb.Next() {
			for i := range records {
				seq++
				records[i].Seq = seq
			}
			if _, err := s.Ingest(context.Background(), org, id, batch(1, records...)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N*per)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkStore_Flows(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "s"), segment.Config{SegmentBytes: 4 << 20})
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	seq := uint64(0)
	for range 2000 {
		records := make([]api.Record, 100)
		for i := range records {
			seq++
			records[i] = flowRecord(b, seq, ringwall.DeviceID(fmt.Sprintf("dev_%d", i)), at.Add(time.Duration(seq)*time.Millisecond), flow.Allowed)
		}
		ingest(b, s, org, gw, batch(1, records...))
	}
	b.ResetTimer()
	for i := range b.N {
		rows, err := s.Flows(b.Context(), segment.Query{Org: org, Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", i%100)), Limit: 50})
		if err != nil || len(rows) != 50 {
			b.Fatal(len(rows), err)
		}
	}
}
