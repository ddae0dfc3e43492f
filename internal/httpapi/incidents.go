package httpapi

import (
	"context"
	"net/http"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// IncidentPath names an incident in a path.
type IncidentPath struct {
	ID ringwall.IncidentID `path:"id" maxLength:"64"`
}

func (f *face) incidentRoutes() {
	route(f, op(http.MethodGet, "/v1/incidents", "list-incidents", "incidents", "Incidents without their alerts, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			Open   bool              `query:"open" doc:"only those that are neither resolved nor closed"`
			Device ringwall.DeviceID `query:"device" maxLength:"64"`
			SIM    ringwall.SIMID    `query:"sim" maxLength:"64"`
		}) (*body[api.Page[api.Incident]], error) {
			return answer(f.svc.Incidents(ctx, a, IncidentFilter{Open: in.Open, Subject: subjectOf(in.Device, in.SIM)}, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/incidents/{id}", "get-incident", "incidents", "One incident with its story, alerts and responses"),
		func(ctx context.Context, a audit.Actor, in *IncidentPath) (*body[api.Incident], error) {
			return answer(f.svc.Incident(ctx, a, in.ID))
		})
	route(f, op(http.MethodPatch, "/v1/incidents/{id}", "patch-incident", "incidents", "Decide: status, disposition, note"),
		func(ctx context.Context, a audit.Actor, in *struct {
			IncidentPath
			Body api.IncidentPatch
		}) (*body[api.Incident], error) {
			return answer(f.svc.PatchIncident(ctx, a, in.ID, in.Body))
		})
}

// subjectOf returns the subject that a list is narrowed to, if any.
func subjectOf(device ringwall.DeviceID, sim ringwall.SIMID) ringwall.Subject {
	switch {
	case device != "":
		return ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(device)}
	case sim != "":
		return ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(sim)}
	}
	return ringwall.Subject{}
}

func (f *face) responseRoutes() {
	route(f, op(http.MethodGet, "/v1/responses", "list-responses", "responses", "Responses, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			Status string            `query:"status" enum:"proposed,approved,declined,doing,done,failed,undone,expired"`
			Device ringwall.DeviceID `query:"device" maxLength:"64"`
			SIM    ringwall.SIMID    `query:"sim" maxLength:"64"`
		}) (*body[api.Page[api.Response]], error) {
			return answer(f.svc.Responses(ctx, a, ResponseFilter{Status: in.Status, Target: subjectOf(in.Device, in.SIM)}, in.paging()))
		})
	route(f, status(op(http.MethodPost, "/v1/responses", "create-response", "responses", "Record a response, then do it"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.ResponseCreate }) (*body[api.Response], error) {
			return answer(f.svc.CreateResponse(ctx, a, in.Body))
		})
	route(f, op(http.MethodPost, "/v1/responses/{id}/decision", "decide-response", "responses", "Approve, decline or undo a response"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID   ringwall.ResponseID `path:"id" maxLength:"64"`
			Body api.ResponseDecision
		}) (*body[api.Response], error) {
			d := Decision(in.Body.Decision)
			if d != Approve && d != Decline && d != Undo {
				return nil, ringwall.Errorf(ringwall.Invalid, "a decision is %q, %q or %q", Approve, Decline, Undo)
			}
			return answer(f.svc.DecideResponse(ctx, a, in.ID, d))
		})
}
