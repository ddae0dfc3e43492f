package ts32298

import (
	"errors"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
	"github.com/ringwall/ringwall/cdr/internal/text"
)

// ErrKind is returned for a record that is right, but of a kind that says nothing
// of what a SIM used.
var ErrKind = errors.New("ts32298: a record of a kind that is not judged")

// MaxRecord bounds one record. The header of a record in a file has 16 bits for
// its length (TS 32.297 section 6.1.2).
const MaxRecord = 1 << 16

// table says for each context tag what is done with it.
type table struct {
	do   [128]action
	list bool
}

// tableOf makes the table of a structure.
func tableOf(s structure) (t table) {
	t.list = s.list
	for _, f := range s.fields {
		t.do[f.tag] = f.do
	}
	return t
}

// tablesOf makes all tables: those of records by their tag, those of structures
// by their action.
func tablesOf() (t struct {
	records [256]*kind
	inner   [tables]*table
}) {
	for i := range records {
		t.records[records[i].tag] = &kind{&records[i], tableOf(records[i].structure), fastOf(tables) + uint64(i)}
	}
	for do, s := range structures {
		in := tableOf(s)
		t.inner[do] = &in
	}
	return t
}

type kind struct {
	*record
	table table
	fast  uint64 // its fast table
}

// all is written here and never again.
var all = tablesOf()

// span is where something stands in a record.
type span struct{ from, to int32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }
func (s span) empty() bool        { return s.from == s.to }

// fields is what is found in a record.
type fields struct {
	kind              *kind
	card, equipment   uint64
	begin, early      int64
	seconds           uint64
	up, down, total   uint64
	local, sequence   uint64
	charging          uint64
	cause, message    uint64
	equipType         uint64
	serving           uint32
	has               uint8
	direct            bool // up or down was told
	sms               bool
	partyForm         action
	originForm        action
	targetForm        action
	place             place
	node, entity      span
	apn, address      span
	party, reference  span
	origin, target    span
	imei              span
	imeiText          bool
	card2, equipment2 span // of the texts of CHF records
}

const (
	hasLocal = 1 << iota
	hasSequence
	hasCharging
	hasMessage
)

// Decoder makes events and records of BER.
type Decoder struct {
	keys   *cdr.Keys
	clock  clock
	shapes []*shape
	at     bases  // of the record that is of one
	latest int    // of shapes
	trust  int    // in shapes
	tried  bool   // whether the record was held against them
	seen   uint64 // records
	taught uint64 // records at the last lesson
	purse  uint64 // for lessons
	f      fields
	room   [256]byte
	net    struct { // the last network
		octets, key uint32
	}
	apns text.Memo[uint32]
	ids  struct {
		line text.Line
		node [64]byte // of the last record that has one
		n    int
	}
}

// NewDecoder makes a decoder.
func NewDecoder(k *cdr.Keys) *Decoder { return &Decoder{keys: k, trust: mostTrust, purse: mostPurse} }

// Is reports whether b begins with a tag that a record of these modules can have;
// it is what framing looks for after something went wrong.
func Is(b []byte) bool {
	t, _, err := ber.Header(b, 0, len(b))
	return err == nil && t.Class == ber.Context && t.Constructed && (t.Tag <= 120 || t.Tag == 200 || t.Tag == 201)
}

// read finds the fields of one record, which must be all of b.
func (d *Decoder) read(b []byte) error {
	if s := d.shaped(b); s != nil && d.replay(s, b) {
		return nil
	}
	return d.walked(b)
}

// walked is read for records whose shape is not known yet.
func (d *Decoder) walked(b []byte) error {
	if !d.quick(b) {
		if err := d.slow(b); err != nil {
			return err
		}
	}
	if d.tried {
		d.learn(b)
	}
	return nil
}

