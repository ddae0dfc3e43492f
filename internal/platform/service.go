package platform

import (
	"context"
	"sync/atomic"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/webhook"
)

// service answers the faces: httpapi.Service. Each method authorises first;
// what belongs to another organisation is not found.
type service struct {
	*core
	hub      *hub
	segments *segment.Store
	assessor *assessor            // nil where the platform reaches no devices
	demo     atomic.Pointer[demo] // nil where none runs; set while requests are served
	people   *people
	tunnels  *tunnelDesk // nil where there is no door for tunnels
	// muds gets usage descriptions of makers.
	muds mudGetter
	// wakeRollout has rollouts looked at now.
	wakeRollout func()
	// gatewayRevoked ends what a gateway was let in for.
	gatewayRevoked func(ringwall.GatewayID)
	// custodian proves the way of cards; nil where there is no ledger.
	custodian custodian
	hooks     *webhook.Sender
	usage     *usageDesk
}

var _ httpapi.Service = (*service)(nil)

// view authorises an act and runs f over one state of the database.
func (s *service) view(ctx context.Context, a audit.Actor, act audit.Act, target audit.Target, f func(*sqlstore.Tx, audit.Scope) error) error {
	target.Org = a.Org
	scope, err := s.auditor.Authorise(ctx, a, act, target)
	if err != nil {
		return err
	}
	return s.store.View(ctx, func(tx *sqlstore.Tx) error { return f(tx, scope) })
}

// change authorises an act and runs f in a turn.
func (s *service) change(ctx context.Context, a audit.Actor, act audit.Act, target audit.Target, f func(*turn, audit.Scope) error) error {
	target.Org = a.Org
	scope, err := s.auditor.Authorise(ctx, a, act, target)
	if err != nil {
		return err
	}
	return s.turn(ctx, a.Org, func(t *turn) error { return f(t, scope) })
}

func on(kind string, id string) audit.Target { return audit.Target{Kind: kind, ID: id} }

func paging(p httpapi.Paging) sqlstore.Paging {
	return sqlstore.Paging{Cursor: p.Cursor, Limit: p.Limit}
}
