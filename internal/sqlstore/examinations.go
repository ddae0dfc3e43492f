package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// needExamine checks for what lets evidence in: a person who may run
// assessments, or the part that takes the devices' own reports.
func needExamine(scope audit.Scope) (string, error) {
	if scope.Permits(audit.AssessRun) {
		return need(scope, audit.AssessRun)
	}
	return need(scope, audit.DeviceWrite)
}

// PutFinding keeps one answer about a device; a newer one of the same origin,
// indicator and source replaces it.
func (tx *Tx) PutFinding(scope audit.Scope, id ringwall.DeviceID, origin string, f ringwall.Finding) error {
	org, err := needExamine(scope)
	if err != nil {
		return err
	}
	if err := tx.exists(org, id); err != nil {
		return err
	}
	return tx.putFinding(org, id, origin, f)
}

func (tx *Tx) putFinding(org string, id ringwall.DeviceID, origin string, f ringwall.Finding) error {
	doc, err := encode(f)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO answers (org, device, origin, indicator, source, time, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (org, device, origin, indicator, source) DO UPDATE SET time = excluded.time, doc = excluded.doc WHERE excluded.time >= answers.time`,
		org, string(id), origin, f.Indicator, f.Source, micros(f.Time), doc)
	return err
}

// ReplaceFindings makes fs all that one origin says of a device.
func (tx *Tx) ReplaceFindings(scope audit.Scope, id ringwall.DeviceID, origin string, fs []ringwall.Finding) error {
	org, err := needExamine(scope)
	if err != nil {
		return err
	}
	if err := tx.exists(org, id); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM answers WHERE org = $1 AND device = $2 AND origin = $3`, org, string(id), origin); err != nil {
		return err
	}
	for _, f := range fs {
		if err := tx.putFinding(org, id, origin, f); err != nil {
			return err
		}
	}
	return nil
}

// Findings returns the standing answers of all origins about a device, by
// indicator: which of them counts is decided by who grades.
func (tx *Tx) Findings(scope audit.Scope, id ringwall.DeviceID) ([]ringwall.Finding, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	return docs[ringwall.Finding](tx, `SELECT doc FROM answers WHERE org = $1 AND device = $2 ORDER BY indicator, origin, source`, org, string(id))
}

// FindingsOf returns what one origin says of a device.
func (tx *Tx) FindingsOf(scope audit.Scope, id ringwall.DeviceID, origin string) ([]ringwall.Finding, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	return docs[ringwall.Finding](tx, `SELECT doc FROM answers WHERE org = $1 AND device = $2 AND origin = $3 ORDER BY indicator, source`, org, string(id), origin)
}

// PutExamination keeps an examination with its findings and the marks of its
// secrets; the one before it of the same source is gone. Codes: Conflict when
// the one that stands was made later.
func (tx *Tx) PutExamination(scope audit.Scope, x api.Examination) error {
	org, err := needExamine(scope)
	if err != nil {
		return err
	}
	if err := own(org, x.Org, "examination", string(x.ID)); err != nil {
		return err
	}
	if err := tx.exists(org, x.Device); err != nil {
		return err
	}
	x.Org = ringwall.OrgID(org)
	doc, err := encode(x)
	if err != nil {
		return err
	}
	n, err := tx.exec(`INSERT INTO examinations (org, device, source, id, kind, made, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (org, device, source) DO UPDATE SET id = excluded.id, kind = excluded.kind, made = excluded.made, doc = excluded.doc WHERE excluded.made >= examinations.made`,
		org, string(x.Device), x.Source, string(x.ID), string(x.Kind), micros(x.Made), doc)
	if err != nil {
		return err
	}
	if n == 0 {
		return ringwall.Errorf(ringwall.Conflict, "a later examination by %q stands", x.Source)
	}
	if err := tx.ReplaceFindings(scope, x.Device, x.Source, x.Findings); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM secrets WHERE org = $1 AND device = $2 AND source = $3`, org, string(x.Device), x.Source); err != nil {
		return err
	}
	for _, m := range x.Secrets {
		doc, err := encode(m)
		if err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO secrets (org, mark, device, source, doc) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org, mark, device, source) DO NOTHING`,
			org, m.Mark, string(x.Device), x.Source, doc); err != nil {
			return err
		}
	}
	return nil
}

