package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// MUDFile is a usage description as it came, with its detached signature.
type MUDFile struct{ Body, Signature []byte }

// PutMUD keeps what is known of a device's usage description, and its file; a
// nil file leaves the one that there is.
func (tx *Tx) PutMUD(scope audit.Scope, m api.MUDState, file *MUDFile) error {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return err
	}
	if err := tx.exists(org, m.Device); err != nil {
		return err
	}
	m.Waits = m.Asks()
	doc, err := encode(m)
	if err != nil {
		return err
	}
	var f MUDFile
	if file != nil {
		f = *file
	}
	_, err = tx.exec(`INSERT INTO muds (org, device, next, doc, file, signature, waits) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (org, device) DO UPDATE SET next = excluded.next, doc = excluded.doc, waits = excluded.waits,
		file = CASE WHEN $8 = 1 THEN excluded.file ELSE muds.file END, signature = CASE WHEN $8 = 1 THEN excluded.signature ELSE muds.signature END`,
		org, string(m.Device), micros(m.Next), doc, f.Body, f.Signature, flag(len(m.Waits) > 0), flag(file != nil))
	return err
}

// MUD returns what is known of a device's usage description, and its file.
// Codes: NotFound when nothing is.
func (tx *Tx) MUD(scope audit.Scope, id ringwall.DeviceID) (m api.MUDState, f MUDFile, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return m, f, err
	}
	var doc string
	if err := tx.row("usage description of device", string(id), `SELECT doc, file, signature FROM muds WHERE org = $1 AND device = $2`, []any{org, string(id)}, &doc, &f.Body, &f.Signature); err != nil {
		return m, f, err
	}
	m, err = decode[api.MUDState](doc)
	return m, f, err
}

// MUDsWaiting returns the usage descriptions that wait for a person, up to limit
// of them, by device.
func (tx *Tx) MUDsWaiting(scope audit.Scope, limit int) ([]api.MUDState, error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return nil, err
	}
	return docs[api.MUDState](tx, `SELECT doc FROM muds WHERE org = $1 AND waits = 1 ORDER BY device LIMIT $2`, org, limit)
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
