package rules

import (
	"math"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// week is a Window of hours taken apart.
type week struct {
	zone     *time.Location
	days     uint8 // bit 0 = Sunday, as time.Weekday; the day on which it begins
	from, to int64 // minutes of the day; to may be 1440
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func parseWeek(w *api.Window) (out week, err error) {
	out.zone, out.days = time.UTC, 1<<7-1
	if w.Zone != "" && w.Zone != "UTC" {
		// "Local" is this machine's zone: the same records would be judged otherwise
		// elsewhere.
		if out.zone, err = time.LoadLocation(w.Zone); err != nil || w.Zone == "Local" {
			return week{}, ringwall.Errorf(ringwall.Invalid, "hours: %.40q is no time zone", w.Zone)
		}
	}
	var ok bool
	if out.from, ok = clock(w.From); !ok || out.from == 1440 {
		return week{}, ringwall.Errorf(ringwall.Invalid, "hours: %.20q is no time of day", w.From)
	}
	if out.to, ok = clock(w.To); !ok {
		return week{}, ringwall.Errorf(ringwall.Invalid, "hours: %.20q is no time of day", w.To)
	}
	if len(w.Days) > 0 {
		out.days = 0
	}
	for _, d := range w.Days {
		i := slices.Index(dayNames, d)
		if i < 0 {
			return week{}, ringwall.Errorf(ringwall.Invalid, "hours: %.20q is none of mon to sun", d)
		}
		out.days |= 1 << i
	}
	return out, nil
}

// clock reads "22:05" as minutes.
func clock(s string) (int64, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	var n [4]int64
	for i, at := range [...]int{0, 1, 3, 4} {
		if n[i] = int64(s[at]) - '0'; n[i] < 0 || n[i] > 9 {
			return 0, false
		}
	}
	h, m := 10*n[0]+n[1], 10*n[2]+n[3]
	return 60*h + m, m < 60 && (h < 24 || h == 24 && m == 0)
}

// open reports whether the window is open at a moment that a clock on the wall
// shows as local, in seconds since 1970.
func (w *week) open(local int64) bool {
	minute := floorDiv(local, 60)
	day := floorDiv(minute, 1440)
	m := minute - day*1440
	on := func(day int64) bool { return w.days>>uint(floorMod(day+int64(time.Thursday), 7))&1 == 1 }
	if w.from < w.to {
		return m >= w.from && m < w.to && on(day)
	}
	return m >= w.from && on(day) || m < w.to && on(day-1)
}

// floorDiv rounds down; b is positive.
func floorDiv(a, b int64) int64 {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// zoneSpan is between which moments a zone has which offset: what the time
// package said last, kept because most events are of the same season.
type zoneSpan struct {
	zone     *time.Location
	from, to int64
	offset   int64
}

// offset is seconds east of Greenwich that clocks of a zone show at a moment.
func (env *Env) offset(z *time.Location, sec uint32) int64 {
	at := int64(sec)
	slot := &env.zones[0]
	for i := range env.zones {
		if env.zones[i].zone == z {
			slot = &env.zones[i]
			if at >= slot.from && at < slot.to {
				return slot.offset
			}
			break
		}
		if env.zones[i].zone == nil {
			slot = &env.zones[i]
			break
		}
	}
	t := time.Unix(at, 0).In(z)
	_, off := t.Zone()
	from, to := t.ZoneBounds()
	*slot = zoneSpan{zone: z, from: math.MinInt64, to: math.MaxInt64, offset: int64(off)}
	if !from.IsZero() {
		slot.from = from.Unix()
	}
	if !to.IsZero() {
		slot.to = to.Unix()
	}
	return slot.offset
}

// outside reports whether an event is in none of the windows.
func (s *Settings) outside(sec uint32, env *Env) bool {
	for i := range s.week {
		w := &s.week[i]
		if w.open(int64(sec) + env.offset(w.zone, sec)) {
			return false
		}
	}
	return true
}
