package sqlstore

import (
	"fmt"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// exists answers NotFound when the organisation has no such device.
func (tx *Tx) exists(org string, id ringwall.DeviceID) error {
	var one int
	return tx.row("device", string(id), `SELECT 1 FROM devices WHERE org = $1 AND id = $2`, []any{org, string(id)}, &one)
}

// TrustState returns what package trust last decided of a device, as that
// package wrote it; nil when it has not yet.
func (tx *Tx) TrustState(scope audit.Scope, id ringwall.DeviceID) ([]byte, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	var state []byte
	err = tx.row("device", string(id), `SELECT state FROM devices WHERE org = $1 AND id = $2`, []any{org, string(id)}, &state)
	return state, err
}

// PutTrustState keeps what package trust decided.
func (tx *Tx) PutTrustState(scope audit.Scope, id ringwall.DeviceID, state []byte) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE devices SET state = $1 WHERE org = $2 AND id = $3`, state, org, string(id))
	if err == nil && n == 0 {
		return notFound("device", string(id))
	}
	return err
}

// MaxPeers bounds what is learned of one device: past it the set is no longer
// a habit, and a scan must not fill the database.
const MaxPeers = 512

// LearnPeers adds peers to what a device was seen to need, and returns those
// that are new. A peer that is known keeps its first time. Past MaxPeers
// nothing is added.
func (tx *Tx) LearnPeers(scope audit.Scope, id ringwall.DeviceID, peers []api.Peer) ([]api.Peer, error) {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return nil, err
	}
	if err := tx.exists(org, id); err != nil {
		return nil, err
	}
	var n int
	if err := tx.row("device", string(id), `SELECT COUNT(*) FROM peers WHERE org = $1 AND device = $2`, []any{org, string(id)}, &n); err != nil {
		return nil, err
	}
	var added []api.Peer
	for _, p := range peers {
		if n >= MaxPeers {
			break
		}
		doc, err := encode(p)
		if err != nil {
			return nil, err
		}
		new, err := tx.exec(`INSERT INTO peers (org, device, peer, first, doc) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (org, device, peer) DO NOTHING`,
			org, string(id), peerKey(p), micros(p.First), doc)
		if err != nil {
			return nil, err
		}
		if new == 1 {
			added = append(added, p)
			n++
		}
	}
	return added, nil
}

// peerKey names a peer: by its domain where there is one, since the addresses
// behind a name rotate.
func peerKey(p api.Peer) string {
	other := p.Domain
	if other == "" {
		other = p.Addr.String()
	}
	return fmt.Sprintf("%s %s %s %d", p.Direction, p.Proto, other, p.Port)
}

// Peers returns what a device was seen to need, the first seen first.
func (tx *Tx) Peers(scope audit.Scope, id ringwall.DeviceID) ([]api.Peer, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	return docs[api.Peer](tx, `SELECT doc FROM peers WHERE org = $1 AND device = $2 ORDER BY first, peer`, org, string(id))
}

// PutTerms replaces the owner's own terms for a device.
func (tx *Tx) PutTerms(scope audit.Scope, id ringwall.DeviceID, terms []api.Term) error {
	org, err := need(scope, audit.PolicyWrite)
	if err != nil {
		return err
	}
	if err := tx.exists(org, id); err != nil {
		return err
	}
	doc, err := encode(terms)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO terms (org, device, doc) VALUES ($1, $2, $3) ON CONFLICT (org, device) DO UPDATE SET doc = excluded.doc`, org, string(id), doc)
	return err
}

// Terms returns the owner's own terms for a device.
func (tx *Tx) Terms(scope audit.Scope, id ringwall.DeviceID) ([]api.Term, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return nil, err
	}
	all, err := docs[[]api.Term](tx, `SELECT doc FROM terms WHERE org = $1 AND device = $2`, org, string(id))
	if err != nil || len(all) == 0 {
		return []api.Term{}, err
	}
	return all[0], nil
}

// RecoveringDevices returns the devices whose trust state holds debts: they
// have to be looked at while nothing happens, or they would never recover. It
// reads every device of the organisation.
func (tx *Tx) RecoveringDevices(scope audit.Scope) ([]ringwall.DeviceID, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	ids := []ringwall.DeviceID{}
	err = tx.rows(`SELECT id FROM devices WHERE org = $1 AND CAST(state AS TEXT) LIKE '%"debts":[{%'`, []any{org}, func(scan func(...any) error) error {
		var id ringwall.DeviceID
		if err := scan(&id); err != nil {
			return fail(err)
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err
}
