package meter

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/api"
)

// beat is the rhythm in which a device comes back to one other end.
type beat struct {
	last time.Time
	gap  time.Duration // between the last two flows
	even int           // how many gaps in a row were alike
}

const (
	// maxBeats bounds the other ends of one device whose rhythm is followed; the one
	// that was heard longest ago gives way.
	maxBeats = 64
	// leastGap is below what flows are of one occasion.
	leastGap = 2 * time.Second
	// evenGaps is how many gaps in a row must be alike for a rhythm.
	evenGaps = 3
)

// beat notes that a flow to a begins.
func (d *device) beat(a netip.Addr, at time.Time) {
	b := d.beats[a]
	if b == nil {
		if len(d.beats) >= maxBeats {
			var oldest netip.Addr
			var when time.Time
			for o, x := range d.beats {
				if when.IsZero() || x.last.Before(when) {
					oldest, when = o, x.last
				}
			}
			delete(d.beats, oldest)
		}
		d.beats[a] = &beat{last: at}
		return
	}
	gap := at.Sub(b.last)
	if gap < leastGap {
		return
	}
	if diff := (gap - b.gap).Abs(); b.gap > 0 && diff <= b.gap/10+500*time.Millisecond {
		b.even++
	} else {
		b.even = 0
	}
	b.last, b.gap = at, gap
}

// regular puts into the minute that closes what has a rhythm still.
func (d *device) regular() {
	end := d.min.From.Add(time.Minute)
	d.min.Regular, d.min.Interval = 0, 0
	for _, b := range d.beats {
		if b.even < evenGaps || end.Sub(b.last) > 2*b.gap+time.Minute {
			continue
		}
		d.min.Regular++
		if g := api.Duration(b.gap); d.min.Interval == 0 || g < d.min.Interval {
			d.min.Interval = g
		}
	}
}
