package rules

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

const spikeSaid, driftSaid = "sim-volume/0 deviation high action", "sim-volume/1 deviation low action"

const kB, MB, GB = 1 << 10, 1 << 20, 1 << 30

func TestVolume_spike(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spec  Spec
		usual uint64
		recs  []uint64 // one a minute from t0 on
		want  int      // the record that tips it, from 0; -1 = none
	}{
		{"as always", Spec{}, 40 * kB, []uint64{40 * kB, 40 * kB}, -1},
		{"many times as much, but little", Spec{}, 40 * kB, []uint64{4 * MB}, -1},
		{"one giant record", Spec{}, 40 * kB, []uint64{200 * MB}, 0},
		{"adds up within the hour", Spec{}, 40 * kB, []uint64{3 * MB, 3 * MB, 3 * MB, 3 * MB}, 2},
		{"a camera that always sends much", Spec{}, 300 * MB, []uint64{600 * MB}, -1},
		{"a camera that floods", Spec{}, 300 * MB, []uint64{20 * GB}, 0},
		{"least-bytes of the settings", Spec{Rules: limits(Volume, "least-bytes", MB)}, 4 * kB, []uint64{2 * MB}, 0},
		{"most-bytes of the settings", Spec{Rules: limits(Volume, "most-bytes", MB)}, 900 * kB, []uint64{2 * MB}, 0},
		{"rule off", Spec{Rules: map[string]api.UsageRuleSetting{Volume: {Off: true}}}, 40 * kB, []uint64{200 * MB}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			c.settle(8, bytesOf(tt.usual))
			for i, n := range tt.recs {
				var want []string
				if i == tt.want {
					want = []string{spikeSaid}
				}
				c.want(tt.name, c.feed(rec(time.Duration(i)*time.Minute, bytesOf(n))), want...)
			}
		})
	}
}

// In its first hours a card is not judged, and Cold says so; an absolute bound
// holds from the first byte.
func TestVolume_cold(t *testing.T) {
	c := newCard(t, Spec{})
	for h := range 24*7 - 14 { // t0 is two in the afternoon: seven days end there
		f := c.step(rec(time.Duration(h)*time.Hour, bytesOf(100*MB)))
		if f&Speaks != 0 || f&Cold == 0 {
			t.Fatalf("hour %d: %x, want nothing said, and cold", h, f)
		}
	}
	if f := c.step(rec(24*7*time.Hour, bytesOf(100*MB))); f&Cold != 0 {
		t.Errorf("after a week of use: %x, still cold", f)
	}
	if f := c.step(rec(170*time.Hour, bytesOf(5*kB))); f&Cold != 0 {
		t.Error("a small hour is cold")
	}
	c = newCard(t, Spec{Rules: limits(Volume, "most-bytes", GB)})
	c.want("over the bound, cold", c.feed(rec(0, bytesOf(2*GB))), spikeSaid)
}

// An attack that lasts a night does not become usual, and one wild hour keeps
// nothing of what comes after it from being seen.
func TestVolume_robust(t *testing.T) {
	c := newCard(t, Spec{})
	c.settle(8, bytesOf(40*kB))
	for h := range 10 {
		f := c.step(rec(time.Duration(h)*time.Hour, bytesOf(500*MB)))
		if said := f&Speaks != 0; said != (h == 0) {
			t.Errorf("hour %d of the attack, day 1: %x", h, f)
		}
	}
	c.want("the attack's second day", c.feed(rec(10*time.Hour, bytesOf(500*MB))), spikeSaid)
}

// A device that was offline sends what it kept: the deviation grows with the
// silence and shrinks again.
func TestVolume_silence(t *testing.T) {
	c := newCard(t, Spec{})
	c.settle(8, bytesOf(2*MB))
	before := c.l.dev
	c.want("ten hours' worth after ten hours", c.feed(rec(10*time.Hour, bytesOf(20*MB))))
	if c.l.dev <= before {
		t.Errorf("the deviation was %d and is %d after a silence", before, c.l.dev)
	}
	for h := range 48 {
		c.feed(rec(time.Duration(11+h)*time.Hour, bytesOf(2*MB)))
	}
	c.want("a spike later", c.feed(rec(60*time.Hour, bytesOf(100*MB))), spikeSaid)
}

// Firmware updates are announced: what is in the window is neither said nor
// learned.
func TestVolume_maintenance(t *testing.T) {
	c := newCard(t, Spec{Customer: "acme"}, func(b *BookSpec) {
		b.Exceptions = []Exception{{ID: "fw", Kind: api.ExceptWindow, Customer: "acme", Rules: []string{Volume}, From: t0, Until: t0.Add(3 * time.Hour)}}
	})
	c.settle(8, bytesOf(40*kB))
	mean := c.l.mean
	for h := range 3 {
		if f := c.step(rec(time.Duration(h)*time.Hour, bytesOf(80*MB))); f&Speaks != 0 || f&Muted == 0 {
			t.Errorf("hour %d of the update: %x, want it muted", h, f)
		}
	}
	c.want("after the window", c.feed(rec(3*time.Hour, bytesOf(40*kB))))
	if c.l.mean > mean+octave/64 || c.l.mean+octave/64 < mean {
		t.Errorf("the update was learned: %d, then %d", mean, c.l.mean)
	}
	c.want("the same without a window", c.feed(rec(4*time.Hour, bytesOf(80*MB))), spikeSaid)
}

