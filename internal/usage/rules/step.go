package rules

import (
	"github.com/ringwall/ringwall/cdr"
)

// What differs from the record before: the ways off the straight path.
const (
	otherEquipment = 1 << iota
	otherPlace
	strangePlace // of a fixed device, as before
	called       // a call or message
)

// Step judges an event by all rules and then moves the card's state on. It
// returns what is said for the first time on the event's day, and flags.
//
// First the state is brought to the event's hour and day, then every rule is
// asked, none sees what another said, then the state takes the event in. State
// depends on settings and Book but not on which rules are on.
func Step(l *Line, s *Settings, e *cdr.Event, env *Env) Fired {
	sec, last := e.Sec, l.last
	if sec < last {
		return late(l, s, e, env)
	}
	if sec > env.Horizon && env.Horizon != 0 {
		return future(l, s, e, env)
	}
	var raw uint32
	if last < sec/3600*3600 {
		if last == 0 {
			return other(l, s, e, env, First, 0)
		}
		raw = advance(l, s, sec, env)
	}

	// Most records are as the one before, and as the settings say first: no rule has
	// anything to ask of them. What may differ is compared at once.
	use := uint32(e.Use)
	lasted := use & (1<<24 - 1)
	place := placeOf(e)
	differs := l.bound&(equipmentMask|awayBit|staleBit|3<<riskAt|movedBit|strangeBit) ^ e.IMEI |
		uint64((e.PLMN^s.home)&s.homeMask|(e.APN^s.name)&s.nameMask|(s.unasked>>(use>>24&31)|unused>>(l.terms>>lifeAt&lifeMask))&1|raw)
	if differs != 0 || (e.Peer^s.first[0])&s.peerMask != 0 && e.Peer != s.first[1] && !s.peers.accepts(e) ||
		!(l.hour+e.Volume < s.volumeQuick) || sec-last > s.silence || lasted > 3600 || place == 0 {
		return other(l, s, e, env, 0, raw)
	}
	if s.flags&extra != 0 && profile(l, s, e, env)&s.on != 0 {
		return other(l, s, e, env, 0, raw)
	}
	var out Fired
	seen := uint8(sec / seenUnit)
	switch {
	case place == l.place:
		l.seen = seen
	case place>>16 == l.place>>16 && place>>16 != 0 && env.Areas.alike(s.flags&fixed != 0):
		// Another cell of the same area, which tells nothing more.
		l.place, l.seen = place, seen
		if s.flags&fixed == 0 {
			out = Arrived
		}
	case s.elsewhere(l, e, place, env)&s.on != 0:
		return other(l, s, e, env, 0, raw)
	case l.movePlace(s, e, place, env):
		out = Arrived
	}
	if s.flags&hasCap != 0 {
		count(l, e, env)
	}
	l.hour += e.Volume
	l.day += e.Volume
	if gap := sec - last; gap >= quiet {
		l.gap(gap, last)
	}
	l.lasted = uint8(min(lasted/seenUnit, 255))
	l.last = sec
	if env.Usual != nil && s.flags&open != 0 && !env.Usual.has(l.Settings(), e) {
		out |= Unlisted
	}
	return out
}

// other judges an event by all rules, one after the other: one that is not late
// nor from the future. out and raw are what is known of it by now.
func other(l *Line, s *Settings, e *cdr.Event, env *Env, out Fired, raw uint32) Fired {
	sec, last := e.Sec, l.last

	// Rules. What is as last time costs a comparison.
	use := uint32(e.Use)
	if s.uses>>(use>>24&31)&1 == 0 {
		raw |= service(e)
	}
	differs := uint32(0)
	if e.IMEI != l.bound&(equipmentMask|awayBit) && e.IMEI != 0 {
		differs = otherEquipment
		raw |= separation(l, s, e, env)
	}
	if s.peers != nil && (e.Peer != s.first[0] && e.Peer != s.first[1] || e.APN&s.nameMask != s.name) {
		if off := s.peers.refuse(e, env); off != 0 {
			raw |= off
			out |= OffList
		}
	}
	if s.flags&open != 0 && env.Usual != nil && !env.Usual.has(l.Settings(), e) {
		out |= Unlisted
	}
	place := placeOf(e)
	if place != l.place && place>>16 != 0 && place>>16 == l.place>>16 && l.bound&(movedBit|strangeBit) == 0 && env.Areas.alike(s.flags&fixed != 0) {
		// Another cell of the same area, which tells nothing more.
		l.place = place
		if s.flags&fixed == 0 {
			out |= Arrived
		}
	}
	if place != l.place && place != 0 {
		differs |= otherPlace
		raw |= s.elsewhere(l, e, place, env)
	} else if l.bound&(3<<riskAt|movedBit|strangeBit) != 0 && place != 0 {
		raw |= stay(l, s, sec, env)
		differs |= strangePlace
	}
	if (e.PLMN^s.home)&s.homeMask != 0 && s.abroad(e.PLMN) {
		raw |= 1 << roamOff
	}
	v := hourly(e)
	if sum := l.hour + v; sum >= s.volumeLeast || s.volumeMost != 0 {
		r, cold := spike(l, s, sum)
		raw |= r
		out |= cold
	}
	if gap := sec - last; gap > s.silence {
		raw |= dormant(l, s, gap, e)
	}
	if use>>25&1 != 0 { // cdr.SMS or cdr.Voice
		differs |= called
		raw |= calls(l, s, e, env)
	}
	if unused>>(l.terms>>lifeAt&lifeMask)&1 != 0 {
		raw |= lifecycle(l, s, e, env)
	}
	if s.flags&extra != 0 {
		raw |= profile(l, s, e, env)
	}
	if raw &= s.on; raw != 0 {
		out |= say(l, s, e, env, raw)
	}

	// State.
	if differs != 0 {
		out |= move(l, s, e, env, differs, place)
	}
	if s.flags&hasCap != 0 {
		count(l, e, env)
	}
	l.hour += v
	l.day += e.Volume
	if place == 0 || differs&otherPlace == 0 {
		l.still(sec, place)
	}
	if gap := sec - last; gap >= quiet {
		l.gap(gap, last)
	}
	l.lasted = uint8(min(use&(1<<24-1)/seenUnit, 255))
	l.last = sec
	return out
}

