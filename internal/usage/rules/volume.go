package rules

import "math/bits"

const (
	quiet     = 7200 // seconds; a silence of less is none
	quietCode = 102  // code8(quiet)
	maxDev    = 4 * octave
	minDev    = octave / 8
	firstDev  = octave
)

// knows reports whether enough is known of a card's hours.
func (s *Settings) knows(l *Line) bool {
	return l.hours >= s.volumeHours && l.days() >= int(s.volumeDays)
}

// risePeak is by how much the largest hours rise on a day, in quarters of an
// octave: two octaves.
const risePeak = 8

// rise raises the largest hours.
func (l *Line) rise(s *Settings, p uint32) {
	if s.knows(l) {
		if l.bound&risenBit != 0 {
			return
		}
		p = min(p, l.daily>>24+risePeak)
	}
	l.daily = l.daily&^(255<<24) | p<<24
	l.bound |= risenBit
}

// learn learns from one of the first hours, which weigh more.
func (l *Line) learn(s *Settings, env *Env) {
	x := int32(lg(l.hour))
	if l.hours == 0 {
		l.hours, l.mean, l.dev, l.daily = 1, uint16(x), firstDev, l.daily&^(255<<24)|uint32(x)>>8<<24
		return
	}
	shift := min(uint(bits.Len8(l.hours)), 4)
	mean, dev := int32(l.mean), int32(l.dev)
	d := x - mean
	if l.hours >= 8 {
		far := 4*dev + octave/2
		if d > far && env.Book.window(l.Card, s, l.last, volHour) {
			return
		}
		d = min(max(d, -far), far)
	}
	half := int32(1) << (shift - 1)
	mean += (d + half) >> shift
	dev += (max(d, -d) - dev + half) >> shift
	l.mean, l.dev = uint16(mean), uint16(min(max(dev, minDev), maxDev))
	if p := uint32(x) >> 8; p > l.daily>>24 {
		l.rise(s, p)
	}
	l.hours++
}

// hourly is what an event brought in an hour: all, or the part of one hour of a
// session that lasted longer.
func hourly(e *event) float32 {
	if sec := e.Use.Seconds(); sec > 3600 {
		return e.Volume * 3600 / float32(sec)
	}
	return e.Volume
}

// spike says that an hour has far more bytes than the card's hours have.
func spike(l *Line, s *Settings, sum float32) (raw uint32, cold Fired) {
	if s.volumeMost != 0 && sum > s.volumeMost {
		raw = 1 << volHour
	}
	if sum < s.volumeLeast {
		return raw, 0
	}
	if !s.knows(l) {
		return raw, Cold
	}
	if lg(sum) > l.limit(s) {
		raw = 1 << volHour
	}
	return raw, 0
}

// limit is the logarithm of the bytes above which an hour is a spike.
func (l *Line) limit(s *Settings) uint16 {
	const quarter = octave / 4
	return uint16(min(max(uint32(l.mean)+uint32(l.dev)*uint32(s.volumeDevs)/4, (uint32(l.peak())+1)*quarter+uint32(s.volumeTimes)), 1<<16-1))
}

// usualDays are the logarithms of the bytes of a day, in 1/64: what is usual now
// and what was long ago.
func (l *Line) usualDays() (fast, slow uint16) {
	return uint16(l.daily & (1<<12 - 1)), uint16(l.daily >> 12 & (1<<12 - 1))
}

// peak is the logarithm of the largest hours that are usual, in quarters.
func (l *Line) peak() uint8 { return uint8(l.daily >> 24) }

// closeDay learns from the day of the newest record. What is usual now follows
// by an eighth; what was usual long ago follows by no more than an octave in 64
// days, so that a slow rise is seen, the later the more the card's hours vary.
// Once it was seen it is the new usual: a rise is told once for each time that it
// multiplies.
func (l *Line) closeDay(s *Settings, env *Env) (raw uint32) {
	if l.day < 2 {
		return 0
	}
	const octave = 64
	x := int32(lg(l.day) >> 4)
	n := l.days()
	f, sl := l.usualDays()
	fast, slow := int32(f), int32(sl)
	switch {
	case n == 0:
		fast, slow = x, x
	case n < 14:
		fast += (x - fast) / int32(n+1)
		slow = fast
	default:
		if x > fast+octave && env.Book.window(l.Card, s, l.last, volDrift) {
			return 0
		}
		// A single day moves it by a quarter of an octave at most.
		fast += min(max((x-fast)/8, -octave/4), octave/4)
		slow += min(max((fast-slow)/16, -octave/64), octave/64)
	}
	if n < daysMask {
		l.bound += 1 << daysAt
	}
	if n+1 >= int(s.driftDays) && fast-slow > int32((s.driftTimes+l.dev)>>4) && fast >= int32(s.driftLeast>>4) {
		raw = 1 << volDrift
		slow = fast
	}
	peak := l.daily >> 24
	if l.bound&risenBit == 0 && peak > 0 {
		peak--
	}
	l.bound &^= risenBit
	l.daily = uint32(max(fast, 0)) | uint32(max(slow, 0))<<12 | peak<<24
	return raw
}

// dormant says that a card is used again after a silence that is long for it.
func dormant(l *Line, s *Settings, gap uint32, e *event) uint32 {
	if l.last == 0 {
		return 0
	}
	if s.dormantDays != 0 {
		if gap <= s.dormantDays {
			return 0
		}
	} else if gap <= s.dormant || l.hours < habitHours || uint32(code8(gap)) <= uint32(l.habit)+uint32(s.habitTimes) {
		return 0
	}
	if e.Use.Direction() == terminated {
		return 1 << dormTold
	}
	return 1 << dormOwn
}

// habitHours is how many hours with use make a habit.
const habitHours = 8

// gap learns how long the card is silent between records, when it is (quiet): the longest silences,
// forgotten by an eighth of an octave on each day with use. One long silence
// counts for an octave, so that one is no habit, unless the card is new.
func (l *Line) gap(gap, last uint32) {
	if last == 0 {
		return
	}
	if c := code8(gap); c > l.habit {
		if l.hours >= habitHours {
			c = min(c, l.habit+octave8)
		}
		l.habit = c
	} else if l.habit > 0 && (last+gap)/86400 != last/86400 {
		l.habit--
	}
}
