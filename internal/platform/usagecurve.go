package platform

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/usage/curve"
)

// useOf is what a record adds to its card's curve.
func useOf(r *cdr.Record) curve.Use {
	u := curve.Use{At: r.Time, Point: curve.Point{Records: 1}, Area: r.Area, Cell: r.Cell, PLMN: r.PLMN}
	switch r.Service {
	case cdr.Voice:
		u.Point.Calls = 1
	case cdr.SMS:
		u.Point.Messages = 1
	default:
		u.Point.Up, u.Point.Down = r.Up, r.Down
	}
	return u
}

// cardUsed notes what is known of a card's use, and when it left, or came back
// to, the equipment it is bound to. seen says that it was in other equipment the
// last time.
func (t *turn) cardUsed(id ringwall.SIMID, w *touch, seen bool) error {
	use := w.use
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	if w.imei != "" && seen {
		if err := t.tx.SetIMEI(scope, id, w.imei, false); err != nil {
			return err
		}
	}
	separated := use.Declared && use.Bound != 0 && use.Seen != 0 && use.Bound != use.Seen
	if separated && w.imei != "" {
		card, err := t.tx.SIM(scope, id)
		if err != nil {
			return err
		}
		may, swapped, err := t.mayBeIn(scope, card, w.imei, w.at)
		if err != nil {
			return err
		}
		if swapped { // as was planned: it belongs there from now on
			if err := t.tx.SetIMEI(scope, id, w.imei, true); err != nil {
				return err
			}
			if err := t.tell(scope, ringwall.EventSIM, simSubject(id), "", note{Key: "timeline.sim.bound", Ref: string(id)}); err != nil {
				return err
			}
		}
		separated = !may
	}
	area, err := t.count(scope, id, w.uses)
	if err != nil {
		return err
	}
	was := false
	s, err := t.tx.UpdateSIM(scope, id, func(s *api.SIM) error {
		was = !s.Separated.IsZero()
		s.LastUsage, s.Bytes, s.Records = use.Last, s.Bytes+w.bytes, s.Records+w.records
		if area != "" {
			s.Area = area
		}
		switch {
		case separated && !was:
			s.Separated = t.at
		case !separated:
			s.Separated = time.Time{}
		}
		return nil
	})
	if err != nil || separated == was {
		return err
	}
	key := "timeline.sim.rejoined"
	if separated {
		key = "timeline.sim.separated"
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(id)}
	if s.Device != "" {
		t.judge(s.Device, string(id))
		subject = deviceSubject(s.Device)
	}
	return t.tell(scope, ringwall.EventSIM, subject, string(id), note{Key: key, Ref: string(id)})
}

// count adds uses to a card's curve, and returns the area of its last use.
func (t *turn) count(scope audit.Scope, id ringwall.SIMID, uses []curve.Use) (area string, err error) {
	if len(uses) == 0 {
		return "", nil
	}
	b, err := t.tx.SIMCurve(scope, id)
	if err != nil {
		return "", err
	}
	c, err := curve.Decode(b)
	if err != nil {
		t.log.Error("a card's curve cannot be read, and begins anew", "sim", id, "cause", err)
	}
	for _, u := range uses {
		c.Add(u, t.at)
	}
	return c.Area(), t.tx.PutSIMCurve(scope, id, c.Encode())
}
