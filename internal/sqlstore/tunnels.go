package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// askFor is how long a tunnel that was asked for waits for a person.
const askFor = 24 * time.Hour

// tunnelDue returns when time decides next what becomes of a tunnel.
func tunnelDue(t api.RemoteTunnel) time.Time {
	switch t.State {
	case api.TunnelAsked:
		return t.Asked.Add(askFor)
	case api.TunnelApproved:
		return t.Expires
	}
	return time.Time{}
}

// needTunnel checks that the scope permits to change a tunnel.
func needTunnel(scope audit.Scope) (string, error) {
	for _, act := range []audit.Act{audit.TunnelAsk, audit.TunnelApprove, audit.TunnelUse} {
		if scope.Permits(act) {
			return need(scope, act)
		}
	}
	return need(scope, audit.SystemProject)
}

// CreateTunnel writes down a tunnel that is asked for.
func (tx *Tx) CreateTunnel(scope audit.Scope, t api.RemoteTunnel) error {
	org, err := need(scope, audit.TunnelAsk)
	if err != nil {
		return err
	}
	if err := own(org, t.Org, "tunnel", string(t.ID)); err != nil {
		return err
	}
	if err := tx.exists(org, t.Device); err != nil {
		return err
	}
	t.Org = ringwall.OrgID(org)
	doc, err := encode(t)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO tunnels (org, id, device, gateway, state, asked, due, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		org, string(t.ID), string(t.Device), string(t.Gateway), t.State, micros(t.Asked), micros(tunnelDue(t)), doc)
	return err
}

// UpdateTunnel changes a tunnel: its id, organisation, device, gateway, port
// and who asked when and why stay.
func (tx *Tx) UpdateTunnel(scope audit.Scope, id ringwall.TunnelID, f func(*api.RemoteTunnel) error) (api.RemoteTunnel, error) {
	org, err := needTunnel(scope)
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	old, err := tx.tunnel(org, id)
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	t := old
	if err := f(&t); err != nil {
		return api.RemoteTunnel{}, err
	}
	t.ID, t.Org, t.Device, t.Gateway, t.Port, t.Asked, t.AskedBy, t.Reason = old.ID, old.Org, old.Device, old.Gateway, old.Port, old.Asked, old.AskedBy, old.Reason
	doc, err := encode(t)
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	_, err = tx.exec(`UPDATE tunnels SET state = $1, due = $2, doc = $3 WHERE org = $4 AND id = $5`, t.State, micros(tunnelDue(t)), doc, org, string(id))
	return t, err
}

func (tx *Tx) tunnel(org string, id ringwall.TunnelID) (api.RemoteTunnel, error) {
	var doc string
	if err := tx.row("tunnel", string(id), `SELECT doc FROM tunnels WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.RemoteTunnel{}, err
	}
	return decode[api.RemoteTunnel](doc)
}

// Tunnel returns one tunnel.
func (tx *Tx) Tunnel(scope audit.Scope, id ringwall.TunnelID) (api.RemoteTunnel, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.RemoteTunnel{}, err
	}
	return tx.tunnel(org, id)
}

// TunnelFilter narrows a list of tunnels; zero fields do not.
type TunnelFilter struct {
	Device ringwall.DeviceID
	State  string
}

// Tunnels returns a page of tunnels, newest first.
func (tx *Tx) Tunnels(scope audit.Scope, f TunnelFilter, p Paging) (api.Page[api.RemoteTunnel], error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return api.Page[api.RemoteTunnel]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.RemoteTunnel]{}, err
	}
	return newestFirst[api.RemoteTunnel](tx, p.limit(), `SELECT asked, id, doc FROM tunnels
		WHERE org = $1 AND ($2 = '' OR device = $2) AND ($3 = '' OR state = $3)
		AND (asked < $4 OR asked = $4 AND id < $5) ORDER BY asked DESC, id DESC LIMIT $6`,
		org, string(f.Device), f.State, before, id)
}

// OpenTunnels returns the approved tunnels through a gateway; "" means through
// all of the organisation's.
func (tx *Tx) OpenTunnels(scope audit.Scope, gw ringwall.GatewayID) ([]api.RemoteTunnel, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	return docs[api.RemoteTunnel](tx, `SELECT doc FROM tunnels WHERE org = $1 AND ($2 = '' OR gateway = $2) AND state = $3 ORDER BY id`,
		org, string(gw), api.TunnelApproved)
}

// DueTunnels returns up to limit tunnels of which time has decided by now.
func (tx *Tx) DueTunnels(scope audit.Scope, now time.Time, limit int) ([]api.RemoteTunnel, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	return docs[api.RemoteTunnel](tx, `SELECT doc FROM tunnels WHERE org = $1 AND due > 0 AND due <= $2 ORDER BY due, id LIMIT $3`, org, micros(now), limit)
}
