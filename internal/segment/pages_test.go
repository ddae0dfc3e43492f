package segment_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/segment"
)

func reported(t testing.TB, seq uint64, r flow.Record) api.Record {
	t.Helper()
	if r.Direction == "" {
		r.Direction = flow.FromDevice
	}
	if r.End.IsZero() {
		r.End = r.Start.Add(time.Second)
	}
	b, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return api.Record{Seq: seq, Time: r.Start, Kind: api.RecordFlow, Bin: b}
}

// While somebody pages, reports come in: newer ones, and older ones of a
// gateway that was away. The pages hold what there was when the first was
// asked for, each once, newest first.
func TestStore_FlowPage_stableUnderIngest(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{RunRows: 40})
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	seq := uint64(0)
	add := func(at time.Time, n int) {
		var records []api.Record
		for range n {
			seq++
			records = append(records, reported(t, seq, flow.Record{Start: at, Device: "dev_1", PacketsUp: seq}))
			at = at.Add(time.Second)
		}
		ingest(t, s, org, gw, batch(1, records...))
	}
	for i := range 10 {
		add(start.Add(time.Duration(i)*time.Minute), 25)
	}
	q := segment.Query{Org: org, Device: "dev_1", Limit: 10}
	seen := map[uint64]bool{}
	last := start.Add(time.Hour)
	for pages := 0; ; pages++ {
		p, err := s.FlowPage(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Items {
			if seen[r.Packets] || r.Packets > 250 || r.Time.After(last) {
				t.Fatalf("page %d holds %d at %s after %s", pages, r.Packets, r.Time, last)
			}
			seen[r.Packets], last = true, r.Time
		}
		if q.Cursor = p.Next; p.Next == "" {
			break
		}
		add(start.Add(time.Hour), 3)
		add(start.Add(-time.Hour), 3)
		add(start.Add(time.Duration(pages)*10*time.Second), 3) // in the midst
	}
	if len(seen) != 250 {
		t.Errorf("%d reports in all pages, want 250", len(seen))
	}
	if p, err := s.FlowPage(t.Context(), segment.Query{Org: org, Limit: 1000}); err != nil || len(p.Items) != int(seq) {
		t.Errorf("a new search finds %d, %v; want %d", len(p.Items), err, seq)
	}
}

