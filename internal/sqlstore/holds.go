package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutHold keeps a hold on a device, once. local says that the gateway made it
// itself and reported it; a scope of the projector may write those, any other
// needs DeviceRespond.
func (tx *Tx) PutHold(scope audit.Scope, h api.Hold, gw ringwall.GatewayID, local bool) (isNew bool, err error) {
	act := audit.DeviceRespond
	if local {
		act = audit.SystemProject
	}
	org, err := need(scope, act)
	if err != nil {
		return false, err
	}
	var behind string
	if err := tx.row("device", string(h.Device), `SELECT gateway FROM devices WHERE org = $1 AND id = $2`, []any{org, string(h.Device)}, &behind); err != nil {
		return false, err
	}
	if behind != string(gw) {
		return false, notFound("device", string(h.Device))
	}
	doc, err := encode(h)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`INSERT INTO holds (org, id, device, gateway, local, made, expires, released, by_whom, lifted, doc)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', 0, $8) ON CONFLICT (org, id) DO NOTHING`,
		org, string(h.ID), string(h.Device), string(gw), flag(local), micros(h.Made), micros(h.Expires), doc)
	return n == 1, err
}

// Hold returns one hold, and whether it is still in force.
func (tx *Tx) Hold(scope audit.Scope, id ringwall.HoldID) (h api.Hold, inForce bool, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Hold{}, false, err
	}
	var doc string
	var released, lifted, expires int64
	if err := tx.row("hold", string(id), `SELECT doc, released, lifted, expires FROM holds WHERE org = $1 AND id = $2`,
		[]any{org, string(id)}, &doc, &released, &lifted, &expires); err != nil {
		return api.Hold{}, false, err
	}
	h, err = decode[api.Hold](doc)
	return h, released == 0 && lifted == 0 && (expires == 0 || expires > micros(tx.now())), err
}

// ReleaseHold releases a hold in by's name: the next desired state names it
// until the gateway reports it lifted. It reports whether the hold was still
// standing.
func (tx *Tx) ReleaseHold(scope audit.Scope, id ringwall.HoldID, by string, now time.Time) (bool, error) {
	org, err := need(scope, audit.DeviceRespond)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`UPDATE holds SET released = $1, by_whom = $2 WHERE org = $3 AND id = $4 AND released = 0`, micros(now), by, org, string(id))
	if err != nil || n == 1 {
		return n == 1, err
	}
	_, _, err = tx.Hold(scope, id)
	return false, err
}

// LiftHold notes that the gateway has reported a hold lifted.
func (tx *Tx) LiftHold(scope audit.Scope, id ringwall.HoldID, at time.Time) error {
	org, err := need(scope, audit.SystemProject)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE holds SET lifted = $1 WHERE org = $2 AND id = $3`, micros(at), org, string(id))
	if err == nil && n == 0 {
		return notFound("hold", string(id))
	}
	return err
}

// HoldsOf returns what a gateway's desired state says of holds: those that the
// platform made and that stand, and the releases of those that were released
// and are not yet reported lifted.
func (tx *Tx) HoldsOf(scope audit.Scope, gw ringwall.GatewayID, now time.Time) ([]api.Hold, []api.Release, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, nil, err
	}
	holds, err := docs[api.Hold](tx, `SELECT doc FROM holds WHERE org = $1 AND gateway = $2 AND lifted = 0 AND released = 0 AND local = 0
		AND (expires = 0 OR expires > $3) ORDER BY id`, org, string(gw), micros(now))
	if err != nil {
		return nil, nil, err
	}
	releases := []api.Release{}
	err = tx.rows(`SELECT id, by_whom, released FROM holds WHERE org = $1 AND gateway = $2 AND lifted = 0 AND released > 0 ORDER BY id`,
		[]any{org, string(gw)}, func(scan func(...any) error) error {
			var r api.Release
			var t int64
			if err := scan(&r.Hold, &r.By, &t); err != nil {
				return fail(err)
			}
			r.At = at(t)
			releases = append(releases, r)
			return nil
		})
	return holds, releases, err
}

// HoldEnd returns when a hold was released and when the gateway reported it
// lifted; zero times for what has not happened.
func (tx *Tx) HoldEnd(scope audit.Scope, id ringwall.HoldID) (released, lifted time.Time, err error) {
	o, err := tx.HoldOrigin(scope, id)
	return o.Released, o.Lifted, err
}

// HoldOrigin is what is kept of a hold.
type HoldOrigin struct {
	Hold             api.Hold
	Gateway          ringwall.GatewayID
	Local            bool // made by the gateway itself
	Released, Lifted time.Time
}

// HoldOrigin returns a hold with where it is in force and how it ended.
func (tx *Tx) HoldOrigin(scope audit.Scope, id ringwall.HoldID) (o HoldOrigin, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return o, err
	}
	var doc string
	var local, released, lifted int64
	if err := tx.row("hold", string(id), `SELECT doc, gateway, local, released, lifted FROM holds WHERE org = $1 AND id = $2`,
		[]any{org, string(id)}, &doc, &o.Gateway, &local, &released, &lifted); err != nil {
		return o, err
	}
	o.Hold, err = decode[api.Hold](doc)
	o.Local, o.Released, o.Lifted = local != 0, at(released), at(lifted)
	return o, err
}

// LiftReleased notes that all holds of a gateway that were released before now
// are gone, once it has the document that says so, and returns how many there
// were. What is released at this very instant no document says yet.
func (tx *Tx) LiftReleased(scope audit.Scope, gw ringwall.GatewayID, now time.Time) (int, error) {
	org, err := need(scope, audit.DeviceRespond)
	if err != nil {
		return 0, err
	}
	n, err := tx.exec(`UPDATE holds SET lifted = $1 WHERE org = $2 AND gateway = $3 AND released > 0 AND released < $1 AND lifted = 0`, micros(now), org, string(gw))
	return int(n), err
}

// StandingHolds returns the holds in force on a device, with their origin.
func (tx *Tx) StandingHolds(scope audit.Scope, device ringwall.DeviceID) ([]HoldOrigin, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	var all []HoldOrigin
	err = tx.rows(`SELECT doc, gateway, local FROM holds WHERE org = $1 AND device = $2 AND lifted = 0 AND released = 0 AND (expires = 0 OR expires > $3) ORDER BY id`,
		[]any{org, string(device), micros(tx.now())}, func(scan func(...any) error) error {
			var o HoldOrigin
			var doc string
			var local int64
			if err := scan(&doc, &o.Gateway, &local); err != nil {
				return fail(err)
			}
			h, err := decode[api.Hold](doc)
			o.Hold, o.Local = h, local != 0
			all = append(all, o)
			return err
		})
	return all, err
}