// slow is read for records of any form, and says what is wrong.
func (d *Decoder) slow(b []byte) error {
	d.f = fields{}
	if len(b) > MaxRecord {
		return ringwall.Errorf(ringwall.Invalid, "a record of %d bytes, want at most %d", len(b), MaxRecord)
	}
	t, known, err := ber.Header(b, 0, len(b))
	switch {
	case err != nil:
		return ringwall.Errorf(ringwall.Invalid, "%v", err)
	case t.Class != ber.Context || !t.Constructed:
		return ringwall.Errorf(ringwall.Invalid, "byte %#x begins no record", b[0])
	case known && t.To > len(b):
		return cut(0)
	case known && t.To < len(b):
		return ringwall.Errorf(ringwall.Invalid, "%d bytes behind the end of the record", len(b)-t.To)
	case t.Tag >= uint32(len(all.records)) || all.records[t.Tag] == nil:
		if _, err := ber.Parse(b, 0, len(b)); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "%v", err)
		}
		return ErrKind
	}
	d.f.kind = all.records[t.Tag]
	next, err := d.walk(b, t.From, len(b), &d.f.kind.table, !known)
	switch {
	case err == errKind:
		// It has to be right all the same, or it is not passed over.
		if e, err := ber.Parse(b, 0, len(b)); err != nil || e.Next != len(b) {
			return ringwall.Errorf(ringwall.Invalid, "a record of another kind that does not end where it ends: %v", err)
		}
		return ErrKind
	case err != nil:
		return err
	case next != len(b):
		return ringwall.Errorf(ringwall.Invalid, "%d bytes behind the end of the record", len(b)-next)
	}
	return nil
}

// srvccType is mSCsRVCCRecord of RecordType.
const srvccType = 87

// errKind ends a walk early.
var errKind = errors.New("another kind")

// head reads tag and length of an element whose header has more than two octets:
// the forms that are common, and the rest by package ber. next is 0 when it is of
// indefinite length; such a one begins at from.
func head(b []byte, p, end int) (tag uint32, from, to, next int, err error) {
	i := p + 1
	tag = uint32(b[p] & 0x1f)
	if tag == 0x1f && end-p > 4 && b[p+1] < 0x80 {
		tag, i = uint32(b[p+1]), p+2
	}
	if tag != 0x1f && b[p] != 0 && end-i > 3 {
		switch l := int(b[i]); {
		case l < 0x80:
			from, to = i+1, i+1+l
		case l == 0x81:
			from, to = i+2, i+2+int(b[i+1])
		case l == 0x82:
			from, to = i+3, i+3+int(b[i+1])<<8+int(b[i+2])
		}
		if from > 0 && to <= end {
			return tag, from, to, to, nil
		}
	}
	e, known, err := ber.Header(b, p, end)
	switch {
	case err != nil:
		return 0, 0, 0, 0, ringwall.Errorf(ringwall.Invalid, "%v", err)
	case !known:
		return e.Tag, e.From, e.From, 0, nil
	case e.To > end:
		return 0, 0, 0, 0, cut(p)
	}
	return e.Tag, e.From, e.To, e.Next, nil
}

// walk reads the elements of a structure at b[p:end], or up to the octets that end
// one of indefinite length, and returns where it ended. It calls itself for
// structures inside, which the tables nest five deep.
func (d *Decoder) walk(b []byte, p, end int, t *table, open bool) (int, error) {
	for p < end {
		// The form of nearly all elements: a tag and a length of one octet.
		if end-p < 2 {
			return 0, cut(p)
		}
		c, from := b[p], p+2
		tag := uint32(c & 0x1f)
		to := from + int(b[p+1])
		next := to
		if tag == 0x1f || b[p+1] >= 0x80 || c == 0 {
			if open && c == 0 && b[p+1] == 0 {
				return p + 2, nil
			}
			var err error
			if tag, from, to, next, err = head(b, p, end); err != nil {
				return 0, err
			}
		} else if to > end {
			return 0, cut(p)
		}
		do := skip
		if c>>6 == ber.Context && tag < uint32(len(t.do)) {
			do = t.do[tag]
		}
		if do > firstTable && c&0x20 != 0 {
			var err error
			if next, err = d.inner(b, from, to, end, next, do); err != nil {
				return 0, err
			}
			p = next
			continue
		}
		if next == 0 {
			e, err := ber.Parse(b, p, end)
			if err != nil {
				return 0, ringwall.Errorf(ringwall.Invalid, "%v", err)
			}
			to, next = e.To, e.Next
		}
		p = next
		if do == skip {
			continue
		}
		if err := d.value(do, b, from, to); err != nil {
			return 0, err
		}
	}
	if open {
		return 0, cut(p) // its end lacks
	}
	return p, nil
}

