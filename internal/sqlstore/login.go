package sqlstore

import (
	"context"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/identity"
)

// Logins is the store of package identity: what proofs are compared with. It
// is asked before anybody is known, so its scope is the platform's own, and
// the organisation comes from the proof.
type Logins struct{ s *Store }

// Logins returns the identity store.
func (s *Store) Logins() Logins { return Logins{s} }

var _ identity.Store = Logins{}

// view runs f in a reading transaction after checking the scope.
func (l Logins) view(ctx context.Context, scope audit.Scope, f func(*Tx) error) error {
	if err := needPlatform(scope, audit.SystemAuthenticate); err != nil {
		return err
	}
	return l.s.View(ctx, f)
}

// APIToken implements identity.Store.
func (l Logins) APIToken(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.TokenID) (identity.TokenRecord, error) {
	r := identity.TokenRecord{ID: id, Org: org, Subject: string(id)}
	err := l.view(ctx, scope, func(tx *Tx) (err error) {
		var created, expires int64
		if err := tx.row("token", string(id), `SELECT name, hash, created, expires FROM tokens WHERE org = $1 AND id = $2`,
			[]any{string(org), string(id)}, &r.Name, &r.Hash, &created, &expires); err != nil {
			return err
		}
		r.Created, r.Expires = at(created), at(expires)
		r.Parts, err = tx.parts(string(org), string(id))
		return err
	})
	if err != nil {
		return identity.TokenRecord{}, err
	}
	return r, nil
}

// LoginUsers implements identity.Store.
func (l Logins) LoginUsers(ctx context.Context, scope audit.Scope, name, org string, limit int) ([]identity.UserRecord, error) {
	var all []identity.UserRecord
	err := l.view(ctx, scope, func(tx *Tx) error {
		err := tx.rows(`SELECT u.org, u.id, u.name, u.hash FROM orgs o JOIN users u ON u.org = o.id
			WHERE u.name = $1 AND ($2 = '' OR o.id = $2 OR o.name = $2) ORDER BY u.org LIMIT $3`,
			[]any{name, org, limit}, func(scan func(...any) error) error {
				var u identity.UserRecord
				if err := scan(&u.User.Org, &u.User.ID, &u.User.Name, &u.Hash); err != nil {
					return fail(err)
				}
				all = append(all, u)
				return nil
			})
		if err != nil {
			return err
		}
		for i := range all {
			if all[i].User.Parts, err = tx.parts(string(all[i].User.Org), string(all[i].User.ID)); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// LoginUser implements identity.Store.
func (l Logins) LoginUser(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.UserID) (identity.UserRecord, error) {
	var u identity.UserRecord
	err := l.view(ctx, scope, func(tx *Tx) (err error) {
		u.User.Org, u.User.ID = org, id
		if err := tx.row("user", string(id), `SELECT name, hash FROM users WHERE org = $1 AND id = $2`, []any{string(org), string(id)}, &u.User.Name, &u.Hash); err != nil {
			return err
		}
		u.User.Parts, err = tx.parts(string(org), string(id))
		return err
	})
	return u, err
}

// CreateSession implements identity.Store. It forgets the organisation's
// sessions that are over, so that they do not pile up.
func (l Logins) CreateSession(ctx context.Context, scope audit.Scope, r identity.TokenRecord) error {
	if err := needPlatform(scope, audit.SystemAuthenticate); err != nil {
		return err
	}
	return l.s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(`DELETE FROM sessions WHERE org = $1 AND expires < $2`, string(r.Org), micros(r.Created)); err != nil {
			return err
		}
		_, err := tx.exec(`INSERT INTO sessions (org, id, subject, hash, created, expires) VALUES ($1, $2, $3, $4, $5, $6)`,
			string(r.Org), string(r.ID), r.Subject, r.Hash, micros(r.Created), micros(r.Expires))
		return err
	})
}

// Session implements identity.Store.
func (l Logins) Session(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.TokenID) (identity.TokenRecord, error) {
	r := identity.TokenRecord{ID: id, Org: org}
	err := l.view(ctx, scope, func(tx *Tx) error {
		var created, expires int64
		if err := tx.row("session", string(id), `SELECT subject, hash, created, expires FROM sessions WHERE org = $1 AND id = $2`,
			[]any{string(org), string(id)}, &r.Subject, &r.Hash, &created, &expires); err != nil {
			return err
		}
		r.Created, r.Expires = at(created), at(expires)
		return nil
	})
	if err != nil {
		return identity.TokenRecord{}, err
	}
	return r, nil
}

// DeleteSession implements identity.Store.
func (l Logins) DeleteSession(ctx context.Context, scope audit.Scope, org ringwall.OrgID, id ringwall.TokenID) error {
	if err := needPlatform(scope, audit.SystemAuthenticate); err != nil {
		return err
	}
	return l.s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(`DELETE FROM sessions WHERE org = $1 AND id = $2`, string(org), string(id))
		return err
	})
}
