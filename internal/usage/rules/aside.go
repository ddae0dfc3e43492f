package rules

import (
	"math/bits"

	"github.com/ringwall/ringwall/cdr"
)

// Charging gateways deliver hours and days late, and their clocks go wrong. What
// came out of order is counted aside, in the hour, day and month that it says
// that it is of: one hour of each card, with its day, one hour's bytes and one
// month, those of the newest such record. There lies as well what was counted
// until the hour, day or month ended, if it was a quarter of what is too much:
// so what comes late of it is counted with it.
//
// A record that is ahead of the clock counts with others of its hour, day and
// month that are, or of its day or month if that is the newest; but it never
// makes them the newest.

// keepAside is for how many days what was counted aside is kept when there are
// newer calls or messages.
const keepAside = 7

// ahead reports whether an event is from the future.
func (env *Env) ahead(e *cdr.Event) bool { return env.Horizon != 0 && e.Sec > env.Horizon }

// worth reports whether what was counted is so much that what is still to come
// must be added to it.
func (t *tallies) worth(s *Settings) bool {
	return 4*t.messagesHour >= s.messagesHour || 4*t.messagesDay >= s.messagesDay || 4*t.callsHour >= s.callsHour || 4*t.callsDay >= s.callsDay || t.quarters >= s.minutesDay ||
		s.flags&account == 0 && (4*t.coded >= s.verMessages || 4*uint32(bits.OnesCount32(t.senders)) >= s.verSenders)
}

// callsAside are the counts of the hour and day of an event that is out of order,
// with it, and what is to be kept aside; newest are those of the newest hour.
func (env *Env) callsAside(l *Line, s *Settings, e *cdr.Event, newest tallies) (all, aside tallies) {
	hour := e.Sec / 3600
	if b := env.Side.find(l, kindCallsAside); b != nil {
		aside = b.tallies()
	}
	aside = aside.at(hour)
	aside.inHour(e)
	if hour/24 != newest.hour/24 {
		aside.inDay(e, s)
		return aside, aside
	}
	all = newest
	all.inDay(e, s)
	all.hour, all.messagesHour, all.callsHour = hour, aside.messagesHour, aside.callsHour
	return all, aside
}

// tallyAside counts a call or message that is out of order. b has the counts of
// the newest hour, if there is one.
func (env *Env) tallyAside(l *Line, s *Settings, e *cdr.Event, b *block, newest tallies) {
	_, aside := env.callsAside(l, s, e, newest)
	if b != nil && e.Sec/86400 == newest.hour/24 {
		newest.inDay(e, s)
		b.setTallies(newest)
	}
	if a := env.Side.take(l, kindCallsAside); a != nil {
		a.setTallies(aside)
	}
}

// keepCalls puts the counts of the newest hour aside, because another is.
func (env *Env) keepCalls(l *Line, s *Settings, newest tallies, hour uint32) {
	if newest.worth(s) {
		if a := env.Side.take(l, kindCallsAside); a != nil {
			a.setTallies(newest)
		}
		return
	}
	if hour/24 == newest.hour/24 {
		return
	}
	if a := env.Side.find(l, kindCallsAside); a != nil && a.tallies().hour/24+keepAside < hour/24 {
		env.Side.drop(l, kindCallsAside)
	}
}

// worth reports the same of a month.
func (m *month) worth(s *Settings) bool {
	return s.bytes > 0 && 4*m.bytes >= s.bytes || s.messages > 0 && 4*m.messages >= s.messages || s.calls > 0 && 4*m.calls >= s.calls
}

// monthAside is what was counted of a month that is not the newest.
func (env *Env) monthAside(l *Line, now uint32) month {
	if a := env.Side.find(l, kindQuotaAside); a != nil {
		if m := a.month(); m.month == now {
			return m
		}
	}
	return month{month: now}
}

// countAside counts an event that is not of the newest month: of the next one,
// or out of order.
func (env *Env) countAside(l *Line, e *cdr.Event, now uint32) {
	m := env.monthAside(l, now).with(e)
	var newest month
	b := env.Side.find(l, kindQuota)
	if b != nil {
		newest = b.month()
	}
	if now < newest.month || env.ahead(e) {
		if a := env.Side.take(l, kindQuotaAside); a != nil {
			a.setMonth(m)
		}
		return
	}
	if newest.worth(env.Book.Settings(l.Settings())) {
		if a := env.Side.take(l, kindQuotaAside); a != nil {
			a.setMonth(newest)
		}
	} else {
		env.Side.drop(l, kindQuotaAside)
	}
	if b = env.Side.take(l, kindQuota); b != nil {
		b.setMonth(m)
	}
}

// A kindHourAside block: the hour since 1970, its bytes as a float32.

// leastAside is which part of the bytes of an hour that are worth a look a record
// must have for its hour to be remembered: hours of many small records that come
// out of order are not summed, nor is there anything to be added to one that tells
// of an hour or more, or every card had such a block in time.
const leastAside = 16

// hourAside is what the hour of an event that is out of order has with its v
// bytes.
func (env *Env) hourAside(l *Line, e *cdr.Event, v float32) float32 {
	if b := env.Side.find(l, kindHourAside); b != nil && b.w[0] == e.Sec/3600 {
		v += float32From(b.w[1])
	}
	env.found.hour = v
	return v
}

// addAside notes what hourAside gave.
func (env *Env) addAside(l *Line, s *Settings, e *cdr.Event, v, sum float32) {
	b := env.Side.find(l, kindHourAside)
	if b == nil || b.w[0] != e.Sec/3600 {
		if !(v*leastAside >= s.volumeQuick) || e.Use.Seconds() >= 3600 {
			return
		}
		if b = env.Side.take(l, kindHourAside); b == nil {
			return
		}
	}
	b.w[0], b.w[1] = e.Sec/3600, bits32(sum)
}
