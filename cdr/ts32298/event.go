package ts32298

import (
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/internal/text"
)

// Times that a record can have; others are a broken clock (cdr has the same).
const (
	minTime = 631152000  // 1990
	maxTime = 4102444800 // 2100
)

// Event reads one record, all of b, into e. It returns ErrKind for one that is
// not judged; any other error has code Invalid.
func (d *Decoder) Event(b []byte, e *cdr.Event) error {
	s := d.shaped(b)
	switch {
	case s != nil && s.direct.ok && d.direct(s, b, e):
		return nil
	case s != nil && d.replay(s, b):
	default:
		if err := d.walked(b); err != nil {
			return err
		}
	}
	return d.event(b, e)
}

// event makes an event of what was found in a record.
func (d *Decoder) event(b []byte, e *cdr.Event) error {
	if err := d.finish(); err != nil {
		return err
	}
	f, k := &d.f, d.keys
	service, direction := f.use()
	*e = cdr.Event{
		Card: f.card, IMEI: f.equipment, Sec: uint32(f.begin), PLMN: f.place.plmn,
		Volume: cdr.Volume(f.up, f.down), Use: cdr.NewUse(service, direction, f.seconds, flags(f.cause)),
	}
	d.place(&f.place, e)
	e.APN = d.apn(b, int(f.apn.from), int(f.apn.to))
	if !f.party.empty() {
		e.Peer = k.PeerKey(d.peer(b))
	}
	e.ID = k.IDKey(f.card, d.id(b))
	return nil
}

// place gives an event the area and the cell of a place, in its network.
func (d *Decoder) place(p *place, e *cdr.Event) {
	if p.hasArea {
		e.Area = d.keys.AreaNumber(p.area)
	}
	if p.hasCell {
		e.Cell = d.keys.CellNumber(p.plmn, e.Area, p.cell)
	}
}

// apn is the key of the name of an access point.
func (d *Decoder) apn(b []byte, from, to int) uint32 {
	n := to - from
	if n > text.MaxMemo || to < 16 {
		return d.keys.APNKey(clean(b[from:to], &d.room))
	}
	if n == 0 {
		return 0
	}
	key, ok := d.apns.Find(b, to, n)
	if !ok {
		*key = d.keys.APNKey(clean(b[from:to], &d.room))
	}
	return *key
}

// Record reads one record, all of b, into r. Errors are those of Event.
func (d *Decoder) Record(b []byte, r *cdr.Record) error {
	if err := d.read(b); err != nil {
		return err
	}
	if err := d.finish(); err != nil {
		return err
	}
	f := &d.f
	*r = cdr.Record{
		Line: r.Line, Time: time.Unix(f.begin, 0).UTC(), IMSI: ringwall.IMSI(cdr.IMSIOf(f.card)), Up: f.up, Down: f.down,
		PLMN: cdr.PLMNText(f.place.plmn), Duration: time.Duration(min(f.seconds, 1<<32)) * time.Second, Partial: flags(f.cause)&cdr.Partial != 0,
	}
	r.Service, r.Direction = f.use()
	if f.equipment != 0 {
		if f.imeiText {
			r.IMEI = ringwall.IMEI(f.imei.of(b))
		} else {
			r.IMEI = ringwall.IMEI(digits(nil, f.imei.of(b)))
		}
	}
	if f.place.hasArea {
		r.Area = strconv.FormatUint(uint64(f.place.area), 10)
	}
	if f.place.hasCell {
		r.Cell = strconv.FormatUint(f.place.cell, 10)
	}
	r.APN = string(clean(f.apn.of(b), &d.room))
	if !f.party.empty() {
		r.Peer = string(d.peer(b))
	}
	r.ID = string(d.id(b))
	r.Address = addressIn(f.address.of(b))
	return nil
}

