package rules

import "github.com/ringwall/ringwall/cdr"

// elsewhere asks the rules about places, of an event that is not where the one
// before was.
func (s *Settings) elsewhere(l *Line, e *cdr.Event, place uint32, env *Env) (raw uint32) {
	env.here = env.Areas.at(e)
	raw = l.risks(s, env.here.risk(), e.Sec)
	if l.place == 0 {
		return raw
	}
	raw |= s.travel(l, e, env)
	if s.flags&fixed != 0 && l.place != 0 && l.days() >= int(s.learnDays) {
		raw |= s.moved(l, e, place, env)
	}
	return raw
}

// stay asks the rules about places, of an event that is where the one before
// was: what was said of the place yesterday holds today.
func stay(l *Line, s *Settings, sec uint32, env *Env) (raw uint32) {
	raw = l.risks(s, l.risk(), sec)
	if s.flags&fixed == 0 || l.bound&(movedBit|strangeBit) == 0 {
		return raw
	}
	b := env.Side.find(l, kindHome)
	if l.bound&movedBit != 0 || b != nil && b.strange()+1 >= int(s.strange) {
		if b != nil {
			env.found.count[0] = uint32(min(b.strange()+1, 255))
		}
		raw |= 1 << movedUnknown
	}
	return raw
}

// travelled judges a late event: where it was and where the card is known to
// have been later or earlier than it are two facts, whatever their order.
func (s *Settings) travelled(l *Line, e *cdr.Event, env *Env) uint32 {
	place := placeOf(e)
	if place == 0 || place == l.place {
		return 0
	}
	return s.travel(l, e, env)
}

// travel compares the place of an event (env.here) with the newest that is
// known.
func (s *Settings) travel(l *Line, e *cdr.Event, env *Env) (raw uint32) {
	env.found.far = false
	to := env.here.point
	if !l.spot.Valid() || !to.Valid() || l.bound&staleBit != 0 || e.Use.Flags()&cdr.Estimated != 0 {
		return 0
	}
	slack := s.slack + uint32(reachKm(l.reach())) + uint32(reachKm(env.here.reach())) + 2
	seconds := apart(l.seenAt(), e.Sec)
	still, both := s.session(l, e, seconds)
	allowed := slack + uint32((uint64(s.kmh)*uint64(seconds-still)+uint64(min(s.kmh, s.sessionKmh))*uint64(still))/3600)
	if l.spot.within(to, min(allowed, slack+s.apart)) {
		return 0
	}
	km := l.spot.Km(to)
	env.found.km, env.found.seconds = km, seconds
	env.found.far = km > slack+s.apart
	other := e.IMEI != 0 && e.IMEI != l.Seen(env.Side)
	if km > allowed {
		raw = 1 << travFast
		if other || both || e.Sec >= l.last && e.Sec-l.last < uint32(l.lasted)*seenUnit {
			raw |= 1 << travClone
		}
	}
	if other && env.found.far {
		if b := env.Side.find(l, kindForeign); b != nil {
			if n := b.turns(e.Sec) + 1; n >= s.turns {
				env.found.turns = n
				raw |= 1 << travClone
			}
		}
	}
	return raw
}

// session is for how many of the seconds between an event and the newest place a
// session of a device that does not move went on, that of the earlier of the two;
// both reports whether it had not ended when the later began. What moves may have
// a session open while it flies; what does not is carried by road. Records of long
// sessions come after those of short ones that began in them, so without that
// a copy is never less than such a session away from the device.
func (s *Settings) session(l *Line, e *cdr.Event, seconds uint32) (still uint32, both bool) {
	if s.flags&fixed == 0 {
		return 0, false
	}
	switch at := l.seenAt(); {
	case e.Sec < at:
		still = e.Use.Seconds()
	case at/seenUnit == l.last/seenUnit:
		still = uint32(l.lasted) * seenUnit
	}
	return min(still, seconds), still >= seconds
}

