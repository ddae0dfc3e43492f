package sqlstore

import (
	"encoding/base64"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutWarningRoute keeps a route; secret is what its requests are signed with,
// nil leaves the one that there is.
func (tx *Tx) PutWarningRoute(scope audit.Scope, r api.WarningRoute, secret []byte) error {
	org, err := need(scope, audit.WarningWrite)
	if err != nil {
		return err
	}
	r.Secret = ""
	doc, err := encode(r)
	if err != nil {
		return err
	}
	if secret == nil {
		n, err := tx.exec(`UPDATE warning_routes SET doc = $1 WHERE org = $2 AND id = $3`, doc, org, string(r.ID))
		if err == nil && n == 0 {
			return notFound("route", string(r.ID))
		}
		return err
	}
	_, err = tx.exec(`INSERT INTO warning_routes (org, id, secret, doc) VALUES ($1, $2, $3, $4)`,
		org, string(r.ID), tx.seal.seal("routes/"+org+"/"+string(r.ID), base64.RawStdEncoding.EncodeToString(secret)), doc)
	return err
}

// DropWarningRoute forgets a route and what is on its way by it.
func (tx *Tx) DropWarningRoute(scope audit.Scope, id ringwall.RouteID) error {
	org, err := need(scope, audit.WarningWrite)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM warnings WHERE org = $1 AND route = $2`, org, string(id)); err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM warning_routes WHERE org = $1 AND id = $2`, org, string(id))
	if err == nil && n == 0 {
		return notFound("route", string(id))
	}
	return err
}

// WarningRoute returns one route. Codes: NotFound.
func (tx *Tx) WarningRoute(scope audit.Scope, id ringwall.RouteID) (api.WarningRoute, error) {
	org, err := needRoutes(scope)
	if err != nil {
		return api.WarningRoute{}, err
	}
	var doc string
	if err := tx.row("route", string(id), `SELECT doc FROM warning_routes WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.WarningRoute{}, err
	}
	return decode[api.WarningRoute](doc)
}

// needRoutes checks that the scope permits looking at routes.
func needRoutes(scope audit.Scope) (string, error) {
	for _, act := range []audit.Act{audit.SystemOutbox, audit.WarningWrite} {
		if scope.Permits(act) {
			return need(scope, act)
		}
	}
	return need(scope, audit.IncidentRead)
}

// WarningRoutes returns the routes, the first made first, with how they go.
func (tx *Tx) WarningRoutes(scope audit.Scope) ([]api.WarningRoute, error) {
	org, err := needRoutes(scope)
	if err != nil {
		return nil, err
	}
	all, err := docs[api.WarningRoute](tx, `SELECT doc FROM warning_routes WHERE org = $1 ORDER BY id`, org)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := tx.row("route", string(all[i].ID), `SELECT COUNT(*) FROM warnings WHERE org = $1 AND route = $2 AND state = 'waiting'`, []any{org, string(all[i].ID)}, &all[i].Waiting); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Bounds of what waits and of what is remembered.
const (
	maxWaiting   = 10_000 // of one route; past it warnings are dropped and told
	maxDelivered = 1000   // of an organisation, of those that have ended
)

// ErrFull says that too much waits on a route.
var ErrFull = &ringwall.Error{Code: ringwall.Unavailable, Text: "too many warnings wait on this route"}

// QueueWarning puts a warning on its way, in the transaction that it tells of.
// One that is there is not put there again.
func (tx *Tx) QueueWarning(scope audit.Scope, d api.Delivery, body string) error {
	org, err := need(scope, scope.Act())
	if err != nil {
		return err
	}
	var waiting int
	if err := tx.row("route", string(d.Route), `SELECT COUNT(*) FROM warnings WHERE org = $1 AND route = $2 AND state = 'waiting'`, []any{org, string(d.Route)}, &waiting); err != nil {
		return err
	}
	if waiting >= maxWaiting {
		return ErrFull
	}
	doc, err := encode(d)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO warnings (org, id, route, made, next, state, doc, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org, id) DO NOTHING`,
		org, d.ID, string(d.Route), micros(d.Made), micros(d.Next), d.State, doc, body)
	return err
}

