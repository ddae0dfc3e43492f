package ts32298

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
)

// Appender writes records. The zero Appender writes data and short messages as
// records of the CHF and calls as those of an MSC. It belongs to one goroutine.
type Appender struct {
	// Data is the tag of records of data: 200 (CHF), 78 (S-GW), 79 (P-GW) or 20
	// (SGSN); 0 = 200.
	Data uint32
	// SMS is the tag of records of sent messages: 200 (CHF), 6 (MSC), 23 (SGSN or
	// MME), 93 (SMS node), 112 (IP-SM-GW); those of received ones follow from it.
	// 0 = 200.
	SMS uint32
	// Indefinite writes lengths as indefinite where they may be.
	Indefinite bool
	// Zone is where times are told in; nil = UTC. Whole minutes.
	Zone *time.Location
	b    ber.Builder
}

// Append appends the record r to dst. Its id, when it has the form of a recorder
// and a number with a slash between, becomes recorder and local sequence number.
// What the chosen kind of record has no field for is left out. The error has
// code Invalid: a field cannot be written.
func (a *Appender) Append(dst []byte, r *cdr.Record) ([]byte, error) {
	w := writer{Builder: &a.b, r: r, zone: a.Zone}
	w.B, w.Indefinite = dst, a.Indefinite
	if w.zone == nil {
		w.zone = time.UTC
	}
	tag := uint32(0)
	switch {
	case r.Service == cdr.Data:
		tag = a.Data
	case r.Service == cdr.SMS:
		tag = a.SMS
		if r.Direction == cdr.Terminated && tag != 0 && tag != 200 {
			tag++
		}
	case r.Service == cdr.Voice && r.Direction == cdr.Terminated:
		tag = 1
	case r.Service != cdr.Voice:
		return dst, ringwall.Errorf(ringwall.Invalid, "ts32298: a record of no service")
	}
	if tag == 0 && r.Service != cdr.Voice {
		tag = 200
	}
	if tag > 255 || all.records[tag] == nil {
		return dst, ringwall.Errorf(ringwall.Invalid, "ts32298: no record has the tag %d", tag)
	}
	k := all.records[tag]
	if len(r.IMSI) < 6 || len(r.IMSI) > 15 || cdr.CardKey(r.IMSI.Reveal()) == 0 {
		return dst, ringwall.Errorf(ringwall.Invalid, "ts32298: an IMSI of %d characters", len(r.IMSI))
	}
	w.node, w.local = splitID(r.ID)
	if v, err := strconv.ParseUint(r.Area, 10, 24); err == nil {
		w.area, w.hasArea = uint32(v), true
	}
	if v, err := strconv.ParseUint(r.Cell, 10, 36); err == nil {
		w.cell, w.hasCell = v, true
	}
	w.Begin(ber.Context, tag)
	w.num(0, k.recType)
	if tag == 200 {
		w.chf()
	} else {
		w.others(k)
	}
	w.End()
	out := w.B
	a.b.B = nil
	if len(out)-len(dst) > MaxRecord {
		return dst, ringwall.Errorf(ringwall.Invalid, "ts32298: a record of %d bytes", len(out)-len(dst))
	}
	return out, nil
}

func splitID(id string) (node, local string) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return "", ""
	}
	if _, err := strconv.ParseUint(id[i+1:], 10, 32); err != nil {
		return "", ""
	}
	return id[:min(i, 64)], id[i+1:]
}

type writer struct {
	*ber.Builder
	r                *cdr.Record
	zone             *time.Location
	node, local      string
	area             uint32
	cell             uint64
	hasArea, hasCell bool
}

func (w *writer) begin(tag uint32)             { w.Begin(ber.Context, tag) }
func (w *writer) num(tag uint32, v uint64)     { w.Uint(ber.Context, tag, v) }
func (w *writer) str(tag uint32, s string)     { w.Text(ber.Context, tag, s) }
func (w *writer) raw(tag uint32, v ...byte)    { w.Bytes(ber.Context, tag, v) }
func (w *writer) time(tag uint32, t time.Time) { w.Bytes(ber.Context, tag, stamp(t.In(w.zone))) }