// apart is the time between two moments, at least a unit of seenAt.
func apart(a, b uint32) uint32 {
	if a > b {
		a, b = b, a
	}
	return b - a + seenUnit
}

// seenUnit is the unit of Line.seen.
const seenUnit = 64

// seenAt is when the card was at its spot: at most 64 s later than said.
func (l *Line) seenAt() uint32 {
	back := uint8(l.last/seenUnit) - l.seen
	return l.last/seenUnit*seenUnit - uint32(back)*seenUnit
}

// still notes when the card was at its place; place 0 = the event does not tell.
func (l *Line) still(sec, place uint32) {
	if place != 0 {
		l.seen = uint8(sec / seenUnit)
		l.bound &^= staleBit
		return
	}
	if l.last == 0 || sec/seenUnit-l.seenAt()/seenUnit > 255 {
		l.bound |= staleBit
	}
}

// moved asks whether a device that does not move is somewhere else.
func (s *Settings) moved(l *Line, e *cdr.Event, place uint32, env *Env) uint32 {
	env.home = nil
	if l.bound&(movedBit|strangeBit) != 0 {
		env.home = env.Side.find(l, kindHome)
	}
	env.found.where = s.where(l, place, env)
	if env.found.where != nearHome && env.Book.moves(l.Card, s, l.last, e.Sec) {
		return 0
	}
	switch env.found.where {
	case farOff:
		return 1<<movedFar | 1<<movedUnknown
	case unknownPlace:
		strange, moves := 1, 1
		if b := env.home; b != nil {
			strange += b.strange()
			moves += b.movesOf(e.Sec)
		}
		env.found.count[0], env.found.count[1] = uint32(strange), uint32(moves)
		if l.bound&movedBit != 0 || strange >= int(s.strange) || moves > int(s.moves) {
			return 1 << movedUnknown
		}
	}
	return 0
}

// Where a place is, seen from home.
const (
	nearHome = uint8(iota)
	unknownPlace
	farOff
)

// where says where the place of an event (env.here) is, seen from the home of a
// fixed device: env.home when it is away, else the line itself.
func (s *Settings) where(l *Line, place uint32, env *Env) uint8 {
	home, spot := l.place, l.spot
	b := env.home
	if b != nil {
		home, spot = b.w[0], Point(b.w[1])
	}
	if place == home {
		return nearHome
	}
	if spot.Valid() && env.here.point.Valid() {
		km := s.radius + uint32(reachKm(env.here.reach())) + 2
		if b != nil {
			km += uint32(reachKm(uint(b.w[2] >> 24 & 7)))
		} else {
			km += uint32(reachKm(l.reach()))
		}
		if spot.within(env.here.point, km) {
			return nearHome
		}
		d := spot.Km(env.here.point)
		if d <= km {
			return nearHome
		}
		env.found.km = d
		return farOff
	}
	// In the home area: another cell of it.
	if area := place >> 16; area != 0 && area == home>>16 {
		return nearHome
	}
	for i := l.side; i != 0; {
		b := env.Side.at(i)
		if b.kind() == kindCells && (b.w[0] == place || b.w[1] == place || b.w[2] == place) {
			return nearHome
		}
		i = b.head & nextMask
	}
	return unknownPlace
}

// A kindHome block: home place, home spot, then strange records in a row (8
// bits), moves of a day (8), the day (8), reach of the spot (3).

func (b *block) strange() int { return int(b.w[2] & 255) }

func (b *block) movesOf(sec uint32) int {
	if b.w[2]>>16&255 != sec/86400&255 {
		return 0
	}
	return int(b.w[2] >> 8 & 255)
}

// movePlace takes the place of an event in (env.here). It reports whether the
// card arrived somewhere; a device that does not move and is seen near home did
// not.
func (l *Line) movePlace(s *Settings, e *cdr.Event, place uint32, env *Env) bool {
	if l.days() < int(s.roamDays) {
		l.live(env.here.risk()) // where it comes in its first days it is at home
	}
	near := s.flags&fixed != 0 && l.place != 0 && l.days() >= int(s.learnDays) && l.moveHome(s, e, place, env)
	if !near {
		l.place, l.spot = place, env.here.point
		l.setReach(env.here.reach())
	}
	l.bound = l.bound&^(3<<riskAt|staleBit) | uint64(env.here.risk())<<riskAt
	l.seen = uint8(e.Sec / seenUnit)
	return !near
}