// late judges an event that is older than the newest of its card. It moves only
// what is counted by the hour, day or month that it falls in, aside if that is not
// the newest.
func late(l *Line, s *Settings, e *cdr.Event, env *Env) (out Fired) {
	raw, out := static(l, s, e, env)
	out |= Late
	if raw&(1<<sepModel|1<<sepOther) != 0 {
		out |= Strange
	}
	if s.flags&open != 0 && env.Usual != nil && !env.Usual.has(l.Settings(), e) {
		out |= Unlisted
	}
	v := hourly(e)
	var sum float32
	if e.Sec/3600 == l.last/3600 {
		sum = l.hour + v
		env.found.hour = sum
	} else {
		sum = env.hourAside(l, e, v)
	}
	if sum >= s.volumeLeast || s.volumeMost != 0 {
		r, cold := spike(l, s, sum)
		raw |= r
		out |= cold
	}
	raw |= s.travelled(l, e, env)
	call := uint32(e.Use)>>25&1 != 0
	if call {
		raw |= calls(l, s, e, env)
	}
	if raw &= s.on; raw != 0 {
		out |= say(l, s, e, env, raw)
	}
	if e.IMEI != 0 && l.bound&equipmentMask == 0 {
		l.bound |= e.IMEI & equipmentMask
		out |= Rebound
	}
	if call {
		tally(l, s, e, env)
	}
	if s.flags&hasCap != 0 {
		count(l, e, env)
	}
	if e.Sec/3600 == l.last/3600 {
		l.hour = sum
	} else {
		env.addAside(l, s, e, v, sum)
	}
	if e.Sec/86400 == l.last/86400 {
		l.day += e.Volume
	}
	return out
}

// future judges an event that is ahead of the clock. It is counted in the hour,
// day and month that it says that it is of, and moves nothing. When it was, nobody
// knows, but not later than it came.
func future(l *Line, s *Settings, e *cdr.Event, env *Env) (out Fired) {
	raw, out := static(l, s, e, env)
	out |= Future
	if l.last != 0 && env.Horizon > l.last && env.Horizon-l.last > s.silence {
		raw |= dormant(l, s, env.Horizon-l.last, e)
	}
	v := hourly(e)
	sum := env.hourAside(l, e, v)
	if sum >= s.volumeLeast || s.volumeMost != 0 {
		r, cold := spike(l, s, sum)
		raw |= r
		out |= cold
	}
	call := uint32(e.Use)>>25&1 != 0
	if call {
		raw |= calls(l, s, e, env)
	}
	if raw &= s.on; raw != 0 {
		out |= say(l, s, e, env, raw)
	}
	if call {
		tally(l, s, e, env)
	}
	if s.flags&hasCap != 0 {
		count(l, e, env)
	}
	env.addAside(l, s, e, v, sum)
	return out
}

// static asks the rules that need the order of records for nothing.
func static(l *Line, s *Settings, e *cdr.Event, env *Env) (raw uint32, out Fired) {
	if s.uses>>(uint32(e.Use)>>24&31)&1 == 0 {
		raw |= service(e)
	}
	if e.IMEI != l.bound&(equipmentMask|awayBit) && e.IMEI != 0 {
		raw |= separation(l, s, e, env)
	}
	if s.peers != nil {
		if off := s.peers.refuse(e, env); off != 0 {
			raw |= off
			out |= OffList
		}
	}
	env.here = env.Areas.at(e)
	raw |= l.risks(s, env.here.risk(), e.Sec)
	if (e.PLMN^s.home)&s.homeMask != 0 && s.abroad(e.PLMN) {
		raw |= 1 << roamOff
	}
	if unused>>l.life()&1 != 0 {
		raw |= lifecycle(l, s, e, env)
	}
	if s.flags&extra != 0 {
		raw |= profile(l, s, e, env)
	}
	return raw, out
}