// value takes a value, which stands at b[from:to].
func (d *Decoder) value(do action, b []byte, from, to int) error {
	f, v := &d.f, b[from:to]
	at := span{int32(from), int32(to)}
	switch do {
	case kindOf:
		switch k, ok := ber.Uint(v); {
		case ok && k == f.kind.recType:
		case ok && k == srvccType && f.kind.tag == 20:
			return errKind // the CS module has another record under the same tag
		default:
			return wrong("type of record", v)
		}
	case imsi:
		if f.card = cardOf(v); f.card == 0 {
			return wrong("served IMSI", v)
		}
	case imei:
		// A blanked or mistaken one is as good as none.
		f.equipment, f.imei, f.imeiText = equipmentOf(v), at, false
	case begin, early:
		sec := d.clock.read(v)
		if sec == 0 {
			return wrong("time stamp", v)
		}
		if do == begin {
			f.begin = sec
		} else if f.early == 0 {
			f.early = sec
		}
	case duration:
		if !number8(v, &f.seconds) {
			return wrong("duration", v)
		}
	case cause:
		if !number8(v, &f.cause) {
			return wrong("cause", v)
		}
	case sequence:
		if !number8(v, &f.sequence) {
			return wrong("sequence number", v)
		}
		f.has |= hasSequence
	case local:
		f.local = unsigned(v)
		f.has |= hasLocal
	case charging:
		f.charging = unsigned(v)
		f.has |= hasCharging
	case node:
		f.node = at
	case entity:
		f.entity = at
	case apn:
		f.apn = at
	case plmn:
		f.serving = plmnOf(v)
	case placePLMN:
		f.place.plmn = plmnOf(v)
	case uli:
		f.place.location(v)
	case lac:
		f.place.setArea(v)
	case ci:
		if len(v) == 2 {
			f.place.setCell(uint64(v[0])<<8 | uint64(v[1]))
		}
	case cellText:
		if n, ok := hexadecimal(v); ok {
			f.place.setCell(n)
		}
	case up:
		if !add(v, &f.up) {
			return wrong("volume", v)
		}
		f.direct = true
	case down:
		if !add(v, &f.down) {
			return wrong("volume", v)
		}
		f.direct = true
	case total:
		if !add(v, &f.total) {
			return wrong("volume", v)
		}
	case party, smsParty, isdnParty, textParty:
		if f.party.empty() || f.partyForm == party2 {
			f.party, f.partyForm = at, do
		}
	case party2:
		if f.party.empty() {
			f.party, f.partyForm = at, do
		}
	case reference:
		f.reference = at
	case messages:
		if !number8(v, &f.message) {
			return wrong("type of message", v)
		}
		f.has |= hasMessage
	case equipType:
		if !number8(v, &f.equipType) {
			return wrong("type of equipment", v)
		}
	case equipment:
		f.equipment2 = at
	case subscrType:
	case subscriber:
		f.card2 = at
	case address:
		f.address = at
	}
	return nil
}

// inner reads a structure inside another, or a list of them, which stands at
// b[p:to], or when next is 0 is of indefinite length and ends before end. It
// returns where it ended.
func (d *Decoder) inner(b []byte, p, to, end, next int, do action) (int, error) {
	t := all.inner[do]
	open := next == 0
	if open {
		to = end
	}
	if !t.list {
		var err error
		if p, err = d.walk(b, p, to, t, open); err != nil {
			return 0, err
		}
	}
	for closed := !t.list || !open && p == to; !closed; closed = !open && p == to {
		if to-p < 2 {
			return 0, cut(p)
		}
		c, from, in, after := b[p], p+2, p+2+int(b[p+1]), p+2+int(b[p+1])
		if c&0x1f == 0x1f || b[p+1] >= 0x80 || c == 0 {
			if open && c == 0 && b[p+1] == 0 {
				p += 2
				break
			}
			var err error
			if _, from, in, after, err = head(b, p, to); err != nil {
				return 0, err
			}
		} else if in > to {
			return 0, cut(p)
		}
		var err error
		switch {
		case c == 0x20|ber.Sequence && after == 0:
			p, err = d.walk(b, from, to, t, true)
		case c == 0x20|ber.Sequence:
			p, err = d.walk(b, from, in, t, false)
		case after == 0:
			var e ber.TLV
			if e, err = ber.Parse(b, p, to); err != nil {
				err = ringwall.Errorf(ringwall.Invalid, "%v", err)
			}
			p = e.Next
		default:
			p = after
		}
		if err != nil {
			return 0, err
		}
	}
	return p, d.closed(do, b)
}

// closed takes what the fields of a structure say together.
func (d *Decoder) closed(do action, b []byte) error {
	f := &d.f
	switch do {
	case inEquipment:
		d.equip(b)
	case inSubscriber:
		if f.card = textCard(b, int(f.card2.from), int(f.card2.to)); f.card == 0 {
			return wrong("subscriber", f.card2.of(b))
		}
	case inSMS:
		f.sms = true
	case inSMSOrigin:
		f.origin, f.originForm, f.party = f.party, f.partyForm, span{}
	case inSMSTargets:
		f.target, f.targetForm, f.party = f.party, f.partyForm, span{}
	}
	return nil
}
