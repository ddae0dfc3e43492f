package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// burst feeds n records, each some time after the one before, and gives what is
// said with the number of the record, from 1.
func (c *card) burst(from time.Duration, n int, every time.Duration, f func(i int) func(*cdr.Record)) (out []string) {
	for i := range n {
		for _, s := range c.feed(rec(from+time.Duration(i)*every, f(i))) {
			out = append(out, fmt.Sprint(i+1, " ", s))
		}
	}
	return out
}

func TestBurst(t *testing.T) {
	const person = "+8613800138000"
	sent := func(int) func(*cdr.Record) { return sms(cdr.Originated, person) }
	got := func(int) func(*cdr.Record) { return sms(cdr.Terminated, person) }
	call := func(long time.Duration) func(int) func(*cdr.Record) {
		return func(int) func(*cdr.Record) { return voice(cdr.Originated, person, long) }
	}
	called := func(long time.Duration) func(int) func(*cdr.Record) {
		return func(int) func(*cdr.Record) { return voice(cdr.Terminated, person, long) }
	}
	for _, tt := range []struct {
		name  string
		spec  Spec
		n     int
		every time.Duration
		f     func(int) func(*cdr.Record)
		want  []string
	}{
		{"29 messages in an hour", Spec{}, 29, time.Minute, sent, nil},
		{"30 messages in an hour", Spec{}, 40, time.Minute, sent, []string{"30 sim-burst/0 deviation high action"}},
		{"30 messages in two hours", Spec{}, 30, 4 * time.Minute, sent, nil},
		{"100 messages in a day", Spec{}, 101, 5 * time.Minute, sent, []string{"100 sim-burst/0 deviation high action"}},
		{"messages received", Spec{}, 60, time.Minute, got, nil},
		{"20 calls in an hour", Spec{}, 21, 2 * time.Minute, call(time.Minute), []string{"20 sim-burst/1 deviation high action"}},
		{"60 calls in a day", Spec{}, 61, 9 * time.Minute, call(time.Minute), []string{"60 sim-burst/1 deviation high action"}},
		{"four hours of calls in a day", Spec{}, 9, time.Hour, call(30 * time.Minute), []string{"8 sim-burst/2 deviation medium action"}},
		{"called for four hours", Spec{}, 9, time.Hour, called(30 * time.Minute), []string{"8 sim-burst/2 deviation medium action"}},
		{"a call without end", Spec{}, 1, time.Hour, call(2 * time.Hour), []string{"1 sim-burst/2 deviation medium action"}},
		{"short calls", Spec{}, 10, time.Hour, call(10 * time.Second), nil},
		{"settings", Spec{Rules: limits(Burst, "messages-hour", 3)}, 5, time.Minute, sent, []string{"3 sim-burst/0 deviation high action"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			c.want(tt.name, c.burst(0, tt.n, tt.every, tt.f), tt.want...)
		})
	}
}

// What comes out of order counts in the hour and day that it says it is of, with
// what came of them before.
func TestBurst_outOfOrder(t *testing.T) {
	spec := Spec{Rules: map[string]api.UsageRuleSetting{Burst: {Limits: map[string]float64{"messages-hour": 5, "messages-day": 8}}}}
	const day = 24 * time.Hour
	type some struct {
		from  time.Duration
		n     int
		every time.Duration
	}
	for _, tt := range []struct {
		name  string
		clock time.Duration // 0 = no record is ahead of it
		feed  []some
		want  []string // of the last of them
	}{
		{"of the hour before", 0, []some{{90 * time.Minute, 1, 0}, {0, 6, time.Minute}}, []string{"5 sim-burst/0 deviation high action"}},
		{"of the day, hours of less", 0, []some{{0, 1, 0}, {-13 * time.Hour, 8, time.Hour}}, []string{"7 sim-burst/0 deviation high action"}},
		{"of the day before", 0, []some{{day, 1, 0}, {0, 6, time.Minute}}, []string{"5 sim-burst/0 deviation high action"}},
		{"of the day before, hours of less", 0, []some{{2 * day, 1, 0}, {day, 9, time.Hour}}, []string{"8 sim-burst/0 deviation high action"}},
		{"the end of what was counted of the hour", 0, []some{{0, 3, time.Minute}, {time.Hour, 1, 0}, {30 * time.Minute, 2, time.Minute}}, []string{"2 sim-burst/0 deviation high action"}},
		{"the end of what was counted of yesterday", 0, []some{{-13 * time.Hour, 4, 2 * time.Hour}, {12 * time.Hour, 1, 0}, {-5 * time.Hour, 4, 2 * time.Hour}}, []string{"4 sim-burst/0 deviation high action"}},
		{"two days of less", 0, []some{{3 * day, 1, 0}, {day, 4, time.Minute}, {2 * day, 4, time.Minute}}, nil},
		{"two hours of less", 0, []some{{10 * time.Hour, 1, 0}, {0, 3, time.Minute}, {time.Hour, 3, time.Minute}}, nil},
		{"it does not count for today", 0, []some{{day, 4, time.Minute}, {0, 4, time.Minute}, {day + 10*time.Minute, 1, 0}}, []string{"1 sim-burst/0 deviation high action"}},
		{"yesterday does not count for today", 0, []some{{day, 3, time.Minute}, {0, 4, time.Minute}, {day + 10*time.Minute, 1, 0}}, nil},
		{"messages later than other records, in order", 0, []some{{-time.Hour, 1, 0}, {0, 6, time.Minute}}, []string{"5 sim-burst/0 deviation high action"}},
		// Of a day that is not the newest nothing is noted as said: its alert has the
		// same id again.
		{"ahead of the clock", time.Hour, []some{{8 * time.Hour, 5, time.Minute}}, []string{"5 sim-burst/0 deviation high action"}},
		{"tomorrow", time.Hour, []some{{0, 1, 0}, {day, 5, time.Minute}}, []string{"5 sim-burst/0 deviation high action"}},
		{"the present after what was ahead", time.Hour, []some{{8 * time.Hour, 4, time.Minute}, {0, 4, time.Minute}}, nil},
		{"the clock comes there", day, []some{{day + time.Hour, 4, time.Minute}, {23 * time.Hour, 4, time.Minute}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, spec)
			if tt.clock != 0 {
				c.env.Horizon = uint32(t0.Add(tt.clock).Unix())
			}
			var got []string
			for i, f := range tt.feed {
				if tt.name == "messages later than other records, in order" && i == 1 {
					c.feed(rec(2 * time.Hour))
				}
				got = c.burst(f.from, f.n, f.every, func(int) func(*cdr.Record) { return sms(cdr.Originated, "10086") })
				if i < len(tt.feed)-1 && got != nil {
					t.Errorf("said %v too early", got)
				}
			}
			c.want(tt.name, got, tt.want...)
			if tt.clock != 0 && c.l.last > c.env.Horizon {
				t.Error("what is ahead of the clock became the present")
			}
		})
	}
}

