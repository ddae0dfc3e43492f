package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutMUD keeps what is known of a device's usage description, and its file; a
// nil file leaves the one that there is.
func (tx *Tx) PutMUD(scope audit.Scope, m api.MUDState, file []byte) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	if err := tx.exists(org, m.Device); err != nil {
		return err
	}
	doc, err := encode(m)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO muds (org, device, next, doc, file) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (org, device) DO UPDATE SET next = excluded.next, doc = excluded.doc, file = COALESCE(excluded.file, muds.file)`,
		org, string(m.Device), micros(m.Next), doc, file)
	return err
}

// MUD returns what is known of a device's usage description, and its file.
// Codes: NotFound when nothing is.
func (tx *Tx) MUD(scope audit.Scope, id ringwall.DeviceID) (m api.MUDState, file []byte, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return m, nil, err
	}
	var doc string
	if err := tx.row("usage description of device", string(id), `SELECT doc, file FROM muds WHERE org = $1 AND device = $2`, []any{org, string(id)}, &doc, &file); err != nil {
		return m, nil, err
	}
	m, err = decode[api.MUDState](doc)
	return m, file, err
}

// DropMUD forgets the usage description of a device.
func (tx *Tx) DropMUD(scope audit.Scope, id ringwall.DeviceID) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM muds WHERE org = $1 AND device = $2`, org, string(id))
	if err == nil && n == 0 {
		return notFound("usage description of device", string(id))
	}
	return err
}

// DueMUDs returns up to limit devices whose usage description is to be fetched.
func (tx *Tx) DueMUDs(scope audit.Scope, now time.Time, limit int) ([]ringwall.DeviceID, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	all := []ringwall.DeviceID{}
	err = tx.rows(`SELECT device FROM muds WHERE org = $1 AND next > 0 AND next <= $2 ORDER BY next LIMIT $3`, []any{org, micros(now), limit}, func(scan func(...any) error) error {
		var d ringwall.DeviceID
		if err := scan(&d); err != nil {
			return fail(err)
		}
		all = append(all, d)
		return nil
	})
	return all, err
}