// say notes what is said of an event's day and returns what is new. It is for
// the few events of which something is said.
//
// Of days other than the newest two nothing is remembered: what is said of them
// again has the same id again. What an exception keeps back is not said, so that
// it is when the exception ends.
func say(l *Line, s *Settings, e *cdr.Event, env *Env, raw uint32) (out Fired) {
	env.Before = *l
	var none uint32
	noted := &none
	switch day, now := e.Sec/86400, max(l.last, e.Sec)/86400; {
	case env.Horizon != 0 && e.Sec > env.Horizon:
		// The day of the line is the day of its newest record that was not from the
		// future.
		now = l.last / 86400
		if day == now {
			noted = &l.said
		}
	case day == now:
		noted = &l.said
	case day+1 == now:
		noted = &l.before
	}
	fresh := raw &^ *noted
	if fresh == 0 {
		return 0
	}
	// Who is told the worse is not told the lesser with it.
	told := fresh
	for i, worse := range lesserOf {
		if worse != 0 && fresh>>i&1 == 1 && raw>>worse&1 == 1 {
			told &^= 1 << i
		}
	}
	if kept := env.Book.muted(l.Card, s, e.Sec, fresh); kept != 0 {
		fresh &^= kept
		told &= fresh
		env.Kept = kept
		out = Muted
	}
	*noted |= fresh
	return out | Fired(told)
}

// advance closes the hour and the day of the newest record, when an event is of
// a later one.
//
// An hour is learned as the logarithm of its bytes. Early hours weigh more, then
// each a sixteenth. An hour far from what is usual moves it no further than four
// deviations would: an attack does not become usual by lasting a night.
//
// Beside that the largest hours are kept, because many devices have two kinds of
// hours: they rise by two octaves a day at most, and sink by a quarter of one on
// each day with use that has none as large.
func advance(l *Line, s *Settings, sec uint32, env *Env) (raw uint32) {
	last := l.last
	if last == 0 {
		return 0
	}
	switch {
	case l.hour < 2:
	case l.hours < 16:
		l.learn(s, env)
	default:
		x, mean, dev := int32(lg(l.hour)), int32(l.mean), int32(l.dev)
		d, far := x-mean, 4*dev+octave/2
		if d > far && env.Book.window(l.Card, s, last, volHour) {
			break // maintenance: not what is usual
		}
		d = min(max(d, -far), far)
		mean += (d + 8) >> 4
		dev += (max(d, -d) - dev + 8) >> 4
		l.mean, l.dev = uint16(mean), uint16(min(max(dev, minDev), maxDev))
		if p := uint32(x) >> 8; p > l.daily>>24 {
			l.rise(s, p)
		}
		if l.hours < 255 {
			l.hours++
		}
	}
	// After a silence devices send what they kept: the deviation grows by a quarter
	// of the octaves that the silence was longer than usual.
	if gap := sec - last; gap >= quiet {
		if c, usual := code8(gap), max(l.habit, quietCode); c > usual && l.hours > 0 {
			l.dev = min(l.dev+uint16(c-usual)*(octave/4/octave8), maxDev)
		}
	}
	l.hour = 0
	today := sec / 86400 * 86400
	if last >= today {
		return 0
	}
	raw = l.closeDay(s, env)
	l.day = 0
	l.before = 0
	if last+86400 >= today {
		l.before = l.said
	}
	l.said = 0
	return raw
}

// service says that a service was used that the card is not meant for.
func service(e *cdr.Event) uint32 {
	if e.Use.Direction() == cdr.Originated && e.Use.Service() != cdr.Data {
		return 1 << svcOwn
	}
	return 1 << svcLesser
}

// abroad reports whether a network is known and none of the homes.
func (s *Settings) abroad(plmn uint32) bool {
	if plmn == 0 {
		return false
	}
	for _, h := range s.all {
		if h == plmn || h&(1<<20-1) == 0 && h>>20 == plmn>>20 {
			return false
		}
	}
	return true
}

// risks is what is said of a place by its risk. A card that lives in a risky
// place is at home there, and so is one that came there in its first days; a
// place of high risk is nobody's home. Devices that move come through risky
// places: that is told of those that were there already on an earlier day.
func (l *Line) risks(s *Settings, r Risk, sec uint32) uint32 {
	switch {
	case r <= l.homeRisk():
		return 0
	case r == HighRisk:
	case l.days() < int(s.roamDays):
		return 0
	case s.flags&(fixed|passing) == passing && (l.risk() < Risky || sec/86400 <= l.last/86400):
		return 0
	}
	switch r {
	case Risky:
		return 1 << roamRisk
	case HighRisk:
		return 1<<roamHigh | 1<<roamRisk
	}
	return 0
}
