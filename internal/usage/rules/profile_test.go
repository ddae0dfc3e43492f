package rules

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

func TestLifecycle(t *testing.T) {
	for _, tt := range []struct {
		name  string
		life  Life
		since time.Duration
		f     []func(*cdr.Record)
		want  []string
	}{
		{"not told", LifeUnknown, 0, nil, nil},
		{"active", LifeActive, -time.Hour, nil, nil},
		{"in stock", LifeStock, -time.Hour, nil, []string{"sim-lifecycle/0 attack high"}},
		{"suspended yesterday", LifeSuspended, -24 * time.Hour, nil, []string{"sim-lifecycle/1 attack high"}},
		{"suspended, and written to", LifeSuspended, -24 * time.Hour, []func(*cdr.Record){sms(cdr.Terminated, "10086")}, []string{"sim-lifecycle/1 deviation low"}},
		{"ended yesterday", LifeTerminated, -24 * time.Hour, nil, []string{"sim-lifecycle/2 attack high"}},
		{"suspended a moment ago", LifeSuspended, -59 * time.Minute, nil, nil},
		{"used before it was suspended, told late", LifeSuspended, time.Hour, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				c := newCard(t, Spec{})
				if late {
					c.feed(rec(24 * time.Hour))
				}
				c.l.SetLife(tt.life, uint32(t0.Add(tt.since).Unix()), c.env.Side)
				c.want(tt.name, c.feed(rec(0, tt.f...)), tt.want...)
				if life, since := c.l.Life(c.env.Side); life != tt.life || tt.life >= LifeSuspended && since != uint32(t0.Add(tt.since).Unix()) {
					t.Errorf("life %v since %d", life, since)
				}
				c.l.SetLife(LifeActive, 0, c.env.Side)
				c.want("restored", c.feed(rec(48*time.Hour)))
				if n := c.env.Side.Stats().Life; n != 0 {
					t.Errorf("%d blocks are left", n)
				}
			}
		})
	}
}

