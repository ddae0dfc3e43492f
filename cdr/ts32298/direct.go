package ts32298

import (
	"math/bits"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/internal/text"
)

// direct is where the values stand of records of data whose shape alone says how
// they are taken: no field in it has to be judged by the value of another, as some
// have when there are several. Of such a record an event is made directly.
type direct struct {
	ok  bool
	has uint16

	card, equipment, begin    part
	duration, cause, sequence part
	local, charging, node     part
	apn, serving              part
	up, down, total, places   []part
}

// What a shape has, beside a card and a time.
const (
	withText = 1 << iota // the card is a text
	withEquipment
	withDuration
	withCause
	withSequence
	withLocal
	withCharging
	withNode
	withAPN
	withServing
)

// directOf says where the values of a shape's records stand.
func directOf(s *shape) (r direct) {
	var of [tables]struct {
		part
		n int
	}
	put := func(to *part, bit uint16, do action) {
		if *to = of[do].part; of[do].n > 0 {
			r.has |= bit
		}
	}
	for _, t := range s.takes {
		of[t.do].part = t.part
		of[t.do].n++
		switch t.do {
		case equipType, address, inEquipment, inSubscriber: // below, or of no matter
		case imsi, subscriber, imei, equipment, begin, duration, cause, sequence:
			if of[t.do].n > 1 {
				return direct{} // each has to be right
			}
		case local, charging, node, apn, plmn: // none can be wrong, and the last counts
		case uli:
			r.places = append(r.places, t.part)
		case up:
			r.up = append(r.up, t.part)
		case down:
			r.down = append(r.down, t.part)
		case total: // not taken beside others, but has to be right
			r.total = append(r.total, t.part)
		default:
			return direct{}
		}
	}
	service := s.kind.service == 0 || s.kind.service == cdr.Data
	cards, devices := of[imsi].n+of[inSubscriber].n, of[imei].n+of[inEquipment].n
	if !service || cards != 1 || of[subscriber].n != of[inSubscriber].n || devices > 1 || of[equipment].n != of[inEquipment].n || of[begin].n != 1 || len(r.up)+len(r.down) == 0 {
		return direct{}
	}
	put(&r.card, 0, imsi)
	if of[subscriber].n > 0 {
		put(&r.card, withText, subscriber)
	}
	put(&r.equipment, withEquipment, imei)
	if of[equipment].n > 0 {
		put(&r.equipment, withEquipment, equipment)
		// Of any other, it says in which form it is.
		if of[equipType].n != 1 || s.told(equipType) != "\x00" {
			return direct{}
		}
	}
	put(&r.begin, 0, begin)
	put(&r.duration, withDuration, duration)
	put(&r.cause, withCause, cause)
	put(&r.sequence, withSequence, sequence)
	put(&r.local, withLocal, local)
	put(&r.charging, withCharging, charging)
	put(&r.node, withNode, node)
	put(&r.apn, withAPN, apn)
	put(&r.serving, withServing, plmn)
	// What is read at once has to be there.
	fixed := func(p part, n int32) bool { return p.from.group == p.to.group && p.to.off-p.from.off == n }
	for _, t := range s.takes {
		need := 0
		switch t.do {
		case imsi, imei, equipment, up, down, total, duration, cause, sequence:
			need = 8
		case begin:
			need = 9
		case subscriber:
			need = 16
		}
		if s.least(t.to) < need {
			return direct{}
		}
	}
	if !fixed(r.begin, 9) || r.has&withText != 0 && !fixed(r.card, 15) || r.has&withText == 0 && !fixed(r.card, 8) || r.has&withEquipment != 0 && !fixed(r.equipment, 8) {
		return direct{}
	}
	r.ok = true
	return r
}

// least is how many octets a record has in front of a place, at least.
func (s *shape) least(to spot) int {
	n := 2 + int(to.off)
	for i := range s.groups[:to.group] {
		n += s.groups[i].size
	}
	return n
}

// told is the contents of a field that belong to a shape.
func (s *shape) told(do action) string {
	for i := range s.items {
		if it := &s.items[i]; it.kind == leaf && it.do == do {
			return it.value
		}
	}
	return ""
}

