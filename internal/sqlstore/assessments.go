package sqlstore

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutAssessment keeps an assessment; one whose Ended is zero is under way.
// One that has ended is never changed. Codes: Conflict when it would be.
func (tx *Tx) PutAssessment(scope audit.Scope, a api.Assessment) error {
	org, err := needExamine(scope) // what follows from evidence is let in like evidence
	if err != nil {
		return err
	}
	if err := own(org, a.Org, "assessment", string(a.ID)); err != nil {
		return err
	}
	if a.Device != "" {
		if err := tx.exists(org, a.Device); err != nil {
			return err
		}
	}
	a.Org = ringwall.OrgID(org)
	doc, err := encode(a)
	if err != nil {
		return err
	}
	n, err := tx.exec(`INSERT INTO assessments (org, id, device, started, ended, doc) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (org, id) DO UPDATE SET device = excluded.device, ended = excluded.ended, doc = excluded.doc WHERE assessments.ended = 0`,
		org, string(a.ID), string(a.Device), micros(a.Started), micros(a.Ended), doc)
	if err == nil && n == 0 {
		return ringwall.Errorf(ringwall.Conflict, "assessment %q has ended and is not changed", a.ID)
	}
	return err
}

// Assessment returns one assessment.
func (tx *Tx) Assessment(scope audit.Scope, id ringwall.AssessID) (api.Assessment, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Assessment{}, err
	}
	var doc string
	if err := tx.row("assessment", string(id), `SELECT doc FROM assessments WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.Assessment{}, err
	}
	return decode[api.Assessment](doc)
}

// Assessments returns a page of the assessments of one device that have ended,
// newest first.
func (tx *Tx) Assessments(scope audit.Scope, device ringwall.DeviceID, p Paging) (api.Page[api.Assessment], error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Page[api.Assessment]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.Assessment]{}, err
	}
	return newestFirst[api.Assessment](tx, p.limit(), `SELECT started, id, doc FROM assessments
		WHERE org = $1 AND device = $2 AND ended > 0 AND (started < $3 OR started = $3 AND id < $4) ORDER BY started DESC, id DESC LIMIT $5`,
		org, string(device), before, id)
}

// DropUnfinished removes assessments that were under way: the process that ran
// them is gone. It returns how many there were.
func (tx *Tx) DropUnfinished(scope audit.Scope) (int64, error) {
	org, err := need(scope, audit.AssessRun)
	if err != nil {
		return 0, err
	}
	return tx.exec(`DELETE FROM assessments WHERE org = $1 AND ended = 0`, org)
}
