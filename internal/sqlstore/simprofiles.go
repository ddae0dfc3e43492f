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
	_, err = tx.exec(`INSERT INTO sim_profiles (org, sim, version, made, doc) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (org, sim, version) DO UPDATE SET doc = excluded.doc`, org, string(id), int64(p.Version), micros(p.Made), doc)
	return err
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
