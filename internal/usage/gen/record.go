package gen

import (
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// wrongAPN is the access point of people with phones.
const wrongAPN = "cmnet"

func (w *World) apn(r *row) string {
	switch {
	case r.service != cdr.Data:
		return ""
	case r.apn != 0:
		return wrongAPN
	}
	return w.fleet.customers[r.customer].Tariff.APN
}

// event makes the event of a record.
func (w *World) event(r *row) cdr.Event {
	cu := w.fleet.customers[r.customer]
	card := w.cardKey(cu, r.card)
	flags := uint32(0)
	if r.partial {
		flags = cdr.Partial
	}
	e := cdr.Event{
		Card: card, IMEI: r.imei + 1, Peer: r.peer, Cell: w.cellKeys[r.cell], Sec: uint32(r.at), Area: w.areaKeys[r.area], PLMN: w.plmnKeys[w.plan.areas[r.area].Net],
		Volume: cdr.Volume(r.up, r.down), Use: cdr.NewUse(r.service, r.way, uint64(r.seconds), flags),
	}
	var id [16]byte
	e.ID = w.keys.IDKey(card, strconv.AppendUint(id[:0], r.id, 16))
	switch {
	case r.service != cdr.Data:
	case r.apn != 0:
		e.APN = w.keys.APNKey([]byte(wrongAPN))
	default:
		e.APN = w.apnKeys[r.customer]
	}
	return e
}

// appendIMEI adds the text of a record's equipment: an IMEISV, or an IMEI with its check
// digit (TS 23.003 sections 6.2.1 and 6.2.2, annex B).
func (r *row) appendIMEI(b []byte) []byte {
	at := len(b)
	b = strconv.AppendUint(b, 100_000_000_000_000+r.imei, 10)
	b = append(b[:at], b[at+1:]...)
	if r.version >= 0 {
		return append(b, '0'+byte(r.version)/10%10, '0'+byte(r.version)%10)
	}
	sum := 0
	for i, c := range b[at:] {
		d := int(c - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return append(b, '0'+byte((10-sum%10)%10))
}

// record makes the record of a row.
func (w *World) record(r *row, rec *cdr.Record) {
	cu := w.fleet.customers[r.customer]
	net := w.plan.nets[w.plan.areas[r.area].Net]
	*rec = cdr.Record{
		Line: rec.Line, ID: idText(r.id), Time: time.Unix(r.at, 0).UTC(), IMSI: ringwall.IMSI(cdr.IMSIOf(w.cardKey(cu, r.card))), IMEI: ringwall.IMEI(r.appendIMEI(nil)),
		Service: r.service, Direction: r.way, Peer: cdr.PeerText(r.peer), APN: w.apn(r), Up: r.up, Down: r.down,
		Area: strconv.Itoa(w.plan.areas[r.area].Code), Cell: strconv.FormatUint(uint64(w.plan.cells[r.cell].ECI), 10),
		Duration: time.Duration(r.seconds) * time.Second, PLMN: net.MCC + net.MNC, Partial: r.partial,
	}
}

// Header is the first line of a CSV file of records: all columns that package cdr
// has.
const Header = "id,time,imsi,imei,service,direction,peer,apn,up,down,area,cell,duration,plmn,flags\n"

func appendAddress(b []byte, a uint32) []byte {
	for i := 24; i >= 0; i -= 8 {
		b = strconv.AppendUint(b, uint64(a>>i&255), 10)
		if i > 0 {
			b = append(b, '.')
		}
	}
	return b
}

func (w *World) appendCSV(b []byte, r *row) []byte {
	cu := w.fleet.customers[r.customer]
	b = strconv.AppendUint(b, r.id, 16)
	b = append(b, ',')
	b = strconv.AppendInt(b, r.at, 10)
	b = append(b, ',')
	at := len(b)
	b = strconv.AppendUint(b, w.cardKey(cu, r.card), 10)
	b = append(b[:at], b[at+1:]...)
	b = append(b, ',')
	b = r.appendIMEI(b)
	b = append(b, ',')
	b = append(b, r.service.String()...)
	b = append(b, ',')
	b = append(b, r.way.String()...)
	b = append(b, ',')
	if cdr.PeerKind(r.peer) == cdr.PeerIPv4 {
		b = appendAddress(b, uint32(r.peer))
	} else {
		b = append(b, cdr.PeerText(r.peer)...)
	}
	b = append(b, ',')
	b = append(b, w.apn(r)...)
	b = append(b, ',')
	b = strconv.AppendUint(b, r.up, 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, r.down, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(w.plan.areas[r.area].Code), 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, uint64(w.plan.cells[r.cell].ECI), 10)
	b = append(b, ',')
	b = strconv.AppendUint(b, uint64(r.seconds), 10)
	b = append(b, ',')
	net := &w.plan.nets[w.plan.areas[r.area].Net]
	b = append(append(b, net.MCC...), net.MNC...)
	b = append(b, ',')
	if r.partial {
		b = append(b, "partial"...)
	}
	return append(b, '\n')
}

// AppendCSV adds the records of the last batch to b, as lines of CSV without the
// header.
func (s *Source) AppendCSV(b []byte) []byte {
	for i := range s.rows {
		b = s.w.appendCSV(b, &s.rows[i])
	}
	return b
}
