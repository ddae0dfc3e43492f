package cross

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

var (
	t0   = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	keys = cdr.NewKeys([32]byte{9})
)

const day = 24 * time.Hour

func sec(d time.Duration) uint32 { return uint32(t0.Add(d).Unix()) }

func card(n int) uint64 { return cdr.CardKey(fmt.Sprint(460001230000000 + n)) }

func key(k Kind) uint64 {
	switch k {
	case Equipment:
		return cdr.EquipmentKey("869000000000020")
	case Cell:
		_, c := keys.PlaceKey(cdr.ParsePLMN("46000"), []byte("100"), []byte("70001"))
		return c
	}
	return keys.PeerKey([]byte("203.0.113.9"))
}

// feed observes n cards, from card first on, a minute apart, and gives at which
// of them (from 1) which variant was found.
func feed(t *Table, k Kind, first, n int, from time.Duration) (out []string) {
	for i := range n {
		if f, ok := t.Observe(Observation{Kind: k, Key: key(k), Card: card(first + i), Sec: sec(from + time.Duration(i)*time.Minute), Settings: 3}); ok {
			out = append(out, fmt.Sprint(i+1, "/", f.Variant))
		}
	}
	return out
}

func TestTable(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func(tb *Table) []string
		want []string
	}{
		{"three cards in one equipment", func(tb *Table) []string { return feed(tb, Equipment, 0, 3, 0) }, nil},
		{"a SIM box", func(tb *Table) []string { return feed(tb, Equipment, 0, 40, 0) }, []string{"4/0", "16/1"}},
		{"a card a day in one equipment", func(tb *Table) (out []string) {
			for d := range 4 {
				out = append(out, feed(tb, Equipment, d, 1, time.Duration(d)*day)...)
			}
			return out
		}, []string{"1/0"}},
		{"a card a week in one equipment", func(tb *Table) (out []string) {
			for d := range 10 {
				out = append(out, feed(tb, Equipment, d, 1, time.Duration(d)*7*day)...)
			}
			return out
		}, nil},
		{"the same cards again", func(tb *Table) (out []string) {
			for range 20 {
				out = append(out, feed(tb, Equipment, 0, 3, 0)...)
			}
			return out
		}, nil},
		{"one alert a day", func(tb *Table) []string {
			return append(append(feed(tb, Equipment, 0, 6, 0), feed(tb, Equipment, 0, 6, time.Hour)...), feed(tb, Equipment, 0, 6, day)...)
		}, []string{"4/0", "1/0"}},
		{"a cell while it is learned", func(tb *Table) []string { return feed(tb, Cell, 0, 40, 0) }, nil},
		{"a rack comes to a cell", func(tb *Table) []string {
			feed(tb, Cell, 0, 1, 0)
			return feed(tb, Cell, 10, 40, 5*day)
		}, []string{"15/0"}},
		{"a cell in which cards come and go", func(tb *Table) (out []string) {
			for d := range 20 {
				out = append(out, feed(tb, Cell, 10*d, 10, time.Duration(d)*day)...)
			}
			return append(out, feed(tb, Cell, 500, 40, 20*day)...)
		}, nil},
		{"five times as many as ever", func(tb *Table) (out []string) {
			for d := range 20 {
				out = append(out, feed(tb, Cell, 10*d, 10, time.Duration(d)*day)...)
			}
			return append(out, feed(tb, Cell, 500, 80, 20*day)...)
		}, []string{"x"}},
		{"a fleet calls home", func(tb *Table) []string {
			tb.Observe(Observation{Kind: Peer, Key: 1, Card: card(1), Sec: sec(0), Settings: 3})
			return feed(tb, Peer, 0, 90, 5*day)
		}, []string{"10/0", "x"}},
		{"peers of settings that are new", func(tb *Table) []string {
			tb.Observe(Observation{Kind: Peer, Key: 1, Card: card(1), Sec: sec(0), Settings: 4})
			return feed(tb, Peer, 0, 90, 5*day)
		}, nil},
		{"nine cards", func(tb *Table) []string {
			tb.Observe(Observation{Kind: Peer, Key: 1, Card: card(1), Sec: sec(0), Settings: 3})
			return feed(tb, Peer, 0, 9, 5*day)
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.f(New(Config{Bytes: 1}))
			// What comes past sixteen cards is told by a sketch: when, is about.
			for i, w := range tt.want {
				if w == "x" && i < len(got) {
					got[i] = "x"
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// The sketch is right within a fifth up to 600 cards.
func TestEntry_today(t *testing.T) {
	for _, n := range []int{17, 40, 100, 300, 600} {
		tb := New(Config{Cell: 1 << 14, Bytes: 1})
		feed(tb, Cell, 0, n, 0)
		l := &tb.lots[Cell]
		for _, i := range l.index {
			if got := l.today(l.all.at(i)); got < n*8/10 || got > n*12/10 {
				t.Errorf("%d cards are counted as %d", n, got)
			}
		}
	}
}

// Delivered twice, shared among tables, or in another order within the day,
// observations come to the same ids of alerts.
func TestTable_atLeastOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	stream := func(cards int) (obs []Observation) {
		for i := range 4000 {
			obs = append(obs, Observation{Kind: Kind(r.IntN(3)), Key: uint64(1 + r.IntN(30)), Card: card(r.IntN(cards)), Settings: uint32(r.IntN(2)), Sec: sec(time.Duration(i) * 5 * time.Minute)})
		}
		return obs
	}
	obs := stream(60)
	ids := func(in []Observation, parts int) (out []string) {
		tables := make([]*Table, parts)
		for i := range tables {
			tables[i] = New(Config{Cell: 5, Peer: 4, Bytes: 1})
			// All partitions have begun to learn at the same time.
			tables[i].Observe(Observation{Kind: Cell, Key: 99, Card: 1, Sec: sec(0)})
			for g := range uint32(2) {
				tables[i].Observe(Observation{Kind: Peer, Key: 99, Card: 1, Sec: sec(0), Settings: g})
			}
		}
		for i := range in {
			if f, ok := tables[in[i].Partition(parts)].Observe(in[i]); ok {
				for _, a := range f.Alerts([]byte("k"), func(uint64) (ringwall.SIMID, ringwall.OrgID) { return "sim_x", "org_x" }) {
					out = append(out, string(a.ID))
				}
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	want := ids(obs, 1)
	if len(want) < 20 {
		t.Fatalf("only %d alerts: it proves nothing", len(want))
	}
	var twice []Observation
	for i := 0; i < len(obs); i += 40 {
		twice = append(append(twice, obs[i:i+40]...), obs[i:i+40]...)
	}
	if d := cmp.Diff(want, ids(twice, 1)); d != "" {
		t.Errorf("delivered twice:\n%s", d)
	}
	if d := cmp.Diff(want, ids(obs, 3)); d != "" {
		t.Errorf("in three partitions:\n%s", d)
	}
	// Which cards are known by name when there are more than sixteen depends on the
	// order; up to that, nothing does.
	obs = stream(12)
	want = ids(obs, 1)
	if len(want) < 20 {
		t.Fatalf("only %d alerts: it proves nothing", len(want))
	}
	shuffled := slices.Clone(obs)
	for from := 0; from < len(obs); from += 288 { // five minutes apart: a day
		end := min(from+288, len(obs))
		r.Shuffle(end-from, func(i, j int) { shuffled[from+i], shuffled[from+j] = shuffled[from+j], shuffled[from+i] })
	}
	if d := cmp.Diff(want, ids(shuffled, 1)); d != "" {
		t.Errorf("in another order:\n%s", d)
	}
}

// What an organisation is told names no card of another, and nothing in clear.
func TestFinding_alerts(t *testing.T) {
	tb := New(Config{Bytes: 1})
	var alerts []ringwall.Alert
	name := func(c uint64) (ringwall.SIMID, ringwall.OrgID) {
		n := c % 10
		return ringwall.SIMID(fmt.Sprint("sim_", n)), ringwall.OrgID(fmt.Sprint("org_", n%2))
	}
	for i := range 6 {
		if f, ok := tb.Observe(Observation{Kind: Equipment, Key: key(Equipment), Card: card(i), Sec: sec(0)}); ok {
			alerts = append(alerts, f.Alerts([]byte("k"), name)...)
		}
	}
	if len(alerts) != 2 || alerts[0].ID == alerts[1].ID {
		t.Fatalf("%d alerts, want one for each organisation", len(alerts))
	}
	for _, a := range alerts {
		text := fmt.Sprintf("%+v", a)
		for _, sim := range append(strings.Fields(a.Evidence.Facts["sims"]), a.Subject.ID) {
			if org := "org_" + string('0'+(sim[4]-'0')%2); org != string(a.Org) {
				t.Errorf("an alert for %s names %s", a.Org, sim)
			}
		}
		if strings.Contains(text, "86900000000002") || strings.Contains(text, "46000123") || a.Rule != rules.Box || a.Title == "" || a.Attack == "" {
			t.Errorf("alert %s", text)
		}
	}
}

// A rule that is off for a card, or kept back, says nothing of what it tips.
func TestFinding_said(t *testing.T) {
	x := rules.Exception{Kind: api.ExceptRule, Card: card(3), Rules: []string{rules.Box}, From: t0, Until: t0.Add(time.Hour)}
	for _, tt := range []struct {
		name string
		spec rules.Spec
		x    []rules.Exception
		sec  time.Duration
		want bool
	}{
		{"nothing set", rules.Spec{}, nil, 0, true},
		{"off", rules.Spec{Rules: map[string]api.UsageRuleSetting{rules.Box: {Off: true}}}, nil, 0, false},
		{"within an exception", rules.Spec{}, []rules.Exception{x}, 0, false},
		{"after it", rules.Spec{}, []rules.Exception{x}, time.Hour, true},
	} {
		b, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{tt.spec}, Exceptions: tt.x}, keys)
		if err != nil {
			t.Fatal(err)
		}
		f := Finding{Cards: []uint64{card(3)}, Sec: sec(tt.sec)}
		if got := f.Said(b); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	r, c := Rule(), Config{}.withDefaults()
	if got := []float64{r.Limits[0].Default, r.Limits[1].Default, r.Limits[2].Default, r.Limits[3].Default, r.Limits[4].Default}; !slices.Equal(got, []float64{float64(c.Equipment), float64(c.Cell), float64(c.Peer), float64(c.Times), float64(c.LearnDays)}) {
		t.Errorf("the rule tells other bounds than the table has: %v, %+v", got, c)
	}
}

func TestCollect(t *testing.T) {
	e := cdr.Event{Card: card(1), IMEI: 5, Cell: 6, Peer: keys.PeerKey([]byte("203.0.113.9")), Use: cdr.NewUse(cdr.Data, 0, 0, 0), Sec: sec(0)}
	call := e
	call.Use = cdr.NewUse(cdr.Voice, cdr.Originated, 60, 0)
	got := call
	got.Use = cdr.NewUse(cdr.SMS, cdr.Terminated, 0, 0)
	for _, tt := range []struct {
		name string
		e    cdr.Event
		f    rules.Fired
		want []Kind
	}{
		{"as always", e, 0, nil},
		{"new equipment", e, rules.Strange, []Kind{Equipment}},
		{"arrived with data", e, rules.Arrived, nil},
		{"arrived with a call", call, rules.Arrived, []Kind{Cell}},
		{"arrived with a message to it", got, rules.Arrived | rules.OffList, nil},
		{"off its list", e, rules.OffList, []Kind{Peer}},
		{"all at once", call, rules.Strange | rules.Arrived | rules.OffList, []Kind{Equipment, Cell, Peer}},
		{"from the future", call, rules.Strange | rules.Future, nil},
	} {
		var kinds []Kind
		for _, o := range Collect(nil, 1, &tt.e, tt.f) {
			kinds = append(kinds, o.Kind)
		}
		if d := cmp.Diff(tt.want, kinds); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}
