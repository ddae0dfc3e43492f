package agent

import (
	"hash/maphash"
	"time"

	"github.com/ringwall/ringwall"
)

// firsts tells which refusal is the first of its kind in a day: of a device, with
// one other end or name, for one reason. Those are what a log that cannot keep all
// keeps. It remembers a bounded number, and of each device a share of it, so that
// one that scans does not take it from the others.
type firsts struct {
	seed maphash.Seed
	seen once[uint64] // a keyed hash: only its place in a small table is needed
	of   map[ringwall.DeviceID]share
}

// share is what one device has had of the table.
type share struct {
	since time.Time
	n     int
}

const (
	firstEvery    = 24 * time.Hour
	maxFirsts     = 4096
	maxFirstsOf   = maxFirsts / 16 // of one device in a day
	maxFirstsFrom = 4096           // devices whose share is followed
)

func newFirsts() *firsts {
	return &firsts{seed: maphash.MakeSeed(), seen: once[uint64]{every: firstEvery, most: maxFirsts}, of: map[ringwall.DeviceID]share{}}
}

// first reports whether it is the first. What is compared says of whom besides the
// device.
func (f *firsts) first(device ringwall.DeviceID, what, reason string, now time.Time) bool {
	x, known := f.of[device]
	if age := now.Sub(x.since); !known || age >= firstEvery || age < 0 {
		if !known && len(f.of) >= maxFirstsFrom {
			clear(f.of)
		}
		x = share{since: now}
	}
	if x.n >= maxFirstsOf {
		return false
	}
	if !f.seen.first(maphash.Comparable(f.seed, [3]string{string(device), what, reason}), now) {
		return false
	}
	x.n++
	f.of[device] = x
	return true
}
