package platform

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

const (
	overviewIncidents = 10
	overviewRecent    = 15
)

// Overview is the fleet at a glance.
func (s *service) Overview(ctx context.Context, a audit.Actor) (api.Overview, error) {
	o := api.Overview{Open: []api.Incident{}, Waiting: []api.Response{}, Recent: []api.TimelineEntry{}}
	err := s.view(ctx, a, audit.DeviceRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if o.Devices, o.ByGrade, o.ByTrust, o.ByPresent, err = tx.CountDevices(scope); err != nil {
			return err
		}
		recent, err := tx.Timeline(scope, ringwall.Subject{}, time.Time{}, overviewRecent)
		v := sightOf(a)
		for _, e := range v.timeline(recent) {
			// Who sees no names reads devices and nothing else.
			if v.names || e.Subject.Kind == ringwall.SubjectDevice {
				o.Recent = append(o.Recent, e)
			}
		}
		return err
	})
	if err != nil {
		return o, err
	}
	// The rest is shown to whom it is open; a part that may not see it sees the
	// fleet without it.
	if err := optional(s.view(ctx, a, audit.GatewayRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		for p := (sqlstore.Paging{}); ; {
			page, err := tx.Gateways(scope, p)
			if err != nil {
				return err
			}
			for _, g := range page.Items {
				if !g.Revoked.IsZero() {
					continue
				}
				o.Gateways++
				if g.Online {
					o.Online++
				}
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				return nil
			}
		}
	})); err != nil {
		return o, err
	}
	if err := optional(s.view(ctx, a, audit.SIMRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		o.SIMs, err = tx.CountSIMs(scope)
		return err
	})); err != nil {
		return o, err
	}
	if err := optional(s.view(ctx, a, audit.IncidentRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		page, err := tx.Incidents(scope, sqlstore.IncidentFilter{Open: true}, sqlstore.Paging{Limit: 10 * overviewIncidents})
		if err != nil {
			return err
		}
		for _, i := range page.Items {
			if shown, ok := project(a, i); ok && len(o.Open) < overviewIncidents {
				o.Open = append(o.Open, shown)
			}
		}
		waiting, err := tx.Responses(scope, sqlstore.ResponseFilter{Status: incident.Proposed}, sqlstore.Paging{})
		o.Waiting = showResponses(a, waiting.Items)
		return err
	})); err != nil {
		return o, err
	}
	if d := s.demo.Load(); d != nil && a.Org == d.org {
		o.Demo = d.state()
	}
	return o, nil
}

func optional(err error) error {
	if isCode(err, ringwall.Forbidden) {
		return nil
	}
	return err
}

// Timeline answers what happened to one subject.
func (s *service) Timeline(ctx context.Context, a audit.Actor, subject ringwall.Subject, before time.Time, limit int) ([]api.TimelineEntry, error) {
	if limit <= 0 {
		limit = httpapi.DefaultPage
	}
	if subject.Kind == ringwall.SubjectIncident {
		// What happens in an incident happens to its subject.
		in, err := s.Incident(ctx, a, ringwall.IncidentID(subject.ID))
		if err != nil {
			return nil, err
		}
		subject = in.Subject
	}
	act := audit.DeviceRead
	switch subject.Kind {
	case ringwall.SubjectSIM:
		act = audit.SIMRead
	case ringwall.SubjectGateway:
		act = audit.GatewayRead
	}
	entries := []api.TimelineEntry{}
	err := s.view(ctx, a, act, on(string(subject.Kind), subject.ID), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if err := known404(tx, scope, subject); err != nil {
			return err
		}
		entries, err = tx.Timeline(scope, subject, before, min(limit, httpapi.MaxPage))
		entries = sightOf(a).timeline(entries)
		return err
	})
	return entries, err
}

// known404 answers NotFound for a subject that the organisation does not have.
func known404(tx *sqlstore.Tx, scope audit.Scope, s ringwall.Subject) (err error) {
	switch s.Kind {
	case ringwall.SubjectDevice:
		_, err = tx.Device(scope, ringwall.DeviceID(s.ID))
	case ringwall.SubjectSIM:
		_, err = tx.SIM(scope, ringwall.SIMID(s.ID))
	case ringwall.SubjectGateway:
		_, err = tx.Gateway(scope, ringwall.GatewayID(s.ID))
	}
	return err
}

// DemoAttack starts an attack of the range.
func (s *service) DemoAttack(ctx context.Context, a audit.Actor, attack, target string) error {
	if _, err := s.auditor.Authorise(ctx, a, audit.DemoRun, audit.Target{Kind: "attack", ID: attack, Org: a.Org}); err != nil {
		return err
	}
	d := s.demo.Load()
	if d == nil || d.org != a.Org {
		return ringwall.Errorf(ringwall.Unavailable, "no demo runs here")
	}
	return d.attack(attack, target)
}