// Outgoing is a warning that is to be sent now.
type Outgoing struct {
	api.Delivery
	To     api.WarningRoute
	Secret []byte
	Body   string
}

// DueWarnings returns up to limit warnings that are to be sent by now, each
// route's first alone: what comes later on a route waits for what came before.
func (tx *Tx) DueWarnings(scope audit.Scope, now time.Time, limit int) (all []Outgoing, err error) {
	org, err := need(scope, audit.SystemOutbox)
	if err != nil {
		return nil, err
	}
	if err := tx.rows(`SELECT w.doc, w.body, r.doc, r.secret FROM warnings w JOIN warning_routes r ON r.org = w.org AND r.id = w.route
		WHERE w.org = $1 AND w.next > 0 AND w.next <= $2 AND w.id =
		(SELECT v.id FROM warnings v WHERE v.org = w.org AND v.route = w.route AND v.next > 0 ORDER BY v.made, v.id LIMIT 1) ORDER BY w.next LIMIT $3`,
		[]any{org, micros(now), limit}, func(scan func(...any) error) error {
			var o Outgoing
			var delivery, route string
			var sealed []byte
			if err := scan(&delivery, &o.Body, &route, &sealed); err != nil {
				return fail(err)
			}
			var err error
			if o.Delivery, err = decode[api.Delivery](delivery); err != nil {
				return err
			}
			if o.To, err = decode[api.WarningRoute](route); err != nil {
				return err
			}
			text, err := tx.seal.open("routes/"+org+"/"+string(o.Route), sealed)
			if err != nil {
				return err
			}
			o.Secret, err = base64.RawStdEncoding.DecodeString(text)
			all = append(all, o)
			return err
		}); err != nil {
		return nil, err
	}
	return all, nil
}

// PutDelivery notes how a warning goes, and with it its route.
func (tx *Tx) PutDelivery(scope audit.Scope, d api.Delivery) error {
	org, err := need(scope, audit.SystemOutbox)
	if err != nil {
		return err
	}
	doc, err := encode(d)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`UPDATE warnings SET next = $1, state = $2, doc = $3 WHERE org = $4 AND id = $5`, micros(d.Next), d.State, doc, org, d.ID); err != nil {
		return err
	}
	r, err := tx.WarningRoute(scope, d.Route)
	if err != nil {
		return err
	}
	r.LastError = d.Error
	if d.State == "sent" {
		r.Sent, r.LastSent = r.Sent+1, d.Done
	}
	r.Waiting = 0
	if doc, err = encode(r); err != nil {
		return err
	}
	if _, err := tx.exec(`UPDATE warning_routes SET doc = $1 WHERE org = $2 AND id = $3`, doc, org, string(r.ID)); err != nil {
		return err
	}
	_, err = tx.exec(`DELETE FROM warnings WHERE org = $1 AND next = 0 AND id IN (SELECT id FROM warnings WHERE org = $1 AND next = 0 ORDER BY made DESC, id DESC LIMIT 1000 OFFSET $2)`, org, maxDelivered)
	return err
}

// Deliveries returns a page of the warnings of a route, or of all, newest first.
func (tx *Tx) Deliveries(scope audit.Scope, route ringwall.RouteID, p Paging) (api.Page[api.Delivery], error) {
	org, err := needRoutes(scope)
	if err != nil {
		return api.Page[api.Delivery]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.Delivery]{}, err
	}
	return newestFirst[api.Delivery](tx, p.limit(), `SELECT made, id, doc FROM warnings WHERE org = $1 AND ($2 = '' OR route = $2) AND (made < $3 OR made = $3 AND id < $4) ORDER BY made DESC, id DESC LIMIT $5`,
		org, string(route), before, id)
}