func TestVolume_lateAndDays(t *testing.T) {
	c := newCard(t, Spec{})
	c.settle(8, bytesOf(40*kB))
	c.feed(rec(2*time.Hour, bytesOf(40*kB)))
	c.want("late, of an hour that is over, a spike by itself", c.feed(rec(time.Hour, bytesOf(200*MB))), spikeSaid)
	if c.l.hour != 40*kB {
		t.Errorf("it was counted for the hour that is: %v", c.l.hour)
	}
	c.feed(rec(3*time.Hour+10*time.Minute, bytesOf(5*MB)))
	if f := c.step(rec(3*time.Hour, bytesOf(5*MB))); f&Late == 0 || c.l.hour != 10*MB {
		t.Errorf("late within its hour: %x, the hour has %v", f, c.l.hour)
	}
}

// An hour that comes out of order is judged by all that came of it, however many
// records tell of it.
func TestVolume_outOfOrder(t *testing.T) {
	for _, tt := range []struct {
		name  string
		clock time.Duration // 0 = no record is ahead of it
		from  time.Duration
		n     int
		bytes uint64
		want  int // statements
	}{
		{"late, in parts none of which is much", 0, 30 * time.Minute, 20, 5 * MB, 1},
		{"yesterday, in parts", 0, -20 * time.Hour, 20, 5 * MB, 1},
		{"ahead of the clock, in parts", 3 * time.Hour, 8 * time.Hour, 3, 3 * MB, 1},
		{"late, as ever", 0, 30 * time.Minute, 20, 2 * kB, 0},
		{"ahead of the clock, as ever", 3 * time.Hour, 8 * time.Hour, 20, 2 * kB, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, Spec{})
			c.settle(8, bytesOf(40*kB))
			c.feed(rec(2*time.Hour, bytesOf(40*kB)))
			before := c.l
			if tt.clock != 0 {
				c.env.Horizon = uint32(t0.Add(tt.clock).Unix())
			}
			n := 0
			for i := range tt.n {
				got := c.feed(rec(tt.from+time.Duration(i)*time.Minute, bytesOf(tt.bytes)))
				if n += len(got); len(got) > 0 && got[0] != spikeSaid {
					t.Errorf("said %v", got)
				}
			}
			if n != tt.want {
				t.Errorf("%d statements, want %d", n, tt.want)
			}
			if c.l.hour != before.hour || c.l.last != before.last || c.l.mean != before.mean {
				t.Error("the present changed")
			}
			if blocks := c.env.Side.Stats().Aside; blocks != uint64(min(tt.want, 1)) {
				t.Errorf("%d blocks", blocks)
			}
		})
	}
	// A record that tells of all of its hour is judged by itself.
	hours := newCard(t, Spec{})
	hours.settle(8, bytesOf(40*kB))
	hours.feed(rec(5*time.Hour, bytesOf(40*kB)))
	for range 3 {
		hours.want("an hour", hours.feed(rec(time.Hour, bytesOf(3*MB), func(r *cdr.Record) { r.Duration = time.Hour })))
	}
	if blocks := hours.env.Side.Stats().Aside; blocks != 0 {
		t.Errorf("%d blocks", blocks)
	}
	// Two hours that take turns are two hours.
	c := newCard(t, Spec{})
	c.settle(8, bytesOf(40*kB))
	c.feed(rec(5*time.Hour, bytesOf(40*kB)))
	for i := range 10 {
		c.want("an hour of several", c.feed(rec(time.Duration(i%4)*time.Hour+time.Duration(i)*time.Minute, bytesOf(3*MB))))
	}
}

// A rise of a few percent a day is no spike on any day; it is told when what is
// usual is four times what was.
func TestVolume_drift(t *testing.T) {
	c := newCard(t, Spec{})
	said := map[int]bool{}
	v := 10.0 * MB
	for day := range 120 {
		if day >= 30 {
			v *= 1.04
		}
		for h := range 24 {
			for _, s := range c.feed(rec(time.Duration(24*day+h)*time.Hour, bytesOf(uint64(v)))) {
				if s != driftSaid {
					t.Fatalf("day %d: %s", day, s)
				}
				said[day] = true
			}
		}
	}
	first := 0
	for first = 0; first < 120 && !said[first]; first++ {
	}
	if len(said) < 1 || len(said) > 4 || first < 60 || first > 100 {
		t.Errorf("told on %v; from day 30 on it grew by 4 %% a day", said)
	}
}

// Honest cards of many kinds over a year: nothing is said of their volumes.
func TestVolume_honest(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand, h int) uint64{
		"constant":  func(r *rand.Rand, h int) uint64 { return 200 * kB },
		"lognormal": func(r *rand.Rand, h int) uint64 { return uint64(float64(MB) * exp(r.NormFloat64())) },
		"day and night": func(r *rand.Rand, h int) uint64 {
			if h%24 < 7 {
				return uint64(20*kB + r.IntN(10*kB))
			}
			return uint64(20*MB + r.IntN(10*MB))
		},
		"events": func(r *rand.Rand, h int) uint64 {
			if r.IntN(10) == 0 {
				return uint64(30*MB + r.IntN(20*MB))
			}
			return uint64(50 * kB)
		},
	} {
		r := rand.New(rand.NewPCG(1, 9))
		c := newCard(t, Spec{})
		for h := range 24 * 365 {
			if got := c.feed(rec(time.Duration(h)*time.Hour, bytesOf(draw(r, h)))); len(got) > 0 {
				t.Errorf("%s, hour %d: %v", name, h, got)
			}
		}
	}
}
