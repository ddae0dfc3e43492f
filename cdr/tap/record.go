package tap

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
)

// Record reads event i into r. It returns ErrKind for one that is not judged; any
// other error has code Invalid.
func (f *File) Record(i int, r *cdr.Record) error {
	e := f.events[i]
	*r = cdr.Record{Line: r.Line}
	x := reader{f: f, r: r}
	switch e.tag {
	case tagMOCall:
		r.Service, r.Direction = cdr.Voice, cdr.Originated
	case tagMTCall:
		r.Service, r.Direction = cdr.Voice, cdr.Terminated
	case tagGPRS:
		r.Service = cdr.Data
	default:
		return ErrKind
	}
	if err := walk(f.b, int(e.from), int(e.to), x.field); err != nil {
		return err
	}
	if r.IMSI == "" {
		return ringwall.Errorf(ringwall.Invalid, "tap: the event names no card")
	}
	if r.Time.IsZero() {
		return ringwall.Errorf(ringwall.Invalid, "tap: the event has no time")
	}
	if !x.volume {
		r.Up = x.charged
	}
	r.PLMN = f.config.Networks[f.Sender]
	if n, ok := f.config.Networks[x.network]; ok {
		r.PLMN = n
	}
	r.ID = f.Sender + "/" + f.Sequence + "." + strconv.Itoa(i+1)
	return nil
}

// reader fills a record.
type reader struct {
	f       *File
	r       *cdr.Record
	network string
	item    byte // that the charge is for
	charged uint64
	volume  bool
}

// field reads a field, or what is in a structure: a tag means the same wherever it
// stands.
func (x *reader) field(tag uint32, t ber.TLV) error {
	v, r := x.f.b[t.From:t.To], x.r
	switch tag {
	case tagMOBasic, tagMTBasic, tagGPRSBasic, tagSubscriber, tagSIM, tagDestination, tagOriginator, tagLocation, tagNetLocation, tagGPRSLocation, tagGPRSNet, tagGeographical,
		tagEquipment, tagServices, tagServiceUsed, tagService, tagServiceCode, tagGPRSSubscriber, tagGPRSDest, tagGPRSService, tagCharges, tagCharge, tagDetails, tagDetail:
		if !t.Constructed {
			return ringwall.Errorf(ringwall.Invalid, "tap: byte %d: a structure without parts", t.From)
		}
		return walk(x.f.b, t.From, t.To, x.field)
	case tagIMSI:
		s := bcd(v)
		if cdr.CardKey(s) == 0 {
			return ringwall.Errorf(ringwall.Invalid, "tap: byte %d: an IMSI of %d octets that is none", t.From, len(v))
		}
		r.IMSI = ringwall.IMSI(s)
	case tagIMEI:
		if s := bcd(v); cdr.EquipmentKey(s) != 0 {
			r.IMEI = ringwall.IMEI(s)
		}
	case tagCalled, tagCalling:
		r.Peer = bcd(v)
	case tagDialled, tagSMSDestination, tagSMSOriginator:
		if r.Peer == "" {
			r.Peer = text(v)
		}
	case tagStart:
		return x.start(t)
	case tagDuration:
		n, ok := ber.Uint(v)
		if !ok || n > 1<<32 {
			return ringwall.Errorf(ringwall.Invalid, "tap: byte %d: a duration that is none", t.From)
		}
		r.Duration = time.Duration(n) * time.Second
	case tagPartial:
		r.Partial = len(v) > 0 && v[0] != 'L' // L is the last of several
	case tagServingNetwork:
		x.network = text(v)
	case tagArea:
		if n, ok := ber.Uint(v); ok {
			r.Area = strconv.FormatUint(n, 10)
		}
	case tagCell:
		if n, ok := ber.Uint(v); ok {
			r.Cell = strconv.FormatUint(n, 10)
		}
	case tagTeleService:
		// 21 and 22 are short messages (TS 22.003 annex A).
		if s := string(v); s == "21" || s == "22" {
			r.Service = cdr.SMS
		}
	case tagPDPAddress:
		if a, err := netip.ParseAddr(string(v)); err == nil {
			r.Address = a.WithZone("").String()
		}
	case tagAPN:
		r.APN = text(v)
	case tagIncoming:
		return x.bytes(v, &r.Down, t)
	case tagOutgoing:
		return x.bytes(v, &r.Up, t)
	case tagChargedItem:
		x.item = 0
		if len(v) == 1 {
			x.item = v[0]
		}
	case tagChargeable:
		// X is a charge by total volume, V and W by that of one direction.
		if n, ok := ber.Uint(v); ok && r.Service == cdr.Data && (x.item == 'X' || x.item == 'V' || x.item == 'W') {
			x.charged = max(x.charged, n)
		}
	}
	return nil
}

func (x *reader) bytes(v []byte, to *uint64, t ber.TLV) error {
	n, ok := ber.Uint(v)
	if !ok {
		return ringwall.Errorf(ringwall.Invalid, "tap: byte %d: a volume that is none", t.From)
	}
	*to, x.volume = n, true
	return nil
}

// start reads a local time and the code of its offset to UTC.
func (x *reader) start(t ber.TLV) error {
	var local time.Time
	var err error
	offset, known := 0, false
	if werr := walk(x.f.b, t.From, t.To, func(tag uint32, t ber.TLV) error {
		v := x.f.b[t.From:t.To]
		switch tag {
		case tagLocalTime:
			local, err = time.Parse("20060102150405", string(v))
			if err != nil || len(v) != 14 {
				return ringwall.Errorf(ringwall.Invalid, "tap: byte %d: a time stamp of %d octets that is none", t.From, len(v))
			}
		case tagOffsetCode:
			if code, ok := ber.Uint(v); ok {
				offset, known = x.f.offsets[code]
			}
		}
		return nil
	}); werr != nil {
		return werr
	}
	if local.IsZero() {
		return nil
	}
	x.r.Time, x.r.Estimated = local.Add(-time.Duration(offset)*time.Second), !known
	return nil
}

// bcd reads digits, the first in the high half of an octet, filled up with ones.
func bcd(v []byte) string {
	b := make([]byte, 0, 2*len(v))
	for _, c := range v[:min(len(v), 20)] {
		for _, d := range [2]byte{c >> 4, c & 15} {
			if d == 15 {
				return string(b)
			}
			b = append(b, "0123456789*#abc"[d])
		}
	}
	return string(b)
}
