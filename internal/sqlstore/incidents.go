package sqlstore

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// How far an incident is: over, only watched and shown to nobody, or open.
const (
	stageOver     = 0
	stageWatching = 1
	stageOpen     = 2
)

// openness reads an incident's status.
func openness(status string) int64 {
	switch status {
	case "resolved", "closed":
		return stageOver
	case "watching":
		return stageWatching
	}
	return stageOpen
}

// PutIncident keeps an incident with the state that package incident wrote.
func (tx *Tx) PutIncident(scope audit.Scope, in api.Incident, state []byte) error {
	org, err := need(scope, audit.IncidentWrite)
	if err != nil {
		return err
	}
	if err := own(org, in.Org, "incident", string(in.ID)); err != nil {
		return err
	}
	in.Org = ringwall.OrgID(org)
	in.Responses = nil // they have a table of their own
	doc, err := encode(in)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO incidents (org, id, kind, subject, open, opened, updated, doc, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (org, id) DO UPDATE SET kind = excluded.kind, subject = excluded.subject, open = excluded.open, updated = excluded.updated, doc = excluded.doc, state = excluded.state`,
		org, string(in.ID), string(in.Subject.Kind), in.Subject.ID, openness(in.Status), micros(in.Opened), micros(in.Updated), doc, state)
	return err
}

// Incident returns one incident with its responses.
func (tx *Tx) Incident(scope audit.Scope, id ringwall.IncidentID) (api.Incident, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return api.Incident{}, err
	}
	var doc string
	if err := tx.row("incident", string(id), `SELECT doc FROM incidents WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.Incident{}, err
	}
	in, err := decode[api.Incident](doc)
	if err != nil {
		return api.Incident{}, err
	}
	in.Responses, err = docs[api.Response](tx, `SELECT doc FROM responses WHERE org = $1 AND incident = $2 ORDER BY made, id`, org, string(id))
	return in, err
}

// IncidentState returns what package incident keeps of an incident.
func (tx *Tx) IncidentState(scope audit.Scope, id ringwall.IncidentID) ([]byte, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return nil, err
	}
	var state []byte
	return state, tx.row("incident", string(id), `SELECT state FROM incidents WHERE org = $1 AND id = $2`, []any{org, string(id)}, &state)
}

// OpenIncident returns the incident of a subject that still grows: open, or
// only watched yet. Codes: NotFound when there is none.
func (tx *Tx) OpenIncident(scope audit.Scope, s ringwall.Subject) (api.Incident, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return api.Incident{}, err
	}
	var id ringwall.IncidentID
	if err := tx.row("open incident of", s.ID, `SELECT id FROM incidents WHERE org = $1 AND kind = $2 AND subject = $3 AND open > 0 ORDER BY opened DESC LIMIT 1`,
		[]any{org, string(s.Kind), s.ID}, &id); err != nil {
		return api.Incident{}, err
	}
	return tx.Incident(scope, id)
}

// IncidentFilter narrows a list of incidents; zero fields do not.
type IncidentFilter struct {
	Open    bool
	Subject ringwall.Subject
}

// Incidents returns a page of incidents without their alerts, the one that
// changed last first. Those that are only watched yet are not among them.
func (tx *Tx) Incidents(scope audit.Scope, f IncidentFilter, p Paging) (api.Page[api.Incident], error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return api.Page[api.Incident]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.Incident]{}, err
	}
	page, err := newestFirst[api.Incident](tx, p.limit(), `SELECT updated, id, doc FROM incidents
		WHERE org = $1 AND open <> 1 AND open >= $2 AND ($3 = '' OR kind = $3) AND ($4 = '' OR subject = $4)
		AND (updated < $5 OR updated = $5 AND id < $6) ORDER BY updated DESC, id DESC LIMIT $7`,
		org, stageOpen*flag(f.Open), string(f.Subject.Kind), f.Subject.ID, before, id)
	for i := range page.Items {
		page.Items[i].Alerts, page.Items[i].Responses = []ringwall.Alert{}, []api.Response{}
	}
	return page, err
}

// PutAlert keeps an alert, once: it reports whether it is new. Alerts have
// ids that follow from what they say, so a replay repeats none.
func (tx *Tx) PutAlert(scope audit.Scope, a ringwall.Alert, incident ringwall.IncidentID) (bool, error) {
	org, err := need(scope, audit.IncidentWrite)
	if err != nil {
		return false, err
	}
	if err := own(org, a.Org, "alert", string(a.ID)); err != nil {
		return false, err
	}
	a.Org = ringwall.OrgID(org)
	doc, err := encode(a)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`INSERT INTO alerts (org, id, kind, subject, time, incident, doc) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (org, id) DO NOTHING`,
		org, string(a.ID), string(a.Subject.Kind), a.Subject.ID, micros(a.Time), string(incident), doc)
	return n == 1, err
}

// Alert returns one alert.
func (tx *Tx) Alert(scope audit.Scope, id ringwall.AlertID) (ringwall.Alert, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return ringwall.Alert{}, err
	}
	var doc string
	if err := tx.row("alert", string(id), `SELECT doc FROM alerts WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return ringwall.Alert{}, err
	}
	return decode[ringwall.Alert](doc)
}

// Alerts returns up to limit alerts about a subject, newest first.
func (tx *Tx) Alerts(scope audit.Scope, s ringwall.Subject, limit int) ([]ringwall.Alert, error) {
	org, err := need(scope, audit.IncidentRead)
	if err != nil {
		return nil, err
	}
	return docs[ringwall.Alert](tx, `SELECT doc FROM alerts WHERE org = $1 AND kind = $2 AND subject = $3 ORDER BY time DESC, id DESC LIMIT $4`,
		org, string(s.Kind), s.ID, Paging{Limit: limit}.limit())
}