// Examinations returns the standing examinations of a device, by source.
func (tx *Tx) Examinations(scope audit.Scope, id ringwall.DeviceID) ([]api.Examination, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	if err := tx.exists(org, id); err != nil {
		return nil, err
	}
	return docs[api.Examination](tx, `SELECT doc FROM examinations WHERE org = $1 AND device = $2 ORDER BY source`, org, string(id))
}

// DropExamination removes what one source said of a device; NotFound when it
// said nothing.
func (tx *Tx) DropExamination(scope audit.Scope, id ringwall.DeviceID, source string) error {
	org, err := needExamine(scope)
	if err != nil {
		return err
	}
	if err := tx.exists(org, id); err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM examinations WHERE org = $1 AND device = $2 AND source = $3`, org, string(id), source)
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound("examination", source)
	}
	if _, err := tx.exec(`DELETE FROM secrets WHERE org = $1 AND device = $2 AND source = $3`, org, string(id), source); err != nil {
		return err
	}
	return tx.ReplaceFindings(scope, id, source, nil)
}

// Examined names a device that was examined by a kind of source.
type Examined struct {
	Device ringwall.DeviceID
	Source string
}

// ExaminedBy returns the sources of one kind, device by device: what has to be
// looked at again when there is new knowledge about what they found.
func (tx *Tx) ExaminedBy(scope audit.Scope, kind api.ExamKind) ([]Examined, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	all := []Examined{}
	err = tx.rows(`SELECT device, source FROM examinations WHERE org = $1 AND kind = $2 ORDER BY device, source`, []any{org, string(kind)}, func(scan func(...any) error) error {
		var e Examined
		if err := scan(&e.Device, &e.Source); err != nil {
			return fail(err)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}

// Holder is one device in which a secret was found.
type Holder struct {
	Device ringwall.DeviceID
	Source string
	Secret api.SecretMark
}

// Holders returns where else the secrets of a device were found.
func (tx *Tx) Holders(scope audit.Scope, id ringwall.DeviceID) ([]Holder, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	all := []Holder{}
	err = tx.rows(`SELECT s.device, s.source, s.doc FROM secrets s WHERE s.org = $1 AND s.device <> $2
		AND EXISTS (SELECT 1 FROM secrets m WHERE m.org = s.org AND m.mark = s.mark AND m.device = $2) ORDER BY s.mark, s.device, s.source LIMIT 1000`,
		[]any{org, string(id)}, func(scan func(...any) error) error {
			var h Holder
			var doc string
			if err := scan(&h.Device, &h.Source, &doc); err != nil {
				return fail(err)
			}
			m, err := decode[api.SecretMark](doc)
			h.Secret = m
			all = append(all, h)
			return err
		})
	return all, err
}

// RemedialFilter narrows a list of tasks; zero fields do not.
type RemedialFilter struct {
	Device ringwall.DeviceID
	Status string
	Party  ringwall.Part
}

// PutRemedial keeps a task.
func (tx *Tx) PutRemedial(scope audit.Scope, r api.Remedial) error {
	org, err := needExamine(scope)
	if err != nil {
		return err
	}
	if err := tx.exists(org, r.Device); err != nil {
		return err
	}
	doc, err := encode(r)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO remedials (org, id, device, status, party, opened, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (org, id) DO UPDATE SET status = excluded.status, party = excluded.party, doc = excluded.doc`,
		org, string(r.ID), string(r.Device), r.Status, string(r.Party), micros(r.Opened), doc)
	return err
}

