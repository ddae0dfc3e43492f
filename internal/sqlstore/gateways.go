package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// CreateGateway adds a gateway with the serial number of its certificate.
func (tx *Tx) CreateGateway(scope audit.Scope, g api.Gateway, serial string) error {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return err
	}
	if err := own(org, g.Org, "gateway", string(g.ID)); err != nil {
		return err
	}
	g.Org = ringwall.OrgID(org)
	doc, err := encodeGateway(g)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO gateways (org, id, name, seen, online, serial, next_mark, doc) VALUES ($1, $2, $3, $4, $5, $6, 1, $7)`,
		org, string(g.ID), g.Name, micros(g.Seen), flag(g.Online), serial, doc)
	return err
}

// encodeGateway leaves out what is worked out when a gateway is shown.
func encodeGateway(g api.Gateway) (string, error) {
	g.Drift, g.Flags, g.Notices = nil, nil, nil
	return encode(g)
}

const gatewayColumns = `g.doc, g.seen, g.online, COALESCE(d.generation, 0), (SELECT COUNT(*) FROM devices v WHERE v.org = g.org AND v.gateway = g.id)`

const gatewayTables = `gateways g LEFT JOIN desired d ON d.org = g.org AND d.gateway = g.id`

func scanGateway(scan func(...any) error) (api.Gateway, error) {
	var doc string
	var seen, online, generation int64
	var devices int
	if err := scan(&doc, &seen, &online, &generation, &devices); err != nil {
		return api.Gateway{}, err
	}
	g, err := decode[api.Gateway](doc)
	g.Seen, g.Online, g.Desired, g.Devices = at(seen), online != 0, uint64(generation), devices
	return g, err
}

// Gateway returns one gateway.
func (tx *Tx) Gateway(scope audit.Scope, id ringwall.GatewayID) (api.Gateway, error) {
	org, err := need(scope, audit.GatewayRead)
	if err != nil {
		return api.Gateway{}, err
	}
	return scanGateway(func(dest ...any) error {
		return tx.row("gateway", string(id), `SELECT `+gatewayColumns+` FROM `+gatewayTables+` WHERE g.org = $1 AND g.id = $2`, []any{org, string(id)}, dest...)
	})
}

// Gateways returns a page of the organisation's gateways, newest first.
func (tx *Tx) Gateways(scope audit.Scope, p Paging) (api.Page[api.Gateway], error) {
	page := api.Page[api.Gateway]{Items: []api.Gateway{}}
	org, err := need(scope, audit.GatewayRead)
	if err != nil {
		return page, err
	}
	before, err := p.after(1)
	if err != nil {
		return page, err
	}
	err = tx.rows(`SELECT `+gatewayColumns+` FROM `+gatewayTables+` WHERE g.org = $1 AND ($2 = '' OR g.id < $2) ORDER BY g.id DESC LIMIT $3`,
		[]any{org, before[0], p.limit() + 1}, func(scan func(...any) error) error {
			if len(page.Items) == p.limit() {
				page.Next = cursor(string(page.Items[len(page.Items)-1].ID))
				return nil
			}
			g, err := scanGateway(scan)
			page.Items = append(page.Items, g)
			return err
		})
	return page, err
}

// UpdateGateway changes a gateway; its id, organisation, and what is counted
// (Desired, Devices) stay.
func (tx *Tx) UpdateGateway(scope audit.Scope, id ringwall.GatewayID, f func(*api.Gateway) error) (api.Gateway, error) {
	org, err := need(scope, audit.GatewayWrite)
	if err != nil {
		return api.Gateway{}, err
	}
	g, err := tx.Gateway(scope, id)
	if err != nil {
		return api.Gateway{}, err
	}
	if err := f(&g); err != nil {
		return api.Gateway{}, err
	}
	g.ID, g.Org = id, ringwall.OrgID(org)
	doc, err := encodeGateway(g)
	if err != nil {
		return api.Gateway{}, err
	}
	_, err = tx.exec(`UPDATE gateways SET name = $1, seen = $2, online = $3, doc = $4 WHERE org = $5 AND id = $6`,
		g.Name, micros(g.Seen), flag(g.Online), doc, org, string(id))
	return g, err
}

// SetCertificate keeps the serial number of the certificate that a gateway
// was given last.
func (tx *Tx) SetCertificate(scope audit.Scope, id ringwall.GatewayID, serial string, expires time.Time) error {
	org, err := need(scope, audit.GatewayWrite)
	if err != nil {
		return err
	}
	if _, err := tx.UpdateGateway(scope, id, func(g *api.Gateway) error { g.CertExpiry = expires; return nil }); err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE gateways SET serial = $1 WHERE org = $2 AND id = $3`, serial, org, string(id))
	return err
}

// NextMark returns a mark that was never given on this gateway before: a
// device's key in its kernel.
func (tx *Tx) NextMark(scope audit.Scope, id ringwall.GatewayID) (uint32, error) {
	org, err := need(scope, audit.DeviceWrite)
	if err != nil {
		return 0, err
	}
	var mark int64
	if err := tx.row("gateway", string(id), `UPDATE gateways SET next_mark = next_mark + 1 WHERE org = $1 AND id = $2 RETURNING next_mark - 1`,
		[]any{org, string(id)}, &mark); err != nil {
		return 0, err
	}
	if mark <= 0 || mark > 1<<31-1 {
		return 0, ringwall.Errorf(ringwall.Unavailable, "gateway %q has given all its marks away", id)
	}
	return uint32(mark), nil
}