// others writes the records whose fields have one level, by the table of their
// kind: it knows how, the table knows where.
func (w *writer) others(k *kind) {
	for _, f := range k.structure.fields {
		w.field(uint32(f.tag), f.do, k)
	}
}

func (w *writer) field(tag uint32, do action, k *kind) {
	r := w.r
	number, _ := strconv.ParseUint(w.local, 10, 32)
	switch do {
	case imsi:
		w.raw(tag, tbcd(r.IMSI.Reveal(), 8)...)
	case imei:
		if cdr.EquipmentKey(r.IMEI.Reveal()) != 0 {
			w.raw(tag, tbcd(r.IMEI.Reveal(), 8)...)
		}
	case begin:
		w.time(tag, r.Time)
	case duration:
		w.num(tag, uint64(r.Duration/time.Second))
	case cause:
		w.num(tag, w.cause())
	case charging:
		w.num(tag, number&0xffffffff)
	case sequence:
		if r.Partial {
			w.num(tag, 1)
		}
	case node:
		if w.node != "" {
			w.str(tag, w.node)
		}
	case local:
		if w.local != "" {
			w.num(tag, number)
		}
	case entity:
		if strings.Trim(w.node, "0123456789") == "" {
			w.raw(tag, directory(w.node)...)
		} else {
			w.raw(tag, directory("+0")...)
		}
	case reference:
		w.raw(tag, binary.BigEndian.AppendUint32(nil, uint32(number))...)
	case apn:
		if r.APN != "" {
			w.str(tag, r.APN)
		}
	case address:
		if a, err := netip.ParseAddr(r.Address); err == nil {
			w.begin(tag)
			w.begin(0)
			w.ip(a)
			w.End()
			w.End()
		}
	case plmn:
		if v := plmnBytes(r.PLMN); v != nil {
			w.raw(tag, v...)
		}
	case uli:
		if v := w.uli(); v != nil {
			w.raw(tag, v...)
		}
	case lac:
		if w.hasArea && w.area < 1<<16 {
			w.raw(tag, byte(w.area>>8), byte(w.area))
		}
	case ci:
		if w.hasCell && w.cell < 1<<16 {
			w.raw(tag, byte(w.cell>>8), byte(w.cell))
		}
	case inLocation:
		if w.hasArea && w.area < 1<<16 && w.hasCell && w.cell < 1<<16 {
			w.begin(tag)
			w.raw(0, byte(w.area>>8), byte(w.area))
			w.raw(1, byte(w.cell>>8), byte(w.cell))
			if v := plmnBytes(r.PLMN); v != nil {
				w.raw(2, v...)
			}
			w.End()
		}
	case party:
		if r.Peer != "" {
			w.raw(tag, directory(r.Peer)...)
		}
	case isdnParty:
		if r.Peer != "" {
			w.raw(tag, directory(r.Peer)...)
		}
	case smsParty:
		if r.Peer != "" {
			v := directory(r.Peer)
			w.raw(tag, append([]byte{byte(len(strings.TrimPrefix(r.Peer, "+")))}, v...)...)
		}
	case inTraffic:
		w.begin(tag)
		w.Begin(ber.Universal, ber.Sequence)
		w.num(3, r.Up)
		w.num(4, r.Down)
		w.num(5, 2) // ChangeCondition recordClosure
		w.time(6, r.Time.Add(r.Duration))
		w.End()
		w.End()
	case inService:
		// Volumes stand in listOfTrafficVolumes.
	case inServed, inServeds:
		w.begin(tag)
		w.raw(0, tbcd(r.IMSI.Reveal(), 8)...)
		w.End()
	case inOther:
		w.begin(tag)
		w.other()
		w.End()
	case inOthers:
		w.begin(tag)
		w.Begin(ber.Universal, ber.Sequence)
		w.other()
		w.End()
		w.End()
	case inEquipment:
		w.equipment(tag)
	}
}

