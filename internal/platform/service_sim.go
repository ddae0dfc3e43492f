package platform

import (
	"context"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
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
	card := operatorport.Card{ICCID: ringwall.ICCID(in.ICCID), IMSI: ringwall.IMSI(in.IMSI)}
	if err := usage.Check(in); err != nil {
		return out, err
	}
	if in.ICCID == "" || in.IMSI == "" {
		return out, ringwall.Errorf(ringwall.Invalid, "a SIM has an ICCID and an IMSI")
	}
	if err := card.Validate(); err != nil {
		return out, err
	}
	err = s.change(ctx, a, audit.SIMWrite, on("sim", ""), func(t *turn, scope audit.Scope) error {
		if in.Device != "" {
			if _, err := t.tx.Device(scope, in.Device); err != nil {
				return err
			}
		}
		out = api.SIM{
			ID: ringwall.SIMID(ringwall.NewID(ringwall.PrefixSIM, t.at)), Org: a.Org, Device: in.Device,
			State: string(operatorport.Active), Services: in.Services, Peers: in.Peers,
		}
		if out.Peers == nil {
			out.Peers = []string{}
		}
		out, err = t.tx.CreateSIM(scope, out, sqlstore.Numbers{ICCID: card.ICCID, IMSI: card.IMSI, BoundIMEI: ringwall.IMEI(in.IMEI)})
		if err != nil {
			return err
		}
		if in.Device != "" {
			own, err := t.projector()
			if err != nil {
				return err
			}
			if _, err := t.tx.UpdateDevice(own, in.Device, func(d *api.Device) error { d.SIM = out.ID; return nil }); err != nil {
				return err
			}
			t.judge(in.Device, string(out.ID))
		}
		return t.tell(scope, ringwall.EventSIM, ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(out.ID)}, "", note{Key: "timeline.sim.added"})
	})
	return out, err
}