func (l *Line) setReach(r uint) { l.bound = l.bound&^(7<<reachAt) | uint64(r)<<reachAt }

// live notes that a card lives in places of a risk.
func (l *Line) live(r Risk) {
	if r = min(r, Risky); r > l.homeRisk() {
		l.terms = l.terms&^(3<<homeRiskAt) | uint32(r)<<homeRiskAt
	}
}

// maxCells bounds the neighbour cells of a card: 3 in a block.
const maxCells = 12

// moveHome keeps home and neighbourhood of a device that does not move, and
// reports whether it is there. Home stays in the line while it is: only of a
// device that is away the Side has it.
func (l *Line) moveHome(s *Settings, e *cdr.Event, place uint32, env *Env) bool {
	b := env.home
	if env.found.where == nearHome {
		if b != nil {
			l.comeHome(s, b, env)
		}
		if place>>16 != 0 && place>>16 == l.place>>16 || l.spot.Valid() && env.here.point.Valid() {
			l.place = place // the point of home stays, so that it does not wander
		}
		if !l.spot.Valid() {
			l.spot = env.here.point
			l.setReach(env.here.reach())
		}
		return true
	}
	if env.Book.moves(l.Card, s, l.last, e.Sec) {
		env.Side.drop(l, kindHome)
		env.Side.drop(l, kindCells)
		l.bound &^= movedBit | strangeBit
		return false // the new place is home
	}
	if b == nil {
		if b = env.Side.take(l, kindHome); b == nil {
			return false
		}
		b.w = [3]uint32{l.place, uint32(l.spot), uint32(l.reach()) << 24}
	}
	strange, moves := b.strange()+1, b.movesOf(e.Sec)+1
	b.w[2] = b.w[2]&^(1<<24-1) | uint32(min(strange, 255)) | uint32(min(moves, 255))<<8 | e.Sec/86400&255<<16
	if env.found.where == farOff || strange >= int(s.strange) || moves > int(s.moves) {
		l.bound = l.bound&^strangeBit | movedBit
	} else if l.bound&movedBit == 0 {
		l.bound |= strangeBit
	}
	return false
}

// comeHome ends that a device was away. If it was for a few records, the place in
// between is of the neighbourhood.
func (l *Line) comeHome(s *Settings, home *block, env *Env) {
	if n := home.strange(); n > 0 && n < int(s.strange) && l.bound&movedBit == 0 {
		l.addCell(l.place, env)
	}
	l.place, l.spot = home.w[0], Point(home.w[1])
	l.setReach(uint(home.w[2] >> 24 & 7))
	l.bound &^= movedBit | strangeBit
	env.Side.drop(l, kindHome)
}

// strangeStay counts a record from the same strange place.
func (l *Line) strangeStay(s *Settings, env *Env) {
	b := env.Side.find(l, kindHome)
	if b == nil || b.strange() == 0 || s.flags&fixed == 0 {
		return
	}
	if b.strange() < 255 {
		b.w[2]++
	}
	if b.strange() >= int(s.strange) {
		l.bound = l.bound&^strangeBit | movedBit
	}
}

// addCell notes a neighbour cell, when there is room for it.
func (l *Line) addCell(place uint32, env *Env) {
	n := 0
	for i := l.side; i != 0; {
		b := env.Side.at(i)
		if b.kind() == kindCells {
			for j := range b.w {
				if b.w[j] == 0 {
					b.w[j] = place
					return
				}
			}
			n++
		}
		i = b.head & nextMask
	}
	if n >= maxCells/3 {
		return
	}
	if b := env.Side.add(l, kindCells); b != nil {
		b.w[0] = place
	}
}