func TestHours(t *testing.T) {
	work := Spec{Hours: []api.Window{{Zone: "Europe/Berlin", Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", To: "18:00"}, {Zone: "Europe/Berlin", Days: []string{"sat"}, From: "22:00", To: "06:00"}}}
	for _, tt := range []struct {
		name string
		at   string // UTC
		ok   bool
	}{
		{"Monday morning, winter", "2026-01-05T07:00:00Z", true},
		{"a minute before", "2026-01-05T06:59:59Z", false},
		{"Monday morning, summer", "2026-07-06T06:00:00Z", true},
		{"the same hour in winter", "2026-01-05T06:00:00Z", false},
		{"the last minute", "2026-01-05T16:59:59Z", true},
		{"the end", "2026-01-05T17:00:00Z", false},
		{"Saturday noon", "2026-01-10T12:00:00Z", false},
		{"Saturday night", "2026-01-10T23:30:00Z", true},
		{"Sunday before six, of Saturday", "2026-01-11T04:59:00Z", true},
		{"Sunday at six", "2026-01-11T05:00:00Z", false},
		{"the night of the spring change", "2026-03-29T03:59:00Z", true}, // Saturday's window ends at 06:00 CEST
		{"after it", "2026-03-29T04:00:00Z", false},
	} {
		c := newCard(t, work)
		when := must(time.Parse(time.RFC3339, tt.at))
		var want []string
		if !tt.ok {
			want = []string{"sim-hours/0 deviation medium"}
		}
		c.want(tt.name, c.feed(rec(when.Sub(t0))), want...)
		c.want(tt.name+", time made up", c.feed(rec(when.Sub(t0), func(r *cdr.Record) { r.Estimated = true })))
		c.env.Horizon = uint32(when.Add(-time.Minute).Unix())
		c.want(tt.name+", ahead of the clock", c.feed(rec(when.Sub(t0))))
	}
	if _, err := Compile(Spec{Hours: []api.Window{{Zone: "Local", From: "00:00", To: "01:00"}}}, keys); err == nil {
		t.Error("the zone of this machine was taken")
	}
}

func TestPlace(t *testing.T) {
	spec := Spec{Countries: []string{"460", "454"}, Areas: []string{"100", "4f01"}, Cells: []string{"70001", "9b2"}}
	for _, tt := range []struct {
		name string
		f    []func(*cdr.Record)
		want []string
	}{
		{"home", nil, nil},
		{"the other country", []func(*cdr.Record){in("45412")}, nil},
		{"abroad", []func(*cdr.Record){in("310410")}, []string{"sim-place/1 deviation high"}},
		{"another area", []func(*cdr.Record){at("101", "70001")}, []string{"sim-place/0 deviation medium"}},
		{"another cell", []func(*cdr.Record){at("100", "70002")}, []string{"sim-place/0 deviation medium"}},
		{"hexadecimal names", []func(*cdr.Record){at("4f01", "9b2")}, nil},
		{"hexadecimal, another cell", []func(*cdr.Record){at("4f01", "9b3")}, []string{"sim-place/0 deviation medium"}},
		{"nothing told", []func(*cdr.Record){at("", ""), in("")}, nil},
		{"abroad in another area", []func(*cdr.Record){in("310410"), at("101", "70001")}, []string{"sim-place/0 deviation medium", "sim-place/1 deviation high"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, spec)
			c.want(tt.name, c.feed(rec(0, tt.f...)), tt.want...)
			c.want("again", c.feed(rec(time.Minute, tt.f...)))
			c.want("the next day", c.feed(rec(24*time.Hour, tt.f...)), tt.want...)
		})
	}
}

func TestQuota(t *testing.T) {
	spec := Spec{Bytes: 1000, Messages: 2, Calls: 1}
	c := newCard(t, spec)
	c.want("600", c.feed(rec(0, bytesOf(600))))
	c.want("1000", c.feed(rec(1, bytesOf(400))))
	c.want("1001", c.feed(rec(2, bytesOf(1))), "sim-quota/0 deviation medium")
	c.want("a message", c.feed(rec(3*time.Second, sms(cdr.Terminated, "10086"))))
	c.want("two", c.feed(rec(4*time.Second, sms(cdr.Originated, "10086"))))
	c.want("three", c.feed(rec(5*time.Second, sms(cdr.Originated, "10086"))), "sim-quota/1 deviation medium")
	c.want("a call", c.feed(rec(6*time.Second, voice(cdr.Originated, "10086", 0))))
	c.want("two calls", c.feed(rec(7*time.Second, voice(cdr.Originated, "10086", 0))), "sim-quota/2 deviation medium")
	c.want("the next day it is still the month", c.feed(rec(24*time.Hour, bytesOf(1))), "sim-quota/0 deviation medium", "sim-quota/1 deviation medium", "sim-quota/2 deviation medium")
	c.want("the next month", c.feed(rec(10*24*time.Hour, bytesOf(600))))
	c.want("late, of last month, over its cap still", c.feed(rec(24*time.Hour+time.Second, bytesOf(600))), "sim-quota/0 deviation medium", "sim-quota/1 deviation medium", "sim-quota/2 deviation medium")
	c.want("still the next month", c.feed(rec(10*24*time.Hour+time.Hour, bytesOf(400))))
}

// What comes out of order counts in its month, with what was counted of it.
func TestQuota_outOfOrder(t *testing.T) {
	const month = 31 * 24 * time.Hour // from one to the next, at any rate
	over := "sim-quota/0 deviation medium"
	type use struct {
		at    time.Duration
		bytes uint64
		want  []string
	}
	for _, tt := range []struct {
		name  string
		clock time.Duration // 0 = no record is ahead of it
		uses  []use
	}{
		{"late, of last month, with what came before", 0, []use{{0, 900, nil}, {month, 10, nil}, {time.Hour, 90, nil}, {2 * time.Hour, 20, []string{over}}}},
		{"late, of last month, and nothing came before", 0, []use{{month, 900, nil}, {0, 900, nil}, {month + time.Hour, 90, nil}, {time.Hour, 200, []string{over}}}},
		{"last month was little: it is not kept", 0, []use{{0, 200, nil}, {month, 10, nil}, {time.Hour, 900, nil}, {2 * time.Hour, 101, []string{over}}}},
		{"late, of this month", 0, []use{{time.Hour, 900, nil}, {0, 101, []string{over}}}},
		{"ahead of the clock, of this month", time.Minute, []use{{0, 900, nil}, {time.Hour, 101, []string{over}}}},
		{"ahead of the clock, of next month", time.Minute, []use{{0, 900, nil}, {month, 900, nil}, {10 * time.Second, 90, nil}, {month, 101, []string{over}}}},
		{"ahead of the clock, and nothing came before", time.Minute, []use{{time.Hour, 900, nil}, {2 * time.Hour, 101, []string{over}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, Spec{Bytes: 1000})
			if tt.clock != 0 {
				c.env.Horizon = uint32(t0.Add(tt.clock).Unix())
			}
			for i, u := range tt.uses {
				c.want(tt.name, c.feed(rec(u.at, bytesOf(u.bytes))), u.want...)
				if i == 0 && c.l.last > c.env.Horizon && tt.clock != 0 {
					t.Error("what is ahead of the clock became the present")
				}
			}
		})
	}
	// What was counted ahead of the clock is of the month when that has come.
	c := newCard(t, Spec{Bytes: 1000})
	c.feed(rec(0))
	c.env.Horizon = uint32(t0.Add(time.Minute).Unix())
	c.feed(rec(month, bytesOf(900)))
	c.env.Horizon = 0
	c.want("the month has come", c.feed(rec(month+time.Hour, bytesOf(101))), over)
}

func TestMonthOf(t *testing.T) {
	for d := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2106; d = d.AddDate(0, 0, 1) {
		for _, at := range []time.Time{d, d.Add(24*time.Hour - time.Second)} {
			if got, want := monthOf(uint32(at.Unix())), uint32((at.Year()-1970)*12+int(at.Month())-1); got != want {
				t.Fatalf("monthOf(%s) = %d, want %d", at, got, want)
			}
		}
	}
}
