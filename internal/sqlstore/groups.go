package sqlstore

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// encodeGroup leaves out what is kept elsewhere or worked out.
func encodeGroup(g api.Group) (string, error) {
	g.Members, g.Devices, g.Rollout = nil, 0, ""
	return encode(g)
}

// CreateGroup adds a group with its members. Codes: Conflict when there is one
// of that name, NotFound when a member is no device of the organisation.
func (tx *Tx) CreateGroup(scope audit.Scope, g api.Group) error {
	org, err := need(scope, audit.GroupWrite)
	if err != nil {
		return err
	}
	if err := own(org, g.Org, "group", string(g.ID)); err != nil {
		return err
	}
	g.Org, g.Version = ringwall.OrgID(org), 1
	doc, err := encodeGroup(g)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`INSERT INTO device_groups (org, id, name, version, doc) VALUES ($1, $2, $3, 1, $4)`, org, string(g.ID), g.Name, doc); err != nil {
		return err
	}
	return tx.setMembers(org, g.ID, g.Members)
}

func (tx *Tx) setMembers(org string, id ringwall.GroupID, members []ringwall.DeviceID) error {
	if _, err := tx.exec(`DELETE FROM group_members WHERE org = $1 AND grp = $2`, org, string(id)); err != nil {
		return err
	}
	for _, d := range members {
		if err := tx.exists(org, d); err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO group_members (org, grp, device) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, org, string(id), string(d)); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) members(org string, id ringwall.GroupID) ([]ringwall.DeviceID, error) {
	all := []ringwall.DeviceID{}
	err := tx.rows(`SELECT device FROM group_members WHERE org = $1 AND grp = $2 ORDER BY device`, []any{org, string(id)}, func(scan func(...any) error) error {
		var d ringwall.DeviceID
		if err := scan(&d); err != nil {
			return fail(err)
		}
		all = append(all, d)
		return nil
	})
	return all, err
}

// Group returns one group with its members.
func (tx *Tx) Group(scope audit.Scope, id ringwall.GroupID) (api.Group, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return api.Group{}, err
	}
	var doc string
	if err := tx.row("group", string(id), `SELECT doc FROM device_groups WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.Group{}, err
	}
	g, err := decode[api.Group](doc)
	if err != nil {
		return g, err
	}
	g.Members, err = tx.members(org, id)
	return g, err
}

// Groups returns all groups by name, without their members.
func (tx *Tx) Groups(scope audit.Scope) ([]api.Group, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return nil, err
	}
	return docs[api.Group](tx, `SELECT doc FROM device_groups WHERE org = $1 ORDER BY name`, org)
}

// UpdateGroup changes a group, its members too, and counts its version up.
func (tx *Tx) UpdateGroup(scope audit.Scope, id ringwall.GroupID, f func(*api.Group) error) (api.Group, error) {
	org, err := need(scope, audit.GroupWrite)
	if err != nil {
		return api.Group{}, err
	}
	g, err := tx.Group(scope, id)
	if err != nil {
		return g, err
	}
	if err := f(&g); err != nil {
		return g, err
	}
	g.ID, g.Org = id, ringwall.OrgID(org)
	g.Version++
	doc, err := encodeGroup(g)
	if err != nil {
		return g, err
	}
	if _, err := tx.exec(`UPDATE device_groups SET name = $1, version = $2, doc = $3 WHERE org = $4 AND id = $5`, g.Name, int64(g.Version), doc, org, string(id)); err != nil {
		return g, err
	}
	return g, tx.setMembers(org, id, g.Members)
}

// DeleteGroup forgets a group.
func (tx *Tx) DeleteGroup(scope audit.Scope, id ringwall.GroupID) error {
	org, err := need(scope, audit.GroupWrite)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM group_members WHERE org = $1 AND grp = $2`, org, string(id)); err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM device_groups WHERE org = $1 AND id = $2`, org, string(id))
	if err == nil && n == 0 {
		return notFound("group", string(id))
	}
	return err
}

// MemberOf returns, of each device behind a gateway that is a member of any
// group by name, which these are.
func (tx *Tx) MemberOf(scope audit.Scope, gw ringwall.GatewayID) (map[ringwall.DeviceID][]ringwall.GroupID, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return nil, err
	}
	all := map[ringwall.DeviceID][]ringwall.GroupID{}
	err = tx.rows(`SELECT m.device, m.grp FROM group_members m JOIN devices d ON d.org = m.org AND d.id = m.device WHERE m.org = $1 AND d.gateway = $2 ORDER BY m.device, m.grp`,
		[]any{org, string(gw)}, func(scan func(...any) error) error {
			var d ringwall.DeviceID
			var g ringwall.GroupID
			if err := scan(&d, &g); err != nil {
				return fail(err)
			}
			all[d] = append(all[d], g)
			return nil
		})
	return all, err
}

// AllDevices returns every device by id, without what other tables hold.
func (tx *Tx) AllDevices(scope audit.Scope) ([]api.Device, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	all := []api.Device{}
	err = tx.rows(`SELECT `+deviceColumns+` FROM devices WHERE org = $1 ORDER BY id`, []any{org}, func(scan func(...any) error) error {
		d, err := tx.scanDevice(scan)
		all = append(all, d)
		return err
	})
	return all, err
}

// CreateRollout adds a rollout.
func (tx *Tx) CreateRollout(scope audit.Scope, r api.Rollout) error {
	org, err := need(scope, audit.GroupWrite)
	if err != nil {
		return err
	}
	if err := own(org, r.Org, "rollout", string(r.ID)); err != nil {
		return err
	}
	r.Org = ringwall.OrgID(org)
	doc, err := encode(r)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO rollouts (org, id, status, made, doc) VALUES ($1, $2, $3, $4, $5)`, org, string(r.ID), r.Status, micros(r.Made), doc)
	return err
}

