package sqlstore

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutSIMProfile keeps the next version of what a card may be used for.
func (tx *Tx) PutSIMProfile(scope audit.Scope, id ringwall.SIMID, p api.SIMProfile) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	var one int
	if err := tx.row("SIM", string(id), `SELECT 1 FROM sims WHERE org = $1 AND id = $2`, []any{org, string(id)}, &one); err != nil {
		return err
	}
	doc, err := encode(p)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`UPDATE sims SET changed = $1 WHERE org = $2 AND id = $3`, micros(tx.now()), org, string(id)); err != nil {
		return err
	}
	// Only the newest is asked for: what came after it is what is wanted now.
	if _, err := tx.exec(`UPDATE sim_profiles SET asked = 0 WHERE org = $1 AND sim = $2 AND version < $3`, org, string(id), int64(p.Version)); err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO sim_profiles (org, sim, version, made, asked, doc) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (org, sim, version) DO UPDATE SET asked = excluded.asked, doc = excluded.doc`,
		org, string(id), int64(p.Version), micros(p.Made), flag(p.State == "asked"), doc)
	return err
}

// AskedProfiles returns up to limit cards whose operator is to be asked for
// their newest profile.
func (tx *Tx) AskedProfiles(scope audit.Scope, limit int) ([]ringwall.SIMID, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	all := []ringwall.SIMID{}
	err = tx.rows(`SELECT sim FROM sim_profiles WHERE org = $1 AND asked = 1 ORDER BY made LIMIT $2`, []any{org, limit}, func(scan func(...any) error) error {
		var id ringwall.SIMID
		if err := scan(&id); err != nil {
			return fail(err)
		}
		all = append(all, id)
		return nil
	})
	return all, err
}

// SIMProfiles returns the versions of what a card may be used for, the newest
// first.
func (tx *Tx) SIMProfiles(scope audit.Scope, id ringwall.SIMID) ([]api.SIMProfile, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return docs[api.SIMProfile](tx, `SELECT doc FROM sim_profiles WHERE org = $1 AND sim = $2 ORDER BY version DESC LIMIT 50`, org, string(id))
}
