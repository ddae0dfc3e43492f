package usage

import (
	"bytes"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// TestSetBook_holdsAndIsCarried: another Book counts from the next record on,
// cards with allowed uses of their own keep them, and a snapshot carries all of
// it, unless the engine has a newer one.
func TestSetBook_holdsAndIsCarried(t *testing.T) {
	off := rules.Spec{Rules: only(t).Settings(0).Spec().Rules} // nothing is on
	quiet := must(rules.NewBook(rules.BookSpec{Version: 2, Settings: []rules.Spec{off, off, off}}, testKeys))
	own := meter() // data alone, three peers
	plain := Card{SIM: "sim_2", IMSI: "460001234567891", Settings: 1}
	e := newEngine(t, Config{}, own, plain) // settings 1 are not there yet
	first := must(rules.NewBook(rules.BookSpec{Version: 1, Settings: []rules.Spec{{}, {}}}, testKeys))
	misuse := func(e *Engine, imsi ringwall.IMSI, day int) int {
		return len(e.Record(rec(func(r *cdr.Record) {
			r.IMSI, r.Service, r.Direction, r.Time = imsi, cdr.SMS, cdr.Originated, t0.AddDate(0, 0, day)
		})).Alerts)
	}
	if misuse(e, imsi, 0) != 1 || misuse(e, plain.IMSI, 0) != 0 {
		t.Fatal("the cards are not judged as they were set")
	}
	check(t, e.SetBook(quiet))
	if misuse(e, imsi, 1) != 0 {
		t.Error("a Book with all rules off judges")
	}
	loud := must(rules.NewBook(rules.BookSpec{Version: 3, Settings: []rules.Spec{{}, {Services: []string{"data"}}}}, testKeys))
	check(t, e.SetBook(loud))
	if misuse(e, imsi, 2) != 1 || misuse(e, plain.IMSI, 2) != 1 {
		t.Error("after another Book the cards are not judged by it, or lost what is their own")
	}
	var b bytes.Buffer
	check(t, e.Snapshot(&b, nil))
	for _, tt := range []struct {
		book   *rules.Book
		alerts int
		want   uint64
	}{{first, 1, 3}, {must(rules.NewBook(rules.BookSpec{Version: 4, Settings: []rules.Spec{off, off}}, testKeys)), 0, 4}} {
		next := newEngine(t, Config{Book: tt.book}, own, plain)
		if _, err := next.Restore(bytes.NewReader(b.Bytes())); err != nil {
			t.Fatal(err)
		}
		if v := next.Book().Version(); v != tt.want {
			t.Errorf("Book %d is in force, want %d", v, tt.want)
		}
		if n := misuse(next, plain.IMSI, 3); n != tt.alerts {
			t.Errorf("by Book %d: %d alerts of a card by its settings, want %d", tt.want, n, tt.alerts)
		}
		if n := misuse(next, imsi, 3); n != tt.alerts {
			t.Errorf("by Book %d: %d alerts of a card of its own, want %d", tt.want, n, tt.alerts)
		}
		if u, _ := next.Use(imsi); u.Records != 4 {
			t.Errorf("%d records of the card were counted, want 4", u.Records)
		}
	}
}

// TestBookOf: a dry run judges cards as an engine would.
func TestBookOf(t *testing.T) {
	base := must(rules.NewBook(rules.BookSpec{Settings: []rules.Spec{{}, {Fixed: true}}}, testKeys))
	b, of, err := BookOf(base, append(fleet(), Card{SIM: "sim_x", IMSI: "460009999999999", Settings: 1}), testKeys)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.Count(); n != 4 || of[cardOf("460009999999999")] != 1 || of[cardOf(imsiNo(0))] == of[cardOf(imsiNo(1))] || of[cardOf(imsiNo(1))] != of[cardOf(imsiNo(2))] {
		t.Errorf("%d settings, of cards %v; want those of the Book and two for the fleet", n, of)
	}
	if s := b.Settings(of[cardOf(imsiNo(0))]).Spec(); len(s.Peers) != 1 || len(s.Services) != 1 {
		t.Errorf("the first card may do %+v", s)
	}
}
