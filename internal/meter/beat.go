package meter

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall/api"
)

// beat is the rhythm in which a device comes back to one other end.
type beat struct {
	to   uint64        // hash of its address
	last int64         // of the packets' clock
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

// beat notes that a flow begins to the address that hashes to this.
func (d *device) beat(to uint64, at time.Time) {
	now := at.UnixNano()
	i := slices.IndexFunc(d.beats, func(b beat) bool { return b.to == to })
	if i < 0 {
		if len(d.beats) < maxBeats {
			d.beats = append(slices.Grow(d.beats, 1), beat{to: to, last: now})
			return
		}
		oldest := 0
		for j := range d.beats {
			if d.beats[j].last < d.beats[oldest].last {
				oldest = j
			}
		}
		d.beats[oldest] = beat{to: to, last: now}
		return
	}
	b := &d.beats[i]
	gap := time.Duration(now - b.last)
	if gap < leastGap {
		return
	}
	if diff := (gap - b.gap).Abs(); b.gap > 0 && diff <= b.gap/10+500*time.Millisecond {
		b.even++
	} else {
		b.even = 0
	}
	b.last, b.gap = now, gap
}

// regular puts into the minute that closes what has a rhythm still.
func (d *device) regular() {
	end := d.min.From.Add(time.Minute).UnixNano()
	d.min.Regular, d.min.Interval = 0, 0
	for i := range d.beats {
		b := &d.beats[i]
		if b.even < evenGaps || time.Duration(end-b.last) > 2*b.gap+time.Minute {
			continue
		}
		d.min.Regular++
		if g := api.Duration(b.gap); d.min.Interval == 0 || g < d.min.Interval {
			d.min.Interval = g
		}
	}
}