// other writes what OriginatorInfo and RecipientInfo have in the same places.
func (w *writer) other() {
	switch d := strings.TrimPrefix(w.r.Peer, "+"); {
	case d == "":
	case strings.Trim(d, "0123456789") == "":
		w.raw(1, directory(w.r.Peer)...)
	default:
		w.begin(2)
		w.num(0, 5) // alphanumericShortCode
		w.str(1, w.r.Peer)
		w.End()
	}
}

func (w *writer) equipment(tag uint32) {
	if cdr.EquipmentKey(w.r.IMEI.Reveal()) == 0 {
		return
	}
	w.begin(tag)
	w.num(0, 0) // iMEISV
	w.raw(1, tbcd(w.r.IMEI.Reveal(), 8)...)
	w.End()
}

func (w *writer) cause() uint64 {
	if w.r.Partial {
		return 17 // timeLimit
	}
	return 0 // normalRelease
}

// chf writes a record as a CHF does for an SMF or SMSF.
func (w *writer) chf() {
	r := w.r
	number, _ := strconv.ParseUint(w.local, 10, 32)
	if w.node != "" {
		w.str(1, w.node)
	} else {
		w.str(1, "chf")
	}
	w.begin(2)
	w.num(0, 1) // eND-USER-IMSI
	w.str(1, r.IMSI.Reveal())
	w.End()
	w.begin(3)
	if r.Service == cdr.SMS {
		w.num(0, 3) // sMSF
	} else {
		w.num(0, 1) // sMF
	}
	w.str(1, "b7a1e4f0-62c3-4d5e-8f90-5a6b7c8d9e0f")
	w.End()
	if r.Service == cdr.Data {
		w.begin(5)
		w.Begin(ber.Universal, ber.Sequence)
		w.num(0, 1)
		w.begin(1)
		w.Begin(ber.Universal, ber.Sequence)
		w.begin(2)
		w.num(0, 503) // endOfPDUSession
		w.End()
		w.time(3, r.Time.Add(r.Duration))
		w.num(5, r.Up)
		w.num(6, r.Down)
		w.num(9, 1)
		w.End()
		w.End()
		w.End()
		w.End()
	}
	w.time(6, r.Time)
	w.num(7, uint64(r.Duration/time.Second))
	if r.Partial {
		w.num(8, 1)
	}
	w.num(9, w.cause())
	if w.local != "" {
		w.num(11, number)
	}
	if r.Service == cdr.Data {
		w.pdu(number)
	} else {
		w.sms()
	}
}

func (w *writer) pdu(number uint64) {
	r := w.r
	w.begin(13)
	w.num(0, number&0xffffffff)
	w.equipment(2)
	if v := w.uli(); v != nil {
		w.raw(3, v...)
	}
	w.num(6, 5)
	w.begin(7)
	w.num(0, 1)
	w.raw(1, 0, 0, 1)
	w.End()
	w.num(8, 1) // iPv4
	w.num(9, 1)
	w.num(12, 51) // nR
	if r.APN != "" {
		w.str(13, r.APN)
	}
	if a, err := netip.ParseAddr(r.Address); err == nil {
		w.begin(14)
		if a.Is4() {
			w.begin(0)
		} else {
			w.begin(1)
		}
		w.ip(a)
		w.End()
		w.End()
	}
	w.raw(16, 0x23, 0)
	w.time(17, r.Time)
	w.time(18, r.Time.Add(r.Duration))
	if v := plmnBytes(r.PLMN); v != nil {
		w.raw(27, v...)
	}
	w.End()
}

