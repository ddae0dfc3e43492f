package dryrun

import (
	"fmt"
	"slices"
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
	keys = cdr.NewKeys([32]byte{4})
)

const (
	cards = 40
	days  = 12
)

func imsi(n int) ringwall.IMSI { return ringwall.IMSI(fmt.Sprint(460001230000000 + n)) }

// records are of cards that report every hour; every fifth one sends 10 messages
// in an hour of each day, every eighth is in other equipment for a day, the last
// day but one.
func records() (recs []cdr.Record) {
	for h := range 24 * days {
		for n := range cards {
			at := t0.Add(time.Duration(h)*time.Hour + time.Duration(n)*time.Second)
			r := cdr.Record{ID: fmt.Sprint(h, "-", n), Time: at, IMSI: imsi(n), IMEI: "356938035643809", Service: cdr.Data, Peer: "2001:db8::20", Up: 40 << 10, PLMN: "46000", Area: "100", Cell: "70001"}
			if n%8 == 0 && h/24 == days-2 {
				r.IMEI = "490154203237518"
			}
			recs = append(recs, r)
			for i := range 10 {
				if n%5 == 0 && h%24 == 12 {
					r.ID, r.Service, r.Direction, r.Peer, r.Up, r.Time = fmt.Sprint(h, "-", n, "-", i), cdr.SMS, cdr.Originated, "10086", 0, r.Time.Add(time.Second)
					recs = append(recs, r)
				}
			}
		}
	}
	return recs
}

func book(t *testing.T, spec rules.Spec, x ...rules.Exception) *rules.Book {
	t.Helper()
	b, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{spec}, Exceptions: x}, keys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func run(t *testing.T, c Config) Result {
	t.Helper()
	if c.From == 0 {
		c.From = uint32(t0.Add(5 * 24 * time.Hour).Unix())
	}
	tr, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	src, err := cdr.NewRecords(keys, records(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Run(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	return tr.Result()
}

func bursts(n float64) rules.Spec {
	return rules.Spec{Rules: map[string]api.UsageRuleSetting{rules.Burst: {Limits: map[string]float64{"messages-hour": n}}}}
}

func TestTrial(t *testing.T) {
	off := rules.Spec{Rules: map[string]api.UsageRuleSetting{rules.Separation: {Off: true}}}
	for _, tt := range []struct {
		name string
		old  rules.Spec
		now  rules.Spec
		x    []rules.Exception
		want map[string]Count
	}{
		{"nothing changed", rules.Spec{}, rules.Spec{}, nil, map[string]Count{rules.Separation: {Same: 5}}},
		{"a rule turned off", rules.Spec{}, off, nil, map[string]Count{rules.Separation: {Gone: 5}}},
		{"a rule turned on", off, rules.Spec{}, nil, map[string]Count{rules.Separation: {Fresh: 5}}},
		{"a lower bound: eight cards on seven days", rules.Spec{}, bursts(10), nil, map[string]Count{rules.Separation: {Same: 5}, rules.Burst: {Fresh: 56}}},
		{"a bound that tips earlier says the same", bursts(9), bursts(5), nil, map[string]Count{rules.Separation: {Same: 5}, rules.Burst: {Same: 56}}},
		{"a higher bound", bursts(5), bursts(11), nil, map[string]Count{rules.Separation: {Same: 5}, rules.Burst: {Gone: 56}}},
		{"an exception for one card", rules.Spec{}, rules.Spec{}, []rules.Exception{{ID: "x", Kind: api.ExceptRule, Card: cdr.CardKey(imsi(8)), From: t0, Until: t0.AddDate(1, 0, 0)}}, map[string]Count{rules.Separation: {Same: 4, Gone: 1}}},
		{"an allow list", rules.Spec{}, rules.Spec{Peers: []string{"2001:db8:1::/48"}}, nil, map[string]Count{rules.Separation: {Same: 5}, rules.Peer: {Fresh: cards * 7}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, Config{Old: book(t, tt.old), New: book(t, tt.now, tt.x...)})
			if d := cmp.Diff(tt.want, r.ByRule); d != "" {
				t.Error(d)
			}
			if r.Cards != cards || r.Full || r.LeftOut != 0 || r.Before != uint64(5*(24*cards+80)) || r.Records != uint64(7*(24*cards+80)) {
				t.Errorf("%d cards, %d and %d records", r.Cards, r.Before, r.Records)
			}
			for _, c := range append(slices.Clone(r.Gone), r.Fresh...) {
				if c.Line == 0 || c.Title == "" || c.Card == 0 || c.Sec < uint32(t0.Add(5*24*time.Hour).Unix()) {
					t.Errorf("change lacks something: %+v", c)
				}
			}
			if len(r.Gone) != min(r.GoneAll, 100) || len(r.Fresh) != min(r.FreshAll, 100) {
				t.Errorf("lists of %d and %d, of %d and %d", len(r.Gone), len(r.Fresh), r.GoneAll, r.FreshAll)
			}
			// Five days before are enough for places, not for volumes.
			if want := []string{rules.Roaming, rules.Volume, rules.Dormant}; !slices.Equal(r.Unknown, want) {
				t.Errorf("unknown: %v, want %v", r.Unknown, want)
			}
		})
	}
}

func TestTrial_bounded(t *testing.T) {
	old, now := book(t, rules.Spec{}), book(t, bursts(5))
	r := run(t, Config{Old: old, New: now, MaxCards: 10, MaxList: 3, MaxStatements: 6})
	if r.Cards != 10 || r.LeftOut == 0 || !r.Full || len(r.Fresh) > 3 {
		t.Errorf("%d cards, %d records left out, full %v, list of %d", r.Cards, r.LeftOut, r.Full, len(r.Fresh))
	}
	r = run(t, Config{Old: old, New: now, Sample: 4})
	if r.Cards < 4 || r.Cards > 20 || r.LeftOut == 0 {
		t.Errorf("one of four: %d of %d cards", r.Cards, cards)
	}
	r = run(t, Config{Old: old, New: now, Card: func(c uint64) (Card, bool) {
		return Card{Bound: cdr.EquipmentKey("356938035643809"), Life: rules.LifeStock}, c == cdr.CardKey(imsi(8))
	}})
	if d := cmp.Diff(map[string]Count{rules.Separation: {Same: 1}, rules.Lifecycle: {Same: 7}}, r.ByRule); d != "" || r.Cards != 1 {
		t.Errorf("one card, %d: %s", r.Cards, d)
	}
	if _, err := New(Config{Old: old}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("without a proposal: %v", err)
	}
}
