package sqlstore

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// CreateUser adds a user with what is kept of the password. Codes: Conflict
// when the name is taken in this organisation.
func (tx *Tx) CreateUser(scope audit.Scope, u api.User, hash string) error {
	org, err := need(scope, audit.UserAdmin)
	if err != nil {
		return err
	}
	if err := own(org, u.Org, "user", string(u.ID)); err != nil {
		return err
	}
	if _, err := tx.exec(`INSERT INTO users (org, id, name, hash, created) VALUES ($1, $2, $3, $4, $5)`, org, string(u.ID), u.Name, hash, micros(tx.now())); err != nil {
		return err
	}
	return tx.setParts(org, string(u.ID), u.Parts)
}

// Users returns the users of the organisation, by name.
func (tx *Tx) Users(scope audit.Scope) ([]api.User, error) {
	org, err := need(scope, audit.OrgRead)
	if err != nil {
		return nil, err
	}
	all := []api.User{}
	err = tx.rows(`SELECT id, name FROM users WHERE org = $1 ORDER BY name`, []any{org}, func(scan func(...any) error) error {
		u := api.User{Org: ringwall.OrgID(org)}
		if err := scan(&u.ID, &u.Name); err != nil {
			return fail(err)
		}
		all = append(all, u)
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

// User returns one user.
func (tx *Tx) User(scope audit.Scope, id ringwall.UserID) (api.User, error) {
	org, err := need(scope, audit.OrgRead)
	if err != nil {
		return api.User{}, err
	}
	u := api.User{ID: id, Org: ringwall.OrgID(org)}
	if err := tx.row("user", string(id), `SELECT name FROM users WHERE org = $1 AND id = $2`, []any{org, string(id)}, &u.Name); err != nil {
		return api.User{}, err
	}
	u.Parts, err = tx.parts(org, string(id))
	return u, err
}

// SetPassword replaces what is kept of a user's password and ends the user's
// sessions.
func (tx *Tx) SetPassword(scope audit.Scope, id ringwall.UserID, hash string) error {
	org, err := need(scope, audit.UserAdmin)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE users SET hash = $1 WHERE org = $2 AND id = $3`, hash, org, string(id))
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound("user", string(id))
	}
	_, err = tx.exec(`DELETE FROM sessions WHERE org = $1 AND subject = $2`, org, string(id))
	return err
}
