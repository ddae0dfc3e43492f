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
	if err := d.read(b); err != nil {
		return err
	}
	if err := d.finish(); err != nil {
		return err
	}
	f, k := &d.f, d.keys
	service, direction := f.use()
	*e = cdr.Event{
		Card: f.card, IMEI: f.equipment, Sec: uint32(f.begin), PLMN: f.place.plmn,
		Volume: cdr.Volume(f.up, f.down), Use: cdr.NewUse(service, direction, f.seconds, f.flags()),
	}
	if f.place.hasArea {
		e.Area = k.AreaNumber(f.place.area)
	}
	if f.place.hasCell {
		e.Cell = k.CellNumber(f.place.plmn, e.Area, f.place.cell)
	}
	if n := int(f.apn.to - f.apn.from); n > text.MaxMemo || f.apn.to < 16 {
		e.APN = k.APNKey(clean(f.apn.of(b), &d.room))
	} else if n > 0 {
		key, ok := d.apns.Find(b, int(f.apn.to), n)
		if !ok {
			*key = k.APNKey(clean(f.apn.of(b), &d.room))
		}
		e.APN = *key
	}
	if !f.party.empty() {
		e.Peer = k.PeerKey(d.peer(b))
	}
	e.ID = k.IDKey(f.card, d.id(b))
	return nil
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
		PLMN: cdr.PLMNText(f.place.plmn), Duration: time.Duration(min(f.seconds, 1<<32)) * time.Second, Partial: f.flags()&cdr.Partial != 0,
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

// flags says by CauseForRecClosing and CauseForTerm (module
// GenericChargingDataTypes) whether more of the session follows.
func (f *fields) flags() uint32 {
	if c := f.cause; c == 1 || c == 2 || c >= 16 && c <= 27 || c == 59 {
		return cdr.Partial
	}
	return 0
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
	f, id := &d.f, &d.ids.line
	d.recorder(b)
	id.Reset()
	switch {
	case f.has&hasLocal != 0:
		id.Uint(f.local)
		return id.Bytes()
	case !f.reference.empty():
		v := f.reference.of(b)
		for _, c := range v[:min(len(v), 16)] {
			id.Byte(hexDigits[c>>4])
			id.Byte(hexDigits[c&15])
		}
	case f.has&hasCharging != 0:
		id.Byte('c')
		id.Uint(f.charging)
	default:
		return nil
	}
	if f.has&hasSequence != 0 {
		id.Byte('.')
		id.Uint(f.sequence)
	}
	id.Byte('@')
	id.Uint(uint64(f.begin))
	return id.Bytes()
}

// recorder has ids begin with the name or number of the recorder and a slash. It
// remembers the last name: a file is that of one recorder.
func (d *Decoder) recorder(b []byte) {
	f, r := &d.f, &d.ids
	v := f.node.of(b)
	v = v[:min(len(v), len(r.node))]
	if len(v) > 0 && string(v) == string(r.node[:r.n]) {
		return
	}
	var room [256]byte
	if len(v) > 0 {
		r.n = copy(r.node[:], v)
		v = clean(v, &room)
	} else {
		r.n = 0
		v = number(room[:0], f.entity.of(b))
	}
	var begin [len(r.node) + 1]byte
	r.line.Begin(append(append(begin[:0], v...), '/'))
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
