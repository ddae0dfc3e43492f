package rules

import (
	"slices"

	"github.com/ringwall/ringwall/cdr"
)

// unused are the lives in which a card is not to be used, a bit each.
const unused = 1<<LifeStock | 1<<LifeSuspended | 1<<LifeTerminated

// lifecycle asks whether a card that is not to be used may have been when the
// event began.
func lifecycle(l *Line, s *Settings, e *cdr.Event, env *Env) uint32 {
	life := l.life()
	b := env.Side.find(l, kindLife)
	switch {
	case life == LifeStock:
		return 1 << lifeStock
	case b == nil || uint64(e.Sec) < uint64(b.w[0])+uint64(s.grace):
		return 0
	case life == LifeSuspended:
		return 1 << lifeSuspended
	}
	return 1 << lifeTerminated
}

// profile asks the rules about the hours, places and caps of a function profile.
func profile(l *Line, s *Settings, e *cdr.Event, env *Env) (raw uint32) {
	if s.flags&hasHour != 0 && e.Use.Flags()&cdr.Estimated == 0 && s.outside(e.Sec, env) && !env.ahead(e) {
		raw |= 1 << hoursOut
	}
	if s.flags&hasArea != 0 {
		raw |= s.places(e)
	}
	if s.flags&hasCap != 0 {
		raw |= caps(l, s, e, env)
	}
	return raw
}

// places asks whether an event was in the countries, areas and cells.
func (s *Settings) places(e *cdr.Event) (raw uint32) {
	if len(s.countries) > 0 && e.PLMN != 0 && !slices.Contains(s.countries, cdr.Country(e.PLMN)) {
		raw = 1 << placeCountry
	}
	if len(s.areas) > 0 && e.Area != 0 {
		if _, ok := slices.BinarySearch(s.areas, e.Area); !ok {
			raw |= 1 << placeArea
		}
	}
	if len(s.cells) > 0 && e.Cell != 0 && !s.cell(e) {
		raw |= 1 << placeArea
	}
	return raw
}

// cell compares the cell as the record would name it: its key depends on the
// network and area that it is in, of which a profile says nothing.
func (s *Settings) cell(e *cdr.Event) bool {
	for _, c := range s.cells {
		if s.keys.CellKey(e.PLMN, e.Area, []byte(c)) == e.Cell {
			return true
		}
	}
	return false
}

// month is a kindQuota block: 12 bits of the month since 1970, 20 of calls, 20 of
// messages, 44 of bytes.
type month struct {
	month           uint32
	calls, messages uint32
	bytes           uint64
}

const (
	maxCount = 1<<20 - 1
	maxBytes = 1<<44 - 1
)

func (b *block) month() month {
	return month{b.w[0] & (1<<12 - 1), b.w[0] >> 12, b.w[1] & maxCount, uint64(b.w[1]>>20) | uint64(b.w[2])<<12}
}

func (b *block) setMonth(m month) {
	bytes := min(m.bytes, maxBytes)
	b.w = [3]uint32{m.month | min(m.calls, maxCount)<<12, min(m.messages, maxCount) | uint32(bytes)<<20, uint32(bytes >> 12)}
}

// with is what the month has with one event of it more.
func (m month) with(e *cdr.Event) month {
	switch e.Use.Service() {
	case cdr.Voice:
		m.calls++
	case cdr.SMS:
		m.messages++
	}
	if e.Volume > 0 { // nor is it when it is no number
		m.bytes = min(m.bytes+uint64(min(e.Volume, maxBytes)), maxBytes)
	}
	return m
}

// monthOf counts months (UTC) from January 1970: the calendar of the era that
// begins in March of year 0, in whole numbers.
func monthOf(sec uint32) uint32 {
	days := sec/86400 + 719468
	era := days % 146097
	year := (era - era/1460 + era/36524 - era/146096) / 365
	day := era - (365*year + year/4 - year/100)
	m := (5*day + 2) / 153 // 0 = March
	return (days/146097*400+year)*12 + m + 2 - 1970*12
}

// caps asks whether the month of an event has more than the profile allows.
func caps(l *Line, s *Settings, e *cdr.Event, env *Env) (raw uint32) {
	m, now := month{}, monthOf(e.Sec)
	if b := env.Side.find(l, kindQuota); b != nil {
		m = b.month()
	}
	if m.month != now {
		m = env.monthAside(l, now)
	}
	m = m.with(e)
	env.found.month = m
	if s.bytes > 0 && m.bytes > s.bytes {
		raw = 1 << quotaBytes
	}
	if s.messages > 0 && m.messages > s.messages {
		raw |= 1 << quotaMessages
	}
	if s.calls > 0 && m.calls > s.calls {
		raw |= 1 << quotaCalls
	}
	return raw
}

// count counts an event of a card with caps.
func count(l *Line, e *cdr.Event, env *Env) {
	now := monthOf(e.Sec)
	if b := env.Side.find(l, kindQuota); b != nil {
		if m := b.month(); m.month == now {
			b.setMonth(m.with(e))
			return
		}
	}
	env.countAside(l, e, now)
}
