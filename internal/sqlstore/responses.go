package sqlstore

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// needRespond checks that the scope permits a response on a device or a SIM.
func needRespond(scope audit.Scope) (string, error) {
	if scope.Permits(audit.SIMRespond) {
		return need(scope, audit.SIMRespond)
	}
	return need(scope, audit.DeviceRespond)
}

// CreateResponse writes a response down, before it is done. A response that is
// only proposed needs no scope to do it: IncidentWrite is enough.
func (tx *Tx) CreateResponse(scope audit.Scope, r api.Response) error {
	org, err := needRespond(scope)
	if err != nil && r.Status == "proposed" {
		org, err = need(scope, audit.IncidentWrite)
	}
	if err != nil {
		return err
	}
	if err := own(org, r.Org, "response", string(r.ID)); err != nil {
		return err
	}
	if err := tx.mine(org, r.Target); err != nil {
		return err
	}
	r.Org = ringwall.OrgID(org)
	doc, err := encode(r)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO responses (org, id, incident, kind, target, status, made, expires, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		org, string(r.ID), string(r.Incident), string(r.Target.Kind), r.Target.ID, r.Status, micros(r.Made), micros(r.Expires), doc)
	return err
}

// mine answers NotFound unless the organisation has the subject.
func (tx *Tx) mine(org string, s ringwall.Subject) error {
	var one int
	switch s.Kind {
	case ringwall.SubjectDevice:
		return tx.exists(org, ringwall.DeviceID(s.ID))
	case ringwall.SubjectSIM:
		return tx.row("SIM", s.ID, `SELECT 1 FROM sims WHERE org = $1 AND id = $2`, []any{org, s.ID}, &one)
	}
	return notFound(string(s.Kind), s.ID)
}

// UpdateResponse changes a response: its id, organisation, target and the time
// it was made stay.
func (tx *Tx) UpdateResponse(scope audit.Scope, id ringwall.ResponseID, f func(*api.Response) error) (api.Response, error) {
	org, err := needRespond(scope)
	if err != nil {
		return api.Response{}, err
	}
	old, err := tx.response(org, id)
	if err != nil {
		return api.Response{}, err
	}
	r := old
	if err := f(&r); err != nil {
		return api.Response{}, err
	}
	r.ID, r.Org, r.Target, r.Made = old.ID, old.Org, old.Target, old.Made
	doc, err := encode(r)
	if err != nil {
		return api.Response{}, err
	}
	_, err = tx.exec(`UPDATE responses SET incident = $1, status = $2, expires = $3, doc = $4 WHERE org = $5 AND id = $6`,
		string(r.Incident), r.Status, micros(r.Expires), doc, org, string(id))
	return r, err
}

func (tx *Tx) response(org string, id ringwall.ResponseID) (api.Response, error) {
	var doc string
	if err := tx.row("response", string(id), `SELECT doc FROM responses WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.Response{}, err
	}
	return decode[api.Response](doc)
}

// Response returns one response.
func (tx *Tx) Response(scope audit.Scope, id ringwall.ResponseID) (api.Response, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return api.Response{}, err
	}
	return tx.response(org, id)
}

// ResponseFilter narrows a list of responses; zero fields do not.
type ResponseFilter struct {
	Status string
	Target ringwall.Subject
}

// Responses returns a page of responses, newest first.
func (tx *Tx) Responses(scope audit.Scope, f ResponseFilter, p Paging) (api.Page[api.Response], error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return api.Page[api.Response]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.Response]{}, err
	}
	return newestFirst[api.Response](tx, p.limit(), `SELECT made, id, doc FROM responses
		WHERE org = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR kind = $3) AND ($4 = '' OR target = $4)
		AND (made < $5 OR made = $5 AND id < $6) ORDER BY made DESC, id DESC LIMIT $7`,
		org, f.Status, string(f.Target.Kind), f.Target.ID, before, id)
}

// DueResponses returns up to limit responses of a status that expire by now.
func (tx *Tx) DueResponses(scope audit.Scope, status string, now time.Time, limit int) ([]api.Response, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return nil, err
	}
	return docs[api.Response](tx, `SELECT doc FROM responses WHERE org = $1 AND status = $2 AND expires > 0 AND expires <= $3 ORDER BY expires LIMIT $4`,
		org, status, micros(now), limit)
}

// HeldBy counts the devices that carry a hold in force made by by, such as
// "reflex:mirai-scan" or "system:incident": the cap on what one rule touches.
func (tx *Tx) HeldBy(scope audit.Scope, by string) (n int, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return 0, err
	}
	holds, err := docs[api.Hold](tx, `SELECT doc FROM holds WHERE org = $1 AND lifted = 0 AND released = 0 AND (expires = 0 OR expires > $2)`, org, micros(tx.now()))
	if err != nil {
		return 0, err
	}
	var devices []ringwall.DeviceID
	for _, h := range holds {
		if h.By == by && !slices.Contains(devices, h.Device) {
			devices = append(devices, h.Device)
		}
	}
	return len(devices), nil
}
