package platform

import (
	"context"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// widest lists parts by how much of an incident they see, the most first: a
// party that plays several sees what the widest of them sees.
var widest = []ringwall.Part{
	ringwall.PartOwner, ringwall.PartEnterprise, ringwall.PartIntegrator, ringwall.PartAuditor, ringwall.PartProvider,
	ringwall.PartOperator, ringwall.PartManufacturer, ringwall.PartApplication, ringwall.PartPlatform,
}

// project shows an incident to a party as its parts entitle it.
func project(a audit.Actor, in api.Incident) (api.Incident, bool) {
	if in.Status == incident.Watching {
		return in, false
	}
	for _, part := range widest {
		if !slices.Contains(a.Parts, part) {
			continue
		}
		if shown, ok := incident.Project(incident.Incident{Incident: in}, part); ok {
			return shown, true
		}
	}
	return in, false
}

// Incidents lists incidents.
func (s *service) Incidents(ctx context.Context, a audit.Actor, f httpapi.IncidentFilter, p httpapi.Paging) (api.Page[api.Incident], error) {
	out := api.Page[api.Incident]{Items: []api.Incident{}}
	err := s.view(ctx, a, audit.IncidentRead, on("incident", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		page, err := tx.Incidents(scope, sqlstore.IncidentFilter(f), paging(p))
		out.Next = page.Next
		for _, i := range page.Items {
			if shown, ok := project(a, i); ok {
				out.Items = append(out.Items, shown)
			}
		}
		return err
	})
	return out, err
}

// Incident answers one incident, as the actor may see it.
func (s *service) Incident(ctx context.Context, a audit.Actor, id ringwall.IncidentID) (out api.Incident, err error) {
	err = s.view(ctx, a, audit.IncidentRead, on("incident", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		kept, err := tx.Incident(scope, id)
		if err != nil {
			return err
		}
		shown, ok := projectWhole(tx, scope, a, kept)
		if !ok {
			return ringwall.Errorf(ringwall.NotFound, "no incident %q", id)
		}
		out = shown
		return nil
	})
	return out, err
}

// projectWhole projects by what package incident keeps, which knows more of
// the device than the row that is shown.
func projectWhole(tx *sqlstore.Tx, scope audit.Scope, a audit.Actor, in api.Incident) (api.Incident, bool) {
	t := &turn{tx: tx}
	whole, err := t.incidentState(scope, in.ID)
	if err != nil {
		return in, false
	}
	whole.Responses = in.Responses
	for _, part := range widest {
		if slices.Contains(a.Parts, part) {
			if shown, ok := incident.Project(whole, part); ok {
				return shown, true
			}
		}
	}
	return in, false
}

// PatchIncident takes an analyst's decision.
func (s *service) PatchIncident(ctx context.Context, a audit.Actor, id ringwall.IncidentID, p api.IncidentPatch) (api.Incident, error) {
	err := s.change(ctx, a, audit.IncidentWrite, on("incident", string(id)), func(t *turn, scope audit.Scope) error {
		if _, err := t.tx.Incident(scope, id); err != nil {
			return err
		}
		old, err := t.incidentState(scope, id)
		if err != nil {
			return err
		}
		next, effects, err := incident.Decide(old, p, a.String(), t.at)
		if err != nil {
			return err
		}
		// What follows from a decision is the platform's doing, in its own name.
		own, err := t.projector()
		if err != nil {
			return err
		}
		return t.keep(own, &old, next, a.String(), effects)
	})
	if err != nil {
		return api.Incident{}, err
	}
	return s.Incident(ctx, a, id)
}

// Responses lists responses.
func (s *service) Responses(ctx context.Context, a audit.Actor, f httpapi.ResponseFilter, p httpapi.Paging) (page api.Page[api.Response], err error) {
	err = s.view(ctx, a, audit.IncidentRead, on("response", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.Responses(scope, sqlstore.ResponseFilter(f), paging(p))
		page.Items = showResponses(a, page.Items)
		return err
	})
	return page, err
}

// CreateResponse records what a person asks for; the responder does it.
func (s *service) CreateResponse(ctx context.Context, a audit.Actor, in api.ResponseCreate) (out api.Response, err error) {
	err = s.change(ctx, a, respondAct(in.Target), on(string(in.Target.Kind), in.Target.ID), func(t *turn, scope audit.Scope) error {
		if err := known404(t.tx, scope, in.Target); err != nil {
			return err
		}
		if in.Incident != "" {
			if _, err := t.tx.Incident(scope, in.Incident); err != nil {
				return err
			}
		}
		if err := t.checkSIM(scope, in); err != nil {
			return err
		}
		id := ringwall.ResponseID(ringwall.NewID(ringwall.PrefixResponse, t.at))
		if out, err = incident.Request(id, a.Org, in, a.String(), t.at); err != nil {
			return err
		}
		if in.Trial {
			out, err = t.tryResponse(scope, out)
			return err
		}
		return t.record(scope, out)
	})
	return out, err
}

// DecideResponse approves, declines or undoes a response.
func (s *service) DecideResponse(ctx context.Context, a audit.Actor, id ringwall.ResponseID, d httpapi.Decision) (out api.Response, err error) {
	var target ringwall.Subject
	if err := s.view(ctx, a, audit.IncidentRead, on("response", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		r, err := tx.Response(scope, id)
		if err != nil {
			return err
		}
		if _, ok := showResponse(a, r); !ok {
			return ringwall.Errorf(ringwall.NotFound, "no response %q", id)
		}
		target = r.Target
		return nil
	}); err != nil {
		return out, err
	}
	err = s.change(ctx, a, respondAct(target), on("response", string(id)), func(t *turn, scope audit.Scope) error {
		r, err := t.tx.Response(scope, id)
		if err != nil {
			return err
		}
		switch d {
		case httpapi.Approve:
			out, err = incident.Approve(r, a.String(), t.at)
		case httpapi.Decline:
			out, err = incident.Decline(r, a.String(), t.at)
		case httpapi.Undo:
			out, err = incident.Lift(r, a.String())
		default:
			return ringwall.Errorf(ringwall.Invalid, "decision %q is none of approve, decline, undo", d)
		}
		if err != nil {
			return err
		}
		return t.record(scope, out)
	})
	if err == nil {
		out, _ = showResponse(a, out) // who may do it may see it
	}
	return out, err
}
