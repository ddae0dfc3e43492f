package platform

import (
	"context"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// SIMs lists cards.
func (s *service) SIMs(ctx context.Context, a audit.Actor, p httpapi.Paging) (page api.Page[api.SIM], err error) {
	err = s.view(ctx, a, audit.SIMRead, on("sim", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.SIMs(scope, paging(p))
		return err
	})
	for i, v := 0, sightOf(a); i < len(page.Items); i++ {
		page.Items[i] = v.sim(page.Items[i])
	}
	return page, err
}

// SIM answers one card, its numbers masked.
func (s *service) SIM(ctx context.Context, a audit.Actor, id ringwall.SIMID) (out api.SIM, err error) {
	err = s.view(ctx, a, audit.SIMRead, on("sim", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		out, err = tx.SIM(scope, id)
		return err
	})
	return sightOf(a).sim(out), err
}

// CreateSIM registers a card.
func (s *service) CreateSIM(ctx context.Context, a audit.Actor, in api.SIMCreate) (out api.SIM, err error) {
	if _, err := checkSIM(in); err != nil {
		return out, err
	}
	err = s.change(ctx, a, audit.SIMWrite, on("sim", ""), func(t *turn, scope audit.Scope) error {
		id, err := t.createSIM(scope, a, in, false)
		if err != nil {
			return err
		}
		out, err = t.tx.SIM(scope, id)
		return err
	})
	return out, err
}