// Every filter finds the one report that it is about, and shows all of it.
func TestStore_FlowPage_filters(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{RunRows: 4})
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	other := flow.Record{Start: at, Device: "dev_1", Proto: 6, Remote: netip.MustParseAddrPort("203.0.113.9:80"), Local: netip.MustParseAddrPort("10.0.0.2:40000"), Name: "www.vendor.example", Reason: "allow", Term: "t1"}
	wanted := flow.Record{
		Start: at.Add(-time.Hour), Device: "dev_2", Proto: 17, Direction: flow.ToDevice, Verdict: flow.Refused, Remote: netip.MustParseAddrPort("198.51.100.20:4444"),
		Local: netip.MustParseAddrPort("10.0.0.3:5683"), Name: "cloud.other.example", Reason: "limited", Term: "t2", Generation: 7, Limit: "quota",
		Inside: flow.Inside{Proto: "coap", Host: "h", Method: "GET", Path: "/x"}, More: 4, BytesUp: 1, BytesDown: 2, PacketsUp: 3,
	}
	for seq := uint64(1); seq <= 20; seq++ {
		r := reported(t, seq, other)
		if seq == 11 {
			r = reported(t, seq, wanted)
		}
		ingest(t, s, org, gw, batch(1, r))
	}
	ingest(t, s, org, "gw_b", batch(1, reported(t, 1, other)))
	for name, q := range map[string]segment.Query{
		"device": {Device: "dev_2"}, "time": {To: at}, "until": {From: at.Add(-2 * time.Hour), To: at.Add(-time.Minute)}, "verdict": {Verdict: "refused"},
		"address": {Remote: netip.MustParsePrefix("198.51.100.20/32")}, "prefix": {Remote: netip.MustParsePrefix("198.51.0.0/16")},
		"name": {Name: "cloud.other.example"}, "names below": {Name: "*.other.example"}, "port": {Port: 5683}, "reason": {Reason: "limited"},
		"term": {Term: "t2"}, "protocol": {Proto: "udp"}, "number": {Proto: "17"}, "several": {Device: "dev_2", Verdict: "refused", Port: 5683, Term: "t2"},
	} {
		q.Org = org
		p, err := s.FlowPage(t.Context(), q)
		if err != nil || len(p.Items) != 1 || p.Next != "" {
			t.Errorf("%s: %d reports, next %q, %v; want one", name, len(p.Items), p.Next, err)
			continue
		}
		r := p.Items[0]
		if r.Device != "dev_2" || r.Generation != 7 || r.Limit != "quota" || r.Inside == nil || r.Inside.Path != "/x" || r.More != 4 || r.Bytes != 3 || r.Local != wanted.Local {
			t.Errorf("%s: %+v", name, r)
		}
		if one, err := s.Flow(t.Context(), org, r.ID); err != nil || one.ID != r.ID || one.Term != "t2" {
			t.Errorf("report %s by its id: %+v, %v", r.ID, one, err)
		}
		if one, err := s.Flow(t.Context(), "org_b", r.ID); ringwall.CodeOf(err) != ringwall.NotFound {
			t.Errorf("report %s for another organisation: %+v, %v; want NotFound", r.ID, one, err)
		}
	}
	if p, err := s.FlowPage(t.Context(), segment.Query{Org: org, Gateway: "gw_b"}); err != nil || len(p.Items) != 1 {
		t.Errorf("of the other gateway: %d, %v", len(p.Items), err)
	}
	for _, id := range []ringwall.FlowID{"", "flw_1", "flw_0-0", "flw_999-0", "flw_1-900", "flw_x-y", "flw_01-0", "1.0"} {
		if _, err := s.Flow(t.Context(), org, id); ringwall.CodeOf(err) != ringwall.NotFound {
			t.Errorf("Flow(%q) = %v, want NotFound", id, err)
		}
	}
	if p, err := s.FlowPage(t.Context(), segment.Query{Org: org, Proto: "icq"}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("protocol icq: %v, %v; want Invalid", p, err)
	}
}

func TestStore_Totals(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC)
	s := open(t, filepath.Join(t.TempDir(), "s"), segment.Config{RunRows: 5, Now: func() time.Time { return at.Add(time.Hour) }})
	for seq := uint64(1); seq <= 30; seq++ {
		r := flow.Record{Start: at.Add(-time.Duration(seq) * 10 * time.Minute), Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", seq%3)), BytesUp: 100 * (seq%3 + 1), More: 1, Remote: netip.MustParseAddrPort("198.51.100.20:443")}
		if seq%5 == 0 {
			r.Verdict, r.Reason = flow.Refused, "default"
		}
		ingest(t, s, org, gw, batch(1, reported(t, seq, r)))
	}
	all, err := s.Totals(t.Context(), segment.Query{Org: org})
	if err != nil || all.Flows != 60 || all.Refused != 12 || all.Bytes != 6000 || len(all.Hours) != 25 || len(all.Devices) != 3 || all.Devices[0].Device != "dev_2" ||
		all.Devices[0].Bytes != 3000 || len(all.Reasons) != 1 || all.Reasons[0] != (api.FlowReason{Reason: "default", Flows: 12}) || all.Remotes != nil {
		t.Errorf("totals %+v, %v", all, err)
	}
	one, err := s.Totals(t.Context(), segment.Query{Org: org, Device: "dev_1", Verdict: "refused", From: at.Add(-5 * time.Hour), To: at})
	if err != nil || one.Flows != 4 || one.Refused != 4 || len(one.Remotes) != 1 || one.Remotes[0] != (api.FlowTalkerFar{Remote: "198.51.100.20", Flows: 4, Bytes: 400}) {
		t.Errorf("totals of one %+v, %v", one, err)
	}
	for _, q := range []segment.Query{{Org: org, From: at, To: at.Add(-2 * time.Hour)}, {Org: org, From: at.AddDate(-1, 0, 0)}, {}} {
		if _, err := s.Totals(t.Context(), q); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("Totals(%+v) = %v, want Invalid", q, err)
		}
	}
}