// finish settles what several fields say together.
func (d *Decoder) finish() error {
	f := &d.f
	if f.card == 0 {
		return ringwall.Errorf(ringwall.Invalid, "the record names no card")
	}
	if f.begin == 0 {
		f.begin = f.early
	}
	if f.begin < minTime || f.begin >= maxTime {
		return ringwall.Errorf(ringwall.Invalid, "the record has no time between 1990 and 2100")
	}
	if !f.direct {
		f.up = f.total // not told which way
	}
	if f.serving != 0 {
		f.place.plmn = f.serving
	}
	if f.kind.service == 0 && f.sms {
		if _, direction := f.use(); direction == cdr.Terminated {
			f.party, f.partyForm = f.origin, f.originForm
		} else {
			f.party, f.partyForm = f.target, f.targetForm
		}
	}
	if f.kind.service == 0 && !f.sms && f.place == (place{}) && !f.direct && f.total == 0 && f.apn.empty() {
		return ErrKind // a CHF record of another service
	}
	return nil
}

// use is what was used, and who began. SMMessageType 3 is a delivery (module
// SMSChargingDataTypes).
func (f *fields) use() (cdr.Service, cdr.Direction) {
	switch {
	case f.kind.service != 0:
		return f.kind.service, f.kind.direction
	case !f.sms:
		return cdr.Data, 0
	case f.has&hasMessage != 0 && f.message == 3:
		return cdr.SMS, cdr.Terminated
	case f.has&hasMessage != 0 && f.message == 0:
		return cdr.SMS, cdr.Originated
	}
	return cdr.SMS, 0
}

const moreFollows uint64 = 1<<1 | 1<<2 | 0xfff<<16 | 1<<59

// flags says by CauseForRecClosing and CauseForTerm (module
// GenericChargingDataTypes) whether more of the session follows.
func flags(c uint64) uint32 {
	return uint32(moreFollows>>c&1) * cdr.Partial
}

// peer is the text of the other end.
func (d *Decoder) peer(b []byte) []byte {
	v, room := d.f.party.of(b), d.room[:0]
	switch d.f.partyForm {
	case party, party2, isdnParty:
		return number(room, v)
	case smsParty:
		return smsAddress(room, v)
	}
	return clean(v[:min(len(v), 128)], &d.room)
}

// id is what tells the record from others of its card: recorder and local
// sequence number, else what its kind has instead.
func (d *Decoder) id(b []byte) []byte {
	f, l := &d.f, &d.ids.line
	d.recorder(f.node.of(b), f.entity.of(b))
	n := numbers{f.local, f.charging, f.sequence, f.begin, f.has}
	switch {
	case f.has&hasLocal != 0 || f.reference.empty() && f.has&hasCharging != 0:
		return n.text(l)
	case f.reference.empty():
		return nil
	}
	t, v := l.Start(), f.reference.of(b)
	for _, c := range v[:min(len(v), 16)] {
		t = l.Byte(t, hexDigits[c>>4])
		t = l.Byte(t, hexDigits[c&15])
	}
	return l.Bytes(n.when(l, t))
}

// recorder has ids begin with the name or number of the recorder and a slash. It
// remembers the last name: a file is that of one recorder.
func (d *Decoder) recorder(name, entity []byte) {
	r := &d.ids
	name = name[:min(len(name), len(r.node))]
	if len(name) > 0 && string(name) == string(r.node[:r.n]) {
		return
	}
	var room [256]byte
	if r.n = copy(r.node[:], name); r.n > 0 {
		name = clean(name, &room)
	} else {
		name = number(room[:0], entity)
	}
	var begin [len(r.node) + 1]byte
	r.line.Begin(append(append(begin[:0], name...), '/'))
}

const hexDigits = "0123456789abcdef"

// clean is v, or a copy in room in which what is no printable ASCII is '?'.
func clean(v []byte, room *[256]byte) []byte {
	if printable(v) {
		return v
	}
	v = room[:copy(room[:], v)]
	for i, c := range v {
		if c < 0x20 || c >= 0x7f {
			v[i] = '?'
		}
	}
	return v
}

func printable(v []byte) bool {
	if len(v) > 256 {
		return false
	}
	for _, c := range v {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}
