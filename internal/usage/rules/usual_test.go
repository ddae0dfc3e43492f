package rules

import (
	"sync"
	"testing"

	"github.com/ringwall/ringwall/cdr"
)

// Unlisted is told of every address of a card without a list, but of those that
// were said to be usual for its settings on that day; and of nothing else.
func TestUsual(t *testing.T) {
	book := must(NewBook(BookSpec{Settings: []Spec{{}, {}, {Peers: []string{"192.0.2.1"}}}}, keys))
	at := uint32(t0.Unix())
	day := uint16(at / 86400)
	a, b := cdr.AddressPeer(0xc6120001), keys.PeerKey([]byte("2001:db8::1"))
	usual := &Usual{}
	usual.Add(1, a, day)
	usual.Add(0, b, day)
	for _, tt := range []struct {
		name     string
		settings uint32
		usual    *Usual
		e        cdr.Event
		want     bool
	}{
		{"usual", 1, usual, cdr.Event{Peer: a, Sec: at}, false},
		{"usual, of IPv6", 0, usual, cdr.Event{Peer: b, Sec: at}, false},
		{"of other settings", 0, usual, cdr.Event{Peer: a, Sec: at}, true},
		{"another address", 1, usual, cdr.Event{Peer: a + 1, Sec: at}, true},
		{"a day later", 1, usual, cdr.Event{Peer: a, Sec: at + 86400}, true},
		{"nothing is known yet", 1, &Usual{}, cdr.Event{Peer: a, Sec: at}, true},
		{"nobody asks", 1, nil, cdr.Event{Peer: a + 1, Sec: at}, false},
		{"cards with a list", 2, usual, cdr.Event{Peer: a, Sec: at}, false},
		{"a number", 1, usual, cdr.Event{Peer: keys.PeerKey([]byte("10086")), Sec: at}, false},
		{"no other end", 1, usual, cdr.Event{Sec: at}, false},
		{"a message", 1, usual, cdr.Event{Peer: a + 1, Sec: at, Use: cdr.NewUse(cdr.SMS, cdr.Originated, 0, 0)}, false},
	} {
		env := &Env{Book: book, Side: NewSide(0), Usual: tt.usual}
		if tt.e.Use == 0 {
			tt.e.Use = cdr.NewUse(cdr.Data, cdr.Originated, 10, 0)
		}
		l := &Line{Card: 1}
		l.SetSettings(tt.settings)
		if got := Step(l, book.Settings(tt.settings), &tt.e, env)&Unlisted != 0; got != tt.want {
			t.Errorf("%s: told %v", tt.name, got)
		}
	}
	usual.Clear()
	if usual.has(1, &cdr.Event{Peer: a, Sec: at, Use: cdr.NewUse(cdr.Data, cdr.Originated, 10, 0)}) {
		t.Error("it has what it forgot")
	}
}

// Whoever asks while others add hears nothing that was never added.
func TestUsual_shared(t *testing.T) {
	u := &Usual{}
	var wg sync.WaitGroup
	for g := range uint64(2) {
		wg.Go(func() {
			for i := range uint64(100_000) {
				u.Add(uint32(i%3), 3<<62|i*2+g*200_000, 20_000)
			}
		})
		wg.Go(func() {
			for i := range uint64(100_000) {
				e := cdr.Event{Peer: 3<<62 | i*2 + 1, Sec: 20_000 * 86400, Use: cdr.NewUse(cdr.Data, 0, 0, 0)}
				if u.has(uint32(i%3), &e) {
					t.Error("it has what nobody added")
					return
				}
			}
		})
	}
	wg.Wait()
}
