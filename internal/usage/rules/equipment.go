package rules

import "github.com/ringwall/ringwall/cdr"

// separation compares the equipment of an event with that of the binding.
func separation(l *Line, s *Settings, e *cdr.Event, env *Env) uint32 {
	env.found.far = false
	bound := l.bound & equipmentMask
	if bound == 0 || e.IMEI == bound || s.pools != nil && s.pooled(e.IMEI) || env.Book.swap(l.Card, s, l.last, e.Sec, swapped(l, env), e.IMEI) ||
		formerly(l, e, env) {
		return 0
	}
	if cdr.TAC(e.IMEI) == cdr.TAC(bound) {
		return 1 << sepModel
	}
	return 1 << sepOther
}

// formerly reports whether an event is from before a planned swap, and of the
// equipment that the card sat in then: it came late.
func formerly(l *Line, e *cdr.Event, env *Env) bool {
	if e.Sec >= l.last {
		return false
	}
	b := env.Side.find(l, kindFormer)
	return b != nil && e.Sec < b.w[2] && b.equipment() == e.IMEI
}

// swapped is when the card was last swapped as planned; 0 = never.
func swapped(l *Line, env *Env) uint32 {
	if b := env.Side.find(l, kindFormer); b != nil {
		return b.w[2]
	}
	return 0
}

// moveEquipment notes that the equipment is not the bound one, or no longer
// another.
func (l *Line) moveEquipment(s *Settings, e *cdr.Event, env *Env) (out Fired) {
	bound := l.bound & equipmentMask
	switch {
	case bound == 0:
		l.bound |= e.IMEI & equipmentMask
		return Rebound
	case e.IMEI == bound:
		l.bound &^= awayBit
		if b := env.Side.find(l, kindForeign); b != nil {
			b.turn(bound, e.Sec, env)
		}
		return Returned | Strange
	case s.pools != nil && s.pooled(e.IMEI):
		return 0
	case env.Book.swap(l.Card, s, l.last, e.Sec, swapped(l, env), e.IMEI):
		l.bound = l.bound&^(equipmentMask|awayBit) | e.IMEI&equipmentMask
		env.Side.drop(l, kindForeign)
		if b := env.Side.take(l, kindFormer); b != nil {
			b.setEquipment(bound)
			b.w[2] = e.Sec
		}
		return Rebound | Strange
	}
	b := env.Side.take(l, kindForeign)
	if b == nil {
		if l.bound&awayBit == 0 {
			out = Strange
		}
		l.bound |= awayBit
		return out
	}
	if l.bound&awayBit == 0 || b.equipment() != e.IMEI {
		out = Strange
		b.turn(e.IMEI, e.Sec, env)
	}
	l.bound |= awayBit
	b.setEquipment(e.IMEI)
	return out
}

// A kindForeign block: 47 bits of equipment, 4 of turns, 13 of the day that
// turns are of; the third word is unused.

func (b *block) setEquipment(e uint64) {
	b.w[0], b.w[1] = uint32(e), b.w[1]&^0x7fff|uint32(e>>32)&0x7fff
}

func (b *block) turns(sec uint32) uint32 {
	if b.w[1]>>19 != sec/86400&(1<<13-1) {
		return 0
	}
	return b.w[1] >> 15 & 15
}

// turn counts a change of equipment, when the places are far apart.
func (b *block) turn(to uint64, sec uint32, env *Env) {
	n := b.turns(sec)
	if env.found.far {
		n = min(n+1, 15)
	}
	b.w[1] = b.w[1]&0x7fff | n<<15 | sec/86400<<19
}