// direct makes the event of a record of a shape. It reports false when something is
// wrong with the record, or perhaps not: the walks know.
func (d *Decoder) direct(s *shape, b []byte, e *cdr.Event) bool {
	r, at := &s.direct, &d.at
	var card, equipment, up, down, seconds, why, wrong uint64
	if end := at.at(r.card.to); r.has&withText == 0 {
		card = cardOf8(octets8(b, end-8))
	} else {
		card = text.Card15(octets8(b, end-16), octets8(b, end-8))
	}
	if r.has&withEquipment != 0 {
		if equipment = equipmentOf8(octets8(b, at.at(r.equipment.to)-8)); equipment == 0 {
			equipment = equipmentOf(at.bytes(r.equipment, b))
		}
	}
	end := at.at(r.begin.to)
	begin := d.clock.read9(octets8(b, end-9), octet1(b, end-1))
	n := numbers{begin: begin}
	for i := range r.up {
		v, odd := at.integer(&r.up[i], b)
		up += v
		wrong |= odd | up
	}
	for i := range r.down {
		v, odd := at.integer(&r.down[i], b)
		down += v
		wrong |= odd | down
	}
	for i := range r.total {
		_, odd := at.integer(&r.total[i], b)
		wrong |= odd
	}
	if r.has&withDuration != 0 {
		v, odd := at.integer(&r.duration, b)
		seconds = v
		wrong |= odd
	}
	if r.has&withCause != 0 {
		v, odd := at.integer(&r.cause, b)
		why = v
		wrong |= odd
	}
	if r.has&withSequence != 0 {
		v, odd := at.integer(&r.sequence, b)
		n.sequence, n.has = v, hasSequence
		wrong |= odd
	}
	if int64(wrong) < 0 || card == 0 || begin < minTime || begin >= maxTime {
		return false
	}
	var where place
	for i := range r.places {
		d.where(&where, at.bytes(r.places[i], b))
	}
	if r.has&withServing != 0 {
		if net := d.network(at.bytes(r.serving, b)); net != 0 {
			where.plmn = net
		}
	}
	// One after the other: put together first, they would be written in parts and
	// read whole, for which a processor has to wait.
	e.Card, e.IMEI, e.Peer, e.Cell, e.ID = card, equipment, 0, 0, 0
	e.Sec, e.Area, e.PLMN, e.APN = uint32(begin), 0, where.plmn, 0
	e.Volume, e.Use = cdr.Volume(up, down), cdr.NewUse(cdr.Data, 0, seconds, flags(why))
	d.place(&where, e)
	if r.has&withAPN != 0 {
		e.APN = d.apn(b, at.at(r.apn.from), at.at(r.apn.to))
	}
	if r.has&withLocal != 0 {
		n.local, n.has = octets(b, at.at(r.local.from), at.at(r.local.to)), n.has|hasLocal
	}
	if r.has&withCharging != 0 {
		n.charging, n.has = octets(b, at.at(r.charging.from), at.at(r.charging.to)), n.has|hasCharging
	}
	if n.has&(hasLocal|hasCharging) != 0 {
		var name []byte
		if r.has&withNode != 0 {
			name = at.bytes(r.node, b)
		}
		d.recorder(name, nil)
		e.ID = d.keys.IDKey(card, n.text(&d.ids.line))
	}
	return true
}

// integer reads one that is not negative. The highest bit of odd says that it is
// none, or that it is for the walks to say.
func (at *bases) integer(p *part, b []byte) (v, odd uint64) {
	end := at.at(p.to)
	n := uint64(end - at.at(p.from))
	v = bits.ReverseBytes64(octets8(b, end-8)) << ((64 - 8*n) & 63)
	return v >> ((64 - 8*n) & 63), v | (n - 1) | (8 - n)
}

// numbers are what tells a record from others of its recorder.
type numbers struct {
	local, charging, sequence uint64
	begin                     int64
	has                       uint8
}

// text is the id that they make, behind the name of the recorder.
func (n *numbers) text(l *text.Line) []byte {
	t := l.Start()
	if n.has&hasLocal != 0 {
		return l.Bytes(l.Uint(t, n.local))
	}
	return l.Bytes(n.when(l, l.Number(t, 'c', n.charging)))
}

// when ends an id with what tells records of one session apart.
func (n *numbers) when(l *text.Line, t int) int {
	if n.has&hasSequence != 0 {
		t = l.Number(t, '.', n.sequence)
	}
	return l.Number(t, '@', uint64(n.begin))
}
