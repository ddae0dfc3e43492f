package sqlstore

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Desired returns a gateway's newest desired state, its generation and the
// digest of its content. Codes: NotFound when none was made yet.
func (tx *Tx) Desired(scope audit.Scope, gw ringwall.GatewayID) (signed api.Signed, generation uint64, digest string, err error) {
	org, err := need(scope, audit.GatewayRead)
	if err != nil {
		return api.Signed{}, 0, "", err
	}
	var doc string
	var n int64
	if err := tx.row("desired state of gateway", string(gw), `SELECT doc, generation, digest FROM desired WHERE org = $1 AND gateway = $2`,
		[]any{org, string(gw)}, &doc, &n, &digest); err != nil {
		return api.Signed{}, 0, "", err
	}
	signed, err = decode[api.Signed](doc)
	return signed, uint64(n), digest, err
}

// PutDesired replaces a gateway's desired state by the next generation. Codes:
// Conflict when generation is not the one after the newest.
func (tx *Tx) PutDesired(scope audit.Scope, gw ringwall.GatewayID, generation uint64, digest string, signed api.Signed) error {
	org, err := need(scope, audit.SystemPolicy)
	if err != nil {
		return err
	}
	var one int
	if err := tx.row("gateway", string(gw), `SELECT 1 FROM gateways WHERE org = $1 AND id = $2`, []any{org, string(gw)}, &one); err != nil {
		return err
	}
	doc, err := encode(signed)
	if err != nil {
		return err
	}
	if generation == 1 {
		_, err = tx.exec(`INSERT INTO desired (org, gateway, generation, digest, doc) VALUES ($1, $2, 1, $3, $4)`, org, string(gw), digest, doc)
		return err
	}
	n, err := tx.exec(`UPDATE desired SET generation = $1, digest = $2, doc = $3 WHERE org = $4 AND gateway = $5 AND generation = $6`,
		int64(generation), digest, doc, org, string(gw), int64(generation)-1)
	if err == nil && n == 0 {
		return ringwall.Errorf(ringwall.Conflict, "generation %d of gateway %q does not follow the newest", generation, gw)
	}
	return err
}