// What was counted aside is not kept for good: it takes a block of the Side.
func TestBurst_asideEnds(t *testing.T) {
	c := newCard(t, Spec{})
	sent := sms(cdr.Originated, "10086")
	c.feed(rec(48*time.Hour, sent))
	c.feed(rec(0, sent))
	for day := range 12 {
		if n, want := c.env.Side.Stats().Aside, uint64(1); day+2 <= keepAside && n != want || day+2 > keepAside+1 && n != 0 {
			t.Errorf("before day %d there are %d blocks", day+2, n)
		}
		c.feed(rec(time.Duration(day+2)*24*time.Hour+time.Hour, sent))
	}
	if n := c.env.Side.Stats().Aside; n != 0 {
		t.Errorf("in the end there are %d blocks", n)
	}
}

func TestVerification(t *testing.T) {
	many := func(i int) func(*cdr.Record) { return sms(cdr.Terminated, fmt.Sprint("1069", 1000000+i*7919)) }
	names := func(i int) func(*cdr.Record) { return sms(cdr.Terminated, fmt.Sprint("Bank", i)) }
	codes := func(i int) func(*cdr.Record) { return sms(cdr.Terminated, fmt.Sprint(95000+i)) }
	one := func(int) func(*cdr.Record) { return sms(cdr.Terminated, "10690001") }
	people := func(i int) func(*cdr.Record) { return sms(cdr.Terminated, fmt.Sprint("+86138001380", 10+i)) }
	three := func(i int) func(*cdr.Record) { return sms(cdr.Terminated, []string{"95001", "95105", "10010"}[i%3]) }
	for _, tt := range []struct {
		name string
		spec Spec
		n    int
		f    func(int) func(*cdr.Record)
		want bool
	}{
		{"message services", Spec{}, 14, many, true},
		{"names", Spec{}, 14, names, true},
		{"short codes", Spec{}, 14, codes, true},
		{"one sender that wakes the device", Spec{}, 60, one, false},
		{"three senders, few messages", Spec{}, 19, three, false},
		{"people", Spec{}, 40, people, false},
		{"sent, not received", Spec{}, 14, func(i int) func(*cdr.Record) { return sms(cdr.Originated, fmt.Sprint(95000+i)) }, false},
		{"a card that is meant for it", Spec{Accounts: true}, 60, many, false},
		{"senders on its list", Spec{Peers: []string{"95000", "95001", "95002", "95003", "95004", "95005", "95006"}}, 7, codes, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			got := c.burst(0, tt.n, time.Minute, tt.f)
			if (len(got) == 1 && got[0][len(got[0])-len("sim-verification/1 attack high"):] == "sim-verification/1 attack high") != tt.want || !tt.want && len(got) > 0 {
				t.Errorf("said %v, want it: %v", got, tt.want)
			}
		})
	}
	c := newCard(t, Spec{})
	got := c.burst(0, 25, time.Minute, three)
	if len(got) != 1 || got[0] != "20 sim-verification/0 attack medium" {
		t.Errorf("many messages of three senders: %v", got)
	}
}

// The sketch never counts one sender too many.
func TestVerification_sketch(t *testing.T) {
	c := newCard(t, Spec{Rules: limits(Verification, "senders", 14)})
	for i := range 13 {
		for j := range 15 {
			for _, s := range c.feed(rec(time.Duration(15*i+j)*time.Second, sms(cdr.Terminated, fmt.Sprint("S", i)))) {
				if s != "sim-verification/0 attack medium" {
					t.Fatalf("with %d senders: %s", i+1, s)
				}
			}
		}
	}
}
