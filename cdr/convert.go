package cdr

import (
	"math"
	"time"

	"github.com/ringwall/ringwall"
)

// Event gives the event of a record. The error has code Invalid and names no
// number: the IMSI is none, or the time is none that a record can have.
func (k *Keys) Event(r *Record) (e Event, err error) {
	if e.Card = CardKey(r.IMSI.Reveal()); e.Card == 0 {
		return e, ringwall.Errorf(ringwall.Invalid, "cdr: the IMSI has %d characters, want 6 to 15 digits", len(r.IMSI))
	}
	sec := r.Time.Unix()
	if sec < minTime || sec >= maxTime {
		return e, ringwall.Errorf(ringwall.Invalid, "cdr: %s is not a time between 1990 and 2100", r.Time.Format(time.RFC3339))
	}
	e.Sec = uint32(sec)
	e.IMEI = EquipmentKey(r.IMEI.Reveal())
	e.Peer = k.PeerKey([]byte(r.Peer))
	e.PLMN = ParsePLMN(r.PLMN)
	e.Area, e.Cell = k.PlaceKey(e.PLMN, []byte(r.Area), []byte(r.Cell))
	e.ID = k.IDKey(e.Card, []byte(r.ID))
	e.APN = k.APNKey([]byte(r.APN))
	e.Volume = Volume(r.Up, r.Down)
	e.Use = NewUse(r.Service, r.Direction, seconds(r.Duration), r.flags())
	return e, nil
}

func seconds(d time.Duration) uint64 {
	if d < 0 {
		return 0
	}
	return uint64(d / time.Second)
}

func (r *Record) flags() (f uint32) {
	if r.Estimated {
		f |= Estimated
	}
	if r.Partial {
		f |= Partial
	}
	return f
}

// Volume is bytes both ways as an event has them.
func Volume(up, down uint64) float32 {
	if sum := up + down; sum >= up && sum <= math.MaxInt64 {
		return float32(int64(sum))
	}
	return float32(float64(up) + float64(down))
}

// Record gives back as much of the record as the event tells: no hashed names,
// no id, whole seconds, 14 digits of the IMEI, and all bytes as up.
func (e *Event) Record(r *Record) {
	*r = Record{
		Line: r.Line, Time: time.Unix(int64(e.Sec), 0).UTC(),
		IMSI: ringwall.IMSI(IMSIOf(e.Card)), IMEI: ringwall.IMEI(IMEIOf(e.IMEI)),
		Service: e.Use.Service(), Direction: e.Use.Direction(), Duration: time.Duration(e.Use.Seconds()) * time.Second,
		Peer: PeerText(e.Peer), PLMN: PLMNText(e.PLMN), Area: AreaText(e.Area), Cell: CellText(e.Cell), Up: uint64(e.Volume),
		Estimated: e.Use.Flags()&Estimated != 0, Partial: e.Use.Flags()&Partial != 0,
	}
}
