package rules

import (
	"math"
	"testing"
	"time"

	"github.com/ringwall/ringwall/cdr"
)

const day = 24 * time.Hour

func exp(v float64) float64 { return math.Exp(v) }

func TestDormant(t *testing.T) {
	const said = "sim-dormant/1 deviation medium"
	for _, tt := range []struct {
		name   string
		spec   Spec
		every  time.Duration // of ten records, the last at t0
		silent time.Duration
		f      []func(*cdr.Record)
		want   []string
	}{
		{"hourly, silent for a month", Spec{}, time.Hour, 30 * day, nil, nil},
		{"hourly, silent for two", Spec{}, time.Hour, 60 * day, nil, []string{said}},
		{"daily, silent for two", Spec{}, day, 60 * day, nil, []string{said}},
		{"a monthly meter", Spec{}, 30 * day, 31 * day, nil, nil},
		{"a monthly meter that missed one", Spec{}, 30 * day, 62 * day, nil, nil},
		{"a monthly meter silent for half a year", Spec{}, 30 * day, 190 * day, nil, []string{said}},
		{"a quarterly meter", Spec{}, 91 * day, 92 * day, nil, nil},
		{"days of the settings", Spec{Rules: limits(Dormant, "days", 7)}, time.Hour, 8 * day, nil, []string{said}},
		{"days of the settings, not yet", Spec{Rules: limits(Dormant, "days", 7)}, time.Hour, 6 * day, nil, nil},
		{"woken by a message", Spec{}, time.Hour, 60 * day, []func(*cdr.Record){sms(cdr.Terminated, "10086")}, []string{"sim-dormant/0 deviation low"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			for i := range 10 {
				c.want("habit", c.feed(rec(time.Duration(i-9)*tt.every)))
			}
			// A clock that is ahead says when it was not: it was when it came at the latest.
			c.env.Horizon = uint32(t0.Add(tt.silent).Unix())
			c.want(tt.name+", ahead of the clock", c.feed(rec(tt.silent+200*day, tt.f...)), tt.want...)
			c.env.Horizon = 0
			c.want(tt.name, c.feed(rec(tt.silent, tt.f...)), tt.want...)
			c.want("the next record", c.feed(rec(tt.silent+time.Minute)))
		})
	}
	c := newCard(t, Spec{})
	c.want("the first record ever", c.feed(rec(0)))
	c.want("no habit yet", c.feed(rec(100*day)))
	c.want("late: no silence", c.feed(rec(50*day)))
}

// One long silence is no habit; it is told again when it comes again.
func TestDormant_onceIsNoHabit(t *testing.T) {
	c := newCard(t, Spec{})
	c.settle(5)
	n, at := 0, time.Duration(0)
	for range 3 {
		at += 90 * day
		n += len(c.feed(rec(at)))
		for range 24 * 10 {
			at += time.Hour
			n += len(c.feed(rec(at)))
		}
	}
	if n != 3 {
		t.Errorf("three long silences were told %d times", n)
	}
}
