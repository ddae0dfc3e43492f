package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
)

// CreateToken keeps an API token.
func (tx *Tx) CreateToken(scope audit.Scope, r identity.TokenRecord) error {
	org, err := need(scope, audit.TokenAdmin)
	if err != nil {
		return err
	}
	if err := own(org, r.Org, "token", string(r.ID)); err != nil {
		return err
	}
	if _, err := tx.exec(`INSERT INTO tokens (org, id, name, hash, made_by, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		org, string(r.ID), r.Name, r.Hash, scope.Actor().String(), micros(r.Created), micros(r.Expires)); err != nil {
		return err
	}
	return tx.setParts(org, string(r.ID), r.Parts)
}

// Tokens returns the organisation's API tokens without their secrets, newest
// first.
func (tx *Tx) Tokens(scope audit.Scope) ([]api.APIToken, error) {
	org, err := need(scope, audit.OrgRead)
	if err != nil {
		return nil, err
	}
	all := []api.APIToken{}
	err = tx.rows(`SELECT id, name, created, expires FROM tokens WHERE org = $1 ORDER BY created DESC, id DESC`, []any{org}, func(scan func(...any) error) error {
		var t api.APIToken
		var created, expires int64
		if err := scan(&t.ID, &t.Name, &created, &expires); err != nil {
			return fail(err)
		}
		t.Created, t.Expires = at(created), at(expires)
		all = append(all, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Parts, err = tx.parts(org, string(all[i].ID)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// DeleteToken forgets an API token; it proves nothing from then on.
func (tx *Tx) DeleteToken(scope audit.Scope, id ringwall.TokenID) error {
	org, err := need(scope, audit.TokenAdmin)
	if err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM tokens WHERE org = $1 AND id = $2`, org, string(id))
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound("token", string(id))
	}
	_, err = tx.exec(`DELETE FROM party WHERE org = $1 AND subject = $2`, org, string(id))
	return err
}

// CreateEnrolToken keeps a one-time token.
func (tx *Tx) CreateEnrolToken(scope audit.Scope, r identity.TokenRecord) error {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return err
	}
	if err := own(org, r.Org, "token", string(r.ID)); err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO enrol_tokens (org, id, hash, created, expires, used, gateway) VALUES ($1, $2, $3, $4, $5, 0, '')`,
		org, string(r.ID), r.Hash, micros(r.Created), micros(r.Expires))
	return err
}

// EnrolToken returns what is kept of a one-time token.
func (tx *Tx) EnrolToken(scope audit.Scope, id ringwall.TokenID) (identity.TokenRecord, error) {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return identity.TokenRecord{}, err
	}
	r := identity.TokenRecord{ID: id, Org: ringwall.OrgID(org)}
	var created, expires, used int64
	err = tx.row("token", string(id), `SELECT hash, created, expires, used FROM enrol_tokens WHERE org = $1 AND id = $2`,
		[]any{org, string(id)}, &r.Hash, &created, &expires, &used)
	if err != nil {
		return identity.TokenRecord{}, err
	}
	r.Created, r.Expires, r.Used = at(created), at(expires), at(used)
	return r, nil
}

// UseEnrolToken marks a one-time token as used by a gateway, if it still waits.
// The condition stands in the statement itself, so that of any number who try
// at once exactly one gets nil. Codes: Conflict for the others.
func (tx *Tx) UseEnrolToken(scope audit.Scope, id ringwall.TokenID, gw ringwall.GatewayID, now time.Time) error {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE enrol_tokens SET used = $1, gateway = $2 WHERE org = $3 AND id = $4 AND used = 0 AND expires > $1`,
		micros(now), string(gw), org, string(id))
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.EnrolToken(scope, id); err != nil {
		return err
	}
	return ringwall.Errorf(ringwall.Conflict, "the token has been used or is past its time")
}
