package rules

import (
	"math/bits"

	"github.com/ringwall/ringwall/cdr"
)

// tallies are what a kindCalls block holds: counts of an hour and of its day.
//
//	w0: hour since 1970 (20 bits), messages sent in the hour (8), low half of coded (4)
//	w1: calls made in the hour (8), messages sent in the day (10), calls made in the day (10), high half of coded (4)
//	w2: sketch of senders (16), quarter minutes of calls in the day (16)
type tallies struct {
	hour                                     uint32
	messagesHour, callsHour                  uint32
	messagesDay, callsDay, quarters, senders uint32
	coded                                    uint32 // messages from short numbers and names in the day
}

func (b *block) tallies() tallies {
	return tallies{
		hour: b.w[0] & (1<<20 - 1), messagesHour: b.w[0] >> 20 & 255, callsHour: b.w[1] & 255,
		messagesDay: b.w[1] >> 8 & 1023, callsDay: b.w[1] >> 18 & 1023, senders: b.w[2] & (1<<16 - 1), quarters: b.w[2] >> 16,
		coded: b.w[0]>>28 | b.w[1]>>28<<4,
	}
}

func (b *block) setTallies(t tallies) {
	b.w[0] = t.hour&(1<<20-1) | min(t.messagesHour, 255)<<20 | min(t.coded, 255)<<28
	b.w[1] = min(t.callsHour, 255) | min(t.messagesDay, 1023)<<8 | min(t.callsDay, 1023)<<18 | min(t.coded, 255)>>4<<28
	b.w[2] = t.senders | min(t.quarters, 1<<16-1)<<16
}

// at turns the counts to an hour: what is of its day stays, what is not goes.
func (t tallies) at(hour uint32) tallies {
	switch {
	case hour == t.hour:
		return t
	case hour/24 == t.hour/24:
		t.hour, t.messagesHour, t.callsHour = hour, 0, 0
		return t
	}
	return tallies{hour: hour}
}

// inHour counts an event in its hour.
func (t *tallies) inHour(e *cdr.Event) {
	switch {
	case e.Use.Direction() == cdr.Terminated:
	case e.Use.Service() == cdr.Voice:
		t.callsHour++
	default:
		t.messagesHour++
	}
}

// inDay counts an event in its day.
func (t *tallies) inDay(e *cdr.Event, s *Settings) {
	sent := e.Use.Direction() != cdr.Terminated
	switch {
	case e.Use.Service() == cdr.Voice:
		t.quarters += e.Use.Seconds() / 15
		if sent {
			t.callsDay++
		}
	case sent:
		t.messagesDay++
	case !s.listed(e) && codeSender(e.Peer):
		t.coded++
		t.senders |= 1 << (e.Peer * 0x9e3779b97f4a7c15 >> 60)
	}
}

// codeSender reports whether a peer is a short number, a number of a message
// service (106... in China, where national numbers of 1 and 0 are nobody's) or a
// name.
func codeSender(peer uint64) bool {
	switch cdr.PeerKind(peer) {
	case cdr.PeerHashed:
		return true
	case cdr.PeerNumber:
		v := peer << 2 >> 2 // the digits, a 1 before them
		if v < 1_000_000_000 {
			return v >= 1000 // three to eight digits
		}
		for v >= 10_000 {
			v /= 10
		}
		return v == 1106
	}
	return false
}

// listed reports whether the sender of a message is on the card's list.
func (s *Settings) listed(e *cdr.Event) bool {
	return s.peers != nil && s.peers.numbers && s.peers.has(e.Peer)
}

// calls asks the rules about counts of calls and messages.
func calls(l *Line, s *Settings, e *cdr.Event, env *Env) (raw uint32) {
	t := counted(l, s, e, env)
	env.found.tallies = t
	minutes := e.Use.Seconds() / 60
	if e.Use.Service() == cdr.Voice && minutes >= s.callMinutes {
		raw |= 1 << burstTime
	}
	if t.messagesHour >= s.messagesHour || t.messagesDay >= s.messagesDay {
		raw |= 1 << burstSMS
	}
	if t.callsHour >= s.callsHour || t.callsDay >= s.callsDay {
		raw |= 1 << burstCalls
	}
	if t.quarters >= 4*s.minutesDay {
		raw |= 1 << burstTime
	}
	if s.flags&account == 0 {
		senders := uint32(bits.OnesCount32(t.senders))
		if t.coded >= s.verMessages && senders >= 3 {
			raw |= 1 << verMany
		}
		if senders >= s.verSenders {
			raw |= 1 << verSenders
		}
	}
	return raw
}

// counted are the counts of an event's hour and day, with it.
func counted(l *Line, s *Settings, e *cdr.Event, env *Env) tallies {
	var t tallies
	if b := env.Side.find(l, kindCalls); b != nil {
		t = b.tallies()
	}
	hour := e.Sec / 3600
	if hour != t.hour && (hour < t.hour || env.ahead(e)) {
		t, _ = env.callsAside(l, s, e, t)
		return t
	}
	t = t.at(hour)
	t.inHour(e)
	t.inDay(e, s)
	return t
}

// tally counts a call or message.
func tally(l *Line, s *Settings, e *cdr.Event, env *Env) {
	b := env.Side.find(l, kindCalls)
	var t tallies
	if b != nil {
		t = b.tallies()
	}
	hour := e.Sec / 3600
	if hour != t.hour && (hour < t.hour || env.ahead(e)) {
		env.tallyAside(l, s, e, b, t)
		return
	}
	if b == nil {
		if b = env.Side.add(l, kindCalls); b == nil {
			return
		}
	}
	if hour != t.hour {
		env.keepCalls(l, s, t, hour)
		t = t.at(hour)
	}
	t.inHour(e)
	t.inDay(e, s)
	b.setTallies(t)
}