// Remedial returns one task.
func (tx *Tx) Remedial(scope audit.Scope, id ringwall.RemedialID) (api.Remedial, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Remedial{}, err
	}
	var doc string
	if err := tx.row("task", string(id), `SELECT doc FROM remedials WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.Remedial{}, err
	}
	return decode[api.Remedial](doc)
}

// Remedials returns a page of tasks, newest first.
func (tx *Tx) Remedials(scope audit.Scope, f RemedialFilter, p Paging) (api.Page[api.Remedial], error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Page[api.Remedial]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.Remedial]{}, err
	}
	return newestFirst[api.Remedial](tx, p.limit(), `SELECT opened, id, doc FROM remedials
		WHERE org = $1 AND ($2 = '' OR device = $2) AND ($3 = '' OR status = $3) AND ($4 = '' OR party = $4) AND (opened < $5 OR opened = $5 AND id < $6)
		ORDER BY opened DESC, id DESC LIMIT $7`, org, string(f.Device), f.Status, string(f.Party), before, id)
}

// PutDraft keeps what somebody has answered so far.
func (tx *Tx) PutDraft(scope audit.Scope, id ringwall.DeviceID, name, doc string, at time.Time) error {
	org, err := need(scope, audit.AssessRun)
	if err != nil {
		return err
	}
	if err := tx.exists(org, id); err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO drafts (org, device, name, updated, doc) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (org, device, name) DO UPDATE SET updated = excluded.updated, doc = excluded.doc`, org, string(id), name, micros(at), doc)
	return err
}

// Draft returns what was answered so far, and when; "" when nothing was.
func (tx *Tx) Draft(scope audit.Scope, id ringwall.DeviceID, name string) (doc string, updated time.Time, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return "", time.Time{}, err
	}
	if err := tx.exists(org, id); err != nil {
		return "", time.Time{}, err
	}
	var when int64
	err = tx.row("draft", name, `SELECT doc, updated FROM drafts WHERE org = $1 AND device = $2 AND name = $3`, []any{org, string(id), name}, &doc, &when)
	if ringwall.CodeOf(err) == ringwall.NotFound {
		return "", time.Time{}, nil
	}
	return doc, at(when), err
}

// OrgSetting returns one of the organisation's settings, "" when it is not set.
func (tx *Tx) OrgSetting(scope audit.Scope, name string) (string, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return "", err
	}
	var value string
	err = tx.row("setting", name, `SELECT value FROM settings WHERE org = $1 AND name = $2`, []any{org, name}, &value)
	if ringwall.CodeOf(err) == ringwall.NotFound {
		return "", nil
	}
	return value, err
}

// PutOrgSetting keeps one of the organisation's settings.
func (tx *Tx) PutOrgSetting(scope audit.Scope, name, value string) error {
	org, err := need(scope, audit.PolicyWrite)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO settings (org, name, value) VALUES ($1, $2, $3) ON CONFLICT (org, name) DO UPDATE SET value = excluded.value`, org, name, value)
	return err
}

// DueDevices returns the devices that are to be assessed again by at, the
// longest due first.
func (tx *Tx) DueDevices(scope audit.Scope, at time.Time, limit int) ([]ringwall.DeviceID, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	ids := []ringwall.DeviceID{}
	err = tx.rows(`SELECT id FROM devices WHERE org = $1 AND due > 0 AND due <= $2 ORDER BY due, id LIMIT $3`, []any{org, micros(at), limit}, func(scan func(...any) error) error {
		var id ringwall.DeviceID
		if err := scan(&id); err != nil {
			return fail(err)
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// PutOrgMark keeps what a part of the platform has to remember of an
// organisation, apart from what people set.
func (tx *Tx) PutOrgMark(scope audit.Scope, name, value string) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO settings (org, name, value) VALUES ($1, $2, $3) ON CONFLICT (org, name) DO UPDATE SET value = excluded.value`, org, "mark:"+name, value)
	return err
}

// OrgMark returns what PutOrgMark kept, "" for nothing.
func (tx *Tx) OrgMark(scope audit.Scope, name string) (string, error) {
	return tx.OrgSetting(scope, "mark:"+name)
}