func (w *writer) sms() {
	w.begin(15)
	if w.r.Direction == cdr.Terminated {
		w.begin(1)
		w.other()
		w.End()
	} else if w.r.Peer != "" {
		w.begin(2)
		w.Begin(ber.Universal, ber.Sequence)
		w.other()
		w.End()
		w.End()
	}
	w.equipment(3)
	if v := w.uli(); v != nil {
		w.raw(4, v...)
	}
	w.time(8, w.r.Time)
	switch w.r.Direction {
	case cdr.Originated:
		w.num(21, 0)
	case cdr.Terminated:
		w.num(21, 3)
	}
	w.End()
}

func (w *writer) ip(a netip.Addr) {
	a = a.WithZone("").Unmap()
	if a.Is4() {
		w.raw(0, a.AsSlice()...)
	} else {
		w.raw(1, a.AsSlice()...)
	}
}

// uli is the place in the smallest form that has room for it (TS 29.061 section
// 16.4.7.2); nil = there is no place, or no network to it.
func (w *writer) uli() []byte {
	p := plmnBytes(w.r.PLMN)
	if p == nil {
		return nil
	}
	be := binary.BigEndian
	tac := func(v []byte) []byte { return append(v, byte(w.area>>16), byte(w.area>>8), byte(w.area)) }
	nci := func(v []byte) []byte { return append(v, be.AppendUint64(nil, w.cell)[3:]...) }
	switch narrow := w.area < 1<<16; {
	case w.hasArea && w.hasCell && narrow && w.cell < 1<<16:
		return be.AppendUint16(be.AppendUint16(append([]byte{0}, p...), uint16(w.area)), uint16(w.cell))
	case w.hasArea && w.hasCell && narrow && w.cell < 1<<28:
		v := be.AppendUint16(append([]byte{130}, p...), uint16(w.area))
		return be.AppendUint32(append(v, p...), uint32(w.cell))
	case w.hasArea && w.hasCell:
		return nci(append(tac(append([]byte{137}, p...)), p...))
	case w.hasArea && narrow:
		return be.AppendUint16(append([]byte{128}, p...), uint16(w.area))
	case w.hasArea:
		return tac(append([]byte{136}, p...))
	case w.hasCell && w.cell < 1<<28:
		return be.AppendUint32(append([]byte{129}, p...), uint32(w.cell))
	case w.hasCell:
		return nci(append([]byte{135}, p...))
	}
	return nil
}

// tbcd packs digits, filled up with ones to an octet; others are passed over.
func tbcd(s string, most int) (b []byte) {
	half := true
	for _, c := range []byte(s) {
		v := strings.IndexByte("0123456789*#abc", c)
		if v < 0 || len(b) == most && half {
			continue
		}
		if half {
			b = append(b, byte(v)|0xf0)
		} else {
			b[len(b)-1] = b[len(b)-1]&0x0f | byte(v)<<4
		}
		half = !half
	}
	return b
}

// directory is a number with its type (TS 24.008 section 10.5.4.7).
func directory(s string) []byte {
	if d, ok := strings.CutPrefix(s, "+"); ok {
		return append([]byte{0x91}, tbcd(d, maxDigits/2)...)
	}
	return append([]byte{0x81}, tbcd(s, maxDigits/2)...)
}

func plmnBytes(s string) []byte {
	if cdr.ParsePLMN(s) == 0 {
		return nil
	}
	third := byte(15)
	if len(s) == 6 {
		third = s[5] - '0'
	}
	n := func(i int) byte { return s[i] - '0' }
	return []byte{n(0) | n(1)<<4, n(2) | third<<4, n(3) | n(4)<<4}
}

// stamp is a TimeStamp.
func stamp(t time.Time) []byte {
	bcd := func(v int) byte { return byte(v/10%10<<4 | v%10) }
	_, off := t.Zone()
	sign := byte('+')
	if off < 0 {
		sign, off = '-', -off
	}
	return []byte{bcd(t.Year() % 100), bcd(int(t.Month())), bcd(t.Day()), bcd(t.Hour()), bcd(t.Minute()), bcd(t.Second()), sign, bcd(off / 3600), bcd(off % 3600 / 60)}
}
