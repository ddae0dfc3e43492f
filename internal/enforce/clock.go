package enforce

import "time"

// jump is how far the wall clock may be off what the monotonic clock has
// counted before that is a jump, and no slewing.
const jump = 2 * time.Second

// Timepiece is the clock by which windows open and close, and documents grow
// old. It trusts, in this order:
//
//   - the time in an answer of the platform, carried on by the monotonic clock:
//     no jump of the wall clock moves it,
//   - before the platform was heard, the wall clock, as long as it is not behind
//     the latest time that a signed document or the disk bears (the floor). A
//     leap forward is followed, since a gateway without a battery starts in the
//     past; a leap backward is not, so that what has closed does not open again.
//
// While the wall clock is behind the floor and the platform was not heard, the
// time is not sure: see Untimed. The zero Timepiece is ready. It is not safe for
// concurrent use.
type Timepiece struct {
	floor   time.Time
	base    time.Time // the time at mono
	mono    time.Duration
	vouched bool
	last    Clock // the last reading
	begun   bool
	doubted bool // the last reading was not sure
}

// Raise says that it is at least t. What a vouched time says counts more.
func (p *Timepiece) Raise(t time.Time) {
	if t.After(p.floor) {
		p.floor = t
	}
}

// Vouch takes the time that the platform's answer bears.
func (p *Timepiece) Vouch(t time.Time, c Clock) {
	p.base, p.mono, p.vouched, p.begun, p.last = t, c.Mono, true, true, c
	p.Raise(t)
}

// Now returns the time and whether it is sure; jumped says that the wall clock
// has leapt since the last reading, or that the time has become sure, so that all
// that depends on time is to be looked at again.
func (p *Timepiece) Now(c Clock) (now time.Time, sure, jumped bool) {
	if p.begun {
		off := c.Wall.Sub(p.last.Wall) - (c.Mono - p.last.Mono)
		jumped = off > jump || off < -jump
	}
	p.last = c
	if p.vouched {
		jumped, p.doubted = jumped || p.doubted, false
		return p.base.Add(c.Mono - p.mono), true, jumped
	}
	now = c.Wall
	if p.begun {
		if counted := p.base.Add(c.Mono - p.mono); counted.After(now) {
			now = counted
		}
	}
	sure = !now.Before(p.floor)
	if !sure {
		now = p.floor
	} else {
		p.base, p.mono, p.begun = now, c.Mono, true
	}
	jumped = jumped || sure && p.doubted
	p.doubted = !sure
	return now, sure, jumped
}
