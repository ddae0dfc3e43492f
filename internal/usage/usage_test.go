package usage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

var t0 = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

const (
	imsi  = "460001234567890"
	bound = "356938035643809" // TAC 35693803
	twin  = "356938039999993" // same TAC
	phone = "490154203237518" // another
)

var addrs = cmpopts.EquateComparable(netip.Addr{})

// meter is a card of a meter: data to two peers, nothing else.
func meter() Card {
	return Card{
		SIM: "sim_meter", Org: "org_op", IMSI: imsi, IMEI: bound,
		Services: must(ParseServices([]string{"data"})), Peers: must(ParsePeers([]string{"198.51.100.20", "192.0.2.0/28", "iot.example"})),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newEngine(t *testing.T, c Config, cards ...Card) *Engine {
	t.Helper()
	if c.Key == nil {
		c.Key = []byte("test key")
	}
	e := New(c)
	for _, card := range cards {
		if err := e.SetCard(card); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// rec makes a record of the meter; f changes it.
func rec(f func(*cdr.Record)) *cdr.Record {
	r := &cdr.Record{Time: t0, IMSI: imsi, IMEI: bound, Service: cdr.Data, Peer: "198.51.100.20", APN: "iot.example", Up: 10, Down: 20, Line: 7}
	if f != nil {
		f(r)
	}
	return r
}

// brief is what tests compare of an alert.
func brief(as []ringwall.Alert) (out []string) {
	for _, a := range as {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", a.Rule, a.Nature, a.Severity, a.Stage)))
	}
	return out
}

func TestRules_table(t *testing.T) {
	learned := func(c *Card) { c.IMEI = "" }
	tests := []struct {
		name string
		card func(*Card)
		rec  func(*cdr.Record)
		want []string
	}{
		{"as it should be", nil, nil, nil},
		{"same equipment as IMEISV", nil, func(r *cdr.Record) { r.IMEI = ringwall.IMEI(bound[:14] + "07") }, nil},
		{"no equipment named", nil, func(r *cdr.Record) { r.IMEI = "" }, nil},
		{"other equipment, same model", nil, func(r *cdr.Record) { r.IMEI = twin }, []string{"separation attack high"}},
		{"other equipment, other model", nil, func(r *cdr.Record) { r.IMEI = phone }, []string{"separation attack critical"}},
		{"all-zero equipment is other equipment", nil, func(r *cdr.Record) { r.IMEI = "000000000000000" }, []string{"separation attack critical"}},
		{"learned binding, same model", learned, func(r *cdr.Record) { r.IMEI = twin }, []string{"separation deviation medium"}},
		{"learned binding, other model", learned, func(r *cdr.Record) { r.IMEI = phone }, []string{"separation deviation high"}},
		{"message sent by the device", nil, func(r *cdr.Record) { r.Service, r.Direction, r.Peer = cdr.SMS, cdr.Originated, "+8613800138000" }, []string{"sim-service attack high action"}},
		{"call sent from elsewhere says nothing of the device", nil, func(r *cdr.Record) { r.Service, r.Direction, r.IMEI = cdr.Voice, cdr.Originated, phone }, []string{"separation attack critical", "sim-service attack high"}},
		{"message received", nil, func(r *cdr.Record) { r.Service, r.Direction = cdr.SMS, cdr.Terminated }, []string{"sim-service deviation low"}},
		{"call, direction not told", nil, func(r *cdr.Record) { r.Service = cdr.Voice }, []string{"sim-service deviation medium action"}},
		{"services unknown", func(c *Card) { c.Services = 0 }, func(r *cdr.Record) { r.Service, r.Direction = cdr.Voice, cdr.Originated }, nil},
		{"peer in a network of the list", nil, func(r *cdr.Record) { r.Peer = "192.0.2.9" }, nil},
		{"peer as mapped address", nil, func(r *cdr.Record) { r.Peer = "::ffff:198.51.100.20" }, nil},
		{"peer off the list", nil, func(r *cdr.Record) { r.Peer = "198.51.100.67" }, []string{"sim-peer deviation medium command"}},
		{"neighbour of a listed address", nil, func(r *cdr.Record) { r.Peer = "198.51.100.21" }, []string{"sim-peer deviation medium command"}},
		{"access point off the list", nil, func(r *cdr.Record) { r.APN = "internet" }, []string{"sim-peer deviation medium command"}},
		{"access point in capitals", nil, func(r *cdr.Record) { r.APN = "IOT.Example" }, nil},
		{"no peer named", nil, func(r *cdr.Record) { r.Peer, r.APN = "", "" }, nil},
		{"any peer", func(c *Card) { c.Peers = nil }, func(r *cdr.Record) { r.Peer = "203.0.113.9" }, nil},
		{"number off the list", func(c *Card) {
			c.Services, c.Peers = must(ParseServices([]string{"data", "sms"})), must(ParsePeers([]string{"10086"}))
		}, func(r *cdr.Record) { r.Service, r.Direction, r.Peer = cdr.SMS, cdr.Originated, "+8613800138000" }, []string{"sim-peer deviation medium command"}},
		{"number on the list, written with a plus", func(c *Card) {
			c.Services, c.Peers = must(ParseServices([]string{"sms"})), must(ParsePeers([]string{"8613800138000"}))
		}, func(r *cdr.Record) { r.Service, r.Direction, r.Peer = cdr.SMS, cdr.Originated, "+8613800138000" }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			card := meter()
			if tt.card != nil {
				tt.card(&card)
			}
			e := newEngine(t, Config{}, card)
			if out := e.Record(rec(func(r *cdr.Record) { r.Time = t0.Add(-time.Minute) })); len(brief(out.Alerts)) != 0 && tt.card == nil {
				t.Fatalf("an honest record raised %v", brief(out.Alerts))
			}
			out := e.Record(rec(tt.rec))
			if d := cmp.Diff(tt.want, brief(out.Alerts)); d != "" {
				t.Error(d)
			}
			for _, a := range out.Alerts {
				if a.Subject != (ringwall.Subject{Kind: ringwall.SubjectSIM, ID: "sim_meter"}) || a.Org != "org_op" || !a.Time.Equal(t0) ||
					!slices.Equal(a.Evidence.Records, []uint64{7}) || a.Title == "" || a.Attack == "" || !ringwall.ValidID("alt", string(a.ID)) {
					t.Errorf("alert lacks something: %+v", a)
				}
				for _, secret := range []string{imsi, bound, twin, phone, "13800138000"} {
					if strings.Contains(fmt.Sprintf("%+v", a), secret) {
						t.Errorf("alert gives away %s: %+v", secret, a)
					}
				}
			}
		})
	}
}

func TestEngine_speaksOncePerDayAndWorseAgain(t *testing.T) {
	e := newEngine(t, Config{}, meter())
	var got []string
	for i, imei := range []ringwall.IMEI{twin, twin, phone, phone, twin} {
		out := e.Record(rec(func(r *cdr.Record) { r.IMEI = imei; r.Time = t0.Add(time.Duration(i) * time.Minute) }))
		got = append(got, brief(out.Alerts)...)
	}
	out := e.Record(rec(func(r *cdr.Record) { r.IMEI = twin; r.Time = t0.AddDate(0, 0, 1) }))
	got = append(got, brief(out.Alerts)...)
	if d := cmp.Diff([]string{"separation attack high", "separation attack critical", "separation attack high"}, got); d != "" {
		t.Error(d)
	}
}

func TestEngine_replayRepeatsNoID(t *testing.T) {
	recs := stream(1, 4000)
	ids := func(e *Engine) (all []ringwall.AlertID) {
		for i := range recs {
			for _, a := range e.Record(&recs[i]).Alerts {
				all = append(all, a.ID)
			}
		}
		return all
	}
	e := newEngine(t, Config{Duplicates: -1}, fleet()...)
	first := ids(e)
	if len(first) < 50 {
		t.Fatalf("only %d alerts: the stream proves nothing", len(first))
	}
	fresh := newEngine(t, Config{Duplicates: -1}, fleet()...)
	if d := cmp.Diff(first, ids(fresh)); d != "" {
		t.Errorf("another engine gave other ids:\n%s", d)
	}
	known := map[ringwall.AlertID]bool{}
	for _, id := range first {
		known[id] = true
	}
	for _, id := range ids(e) { // the same records again, into the same engine
		if !known[id] {
			t.Fatalf("a replay made a new alert %s", id)
		}
	}
	other := New(Config{Key: []byte("another key"), Duplicates: -1})
	for _, c := range fleet() {
		if err := other.SetCard(c); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(other); len(got) != len(first) || slices.Equal(got, first) {
		t.Error("the ids do not depend on the key")
	}
}

func TestEngine_duplicatesAreJudgedOnce(t *testing.T) {
	e := newEngine(t, Config{}, meter())
	r := rec(func(r *cdr.Record) { r.ID = "x-1" })
	e.Record(r)
	if out := e.Record(r); !out.Duplicate {
		t.Errorf("the same record again: %+v", out)
	}
	e.Record(rec(func(r *cdr.Record) { r.ID = "x-2" }))
	u, _ := e.Use(imsi)
	if s := e.Stats(); s.Records != 3 || s.Duplicate != 1 || u.Records != 2 || u.Up != 20 {
		t.Errorf("stats %+v, use %+v; want the duplicate counted apart", s, u)
	}
}

func TestEngine_duplicatesAreBounded(t *testing.T) {
	e := newEngine(t, Config{Duplicates: 100}, meter())
	for i := range 10_000 {
		e.Record(rec(func(r *cdr.Record) { r.ID = fmt.Sprint(i) }))
		if n := e.seen.Len(); n > 200 {
			t.Fatalf("%d record ids are kept, want at most 200", n)
		}
	}
	if out := e.Record(rec(func(r *cdr.Record) { r.ID = "9901" })); !out.Duplicate {
		t.Error("one of the last 100 ids was forgotten")
	}
}

func TestEngine_unknownCards(t *testing.T) {
	e := newEngine(t, Config{}, meter())
	out := e.Record(rec(func(r *cdr.Record) { r.IMSI = "460009999999999" }))
	if s := e.Stats(); out.SIM != "" || s.Unknown != 1 || s.Cards != 1 {
		t.Errorf("%+v, %+v; want one unknown card, counted", out, s)
	}
	e = newEngine(t, Config{Adopt: true, MaxAdopted: 2})
	for i := range 5 {
		e.Record(rec(func(r *cdr.Record) { r.IMSI = ringwall.IMSI(fmt.Sprint(460000000000000 + i)) }))
	}
	if s := e.Stats(); s.Unknown != 3 || s.Cards != 2 {
		t.Errorf("%+v; want two cards adopted and three unknown", s)
	}
	a, b := rec(func(r *cdr.Record) { r.IMSI = "460000000000000"; r.IMEI = phone }), rec(func(r *cdr.Record) { r.IMSI = "046000000000000"; r.IMEI = phone })
	if out := e.Record(a); len(out.Alerts) != 1 || !ringwall.ValidID("sim", string(out.SIM)) {
		t.Errorf("an adopted card in other equipment: %+v", out)
	}
	if out := e.Record(b); out.SIM != "" {
		t.Error("two numbers that differ in leading zeros were taken for one")
	}
}

func TestEngine_lateAndFutureRecords(t *testing.T) {
	e := newEngine(t, Config{Now: func() time.Time { return t0 }}, meter())
	e.Record(rec(nil))
	late := e.Record(rec(func(r *cdr.Record) { r.Time = t0.Add(-26 * time.Hour); r.IMEI = phone }))
	if !late.Late || len(late.Alerts) != 1 || !late.Alerts[0].Time.Equal(t0.Add(-26*time.Hour)) {
		t.Errorf("a late record of other equipment: %+v", late)
	}
	if u, _ := e.Use(imsi); u.Seen != EquipmentOf(bound) || !u.Last.Equal(t0) {
		t.Errorf("a late record changed the present to %+v", u)
	}
	future := e.Record(rec(func(r *cdr.Record) { r.Time = t0.AddDate(50, 0, 0); r.IMEI = twin }))
	if !future.Future || len(future.Alerts) != 1 {
		t.Errorf("a record from the future: %+v", future)
	}
	if out := e.Record(rec(func(r *cdr.Record) { r.Time = t0.Add(time.Minute) })); out.Late || out.Future {
		t.Errorf("after one from the future an honest record is %+v", out)
	}
	n := 0
	for i := range 5 {
		n += len(e.Record(rec(func(r *cdr.Record) { r.Time = t0.Add(time.Duration(i) * time.Minute); r.IMEI = phone })).Alerts)
	}
	if n != 1 {
		t.Errorf("a record from the future made %d alerts of one day, want 1", n)
	}
	if s := e.Stats(); s.Late != 2 || s.Future != 1 {
		t.Errorf("%+v, want one late and one future", s)
	}
}

func TestEngine_lateRecordsOfYesterdayAreSaidOnce(t *testing.T) {
	e := newEngine(t, Config{}, meter())
	n := 0
	for _, at := range []time.Time{t0.AddDate(0, 0, -1), t0, t0.AddDate(0, 0, -1), t0} {
		n += len(e.Record(rec(func(r *cdr.Record) { r.IMEI = twin; r.Time = at })).Alerts)
	}
	if n != 2 {
		t.Errorf("%d alerts for two days, want 2", n)
	}
}

// only is a Book in which the rules of a set are on.
func only(t testing.TB, on ...string) *rules.Book {
	t.Helper()
	spec := rules.Spec{Rules: map[string]api.UsageRuleSetting{}}
	for _, r := range Rules() {
		if !slices.Contains(on, r.Name) {
			spec.Rules[r.Name] = api.UsageRuleSetting{Off: true}
		}
	}
	b, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{spec}}, KeysOf([]byte("test key")))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEngine_addingARuleChangesNoOther is the metamorphic test through the whole
// engine: whatever other rules are on, what one says is the same. Package rules
// has it for all rules at once.
func TestEngine_addingARuleChangesNoOther(t *testing.T) {
	recs := stream(2, 6000)
	run := func(on ...string) map[string][]ringwall.Alert {
		e := newEngine(t, Config{Book: only(t, on...)}, fleet()...)
		said := map[string][]ringwall.Alert{}
		for i := range recs {
			for _, a := range e.Record(&recs[i]).Alerts {
				said[a.Rule] = append(said[a.Rule], a)
			}
		}
		return said
	}
	var all []string
	alone := map[string][]ringwall.Alert{}
	for _, r := range Rules() {
		if said := run(r.Name)[r.Name]; len(said) > 0 {
			all, alone[r.Name] = append(all, r.Name), said
		}
	}
	for _, r := range []string{Separation, SIMService, SIMPeer} {
		if len(alone[r]) == 0 {
			t.Fatalf("rule %s says nothing: the stream proves nothing", r)
		}
	}
	for set := 1; set < 1<<len(all); set++ {
		var on []string
		for i, r := range all {
			if set>>i&1 == 1 {
				on = append(on, r)
			}
		}
		said := run(on...)
		if len(said) != len(on) {
			t.Fatalf("of %v these spoke: %v", on, slices.Collect(maps.Keys(said)))
		}
		for _, r := range on {
			if d := cmp.Diff(alone[r], said[r], addrs); d != "" {
				t.Fatalf("among %v %s says other things:\n%.600s", on, r, d)
			}
		}
	}
}

// TestPartition_manyEnginesSayWhatOneSays shares the cards among engines.
func TestPartition_manyEnginesSayWhatOneSays(t *testing.T) {
	recs := stream(4, 3000)
	one := newEngine(t, Config{}, fleet()...)
	const n = 3
	var many [n]*Engine
	for i := range many {
		many[i] = newEngine(t, Config{})
	}
	used := map[int]int{}
	for _, c := range fleet() {
		p := Partition(c.IMSI, n)
		used[p]++
		if err := many[p].SetCard(c); err != nil {
			t.Fatal(err)
		}
	}
	if len(used) != n {
		t.Errorf("cards are shared among %d of %d engines: %v", len(used), n, used)
	}
	for i := range recs {
		a, b := one.Record(&recs[i]), many[Partition(recs[i].IMSI, n)].Record(&recs[i])
		if d := cmp.Diff(a, b, addrs); d != "" {
			t.Fatal(d)
		}
	}
}

func TestSetCard_refuses(t *testing.T) {
	e := newEngine(t, Config{})
	for name, c := range map[string]Card{
		"no IMSI": {SIM: "sim_1"}, "letters": {SIM: "sim_1", IMSI: "46000x"}, "no id": {IMSI: imsi}, "short IMEI": {SIM: "sim_1", IMSI: imsi, IMEI: "123"},
	} {
		err := e.SetCard(c)
		if ringwall.CodeOf(err) != ringwall.Invalid || strings.Contains(err.Error(), imsi) {
			t.Errorf("%s: %v, want an invalid error without the number", name, err)
		}
	}
}

func TestParsePeers_refuses(t *testing.T) {
	for _, bad := range []string{"a b", "héllo", "x..y", strings.Repeat("a", 200), "1.2.3.4:80", "*"} {
		if _, err := ParsePeers([]string{bad}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("ParsePeers(%q) = %v, want an invalid error", bad, err)
		}
	}
	if _, err := ParsePeers(make([]string, MaxPeers+1)); err == nil {
		t.Error("a giant list was taken")
	}
	if p, err := ParsePeers([]string{" ", ""}); p != nil || err != nil {
		t.Errorf("an empty list = %v, %v; want any peer", p, err)
	}
}

func TestRemoveCard_forgets(t *testing.T) {
	e := newEngine(t, Config{}, meter())
	e.Record(rec(nil))
	e.RemoveCard(imsi)
	if out := e.Record(rec(nil)); out.SIM != "" {
		t.Errorf("a removed card is still %q", out.SIM)
	}
	if err := e.SetCard(meter()); err != nil {
		t.Fatal(err)
	}
	if u, _ := e.Use(imsi); u.Records != 0 {
		t.Errorf("a card set anew has the old one's state: %+v", u)
	}
}

// imsiNo is the number of card i: of several blocks, so that they are shared
// among engines.
func imsiNo(i int) ringwall.IMSI {
	return ringwall.IMSI(fmt.Sprint(460001230000000 + i + i%5*10_000))
}

// fleet is ten cards of several kinds.
func fleet() (cards []Card) {
	for i := range 10 {
		c := Card{SIM: ringwall.SIMID(fmt.Sprintf("sim_%d", i)), Org: "org_op", IMSI: imsiNo(i)}
		if i%2 == 0 {
			c.IMEI = bound
		}
		c.Services = must(ParseServices([]string{"data"}))
		if i%3 == 0 {
			c.Peers = must(ParsePeers([]string{"198.51.100.20"}))
		}
		cards = append(cards, c)
	}
	return cards
}

// stream is a seeded mix of honest, wrong, late and duplicate records.
func stream(seed uint64, n int) []cdr.Record {
	r := rand.New(rand.NewPCG(seed, 1))
	var recs []cdr.Record
	for i := range n {
		if len(recs) > 10 && r.IntN(20) == 0 {
			recs = append(recs, recs[len(recs)-1-r.IntN(10)])
			continue
		}
		c := cdr.Record{
			ID: fmt.Sprintf("r%d", i), Time: t0.Add(time.Duration(i) * 5 * time.Minute), IMSI: imsiNo(r.IntN(12)),
			IMEI: bound, Service: cdr.Data, Peer: "198.51.100.20", Up: uint64(r.IntN(100)), Line: uint64(i) + 2,
		}
		switch r.IntN(12) {
		case 0:
			c.IMEI = []ringwall.IMEI{twin, phone}[r.IntN(2)]
		case 1:
			c.Service, c.Direction = []cdr.Service{cdr.SMS, cdr.Voice}[r.IntN(2)], cdr.Direction(r.IntN(3))
		case 2:
			c.Peer = "203.0.113.9"
		case 3:
			c.Time = c.Time.Add(-time.Duration(r.IntN(72)) * time.Hour)
		case 4:
			c.ID = ""
		}
		recs = append(recs, c)
	}
	return recs
}