// Rollout returns one rollout.
func (tx *Tx) Rollout(scope audit.Scope, id ringwall.RolloutID) (api.Rollout, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return api.Rollout{}, err
	}
	var doc string
	if err := tx.row("rollout", string(id), `SELECT doc FROM rollouts WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.Rollout{}, err
	}
	return decode[api.Rollout](doc)
}

// Running returns the rollouts that are under way, the oldest first.
func (tx *Tx) Running(scope audit.Scope) ([]api.Rollout, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return nil, err
	}
	return docs[api.Rollout](tx, `SELECT doc FROM rollouts WHERE org = $1 AND status = $2 ORDER BY made, id`, org, api.RolloutRunning)
}

// Rollouts returns a page of rollouts, newest first.
func (tx *Tx) Rollouts(scope audit.Scope, p Paging) (api.Page[api.Rollout], error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return api.Page[api.Rollout]{Items: []api.Rollout{}}, err
	}
	t, id, err := p.descending()
	if err != nil {
		return api.Page[api.Rollout]{Items: []api.Rollout{}}, err
	}
	return newestFirst[api.Rollout](tx, p.limit(), `SELECT made, id, doc FROM rollouts WHERE org = $1 AND (made < $2 OR made = $2 AND id < $3) ORDER BY made DESC, id DESC LIMIT $4`, org, t, id)
}

// UpdateRollout changes a rollout.
func (tx *Tx) UpdateRollout(scope audit.Scope, id ringwall.RolloutID, f func(*api.Rollout) error) (api.Rollout, error) {
	org, err := need(scope, audit.GroupWrite)
	if err != nil {
		return api.Rollout{}, err
	}
	r, err := tx.Rollout(scope, id)
	if err != nil {
		return r, err
	}
	if err := f(&r); err != nil {
		return r, err
	}
	r.ID, r.Org = id, ringwall.OrgID(org)
	doc, err := encode(r)
	if err != nil {
		return r, err
	}
	_, err = tx.exec(`UPDATE rollouts SET status = $1, doc = $2 WHERE org = $3 AND id = $4`, r.Status, doc, org, string(id))
	return r, err
}
